use std::sync::Arc;

use super::{super::testkit::*, *};
use crate::{
    routing::{Policy, SavedSession},
    upstream::testing,
};

use AffinityResult::{Hit, Moved, New};

fn kit() -> Kit {
    Kit::new(testing::eight())
}

fn table(kit: &Kit) -> &Arc<SessionTable> {
    kit.policy.sessions()
}

fn total(kit: &Kit) -> u32 {
    kit.pool.endpoints().iter().map(|endpoint| endpoint.sessions()).sum()
}

fn key(session: u64) -> SessionKey {
    SessionKey(session.into())
}

const NOON: UnixTime = UnixTime(Duration::from_secs(1_795_262_400));

#[test]
fn a_session_counts_at_its_home_until_it_grows_cold() {
    let kit = kit();
    kit.start(1, kit.get("a1"), New, at(0)).answered();
    kit.start(1, kit.get("a1"), Hit, at(100)).answered();
    table(&kit).sweep(at(300));
    assert_eq!(kit.get("a1").sessions(), 1, "the second turn refreshed it");
    table(&kit).sweep(at(400));
    assert_eq!(kit.get("a1").sessions(), 0);
    kit.start(1, kit.get("b1"), New, at(500)).answered();
    assert_eq!((kit.get("b1").sessions(), total(&kit)), (1, 1));
}

#[test]
fn a_session_counts_once_however_it_moves() {
    let kit = kit();
    kit.start(1, kit.get("a1"), New, at(0)).answered();
    let mut moving = kit.start(1, kit.get("b1"), Moved, at(1));
    moving.answered();
    assert_eq!((kit.get("a1").sessions(), kit.get("b1").sessions()), (0, 1));
    kit.start(1, kit.get("a1"), Moved, at(2)).answered();
    assert_eq!((kit.get("a1").sessions(), kit.get("b1").sessions()), (1, 0));
    drop(kit.start(1, kit.get("c1"), Moved, at(3)));
    assert_eq!((kit.get("a1").sessions(), total(&kit)), (1, 1), "the failed move is undone");
}

#[test]
fn an_unanswered_turn_leaves_no_warmth() {
    let kit = kit();
    drop(kit.start(1, kit.get("a1"), New, at(0)));
    assert!(!table(&kit).known(key(1)).unwrap().home.is_warm(at(1)));
    assert_eq!(total(&kit), 0);

    kit.start(2, kit.get("a1"), New, at(0)).answered();
    drop(kit.start(2, kit.get("a1"), Hit, at(200)));
    assert!(table(&kit).known(key(2)).unwrap().home.is_warm(at(299)));
    assert!(!table(&kit).known(key(2)).unwrap().home.is_warm(at(300)), "not refreshed");
}

#[test]
fn a_full_table_forgets_the_session_unused_longest_and_its_count() {
    let params = crate::routing::RouterParams { max_sessions: 64, ..Default::default() };
    let kit = Kit::with(testing::eight(), params);
    for session in 0..10_000 {
        kit.start(session, kit.get("a1"), New, at(session)).answered();
    }
    assert_eq!(table(&kit).len(), 64);
    assert_eq!(kit.get("a1").sessions(), 64);
    assert!(table(&kit).known(key(9_999)).is_some());
    let queued: usize = table(&kit).shards.iter().map(|shard| shard.lock().cooling.len()).sum();
    assert!(queued <= SHARDS * (2 * 4 + SHARDS + 1), "{queued} items for 64 sessions");
}

#[test]
fn what_is_warm_survives_a_restart_and_what_grew_cold_meanwhile_does_not() {
    let old = kit();
    old.start(1, old.get("a1"), New, at(0)).answered();
    old.start(2, old.get("b2"), New, at(200)).answered();
    old.start(3, old.get("c1"), New, at(250)).answered();
    let saved = serde_json::to_string(&table(&old).dump(at(260), NOON)).unwrap();
    let saved: SavedTable = serde_json::from_str(&saved).unwrap();

    let new = kit();
    let later = UnixTime(NOON.0 + Duration::from_secs(60));
    let find = |name: &str| new.pool.endpoint(name).filter(|e| e.name().as_str() != "c1").cloned();
    assert_eq!(table(&new).restore(&saved, find, at(5_000), later), 1);
    let known = table(&new).known(key(2)).unwrap();
    assert_eq!((known.home.endpoint.as_str(), known.home.warm_until), ("b2", at(5_180)));
    assert_eq!(new.get("b2").sessions(), 1);
    table(&new).sweep(at(5_180));
    assert_eq!(new.get("b2").sessions(), 0);
}

#[test]
fn a_spoilt_state_file_restores_nothing_and_breaks_nothing() {
    let kit = kit();
    let odd = |session: &str, warm_ms| SavedSession {
        session: session.into(),
        endpoint: "a1".into(),
        warm_ms,
        ..SavedSession::default()
    };
    let hex = "0".repeat(32);
    let sessions = vec![
        odd("", 1_000),
        odd("xyz", 1_000),
        odd(&"é".repeat(16), 1_000),
        odd(&hex, 0),
        odd(&hex, u64::MAX),
    ];
    let saved = SavedTable { saved_at_unix: NOON.0.as_secs(), sessions };
    let find = |name: &str| kit.pool.endpoint(name).cloned();
    assert_eq!(table(&kit).restore(&saved, find, at(10), NOON), 1, "only the last is readable, and clamped");
    assert!(!table(&kit).known(SessionKey(0)).unwrap().home.is_warm(at(10 + 24 * 3_600)));
}

#[test]
fn views_show_the_hottest_first() {
    let kit = kit();
    for session in 0..100 {
        let mut turn = kit.start(session, kit.get("a1"), New, at(session));
        turn.answered();
        turn.settled(&TurnFacts { context_tokens: 9, output_tokens: 2, charged: NanoUsd(5), input: None });
    }
    let _running = kit.start(50, kit.get("a1"), Hit, at(200));
    let views = table(&kit).by_heat(at(210), 3);
    assert_eq!(views.len(), 3);
    assert_eq!((views[0].turns, views[0].in_flight, views[0].charged_nano_usd), (2, 1, 5));
    assert_eq!(views[1].idle_seconds, 111.0);
}

#[test]
fn a_chilled_session_is_cold() {
    let kit = kit();
    kit.start(1, kit.get("a1"), New, at(0)).answered();
    table(&kit).chill(key(1));
    assert!(!table(&kit).known(key(1)).unwrap().home.is_warm(at(1)));
    assert_eq!(total(&kit), 0);
}
