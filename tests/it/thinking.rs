//! Signed thinking that another account will not take: told, counted, and mended with the next turn.

use serde_json::{Value, json};
use warmkey::{
    sim::{Account, Fault, Sim},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Setup, path, sim_with};

/// What the provider says, word by word.
const WORDS: &str = "messages.1.content.0: Invalid `signature` in `thinking` block";

async fn three_organisations() -> Sim {
    let account = |n| Account::new(&format!("key-{n}"), &format!("org-{n}"), &format!("ws-{n}"));
    sim_with(|config| config.accounts = (1..=3).map(account).collect()).await
}

/// Turn `n` of an agent whose history holds signed thinking.
fn ask(gateway: &Gateway, n: usize) -> Ask {
    let marker = json!({"type": "ephemeral"});
    let rules = "Rules are rules. ".repeat(800);
    let mut messages = vec![json!({"role": "user", "content": "Question 0."})];
    for turn in 1..=n {
        let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": format!("c2lnbmVk{turn}")});
        let text = json!({"type": "text", "text": format!("Answer {turn}.")});
        messages.push(json!({"role": "assistant", "content": [thinking, text]}));
        messages.push(json!({"role": "user", "content": format!("Question {turn}.")}));
    }
    let body = json!({
        "model": "claude-sonnet-4-6", "max_tokens": 100, "messages": messages,
        "system": [{"type": "text", "text": rules, "cache_control": marker}],
    });
    Ask::new(gateway.url(path(Dialect::Anthropic)), body).session("thinker").stream(n % 2 == 1)
}

async fn act(gateway: &Gateway, endpoint: &str, action: &str) {
    let url = format!("http://{}/endpoints/{endpoint}/{action}", gateway.admin);
    Ask::new(url, Value::Null).send().await.assert_ok();
}

/// The 400 is the provider's, with our explanation beside it.
fn assert_refused(reply: Reply, home: &str) {
    let reply = reply.assert_error(Dialect::Anthropic, 400);
    assert_eq!(reply.json()["error"]["message"], WORDS);
    let told = format!("refused here; made at {home}, where the next turn goes");
    assert_eq!(reply.header("x-warmkey-thinking"), told);
    assert_ne!(reply.endpoint(), home);
}

const WAYS: [&str; 2] = ["cost", "pinned"];

fn over(sim: &Sim, way: &str) -> Setup {
    Setup::over(sim).provider(&format!("routing = \"{way}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_refused_after_a_move_goes_back_to_where_its_thinking_was_made() {
    for way in WAYS {
        let sim = three_organisations().await;
        let gateway = over(&sim, way).start().await;
        let home = ask(&gateway, 0).send().await.assert_ok().endpoint().to_owned();
        act(&gateway, &home, "drain").await;
        sim.script(Fault::ThinkingForeign.always());
        assert_refused(ask(&gateway, 1).send().await, &home);
        gateway.at_rest().await;
        assert_eq!(sim.stats().total().refused, 1, "{way}: nobody else is asked");
        sim.clear_faults();
        act(&gateway, &home, "readmit").await;
        let back = ask(&gateway, 1).send().await.assert_ok();
        assert_eq!((back.endpoint(), back.affinity()), (home.as_str(), "hit"), "{way}");
        assert_eq!(back.header("x-warmkey-thinking"), "");
        assert_eq!(gateway.count("thinking_refused_total", &[]).await, 1, "{way}");
        gateway.logged(&format!("thinking_refused_made_at=\"{home}\"")).await;
        gateway.assert_all_ready().await;
        assert!(!gateway.log().contains("c2lnbmVk") && !gateway.log().contains("Rules are"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warmth_does_not_lure_it_back_to_who_refuses() {
    for way in WAYS {
        let sim = three_organisations().await;
        let gateway = over(&sim, way).start().await;
        let home = ask(&gateway, 0).send().await.assert_ok().endpoint().to_owned();
        // A move that went well: the prompt is warm at both.
        act(&gateway, &home, "drain").await;
        let moved = ask(&gateway, 1).send().await.assert_ok();
        let other = moved.endpoint().to_owned();
        assert_eq!(moved.affinity(), "moved", "{way}");
        act(&gateway, &home, "readmit").await;
        gateway.at_rest().await;
        let fault = || Fault::ThinkingForeign.on_key(&format!("key-{}", &other[1..])).always();
        sim.script(fault());
        assert_refused(ask(&gateway, 2).send().await, &home);
        gateway.at_rest().await;
        for turn in 2..6 {
            let reply = ask(&gateway, turn).send().await.assert_ok();
            assert_eq!(reply.endpoint(), home, "{way}: turn {turn}");
            gateway.at_rest().await;
        }
        let series = format!("endpoint=\"{other}\"");
        assert_eq!(gateway.count("thinking_refused_total", &[&series]).await, 1, "{way}");
        gateway.assert_all_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_signature_of_the_clients_own_making_is_passed_on_and_no_more() {
    let sim = three_organisations().await;
    let gateway = over(&sim, "cost").start().await;
    let home = ask(&gateway, 0).send().await.assert_ok().endpoint().to_owned();
    sim.script(Fault::ThinkingForeign);
    let reply = ask(&gateway, 1).send().await.assert_error(Dialect::Anthropic, 400);
    assert_eq!(reply.json()["error"]["message"], WORDS);
    assert_eq!((reply.endpoint(), reply.header("x-warmkey-thinking")), (home.as_str(), ""));
    assert_eq!(ask(&gateway, 1).send().await.assert_ok().endpoint(), home);
    gateway.at_rest().await;
    assert_eq!(gateway.count("thinking_refused_total", &[]).await, 0);
}
