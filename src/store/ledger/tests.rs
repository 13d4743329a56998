use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::{testkit::*, *};
use crate::{
    clock::{self, UnixTime},
    store::counters::CounterId,
    types::{NanoUsd, RequestId, Scope, SessionKey, Unit, Usage},
};

#[tokio::test]
async fn a_receipt_comes_back_as_it_was_told() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let receipt = receipt(RequestId::mint(), &key("ann"), 1_000);
    let told = vec![charged("ann", 1_000)];
    ledger.close(receipt.clone(), told.clone());
    written(&ledger).await;
    let rows = ledger.next_batch(0, 10).expect("rows");
    assert_eq!(rows, vec![Row { seq: 1, ..Row::of(&receipt, &told) }]);
    assert_eq!(rows[0].charges(), told);
    assert_eq!(rows[0].tags, r#"["env=ci","a\"b"]"#);
    assert_eq!(rows[0].session.as_deref(), Some("00000000000000000000000000000007"));
    assert_eq!(
        rows[0].attempts,
        r#"[{"endpoint":"acme-1","outcome":"timeout","status":504,"ambiguous":true,"ms":1500}]"#
    );
    audit(&params.file);
}

#[test]
fn every_field_has_its_column_and_every_column_its_field() {
    let row = serde_json::to_value(Row::default()).expect("JSON");
    let fields: BTreeSet<&str> = row.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(Row::names().collect::<BTreeSet<_>>(), fields);
}

#[tokio::test]
async fn every_field_that_may_be_missing_may_be_missing() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let mut bare = receipt(RequestId::mint(), &key("ann"), 1);
    bare.key = None;
    bare.dialect = None;
    bare.operation = None;
    (bare.model, bare.upstream_model, bare.served_model, bare.tier) = (None, None, None, None);
    (bare.session, bare.parent, bare.endpoint, bare.provider, bare.region) = (None, None, None, None, None);
    (bare.expected_read, bare.predicted, bare.charge, bare.billed) = (None, None, None, None);
    bare.attempts = Vec::new();
    ledger.close(bare.clone(), Vec::new());
    written(&ledger).await;
    assert_eq!(ledger.next_batch(0, 10).expect("rows"), vec![Row { seq: 1, ..Row::of(&bare, &[]) }]);
}

#[tokio::test(start_paused = true)]
async fn requests_share_a_commit_and_who_needs_it_has_it_at_once() {
    stop_time();
    let (_folder, params) = fresh();
    let params = LedgerParams { commit_every: Duration::from_secs(3_600), ..params };
    let ledger = open(&params).ledger;
    let key = key("ann");
    for _ in 0..100 {
        ledger.begin(opening(RequestId::mint(), &key, Vec::new())).expect("room");
    }
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
    ledger.begin_durably(opening(RequestId::mint(), &key, Vec::new())).await.expect("room");
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 101);
    let state = ledger.state();
    assert_eq!((state.open, state.commits, state.late), (101, 1, 0));
}

#[tokio::test]
async fn what_begins_and_ends_within_one_commit_is_written_once() {
    let (_folder, params) = fresh();
    let params = LedgerParams { commit_every: Duration::from_secs(3_600), ..params };
    let ledger = open(&params).ledger;
    let (key, id) = (key("ann"), RequestId::mint());
    ledger.begin(opening(id, &key, vec![charged("ann", 9)])).expect("room");
    ledger.renew(Renewal {
        id,
        reserved: vec![charged("ann", 12)],
        estimate: Usage::default(),
        charge: None,
        billed: None,
    });
    ledger.close(receipt(id, &key, 5), vec![charged("ann", 5)]);
    written(&ledger).await;
    assert_eq!(ledger.state().commits, 1);
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
    assert_eq!(figure(&params.file, "SELECT sum(amount) FROM balances"), 5);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_request_removes_its_open_record() {
    stop_time();
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let (key, id) = (key("ann"), RequestId::mint());
    ledger.begin_durably(opening(id, &key, vec![charged("ann", 9)])).await.expect("room");
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 1);
    ledger.close(receipt(id, &key, 5), vec![charged("ann", 5)]);
    written(&ledger).await;
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
    assert_eq!(ledger.state().open, 0);
    audit(&params.file);
}

#[tokio::test]
async fn balances_outlive_the_process_and_forget_periods_that_are_over() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let key = key("ann");
    let forever = Charged { until: UnixTime(Duration::from_secs(u64::MAX)), ..charged("all", 3) };
    let over = Charged { until: UnixTime(Duration::from_secs(1_000)), ..charged("old", 3) };
    let today = charged("ann", 4);
    for _ in 0..2 {
        let charged = vec![today.clone(), forever.clone(), over.clone()];
        ledger.close(receipt(RequestId::mint(), &key, 5), charged);
    }
    assert!(ledger.stop().await);
    let opened = open(&params);
    let mut balances = opened.balances;
    balances.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(balances, vec![Charged { amount: 6, ..forever }, Charged { amount: 8, ..today }]);
    assert_eq!(opened.crashed, 0);
}

#[tokio::test]
async fn the_budget_of_a_session_that_rests_for_a_month_is_forgotten() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let all_time = UnixTime(Duration::from_secs(u64::MAX));
    for name in ["session:1", "session:2", "key:ann"] {
        let id = CounterId(format!("b/{name}/usd/total/0").into());
        let charged = Charged { id, until: all_time, amount: 1 };
        ledger.close(receipt(RequestId::mint(), &key("ann"), 1), vec![charged]);
    }
    assert!(ledger.stop().await);
    let db = rusqlite::Connection::open(&params.file).expect("the file");
    let month = "UPDATE balances SET changed = changed - 2592000000 - 1 WHERE counter NOT LIKE '%:2/%'";
    db.execute(month, []).expect("aged");
    drop(db);
    let ledger = open(&params).ledger;
    written(&ledger).await;
    assert!(ledger.stop().await);
    assert_eq!(figure(&params.file, "SELECT count(*) FROM balances WHERE counter LIKE '%session:1%'"), 0);
    assert_eq!(figure(&params.file, "SELECT count(*) FROM balances"), 2);
}

#[tokio::test]
async fn a_budget_that_is_added_at_noon_knows_the_morning() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let (ann, bob) = (key("ann"), key("bob"));
    let now = clock::unix_now();
    for n in 1..=10 {
        ledger.close(receipt(RequestId::mint(), &ann, n), Vec::new());
        let mut early = receipt(RequestId::mint(), &ann, 1_000);
        early.at = UnixTime(now.0.saturating_sub(Duration::from_secs(7_200)));
        ledger.close(early, Vec::new());
        let mut ping = receipt(RequestId::mint(), &bob, 100);
        ping.care.keep_alive = true;
        ledger.close(ping, Vec::new());
    }
    written(&ledger).await;
    let since = UnixTime(now.0.saturating_sub(Duration::from_secs(3_600)));
    let spent = |scope: Scope, unit| ledger.spent(&scope, unit, since).expect("a sum");
    assert_eq!(spent(Scope::Key("ann".into()), Unit::Usd), 110, "as billed");
    assert_eq!(spent(Scope::Key("ann".into()), Unit::Tokens), 11_610);
    assert_eq!(spent(Scope::Key("bob".into()), Unit::Usd), 0, "pings are nobody's");
    assert_eq!(spent(Scope::Organisation("default".into()), Unit::Usd), 110);
    assert_eq!(spent(Scope::Team("default".into(), "core".into()), Unit::Usd), 110);
    assert_eq!(spent(Scope::Team("other".into(), "core".into()), Unit::Usd), 0);
    assert_eq!(spent(Scope::Tag("a\"b".into()), Unit::Usd), 110);
    assert_eq!(spent(Scope::Tag("env".into()), Unit::Usd), 0);
    assert_eq!(spent(Scope::Session(SessionKey(7)), Unit::Usd), 110);
    assert_eq!(spent(Scope::Model("claude-*".into()), Unit::Usd), 110);
    assert_eq!(spent(Scope::Provider("acme".into()), Unit::Usd), 1_055, "as charged, pings too");
    assert_eq!(spent(Scope::Endpoint("acme-1".into()), Unit::Usd), 1_055);
}

#[tokio::test]
async fn feedback_finds_its_own_organisations_receipts_only() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let (key, id) = (key("ann"), RequestId::mint());
    let say = |request: String, organisation: &str| Feedback {
        request,
        organisation: organisation.into(),
        caller: "ann".into(),
        at: clock::unix_now(),
        score: Some(0.5),
        label: Some("good".to_owned()),
    };
    // At once: what was told before is in the file before it is looked for.
    ledger.close(receipt(id, &key, 5), Vec::new());
    assert_eq!(ledger.feedback(say(id.to_string(), "default")).await, Ok(true));
    assert_eq!(ledger.feedback(say(id.to_string(), "other")).await, Ok(false));
    assert_eq!(ledger.feedback(say("wk_0".to_owned(), "default")).await, Ok(false));
    let joined = "SELECT count(*) FROM requests WHERE score = 0.5 AND billed_usd > 0";
    assert_eq!(figure(&params.file, joined), 1);
}

#[tokio::test]
async fn receipts_are_handed_out_in_order_and_the_watermark_stays() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let key = key("ann");
    for n in 0..25 {
        ledger.close(receipt(RequestId::mint(), &key, n), Vec::new());
    }
    written(&ledger).await;
    let (mut after, mut costs) = (0, Vec::new());
    loop {
        let rows = ledger.next_batch(after, 10).expect("rows");
        let Some(last) = rows.last() else { break };
        after = last.seq;
        costs.extend(rows.iter().filter_map(|row| row.charge));
    }
    assert_eq!(costs, (0..25).collect::<Vec<_>>());
    assert_eq!(ledger.state().unshipped(), 25);
    ledger.shipped(20);
    // A late word of less takes nothing back.
    ledger.shipped(10);
    assert!(ledger.stop().await);
    let state = open(&params).ledger.state();
    assert_eq!((state.last_seq, state.shipped, state.unshipped()), (25, 20, 5));
}

/// Everything is old at once.
fn forgetful(params: LedgerParams) -> LedgerParams {
    LedgerParams { keep: Some(Duration::ZERO), ..params }
}

#[tokio::test]
async fn old_receipts_go_with_their_feedback_but_not_before_they_are_shipped() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let key = key("ann");
    for n in 0..1_200 {
        let mut old = receipt(RequestId::mint(), &key, n);
        old.at = UnixTime(Duration::from_secs(1_000));
        ledger.close(old, Vec::new());
    }
    written(&ledger).await;
    let request = ledger.next_batch(0, 1).expect("rows")[0].id.clone();
    let feedback = Feedback {
        request,
        organisation: "default".into(),
        caller: "ann".into(),
        at: clock::unix_now(),
        score: None,
        label: None,
    };
    assert_eq!(ledger.feedback(feedback).await, Ok(true));
    ledger.shipped(700);
    assert!(ledger.stop().await);
    let params = forgetful(params);
    let ledger = open(&params).ledger;
    ledger.ships();
    // Each flush is a batch, and a little is swept after each.
    for _ in 0..10 {
        written(&ledger).await;
    }
    assert_eq!(figure(&params.file, "SELECT min(seq) FROM receipts"), 701);
    assert_eq!(figure(&params.file, "SELECT count(*) FROM feedback"), 0);
    assert!(ledger.stop().await);
    // Who ships nothing needs nothing shipped.
    let ledger = open(&params).ledger;
    for _ in 0..10 {
        written(&ledger).await;
    }
    assert_eq!(figure(&params.file, "SELECT count(*) FROM receipts"), 0);
    ledger.close(receipt(RequestId::mint(), &key, 1), Vec::new());
    written(&ledger).await;
    assert_eq!(ledger.state().last_seq, 1_201, "a number is never used twice");
}

#[tokio::test]
async fn absurd_figures_are_cut_and_sums_stay_whole() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    for _ in 0..2 {
        let mut absurd = receipt(RequestId::mint(), &key("ann"), 1);
        absurd.usage.input = u64::MAX;
        absurd.charge = Some(NanoUsd(u64::MAX));
        absurd.billed = absurd.charge;
        ledger.close(absurd, vec![charged("ann", u64::MAX)]);
    }
    written(&ledger).await;
    let since = UnixTime::default();
    let spent = ledger.spent(&Scope::Key("ann".into()), Unit::Usd, since).expect("a sum");
    assert_eq!(spent, 2 * ((1 << 53) - 1));
    assert_eq!(ledger.balances(since).expect("balances")[0].amount, spent);
    audit(&params.file);
}

#[derive(Clone, Debug)]
enum Step {
    Begin { durably: bool, amount: u64 },
    Renew { which: usize, amount: u64 },
    Close { which: usize, amount: u64 },
    CloseAgain { which: usize },
    Unbegun { amount: u64 },
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 0..1_000_u64).prop_map(|(durably, amount)| Step::Begin { durably, amount }),
        3 => (any::<usize>(), 0..1_000_u64).prop_map(|(which, amount)| Step::Renew { which, amount }),
        5 => (any::<usize>(), 0..1_000_u64).prop_map(|(which, amount)| Step::Close { which, amount }),
        1 => any::<usize>().prop_map(|which| Step::CloseAgain { which }),
        1 => (0..1_000_u64).prop_map(|amount| Step::Unbegun { amount }),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

/// Drives a ledger through the steps; what each budget should be charged in the end.
async fn drive(params: &LedgerParams, steps: Vec<Step>) -> (usize, u64) {
    let mut ledger = open(params).ledger;
    let key = key("ann");
    let (mut open_ones, mut closed, mut requests, mut owed) = (Vec::new(), Vec::new(), 0, 0);
    for step in steps {
        match step {
            Step::Begin { durably, amount } => {
                let id = RequestId::mint();
                let open = opening(id, &key, vec![charged("a", amount), charged("b", 1)]);
                let begun = if durably { ledger.begin_durably(open).await } else { ledger.begin(open) };
                begun.expect("room");
                open_ones.push((id, amount));
                requests += 1;
            }
            Step::Renew { which, amount } if !open_ones.is_empty() => {
                let at = which % open_ones.len();
                open_ones[at].1 = amount;
                let reserved = vec![charged("a", amount), charged("b", 1)];
                let id = open_ones[at].0;
                let estimate = Usage::default();
                ledger.renew(Renewal { id, reserved, estimate, charge: None, billed: None });
            }
            Step::Close { which, amount } if !open_ones.is_empty() => {
                let (id, _) = open_ones.swap_remove(which % open_ones.len());
                ledger.close(receipt(id, &key, amount), vec![charged("a", amount), charged("b", 1)]);
                closed.push(id);
                owed += amount;
            }
            Step::CloseAgain { which } if !closed.is_empty() => {
                let id = closed[which % closed.len()];
                ledger.close(receipt(id, &key, 1), vec![charged("a", 1)]);
            }
            Step::Unbegun { amount } => {
                ledger.close(receipt(RequestId::mint(), &key, amount), vec![charged("a", amount)]);
                requests += 1;
                owed += amount;
            }
            Step::Flush => written(&ledger).await,
            Step::Restart => {
                assert!(ledger.stop().await);
                let opened = open(params);
                assert_eq!(opened.crashed, open_ones.len() as u64);
                owed += open_ones.drain(..).map(|(_, amount)| amount).sum::<u64>();
                ledger = opened.ledger;
            }
            Step::Renew { .. } | Step::Close { .. } | Step::CloseAgain { .. } => {}
        }
    }
    assert!(ledger.stop().await);
    owed += open_ones.iter().map(|(_, amount)| amount).sum::<u64>();
    let opened = open(params);
    let known = opened.balances.iter().find(|one| one.id == charged("a", 0).id).map_or(0, |one| one.amount);
    assert_eq!(known, owed, "what budgets are told at the start");
    assert!(opened.ledger.stop().await);
    (requests, owed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn balances_are_the_sum_of_what_receipts_were_charged(steps in proptest::collection::vec(step(), 1..80)) {
        let (_folder, params) = fresh();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (requests, owed) = runtime.block_on(drive(&params, steps));
        prop_assert_eq!(figure(&params.file, "SELECT count(*) FROM receipts"), requests as i64);
        prop_assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
        let sum = "SELECT coalesce(sum(amount), 0) FROM balances WHERE counter = 'b/key:a/usd/day/1'";
        prop_assert_eq!(figure(&params.file, sum), owed as i64);
        audit(&params.file);
    }
}
