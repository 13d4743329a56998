//! Why caches break: a client with a clock in its system prompt is found out, and told what it costs.

use serde_json::{Value, json};
use warmkey::types::{Dialect, Usage};

use crate::harness::{Ask, Gateway, Setup, get, path, sim};

/// Something that must never be shown.
const CANARY: &str = "canary-of-a-prompt-51c9";

fn long(words: &str, sentences: usize) -> String {
    format!("{words} {}", "The quick brown fox jumps over the lazy dog. ".repeat(sentences))
}

/// An agent's turn number `turn`, with what its system prompt says of the time.
pub fn body(dialect: Dialect, turn: usize, clock: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    let (marker, rules) = (json!({"type": "ephemeral"}), long(&format!("{CANARY}. {clock}"), 200));
    let model = crate::harness::model(dialect);
    let mut messages = vec![];
    for n in 0..=turn {
        messages.push(json!({"role": "user", "content": long(&format!("Question {n}."), 20)}));
        messages.push(json!({"role": "assistant", "content": long(&format!("Answer {n}."), 40)}));
    }
    messages.pop();
    match dialect {
        Dialect::Anthropic => {
            if let Some(last) = messages.last_mut() {
                let text = last["content"].take();
                last["content"] = json!([{"type": "text", "text": text, "cache_control": marker}]);
            }
            json!({
                "model": model, "max_tokens": 100, "messages": messages,
                "tools": [{"name": "look", "description": "Looks.", "input_schema": schema}],
                "system": [{"type": "text", "text": "You are an agent."},
                    {"type": "text", "text": rules, "cache_control": marker}],
            })
        }
        Dialect::OpenAiChat => {
            messages.insert(0, json!({"role": "system", "content": "You are an agent."}));
            messages.insert(1, json!({"role": "system", "content": rules}));
            json!({"model": model, "messages": messages})
        }
        Dialect::OpenAiResponses => {
            messages.insert(0, json!({"role": "developer", "content": rules}));
            json!({"model": model, "instructions": "You are an agent.", "input": messages})
        }
    }
}

async fn turn(gateway: &Gateway, dialect: Dialect, session: &str, turn: usize, clock: &str) {
    let ask = Ask::new(gateway.url(path(dialect)), body(dialect, turn, clock)).session(session);
    ask.stream(true).send().await.assert_ok();
    // What comes next is compared with what was booked.
    gateway.at_rest().await;
}

async fn get_json(gateway: &Gateway, path: &str) -> (u16, Value) {
    let reply = get(&format!("http://{}{path}", gateway.admin)).await;
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_in_the_system_prompt_is_found_and_priced() {
    for dialect in Dialect::ALL {
        let sim = sim().await;
        let gateway = Setup::over(&sim).accounts(1).start().await;
        // The same conversation without a clock: what it should have cost.
        for n in 0..3 {
            turn(&gateway, dialect, "steady", n, "Be brief.").await;
        }
        assert_eq!(gateway.count("cache_breaks_total", &[]).await, 0, "{dialect}\n{}", gateway.log());
        let steady = sim.stats().total().cost.0;
        for n in 0..3 {
            turn(&gateway, dialect, "clock", n, &format!("It is 2026-11-21 10:0{n}:00.")).await;
        }
        let wasted = sim.stats().total().cost.0 - 2 * steady;
        let cause = "cause=\"timestamp\"";
        assert_eq!(gateway.count("cache_breaks_total", &[cause]).await, 2, "{dialect}\n{}", gateway.log());
        assert_eq!(gateway.count("cache_breaks_total", &[]).await, 2, "{dialect}");
        assert!(gateway.count("cache_break_tokens_total", &[cause]).await > 4_000, "{dialect}");
        let told = gateway.metric("cache_break_usd_total", &[cause]).await * 1e9;
        let ratio = told / wasted as f64;
        assert!((0.9..1.1).contains(&ratio), "{dialect}: {told} told, {wasted} wasted");

        let status = gateway.status().await;
        let worst = &status["cache_breaks"][0];
        assert_eq!((&worst["cause"], &worst["break_at"]), (&json!("timestamp"), &json!("system[1]")));
        assert_eq!((&worst["times"], status["cache_breaks"].as_array().unwrap().len()), (&json!(2), 1));
        assert!(worst["usd"].as_f64().unwrap() > 0.0, "{worst}");
        let id = worst["session"].as_str().unwrap();
        let (code, one) = get_json(&gateway, &format!("/status/sessions/{id}")).await;
        assert_eq!(
            (code, &one["session"]["session"], &one["session"]["turns"]),
            (200, &json!(id), &json!(3))
        );
        assert_eq!(one["forensics"]["last_break"]["break_at"], "system[1]", "{one}");
        assert!(one["forensics"]["prompts"][0]["blocks"].as_u64().unwrap() >= 6, "{one}");
        let log = gateway.logged("cache_break=\"timestamp\" break_at=\"system[1]\"").await;
        for shown in [log, status.to_string(), one.to_string(), gateway.metrics().await] {
            assert!(!shown.contains(CANARY), "{shown}");
        }
        gateway.assert_no_panic();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_moves_or_that_nobody_knows_is_no_break() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let dialect = Dialect::Anthropic;
    turn(&gateway, dialect, "moving", 0, "Be brief.").await;
    let status = gateway.status().await;
    let session = &status["sessions"][0];
    let (home, id) = (session["endpoint"].as_str().unwrap(), session["session"].as_str().unwrap());
    Ask::new(format!("http://{}/endpoints/{home}/drain", gateway.admin), json!({})).send().await.assert_ok();
    turn(&gateway, dialect, "moving", 1, "Now be long.").await;
    let (code, one) = get_json(&gateway, &format!("/status/sessions/{id}")).await;
    assert_eq!(
        (code, &one["session"]["moved"], &one["forensics"]["last_break"]),
        (200, &json!(1), &Value::Null)
    );
    assert_eq!(gateway.count("cache_breaks_total", &[]).await, 0, "the move is to blame\n{}", gateway.log());
    assert_eq!(get_json(&gateway, "/status/sessions/0123456789abcdef").await.0, 404);
    assert_eq!(get_json(&gateway, "/status/sessions/me").await.0, 400);
    assert_ne!(sim.stats().total().usage, Usage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn forensics_can_be_switched_off() {
    let sim = sim().await;
    let off = "[routing]\nforensics = \"0B\"\n";
    let gateway = Setup::over(&sim).accounts(1).more(off).start().await;
    for n in 0..2 {
        turn(&gateway, Dialect::Anthropic, "clock", n, &format!("It is 10:0{n}.")).await;
    }
    assert_eq!(gateway.count("cache_breaks_total", &[]).await, 0);
    assert_eq!(gateway.status().await["forensics_bytes"], 0);
}

/// A second turn that differs from the first one, and what is to be said of it.
type Change = (&'static str, &'static str, fn(&mut Value));

/// Markers on the last message only, as simple clients have them.
fn only_the_last_is_marked(body: &mut Value) {
    for block in body["system"].as_array_mut().unwrap() {
        block.as_object_mut().unwrap().remove("cache_control");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_could_not_read_is_laid_to_its_cause() {
    let changes: [Change; 6] = [
        ("tools_changed", "tools[1]", |body| {
            let tool = json!({"name": "find", "description": "Finds.", "input_schema": {"type": "object"}});
            body["tools"].as_array_mut().unwrap().push(tool);
        }),
        ("system_changed", "system[0]", |body| body["system"][0]["text"] = json!("You are another.")),
        ("edited_history", "message 3", |body| body["messages"][3]["content"] = json!("[removed]")),
        ("compaction", "message 1", |body| drop(body["messages"].as_array_mut().unwrap().drain(1..7))),
        ("settings_changed", "settings", |body| body["thinking"] = json!({"type": "adaptive"})),
        ("marker_missing", "message 12", |body| {
            let last = body["messages"].as_array_mut().unwrap().last_mut().unwrap();
            let parts = (0..25).map(|n| json!({"type": "text", "text": long(&format!("Part {n}."), 1)}));
            last["content"] = parts.collect();
            last["content"][24]["cache_control"] = json!({"type": "ephemeral"});
        }),
    ];
    let sim = sim().await;
    let gateway = Setup::over(&sim).accounts(1).start().await;
    for (cause, at, change) in changes {
        let send = async |turn: usize, change: fn(&mut Value)| {
            let ask = Ask::new(gateway.url("/v1/messages"), body(Dialect::Anthropic, turn, cause));
            let ask = ask.session(cause).with(only_the_last_is_marked).with(change);
            ask.send().await.assert_ok();
            gateway.at_rest().await;
        };
        send(5, |_| {}).await;
        send(6, |_| {}).await;
        let label = format!("cause=\"{cause}\"");
        assert_eq!(gateway.count("cache_breaks_total", &[&label]).await, 0, "{cause}\n{}", gateway.log());
        send(7, change).await;
        let status = gateway.status().await;
        let lines = status["cache_breaks"].as_array().unwrap();
        let line = lines.iter().find(|line| line["cause"] == cause);
        let line = line.unwrap_or_else(|| panic!("no {cause}\n{status:#}\n{}", gateway.log()));
        assert_eq!(line["break_at"], at, "{line}");
        assert_eq!(gateway.count("cache_breaks_total", &[&label]).await, 1, "{cause}");
    }
}
