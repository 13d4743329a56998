//! What shared counters cost a request: one round trip to admit it, one beside it to settle it.
//!
//!     cargo bench --bench redis_counters
//!
//! Starts a Redis of its own on the loopback. Prints percentiles, because the goal is one: 1 ms at p99.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "it stops where it fails, it measures, and it prints; the servers are the tests'"
)]

#[path = "../tests/stores/servers/mod.rs"]
mod servers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use servers::Redis;
use warmkey::{
    clock::{UnixTime, unix_now},
    store::counters::{CounterId, Counters, Reserved, Rule, Settlement, Take, redis::RedisCounters},
    types::RequestId,
};

const WARM_UP: u32 = 500;
const ROUNDS: u32 = 4_000;

/// Eight counters of four levels: requests and tokens of the minute, what is held at once, dollars.
fn takes(key: u32) -> Vec<Take> {
    let until = UnixTime(unix_now().0 + Duration::from_secs(3_600));
    [
        ("w/org:acme/rpm".to_owned(), Rule::Window, 1),
        ("w/team:acme/core/tpm".to_owned(), Rule::Window, 5_000),
        (format!("w/key:k_{key}/rpm"), Rule::Window, 1),
        (format!("w/key:k_{key}/tpm"), Rule::Window, 5_000),
        (format!("l/key:k_{key}/concurrent"), Rule::Level, 1),
        ("b/org:acme/usd/month/0".to_owned(), Rule::Budget { until }, 20_000_000),
        ("b/team:acme/core/usd/day/0".to_owned(), Rule::Budget { until }, 20_000_000),
        (format!("b/key:k_{key}/usd/day/0"), Rule::Budget { until }, 20_000_000),
    ]
    .into_iter()
    .map(|(id, rule, amount)| Take { id: CounterId(id.into()), rule, amount, limit: u64::MAX, anyway: false })
    .collect()
}

/// Nanoseconds that admitting and settling took.
async fn request(counters: &RedisCounters, takes: &[Take]) -> (u64, u64) {
    let by = RequestId::mint();
    let begun = Instant::now();
    let Ok(Reserved::Granted { second, .. }) = counters.reserve(by, takes).await else {
        panic!("refused, or out of reach");
    };
    let admitted = begun.elapsed();
    let settlements: Vec<_> = takes
        .iter()
        .map(|take| Settlement {
            id: take.id.clone(),
            rule: take.rule,
            reserved: take.amount,
            actual: take.amount / 2,
            second,
        })
        .collect();
    let begun = Instant::now();
    counters.settle(by, &settlements).await.expect("an answer");
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    (nanos(admitted), nanos(begun.elapsed()))
}

fn percentiles(what: &str, mut nanos: Vec<u64>) {
    nanos.sort_unstable();
    let at =
        |share: usize| nanos.get((nanos.len() * share / 1_000).min(nanos.len() - 1)).copied().unwrap_or(0);
    let [p50, p99, p999] = [at(500), at(990), at(999)].map(|nanos| nanos / 1_000);
    println!("{what}: p50 {p50} us, p99 {p99} us, p99.9 {p999} us");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let redis = Redis::start();
    for tasks in [1_u32, 8, 64] {
        let counters = redis.counters().await;
        let begun = Instant::now();
        let each = ROUNDS / tasks.min(8);
        let running: Vec<_> = (0..tasks)
            .map(|task| {
                let counters = Arc::clone(&counters);
                tokio::spawn(async move {
                    let takes = takes(task);
                    for _ in 0..WARM_UP / tasks {
                        request(&counters, &takes).await;
                    }
                    let mut all = Vec::new();
                    for _ in 0..each {
                        all.push(request(&counters, &takes).await);
                    }
                    all
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in running {
            all.extend(task.await.expect("it ends"));
        }
        let spent = begun.elapsed();
        let rate = u64::from(each * tasks) * 1_000 / u64::try_from(spent.as_millis()).unwrap_or(1).max(1);
        println!("{tasks} at once, {rate} requests/s:");
        percentiles("  admit", all.iter().map(|(admit, _)| *admit).collect());
        percentiles("  settle", all.iter().map(|(_, settle)| *settle).collect());
    }
}
