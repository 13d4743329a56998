use super::{super::testkit::*, Saved};
use crate::{
    routing::{InputFacts, Policy, Prompt, Start, TurnFacts},
    types::{AffinityResult, SessionKey},
};

/// A session that is followed, or not: its first eight bytes tell.
fn session(number: u64) -> SessionKey {
    SessionKey(u128::from(number) << 64)
}

fn turn(kit: &Kit, session: SessionKey, prompt: &Prompt, name: &str, secs: u64, input: InputFacts) {
    let start = Start {
        session: Some(session),
        parent: None,
        model: &kit.model,
        ring: &kit.ring,
        endpoint: kit.get(name),
        affinity: AffinityResult::Hit,
        ttl: crate::dialect::TtlAsked::Short,
        prompt,
        price: price(),
        context_bytes: 0,
        first_try: true,
    };
    let mut turn = kit.policy.started(&start, at(secs));
    turn.answered();
    turn.settled(&TurnFacts { input: Some(input), ..TurnFacts::default() });
}

/// A conversation of twelve turns at one endpoint, all but the news read from the cache.
fn converse(kit: &Kit, key: SessionKey, talk: Talk) -> Saved {
    let (mut talk, mut warm) = (talk, 0);
    for n in 0..12 {
        let all = u64::from(talk.tokens());
        let input = InputFacts { read: warm, written: all - warm, uncached: 0 };
        turn(kit, key, &talk.prompt(), "a", 10 * n, input);
        warm = all;
        talk = talk.next();
    }
    kit.policy.memory().savings.so_far()
}

#[test]
fn round_robin_over_three_endpoints_would_have_read_less() {
    let saved = converse(&by_cost(&[("a", 0), ("b", 0), ("c", 0)]), session(8), Talk::new(1));
    // Turn n has 12,000 + 4,000 n tokens; all but the first read what the one before wrote.
    let spent: f64 = (0..12)
        .map(|n: u32| if n == 0 { 12e3 * 3.75 } else { (8e3 + 4e3 * f64::from(n)) * 0.3 + 15e3 })
        .sum();
    assert!((saved.spent - spent / 1e6).abs() < 1e-4, "{saved:?}");
    // Round-robin finds what was written three turns ago, and nothing in the first three.
    let round_robin: f64 = (0..12_u32)
        .map(|n| {
            let all = 12e3 + 4e3 * f64::from(n);
            let read = if n < 3 { 0.0 } else { all - 12e3 };
            read * 0.3 + (all - read) * 3.75
        })
        .sum();
    assert!((saved.round_robin - round_robin / 1e6).abs() < 1e-3, "{saved:?}, not {round_robin}");
    assert!(saved.saved() > 0.0);
}

#[test]
fn over_one_endpoint_there_is_nothing_to_save() {
    let saved = converse(&by_cost(&[("a", 0)]), session(16), Talk::new(1));
    assert!(saved.spent > 0.0 && saved.saved().abs() < 1e-3, "{saved:?}");
}

#[test]
fn nothing_is_saved_as_long_as_nobody_is_followed_and_what_others_share_is_found_by_the_sample() {
    let kit = by_cost(&[("a", 0)]);
    let talk = Talk { group: 7, ..Talk::new(1) };
    let unfollowed = converse(&kit, session(3), talk);
    assert!(unfollowed.spent > 0.0 && unfollowed.saved().abs() < 1e-9, "{unfollowed:?}");
    let other = Talk { own: 2, ..talk };
    let input = InputFacts { read: 10_000, written: 2_000, uncached: 0 };
    turn(&kit, session(8), &other.prompt(), "a", 130, input);
    let saved = kit.policy.memory().savings.so_far();
    assert!(saved.spent > 0.0 && saved.saved().abs() < 1e-6, "it reads what is shared: {saved:?}");
}

#[test]
fn what_the_sample_would_have_cost_times_more_holds_for_all() {
    let kit = by_cost(&[("a", 0), ("b", 0), ("c", 0)]);
    let sample = converse(&kit, session(8), Talk::new(1));
    let all = converse(&kit, session(3), Talk::new(2));
    assert!((all.spent - 2.0 * sample.spent).abs() < 1e-6, "{all:?}, {sample:?}");
    assert!((all.round_robin - 2.0 * sample.round_robin).abs() < 1e-6, "{all:?}, {sample:?}");
}

#[test]
fn a_turn_of_which_nothing_is_reported_counts_nowhere() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    kit.start_with(Some(0), &Talk::new(1).prompt(), kit.get("a"), AffinityResult::New, at(1)).answered();
    assert_eq!(kit.policy.memory().savings.so_far(), Saved::default());
}
