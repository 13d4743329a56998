use super::*;
use crate::types::{Scope, Tag};

const DAY: What = What::Usd(Period::Day);

#[test]
fn input_is_reserved_at_the_price_of_writing_it_and_corrected_at_the_first_report() {
    let desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    let mut permit = desk.granted();
    // 1,000 tokens at $3.75 a million, and a slice of 666 tokens at $15.
    let slice = 666 * 15_000;
    assert_eq!(desk.stands(DAY), (3_750_000 + slice, 0));
    assert_eq!(permit.reserved().iter().map(|one| one.amount).collect::<Vec<_>>(), [3_750_000 + slice]);
    let usage = Usage { input: 10, cached_read: 990, ..Usage::default() };
    permit.reported(&usage, desk.now);
    let input = 10 * 3_000 + 990 * 300;
    assert_eq!(desk.stands(DAY), (input + slice, 0));
    permit.reported(&usage, desk.now);
    permit.reported(&Usage::default(), desk.now);
    assert_eq!(desk.stands(DAY), (input + slice, 0));
    let charged = permit.settle(&Usage { output: 100, ..usage }, None, desk.now);
    let spent = input + 100 * 15_000;
    assert_eq!(desk.stands(DAY), (spent, spent));
    assert_eq!(charged.len(), 1);
    assert_eq!(charged[0].amount, spent);
    assert_eq!(&*charged[0].id.0, "b/key:ci/usd/day/1795219200");
    assert_eq!(charged[0].until.0.as_secs(), 1_795_219_200 + 86_400);
}

#[test]
fn a_stream_takes_slices_and_is_stopped_when_there_is_none_left() {
    let desk = Desk::new(budgeted(&[usd(5 * CENT, Period::Day)]));
    let mut permit = desk.granted();
    permit.reported(&used(1, 0), desk.now);
    let mut flown = 0;
    let refusal = loop {
        flown += 10;
        match permit.flowed(flown, desk.now) {
            Flow::Go => assert!(flown < 10_000, "it goes on for ever"),
            Flow::Stop(refusal) => break refusal,
        }
        let (reserved, _) = desk.stands(DAY);
        assert!(reserved >= flown.min(666 * 5) * 15_000, "{flown} tokens flow on {reserved}");
        assert!(reserved <= 5 * CENT);
    };
    assert_eq!((refusal.what, refusal.why), (DAY, Why::Used));
    assert!(refusal.is_budget() && !refusal.may_retry());
    assert!(matches!(permit.flowed(flown + 1, desk.now), Flow::Stop(_)), "once stopped, stopped");
    let charged = permit.settle(&used(1, flown), None, desk.now);
    // Five slices and no sixth; and what came with the last event.
    let most = 5 * CENT + 10 * 15_000;
    assert!(charged[0].amount > 5 * 666 * 15_000 && charged[0].amount <= most, "{charged:?}");
}

#[test]
fn a_burst_of_output_is_covered_at_once() {
    let desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    let mut permit = desk.granted();
    assert_eq!(permit.flowed(20_000, desk.now), Flow::Go);
    assert!(desk.stands(DAY).0 >= 20_000 * 15_000);
    drop(permit);
    // Its input and what has flowed.
    let spent = 3_750_000 + 20_000 * 15_000;
    assert_eq!(desk.stands(DAY), (spent, spent));
}

#[test]
fn many_streams_on_one_budget_spend_no_more_than_it_and_their_last_events() {
    const EVENT: u64 = 7;
    let mut desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    desk.input = 100;
    let mut open: Vec<(Permit, u64)> = Vec::new();
    for _ in 0..200 {
        match desk.go() {
            Ok(permit) => open.push((permit, 0)),
            Err(refusal) => assert_eq!(refusal.what, DAY),
        }
    }
    let streams = open.len() as u64;
    assert!(streams > 90);
    while !open.is_empty() {
        let mut going = Vec::new();
        for (mut permit, flown) in open {
            let flown = flown + EVENT;
            match permit.flowed(flown, desk.now) {
                Flow::Go => going.push((permit, flown)),
                Flow::Stop(_) => drop(permit.settle(&used(100, flown), None, desk.now)),
            }
        }
        open = going;
    }
    let (used, spent) = desk.stands(DAY);
    assert_eq!(used, spent, "nothing is left reserved");
    assert!(spent <= DOLLAR + streams * EVENT * 15_000, "{spent}");
}

#[test]
fn an_answer_in_one_piece_reserves_twice_what_is_likely() {
    let mut desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day), tokens(10_000, Period::Month)]));
    desk.streamed = false;
    let mut permit = desk.granted();
    assert_eq!(desk.stands(DAY).0, 3_750_000 + 1_000 * 15_000);
    assert_eq!(desk.stands(What::Tokens(Period::Month)).0, 2_000);
    assert_eq!(permit.flowed(1_000_000, desk.now), Flow::Go, "its output is not counted as it comes");
    drop(permit);
    assert_eq!(desk.stands(DAY), (3_750_000 + 1_000 * 15_000, 3_750_000 + 1_000 * 15_000));
    desk.most = Some(10);
    let permit = desk.granted();
    assert_eq!(
        permit.reserved().iter().map(|one| one.amount).collect::<Vec<_>>(),
        [3_750_000 + 10 * 15_000, 1_010]
    );
}

#[test]
fn who_knows_no_price_is_not_let_through_a_budget_in_dollars() {
    let mut desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    desk.rates = None;
    let refusal = desk.denied();
    assert_eq!((refusal.why, refusal.what), (Why::NoPrice, DAY));
    assert!(refusal.message().contains("no price is known"));
    // Tokens can be counted all the same, and a budget that warns lets pass.
    let soft = Budget { soft: true, ..usd(DOLLAR, Period::Day) };
    desk.key = budgeted(&[soft, tokens(2_000, Period::Day)]);
    let mut permit = desk.granted();
    assert_eq!(desk.stands(What::Tokens(Period::Day)).0, 1_256);
    assert_eq!(permit.flowed(700, desk.now), Flow::Go);
    assert!(matches!(permit.flowed(1_100, desk.now), Flow::Stop(_)));
    let charged = permit.settle(&used(900, 1_100), Some(NanoUsd(5)), desk.now);
    assert_eq!(charged.iter().map(|one| one.amount).collect::<Vec<_>>(), [5, 2_000]);
}

#[test]
fn a_soft_budget_warns_and_lets_pass() {
    let desk = Desk::new(budgeted(&[Budget { soft: true, ..usd(CENT, Period::Day) }]));
    for _ in 0..3 {
        let mut permit = desk.granted();
        assert_eq!(permit.flowed(5_000, desk.now), Flow::Go);
        let _charged = permit.settle(&used(1_000, 5_000), None, desk.now);
    }
    assert_eq!(desk.stands(DAY), (3 * 78_000_000, 3 * 78_000_000));
    let alerts = desk.quota.alerts();
    assert_eq!(alerts.iter().map(|alert| alert.percent).collect::<Vec<_>>(), [50, 80, 100]);
    assert!(alerts.iter().all(|alert| alert.soft));
}

#[test]
fn alerts_come_once_a_period_and_threshold() {
    let mut desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    let spend = |desk: &Desk, nano: u64| {
        let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(nano)), desk.now);
        desk.quota.alerts().iter().map(|alert| alert.percent).collect::<Vec<_>>()
    };
    assert_eq!(spend(&desk, DOLLAR * 49 / 100), [0_u8; 0]);
    assert_eq!(spend(&desk, DOLLAR / 100), [50]);
    assert_eq!(spend(&desk, DOLLAR / 100), [0_u8; 0]);
    assert_eq!(spend(&desk, DOLLAR * 48 / 100), [80]);
    let refusal = desk.denied();
    assert_eq!(refusal.what, DAY);
    let alerts = desk.quota.alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].percent, alerts[0].spent, alerts[0].limit), (100, 99 * CENT, DOLLAR));
    assert_eq!(alerts[0].scope, Scope::Key("ci".into()));
    desk.denied();
    assert_eq!(desk.quota.alerts(), []);
    desk.pass(86_400);
    assert_eq!(spend(&desk, DOLLAR * 9 / 10), [50, 80]);
}

#[test]
fn what_the_ledger_remembers_holds_after_a_restart_and_is_not_told_again() {
    let first = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    let spend = |desk: &Desk| desk.granted().settle(&used(1, 1), Some(NanoUsd(30 * CENT)), desk.now);
    let mut balances = spend(&first);
    balances.extend(spend(&first));
    assert_eq!(first.quota.alerts().len(), 1);
    let mut second = Desk::new(Arc::clone(&first.key));
    second.quota.restore(&balances);
    assert_eq!(second.stands(DAY), (60 * CENT, 60 * CENT));
    let _charged = spend(&second);
    assert_eq!(second.quota.alerts().iter().map(|alert| alert.percent).collect::<Vec<_>>(), [80]);
    let _charged = second.granted().settle(&used(1, 1), Some(NanoUsd(9 * CENT)), second.now);
    second.denied();
    // The next day is another budget.
    second.pass(86_400);
    assert_eq!(second.stands(DAY), (0, 0));
    second.granted();
}

#[test]
fn a_request_over_midnight_is_charged_to_the_day_it_began_in() {
    let mut desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day)]));
    desk.at = 1_795_219_200 + 86_399;
    let permit = desk.granted();
    desk.pass(2);
    let charged = permit.settle(&used(0, 1), None, desk.now);
    assert_eq!(&*charged[0].id.0, "b/key:ci/usd/day/1795219200");
    assert_eq!(desk.stands(DAY), (0, 0));
}

#[test]
fn each_session_has_its_own_budget_and_the_smallest_of_all_levels_holds() {
    let per_session =
        |amount| Allowance { session_budgets: vec![usd(amount, Period::Total)], ..Allowance::default() };
    let mut levels = Levels { sessions: per_session(3 * DOLLAR), ..Levels::default() };
    levels.organisations.insert("default".into(), per_session(5 * DOLLAR));
    let mut desk = Desk::with(key(per_session(2 * DOLLAR)), levels);
    let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(2 * DOLLAR - CENT)), desk.now);
    let refusal = desk.denied();
    assert_eq!((refusal.limit, refusal.what), (2 * DOLLAR, What::Usd(Period::Total)));
    assert_eq!(refusal.scope, Scope::Session(SessionKey(7 << 64)));
    assert_eq!(refusal.resets_at, None);
    let view = desk.quota.view_session(&desk.key, SessionKey(7 << 64), desk.now, desk.unix());
    assert_eq!(view[0].spent, 2 * DOLLAR - CENT);
    desk.session = Some(SessionKey(8 << 64));
    desk.granted();
    // Without an id there is nothing to count by.
    desk.session = None;
    desk.granted();
    // It is not forgotten while it goes on, and not for a month afterwards.
    desk.session = Some(SessionKey(7 << 64));
    desk.pass(31 * 86_400);
    desk.denied();
}

#[test]
fn tags_and_models_have_budgets_of_their_own() {
    let tag: Tag = "env=ci".into();
    let mut levels = Levels::default();
    levels.tags.insert(tag.clone(), vec![usd(DOLLAR, Period::Week)]);
    levels.models.insert("sonnet".into(), vec![usd(2 * DOLLAR, Period::Hour)]);
    let tagged = VirtualKey { tags: vec![tag.clone(), tag.clone()], ..VirtualKey::clone(&budgeted(&[])) };
    let mut desk = Desk::with(Arc::new(tagged), levels);
    let charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(DOLLAR)), desk.now);
    let ids: Vec<&str> = charged.iter().map(|one| &*one.id.0).collect();
    assert_eq!(ids, ["b/tag:env=ci/usd/week/1794787200", "b/model:sonnet/usd/hour/1795262400"]);
    assert_eq!(desk.denied().scope, Scope::Tag(tag));
    desk.key = budgeted(&[]);
    let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(DOLLAR)), desk.now);
    assert_eq!(desk.denied().scope, Scope::Model("sonnet".into()));
    let view = desk.quota.view(&Scope::Model("sonnet".into()), desk.now, desk.unix());
    assert_eq!((view[0].used, view[0].limit), (2 * DOLLAR, 2 * DOLLAR));
    desk.model = "opus".into();
    desk.granted();
}

#[test]
fn a_markup_counts_in_the_keys_budgets() {
    let plain = budgeted(&[usd(DOLLAR, Period::Day)]);
    let desk = Desk::new(Arc::new(VirtualKey { markup: 1_200, ..VirtualKey::clone(&plain) }));
    let permit = desk.granted();
    assert_eq!(desk.stands(DAY).0, 4_500_000 + 555 * 18_000);
    let charged = permit.settle(&used(1, 1), Some(NanoUsd(1_001)), desk.now);
    assert_eq!(charged[0].amount, desk.key.billed(NanoUsd(1_001)).0);
}

#[test]
fn what_went_nowhere_costs_nothing() {
    let desk = Desk::new(budgeted(&[usd(DOLLAR, Period::Day), tokens(9_000, Period::Day)]));
    desk.granted().release(desk.now);
    assert_eq!(desk.stands(DAY), (0, 0));
    assert_eq!(desk.stands(What::Tokens(Period::Day)), (0, 0));
    assert!(desk.granted().settle(&Usage::default(), Some(NanoUsd(0)), desk.now).is_empty());
}

#[test]
fn a_spent_budget_is_heard_of_before_a_limit_that_would_pass() {
    let mut desk = Desk::new(key(Allowance {
        limits: Limits { rpm: Some(1), ..Limits::default() },
        budgets: vec![usd(CENT, Period::Day)],
        ..Allowance::default()
    }));
    desk.most = Some(1);
    let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(CENT)), desk.now);
    assert_eq!(desk.denied().what, DAY);
}

#[test]
fn a_budget_that_is_given_at_noon_knows_the_morning() {
    let mut levels = Levels::default();
    levels.models.insert("sonnet".into(), vec![usd(DOLLAR, Period::Week)]);
    let mut desk = Desk::with(budgeted(&[usd(DOLLAR, Period::Day)]), levels);
    let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(CENT)), desk.now);
    assert_eq!(desk.quota.uncounted(&[Arc::clone(&desk.key)], desk.unix()), []);
    desk.key = budgeted(&[usd(DOLLAR, Period::Day), tokens(9_000, Period::Month)]);
    let new = desk.quota.uncounted(&[Arc::clone(&desk.key)], desk.unix());
    assert_eq!(new.len(), 1);
    let one = new[0].clone();
    assert_eq!(
        (&one.scope, one.unit, one.since.0.as_secs()),
        (&Scope::Key("ci".into()), Unit::Tokens, 1_793_491_200)
    );
    // Somebody is charged before the ledger has answered, which knows of it then.
    let _charged = desk.granted().settle(&used(1, 1), Some(NanoUsd(CENT)), desk.now);
    desk.quota.restore(&[one.spent(5_002)]);
    assert_eq!(desk.stands(What::Tokens(Period::Month)), (5_002, 5_002));
    assert_eq!(desk.stands(DAY), (2 * CENT, 2 * CENT));
}
