//! The engine of counters against a server, one gateway.

use std::time::Duration;

use warmkey::{
    clock::{UnixTime, unix_now},
    store::counters::{CounterId, Counters, Reserved, Rule, Settlement, Standing, Take, contract},
    types::RequestId,
};

use crate::servers::Redis;

pub fn id(name: &str) -> CounterId {
    CounterId(name.into())
}

pub fn budget() -> Rule {
    Rule::Budget { until: UnixTime(unix_now().0 + Duration::from_secs(3_600)) }
}

pub fn take(name: &str, rule: Rule, amount: u64, limit: u64) -> Take {
    Take { id: id(name), rule, amount, limit, anyway: false }
}

pub fn settlement(name: &str, rule: Rule, reserved: u64, actual: u64, second: u64) -> Settlement {
    Settlement { id: id(name), rule, reserved, actual, second }
}

pub fn granted(reserved: Reserved) -> (u64, Vec<Standing>) {
    match reserved {
        Reserved::Granted { second, standings } => (second, standings),
        Reserved::Refused { index, standing, .. } => panic!("take {index} was refused at {standing:?}"),
    }
}

pub fn refused(reserved: Reserved) -> (usize, Standing, Option<Duration>) {
    match reserved {
        Reserved::Refused { index, standing, after } => (index, standing, after),
        Reserved::Granted { standings, .. } => panic!("granted: {standings:?}"),
    }
}

/// Where a budget stands, found by taking nothing.
pub async fn standing(counters: &dyn Counters, name: &str) -> Standing {
    let by = RequestId::mint();
    let (second, standings) = granted(
        counters.reserve(by, &[Take { anyway: true, ..take(name, budget(), 0, u64::MAX) }]).await.unwrap(),
    );
    counters.settle(by, &[settlement(name, budget(), 0, 0, second)]).await.unwrap();
    standings[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_what_every_engine_keeps() {
    let redis = Redis::start();
    contract::all(redis.counters().await).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_taken_from_none() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let takes = [
        take("w/key:a/rpm", Rule::Window, 1, 10),
        take("l/key:a/concurrent", Rule::Level, 1, 5),
        take("b/key:a/usd/day/0", budget(), 60, 100),
    ];
    let first = RequestId::mint();
    let (second, standings) = granted(counters.reserve(first, &takes).await.unwrap());
    assert_eq!(standings.iter().map(|standing| standing.used).collect::<Vec<_>>(), [1, 1, 60]);
    let (index, at, after) = refused(counters.reserve(RequestId::mint(), &takes).await.unwrap());
    assert_eq!((index, at, after), (2, Standing { used: 60, spent: 0 }, None));
    let settled = [
        settlement("w/key:a/rpm", Rule::Window, 1, 1, second),
        settlement("l/key:a/concurrent", Rule::Level, 1, 0, second),
        settlement("b/key:a/usd/day/0", budget(), 60, 35, second),
    ];
    let standings = counters.settle(first, &settled).await.unwrap();
    assert_eq!(standings[0].used, 1, "the one that was refused took nothing");
    assert_eq!(standings[1].used, 0);
    assert_eq!(standings[2], Standing { used: 35, spent: 35 });
    assert_eq!(counters.settle(first, &settled).await.unwrap(), standings, "twice is once");
}

#[tokio::test]
async fn a_window_says_when_it_has_room_and_takes_back_what_was_not_used() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let by = RequestId::mint();
    let (second, _) =
        granted(counters.reserve(by, &[take("w/key:a/tpm", Rule::Window, 900, 1_000)]).await.unwrap());
    let (_, at, after) = refused(
        counters.reserve(RequestId::mint(), &[take("w/key:a/tpm", Rule::Window, 200, 1_000)]).await.unwrap(),
    );
    assert_eq!(at.used, 900);
    let after = after.expect("what was taken leaves the window");
    assert!(after > Duration::from_secs(30) && after <= Duration::from_secs(61), "{after:?}");
    let (_, _, never) = refused(
        counters
            .reserve(RequestId::mint(), &[take("w/key:a/tpm", Rule::Window, 1_001, 1_000)])
            .await
            .unwrap(),
    );
    assert_eq!(never, None, "it never fits");
    let settled = [settlement("w/key:a/tpm", Rule::Window, 900, 300, second)];
    assert_eq!(counters.settle(by, &settled).await.unwrap()[0].used, 300);
    let more = RequestId::mint();
    let (second, _) =
        granted(counters.reserve(more, &[take("w/key:a/tpm", Rule::Window, 200, 1_000)]).await.unwrap());
    let settled = [settlement("w/key:a/tpm", Rule::Window, 200, 450, second)];
    assert_eq!(counters.settle(more, &settled).await.unwrap()[0].used, 750, "more than reserved is booked");
}

#[tokio::test]
async fn seconds_leave_a_window_in_their_order() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let now = unix_now().0.as_secs();
    // As if it had been used before: nobody waits a minute here.
    for (age, amount) in [(60, 5), (59, 7), (30, 11)] {
        redis.ask::<()>(&["HSET", "{warmkey}:w/x", &((now - age) % 61).to_string(), &amount.to_string()]);
    }
    redis.ask::<()>(&["HSET", "{warmkey}:w/x", "n", "23", "t", &(now - 30).to_string()]);
    let (_, at, after) =
        refused(counters.reserve(RequestId::mint(), &[take("w/x", Rule::Window, 90, 100)]).await.unwrap());
    assert!([23, 18, 11].contains(&at.used), "{at:?}: a second or two may have passed");
    let after = after.expect("it will fit");
    assert!(after <= Duration::from_secs(32), "{after:?}: when the 11 of thirty seconds ago have left");
}

#[tokio::test]
async fn a_clock_that_goes_back_is_too_strict_and_never_too_kind() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let ahead = unix_now().0.as_secs() + 5_000;
    redis.ask::<()>(&[
        "HSET",
        "{warmkey}:w/x",
        "n",
        "80",
        "t",
        &ahead.to_string(),
        &(ahead % 61).to_string(),
        "80",
    ]);
    let (_, at, after) =
        refused(counters.reserve(RequestId::mint(), &[take("w/x", Rule::Window, 30, 100)]).await.unwrap());
    assert_eq!(at.used, 80);
    assert!(after.expect("it leaves after a minute of the new time") <= Duration::from_secs(61));
}

#[tokio::test]
async fn members_are_let_in_again_and_strangers_up_to_the_limit() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let member = |member, idle| Take {
        id: id("m/key:a/sessions"),
        rule: Rule::Members { member, idle: Duration::from_millis(idle) },
        amount: 1,
        limit: 2,
        anyway: false,
    };
    for (who, used) in [(1, 1), (u64::MAX, 2), (1, 2)] {
        let (_, standings) =
            granted(counters.reserve(RequestId::mint(), &[member(who, 300_000)]).await.unwrap());
        assert_eq!(standings[0].used, used, "{who}");
    }
    refused(counters.reserve(RequestId::mint(), &[member(3, 300_000)]).await.unwrap());
    // Those who were seen last before the shortest of times count no more.
    let gone = || async { counters.reserve(RequestId::mint(), &[member(3, 1)]).await.unwrap() };
    while matches!(gone().await, Reserved::Refused { .. }) {}
}

#[tokio::test]
async fn one_counter_may_be_taken_from_twice_and_beyond_its_limit_when_told_to() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let soft = Take { anyway: true, ..take("b/x", budget(), 70, 50) };
    let hard = take("b/x", budget(), 70, 150);
    let by = RequestId::mint();
    let (_, standings) = granted(counters.reserve(by, &[soft.clone(), hard.clone()]).await.unwrap());
    assert_eq!(standings[1].used, 140);
    let (index, at, _) = refused(counters.reserve(by, &[soft, hard]).await.unwrap());
    assert_eq!((index, at.used), (1, 210));
    let standings = counters.settle(by, &[settlement("b/x", budget(), 140, 90, 0)]).await.unwrap();
    assert_eq!(standings[0], Standing { used: 90, spent: 90 });
}

#[tokio::test]
async fn what_was_reserved_and_not_spoken_of_at_the_end_came_to_nothing() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let by = RequestId::mint();
    let takes =
        [take("b/x", budget(), 10, 100), take("b/y", budget(), 20, 100), take("l/x", Rule::Level, 1, 1)];
    granted(counters.reserve(by, &takes).await.unwrap());
    counters.settle(by, &[settlement("b/x", budget(), 10, 10, 0)]).await.unwrap();
    assert_eq!(standing(&*counters, "b/y").await, Standing::default());
    granted(counters.reserve(RequestId::mint(), &[take("l/x", Rule::Level, 1, 1)]).await.unwrap());
    let keys: Vec<String> = redis.ask(&["KEYS", "*:r:*"]);
    assert_eq!(keys.len(), 1, "only what is still held: {keys:?}");
}

#[tokio::test]
async fn absurd_amounts_are_refused_and_break_nothing() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    for rule in [Rule::Window, Rule::Level, budget()] {
        let name = format!("x/{rule:?}");
        let much = Take { anyway: true, ..take(&name, rule, u64::MAX, u64::MAX) };
        let by = RequestId::mint();
        let (second, _) = granted(counters.reserve(by, std::slice::from_ref(&much)).await.unwrap());
        refused(counters.reserve(RequestId::mint(), &[much]).await.unwrap());
        counters.settle(by, &[settlement(&name, rule, u64::MAX, 7, second)]).await.unwrap();
        let (_, standings) =
            granted(counters.reserve(RequestId::mint(), &[take(&name, rule, 1, 1_000)]).await.unwrap());
        assert!(standings[0].used <= 8, "{rule:?}: {standings:?}");
    }
}

#[tokio::test]
async fn the_ledger_raises_and_never_lowers() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let by = RequestId::mint();
    granted(counters.reserve(by, &[take("b/x", budget(), 40, 100)]).await.unwrap());
    counters.settle(by, &[settlement("b/x", budget(), 40, 30, 0)]).await.unwrap();
    for (told, spent) in [(20, 30), (55, 55), (55, 55), (50, 55)] {
        counters.raise(&[(id("b/x"), budget(), told)]).await.unwrap();
        assert_eq!(standing(&*counters, "b/x").await, Standing { used: spent, spent }, "told {told}");
    }
}

#[tokio::test]
async fn many_budgets_are_raised_at_once() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let all: Vec<_> = (0..1_700).map(|n| (id(&format!("b/{n}")), budget(), n + 1)).collect();
    counters.raise(&all).await.unwrap();
    for n in [0, 499, 500, 1_699] {
        assert_eq!(standing(&*counters, &format!("b/{n}")).await.spent, n + 1);
    }
}

#[tokio::test]
async fn everything_on_the_server_ends_some_day() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let total = Rule::Budget { until: UnixTime(Duration::from_secs(u64::MAX)) };
    let past = Rule::Budget { until: UnixTime(Duration::from_secs(1_000)) };
    let members = Rule::Members { member: 7, idle: Duration::from_secs(300) };
    let takes = [
        take("w/x", Rule::Window, 1, 10),
        take("l/x", Rule::Level, 1, 10),
        take("m/x", members, 1, 10),
        take("b/x", budget(), 1, 10),
        take("b/total", total, 1, 10),
        take("b/past", past, 1, 10),
    ];
    granted(counters.reserve(RequestId::mint(), &takes).await.unwrap());
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]);
    assert!(keys.len() >= 9, "{keys:?}");
    for key in keys.iter().filter(|key| !key.ends_with(":epoch")) {
        let ttl: i64 = redis.ask(&["TTL", key]);
        assert!((1..=3_024_000).contains(&ttl), "{key} ends in {ttl} s");
    }
    assert!(
        keys.iter().any(|key| key.ends_with("b/past")),
        "a gateway's wrong clock must not let things through"
    );
}
