//! Several gateways: what one holds that dies, what comes late, and two that want the same budget.

use std::sync::Arc;

use warmkey::{
    store::counters::{Counters, Reserved, Rule, Standing, redis::RedisCounters},
    types::RequestId,
};

use crate::{
    counters::{budget, granted, id, settlement, standing, take},
    servers::Redis,
};

/// Makes the server believe that `dead` was not heard of for eleven seconds.
fn outlive(redis: &Redis, dead: &RedisCounters) {
    redis.ask::<()>(&["ZINCRBY", "{warmkey}:gateways", "-11000", &dead.gateway()]);
}

#[tokio::test]
async fn what_a_dead_gateway_held_is_charged_once() {
    let redis = Redis::start();
    let (alive, dead) = (redis.counters().await, redis.counters().await);
    let by = RequestId::mint();
    let takes = [take("b/x", budget(), 40, 100), take("l/x", Rule::Level, 1, 1)];
    granted(dead.reserve(by, &takes).await.unwrap());
    assert_eq!(standing(&*alive, "b/x").await, Standing { used: 40, spent: 0 });
    outlive(&redis, &dead);
    assert_eq!(alive.beat().await.unwrap().charged, 1);
    assert_eq!(alive.beat().await.unwrap().charged, 0);
    assert_eq!(alive.beat().await.unwrap().gateways, 1, "nobody speaks of the dead one any more");
    assert_eq!(standing(&*alive, "b/x").await, Standing { used: 40, spent: 40 });
    granted(alive.reserve(RequestId::mint(), &[take("l/x", Rule::Level, 1, 1)]).await.unwrap());
}

#[tokio::test]
async fn a_gateway_that_was_only_cut_off_settles_by_the_difference() {
    for actual in [0, 25, 40, 70] {
        let redis = Redis::start();
        let (alive, away) = (redis.counters().await, redis.counters().await);
        let by = RequestId::mint();
        let takes = [take("b/x", budget(), 40, 100), take("l/x", Rule::Level, 1, 9)];
        let (second, _) = granted(away.reserve(by, &takes).await.unwrap());
        outlive(&redis, &away);
        assert_eq!(alive.beat().await.unwrap().charged, 1);
        // It goes on with the same request, and takes another slice.
        granted(away.reserve(by, &[take("b/x", budget(), 10, 100)]).await.unwrap());
        assert_eq!(standing(&*alive, "b/x").await, Standing { used: 50, spent: 40 });
        let settled =
            [settlement("b/x", budget(), 50, actual, second), settlement("l/x", Rule::Level, 1, 0, second)];
        let standings = away.settle(by, &settled).await.unwrap();
        assert_eq!(standings[0], Standing { used: actual, spent: actual });
        assert_eq!(standings[1].used, 0, "a level is given back once");
        assert_eq!(away.settle(by, &settled).await.unwrap(), standings);
    }
}

#[tokio::test]
async fn what_the_ledger_told_already_is_not_charged_again() {
    let redis = Redis::start();
    let (alive, dead) = (redis.counters().await, redis.counters().await);
    granted(dead.reserve(RequestId::mint(), &[take("b/x", budget(), 40, 100)]).await.unwrap());
    // It comes back under another name, and its ledger has closed what was in flight.
    alive.raise(&[(id("b/x"), budget(), 40)]).await.unwrap();
    outlive(&redis, &dead);
    assert_eq!(alive.beat().await.unwrap().charged, 1);
    assert_eq!(standing(&*alive, "b/x").await, Standing { used: 40, spent: 40 });
}

#[tokio::test]
async fn nobody_is_dead_because_the_server_was_away() {
    let redis = Redis::start();
    let (one, two) = (redis.counters().await, redis.counters().await);
    granted(two.reserve(RequestId::mint(), &[take("b/x", budget(), 40, 100)]).await.unwrap());
    // As after a pause of a minute: nobody was heard of.
    let all: Vec<String> = redis.ask(&["ZRANGE", "{warmkey}:gateways", "0", "-1"]);
    for gateway in &all {
        redis.ask::<()>(&["ZINCRBY", "{warmkey}:gateways", "-60000", gateway]);
    }
    let beat = one.beat().await.unwrap();
    assert_eq!((beat.charged, beat.gateways), (0, 2));
    assert_eq!(standing(&*one, "b/x").await, Standing { used: 40, spent: 0 });
}

#[tokio::test]
async fn ledgers_of_their_own_add_up() {
    let redis = Redis::start();
    let with = |ledger: &str| warmkey::store::redis::RedisParams {
        ledger: Some(ledger.to_owned()),
        ..redis.params()
    };
    let (one, two) = (redis.counters_with(&with("one")).await, redis.counters_with(&with("two")).await);
    for (counters, amount) in [(&one, 30), (&two, 50)] {
        let by = RequestId::mint();
        granted(counters.reserve(by, &[take("b/x", budget(), amount, 100)]).await.unwrap());
        counters.settle(by, &[settlement("b/x", budget(), amount, amount, 0)]).await.unwrap();
    }
    one.raise(&[(id("b/x"), budget(), 30)]).await.unwrap();
    two.raise(&[(id("b/x"), budget(), 55)]).await.unwrap();
    assert_eq!(standing(&*one, "b/x").await.spent, 85);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_and_many_tasks_never_spend_more_than_a_budget() {
    const LIMIT: u64 = 10_000;
    let redis = Redis::start();
    let gateways = [redis.counters().await, redis.counters().await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64_u64 {
        let counters = Arc::clone(&gateways[usize::try_from(n % 2).unwrap()]);
        tasks.spawn(async move {
            let (mut spent, mut highest) = (0, 0);
            for round in 0..40 {
                let by = RequestId::mint();
                let amount = (n * 31 + round * 17) % 90 + 10;
                let takes = [take("b/x", budget(), amount, LIMIT), take("l/x", Rule::Level, 1, 20)];
                if let Reserved::Granted { second, standings } = counters.reserve(by, &takes).await.unwrap() {
                    highest = highest.max(standings[0].used);
                    assert!(standings[1].used <= 20, "{standings:?}");
                    let actual = amount * (round % 3) / 2;
                    let actual = actual.min(amount);
                    let settled = [
                        settlement("b/x", budget(), amount, actual, second),
                        settlement("l/x", Rule::Level, 1, 0, second),
                    ];
                    counters.settle(by, &settled).await.unwrap();
                    spent += actual;
                }
            }
            (spent, highest)
        });
    }
    let (mut spent, mut highest) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (by_task, at_most) = done.unwrap();
        spent += by_task;
        highest = highest.max(at_most);
    }
    assert!(highest <= LIMIT, "{highest} were in use at once");
    assert_eq!(standing(&*gateways[0], "b/x").await, Standing { used: spent, spent });
    assert!(spent > LIMIT / 2, "they came near the limit: {spent}");
}
