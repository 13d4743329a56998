//! Many at once: those who share a cold prefix wait for the first of them, and a caller with many agents
//! does not keep another caller's only one from being served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;
use warmkey::{replay::Knobs, sim::Account, types::Dialect};

use crate::harness::{Ask, Setup, sim_with, within};

/// Text of so many tokens.
fn text(of: &str, tokens: usize) -> String {
    let mut text = of.repeat(tokens * 4 / of.len() + 1);
    text.truncate(tokens * 4);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_begin_together_write_what_they_share_once() {
    const AGENTS: u64 = 50;
    const SHARED: u64 = 20_000;
    let sim = sim_with(|config| config.ttft = Duration::from_millis(1_500)).await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    let system = text("what all of them share; ", usize::try_from(SHARED).expect("small"));
    let mut agents = JoinSet::new();
    for n in 0..AGENTS {
        let ask = gateway.ask(Dialect::Anthropic).session(&format!("together-{n}")).with(|body| {
            let mark = json!({"type": "ephemeral"});
            body["system"] = json!([{"type": "text", "text": system, "cache_control": mark}]);
            body["messages"] = json!([{"role": "user", "content": format!("I am number {n}.")}]);
        });
        agents.spawn(async move { ask.stream(true).send().await.assert_ok() });
    }
    let replies = within("all are answered", agents.join_all()).await;
    let over = sim.wait_for(|seen| seen.iter().all(|request| request.done));
    within("every answer is over", over).await;
    let (used, books) = (sim.stats(), sim.stats().total());
    let used = used.accounts.iter().filter(|account| account.requests > 0).count() as u64;
    assert_eq!(books.requests, AGENTS);
    // Each account that was used holds it once; not fifty times.
    let written = books.usage.write_5m;
    assert!(written <= (used + 1) * (SHARED + 100), "{written} over {used} accounts");
    assert!(used <= 8 && written < 10 * SHARED, "{written} over {used} accounts");
    let read = books.usage.cached_read / SHARED;
    assert!(read >= AGENTS - used - 1, "{read} of them read it, over {used} accounts");
    let waited = replies.iter().filter(|reply| reply.header("x-warmkey-reason") == "coalesced").count();
    assert!(waited >= 30, "{waited} waited for the first");
    println!("{AGENTS} agents: {waited} waited, {read} read it, {written} written over {used} accounts");
    gateway.at_rest().await;
}

const CROWD: &str = "wk-crowd-0123456789abcdef0123";
const ALONE: &str = "wk-alone-0123456789abcdef0123";

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_hundred_sub_agents_do_not_keep_anothers_only_agent_waiting() {
    const AGENTS: usize = 100;
    const TURNS: usize = 5;
    const FASTER: f64 = 20.0;
    // A minute of three seconds lets 60,000 tokens through: of 300,000 that are asked for at once, the last
    // go twelve seconds later.
    let account = Account::new("key-1", "one", "ws-1").limits(100_000, 60_000, 0);
    let sim = sim_with(|config| (config.accounts, config.compress) = (vec![account], FASTER)).await;
    let gateway = Setup::over(&sim)
        .caller("crowd", "crowd", CROWD)
        .caller("alone", "alone", ALONE)
        .provider(&Knobs::of(1, FASTER).provider)
        .more("[routing]\nwait_max = \"30s\"\n")
        .start()
        .await;
    let ask = |token: &str, name: &str| -> Ask {
        let words = text(&format!("{name} says; "), 3_000);
        gateway
            .ask(Dialect::Anthropic)
            .header("x-claude-code-session-id", &format!("session-{token}"))
            .header("authorization", &format!("Bearer {token}"))
            .with(|body| body["messages"] = json!([{"role": "user", "content": words}]))
    };
    // The limits are known from the first answer on.
    ask(ALONE, "first").send().await.assert_ok();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut agents = JoinSet::new();
    for n in 0..AGENTS {
        let name = format!("crowd-{n}");
        let ask = ask(CROWD, &name).header("x-claude-code-agent-id", &name);
        let answered = Arc::clone(&answered);
        agents.spawn(async move {
            let reply = ask.send().await.assert_ok();
            answered.fetch_add(1, Ordering::Relaxed);
            reply
        });
    }
    gateway.until("the crowd waits", |status| status["waiting"].as_u64().is_some_and(|n| n >= 60)).await;
    let before = answered.load(Ordering::Relaxed);
    for n in 0..TURNS {
        ask(ALONE, &format!("alone-{n}")).send().await.assert_ok();
    }
    let meanwhile = answered.load(Ordering::Relaxed) - before;
    println!("{meanwhile} of {AGENTS} were served in {TURNS} turns of the one that is alone");
    // Each turn stands behind one or two of the crowd, and not behind all of them.
    assert!(meanwhile <= 5 * TURNS, "{meanwhile} of the crowd were served before {TURNS} turns");
    assert!(!agents.is_empty() && before + meanwhile < AGENTS - 20, "the crowd was through already");
    within("the crowd is served, too", agents.join_all()).await;
    gateway.at_rest().await;
}
