//! The trace that a gateway writes is one that `warmkey replay --trace` reads.

use std::{collections::BTreeSet, io::Cursor};

use serde_json::Value;
use warmkey::{replay, types::Dialect};

use crate::{
    forensics::body,
    harness::{Ask, Gateway, Setup, path, sim},
};

/// A turn of an agent of Claude Code's: the main one, or a sub-agent.
async fn turn(gateway: &Gateway, session: &str, agent: &str, turn: usize) {
    let body = body(Dialect::Anthropic, turn, &format!("Agent {session} {agent}."));
    let mut ask = Ask::new(gateway.url(path(Dialect::Anthropic)), body)
        .header("x-claude-code-session-id", &format!("secret-session-{session}"));
    if !agent.is_empty() {
        ask = ask.header("x-claude-code-agent-id", &format!("secret-agent-{agent}"));
    }
    ask.stream(turn.is_multiple_of(2)).send().await.assert_ok();
}

async fn stopped(gateway: &mut Gateway) {
    gateway.at_rest().await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_can_be_replayed_and_tells_nothing() {
    let sim = sim().await;
    let setup = Setup::over(&sim).more("[trace]\nfile = \"trace.jsonl\"\n");
    let (text, env, file) = (setup.text(), setup.env(), setup.dir().join("trace.jsonl"));
    let mut gateway = Gateway::run(&text, setup.dir(), &env).await;
    // Four agents at once, each with two sub-agents after its first turn.
    let agent = async |n: usize| {
        let session = n.to_string();
        turn(&gateway, &session, "", 0).await;
        for sub in ["x", "y"] {
            for n in 0..2 {
                turn(&gateway, &session, sub, n).await;
            }
        }
        for n in 1..4 {
            turn(&gateway, &session, "", n).await;
        }
    };
    tokio::join!(agent(0), agent(1), agent(2), agent(3));
    // A refusal is no turn.
    let bad = Ask::new(gateway.url("/v1/messages"), serde_json::json!({"model": "claude-sonnet-4-6"}));
    assert!(bad.send().await.status.is_client_error());
    gateway.at_rest().await;
    stopped(&mut gateway).await;

    let written = std::fs::read_to_string(&file).expect("a trace");
    let trace = replay::read(Cursor::new(&written)).unwrap_or_else(|faults| panic!("{faults}\n{written}"));
    assert_eq!((trace.agents.len(), trace.requests()), (12, 4 * (4 + 2 * 2)));
    let sessions: BTreeSet<&str> = trace.agents.iter().map(|agent| &*agent.session).collect();
    assert_eq!(sessions.len(), 4, "sub-agents stand in their parents' sessions");
    assert_eq!(trace.agents.iter().filter(|agent| agent.parent.is_some()).count(), 8);
    for agent in &trace.agents {
        assert_eq!(agent.contexts.len(), 1, "a conversation that only grows");
        for turn in &agent.turns {
            assert!(!turn.marks.is_empty() && turn.output > 0);
        }
    }
    // The tokens of the prompts, as the provider counted them, about.
    let billed = sim.stats().total().usage.total_input();
    let ratio = trace.tokens() as f64 / billed as f64;
    assert!((0.7..1.4).contains(&ratio), "{} recorded, {billed} billed", trace.tokens());
    for line in written.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert!(line["took"].as_f64().is_some_and(|took| took > 0.0), "{line}");
    }
    for told in ["secret", "canary", "quick", "look", "key-", "anonymous"] {
        assert!(!written.contains(told), "`{told}` stands in the trace");
    }

    // The next life begins another file, and keeps this one.
    let mut gateway = Gateway::run(&text, setup.dir(), &env).await;
    turn(&gateway, "0", "", 0).await;
    assert_eq!(gateway.count("requests_total", &["outcome=\"ok\""]).await, 1);
    stopped(&mut gateway).await;
    assert_eq!(std::fs::read_to_string(file.with_extension("jsonl.old")).expect("the old one"), written);
    let next = replay::read(Cursor::new(std::fs::read(&file).expect("the new one"))).expect("a trace");
    assert_eq!(next.requests(), 1);
    let hash =
        |text: &str| text.lines().next().and_then(|line| Some(line.split("[[\"").nth(1)?[..16].to_owned()));
    let new = std::fs::read_to_string(&file).expect("text");
    assert_ne!(hash(&new), hash(&written), "the salt is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_unless_it_is_asked_for() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    turn(&gateway, "0", "", 0).await;
    gateway.at_rest().await;
    assert_eq!(gateway.count("trace_turns_total", &[]).await, 0);
}
