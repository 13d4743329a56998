//! Our own policy: the router's and the headroom's own code, driven as `proxy` drives it.
//!
//! Decide, take a slot, book the turn; learn from the head of the answer, wake those who wait behind
//! it; correct by the usage; after a failure, ask what comes next. It is configured as a gateway is,
//! from TOML with every knob at its default, and it sees what a gateway sees: sizes in bytes with a
//! guess at tokens that is up to 15 % off, headers at the first byte, usage at the end.

use std::{path::Path, sync::Arc, time::Duration};

use ahash::AHashMap;
use http::HeaderMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use super::{
    chooser::{Answer, Call, Chooser, Denial, Headers, Woken},
    engine::wall,
    scenario::Conditions,
    small::Knobs,
};
use crate::{
    clock::Moment,
    config::{self, Config, Host},
    dialect::{TtlAsked, UpstreamFault},
    routing::{
        Ask, Choosing, Decision, Failed, InputFacts, Leader, Next, Policy, Price, Prompt, PromptFacts, Rings,
        Router, Start, Tried, Turn, TurnFacts, USUAL_RATES, after_failure,
    },
    sim::{Account, Refused, Ttl},
    types::{
        AffinityReason, AffinityResult, Operation, PrefixChain, PrefixPoint, Reason, Section, SessionKey,
        Usage,
    },
    upstream::{
        Asked, DomainFacts, Draw, Endpoint, Failure, Flow, Model, ModelTable, Pool, Slot, Verdict, classify,
    },
};

/// Lost races for a slot before we stop believing that it will work out.
const RACES: u32 = 16;
/// The estimate of tokens is off by so much at most, either way.
const ERROR: f64 = 0.15;

/// One gateway.
pub(super) struct Gateway {
    config: Config,
    accounts: Vec<Account>,
    grain: u64,
    /// The endpoints' places in the list of accounts.
    places: AHashMap<u64, usize>,
    pool: Arc<Pool>,
    models: ModelTable,
    rings: Rings,
    policy: Router,
    seed: u64,
    trips: Vec<Trip>,
    /// Those who wait behind a leader.
    parked: Vec<(Arc<Leader>, usize)>,
}

/// One request on its way.
#[derive(Default)]
struct Trip {
    model: Option<Arc<Model>>,
    prompt: Prompt,
    price: Option<Price>,
    session: Option<SessionKey>,
    parent: Option<SessionKey>,
    has_history: bool,
    tokens: u64,
    bytes: u64,
    flow: Option<Flow>,
    ttl: Option<TtlAsked>,
    choosing: Choosing,
    tried: Vec<Tried>,
    count: u32,
    stayed: Duration,
    server_failed: bool,
    same: Option<(Arc<Endpoint>, (AffinityResult, AffinityReason))>,
    affinity: Option<(AffinityResult, AffinityReason)>,
    behind: Option<Arc<Leader>>,
    slot: Option<Slot>,
    turn: Option<Turn>,
    last: Option<Denial>,
}

/// What a gateway knows of limits, by endpoint.
pub(super) type Told = Vec<(String, DomainFacts)>;

/// How the policy is asked.
#[derive(Clone, Copy)]
enum How {
    Begin,
    Time,
    FirstByte,
}

/// Every account's key, as far as a configuration needs one.
struct Keys;

impl Host for Keys {
    fn var(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn memory(&self) -> u64 {
        8 << 30
    }
}

impl Gateway {
    /// A gateway before these accounts. `None` when it cannot be configured so, which no scenario does.
    pub(super) fn new(
        conditions: &Conditions,
        listed: &[bool],
        model: &str,
        agents: usize,
        seed: u64,
    ) -> Option<Self> {
        let config = configuration(&conditions.accounts, listed, model, conditions.grain)?;
        let (pool, models, rings) = assemble(&config, None)?;
        let policy = Router::new(&config.routing.router());
        let places = conditions
            .accounts
            .iter()
            .enumerate()
            .map(|(n, account)| (Endpoint::id_of(&account.key), n))
            .collect();
        Some(Self {
            accounts: conditions.accounts.clone(),
            grain: conditions.grain,
            places,
            pool,
            models,
            rings,
            policy,
            seed,
            trips: (0..agents).map(|_| Trip::default()).collect(),
            parked: Vec::new(),
            config,
        })
    }

    /// What it knows of its accounts' limits, by endpoint.
    pub(super) fn tell(&self, now: Moment) -> Told {
        self.pool
            .endpoints()
            .iter()
            .map(|endpoint| (endpoint.name().to_string(), endpoint.facts(now)))
            .collect()
    }

    /// Takes over what another gateway told `age` ago.
    pub(super) fn hear(&self, told: &Told, age: Duration, now: Moment) {
        for (name, facts) in told {
            if let Some(endpoint) = self.pool.endpoint(name) {
                endpoint.adopt_facts(facts, age, now);
            }
        }
    }

    /// Begins anew from its state file. What runs runs on in the old process; what waits asks again.
    pub(super) fn restart(&mut self, now: Moment) {
        let (unix, told) = (wall(now), self.tell(now));
        let sessions = self.policy.sessions().dump(now, unix);
        let warm = self.policy.memory().warm.dump(now, unix);
        let Some((pool, models, rings)) = assemble(&self.config, None) else { return };
        (self.pool, self.models, self.rings) = (pool, models, rings);
        self.policy = Router::new(&self.config.routing.router());
        self.policy.sessions().restore(&sessions, |name| self.pool.endpoint(name).cloned(), now, unix);
        self.policy.memory().warm.restore(&warm, now, unix);
        self.hear(&told, Duration::ZERO, now);
        let model = self.models.models().next().map(Arc::clone);
        for trip in self.trips.iter_mut().filter(|trip| trip.slot.is_none()) {
            trip.choosing = Choosing::new();
            (trip.same, trip.behind) = (None, None);
            trip.model = model.as_ref().filter(|_| trip.model.is_some()).map(Arc::clone);
        }
    }

    fn decide(&mut self, id: usize, mut how: How, now: Moment) -> Answer {
        let mut races = 0;
        loop {
            let trip = &mut self.trips[id];
            trip.behind = None;
            let (Some(model), Some(flow), Some(price)) = (&trip.model, trip.flow, trip.price) else {
                return none();
            };
            let Some(ring) = self.rings.of(model) else { return none() };
            let lane = model.lane(Operation::Messages, model.label.as_str());
            let ask = Ask {
                session: trip.session,
                seed: trip.session.map_or(0, |key| (key.0 >> 64) as u64),
                ring,
                lane,
                pin: None,
                tried: &trip.tried,
                waited: trip.choosing.waited(),
                has_history: trip.has_history,
                prompt: &trip.prompt,
                price,
                flow,
                signed_thinking: false,
                bound: None,
                allowed: None,
                may_wait: true,
            };
            let decision = match how {
                How::Begin => trip.choosing.begin(&self.policy, &ask, now),
                How::Time => trip.choosing.on_time(&self.policy, &ask, now),
                How::FirstByte => trip.choosing.on_first_byte(&self.policy, &ask, now),
            };
            match decision {
                Decision::Go { endpoint, affinity } | Decision::Move { endpoint, affinity } => {
                    match endpoint.acquire(lane, &trip.choosing.draw(flow), now) {
                        Ok(slot) => {
                            let _ = trip.choosing.went(now);
                            return self.attempt(id, &endpoint, slot, affinity, now);
                        }
                        Err(_) if races >= RACES => return none(),
                        Err(_) => {
                            races += 1;
                            how = How::Time;
                        }
                    }
                }
                Decision::Wait { until, .. } => return Answer::Until(until),
                Decision::Park { leader, until } => {
                    if leader.is_over() {
                        how = How::FirstByte;
                        continue;
                    }
                    trip.behind = Some(Arc::clone(&leader));
                    self.parked.push((leader, id));
                    return Answer::Until(until);
                }
                Decision::Deny { reason, retry_after } => {
                    let _ = trip.choosing.went(now);
                    return Answer::Deny(trip.last.unwrap_or_else(|| denial(reason, retry_after)));
                }
            }
        }
    }

    fn attempt(
        &mut self,
        id: usize,
        endpoint: &Arc<Endpoint>,
        slot: Slot,
        affinity: (AffinityResult, AffinityReason),
        now: Moment,
    ) -> Answer {
        let trip = &mut self.trips[id];
        if trip.count == 0 {
            endpoint.provider().budget.deposit(now);
        }
        trip.count += 1;
        if let (Some(model), Some(price)) = (&trip.model, trip.price)
            && let Some(ring) = self.rings.of(model)
        {
            let start = Start {
                ring,
                prompt: &trip.prompt,
                price,
                session: trip.session,
                parent: trip.parent,
                model: &model.label,
                endpoint,
                affinity: affinity.0,
                ttl: trip.ttl.unwrap_or_default(),
                context_bytes: trip.bytes,
                first_try: trip.count == 1,
            };
            trip.turn = Some(self.policy.started(&start, now));
        }
        trip.slot = Some(slot);
        trip.affinity = Some(affinity);
        self.places.get(&endpoint.id()).map_or_else(none, |&place| Answer::Go(place))
    }

    /// The head of an answer: whose account it is, and what is left of its limits.
    fn learn(&mut self, id: usize, headers: &HeaderMap, now: Moment) {
        let Some(slot) = &mut self.trips[id].slot else { return };
        if slot.endpoint().learn(headers).is_some_and(|learned| learned.changed) {
            self.rings.reweigh();
        }
        let _lies = slot.note_headroom(headers, wall(now), now);
    }

    fn failed(&mut self, id: usize, failure: &Failure, last: Denial, now: Moment) -> Answer {
        let luck = chance(self.seed ^ now.as_nanos(), id as u64);
        let trip = &mut self.trips[id];
        let Some(mut slot) = trip.slot.take() else { return Answer::Deny(last) };
        if trip.server_failed {
            slot.repeats_a_failure();
        }
        trip.server_failed |= matches!(failure, Failure::ServerError);
        let effect = slot.failed(failure, now);
        // A turn that was not answered leaves nothing warm.
        trip.turn = None;
        let endpoint = Arc::clone(slot.endpoint());
        drop(slot);
        let rate_limited = matches!(failure, Failure::RateLimited { .. });
        let next = after_failure(
            &Failed {
                failure,
                provider: endpoint.provider(),
                tries: trip.count,
                max_tries: self.config.server.max_attempts,
                stayed: trip.stayed,
                jitter: luck,
                refused_domains: refused_but(&trip.tried, &endpoint) + u32::from(rate_limited),
                ambiguous: false,
                ambiguous_before: false,
                stale_before: false,
            },
            now,
        );
        trip.last = Some(last);
        match next {
            Next::RetrySame { after } => {
                trip.stayed += after;
                trip.same = trip.affinity.map(|affinity| (endpoint, affinity));
                Answer::Until(now + after)
            }
            Next::Ask if !effect.callers_own => {
                trip.tried.push(Tried::new(&endpoint, rate_limited));
                self.decide(id, How::Begin, now)
            }
            Next::Ask | Next::GiveUp => Answer::Deny(last),
        }
    }
}

impl Chooser for Gateway {
    fn arrived(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        let Some(model) = self.models.models().next().map(Arc::clone) else { return none() };
        let off = 1.0 + ERROR * (2.0 * chance(self.seed ^ call.id as u64, call.number as u64) - 1.0);
        self.trips[call.id] = Trip::of(call, model, &self.config, off);
        self.decide(call.id, How::Begin, now)
    }

    fn again(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        self.parked.retain(|(_, id)| *id != call.id);
        let trip = &mut self.trips[call.id];
        if let Some((endpoint, affinity)) = trip.same.take() {
            let (Some(model), Some(flow)) = (&trip.model, trip.flow) else { return none() };
            let lane = model.lane(Operation::Messages, model.label.as_str());
            let draw = Draw { anyway: true, ..trip.choosing.draw(flow) };
            return match endpoint.acquire(lane, &draw, now) {
                Ok(slot) => self.attempt(call.id, &endpoint, slot, affinity, now),
                Err(_) => self.decide(call.id, How::Begin, now),
            };
        }
        let over = trip.behind.take().is_some_and(|leader| leader.is_over());
        self.decide(call.id, if over { How::FirstByte } else { How::Time }, now)
    }

    fn refused(
        &mut self,
        call: &Call<'_>,
        _account: usize,
        why: Refused,
        headers: Headers<'_>,
        now: Moment,
    ) -> Answer {
        let status = match why {
            Refused::Wait { .. } | Refused::Never { .. } => 429,
            Refused::Overloaded => 529,
            Refused::Unavailable => return self.failed(call.id, &Failure::Connect, Denial::Unavailable, now),
        };
        let headers = headers();
        self.learn(call.id, &headers, now);
        let asked = Asked { operation: Operation::Messages, estimated_tokens: self.trips[call.id].tokens };
        let verdict = classify(status, &headers, &fault_of(why), &asked, wall(now));
        let trip = &self.trips[call.id];
        let elsewhere = trip.slot.as_ref().is_some_and(|slot| refused_but(&trip.tried, slot.endpoint()) > 0);
        let Some(failure) = verdict.failure(elsewhere) else { return Answer::Deny(Denial::Unavailable) };
        let last = match verdict {
            Verdict::RateLimited(limit) => {
                Denial::Limited { retry_after: limit.retry_after.map(|s| s.as_secs()) }
            }
            Verdict::Answered
            | Verdict::Request
            | Verdict::Overloaded { .. }
            | Verdict::ServerError
            | Verdict::KeySuspect(_)
            | Verdict::ModelBarred
            | Verdict::UsageOptionRefused
            | Verdict::ProvenanceRefused => Denial::Unavailable,
        };
        self.failed(call.id, &failure, last, now)
    }

    fn answered(&mut self, call: &Call<'_>, _account: usize, headers: Headers<'_>, now: Moment) {
        let headers = headers();
        self.learn(call.id, &headers, now);
        let trip = &mut self.trips[call.id];
        if let Some(slot) = &mut trip.slot {
            slot.answered(now);
        }
        if let Some(turn) = &mut trip.turn {
            turn.answered();
        }
        trip.prompt = Prompt::default();
    }

    fn finished(&mut self, call: &Call<'_>, _account: usize, usage: &Usage, now: Moment) {
        let trip = &mut self.trips[call.id];
        if let Some(mut slot) = trip.slot.take() {
            slot.used(usage, now);
        }
        if let Some(mut turn) = trip.turn.take() {
            turn.settled(&TurnFacts {
                context_tokens: usage.total_input(),
                output_tokens: usage.output,
                charged: call.agent.model.bill(usage),
                input: Some(InputFacts {
                    read: usage.cached_read,
                    written: usage.write_5m + usage.write_1h,
                    uncached: usage.input,
                }),
            });
        }
    }

    fn listed(&mut self, listed: &[bool], _now: Moment) {
        let model = self.models.models().next().map(|model| model.label.to_string()).unwrap_or_default();
        // A reload: another configuration, with live state taken over.
        let Some(config) = configuration(&self.accounts, listed, &model, self.grain) else { return };
        if let Some((pool, models, rings)) = assemble(&config, Some(&self.pool)) {
            (self.config, self.pool, self.models, self.rings) = (config, pool, models, rings);
        }
    }

    fn woken(&mut self) -> Woken {
        let over = |(leader, id): &(Arc<Leader>, usize)| leader.is_over().then_some(*id);
        self.parked.iter().filter_map(over).collect()
    }
}

impl Trip {
    fn of(call: &Call<'_>, model: Arc<Model>, config: &Config, off: f64) -> Self {
        let points = call.agent.prompt(call.turn);
        let mut chain = PrefixChain {
            points: points
                .iter()
                .map(|p| PrefixPoint { hash: p.hash, bytes: p.bytes, section: p.section, breakpoint: false })
                .collect(),
        };
        for &mark in &call.turn.marks {
            if let Some(point) = chain.points.get_mut(mark) {
                point.breakpoint = true;
            }
        }
        let ttl = match (call.turn.marks.is_empty(), call.turn.ttl) {
            (true, _) => TtlAsked::None,
            (false, Ttl::Hour) => TtlAsked::Long,
            (false, Ttl::FiveMinutes | Ttl::Idle | Ttl::HalfHour | Ttl::Day) => TtlAsked::Short,
        };
        let name = model.label.as_str();
        let rates = config.prices.iter().find(|row| row.model == name).map_or(USUAL_RATES, |row| row.rates);
        let tokens = guess(points.last().map_or(0, |point| point.tokens), off);
        let prompt = model.endpoints.first().map_or_else(Prompt::default, |endpoint| {
            let marks: Vec<_> = call.turn.marks.iter().map(|&mark| (mark, ttl)).collect();
            let facts = PromptFacts {
                marks: &marks,
                cache: endpoint.provider().params.cache,
                model: xxh3_64(name.as_bytes()),
                settings: 0,
                message_settings: 0,
                tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
                ttl,
            };
            Prompt::of(&chain, &facts)
        });
        let bytes = points.last().map_or(0, |point| point.bytes);
        let caller = call.agent.caller.to_le_bytes();
        Self {
            prompt,
            price: Some(Price::of(&rates, ttl != TtlAsked::None, ttl == TtlAsked::Long)),
            session: Some(key(&call.agent.session, &call.agent.name)),
            parent: call.agent.parent.map(|_| key(&call.agent.session, "main")),
            has_history: points.iter().any(|point| point.section == Section::Assistant),
            tokens,
            bytes,
            flow: Some(Flow { id: xxh3_64(&caller), bytes, ..Flow::NOBODY }),
            ttl: Some(ttl),
            model: Some(model),
            ..Self::default()
        }
    }
}

fn key(session: &str, agent: &str) -> SessionKey {
    SessionKey(xxh3_128(format!("{session}\0{agent}").as_bytes()))
}

/// What is not the true number, but near it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a guess at a count far below 2^52"
)]
fn guess(tokens: u64, off: f64) -> u64 {
    (tokens as f64 * off) as u64
}

/// 0 to 1, by these two numbers.
#[expect(clippy::cast_precision_loss, reason = "53 random bits are plenty")]
fn chance(seed: u64, n: u64) -> f64 {
    (xxh3_64_with_seed(&n.to_le_bytes(), seed) >> 11) as f64 / (1_u64 << 53) as f64
}

const fn none() -> Answer {
    Answer::Deny(Denial::Unavailable)
}

fn denial(reason: Reason, retry_after: u32) -> Denial {
    if reason == Reason::RateLimited {
        Denial::Limited { retry_after: Some(u64::from(retry_after)) }
    } else {
        Denial::Unavailable
    }
}

fn fault_of(why: Refused) -> UpstreamFault {
    let (kind, message) = match why {
        Refused::Wait { what, .. } => {
            ("rate_limit_error", format!("This request would exceed the rate limit for {what} per minute."))
        }
        Refused::Never { limit } => {
            ("rate_limit_error", format!("Request too large: it alone exceeds the limit of {limit} tokens."))
        }
        Refused::Overloaded | Refused::Unavailable => ("overloaded_error", "Overloaded".to_owned()),
    };
    UpstreamFault { kind: kind.into(), message, ..UpstreamFault::default() }
}

/// Rate domains other than that of `endpoint` that have refused this request with a 429.
fn refused_but(tried: &[Tried], endpoint: &Endpoint) -> u32 {
    let here = endpoint.rate_domain();
    let mut limited: Vec<_> = tried
        .iter()
        .filter(|tried| tried.rate_limited && tried.rate_domain != *here.name())
        .map(|tried| &tried.rate_domain)
        .collect();
    limited.sort_unstable();
    limited.dedup();
    u32::try_from(limited.len()).unwrap_or(u32::MAX)
}

/// Accounts fail apart from each other: each has a region of its own.
fn configuration(accounts: &[Account], listed: &[bool], model: &str, grain: u64) -> Option<Config> {
    // Coarse tokens are cheap ones: what is weighed against their price is so many times less, too.
    let mut text = if grain > 1 { Knobs::of(grain, 1.0).routing } else { String::new() };
    text.push_str("[[provider]]\nname = \"anthropic\"\ndialect = \"anthropic\"\n");
    for (account, _) in accounts.iter().zip(listed).filter(|(_, listed)| **listed) {
        let name = &account.key;
        text.push_str(&format!(
            "[[endpoint]]\nname = \"{name}\"\nprovider = \"anthropic\"\nregion = \"{name}\"\nkey = {{ env = \"{name}\" }}\n"
        ));
    }
    text.push_str(&format!("[[model]]\nname = \"{model}\"\nprovider = \"anthropic\"\n"));
    config::parse(&text, Path::new("replay.toml"), &Keys).ok()
}

fn assemble(config: &Config, old: Option<&Pool>) -> Option<(Arc<Pool>, ModelTable, Rings)> {
    let pool = Pool::build(config.providers.clone(), config.endpoints.clone(), old).ok()?;
    let models = ModelTable::build(config.models.clone(), &pool).ok()?;
    let rings = Rings::build(&pool, &models);
    Some((Arc::new(pool), models, rings))
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
