use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn given(requests: u64, input: u64, output: u64) -> Gauge {
    let some = |limit| (limit > 0).then_some(limit);
    let limits =
        LimitsGiven { requests: some(requests), input: some(input), output: some(output), tokens: None };
    let mut gauge = Gauge::new(WINDOW, true);
    gauge.configure(WINDOW, &limits);
    gauge
}

fn newcomer(id: u64) -> Asker {
    Asker { flow: Flow { id, ..Flow::NOBODY }, place: None }
}

fn waiter(id: u64, place: Place) -> Asker {
    Asker { place: Some(place), ..newcomer(id) }
}

fn wait(gauge: &Gauge, counted: f64, who: &Asker, now: Moment) -> Duration {
    gauge.outlook(counted, who, now).0.wait
}

fn level(gauge: &Gauge, kind: LimitKind, now: Moment) -> f64 {
    gauge.buckets[kind.index().unwrap()].level(WINDOW, now)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-3
}

fn says(kind: LimitKind, limit: u64, remaining: u64) -> Said {
    Said { kind, limit: Some(limit), remaining: Some(remaining) }
}

#[test]
fn what_is_set_aside_for_one_is_not_there_for_those_behind() {
    let mut gauge = given(0, 60_000, 0);
    gauge.draw(60_000.0, &newcomer(9), at(0));
    let first = gauge.enter(10_000.0, &newcomer(1).flow).unwrap();
    assert_eq!(wait(&gauge, 10_000.0, &waiter(1, first), at(0)), Duration::from_secs(10));
    assert_eq!(wait(&gauge, 10_000.0, &newcomer(1), at(0)), Duration::from_secs(20));
    // A small one of another caller is before it, and does not count its tokens.
    assert_eq!(wait(&gauge, 1_000.0, &newcomer(2), at(0)), Duration::from_secs(1));
    // Once the first may go, the second still may not.
    assert_eq!(wait(&gauge, 10_000.0, &waiter(1, first), at(10_000)), Duration::ZERO);
    assert_eq!(wait(&gauge, 10_000.0, &newcomer(1), at(10_000)), Duration::from_secs(10));
    gauge.draw(10_000.0, &waiter(1, first), at(10_000));
    assert_eq!(gauge.shown(at(10_000)).waiting, 0);
}

#[test]
fn a_request_that_is_larger_than_the_limit_is_told_so_and_not_queued() {
    let mut gauge = given(0, 1_000, 0);
    assert!(gauge.outlook(1_001.0, &newcomer(1), at(0)).0.never);
    assert!(gauge.enter(1_001.0, &newcomer(1).flow).is_none());
    assert!(!gauge.outlook(1_000.0, &newcomer(1), at(0)).0.never);
}

#[test]
fn one_callers_hundred_agents_do_not_hold_up_anothers_one() {
    let mut gauge = given(0, 60_000, 0);
    gauge.draw(60_000.0, &newcomer(1), at(0));
    for _ in 0..100 {
        gauge.enter(5_000.0, &newcomer(1).flow).unwrap();
    }
    assert!(wait(&gauge, 5_000.0, &newcomer(1), at(0)) > Duration::from_secs(500));
    assert!(wait(&gauge, 5_000.0, &newcomer(2), at(0)) <= Duration::from_secs(10));
}

#[test]
fn requests_and_output_limit_starts_as_well() {
    let mut gauge = given(60, 0, 600);
    for _ in 0..60 {
        let mut debit = gauge.draw(1.0, &newcomer(1), at(0));
        gauge.answered(&mut debit);
    }
    assert_eq!(wait(&gauge, 0.0, &newcomer(1), at(0)), Duration::from_secs(1));
    let mut debit = gauge.draw(0.0, &newcomer(1), at(60_000));
    gauge.used(None, 700.0, &mut debit, at(60_000));
    assert!(close(level(&gauge, LimitKind::OutputTokens, at(60_000)), -100.0));
    assert_eq!(wait(&gauge, 0.0, &newcomer(1), at(60_000)), Duration::from_millis(10_100));
}

#[test]
fn an_account_that_never_answered_gets_a_few_requests_and_then_what_it_can_take() {
    let mut gauge = Gauge::new(WINDOW, true);
    let mut debits: Vec<_> = (0..UNPROVEN)
        .map(|_| {
            assert_eq!(wait(&gauge, 5.0, &newcomer(1), at(0)), Duration::ZERO);
            gauge.draw(5.0, &newcomer(1), at(0))
        })
        .collect();
    assert_eq!(wait(&gauge, 5.0, &newcomer(1), at(0)), Duration::from_secs(2));
    assert_eq!(wait(&gauge, 5.0, &newcomer(1), at(1_999)), Duration::from_millis(250));
    // One that failed makes room for one.
    gauge.refund(false, &mut debits[0], at(1_000));
    assert_eq!(wait(&gauge, 5.0, &newcomer(1), at(1_000)), Duration::ZERO);
    // An answer that says nothing of limits says that there are none.
    gauge.answered(&mut debits[1]);
    assert_eq!(wait(&gauge, 1e9, &newcomer(1), at(1_000)), Duration::ZERO);
}

#[test]
fn slow_first_answers_do_not_hold_everybody_back() {
    let mut gauge = Gauge::new(WINDOW, true);
    for _ in 0..UNPROVEN {
        gauge.draw(5.0, &newcomer(1), at(0));
    }
    assert!(!wait(&gauge, 5.0, &newcomer(1), at(4_999)).is_zero());
    assert!(wait(&gauge, 5.0, &newcomer(1), at(5_000)).is_zero());
    for _ in 0..UNPROVEN {
        gauge.draw(5.0, &newcomer(1), at(5_000));
    }
    assert!(!wait(&gauge, 5.0, &newcomer(1), at(5_000)).is_zero());
    assert!(wait(&gauge, 5.0, &newcomer(1), at(10_000)).is_zero());
}

#[test]
fn what_was_not_admitted_comes_back_and_what_was_counted_is_corrected() {
    let mut gauge = given(100, 10_000, 5_000);
    let mut debit = gauge.draw(4_000.0, &newcomer(1), at(0));
    gauge.refund(false, &mut debit, at(0));
    gauge.refund(false, &mut debit, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 10_000.0));
    assert!(close(level(&gauge, LimitKind::Requests, at(0)), 100.0));
    assert!(gauge.utilisation(at(0)).abs() < 1e-6);

    let mut debit = gauge.draw(4_000.0, &newcomer(1), at(0));
    for output in [100.0, 2_000.0, 2_000.0] {
        gauge.used(Some(5_000.0), output, &mut debit, at(0));
    }
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 5_000.0));
    assert!(close(level(&gauge, LimitKind::OutputTokens, at(0)), 3_000.0));
    gauge.used(Some(1_000.0), 2_000.0, &mut debit, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 9_000.0));
}

#[test]
fn a_refused_prompt_gives_its_tokens_back_but_was_a_request() {
    let mut gauge = given(100, 10_000, 0);
    let mut debit = gauge.draw(4_000.0, &newcomer(1), at(0));
    gauge.refund(true, &mut debit, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 10_000.0));
    assert!(close(level(&gauge, LimitKind::Requests, at(0)), 99.0));
}

#[test]
fn a_429_empties_what_it_names_or_else_all_that_a_start_needs() {
    let fresh = || {
        let mut gauge = given(100, 10_000, 5_000);
        let debit = gauge.draw(0.0, &newcomer(1), at(0));
        (gauge, debit)
    };
    let (mut gauge, debit) = fresh();
    gauge.refused(LimitKind::OutputTokens, &debit, at(0));
    assert!(close(level(&gauge, LimitKind::OutputTokens, at(0)), 0.0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 10_000.0));
    let (mut gauge, debit) = fresh();
    gauge.refused(LimitKind::Unknown, &debit, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 0.0));
    assert!(close(level(&gauge, LimitKind::Requests, at(0)), 0.0));
    assert!(close(level(&gauge, LimitKind::OutputTokens, at(0)), 5_000.0));
    // The very answer says what is left: that is better than a guess.
    let (mut gauge, mut debit) = fresh();
    gauge.tell(&says(LimitKind::InputTokens, 10_000, 3_000), &mut debit, at(0));
    gauge.refund(false, &mut debit, at(0));
    gauge.refused(LimitKind::Unknown, &debit, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 3_000.0));
    assert!(close(level(&gauge, LimitKind::Requests, at(0)), 0.0));
}

#[test]
fn a_request_that_is_still_on_its_way_is_not_forgotten_over_anothers_answer() {
    let mut gauge = given(0, 100_000, 0);
    let _slow = gauge.draw(60_000.0, &newcomer(1), at(0));
    let mut quick = gauge.draw(1_000.0, &newcomer(1), at(0));
    // The slow one has not reached the provider yet.
    gauge.tell(&says(LimitKind::InputTokens, 100_000, 99_000), &mut quick, at(0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(0)), 39_000.0));
}

#[test]
fn what_others_take_of_the_account_counts_as_load() {
    let mut gauge = given(0, 100_000, 0);
    let mut debit = gauge.draw(1_000.0, &newcomer(1), at(0));
    gauge.tell(&says(LimitKind::InputTokens, 100_000, 49_000), &mut debit, at(0));
    assert!((gauge.utilisation(at(0)) - 0.51).abs() < 1e-3);
    // The bucket refills, the load is remembered.
    assert!((gauge.utilisation(at(60_000)) - 0.51 / std::f32::consts::E).abs() < 1e-3);
}

#[test]
fn anthropics_summary_of_all_tokens_limits_nothing_beside_the_input() {
    let mut gauge = given(0, 100_000, 0);
    let mut debit = gauge.draw(0.0, &newcomer(1), at(0));
    gauge.tell(&says(LimitKind::Tokens, 100, 0), &mut debit, at(0));
    assert_eq!(wait(&gauge, 50_000.0, &newcomer(1), at(0)), Duration::ZERO);
    let mut gauge = Gauge::new(WINDOW, true);
    let mut debit = gauge.draw(0.0, &newcomer(1), at(0));
    gauge.tell(&says(LimitKind::Tokens, 60_000, 0), &mut debit, at(0));
    assert_eq!(wait(&gauge, 1_000.0, &newcomer(1), at(0)), Duration::from_secs(1));
}

#[test]
fn facts_survive_and_never_raise_a_level() {
    let mut gauge = given(100, 60_000, 0);
    gauge.draw(50_000.0, &newcomer(1), at(0));
    let (ewma, limits) = gauge.facts(at(0));
    let told: Vec<_> = limits.iter().map(|fact| LimitFacts { told: true, ..fact.clone() }).collect();
    let mut fresh = Gauge::new(WINDOW, true);
    fresh.adopt(ewma, &told, Duration::from_secs(6), at(1_000));
    assert!(close(level(&fresh, LimitKind::InputTokens, at(1_000)), 16_000.0));
    assert!(fresh.told && fresh.utilisation(at(1_000)) > 0.7);
    // Where more was taken here, that holds.
    fresh.draw(10_000.0, &newcomer(1), at(1_000));
    fresh.adopt(ewma, &told, Duration::from_secs(6), at(1_000));
    assert!(close(level(&fresh, LimitKind::InputTokens, at(1_000)), 6_000.0));
    // What was only configured elsewhere is not taken for a limit.
    let mut other = Gauge::new(WINDOW, true);
    other.adopt(ewma, &limits, Duration::ZERO, at(0));
    assert!(other.facts(at(0)).1.is_empty());
    // And a file may hold anything.
    let odd = [("input_tokens", 0, 5), ("input_tokens", u64::MAX, i64::MIN), ("none", 5, 5)];
    let odd = odd.map(|(kind, limit, level)| LimitFacts { kind: kind.into(), limit, told: true, level });
    other.adopt(u64::MAX, &odd, Duration::MAX, at(0));
    assert!(other.facts(at(0)).1.is_empty());
}

#[test]
fn a_clock_that_stands_or_jumps_gives_nothing_away() {
    let mut gauge = given(0, 60_000, 0);
    gauge.draw(60_000.0, &newcomer(1), at(100_000));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(50_000)), 0.0));
    assert_eq!(wait(&gauge, 1_000.0, &newcomer(1), at(99_000)), Duration::from_secs(2));
    gauge.draw(0.0, &newcomer(1), at(50_000));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(101_000)), 1_000.0));
    assert!(close(level(&gauge, LimitKind::InputTokens, at(u64::MAX / 2_000_000)), 60_000.0));
}

const LONGEST_WAY: Duration = Duration::from_millis(400);

/// The provider's own bucket, which nobody else uses.
struct Truth {
    limit: f64,
    level: f64,
    at: Moment,
}

impl Truth {
    fn admit(&mut self, input: f64, now: Moment) -> (bool, u64) {
        let refill = self.limit * now.since(self.at).as_secs_f64() / WINDOW.as_secs_f64();
        self.level = (self.level + refill).min(self.limit);
        self.at = now;
        // A bucket that is full while a request is on its way to it gains nothing then; ours did.
        let on_the_way = self.limit * LONGEST_WAY.as_secs_f64() / WINDOW.as_secs_f64();
        let fits = input <= self.level + on_the_way + 1.0;
        self.level -= input;
        (fits, whole(self.level.max(0.0)))
    }
}

/// What happens next, the earliest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event(std::cmp::Reverse<(Moment, usize, bool)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever waits as long as is said may go then, whatever else waits.
    #[test]
    fn the_head_of_the_queue_may_go_exactly_when_it_was_told(
        limit in 1_000_u64..10_000_000,
        drawn in 0.0..1.5_f64,
        share in 0.0..1.0_f64,
        others in 0..5_u64,
        start in 0..1_000_000_000_u64,
    ) {
        let mut gauge = given(0, limit, 0);
        gauge.draw(float(limit) * drawn, &newcomer(1), at(start));
        let need = float(limit) * share;
        let place = gauge.enter(need, &newcomer(1).flow).unwrap();
        for n in 0..others {
            gauge.enter(need, &newcomer(n + 2).flow).unwrap();
        }
        let me = waiter(1, place);
        let span = wait(&gauge, need, &me, at(start));
        prop_assert_eq!(wait(&gauge, need, &me, at(start) + span), Duration::ZERO);
        if span > Duration::from_millis(1) {
            let before = at(start) + (span - Duration::from_millis(1));
            prop_assert!(!wait(&gauge, need, &me, before).is_zero());
        }
    }

    /// All who go through the check: the provider never has to refuse, whatever the delays on the way
    /// there and back, although the account is used to its limit.
    #[test]
    fn a_domain_is_not_overdrawn_and_everybody_is_served(
        asks in proptest::collection::vec((0..20_000_u64, 100..30_000_u32, 0..400_u64, 0..8_000_u64, 0..4_u64), 1..60),
    ) {
        let mut gauge = given(0, 60_000, 0);
        let mut truth = Truth { limit: 60_000.0, level: 60_000.0, at: at(0) };
        let mut events = BinaryHeap::new();
        // For each: (place, debit, remaining).
        let mut open: Vec<(Option<Place>, Option<Debit>, u64, u32)> = Vec::new();
        for (n, ask) in asks.iter().enumerate() {
            open.push((None, None, 0, 0));
            events.push(Event(std::cmp::Reverse((at(ask.0), n, false))));
        }
        let mut served = 0;
        while let Some(Event(std::cmp::Reverse((now, n, arrived)))) = events.pop() {
            let (_, input, there, back, flow) = asks[n];
            let need = f64::from(input);
            let (place, debit, remaining, tries) = &mut open[n];
            if let Some(sent) = debit {
                if arrived {
                    let (fits, left) = truth.admit(need, now);
                    prop_assert!(fits, "overdrawn at {now:?}");
                    *remaining = left;
                    events.push(Event(std::cmp::Reverse((now + Duration::from_millis(back), n, false))));
                } else {
                    gauge.answered(sent);
                    gauge.tell(&says(LimitKind::InputTokens, 60_000, *remaining), sent, now);
                    served += 1;
                }
                continue;
            }
            let who = Asker { place: *place, ..newcomer(flow) };
            let span = wait(&gauge, need, &who, now);
            if span.is_zero() {
                *debit = Some(gauge.draw(need, &who, now));
                events.push(Event(std::cmp::Reverse((now + Duration::from_millis(there), n, true))));
            } else {
                *tries += 1;
                prop_assert!(*tries < 500, "it waits for ever");
                if place.is_none() {
                    *place = gauge.enter(need, &who.flow);
                }
                events.push(Event(std::cmp::Reverse((now + span, n, false))));
            }
        }
        prop_assert_eq!(served, asks.len());
        prop_assert_eq!(gauge.shown(at(0)).waiting, 0);
        prop_assert!(gauge.unanswered == 0 && gauge.pending == 0.0);
        // No slack beyond the delays was lost either: it all comes back with time.
        prop_assert!(close(level(&gauge, LimitKind::InputTokens, at(10_000_000)), 60_000.0));
    }
}
