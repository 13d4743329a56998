//! How long a choice takes: over 10, 100 and 1,000 endpoints, and with 100,000 sessions known.
//!
//! `cargo bench --bench selection`

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use warmkey::{
    clock::Moment,
    dialect::TtlAsked,
    routing::{Ask, Decision, Pinned, PinnedParams, Policy, Ring, SelectKey, Start},
    types::{AffinityResult, Family, ModelName, SessionKey},
    upstream::{
        AuthScheme, CacheCare, CacheLife, Cooling, Credentials, EndpointParams, HttpVersion, KeepAlive, Lane,
        LimitParams, LimitsGiven, Overload, Pool, ProviderParams, Timeouts,
    },
};

const NOW: Moment = Moment::from_millis(1_000);
const SIZES: [usize; 3] = [10, 100, 1_000];

fn lane() -> Lane {
    Lane::from_class(100)
}

/// `n` endpoints, eight to an organisation.
fn pool(n: usize) -> Pool {
    let provider = ProviderParams {
        name: "p".into(),
        family: Family::Anthropic,
        tls: true,
        host: "api.test".into(),
        port: 443,
        base_path: String::new(),
        address: None,
        ca_file: None,
        auth: AuthScheme::XApiKey,
        credentials: Credentials::Gateway,
        overload: Overload::Stay,
        http: HttpVersion::Auto,
        timeouts: Timeouts::default(),
        cooling: Cooling::default(),
        cache: CacheLife { short: Duration::from_secs(300), long: Duration::from_secs(3_600) },
        care: CacheCare::default(),
        keep_alive: KeepAlive::default(),
        limits: LimitParams::usual(Family::Anthropic),
        inject_usage: false,
        passthrough: Vec::new(),
        pass_unlisted: false,
        health_path: None,
        health_every: Duration::from_secs(5),
        validate_keys: false,
        retry_budget_percent: 20,
    };
    let endpoint = |i: usize| EndpointParams {
        name: format!("key-{i}").as_str().into(),
        provider: "p".into(),
        key: None,
        rate_domain: Some(format!("org-{}", i / 8).as_str().into()),
        cache_domain: None,
        region: None,
        weight: 1,
        limits: LimitsGiven::default(),
    };
    Pool::build(vec![provider], (0..n).map(endpoint).collect(), None).expect("a sound pool")
}

fn ask(ring: &Ring, session: u64) -> Ask<'_> {
    Ask {
        session: Some(SessionKey(session.into())),
        seed: session.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        ring,
        lane: lane(),
        pin: None,
        tried: &[],
        waited: Duration::ZERO,
        has_history: false,
    }
}

/// A policy that knows `sessions` warm sessions.
fn policy(ring: &Ring, sessions: u64) -> Pinned {
    let policy = Pinned::new(PinnedParams { max_sessions: 200_000, ..PinnedParams::default() });
    let model = ModelName::from("m");
    for session in 0..sessions {
        // Spread by hash alone: placing each under the load bound would take this set-up minutes.
        let nodes = ring.nodes();
        let node = nodes.best(session.wrapping_mul(0x9E37_79B9_7F4A_7C15), |_| true).expect("an endpoint");
        let start = Start {
            session: Some(SessionKey(session.into())),
            parent: None,
            model: &model,
            endpoint: &node.endpoint,
            affinity: AffinityResult::New,
            ttl: TtlAsked::Short,
            context_bytes: 1_000,
            first_try: true,
        };
        policy.started(&start, NOW).answered();
    }
    policy
}

fn rendezvous(c: &mut Criterion) {
    let mut group = c.benchmark_group("rendezvous");
    for n in SIZES {
        let pool = pool(n);
        let ring = Ring::new(pool.endpoints());
        let mut seed = 0_u64;
        group.bench_function(BenchmarkId::new("first choice", n), |b| {
            b.iter(|| {
                seed = seed.wrapping_add(1);
                ring.nodes()
                    .best(black_box(seed), |node| node.endpoint.availability(lane(), NOW).usable())
                    .map(|n| n.id())
            });
        });
        group.bench_function(BenchmarkId::new("through Pingora's balancer", n), |b| {
            b.iter(|| {
                seed = seed.wrapping_add(1);
                let key = SelectKey::new(black_box(seed), lane(), NOW);
                ring.balancer().select_with(key.as_bytes(), 4, |_, _| true)
            });
        });
        for endpoint in pool.endpoints().iter().take(n - 1) {
            endpoint.drain();
        }
        group.bench_function(BenchmarkId::new("all but one are out", n), |b| {
            b.iter(|| {
                seed = seed.wrapping_add(1);
                ring.nodes()
                    .best(black_box(seed), |node| node.endpoint.availability(lane(), NOW).usable())
                    .map(|n| n.id())
            });
        });
    }
    group.finish();
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    for n in SIZES {
        let pool = pool(n);
        let ring = Ring::new(pool.endpoints());
        let policy = policy(&ring, 100_000);
        let mut session = 0_u64;
        group.bench_function(BenchmarkId::new("warm, 100k sessions", n), |b| {
            b.iter(|| {
                session = (session + 7_919) % 100_000;
                go(policy.decide(&ask(&ring, black_box(session)), NOW))
            });
        });
        session = 1_000_000;
        group.bench_function(BenchmarkId::new("new, 100k sessions", n), |b| {
            b.iter(|| {
                session += 1;
                go(policy.decide(&ask(&ring, black_box(session)), NOW))
            });
        });
    }
    group.finish();
}

fn go(decision: Decision) -> u64 {
    match decision {
        Decision::Go { endpoint, .. } => Arc::as_ref(&endpoint).id(),
        Decision::Wait { .. } | Decision::Deny { .. } => 0,
    }
}

criterion_group!(benches, rendezvous, decide);
criterion_main!(benches);
