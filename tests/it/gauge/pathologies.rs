//! What goes wrong between agents and a provider, and whether it is called by its name.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use warmkey::sim::{Fault, RetryHint, Sim};

use super::{
    first, gauge, hits, kinds,
    meddler::{Meddler, strip, strip_events},
    unlimited,
};
use crate::harness::sim_with;

async fn through(sim: &Sim, url: &str, more: &[&str]) -> Value {
    let fleet = ["--json", "--pace", "0", "--spend", "100"];
    let ran = gauge(&first(sim).key, &[&[url][..], &fleet, more].concat()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.report()
}

#[tokio::test]
async fn marks_that_are_lost_on_the_way() {
    let sim = unlimited().await;
    let meddler = Meddler::over(&sim, |body| strip(body, "cache_control"), |text| text).await;
    let report = through(&sim, &meddler.url(), &["--agents", "6"]).await;
    assert!(hits(&report) < 1.0, "{report:#}");
    assert_eq!(kinds(&report).first(), Some(&"marks_lost"), "{report:#}");
}

#[tokio::test]
async fn a_timestamp_in_front_of_the_system_prompt() {
    let sim = unlimited().await;
    let clock = AtomicU32::new(0);
    let stamp = move |body: &mut Value| {
        let now = clock.fetch_add(1, Ordering::Relaxed);
        if let Some(system) = body["system"].as_array_mut() {
            system.insert(0, json!({"type": "text", "text": format!("It is {now} o'clock.")}));
        }
    };
    let meddler = Meddler::over(&sim, stamp, |text| text).await;
    let report = through(&sim, &meddler.url(), &["--agents", "6"]).await;
    assert_eq!(kinds(&report).first(), Some(&"prefix_changed_on_the_way"), "{report:#}");
}

#[tokio::test]
async fn usage_that_is_taken_out_is_charged_at_its_bound() {
    let sim = unlimited().await;
    let meddler = Meddler::over(&sim, |_| {}, |text| strip_events(&text, "usage")).await;
    let report = through(&sim, &meddler.url(), &["--agents", "6"]).await;
    assert_eq!(report["hit_rate"], Value::Null, "{report:#}");
    assert_eq!(kinds(&report).first(), Some(&"usage_not_reported"), "{report:#}");
    let billed = sim.stats().total().cost.as_usd();
    assert!(report["spent_usd"].as_f64().is_some_and(|spent| spent > billed), "{billed} {report:#}");
}

#[tokio::test]
async fn limits_that_are_met() {
    let sim = sim_with(|config| {
        let accounts = std::mem::take(&mut config.accounts);
        config.accounts = accounts.into_iter().map(|account| account.limits(0, 40_000, 0)).collect();
        // A minute's worth in six seconds: nobody waits long.
        config.compress = 10.0;
    })
    .await;
    let url = format!("KEY={}", sim.base_url());
    let report = through(&sim, &url, &["--agents", "8", "--probe", "3"]).await;
    assert!(report["status_429"].as_u64().is_some_and(|met| met > 0), "{report:#}");
    assert!(kinds(&report).contains(&"throttled"), "{report:#}");
}

#[tokio::test]
async fn an_endpoint_that_goes_down_ends_the_run() {
    let sim = unlimited().await;
    sim.script(Fault::ServerError.always().from_nth(30));
    let url = format!("KEY={}", sim.base_url());
    let report = through(&sim, &url, &["--agents", "20"]).await;
    assert_eq!(report["stopped"], "failing", "{report:#}");
    assert!(kinds(&report).contains(&"errors"), "{report:#}");
    assert!(report["turns"].as_u64().is_some_and(|turns| turns < 14), "{report:#}");
}

#[tokio::test]
async fn a_429_is_waited_out_as_it_asks_and_every_try_counts() {
    let sim = unlimited().await;
    // The check and the probe go well.
    let limited = Fault::RateLimited { hint: RetryHint::RetryAfter(1) };
    sim.script(limited.times(1).from_nth(4));
    let url = format!("KEY={}", sim.base_url());
    let report = through(&sim, &url, &["--agents", "1", "--turns", "1", "--probe", "2"]).await;
    assert_eq!((&report["status_429"], &report["errors"]), (&1.into(), &0.into()), "{report:#}");
    let seen = sim.seen();
    let met = seen.iter().position(|request| request.status == 429).expect("one");
    let again = seen[met + 1].at.since(seen[met].at);
    assert!(again >= Duration::from_secs(1), "{again:?}");
    assert_eq!(seen[met].body_len, seen[met + 1].body_len, "the same request");
}
