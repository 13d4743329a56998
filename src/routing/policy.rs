//! The question "which endpoint, now?" and its answers, as pure values behind a small trait.
//!
//! Nothing here sleeps: a policy that wants to wait says until when, and is asked again. So the same
//! policy can be driven by the proxy and by a simulation in virtual time, and another one can take
//! its place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    memory::Memory,
    record::Record,
    ring::Ring,
    score::Price,
    sessions::{SessionTable, Turn},
    warm::{Leader, Prompt},
};
use crate::{
    clock::Moment,
    dialect::TtlAsked,
    types::{
        Access, AffinityReason, AffinityResult, DomainName, EndpointName, ModelName, Reason, SessionKey,
    },
    upstream::{Endpoint, Flow, Lane, Need, Reservation},
};

/// A suspect key is checked within moments: whoever is warm there looks again this often ..
pub(super) const SUSPECT_STEP: Duration = Duration::from_millis(200);
/// .. for this long.
pub(super) const SUSPECT_WAIT: Duration = Duration::from_secs(2);

/// An endpoint that this request has tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Which.
    pub endpoint: EndpointName,
    /// Its rate domain at the time.
    pub rate_domain: DomainName,
    /// It answered 429: the same endpoint may be tried again once its limits allow. Any other
    /// failure rules it out for this request.
    pub rate_limited: bool,
    /// It was not tried at all: what may be spent there has no room for this request.
    pub unaffordable: bool,
}

impl Tried {
    /// A try at `endpoint`.
    #[must_use]
    pub fn new(endpoint: &Endpoint, rate_limited: bool) -> Self {
        Self {
            endpoint: endpoint.name().clone(),
            rate_domain: endpoint.rate_domain().name().clone(),
            rate_limited,
            unaffordable: false,
        }
    }

    /// What may be spent at `endpoint` has no room for this request. It costs no retry to go elsewhere.
    #[must_use]
    pub fn unaffordable(endpoint: &Endpoint) -> Self {
        Self { unaffordable: true, ..Self::new(endpoint, false) }
    }
}

/// Where may this request go now?
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The session, if any is known.
    pub session: Option<SessionKey>,
    /// What places it: the hash of the session, or of the conversation's opening.
    pub seed: u64,
    /// Who serves its model.
    pub ring: &'a Ring,
    /// What it counts as.
    pub lane: Lane,
    /// The one endpoint that can serve it, where its state lives there.
    pub pin: Option<&'a EndpointName>,
    /// Where it was tried already, in order.
    pub tried: &'a [Tried],
    /// How long it has waited on purpose so far.
    pub waited: Duration,
    /// The conversation has answers of a model in it: it was somewhere before.
    pub has_history: bool,
    /// What the provider's cache sees of it.
    pub prompt: &'a Prompt,
    /// What its tokens cost.
    pub price: Price,
    /// On whose behalf it waits, if it must.
    pub flow: Flow,
    /// Its history holds thinking that is signed for the account that made it.
    pub signed_thinking: bool,
    /// It carries what only this rate domain (an organisation) can read: encrypted reasoning.
    pub bound: Option<&'a DomainName>,
    /// Where its caller may go; `None` is everywhere.
    pub allowed: Option<&'a Access>,
    /// Waiting is still possible: not once the places for it are taken.
    pub may_wait: bool,
}

impl Ask<'_> {
    /// Its caller may not use that endpoint.
    pub(super) fn forbids(&self, endpoint: &Endpoint) -> bool {
        self.allowed.is_some_and(|access| !access.allows(&endpoint.provider().params.name, endpoint.region()))
    }

    /// It cannot go there: it failed there before, for another reason than limits, what it carries can
    /// be read elsewhere only, or its caller may not.
    pub(super) fn rules_out(&self, endpoint: &Endpoint) -> bool {
        self.forbids(endpoint)
            || self.tried.iter().any(|tried| !tried.rate_limited && tried.endpoint == *endpoint.name())
            || self.bound.is_some_and(|bound| endpoint.rate_domain().name() != bound)
    }
}

/// Where a request goes.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// There, now. (When the slot cannot be had after all, ask again: it was no try.)
    Go {
        /// Where.
        endpoint: Arc<Endpoint>,
        /// Whether it stays in place, and why.
        affinity: (AffinityResult, AffinityReason),
    },
    /// There, now, although it is warm elsewhere: its context is paid for again.
    Move {
        /// Where.
        endpoint: Arc<Endpoint>,
        /// Whether it stays in place, and why.
        affinity: (AffinityResult, AffinityReason),
    },
    /// Nowhere yet: it takes its place in the queue there; sleep until then and ask again.
    Wait {
        /// What it waits for.
        endpoint: Arc<Endpoint>,
        /// Until when, at the latest.
        until: Moment,
    },
    /// Nowhere yet: another request is about to make a prefix readable that this one shares.
    Park {
        /// Ask again at the first byte of its answer ..
        leader: Arc<Leader>,
        /// .. or then, at the latest.
        until: Moment,
    },
    /// Nowhere. If an upstream's answer is at hand, that is the better reply.
    Deny {
        /// Why.
        reason: Reason,
        /// Seconds after which it is worth trying again, 1 to 60.
        retry_after: u32,
    },
}

impl Decision {
    /// There, if the request has not failed elsewhere before, or as often as its provider's retry budget
    /// allows.
    pub(super) fn go(
        ask: &Ask<'_>,
        endpoint: &Arc<Endpoint>,
        affinity: (AffinityResult, AffinityReason),
        now: Moment,
    ) -> Self {
        let name = endpoint.name();
        let mut failed = ask.tried.iter().filter(|tried| !tried.unaffordable).peekable();
        let elsewhere = failed.peek().is_some() && failed.all(|tried| tried.endpoint != *name);
        if elsewhere && !endpoint.provider().budget.withdraw(now) {
            let limited = ask.tried.last().is_some_and(|tried| tried.rate_limited);
            let reason = if limited { Reason::RateLimited } else { Reason::NoEndpoint };
            return Self::Deny { reason, retry_after: 1 };
        }
        Self::at(endpoint, affinity)
    }

    /// There, in any case.
    pub(super) fn at(endpoint: &Arc<Endpoint>, affinity: (AffinityResult, AffinityReason)) -> Self {
        let endpoint = Arc::clone(endpoint);
        match affinity.0 {
            AffinityResult::Moved => Self::Move { endpoint, affinity },
            AffinityResult::Hit | AffinityResult::New => Self::Go { endpoint, affinity },
        }
    }

    /// Nowhere; worth trying again after so long, in whole seconds from 1 to 60.
    pub(super) fn deny(reason: Reason, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        Self::Deny { reason, retry_after: u32::try_from(seconds.clamp(1, 60)).unwrap_or(60) }
    }
}

/// A decision, and what it rests on.
#[derive(Debug)]
#[must_use]
pub struct Verdict {
    /// What to do.
    pub decision: Decision,
    /// What it is expected to take from the limits of where it goes, or waits.
    pub need: Need,
    /// Our own reckoning of the limits does not hold it up.
    pub anyway: bool,
    /// What was weighed.
    pub record: Record,
}

impl Verdict {
    /// A decision that takes `need`.
    pub(super) fn new(decision: Decision, need: Need) -> Self {
        Self { decision, need, anyway: false, record: Record::default() }
    }
}

/// A request that goes out.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// The session, if any is known.
    pub session: Option<SessionKey>,
    /// Whose sub-agent it is.
    pub parent: Option<SessionKey>,
    /// The configured name of its model.
    pub model: &'a ModelName,
    /// Who serves it.
    pub ring: &'a Ring,
    /// Where it goes.
    pub endpoint: &'a Arc<Endpoint>,
    /// Whether that is where it was warm.
    pub affinity: AffinityResult,
    /// The cache life that it asks for.
    pub ttl: TtlAsked,
    /// What the provider's cache sees of it.
    pub prompt: &'a Prompt,
    /// What its tokens cost.
    pub price: Price,
    /// Bytes of its body.
    pub context_bytes: u64,
    /// Not a retry.
    pub first_try: bool,
}

/// Decides where requests go.
pub trait Policy: Send + Sync {
    /// Where may this request go now? `place` is where it waits already.
    fn decide(&self, ask: &Ask<'_>, place: Option<&Reservation>, now: Moment) -> Verdict;

    /// A request goes out. Keep the turn for as long as the request lasts.
    fn started(&self, start: &Start<'_>, now: Moment) -> Turn;

    /// What is remembered, whoever decides.
    fn memory(&self) -> &Arc<Memory>;

    /// What is known of sessions.
    fn sessions(&self) -> &Arc<SessionTable>;

    /// The places of those who wait.
    fn waiters(&self) -> &Waiters;
}

/// A bounded number of requests that wait.
#[derive(Debug)]
pub struct Waiters {
    most: usize,
    count: Arc<AtomicUsize>,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Self {
        Self { most, count: Arc::default() }
    }

    /// Requests that wait on purpose at present.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn enter(&self) -> Option<Waiter> {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < self.most).then_some(count + 1)
            })
            .ok()
            .map(|_| Waiter(Arc::clone(&self.count)))
    }
}

/// A place among those who wait, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the wait"]
pub(super) struct Waiter(Arc<AtomicUsize>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
