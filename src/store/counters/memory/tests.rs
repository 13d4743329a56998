use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::store::counters::{LocalCounters, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_this_process_keep_the_contract() {
    if let Err(broken) = contract::all(Arc::new(LocalCounters::default())).await {
        panic!("{broken}");
    }
}

const AT: UnixTime = UnixTime(Duration::from_secs(1_000_000));
const DAY: u64 = 86_400;

fn id(text: &str) -> CounterId {
    CounterId(text.into())
}

fn take(name: &str, rule: Rule, amount: u64, limit: u64) -> Take {
    Take { id: id(name), rule, amount, limit, anyway: false }
}

const fn budget(until: u64) -> Rule {
    Rule::Budget { until: UnixTime(Duration::from_secs(until)) }
}

fn settled(name: &str, rule: Rule, reserved: u64, actual: u64, second: u64) -> Settlement {
    Settlement { id: id(name), rule, reserved, actual, second }
}

fn granted(reserved: &Reserved) -> bool {
    matches!(reserved, Reserved::Granted { .. })
}

#[test]
fn a_window_gives_back_to_the_second_in_which_it_took() {
    let memory = Memory::default();
    let at = |seconds: u64| Moment::from_millis(seconds * 1_000);
    let window = |amount| take("w", Rule::Window, amount, 100);
    assert!(granted(&memory.reserve(&[window(60)], at(10), AT)));
    assert!(granted(&memory.reserve(&[window(40)], at(40), AT)));
    let Reserved::Refused { after, .. } = memory.reserve(&[window(1)], at(50), AT) else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(21)));
    // Sixty were taken in second 10 and came to twenty: room for forty, at once.
    memory.settle(&[settled("w", Rule::Window, 60, 20, 10)], at(50), AT);
    assert!(granted(&memory.reserve(&[window(40)], at(50), AT)));
    let Reserved::Refused { after, .. } = memory.reserve(&[window(30)], at(50), AT) else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(51)), "the twenty are not enough, the forty of 40 are");
    // Twice as much is given back as is there: no bucket is below nothing, nor is the sum.
    memory.settle(&[settled("w", Rule::Window, 90, 0, 40)], at(50), AT);
    assert_eq!(memory.standings([(&id("w"), Rule::Window)], at(50), AT), [Standing { used: 60, spent: 0 }]);
    // What was taken so long ago that it counts no more is not given back again.
    memory.settle(&[settled("w", Rule::Window, 20, 0, 10)], at(71), AT);
    assert_eq!(memory.standings([(&id("w"), Rule::Window)], at(71), AT), [Standing { used: 40, spent: 0 }]);
}

#[test]
fn what_is_over_is_forgotten_and_what_is_held_is_not() {
    let memory = Memory::default();
    let mut now = Moment::from_millis(0);
    let mut at = 1_000_000;
    for n in 0..5_000 {
        let takes = [
            take(&format!("w/{n}"), Rule::Window, 1, 1),
            take(&format!("l/{n}"), Rule::Level, u64::from(n < 100), 1),
            take(&format!("b/{n}"), budget(at + DAY), 1, 10),
            take(&format!("m/{n}"), Rule::Members { member: n, idle: Duration::from_secs(300) }, 1, 1),
        ];
        assert!(granted(&memory.reserve(&takes, now, AT)));
        let spent = [settled(&format!("b/{n}"), budget(at + DAY), u64::from(n >= 50), 1, 0)];
        memory.settle(&spent, now, AT);
    }
    let turn = |memory: &Memory, now: Moment, at: u64| {
        for _ in 0..30_000 {
            memory.settle(&[], now, UnixTime(Duration::from_secs(at)));
        }
    };
    turn(&memory, now, at);
    // Levels that nobody holds are gone; everything else counts still.
    assert!((15_100..=16_200).contains(&memory.len()), "{}", memory.len());
    now = now + Duration::from_secs(4_000);
    at += DAY + DAY - 1;
    turn(&memory, now, at);
    assert!((5_100..=6_200).contains(&memory.len()), "{}", memory.len());
    turn(&memory, now, at + 1);
    // A hundred levels are held, and fifty budgets reserved; the rest is as few as are never swept.
    assert!(memory.len() <= 1_024, "{}", memory.len());
    let held = (0..100).map(|n| id(&format!("l/{n}"))).collect::<Vec<_>>();
    let held = memory.standings(held.iter().map(|id| (id, Rule::Level)), now, AT);
    assert_eq!(held.iter().map(|standing| standing.used).sum::<u64>(), 100);
    let reserved = (0..50).map(|n| id(&format!("b/{n}"))).collect::<Vec<_>>();
    let reserved = memory.standings(reserved.iter().map(|id| (id, budget(0))), now, AT);
    assert_eq!(reserved.iter().map(|standing| standing.used).sum::<u64>(), 100);
}

#[test]
fn a_time_of_day_that_jumps_forgets_no_budget() {
    let memory = Memory::default();
    let now = Moment::from_millis(5_000);
    for n in 0..2_000 {
        let rule = budget(2_000_000);
        memory.reserve(&[take(&format!("b/{n}"), rule, 7, 7)], now, AT);
        memory.settle(&[settled(&format!("b/{n}"), rule, 7, 7, 5)], now, AT);
    }
    for _ in 0..5_000 {
        memory.settle(&[], now + Duration::from_secs(60), UnixTime(Duration::from_secs(9_000_000_000)));
    }
    assert_eq!(memory.len(), 2_000);
    assert!(!granted(&memory.reserve(&[take("b/7", budget(2_000_000), 1, 7)], now, AT)));
}

#[test]
fn a_sessions_budget_is_forgotten_when_it_has_rested_and_sooner_in_a_crowd() {
    for (others, rests, left) in [(0, 30 * DAY, 1_024), (2_000, DAY, 3_000)] {
        let memory = Memory::with_cap(4_000);
        let mut now = Moment::from_millis(5_000);
        let names = (0..1_500).map(|n| format!("b/session:{n}/usd/total/0"));
        let others = (0..others).map(|n| format!("b/key:{n}/usd/total/0"));
        let kept = others.clone().count();
        for name in names.chain(others) {
            memory.reserve(&[take(&name, budget(u64::MAX), 7, 7)], now, AT);
            memory.settle(&[settled(&name, budget(u64::MAX), 7, 7, 5)], now, AT);
        }
        let turn = |now: Moment| {
            for _ in 0..10_000 {
                memory.settle(&[], now, AT);
            }
        };
        now = now + Duration::from_secs(rests - 1);
        turn(now);
        assert_eq!(memory.len(), 1_500 + kept);
        turn(now + Duration::from_secs(1));
        // The rest may stay: there is room again, or they are so few that they are not swept.
        assert!(memory.len() <= left, "{}", memory.len());
        let of_key = memory.reserve(&[take("b/key:7/usd/total/0", budget(u64::MAX), 1, 7)], now, AT);
        assert_eq!(granted(&of_key), kept == 0, "a key's budget is never forgotten");
    }
}

#[test]
fn at_the_cap_newcomers_are_refused_and_others_served() {
    let memory = Memory::with_cap(10);
    let now = Moment::from_millis(5_000);
    for n in 0..10 {
        assert!(granted(&memory.reserve(&[take(&format!("b/{n}"), budget(u64::MAX), 1, 9)], now, AT)));
    }
    let both = [take("b/0", budget(u64::MAX), 1, 9), take("b/new", budget(u64::MAX), 1, 9)];
    let refused = memory.reserve(&both, now, AT);
    assert_eq!(refused, Reserved::Refused { index: 1, standing: Standing::default(), after: None });
    assert!(granted(&memory.reserve(&both[..1], now, AT)));
    memory.raise(&[(id("b/newer"), budget(u64::MAX), 4)]);
    memory.mirror(&[take("b/newest", budget(u64::MAX), 1, 9)], &[Standing::default()], now, AT);
    assert_eq!(memory.len(), 10);
}

#[test]
fn one_of_several_gateways_takes_its_part_of_what_was_left() {
    let memory = Memory::default();
    let now = Moment::from_millis(5_000);
    let year = budget(u64::MAX);
    // Everybody together has spent 40 of 100; we hold 10 of our own.
    memory.mirror(&[take("b", year, 10, 100)], &[Standing { used: 70, spent: 40 }], now, AT);
    let part = |name: &str, rule, amount, limit| {
        granted(&memory.reserve_share(&[take(name, rule, amount, limit)], 3, now, AT))
    };
    // A third of the sixty that were left is ours.
    assert!(!part("b", year, 11, 100));
    assert!(part("b", year, 10, 100));
    assert!(!part("b", year, 1, 100));
    assert!(!part("new", year, 34, 100) && part("new", year, 33, 100));
    for rule in [Rule::Window, Rule::Level] {
        let name = format!("{rule:?}");
        assert!(!part(&name, rule, 4, 10) && part(&name, rule, 3, 10) && !part(&name, rule, 1, 10));
        assert!(part(&format!("few {name}"), rule, 1, 2), "rather a little over than nobody served");
    }
    memory.raise(&[(id("b"), year, 160)]);
    assert!(!part("b", year, 1, 100));
}

#[derive(Clone, Debug)]
enum Step {
    Take { amount: u64, wait: u64 },
    Settle { which: usize, actual: u64, wait: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    // Milliseconds: within a second, and over many.
    let wait = || prop_oneof![0_u64..900, 0_u64..20_000];
    prop_oneof![
        3 => (0_u64..40, wait()).prop_map(|(amount, wait)| Step::Take { amount, wait }),
        2 => (any::<usize>(), 0_u64..40, wait())
            .prop_map(|(which, actual, wait)| Step::Settle { which, actual, wait }),
    ]
}

proptest! {
    /// Against the plain truth: every take with its time in milliseconds, and what it came to.
    #[test]
    fn no_minute_wherever_it_begins_holds_more_than_the_limit(
        limit in 1_u64..100,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let memory = Memory::default();
        let mut clock = 3_600_000_u64;
        // When, how much.
        let mut truth: Vec<(u64, u64)> = Vec::new();
        let mut open: Vec<(usize, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Take { amount, wait } => {
                    clock += wait;
                    let taken = memory.reserve(
                        &[take("w", Rule::Window, amount, limit)], Moment::from_millis(clock), AT);
                    match taken {
                        Reserved::Granted { second, standings } => {
                            open.push((truth.len(), second));
                            truth.push((clock, amount));
                            prop_assert!(standings[0].used <= limit);
                        }
                        Reserved::Refused { after: Some(after), standing, .. } => {
                            prop_assert!(standing.used + amount > limit && amount <= limit);
                            // It is true: then it fits, and a moment before it does not.
                            let then = Moment::from_millis(clock) + after;
                            let again = Memory::default();
                            for (when, amount) in &truth {
                                let anyway = Take { anyway: true, ..take("w", Rule::Window, *amount, limit) };
                                again.reserve(&[anyway], Moment::from_millis(*when), AT);
                            }
                            let early = then - Duration::from_nanos(1);
                            prop_assert!(!granted(&again.reserve(
                                &[take("w", Rule::Window, amount, limit)], early, AT)));
                            prop_assert!(granted(&again.reserve(
                                &[take("w", Rule::Window, amount, limit)], then, AT)));
                            prop_assert!(after <= Duration::from_secs(61));
                        }
                        Reserved::Refused { after: None, .. } => prop_assert!(amount > limit),
                    }
                }
                Step::Settle { which, actual, wait } => {
                    clock += wait;
                    if open.is_empty() {
                        continue;
                    }
                    let (at, second) = open.swap_remove(which % open.len());
                    let reserved = truth[at].1;
                    let actual = actual.min(reserved);
                    memory.settle(
                        &[settled("w", Rule::Window, reserved, actual, second)],
                        Moment::from_millis(clock), AT);
                    truth[at].1 = actual;
                }
            }
            // Every window that ends with a take, to the millisecond; what was taken in it counts.
            for &(end, _) in &truth {
                let sum: u64 = truth.iter()
                    .filter(|(when, _)| *when + 60_000 > end && *when <= end)
                    .map(|(_, amount)| amount).sum();
                prop_assert!(sum <= limit, "{sum} of {limit} in the minute up to {end}");
            }
        }
    }
}
