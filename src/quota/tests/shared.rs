//! Several gateways on one set of counters, which are not always there.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::*;
use crate::store::counters::{Down, LocalCounters, Reserved, Settlement, Standing, Take};

const DAY: What = What::Usd(Period::Day);

/// A server that can be switched off, emptied, and made to wait before it answers; with the engine in
/// front of it, which delivers late what it could not deliver.
struct Server {
    counters: ArcSwap<LocalCounters>,
    down: AtomicBool,
    /// It has lost its memory, and the ledger has not spoken.
    forgot: AtomicBool,
    calls: AtomicU32,
    late: Mutex<Vec<(RequestId, Vec<Settlement>)>>,
    /// A permit for every answer to `reserve`.
    pace: Semaphore,
}

impl Server {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            counters: ArcSwap::default(),
            down: AtomicBool::new(false),
            forgot: AtomicBool::new(false),
            calls: AtomicU32::new(0),
            late: Mutex::default(),
            pace: Semaphore::new(1_000_000),
        })
    }

    fn call(&self) -> Result<Arc<LocalCounters>, Down> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(Down("switched off".to_owned()));
        }
        Ok(self.counters.load_full())
    }

    fn switch(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.counters.store(Arc::default());
        self.forgot.store(true, Ordering::Relaxed);
    }

    fn stands(&self, id: &str, rule: Rule) -> Standing {
        self.counters.load().standing(&CounterId(id.into()), rule)
    }

    /// The day's budget of the key.
    fn day(&self) -> (u64, u64) {
        let until = UnixTime(Duration::from_secs(1_795_219_200 + 86_400));
        let standing = self.stands("b/key:ci/usd/day/1795219200", Rule::Budget { until });
        (standing.used, standing.spent)
    }
}

#[async_trait]
impl Counters for Server {
    async fn reserve(&self, by: RequestId, takes: &[Take]) -> Result<Reserved, Down> {
        let counters = self.call()?;
        let late = std::mem::take(&mut *self.late.lock());
        for (by, settlements) in late {
            counters.settle(by, &settlements).await?;
        }
        if self.forgot.load(Ordering::Relaxed) {
            return Err(Down("it has lost its memory".to_owned()));
        }
        let reserved = counters.reserve(by, takes).await;
        let _answer = self.pace.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        reserved
    }

    async fn give_back(&self, by: RequestId, parts: &[Settlement]) -> Result<Vec<Standing>, Down> {
        self.call()?.give_back(by, parts).await
    }

    async fn settle(&self, by: RequestId, settlements: &[Settlement]) -> Result<Vec<Standing>, Down> {
        match self.call() {
            Ok(counters) => counters.settle(by, settlements).await,
            Err(down) => {
                self.late.lock().push((by, settlements.to_vec()));
                Err(down)
            }
        }
    }

    async fn raise(&self, spent: &[(CounterId, Rule, u64)]) -> Result<(), Down> {
        self.call()?.raise(spent).await?;
        self.forgot.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn gateway(server: &Arc<Server>, key: &Arc<VirtualKey>) -> Desk {
    let engine: Arc<dyn Counters> = Arc::<Server>::clone(server);
    let params = QuotaParams { replicas: 2, ..QuotaParams::default() };
    Desk::on(Arc::new(Quota::new(params, Some(engine))), Arc::clone(key))
}

/// Lets everything that was begun beside the requests come to its end.
async fn rest() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

async fn spend(desk: &Desk, nano: u64) -> Result<(), Refusal> {
    let permit = desk.quota.admit(desk.ask()).await;
    let spent = permit.map(|permit| drop(permit.settle(&used(1, 1), Some(NanoUsd(nano)), desk.now)));
    rest().await;
    spent
}

#[tokio::test]
async fn two_gateways_spend_from_one_budget() {
    let server = Server::new();
    let own = budgeted(&[usd(DOLLAR, Period::Day)]);
    let (one, other) = (gateway(&server, &own), gateway(&server, &own));
    spend(&one, 60 * CENT).await.expect("room");
    spend(&other, 39 * CENT).await.expect("room");
    assert_eq!(server.day(), (99 * CENT, 99 * CENT));
    for desk in [&one, &other] {
        let refusal = spend(desk, 1).await.expect_err("a cent is left");
        assert_eq!((refusal.what, refusal.why, refusal.used), (DAY, Why::Used, 99 * CENT));
        // Each knows what both have spent.
        assert_eq!(desk.stands(DAY), (99 * CENT, 99 * CENT));
    }
}

#[tokio::test]
async fn an_alert_is_told_by_one_gateway() {
    let server = Server::new();
    let own = budgeted(&[usd(DOLLAR, Period::Day)]);
    let (one, other) = (gateway(&server, &own), gateway(&server, &own));
    let (mut told, mut percents) = (0, Vec::new());
    for n in 0..20 {
        let _full = spend(if n % 2 == 0 { &one } else { &other }, 8 * CENT).await;
        for alert in one.quota.alerts().into_iter().chain(other.quota.alerts()) {
            told += 1;
            percents.push(alert.percent);
        }
    }
    assert_eq!((told, percents), (3, vec![50, 80, 100]));
}

#[tokio::test]
async fn without_the_server_each_serves_its_part_of_what_was_left() {
    let server = Server::new();
    let own = key(Allowance {
        limits: Limits { rpm: Some(9), ..Limits::default() },
        budgets: vec![usd(DOLLAR, Period::Day)],
        ..Allowance::default()
    });
    let (mut one, other) = (gateway(&server, &own), gateway(&server, &own));
    spend(&other, 20 * CENT).await.expect("room");
    spend(&one, 20 * CENT).await.expect("room");
    server.switch(true);
    // Sixty cents are left: thirty are this one's, and four of nine requests, of which one is gone.
    spend(&one, 16 * CENT).await.expect("a part of its own");
    spend(&one, 13 * CENT).await.expect("a part of its own");
    let refusal = spend(&one, 1).await.expect_err("its part is spent");
    assert_eq!((refusal.what, refusal.why, refusal.may_retry()), (DAY, Why::Apart, false));
    assert!(refusal.message().contains("cannot reach their shared counters"));
    // Nobody asked again meanwhile.
    let calls = server.calls.load(Ordering::Relaxed);
    let _full = spend(&one, 1).await;
    assert_eq!(server.calls.load(Ordering::Relaxed), calls);
    assert_eq!(one.quota.shared(), Some(SharedState { reachable: false }));

    // It is back, and has forgotten everything: nobody asks it before the ledger has told it.
    server.forget();
    server.switch(false);
    for _ in 0..3 {
        one.pass(5);
        let _full = spend(&one, 1).await;
        assert_eq!(one.quota.shared(), Some(SharedState { reachable: false }));
    }
    let until = UnixTime(Duration::from_secs(1_795_219_200 + 86_400));
    let id = CounterId("b/key:ci/usd/day/1795219200".into());
    server.raise(&[(id, Rule::Budget { until }, 69 * CENT)]).await.expect("it is there");
    one.pass(5);
    let _full = spend(&one, 1).await;
    assert_eq!(one.quota.shared(), Some(SharedState { reachable: true }));
    assert_eq!(server.day(), (69 * CENT, 69 * CENT));
    spend(&other, 20 * CENT).await.expect("room");
    assert_eq!(server.day(), (89 * CENT, 89 * CENT));
    spend(&one, CENT).await.expect("room");
    assert_eq!(one.stands(DAY), (90 * CENT, 90 * CENT));
}

#[tokio::test]
async fn a_server_that_stays_away_is_left_alone_for_longer_and_longer() {
    let server = Server::new();
    let own = budgeted(&[usd(DOLLAR, Period::Day)]);
    let mut one = gateway(&server, &own);
    server.switch(true);
    let mut asked = Vec::new();
    for tenth in 0..200_u32 {
        let before = server.calls.load(Ordering::Relaxed);
        spend(&one, 1).await.expect("its part");
        if server.calls.load(Ordering::Relaxed) > before {
            asked.push(tenth);
        }
        one.now = one.now + Duration::from_millis(100);
    }
    assert_eq!(asked, [0, 5, 15, 35, 75, 115, 155, 195]);
}

#[tokio::test]
async fn what_was_settled_while_the_server_was_away_is_delivered_and_counts_once() {
    let server = Server::new();
    let own = key(Allowance {
        limits: Limits { concurrent: Some(1), ..Limits::default() },
        budgets: vec![usd(DOLLAR, Period::Day)],
        ..Allowance::default()
    });
    let mut one = gateway(&server, &own);
    let permit = one.quota.admit(one.ask()).await.expect("room");
    assert!(server.day().0 > 0);
    server.switch(true);
    let charged = permit.settle(&used(1, 1), Some(NanoUsd(7 * CENT)), one.now);
    assert_eq!(charged[0].amount, 7 * CENT);
    rest().await;
    // The server still holds it: nobody is let in there until it has heard.
    assert_eq!(server.stands("l/key:ci/concurrent", Rule::Level).used, 1);
    server.switch(false);
    one.pass(1);
    let _part = one.quota.admit(one.ask()).await.map(|permit| permit.release(one.now));
    rest().await;
    assert_eq!(server.stands("l/key:ci/concurrent", Rule::Level).used, 0);
    assert_eq!(server.day(), (7 * CENT, 7 * CENT));
    spend(&one, CENT).await.expect("room");
    assert_eq!(server.day(), (8 * CENT, 8 * CENT));
    assert_eq!(one.stands(DAY), (8 * CENT, 8 * CENT));
}

#[tokio::test]
async fn who_gives_up_while_it_is_asked_for_holds_nothing() {
    let server = Server::new();
    let own = key(Allowance {
        limits: Limits { concurrent: Some(1), rpm: Some(5), ..Limits::default() },
        budgets: vec![usd(DOLLAR, Period::Day)],
        ..Allowance::default()
    });
    let one = gateway(&server, &own);
    server.pace.forget_permits(1_000_000);
    {
        let mut asking = Box::pin(one.quota.admit(one.ask()));
        tokio::select! {
            biased;
            _ = &mut asking => panic!("the server has not answered"),
            () = rest() => {}
        }
        assert!(server.day().0 > 0, "it holds what was asked for");
    }
    rest().await;
    assert_eq!(server.day(), (0, 0));
    assert_eq!(server.stands("l/key:ci/concurrent", Rule::Level).used, 0);
    // In which second it was counted nobody said: there it stays for its minute.
    assert_eq!(server.stands("w/key:ci/rpm", Rule::Window).used, 1);
    assert_eq!(one.stands(DAY), (0, 0));
}

#[tokio::test]
async fn a_streams_next_slice_is_asked_for_before_it_is_needed() {
    let server = Server::new();
    let one = gateway(&server, &budgeted(&[usd(3 * CENT, Period::Day)]));
    let mut permit = one.quota.admit(one.ask()).await.expect("room");
    permit.reported(&used(1, 0), one.now);
    rest().await;
    assert_eq!(server.day().0, 3_000 + 666 * 15_000);
    let mut flown = 0;
    let stop = loop {
        flown += 10;
        match permit.flowed(flown, one.now) {
            Flow::Go => assert!(flown < 5_000, "it goes on for ever"),
            Flow::Stop(refusal) => break refusal,
        }
        rest().await;
        let (reserved, _) = server.day();
        assert!(reserved >= flown * 15_000, "{flown} tokens flow on {reserved}");
        assert_eq!(one.stands(DAY).0, reserved.min(one.stands(DAY).0), "ours is in step");
    };
    assert_eq!((stop.what, stop.why), (DAY, Why::Used));
    assert_eq!(permit.flowed(flown, one.now), Flow::Stop(stop), "once stopped, stopped");
    assert!(flown <= 3 * 666, "it was stopped before its last slice was used up: {flown}");
    let charged = permit.settle(&used(1, flown), None, one.now);
    rest().await;
    assert_eq!(server.day(), (charged[0].amount, charged[0].amount));
    assert!(charged[0].amount <= 3 * CENT);
}

#[tokio::test]
async fn a_settlement_does_not_overtake_a_slice_that_is_on_its_way() {
    let server = Server::new();
    let one = gateway(&server, &budgeted(&[usd(DOLLAR, Period::Day)]));
    let mut permit = one.quota.admit(one.ask()).await.expect("room");
    server.pace.forget_permits(1_000_000);
    assert_eq!(permit.flowed(600, one.now), Flow::Go);
    // The stream does not wait for the answer.
    assert_eq!(permit.flowed(900, one.now), Flow::Go);
    rest().await;
    let charged = permit.settle(&used(1, 900), None, one.now);
    rest().await;
    server.pace.add_permits(1_000);
    rest().await;
    assert_eq!(server.day(), (charged[0].amount, charged[0].amount));
    assert_eq!(one.stands(DAY), (charged[0].amount, charged[0].amount));
}

#[tokio::test]
async fn a_stream_goes_on_with_this_gateways_part_when_the_server_goes_away() {
    let server = Server::new();
    let one = gateway(&server, &budgeted(&[usd(10 * CENT, Period::Day)]));
    let mut permit = one.quota.admit(one.ask()).await.expect("room");
    permit.reported(&used(1, 0), one.now);
    rest().await;
    server.switch(true);
    let mut flown = 0;
    while flown < 10_000 {
        flown += 10;
        if permit.flowed(flown, one.now) != Flow::Go {
            break;
        }
        rest().await;
    }
    // Half of the ten cents: five slices of 666 tokens.
    assert!((3 * 666..=5 * 666 + 10).contains(&flown), "{flown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_streams_on_two_gateways_stay_within_one_budget() {
    const EVENT: u64 = 5;
    let server = Server::new();
    let own = budgeted(&[usd(DOLLAR, Period::Day)]);
    let gateways = [gateway(&server, &own), gateway(&server, &own)].map(Arc::new);
    let streams: Vec<_> = (0..200)
        .map(|n| {
            let desk = Arc::clone(&gateways[n % 2]);
            tokio::spawn(async move {
                let Ok(mut permit) = desk.quota.admit(desk.ask()).await else { return (0, 0) };
                let mut flown = 0;
                loop {
                    flown += EVENT;
                    if permit.flowed(flown, desk.now) != Flow::Go {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let charged = permit.settle(&used(1_000, flown), None, desk.now);
                (1, charged[0].amount)
            })
        })
        .collect();
    let (mut served, mut charged) = (0, 0);
    for stream in streams {
        let (one, amount) = stream.await.expect("no panic");
        served += one;
        charged += amount;
    }
    // Settlements are on their way; each of them takes a turn of the runtime.
    for _ in 0..1_000_000 {
        if server.day() == (charged, charged) {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(server.day(), (charged, charged));
    // At most a slice for each stream, and that only while the answers are on their way.
    assert!(charged <= DOLLAR + served * CENT, "{charged} by {served}");
    assert!(charged >= DOLLAR * 8 / 10, "{charged}");
}
