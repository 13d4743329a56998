//! What it costs to admit a request and to settle it, in this process; and what 100,000 keys weigh.
//!
//! `cargo bench --bench quota`. The key has four levels and eight counters or more: the goal is 3 us for
//! admission and settlement together.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures, and may stop")]

use std::{
    hint::black_box,
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use tikv_jemallocator::Jemalloc;
use warmkey::{
    clock::{Moment, UnixTime},
    quota::{Ask, Quota, QuotaParams},
    types::{
        Allowance, Budget, KeyDigest, Levels, Limits, ModelName, Period, Rates, RequestId, SessionKey,
        TenantId, Unit, Usage, VirtualKey,
    },
};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEYS: u64 = 100_000;
const MANY: u64 = 1_000_000_000_000_000;
const AT: UnixTime = UnixTime(Duration::from_secs(1_795_262_400));
const RATES: Rates = Rates {
    input: 3_000_000_000,
    cached_read: 300_000_000,
    write_5m: 3_750_000_000,
    write_1h: 6_000_000_000,
    output: 15_000_000_000,
};
const USAGE: Usage =
    Usage { input: 1_000, cached_read: 90_000, write_5m: 2_000, write_1h: 0, output: 500, reasoning: 0 };

static MODEL: LazyLock<ModelName> = LazyLock::new(|| "sonnet".into());
static TENANT: LazyLock<TenantId> = LazyLock::new(|| "acme".into());

const fn usd(per: Period) -> Budget {
    Budget { unit: Unit::Usd, amount: MANY, per, soft: false }
}

/// Two limits and a budget at each of organisation, team and key; a budget of the session: ten
/// counters.
fn levels() -> Levels {
    let limits = Limits { rpm: Some(MANY), itpm: Some(MANY), ..Limits::default() };
    let level = || Allowance { limits, budgets: vec![usd(Period::Month)], ..Allowance::default() };
    let mut levels = Levels {
        sessions: Allowance { budgets: vec![usd(Period::Total)], ..Allowance::default() },
        ..Levels::default()
    };
    levels.organisations.insert(TENANT.clone(), level());
    levels.teams.insert((TENANT.clone(), "ops".into()), level());
    levels
}

fn key(n: u64) -> Arc<VirtualKey> {
    let limits = Limits { rpm: Some(MANY), itpm: Some(MANY), ..Limits::default() };
    let name = format!("key-{n}");
    Arc::new(VirtualKey {
        organisation: TENANT.clone(),
        team: Some("ops".into()),
        allowance: Allowance { limits, budgets: vec![usd(Period::Day)], ..Allowance::default() },
        ..VirtualKey::named(&name, KeyDigest::of(name.as_bytes()))
    })
}

fn quota() -> Arc<Quota> {
    let quota = Quota::new(QuotaParams::default(), None);
    quota.configure(Arc::new(levels()));
    Arc::new(quota)
}

/// One request, from admission to its end.
fn request(quota: &Arc<Quota>, key: &Arc<VirtualKey>, session: u64, now: Moment) -> usize {
    let ask = Ask {
        request: RequestId::mint(),
        key: Some(key),
        tenant: &TENANT,
        model: &MODEL,
        session: Some(SessionKey(u128::from(session) << 64)),
        input_tokens: 93_000,
        max_output: Some(32_000),
        likely_output: 2_000,
        rates: Some(RATES),
        streamed: true,
        now,
        at: AT,
    };
    let mut admitted = pin!(quota.admit(ask));
    match admitted.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(permit)) => permit.settle(&USAGE, None, now).len(),
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

fn one_request(c: &mut Criterion) {
    let now = Moment::from_millis(3_600_000);
    let mut group = c.benchmark_group("quota");
    group.bench_function("mint an id (part of the below)", |b| b.iter(|| black_box(RequestId::mint())));
    let (alone, own) = (quota(), key(0));
    assert_eq!(request(&alone, &own, 1, now), 4, "four budgets are charged");
    group.bench_function("admit + settle, ten counters", |b| {
        let mut n = 0_u64;
        b.iter(|| {
            n += 1;
            // A second passes every 10,000 requests.
            request(&alone, &own, n % 100, now + Duration::from_micros(n * 100))
        });
    });
    let open = Arc::new(Quota::new(QuotaParams::default(), None));
    let free = Arc::new(VirtualKey::named("free", KeyDigest::of(b"free")));
    group.bench_function("admit + settle, no limits", |b| b.iter(|| request(&open, &free, 1, now)));
    group.bench_function("admit + report + 100 events + settle, ten counters", |b| {
        b.iter(|| {
            let ask = Ask {
                request: RequestId::mint(),
                key: Some(&own),
                tenant: &TENANT,
                model: &MODEL,
                session: Some(SessionKey(1 << 64)),
                input_tokens: 93_000,
                max_output: Some(32_000),
                likely_output: 2_000,
                rates: Some(RATES),
                streamed: true,
                now,
                at: AT,
            };
            let mut admitted = pin!(alone.admit(ask));
            let polled = admitted.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(mut permit)) = polled else { return 0 };
            permit.reported(&USAGE, now);
            for event in 0..100 {
                black_box(permit.flowed(event * 20, now));
            }
            permit.settle(&Usage { output: 2_000, ..USAGE }, None, now).len()
        });
    });
    group.finish();
}

fn many_keys(c: &mut Criterion) {
    let quota = quota();
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let now = Moment::from_millis(3_600_000);
    let before = resident();
    for (n, key) in (0_u64..).zip(&keys) {
        request(&quota, key, n, now + Duration::from_micros(n * 100));
    }
    let bytes = resident().saturating_sub(before);
    println!(
        "100,000 keys that were all used within 10 s: {} counters, {} MB, {} bytes a key with its session and plan",
        quota.counters(),
        bytes / 1_000_000,
        bytes / KEYS
    );
    let mut group = c.benchmark_group("quota of 100,000 keys");
    let mut n = 0_u64;
    let mut order = fastrand::Rng::with_seed(7);
    group.bench_function("admit + settle, any of 30,000 that are awake", |b| {
        b.iter(|| {
            n += 1;
            // One of the 30,000 that are awake, each with a session of its own.
            let at = order.usize(..30_000);
            request(&quota, &keys[at], at as u64, now + Duration::from_micros(10_000_000 + n * 100))
        });
    });
    group.finish();
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux says what we weigh");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4_096
}

criterion_group!(benches, one_request, many_keys);
criterion_main!(benches);
