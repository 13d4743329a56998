//! TLS, users, and addresses that cannot be used.

use std::sync::Arc;

use warmkey::{
    store::{
        counters::{Counters, contract, redis::RedisCounters},
        redis::{Link, RedisParams},
    },
    types::Secret,
};

use crate::servers::Redis;

fn locked(redis: &Redis, password: &str) -> RedisParams {
    RedisParams {
        url: Secret::new(format!("rediss://gateway:{password}@localhost:{}", redis.port())),
        ca_file: Some(redis.dir().join("ca.pem")),
        prefix: "warmkey".to_owned(),
        ledger: None,
    }
}

fn counters(params: &RedisParams) -> RedisCounters {
    RedisCounters::new(Arc::new(Link::new(params).unwrap()), params)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_as_a_user_that_may_touch_our_keys_alone() {
    let redis = Redis::start_locked();
    let counters = counters(&locked(&redis, "let-me-in"));
    counters.beat().await.unwrap();
    counters.raise(&[]).await.unwrap();
    contract::all(Arc::new(counters)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_an_unknown_authority_and_foreign_keys_are_told_apart() {
    let redis = Redis::start_locked();
    let wrong = counters(&locked(&redis, "open-sesame")).beat().await.unwrap_err();
    assert!(wrong.0.contains("uthentication failed"), "{wrong}");
    let stranger = RedisParams { ca_file: None, ..locked(&redis, "let-me-in") };
    let stranger = counters(&stranger).beat().await.unwrap_err();
    assert!(stranger.0.contains("ertificate"), "{stranger}");
    let foreign = RedisParams { prefix: "another".to_owned(), ..locked(&redis, "let-me-in") };
    let foreign = counters(&foreign);
    let fault = foreign.beat().await.unwrap_err();
    assert!(fault.0.contains("NOPERM") || fault.0.contains("ermission"), "{fault}");
    for fault in [wrong, stranger, fault] {
        assert!(!fault.0.contains("open-sesame") && !fault.0.contains("let-me-in"), "{fault}");
    }
}

#[tokio::test]
async fn nobody_there_is_down_at_once() {
    let params =
        RedisParams { url: Secret::new("redis://127.0.0.1:1".to_owned()), ..locked(&Redis::start(), "") };
    let counters = counters(&RedisParams { ca_file: None, ..params });
    let down = counters.beat().await.unwrap_err();
    assert!(down.0.contains("refused"), "{down}");
    counters.settle(warmkey::types::RequestId::mint(), &[]).await.unwrap_err();
}

#[test]
fn addresses_that_are_none_say_what_one_looks_like_and_not_what_they_hold() {
    let redis = |url: &str, ca_file: Option<&str>| RedisParams {
        url: Secret::new(url.to_owned()),
        ca_file: ca_file.map(Into::into),
        prefix: "warmkey".to_owned(),
        ledger: None,
    };
    for url in [
        "",
        "secret-host:6379",
        "http://user:secret@host",
        "redis://",
        "redis://host:secret",
        "rediss://h/secret",
    ] {
        let fault =
            Link::new(&redis(url, None)).err().unwrap_or_else(|| panic!("{url} is no address")).to_string();
        assert!(fault.contains("redis://host:6379") && !fault.contains("secret"), "{url}: {fault}");
    }
    let fault = Link::new(&redis("rediss://host", Some("/nowhere/ca.pem"))).err().unwrap().to_string();
    assert!(fault.contains("/nowhere/ca.pem"), "{fault}");
    for url in ["valkey://host", "valkeys://user:pass@host:6380/3", "redis://[::1]:6379"] {
        Link::new(&redis(url, None)).unwrap();
    }
}
