//! The server stops, hangs, forgets, comes back.

use warmkey::{
    store::counters::{Counters, Rule, Standing},
    types::RequestId,
};

use crate::{
    counters::{budget, granted, id, settlement, standing, take},
    servers::Redis,
};

#[tokio::test]
async fn a_server_that_hangs_is_down_within_its_patience_and_nothing_it_did_late_is_lost() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let (open, lost) = (RequestId::mint(), RequestId::mint());
    granted(counters.reserve(open, &[take("b/x", budget(), 40, 100)]).await.unwrap());
    redis.pause();
    counters
        .reserve(lost, &[take("b/x", budget(), 25, 100), take("l/x", Rule::Level, 1, 1)])
        .await
        .unwrap_err();
    assert!(!counters.is_up());
    counters.settle(open, &[settlement("b/x", budget(), 40, 30, 0)]).await.unwrap_err();
    counters.beat().await.unwrap_err();
    assert_eq!(counters.undelivered(), 2);
    redis.resume();
    counters.beat().await.unwrap();
    assert_eq!(counters.undelivered(), 0);
    // The call of `lost` may only now arrive, over the connection that was given up: it finds that it
    // was taken back.
    assert_eq!(standing(&*counters, "b/x").await, Standing { used: 30, spent: 30 });
    granted(counters.reserve(RequestId::mint(), &[take("l/x", Rule::Level, 1, 1)]).await.unwrap());
}

#[tokio::test]
async fn a_slice_whose_answer_was_lost_goes_with_its_request() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let by = RequestId::mint();
    granted(counters.reserve(by, &[take("b/x", budget(), 40, 100)]).await.unwrap());
    redis.pause();
    counters.reserve(by, &[take("b/x", budget(), 25, 100)]).await.unwrap_err();
    redis.resume();
    counters.beat().await.unwrap();
    let used = standing(&*counters, "b/x").await.used;
    assert!(used == 40 || used == 65, "{used}: it came to pass or it did not");
    counters.settle(by, &[settlement("b/x", budget(), 40, 33, 0)]).await.unwrap();
    assert_eq!(standing(&*counters, "b/x").await, Standing { used: 33, spent: 33 });
}

#[tokio::test]
async fn a_server_that_forgot_lets_nothing_in_before_the_ledger_has_spoken() {
    let redis = Redis::start();
    let (one, two) = (redis.counters().await, redis.counters().await);
    let (by, open) = (RequestId::mint(), RequestId::mint());
    granted(one.reserve(by, &[take("b/x", budget(), 60, 100)]).await.unwrap());
    one.settle(by, &[settlement("b/x", budget(), 60, 60, 0)]).await.unwrap();
    granted(one.reserve(open, &[take("b/x", budget(), 20, 100)]).await.unwrap());
    redis.ask::<()>(&["FLUSHALL"]);
    for counters in [&one, &two] {
        counters.reserve(RequestId::mint(), &[take("b/x", budget(), 1, 100)]).await.unwrap_err();
        assert!(counters.beat().await.unwrap().forgot);
    }
    one.raise(&[(id("b/x"), budget(), 60)]).await.unwrap();
    assert!(!one.beat().await.unwrap().forgot);
    // What is unknown changes nothing, whoever settles it.
    one.settle(open, &[settlement("b/x", budget(), 20, 20, 0)]).await.unwrap();
    assert_eq!(standing(&*one, "b/x").await, Standing { used: 60, spent: 60 });
    one.raise(&[(id("b/x"), budget(), 80)]).await.unwrap();
    assert_eq!(standing(&*one, "b/x").await, Standing { used: 80, spent: 80 });
    two.reserve(RequestId::mint(), &[take("b/x", budget(), 1, 100)]).await.unwrap_err();
    two.raise(&[(id("b/x"), budget(), 60)]).await.unwrap();
    granted(two.reserve(RequestId::mint(), &[take("b/x", budget(), 1, 100)]).await.unwrap());
    assert_eq!(standing(&*two, "b/x").await, Standing { used: 81, spent: 80 });
}

#[tokio::test]
async fn a_durable_server_that_is_killed_and_started_again_has_lost_nothing() {
    let mut redis = Redis::start_durable();
    let counters = redis.counters().await;
    let (by, open) = (RequestId::mint(), RequestId::mint());
    granted(counters.reserve(by, &[take("b/x", budget(), 60, 100)]).await.unwrap());
    counters.settle(by, &[settlement("b/x", budget(), 60, 55, 0)]).await.unwrap();
    granted(counters.reserve(open, &[take("b/x", budget(), 20, 100)]).await.unwrap());
    redis.kill();
    counters.settle(open, &[settlement("b/x", budget(), 20, 15, 0)]).await.unwrap_err();
    counters.reserve(RequestId::mint(), &[take("b/x", budget(), 1, 100)]).await.unwrap_err();
    counters.beat().await.unwrap_err();
    redis.restart();
    let beat = counters.beat().await.unwrap();
    assert!(!beat.forgot);
    assert_eq!(standing(&*counters, "b/x").await, Standing { used: 70, spent: 70 });
}

#[tokio::test]
async fn what_the_ledger_raised_and_what_is_settled_late_count_once() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let by = RequestId::mint();
    granted(counters.reserve(by, &[take("b/x", budget(), 40, 100)]).await.unwrap());
    redis.pause();
    counters.settle(by, &[settlement("b/x", budget(), 40, 30, 0)]).await.unwrap_err();
    redis.resume();
    // Another gateway shares the ledger and is faster.
    let other = redis.counters().await;
    other.raise(&[(id("b/x"), budget(), 30)]).await.unwrap();
    counters.beat().await.unwrap();
    assert_eq!(standing(&*counters, "b/x").await, Standing { used: 30, spent: 30 });
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_taken_back() {
    let redis = Redis::start();
    let counters = redis.counters().await;
    let takes = [take("l/x", Rule::Level, 1, 1)];
    // Asked once, so that the call goes out, and dropped before its answer is read.
    let mut call = counters.reserve(RequestId::mint(), &takes);
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context).is_pending()))
            .await
    );
    drop(call);
    assert_eq!(counters.undelivered(), 1);
    counters.beat().await.unwrap();
    granted(counters.reserve(RequestId::mint(), &takes).await.unwrap());
}

#[tokio::test]
async fn what_cannot_be_told_for_long_is_charged_under_an_old_name() {
    let redis = Redis::start();
    let (counters, other) = (redis.counters().await, redis.counters().await);
    let by = RequestId::mint();
    granted(counters.reserve(by, &[take("b/x", budget(), 40, 100)]).await.unwrap());
    redis.pause();
    for _ in 0..=10_000 {
        counters.settle(RequestId::mint(), &[]).await.unwrap_err();
    }
    assert_eq!(counters.undelivered(), 0, "it is bounded");
    redis.resume();
    counters.beat().await.unwrap();
    let gateways: Vec<String> = redis.ask(&["ZRANGE", "{warmkey}:gateways", "0", "-1"]);
    assert_eq!(gateways.len(), 3, "its old name, its new one, and the other");
    other.beat().await.unwrap();
    counters.settle(by, &[settlement("b/x", budget(), 40, 30, 0)]).await.unwrap();
    assert_eq!(standing(&*other, "b/x").await, Standing { used: 30, spent: 30 });
}
