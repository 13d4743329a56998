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
    ring::Ring,
    sessions::{SessionTable, Turn},
};
use crate::{
    clock::Moment,
    dialect::TtlAsked,
    types::{AffinityReason, AffinityResult, DomainName, EndpointName, ModelName, Reason, SessionKey},
    upstream::{Endpoint, Lane},
};

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
}

impl Tried {
    /// A try at `endpoint`.
    #[must_use]
    pub fn new(endpoint: &Endpoint, rate_limited: bool) -> Self {
        Self {
            endpoint: endpoint.name().clone(),
            rate_domain: endpoint.rate_domain().name().clone(),
            rate_limited,
        }
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
    /// Nowhere yet: sleep until then, drop the waiter, and ask again.
    Wait {
        /// What it waits for.
        endpoint: Arc<Endpoint>,
        /// Until when.
        until: Moment,
        /// Its place among those who wait.
        waiter: Waiter,
    },
    /// Nowhere. If an upstream's answer is at hand, that is the better reply.
    Deny {
        /// Why.
        reason: Reason,
        /// Seconds after which it is worth trying again, 1 to 60.
        retry_after: u32,
    },
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
    /// Where it goes.
    pub endpoint: &'a Arc<Endpoint>,
    /// Whether that is where it was warm.
    pub affinity: AffinityResult,
    /// The cache life that it asks for.
    pub ttl: TtlAsked,
    /// Bytes of its body.
    pub context_bytes: u64,
    /// Not a retry.
    pub first_try: bool,
}

/// Decides where requests go.
pub trait Policy: Send + Sync {
    /// Where may this request go now?
    fn decide(&self, ask: &Ask<'_>, now: Moment) -> Decision;

    /// A request goes out. Keep the turn for as long as the request lasts.
    fn started(&self, start: &Start<'_>, now: Moment) -> Turn;

    /// What is known of sessions.
    fn sessions(&self) -> &Arc<SessionTable>;

    /// Requests that wait on purpose at present.
    fn waiting(&self) -> usize;
}

/// A bounded number of requests that wait.
#[derive(Debug)]
pub(super) struct Waiters {
    most: usize,
    count: Arc<AtomicUsize>,
}

impl Waiters {
    pub(super) fn new(most: usize) -> Self {
        Self { most, count: Arc::default() }
    }

    pub(super) fn count(&self) -> usize {
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
pub struct Waiter(Arc<AtomicUsize>);

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
