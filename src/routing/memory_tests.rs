use super::{super::testkit::*, *};
use crate::{
    routing::{Ask, InputFacts, Policy},
    types::AffinityResult,
};

/// What a provider counted: read, written, neither.
fn counted(read: u64, written: u64, uncached: u64) -> TurnFacts {
    let input = Some(InputFacts { read, written, uncached });
    TurnFacts { context_tokens: read + written + uncached, input, ..TurnFacts::default() }
}

fn pair() -> Kit {
    by_cost(&[("a", 0), ("b", 0)])
}

/// A turn at `a` that is answered at once.
fn answered(kit: &Kit, talk: Talk, secs: u64) -> Turn {
    let mut turn = kit.start_with(Some(1), &talk.prompt(), kit.get("a"), AffinityResult::New, at(secs));
    turn.answered();
    turn
}

fn readable(kit: &Kit, talk: Talk, name: &str, secs: u64) -> Option<u32> {
    let domain = kit.get(name).cache_id();
    kit.policy.memory().warm.read(&talk.prompt(), domain, at(secs)).map(|probe| probe.tokens)
}

#[test]
fn a_read_that_was_predicted_and_did_not_happen_drops_the_entry_and_is_counted() {
    let kit = pair();
    let talk = Talk { only_last: true, ..Talk::new(1) };
    drop(answered(&kit, talk, 1));
    let next = talk.next();
    let mut turn = answered(&kit, next, 10);
    turn.settled(&counted(0, 16_000, 0));
    assert_eq!(kit.policy.memory().predictions(), Predictions { made: 1, wrong: 1 });
    assert_eq!(readable(&kit, talk, "a", 11), None, "the provider had lost it");
    assert_eq!(readable(&kit, next, "a", 11), Some(16_000), "this one wrote its own");
    // So the next is expected to read just that, and does.
    let mut turn = answered(&kit, next.next(), 20);
    turn.settled(&counted(16_000, 4_000, 0));
    assert_eq!(kit.policy.memory().predictions(), Predictions { made: 2, wrong: 1 });
}

#[test]
fn an_entry_that_the_request_wrote_itself_is_kept_though_it_was_not_read() {
    let kit = pair();
    let talk = Talk::new(1);
    drop(answered(&kit, talk, 1));
    // Its previous turn has a breakpoint: not found there, it was written.
    let mut turn = answered(&kit, talk.next(), 10);
    turn.settled(&counted(0, 16_000, 0));
    assert_eq!(kit.policy.memory().predictions(), Predictions { made: 1, wrong: 1 });
    assert_eq!(readable(&kit, talk, "a", 11), Some(12_000));
}

#[test]
fn a_read_a_little_smaller_than_predicted_is_no_error() {
    let kit = pair();
    drop(answered(&kit, Talk::new(1), 1));
    let mut turn = answered(&kit, Talk::new(1).next(), 10);
    turn.settled(&counted(10_600, 5_400, 0));
    assert_eq!(kit.policy.memory().predictions(), Predictions { made: 1, wrong: 0 });
}

#[test]
fn where_nothing_was_expected_nothing_is_predicted() {
    let kit = pair();
    let mut turn = answered(&kit, Talk::new(1), 1);
    turn.settled(&counted(0, 12_000, 0));
    assert_eq!(kit.policy.memory().predictions(), Predictions::default());
}

#[test]
fn sizes_are_corrected_by_what_the_provider_counted() {
    let kit = pair();
    let talk = Talk::new(1);
    let mut turn = answered(&kit, talk, 1);
    turn.settled(&counted(0, 24_000, 0));
    assert_eq!(readable(&kit, talk, "a", 2), Some(24_000), "twice what was guessed");
    let system = Talk { messages: 0, own: 9, ..talk };
    let found = kit.policy.memory().warm.look(&Talk { messages: 1, ..system }.prompt(), at(2));
    assert_eq!(found[0].tokens, 20_000, "the shared prefix as well");
}

#[test]
fn what_was_not_cached_at_all_whatever_its_marks_is_forgotten() {
    let kit = pair();
    let mut turn = answered(&kit, Talk::new(1), 1);
    assert_eq!(kit.policy.memory().warm.len(), 2);
    turn.settled(&counted(0, 0, 12_000));
    assert!(kit.policy.memory().warm.is_empty());
}

#[test]
fn a_report_that_says_nothing_changes_nothing() {
    let kit = pair();
    let talk = Talk::new(1);
    let mut turn = answered(&kit, talk, 1);
    turn.settled(&TurnFacts::default());
    turn.settled(&counted(0, 0, 0));
    assert_eq!(readable(&kit, talk, "a", 2), Some(12_000));
    assert_eq!(kit.policy.memory().predictions(), Predictions::default());
}

#[test]
fn a_cache_domain_that_the_answer_itself_named_is_where_the_entries_are() {
    let kit = pair();
    let talk = Talk::new(1);
    let mut turn = kit.start_with(Some(1), &talk.prompt(), kit.get("a"), AffinityResult::New, at(1));
    let before = kit.get("a").cache_id();
    let mut headers = http::HeaderMap::new();
    headers.insert("anthropic-organization-id", http::HeaderValue::from_static("0b1e6b0f-org"));
    for name in ["a", "b"] {
        assert!(kit.get(name).learn(&headers).unwrap().changed);
    }
    turn.answered();
    assert_ne!(kit.get("a").cache_id(), before);
    let warm = &kit.policy.memory().warm;
    assert!(warm.read(&talk.prompt(), before, at(2)).is_none());
    assert!(warm.look(&talk.prompt(), at(2)).iter().all(|warmth| warmth.domain != before));
    assert_eq!(readable(&kit, talk, "a", 2), Some(12_000));
    assert_eq!(readable(&kit, talk, "b", 2), Some(12_000), "one organisation, one cache");
    // The usage report, which comes later still, finds them there.
    turn.settled(&counted(0, 0, 12_000));
    assert!(warm.is_empty());
}

#[test]
fn a_turn_without_an_answer_leaves_nothing_and_ends_its_lead() {
    let kit = pair();
    let talk = Talk::new(1);
    let turn = kit.start_with(Some(1), &talk.prompt(), kit.get("a"), AffinityResult::New, at(1));
    let found = kit.policy.memory().warm.look(&talk.prompt(), at(1));
    let leader = Arc::clone(&found[0].pending.as_ref().unwrap().1);
    assert!(!leader.is_over());
    drop(turn);
    assert!(leader.is_over());
    assert!(kit.policy.memory().warm.is_empty());
}

#[test]
fn an_answer_refreshes_what_it_read_from_when_its_request_began() {
    let kit = pair();
    let talk = Talk { only_last: true, ..Talk::new(1) };
    drop(answered(&kit, talk, 0));
    let next = talk.next().prompt();
    let mut turn = kit.start_with(Some(1), &next, kit.get("a"), AffinityResult::Hit, at(200));
    assert_eq!(readable(&kit, talk, "a", 301), None);
    turn.answered();
    assert_eq!(readable(&kit, talk, "a", 499), Some(12_000));
    assert_eq!(readable(&kit, talk, "a", 500), None);
}

#[test]
fn an_anonymous_request_warms_what_others_share() {
    let kit = pair();
    let talk = Talk { group: 5, ..Talk::new(1) };
    kit.start_with(None, &talk.prompt(), kit.get("b"), AffinityResult::New, at(1)).answered();
    let other = Talk { own: 2, ..talk }.prompt();
    let ask = Ask { session: None, ..kit.says(0, &other) };
    assert_eq!(kit.spoken(&ask, at(2)).0, "b");
    assert!(kit.policy.sessions().is_empty());
}

#[test]
fn a_reload_keeps_what_is_remembered() {
    let kit = pair();
    drop(answered(&kit, Talk::new(1), 1));
    let reloaded = kit.policy.with_params(&crate::routing::RouterParams::default());
    assert!(Arc::ptr_eq(kit.policy.memory(), reloaded.memory()));
    assert!(Arc::ptr_eq(kit.policy.sessions(), reloaded.sessions()));
}
