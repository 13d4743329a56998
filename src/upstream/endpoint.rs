//! One choosable target: a provider and an upstream key, and everything that is known of it now.
//!
//! What is configured is immutable; what is alive (counts, gates, domains) hangs off `Arc`s that a
//! reload hands on by name, so that requests that started before it still give back what they took.
//! Asking whether an endpoint can be used reads atomics only; using it goes through
//! [`Endpoint::acquire`], which returns a guard.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::HeaderMap;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    auth::Credential,
    availability::Availability,
    bucket::float,
    budget::RetryBudget,
    domain::{Learned, Membership, Registry, learn},
    facts::DomainFacts,
    failure::{FailureGate, FailureState},
    headroom::Left,
    key::{KeyCheck, KeyGate, KeyState},
    lane::Lane,
    need::{Draw, Flow, Need, Outlook, Standing},
    params::{Credentials, EndpointParams, ProviderParams},
    rate::RateState,
    rate_domain::{RateDomain, Terms},
    reservation::Reservation,
    slot::Slot,
    tally::{Bars, Homed, Tally},
};
use crate::{
    clock::Moment,
    types::{DomainName, EndpointName, KeyDigest},
};

/// A provider: its settings and its retry budget.
pub struct Provider {
    /// The settings.
    pub params: ProviderParams,
    /// How many of its requests may come from failures elsewhere.
    pub budget: RetryBudget,
}

/// What makes an endpoint the same account as before a reload.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) provider: String,
    pub(super) host: String,
    pub(super) key: Option<KeyDigest>,
}

/// One choosable target.
pub struct Endpoint {
    pub(super) params: EndpointParams,
    pub(super) provider: Arc<Provider>,
    pub(super) id: u64,
    pub(super) account: Account,
    pub(super) tally: Arc<Tally>,
    pub(super) credential: Option<Arc<Credential>>,
    pub(super) key_gate: Arc<KeyGate>,
    pub(super) membership: Arc<Membership>,
    pub(super) bars: Arc<Bars>,
    pub(super) failure: Arc<FailureGate>,
    pub(super) registry: Arc<Registry>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(self.name()).finish()
    }
}

impl Endpoint {
    /// The fixed hash of an endpoint's name: what rendezvous and pseudo addresses are made from.
    #[must_use]
    pub fn id_of(name: &str) -> u64 {
        xxh3_64(name.as_bytes())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        &self.params.name
    }

    /// XXH3 of its name.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its provider.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// What lets it in, where that is its own and not the caller's.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
    }

    /// A token lets it in, and there is none at present.
    pub(super) fn lacks_token(&self, now: Moment) -> bool {
        self.credential.as_ref().is_some_and(|credential| !credential.is_ready(now))
    }

    /// Its region, where configured.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.params.region.as_deref()
    }

    /// The endpoints that share its limits.
    #[must_use]
    pub fn rate_domain(&self) -> Arc<RateDomain> {
        self.membership.rate.load_full()
    }

    /// The endpoints that share its prompt cache.
    #[must_use]
    pub fn cache_domain(&self) -> DomainName {
        DomainName::clone(&self.membership.cache.load())
    }

    /// XXH3 of the cache domain's name: what the warm index knows it by.
    #[must_use]
    pub fn cache_id(&self) -> u64 {
        xxh3_64(self.membership.cache.load().as_str().as_bytes())
    }

    /// The endpoints that fail together with it.
    #[must_use]
    pub fn failure_domain(&self) -> &DomainName {
        self.failure.name()
    }

    /// The organisation behind its key, once an answer named it.
    #[must_use]
    pub fn organisation(&self) -> Option<String> {
        self.membership.organisation()
    }

    /// Whether a request of `lane` may go there at `now`. Claims nothing.
    #[must_use]
    pub fn availability(&self, lane: Lane, now: Moment) -> Availability {
        if self.is_drained() {
            return Availability::Drained;
        }
        if self.key_gate.is_quarantined() {
            return Availability::Quarantined;
        }
        if self.lacks_token(now) {
            return Availability::NoToken;
        }
        if self.tally.unhealthy.load(Ordering::Acquire) {
            return Availability::Unhealthy;
        }
        if let Some(until) = self.spent_until(now) {
            return Availability::Spent { until };
        }
        if let Some(until) = self.bars.until(lane.model(), now) {
            return Availability::Barred { until };
        }
        let failure = self.failure.state(now);
        match failure {
            FailureState::Open { until } => return Availability::FailureOpen { until },
            FailureState::TrialBusy => return Availability::TrialBusy,
            FailureState::Closed | FailureState::HalfOpen => {}
        }
        let cooled = self.tally.cooled_until.load(Ordering::Acquire);
        if now.as_nanos() < cooled {
            return Availability::Cooling { until: Moment::from_nanos(cooled) };
        }
        if let Some(gate) = self.membership.rate.load().gate(lane) {
            match gate.state(now) {
                RateState::Open => {}
                RateState::Cooling { until } => return Availability::Cooling { until },
                RateState::Paced { until } => return Availability::Paced { until },
            }
        }
        if !self.key_gate.is_good() {
            return if self.key_gate.has_room() { Availability::Suspect } else { Availability::SuspectBusy };
        }
        if failure == FailureState::HalfOpen { Availability::HalfOpen } else { Availability::Ready }
    }

    /// When its rate domain's limits would let `need` start. Claims nothing. Of failures and keys it
    /// knows nothing: that is [`Self::availability`].
    #[must_use]
    pub fn outlook(&self, lane: Lane, need: &Need, who: Standing<'_>, now: Moment) -> Outlook {
        let domain = self.membership.rate.load();
        match domain.gate(lane) {
            Some(gate) if !self.caller_pays() => gate.outlook(self.counted(need), &who.at(gate), now),
            Some(_) | None => Outlook::OPEN,
        }
    }

    /// What of `need` its provider counts.
    fn counted(&self, need: &Need) -> f64 {
        float(need.counted(self.provider.params.limits.cached_reads_count))
    }

    /// A place in the queue of its rate domain, with its tokens set aside. `None` when the queue is
    /// full, by number or by bytes, or `need` is larger than the limit itself. Dropping it gives it back.
    #[must_use]
    pub fn reserve(&self, lane: Lane, need: &Need, flow: Flow, _now: Moment) -> Option<Reservation> {
        let domain = self.membership.rate.load();
        let gate = domain.gate_or_new(lane)?;
        if !domain.crowd.enter(flow.bytes, &self.provider.params.limits) {
            return None;
        }
        let Some(place) = gate.gauge(|gauge| gauge.enter(self.counted(need), &flow)) else {
            domain.crowd.leave(flow.bytes);
            return None;
        };
        let held = (Arc::clone(gate), Arc::clone(&domain.crowd));
        Some(Reservation::new(self.id, lane, flow, place, held))
    }

    /// Takes a place there, and what `draw` needs of its limits: the only way to send to it.
    ///
    /// # Errors
    /// Why not; it may have changed since [`Self::availability`] was asked.
    pub fn acquire(self: &Arc<Self>, lane: Lane, draw: &Draw<'_>, now: Moment) -> Result<Slot, Availability> {
        let available = self.availability(lane, now);
        if !available.usable() {
            return Err(available);
        }
        let ticket = if self.key_gate.is_good() {
            None
        } else {
            Some(self.key_gate.ticket().ok_or(Availability::SuspectBusy)?)
        };
        let trial = self.failure.start(now).map_err(|state| match state {
            FailureState::Open { until } => Availability::FailureOpen { until },
            FailureState::TrialBusy | FailureState::HalfOpen | FailureState::Closed => {
                Availability::TrialBusy
            }
        })?;
        // Last, because a paced start that is taken cannot be given back.
        let domain = self.membership.rate.load();
        let debit = match domain.gate_or_new(lane) {
            Some(gate) if !self.caller_pays() => {
                let who = draw.who.at(gate);
                let debit = gate.start(self.counted(&draw.need), &who, draw.anyway, now)?;
                Some((Arc::clone(gate), debit))
            }
            // The limits are the caller's own.
            Some(_) | None => None,
        };
        drop(domain);
        Ok(Slot::new(Arc::clone(self), lane, (trial, ticket), debit, now))
    }

    /// What is known of its rate domain's limits, for other replicas and for after a restart.
    #[must_use]
    pub fn facts(&self, now: Moment) -> DomainFacts {
        let domain = self.rate_domain();
        domain.facts(vec![self.name().to_string()], |class| self.registry.classes.name(class), now)
    }

    /// Takes over what another replica, or this one before a restart, knew of its rate domain `age`
    /// ago. Never raises a level: what is known here already is only lowered, what is not starts at
    /// what time has refilled since.
    pub fn adopt_facts(&self, facts: &DomainFacts, age: Duration, now: Moment) {
        if self.caller_pays() {
            return;
        }
        let domain = self.membership.rate.load();
        for class in &facts.classes {
            // Only classes of this process: a file cannot make up new ones.
            if let Some(number) = self.registry.classes.known(&class.class) {
                domain.adopt(Lane::from_class(number), class, age, now);
            }
        }
    }

    /// The name of a class, which other gateways know it by.
    pub(super) fn class_name(&self, class: u16) -> String {
        self.registry.classes.name(class)
    }

    /// The lane of a class that this process knows.
    pub(super) fn known_class(&self, name: &str) -> Option<Lane> {
        self.registry.classes.known(name).map(Lane::from_class)
    }

    /// Reads who the account is from an answer's headers: call it on every answer's head, before
    /// its failure is booked. `Some` only when something is new.
    #[must_use]
    pub fn learn(&self, headers: &HeaderMap) -> Option<Learned> {
        if self.caller_pays() {
            // The headers tell of the caller's account, not of ours.
            return None;
        }
        let provider = &self.provider.params;
        learn(
            &self.registry,
            &self.membership,
            (provider.family, &provider.host, self.params.weight, self.terms()),
            headers,
        )
    }

    /// What is left of its limits, as far as answers or the configuration told.
    #[must_use]
    pub fn headroom(&self, lane: Lane, now: Moment) -> SmallVec<[Left; 4]> {
        let domain = self.membership.rate.load();
        domain.gate(lane).map(|gate| gate.gauge(|gauge| gauge.left(now))).unwrap_or_default()
    }

    /// What is known of its key.
    #[must_use]
    pub fn key_state(&self) -> KeyState {
        self.key_gate.state()
    }

    /// The right and duty to check its key: it is suspect, or quarantined and due again. Exclusive.
    #[must_use]
    pub fn claim_check(&self, now: Moment) -> Option<KeyCheck> {
        self.key_gate.claim_check(false, self.provider.params.cooling.recheck, now)
    }

    /// The same, though nothing speaks against the key: for the start of the gateway.
    #[must_use]
    pub fn claim_first_check(&self, now: Moment) -> Option<KeyCheck> {
        self.key_gate.claim_check(true, self.provider.params.cooling.recheck, now)
    }

    /// What its own health path said.
    pub fn set_healthy(&self, healthy: bool) {
        self.tally.unhealthy.store(!healthy, Ordering::Release);
    }

    /// An operator takes it out: what runs runs on, nothing new starts.
    pub fn drain(&self) {
        self.tally.drained.store(true, Ordering::Release);
    }

    /// Whether an operator took it out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.tally.drained.load(Ordering::Acquire)
    }

    /// An operator takes it back in: drain, quarantine, bars and every cooling end, also for those
    /// who share its domains.
    pub fn readmit(&self, now: Moment) {
        self.tally.drained.store(false, Ordering::Release);
        self.tally.cooled_until.store(0, Ordering::Release);
        self.reopen_spent();
        self.key_gate.readmit(now);
        self.bars.clear();
        self.membership.rate.load().reset();
        self.failure.reset(now);
    }

    /// An operator cools this endpoint, and nothing that shares its domains, for `span`.
    pub fn cool(&self, span: Duration, now: Moment) {
        self.tally.cooled_until.fetch_max((now + span).as_nanos(), Ordering::AcqRel);
    }

    /// A budget of its own or of its provider's is spent until then: nothing new starts. Whether that
    /// is news.
    pub fn close_spent(&self, until: Moment, now: Moment) -> bool {
        self.tally.spent_until.fetch_max(until.as_nanos(), Ordering::AcqRel) <= now.as_nanos()
    }

    /// Its budgets may have changed: asked anew by the next request.
    pub fn reopen_spent(&self) {
        self.tally.spent_until.store(0, Ordering::Release);
    }

    /// Until when what may be spent there is spent.
    pub(super) fn spent_until(&self, now: Moment) -> Option<Moment> {
        let until = Moment::from_nanos(self.tally.spent_until.load(Ordering::Acquire));
        (now < until).then_some(until)
    }

    /// Requests that are out at present.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.tally.in_flight.load(Ordering::Acquire)
    }

    /// Warm sessions whose home it is.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.tally.sessions.load(Ordering::Acquire)
    }

    /// Counts one more warm session here, until the guard is dropped.
    #[must_use]
    pub fn adopt(&self) -> Homed {
        self.tally.sessions.fetch_add(1, Ordering::AcqRel);
        Homed(Arc::clone(&self.tally))
    }

    pub(super) fn terms(&self) -> Terms {
        let provider = &self.provider.params;
        Terms { window: provider.limits.window, pace: provider.cooling.pace, limits: self.params.limits }
    }

    /// Observe mode: the caller's own credential goes upstream, so limits, money and organisation
    /// are the caller's, and nothing of it may be booked to what others use.
    pub(super) fn caller_pays(&self) -> bool {
        self.provider.params.credentials == Credentials::Caller
    }

    pub(super) fn cooled_until(&self, now: Moment) -> Option<Moment> {
        let until = Moment::from_nanos(self.tally.cooled_until.load(Ordering::Acquire));
        (now < until).then_some(until)
    }

    pub(super) fn is_unhealthy(&self) -> bool {
        self.tally.unhealthy.load(Ordering::Acquire)
    }
}
