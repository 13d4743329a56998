//! What gateways tell each other of rate domains.

use std::{sync::Arc, time::Duration};

use warmkey::store::redis::{Link, News, Note, Shared};

use crate::servers::Redis;

fn note(name: &str, cools_for: u64, drawn: [i64; 4]) -> Note {
    Note { name: name.to_owned(), cools_for: Duration::from_millis(cools_for), drawn }
}

/// A gateway that has beaten, and what it shares.
async fn gateway(redis: &Redis) -> (Arc<String>, Shared) {
    let counters = redis.counters().await;
    let link = Arc::new(Link::new(&redis.params()).unwrap());
    link.connect().await.unwrap();
    (counters.gateway(), Shared::new(link))
}

#[tokio::test]
async fn deadlines_are_told_once_and_only_a_later_one_is_news() {
    let redis = Redis::start();
    let ((a, mut one), (b, mut two)) = (gateway(&redis).await, gateway(&redis).await);
    one.exchange(&a, &[note("org\nm", 30_000, [0; 4])]).await.unwrap();
    let news = two.exchange(&b, &[]).await.unwrap();
    let [(name, left)] = news.cooling.as_slice() else { panic!("{news:?}") };
    assert_eq!(name, "org\nm");
    assert!(*left > Duration::from_secs(20) && *left <= Duration::from_secs(30), "{left:?}");
    // What it took over it tells again, a little later by its own clock; that is no news to anybody.
    assert_eq!(two.exchange(&b, &[note("org\nm", 29_000, [0; 4])]).await.unwrap(), News::default());
    assert_eq!(one.exchange(&a, &[note("org\nm", 29_000, [0; 4])]).await.unwrap(), News::default());
    one.exchange(&a, &[note("org\nm", 90_000, [0; 4])]).await.unwrap();
    let news = two.exchange(&b, &[note("org\nm", 5_000, [0; 4])]).await.unwrap();
    assert!(news.cooling[0].1 > Duration::from_secs(60), "{news:?}");
}

#[tokio::test]
async fn draws_of_others_come_as_differences_and_ones_own_never() {
    let redis = Redis::start();
    let ((a, mut one), (b, mut two)) = (gateway(&redis).await, gateway(&redis).await);
    one.exchange(&a, &[note("x", 0, [5, 500, 400, 100])]).await.unwrap();
    assert_eq!(two.exchange(&b, &[]).await.unwrap(), News::default(), "nobody knows when that was");
    let many: Vec<_> = (0..300).map(|n| note(&format!("n{n}"), 0, [n, 0, 0, 0])).collect();
    one.exchange(&a, &many).await.unwrap();
    one.exchange(&a, &[note("x", 0, [7, 450, 380, 70]), note("n299", 0, [300, 0, 0, 0])]).await.unwrap();
    let mut news = two.exchange(&b, &[note("x", 0, [1, 1, 1, 0])]).await.unwrap();
    news.drawn.sort();
    assert_eq!(news.drawn, [("x".to_owned(), [2, -50, -20, -30])]);
    assert_eq!(two.exchange(&b, &[]).await.unwrap(), News::default());
    one.exchange(&a, &[note("n299", 0, [304, 0, 0, 0])]).await.unwrap();
    assert_eq!(two.exchange(&b, &[]).await.unwrap().drawn, [("n299".to_owned(), [4, 0, 0, 0])]);
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_a_server_that_forgot_is_no_trouble() {
    let redis = Redis::start();
    let ((a, mut one), (b, mut two)) = (gateway(&redis).await, gateway(&redis).await);
    one.exchange(&a, &[note("x", 1, [3, 0, 0, 0]), note("y", 60_000, [0; 4])]).await.unwrap();
    two.exchange(&b, &[]).await.unwrap();
    redis.ask::<()>(&["FLUSHALL"]);
    redis.counters().await;
    assert_eq!(two.exchange(&b, &[]).await.unwrap(), News::default());
    one.exchange(&a, &[note("y", 60_000, [0; 4])]).await.unwrap();
    assert_eq!(two.exchange(&b, &[]).await.unwrap().cooling.len(), 1);
}
