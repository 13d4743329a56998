use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    gauge::{
        Observation, Tally,
        tally::tests::{cold, tally, turn, warm},
    },
    types::{BreakCause, BreakPlace, CacheBreak, Dialect, Usage},
};

/// Conversations of ten turns, each as `make` has it.
fn fleet(via: Via, make: impl Fn(u32, u32) -> Observation) -> Tally {
    let mut tally = tally(via);
    for conversation in 0..8 {
        (0..10).for_each(|n| tally.note(&make(conversation, n)));
    }
    tally
}

fn of_nth(conversation: u32, n: u32, usage: Usage) -> Observation {
    turn(&format!("c{conversation}"), n, usage)
}

fn probe(tally: &mut Tally, pattern: &str, account: impl Fn(usize) -> Option<String>) {
    for (n, c) in pattern.chars().enumerate() {
        let usage = match c {
            'h' => Usage { cached_read: 6_000, input: 5, ..Usage::default() },
            'w' => Usage { write_5m: 6_000, input: 5, ..Usage::default() },
            _ => Usage { input: 6_005, ..Usage::default() },
        };
        tally.probed(&Observation { account: account(n).map(Arc::from), ..turn("probe", 0, usage) });
    }
}

#[track_caller]
fn first(tally: Tally, beside: Option<&Report>) -> Diagnosis {
    let mut report = tally.finish(beside);
    report.diagnosis.remove(0)
}

#[track_caller]
fn assert_first(tally: Tally, kind: Kind, words: &[&str]) {
    let found = first(tally, None);
    assert_eq!(found.kind, kind, "{found:?}");
    for word in words {
        assert!(found.sentence.contains(word), "`{word}` in {}", found.sentence);
    }
}

#[test]
fn a_warm_endpoint_is_healthy() {
    let mut tally = fleet(Via::Driven, |c, n| of_nth(c, n, warm(n)));
    probe(&mut tally, "whhhhhhhhhhhhhhh", |_| None);
    assert_first(tally, Kind::Healthy, &["87 %"]);
}

#[test]
fn accounts_in_turn_show_in_the_probe_and_in_headers() {
    let direct = fleet(Via::Driven, |c, n| of_nth(c, n, warm(n))).finish(None);
    let spread = |c: u32, n: u32| Observation {
        account: Some(Arc::from(format!("org-{}", (c + n) % 8))),
        ..of_nth(c, n, cold(n))
    };
    let mut tally = fleet(Via::Driven, spread);
    probe(&mut tally, "wwwwwwwwhhhhhhhh", |n| Some(format!("org-{}", n % 8)));
    let found = first(tally, Some(&direct));
    assert_eq!(found.kind, Kind::SeveralAccounts);
    for words in [
        "87 % at http://localhost:1, 0 % through",
        "paid for 8 times in 16 tries",
        "name 8 accounts",
        " land on",
    ] {
        assert!(found.sentence.contains(words), "`{words}` in {}", found.sentence);
    }
    // Without headers the probe alone says "probably".
    let mut tally = fleet(Via::Driven, |c, n| of_nth(c, n, if n % 5 == 1 { warm(n) } else { cold(n) }));
    probe(&mut tally, "wwwwwwwwhhhhhhhh", |_| None);
    assert_first(tally, Kind::SeveralAccounts, &["probably land"]);
}

#[test]
fn many_accounts_with_every_conversation_on_its_own_are_healthy() {
    let kept = |c: u32, n: u32| Observation {
        account: Some(Arc::from(format!("org-{c}"))),
        ..of_nth(c, n, warm(n))
    };
    assert_first(fleet(Via::Driven, kept), Kind::Healthy, &[]);
}

#[test]
fn a_beginning_that_changes_on_the_way_is_told_from_accounts() {
    let one = |c: u32, n: u32| Observation { account: Some(Arc::from("org")), ..of_nth(c, n, cold(n)) };
    let mut tally = fleet(Via::Driven, one);
    probe(&mut tally, "wwwwwwwwwwwwwwww", |_| Some("org".to_owned()));
    assert_first(tally, Kind::PrefixChangedOnTheWay, &["16 times in 16 tries", "the account stayed"]);
    // A clock that ticks during the probe, and no headers.
    let mut tally = fleet(Via::Driven, |c, n| of_nth(c, n, cold(n)));
    probe(&mut tally, "whhhwhhhhwhhhhwh", |_| None);
    assert_first(tally, Kind::PrefixChangedOnTheWay, &["probably", "more accounts than tries"]);
    // Of logs without bodies nobody knows who changed what.
    let tally = fleet(Via::Logs, |c, n| of_nth(c, n, cold(n)));
    assert_first(tally, Kind::Unexplained, &["72 of 72", "several accounts"]);
}

#[test]
fn marks_that_are_lost_and_marks_that_are_missing() {
    let bare = |n| Usage { input: warm(n).total_input(), output: 100, ..Usage::default() };
    let with = |marked: Option<bool>| {
        fleet(Via::Driven, move |c, n| Observation { marked, ..of_nth(c, n, bare(n)) })
    };
    assert_first(with(Some(true)), Kind::MarksLost, &["80 of 80"]);
    assert_first(with(Some(false)), Kind::NoMarks, &["`cache_control` is missing on 80"]);
    assert_first(with(None), Kind::NoMarks, &["probably missing"]);
}

#[test]
fn a_provider_that_caches_by_itself_and_reads_nothing() {
    let chat = |c: u32, n: u32| Observation {
        dialect: Dialect::OpenAiChat,
        ..of_nth(c, n, Usage { input: warm(n).total_input(), output: 100, ..Usage::default() })
    };
    assert_first(fleet(Via::Driven, chat), Kind::Unexplained, &["not one token", "vLLM"]);
}

#[test]
fn a_timestamp_is_named_with_its_place() {
    let broken = |c: u32, n: u32| Observation {
        marked: Some(true),
        broke: (n > 0).then_some(CacheBreak {
            cause: BreakCause::Timestamp,
            at: BreakPlace::System(1),
            offset: 100,
            tools: None,
            tokens: 9_000,
            cost: None,
        }),
        ..of_nth(c, n, cold(n))
    };
    let words = ["The prefix changes at system[1] on every turn: a timestamp."];
    assert_first(fleet(Via::Logs, broken), Kind::PrefixChanges, &words);
}

#[test]
fn pauses_longer_than_the_cache_lives() {
    let slow =
        |c: u32, n: u32| Observation { at: Duration::from_secs(600 * u64::from(n)), ..of_nth(c, n, cold(n)) };
    assert_first(fleet(Via::Logs, slow), Kind::GapsOutliveCache, &["72 follow-up turns", "\"1h\""]);
    // The same pauses with the hour asked for are within its life.
    let hour = |usage: Usage| Usage { write_1h: usage.write_5m, write_5m: 0, ..usage };
    let paid = move |c: u32, n: u32| Observation { usage: Some(hour(cold(n))), ..slow(c, n) };
    assert_first(fleet(Via::Logs, paid), Kind::Unexplained, &[]);
}

#[test]
fn silence_limits_errors_and_short_prompts() {
    let silent = |c: u32, n: u32| Observation { usage: None, ..of_nth(c, n, warm(n)) };
    assert_first(fleet(Via::Driven, silent), Kind::UsageNotReported, &["no answer says"]);
    let refused = |status: u16| {
        move |c: u32, n: u32| Observation {
            status: if n > 4 { status } else { 200 },
            trouble: (n > 4 && status != 429).then_some(crate::gauge::Trouble::Connect("refused".to_owned())),
            ..of_nth(c, n, warm(n))
        }
    };
    assert_first(fleet(Via::Driven, refused(429)), Kind::Throttled, &["40 of 80"]);
    assert_first(fleet(Via::Driven, refused(0)), Kind::Errors, &["40 of 80", "no connection (40)"]);
    let short = |c: u32, n: u32| Observation {
        marked: Some(true),
        ..of_nth(c, n, Usage { input: 300 + u64::from(n), ..Usage::default() })
    };
    assert_first(fleet(Via::Driven, short), Kind::PromptsTooShort, &["80 of 80"]);
}

#[test]
fn little_is_said_of_little() {
    assert_first(tally(Via::Driven), Kind::TooLittle, &["0 answered of 0"]);
    let mut single = tally(Via::Logs);
    (0..20).for_each(|n| single.note(&turn(&format!("c{n}"), 0, warm(0))));
    assert_first(single, Kind::NothingToReuse, &["little to reuse"]);
}

#[test]
fn the_most_costly_comes_first_and_kinds_are_words_of_json() {
    let mixed = |c: u32, n: u32| Observation {
        status: if n == 9 && c == 0 { 429 } else { 200 },
        marked: Some(true),
        ..of_nth(c, n, Usage { input: warm(n).total_input(), ..Usage::default() })
    };
    let mut tally = fleet(Via::Driven, mixed);
    (0..4).for_each(|n| tally.note(&Observation { status: 429, ..of_nth(0, n, warm(0)) }));
    let report = tally.finish(None);
    let kinds: Vec<Kind> = report.diagnosis.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [Kind::MarksLost, Kind::Throttled]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["diagnosis"][0]["kind"], "marks_lost");
    assert_eq!(json["via"], "driven");
}
