//! How long a choice takes, over 10, 100 and 1,000 endpoints: by rendezvous alone; then by cost and
//! pinned, with 100,000 sessions and 300,000 prefixes known. And what the knowledge weighs.
//!
//! `cargo bench --bench selection`; `-- choose` for the choices alone. Beside Criterion's figures, p50
//! and p99 of single calls are printed: the goal is 5 us at p99 over 1,000 endpoints.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]
#![expect(clippy::print_stdout, reason = "its figures go there")]
#![expect(clippy::disallowed_methods, reason = "single calls are timed")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use warmkey::{
    clock::{Moment, UnixTime},
    dialect::{OnLoss, Quirks, TtlAsked},
    routing::{
        Ask, Choosing, Decision, InputFacts, Policy, Price, Prompt, PromptFacts, Ring, Router, RouterParams,
        SavedPrefix, SavedWarm, SelectKey, Start, TurnFacts, USUAL_RATES, WarmIndex,
    },
    types::{
        AffinityResult, Family, ModelName, PrefixChain, PrefixPoint, ProviderDialect, Section, SessionKey,
    },
    upstream::{
        AuthScheme, CacheCare, CacheLife, CacheRule, Cooling, Credentials, Endpoint, EndpointParams, Flow,
        HttpVersion, KeepAlive, Lane, LimitParams, LimitsGiven, Overload, Pool, ProviderParams, RoutingMode,
        Timeouts,
    },
};

const NOW: Moment = Moment::from_millis(1_000);
const SIZES: [usize; 3] = [10, 100, 1_000];
const SESSIONS: u64 = 100_000;
/// Sessions that share tools and system.
const GROUPS: u64 = 50;
/// Messages of a conversation.
const MESSAGES: u64 = 40;
/// Different requests in one measurement.
const SAMPLE: u64 = 4_096;
const CACHE: CacheLife = CacheLife {
    rule: CacheRule::Marked,
    min_tokens: 1_024,
    short: Duration::from_secs(300),
    long: Duration::from_secs(3_600),
};

fn lane() -> Lane {
    Lane::from_class(100)
}

fn mix(value: u64) -> u64 {
    (value ^ (value >> 29))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(31)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// `n` endpoints, eight to an organisation, with limits that are never reached.
fn pool(n: usize, routing: RoutingMode) -> Pool {
    let provider = ProviderParams {
        region: None,
        name: "p".into(),
        family: Family::Anthropic,
        speaks: vec![ProviderDialect::Anthropic],
        quirks: Quirks::default(),
        on_loss: OnLoss::default(),
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
        cache: CACHE,
        care: CacheCare::default(),
        keep_alive: KeepAlive::default(),
        routing,
        limits: LimitParams::usual(Family::Anthropic),
        trace_context: false,
        inject_usage: false,
        passthrough: Vec::new(),
        pass_unlisted: false,
        health_path: None,
        health_every: Duration::from_secs(5),
        validate_keys: false,
        retry_budget_percent: 20,
    };
    let limits = LimitsGiven {
        requests: Some(100_000_000_000),
        input: Some(100_000_000_000_000),
        output: Some(100_000_000_000),
        tokens: None,
    };
    let endpoint = |i: usize| EndpointParams {
        grant: None,
        name: format!("key-{i}").as_str().into(),
        provider: "p".into(),
        key: None,
        rate_domain: Some(format!("org-{}", i / 8).as_str().into()),
        cache_domain: None,
        region: None,
        weight: u32::try_from(i % 3).expect("small") + 1,
        limits,
    };
    Pool::build(vec![provider], (0..n).map(endpoint).collect(), None).expect("a sound pool")
}

/// 100,000 tokens: tools and system of a group, then 40 messages; four breakpoints, three of them
/// the session's own.
fn prompt(session: u64) -> Prompt {
    let point = |n: u64| PrefixPoint {
        hash: if n < 2 { mix(session % GROUPS + (n << 32)) } else { mix(mix(session + 1) ^ n) },
        bytes: if n < 2 { 40_000 * (n + 1) } else { 80_000 + 8_000 * (n - 1) },
        section: match n {
            0 => Section::Tools,
            1 => Section::System,
            n if n % 2 == 0 => Section::User,
            _ => Section::Assistant,
        },
        breakpoint: false,
    };
    let chain = PrefixChain { points: (0..MESSAGES + 2).map(point).collect() };
    let facts = PromptFacts {
        marks: &[1, 15, 31, 41].map(|at| (at, TtlAsked::Short)),
        cache: CACHE,
        model: 7,
        settings: 0,
        message_settings: 0,
        tokens: 100_000,
        ttl: TtlAsked::Short,
    };
    Prompt::of(&chain, &facts)
}

fn key(session: u64) -> SessionKey {
    SessionKey((u128::from(mix(session)) << 64) | u128::from(session))
}

struct World {
    pool: Pool,
    ring: Arc<Ring>,
    policy: Router,
    model: ModelName,
}

impl World {
    /// Knows 100,000 warm sessions, each at its best endpoint by rendezvous.
    fn new(n: usize, routing: RoutingMode) -> Self {
        let pool = pool(n, routing);
        let ring = Ring::new(pool.endpoints());
        let params = RouterParams { max_sessions: 200_000, ..RouterParams::default() };
        let world = Self { pool, ring, policy: Router::new(&params), model: "m".into() };
        for session in 0..SESSIONS {
            world
                .policy
                .started(&world.start(session, &prompt(session), &world.home(session)), NOW)
                .answered();
        }
        world
    }

    fn home(&self, session: u64) -> Arc<Endpoint> {
        let nodes = self.ring.nodes();
        Arc::clone(&nodes.best(mix(session), |_| true).expect("an endpoint").endpoint)
    }

    fn start<'a>(&'a self, session: u64, prompt: &'a Prompt, endpoint: &'a Arc<Endpoint>) -> Start<'a> {
        Start {
            session: Some(key(session)),
            parent: None,
            model: &self.model,
            ring: &self.ring,
            endpoint,
            affinity: AffinityResult::New,
            ttl: TtlAsked::Short,
            prompt,
            price: Price::of(&USUAL_RATES, true, false),
            context_bytes: 400_000,
            first_try: true,
        }
    }

    fn ask<'a>(&'a self, session: u64, prompt: &'a Prompt) -> Ask<'a> {
        Ask {
            session: Some(key(session)),
            seed: mix(session),
            ring: &self.ring,
            lane: lane(),
            pin: None,
            tried: &[],
            waited: Duration::ZERO,
            has_history: false,
            prompt,
            price: Price::of(&USUAL_RATES, true, false),
            flow: Flow { id: session % 20, bytes: 400_000, ..Flow::NOBODY },
            signed_thinking: false,
            bound: None,
            allowed: None,
            may_wait: true,
        }
    }

    /// Everything between a request's identity and its connection: decides, takes the slot, gives it
    /// back.
    fn choose(&self, (session, prompt): &(u64, Prompt)) -> u64 {
        let ask = self.ask(*session, prompt);
        let mut choosing = Choosing::new();
        match choosing.begin(&self.policy, &ask, NOW) {
            Decision::Go { endpoint, .. } | Decision::Move { endpoint, .. } => {
                let slot = endpoint.acquire(lane(), &choosing.draw(ask.flow), NOW).ok();
                choosing.went(NOW);
                slot.expect("what is offered can be had").endpoint().id()
            }
            Decision::Wait { .. } | Decision::Park { .. } | Decision::Deny { .. } => 0,
        }
    }
}

/// Times each single call of `work` over `sample`, in turn.
fn percentiles<T>(what: &str, sample: &[T], mut work: impl FnMut(&T) -> u64) {
    let mut nanos: Vec<u128> = Vec::with_capacity(8 * sample.len());
    for _ in 0..8 {
        for item in sample {
            let start = Instant::now();
            black_box(work(black_box(item)));
            nanos.push(start.elapsed().as_nanos());
        }
    }
    nanos.sort_unstable();
    let at = |percent: usize| nanos.get(nanos.len() * percent / 100).copied().unwrap_or_default();
    println!("{what:<55} p50 {:>6} ns, p99 {:>6} ns", at(50), at(99));
}

fn rendezvous(c: &mut Criterion) {
    let mut group = c.benchmark_group("rendezvous");
    for n in SIZES {
        let pool = pool(n, RoutingMode::Cost);
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
        group.bench_function(BenchmarkId::new("best three", n), |b| {
            b.iter(|| {
                seed = seed.wrapping_add(1);
                ring.nodes().top(black_box(seed), 3, |_| true).len()
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

fn choose(c: &mut Criterion) {
    let mut group = c.benchmark_group("choose");
    for (mode, name) in [(RoutingMode::Cost, "by cost"), (RoutingMode::Pinned, "pinned")] {
        for n in SIZES {
            let world = World::new(n, mode);
            // A tenth of the endpoints is closed for longer than anybody waits.
            let closed = n / 10;
            let closed: Vec<_> = world.pool.endpoints().iter().take(closed).collect();
            let is_closed = |session: &u64| {
                let home = world.home(*session);
                closed.iter().any(|endpoint| endpoint.id() == home.id())
            };
            let known = |session: u64| (session, prompt(session));
            let stride = SESSIONS / SAMPLE;
            let warm: Vec<_> =
                (0..SAMPLE).map(|n| known(n * stride)).filter(|(s, _)| !is_closed(s)).collect();
            let fresh: Vec<_> = (0..SAMPLE).map(|n| known(10_000_000 + n * stride)).collect();
            let away: Vec<_> = (0..SESSIONS)
                .filter(is_closed)
                .take(usize::try_from(SAMPLE).expect("small"))
                .map(known)
                .collect();
            for (case, sample) in
                [("warm session", &warm), ("new session", &fresh), ("home is closed", &away)]
            {
                if case == "home is closed" {
                    closed.iter().for_each(|endpoint| endpoint.cool(Duration::from_secs(9_000), NOW));
                }
                percentiles(&format!("choose, {name}, {case}, {n} endpoints"), sample, |item| {
                    world.choose(item)
                });
                let mut turn = sample.iter().cycle();
                group.bench_function(BenchmarkId::new(format!("{name}, {case}"), n), |b| {
                    b.iter(|| turn.next().map(|item| world.choose(black_box(item))));
                });
            }
        }
    }
    group.finish();
}

fn update(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    let world = World::new(100, RoutingMode::Cost);
    let sample: Vec<_> = (0..SAMPLE)
        .map(|n| {
            let session = n * (SESSIONS / SAMPLE);
            (session, prompt(session), world.home(session))
        })
        .collect();
    let facts = TurnFacts {
        context_tokens: 100_000,
        input: Some(InputFacts { read: 98_000, written: 2_000, uncached: 0 }),
        ..TurnFacts::default()
    };
    let turn = |(session, prompt, home): &(u64, Prompt, Arc<Endpoint>)| {
        let mut turn = world.policy.started(&world.start(*session, prompt, home), NOW);
        turn.answered();
        turn.settled(&facts);
        *session
    };
    percentiles("started, answered and settled", &sample, turn);
    let mut next = sample.iter().cycle();
    group.bench_function("started, answered and settled", |b| {
        b.iter(|| next.next().map(|item| turn(black_box(item))));
    });
    group.finish();
}

/// Bytes of this process that are in memory; 0 where the system does not say.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

fn memory(_: &mut Criterion) {
    let prefix =
        |n: u64| SavedPrefix(format!("{:x}", mix(n)), format!("{:x}", n % 100), 300_000, 300_000, 9_000);
    let saved = SavedWarm { saved_at_unix: 0, prefixes: (0..300_000).map(prefix).collect() };
    let before = resident();
    let index = WarmIndex::new(1_000_000);
    index.restore(&saved, NOW, UnixTime::default());
    let grown = resident().saturating_sub(before);
    println!("warm index: {} bytes for 100,000 prefixes ({} in all)", grown / 3, index.len());
    let before = resident();
    let world = World::new(100, RoutingMode::Cost);
    let grown = resident().saturating_sub(before);
    let memory = world.policy.memory();
    println!(
        "everything: {grown} bytes for {} sessions and {} prefixes at 100 endpoints",
        memory.sessions.len(),
        memory.warm.len()
    );
}

criterion_group!(benches, memory, rendezvous, choose, update);
criterion_main!(benches);
