//! Keeping the prompts of resting sessions in the provider's cache: opt-in, on a budget.
//!
//! Two entries: [`after_turn`] puts a session that rests into the live state's keeper, and
//! [`keep_alive`] is the task that sends what the keeper plans: the last turn's own body with
//! `max_tokens: 0` (providers 0.6), to the same endpoint, through the policy like any turn, so that
//! the warm index knows of it. Whether it is worth it is the keeper's to say.
//!
//! The trap: such a request must never be a write. So it goes nowhere but home, is never tried again,
//! and not at all once the prompt may be cold.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    admit::{Admitted, Shape},
    connect::Upstreams,
    cooling,
    drive::Request,
    exchange::Exchange,
    forward::{self, Answer, Broken, Outbound},
    headers,
    reading::{Learner, Reading},
    reserve,
};
use crate::{
    clock::{self, Moment},
    dialect::{self, ScanLimits, TtlAsked},
    live::{KeptTurn, KeyRing, Live, Over, Ping, Share, Terms},
    metering::Meter,
    routing::Start,
    session::{Rest, Sort},
    snapshot::Snapshot,
    types::{
        AffinityResult, AttemptOutcome, AttemptRecord, CallerName, CareDone, Dialect, NanoUsd, Operation,
        Outcome, Reason, Usage,
    },
    upstream::{
        Asked, Availability, Credentials, Draw, Endpoint, Flow, Lane, Model, Need, ProviderParams, Slot,
        Standing, classify,
    },
};

/// The planner looks at least so often, and no more often than that.
const LOOK: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(10);
/// Sent at once, over all providers.
const AT_ONCE: usize = 64;
/// A request that bills no output is answered as soon as its prompt is read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Headers that speak of one request only.
const ONCE: &[&str] = &["idempotency-key", "x-client-request-id"];

/// What will be known of a session that rests, gathered while its answer passes.
pub(crate) struct Resting {
    sort: Sort,
    started: Moment,
    life: Duration,
    most: u32,
    min_tokens: u64,
    kept: Option<(KeptTurn, Share)>,
}

/// Holds on to what it takes to keep a session warm, where that is wanted. The body counts among the
/// kept ones from here on.
pub(super) fn hold(
    x: &Exchange,
    call: &mut Admitted,
    request: &Request<'_>,
    shape: Shape,
    started: Moment,
) -> Option<Box<Resting>> {
    let endpoint = x.endpoint.as_ref()?;
    let provider = Arc::clone(endpoint.provider());
    let params = &provider.params;
    let identity = x.identity.as_ref().filter(|identity| identity.key.is_some())?;
    // The long life outlasts most rests, and without a marker there is nothing to keep.
    // Of a translated body nobody knows what warms without an answer.
    let short = call.operation == Operation::Messages && x.ttl == TtlAsked::Short && x.words.is_none();
    if !short || !is_wanted(&x.live.keys, &x.caller, params) {
        return None;
    }
    let sort = sort_of(request.headers, identity.parent.is_some())?;
    let keeps = sort == Sort::Main && call.payload.warms();
    let kept = keeps.then(|| {
        let rename = call.model.upstream_name_at(endpoint, call.requested.as_str());
        let body = call.payload.bytes(params, rename, shape);
        let share = x.live.keeper.share(body.len() as u64, params.keep_alive.max_bytes)?;
        let turn = KeptTurn {
            endpoint: endpoint.name().clone(),
            body,
            headers: kept_headers(request.headers),
            path_and_query: request.path_and_query.clone(),
            requested: call.requested.clone(),
            upstream_model: x.upstream_model.clone()?,
            prompt: call.prompt.clone(),
            price: call.price,
            tokens: 0,
            ratios: call.ratios,
            caller: x.caller.clone(),
            tenant: x.tenant.clone(),
            identity: identity.clone(),
        };
        Some((turn, share))
    });
    Some(Box::new(Resting {
        sort,
        started,
        life: params.cache.short,
        most: params.keep_alive.max_pings,
        min_tokens: params.keep_alive.min_tokens,
        kept: kept.flatten(),
    }))
}

/// A turn is over: if it ended well and is large enough, its session rests from here on.
pub(super) fn after_turn(x: &mut Exchange, outcome: Outcome, usage: &Usage) {
    let Some(resting) = x.resting.take().filter(|_| outcome == Outcome::Ok) else { return };
    let Some(key) = x.identity.as_ref().and_then(|identity| identity.key) else { return };
    let Some(stop) = x.reading.as_ref().and_then(|reading| reading.stop) else { return };
    let tokens = usage.total_input();
    if tokens < resting.min_tokens {
        return;
    }
    let Resting { sort, started, life, most, kept, .. } = *resting;
    let kept = kept.map(|(turn, share)| (KeptTurn { tokens, ..turn }, share));
    x.live.keeper.rests(key, Over { rest: Rest { sort, stop }, started, life, most, kept });
}

fn is_wanted(keys: &KeyRing, caller: &CallerName, params: &ProviderParams) -> bool {
    let own = keys.of_name(caller).and_then(|caller| caller.keep_alive);
    params.credentials == Credentials::Gateway && own.unwrap_or(params.keep_alive.enabled)
}

/// Who this is, as far as rests are concerned; `None` for requests on the side.
fn sort_of(headers: &HeaderMap, has_parent: bool) -> Option<Sort> {
    let class = headers.get("x-claude-code-request-class").and_then(|class| class.to_str().ok());
    match class {
        None | Some("main") => Some(if has_parent { Sort::Agent } else { Sort::Main }),
        Some("subagent" | "workflow") => Some(Sort::Agent),
        Some(_) => None,
    }
}

fn kept_headers(from: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers::upward(from, false) {
        if !ONCE.contains(&name.as_str()) && *name != header::ACCEPT {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Keeps resting sessions warm for as long as the gateway runs.
pub async fn keep_alive(live: Arc<Live>, upstreams: Arc<Upstreams>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    // Held here, so that they end with this loop.
    let mut pings = JoinSet::new();
    loop {
        let wait = live.keeper.next_due().map_or(LOOK, |due| clock::now().until(due));
        tokio::time::sleep(wait.clamp(PAUSE, LOOK)).await;
        while pings.try_join_next().is_some() {}
        let (snapshot, now) = (live.snapshot.load_full(), clock::now());
        if live.flights.is_draining() {
            continue;
        }
        for ping in live.keeper.plan(now, |turn| terms(&live.keys, &snapshot, turn, now)) {
            let (live, upstreams, room) = (Arc::clone(&live), Arc::clone(&upstreams), Arc::clone(&room));
            pings.spawn(async move {
                let Ok(_room) = room.acquire_owned().await else { return };
                Box::pin(send(&live, &upstreams, &ping)).await;
            });
        }
    }
}

/// The endpoint that a turn's prompt is warm at, its model and lane, by the settings of now.
fn home(snapshot: &Snapshot, turn: &KeptTurn) -> Option<(Arc<Endpoint>, Arc<Model>, Lane)> {
    let endpoint = snapshot.pool.endpoint(turn.endpoint.as_str()).map(Arc::clone)?;
    let family = endpoint.provider().params.family;
    let model = snapshot.models.resolve(turn.requested.as_str(), family).map(Arc::clone)?;
    let lane = model.lane(Operation::Messages, turn.requested.as_str());
    Some((endpoint, model, lane))
}

fn need(turn: &KeptTurn) -> Need {
    Need { input: turn.tokens, cached: turn.tokens }
}

/// What keeping it warm means now; `None` where nobody wants it any more, or nobody knows its price.
fn terms(keys: &KeyRing, snapshot: &Snapshot, turn: &KeptTurn, now: Moment) -> Option<Terms> {
    let (endpoint, _, lane) = home(snapshot, turn)?;
    let params = &endpoint.provider().params;
    if !is_wanted(keys, &turn.caller, params) {
        return None;
    }
    let charge = |usage: Usage| snapshot.prices.charge(turn.upstream_model.as_str(), &usage);
    let outlook = endpoint.outlook(lane, &need(turn), Standing::New(Flow::NOBODY), now);
    let calm = f64::from(outlook.utilisation) <= params.keep_alive.max_utilisation;
    Some(Terms {
        read: charge(Usage { cached_read: turn.tokens, ..Usage::default() })?,
        write: charge(Usage { write_5m: turn.tokens, ..Usage::default() })?,
        // Nobody's trial, and nobody's place in a queue.
        room: calm && outlook.wait.is_zero() && endpoint.availability(lane, now) == Availability::Ready,
        provider: params.name.clone(),
        budget: params.keep_alive.budget,
    })
}

/// Sends one, and books what it came to.
async fn send(live: &Arc<Live>, upstreams: &Upstreams, ping: &Ping<KeptTurn>) {
    let turn = &ping.kept.what;
    let mut x = Exchange::new(live);
    let snapshot = Arc::clone(&x.snapshot);
    let now = clock::now();
    let draw = Draw { need: need(turn), who: Standing::New(Flow::NOBODY), anyway: false };
    let taken = home(&snapshot, turn).filter(|_| now < ping.until).and_then(|(endpoint, model, lane)| {
        Some((endpoint.acquire(lane, &draw, now).ok()?, endpoint, model))
    });
    let body = body_of(turn);
    let (Some((slot, endpoint, model)), Some(body)) = (taken, body) else {
        x.silent = true;
        if let Some(endpoint) = snapshot.pool.endpoint(turn.endpoint.as_str()) {
            live.keeper.done(ping, &endpoint.provider().params.name, None);
        }
        return;
    };
    begin(&mut x, turn, &model, &endpoint, now);
    if !reserve::keep_alive(&mut x, turn.tokens, &endpoint).await {
        // What may be spent there is needed for callers.
        (x.silent, x.turn) = (true, None);
        live.keeper.done(ping, &endpoint.provider().params.name, None);
        return;
    }
    let cost = exchange(&mut x, upstreams, turn, slot, body).await;
    live.keeper.done(ping, &endpoint.provider().params.name, cost);
}

/// The body of the turn, made into a request that only warms.
fn body_of(turn: &KeptTurn) -> Option<Bytes> {
    let view = dialect::scan(Operation::Messages, &turn.body, &ScanLimits::default()).ok()?;
    Some(dialect::apply(&turn.body, &view.prewarm?.splices()))
}

fn begin(x: &mut Exchange, turn: &KeptTurn, model: &Arc<Model>, endpoint: &Arc<Endpoint>, now: Moment) {
    x.caller = turn.caller.clone();
    x.tenant = turn.tenant.clone();
    x.dialect = Some(Dialect::Anthropic);
    x.operation = Some(Operation::Messages);
    x.model = Some(model.label.clone());
    x.upstream_model = Some(turn.upstream_model.clone());
    x.identity = Some(turn.identity.clone());
    x.ttl = TtlAsked::Short;
    x.care = CareDone { keep_alive: true, ..CareDone::default() };
    x.metered = true;
    x.request_bytes = turn.body.len() as u64;
    x.endpoint = Some(Arc::clone(endpoint));
    x.called = Some(now);
    let meter = Meter::new(Operation::Messages, x.request_bytes, turn.ratios, x.since);
    x.reading = Some(Reading::new(meter, Learner::of(x, Operation::Messages, endpoint)));
    let Some(ring) = x.snapshot.rings.of(model) else { return };
    let start = Start {
        session: turn.identity.key,
        parent: turn.identity.parent,
        model: &model.label,
        ring,
        endpoint,
        affinity: AffinityResult::Hit,
        ttl: TtlAsked::Short,
        prompt: &turn.prompt,
        price: turn.price,
        context_bytes: x.request_bytes,
        first_try: false,
    };
    x.turn = Some(x.snapshot.policy.started(&start, now));
}

/// What it cost; `None` when it was not answered.
async fn exchange(
    x: &mut Exchange,
    upstreams: &Upstreams,
    turn: &KeptTurn,
    mut slot: Slot,
    body: Bytes,
) -> Option<NanoUsd> {
    let started = clock::now();
    let endpoint = Arc::clone(slot.endpoint());
    let params = &endpoint.provider().params;
    let out = Outbound {
        provider: params,
        key: endpoint.key(),
        method: Method::POST,
        path_and_query: &turn.path_and_query,
        headers: &turn.headers,
        trace: Vec::new(),
        body,
        first_byte: params.timeouts.total.min(PATIENCE),
    };
    let sent = forward::send(upstreams, &out).await;
    let now = clock::now();
    let (outcome, status) = match sent {
        Err(Broken { failure, .. }) => {
            let effect = slot.failed(&failure, now);
            cooling::tell(&x.live, &endpoint, &failure, &effect, now);
            x.end = Some((Outcome::Failed, Some(Reason::UpstreamError)));
            (failure.outcome(), None)
        }
        Ok(answer) => read(x, &mut slot, answer).await,
    };
    x.attempts.push(AttemptRecord {
        endpoint: endpoint.name().clone(),
        outcome,
        status,
        ambiguous: false,
        spent: clock::now().since(started),
    });
    let answered = x.answered.and(x.reading.as_ref())?;
    let usage = answered.meter.settle(clock::now()).usage;
    x.snapshot.prices.charge(turn.upstream_model.as_str(), &usage)
}

async fn read(x: &mut Exchange, slot: &mut Slot, answer: Answer) -> (AttemptOutcome, Option<u16>) {
    let endpoint = Arc::clone(slot.endpoint());
    cooling::hear(&x.snapshot, slot, &answer.head.headers);
    let (head, body) = answer.drain().await;
    let now = clock::now();
    let status = head.status.as_u16();
    x.status = status;
    if head.status.is_success() {
        slot.answered(now);
        x.answered = Some(now);
        if let Some(turn) = &mut x.turn {
            turn.answered();
        }
        if let Some(reading) = &mut x.reading {
            reading.read_whole(Operation::Messages, &body, now);
            slot.used(&reading.meter.settle(now).usage, now);
        }
        x.end = Some((Outcome::Ok, None));
        return (AttemptOutcome::Ok, Some(status));
    }
    // A turn that was not answered leaves nothing warm.
    x.turn = None;
    let verdict =
        classify(status, &head.headers, &dialect::read_fault(&body), &Asked::ASIDE, clock::unix_now());
    let failure = verdict.failure(false);
    let effect = slot.judged(&verdict, false, now);
    x.end = Some((Outcome::Failed, Some(Reason::UpstreamError)));
    let outcome = failure.as_ref().map_or(AttemptOutcome::Refused, |failure| {
        cooling::tell(&x.live, &endpoint, failure, &effect, now);
        failure.outcome()
    });
    (outcome, Some(status))
}
