//! The pinned policy: a session stays where it is warm.
//!
//! - Warm, and its endpoint can be used: it goes there.
//! - Warm, and its endpoint is rate limited: it waits while that is short, since a spill pays for
//!   the whole context again and drains the next account (routing 3.2, 3.3); else it moves.
//! - After a move it stays where it moved while that is warm: no bouncing back, no double miss.
//! - New or cold: placed by rendezvous, free of charge, skipping rate domains (and endpoints in
//!   them) that hold more than their share of warm sessions. So fifty conversations spread, even
//!   if all fifty begin alike.
//! - Unknown here but with a history (a restart, another replica): its pure rendezvous choice,
//!   the best guess at where it is warm.
//!
//! Whatever it moves for, an endpoint that shares the *cache* is the better choice: nothing is lost.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{
    entry::Place,
    policy::{Ask, Decision, SUSPECT_STEP, SUSPECT_WAIT, Verdict},
    rendezvous::{Node, Nodes},
    sessions::{Known, SessionTable},
};
use crate::{
    clock::Moment,
    types::{AffinityReason, AffinityResult, EndpointName, Reason},
    upstream::{Availability, Endpoint, Need},
};

/// The knobs of pinned routing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PinnedParams {
    /// How long a request may wait for its endpoint's limits, in all.
    pub wait_max: Duration,
    /// A new session skips a rate domain that holds more than this share of what is fair.
    pub load_percent: u32,
}

impl Default for PinnedParams {
    fn default() -> Self {
        Self { wait_max: Duration::from_secs(10), load_percent: 110 }
    }
}

/// Sessions stay where they are warm.
pub(super) struct Pinned {
    params: PinnedParams,
    sessions: Arc<SessionTable>,
}

impl Pinned {
    pub(super) fn new(params: PinnedParams, sessions: Arc<SessionTable>) -> Self {
        Self { params, sessions }
    }

    /// The session is warm at `known.home`.
    fn warm(&self, ask: &Ask<'_>, nodes: &Nodes, known: &Known, now: Moment) -> Decision {
        let home = &known.home;
        let Some(node) = nodes.by_id(home.id) else {
            return self.relocate(ask, nodes, known, AffinityReason::Withdrawn, now);
        };
        if ask.rules_out(&node.endpoint) {
            let forbidden = ask.forbids(&node.endpoint);
            let why = if forbidden { AffinityReason::Withdrawn } else { AffinityReason::Fallback };
            return self.relocate(ask, nodes, known, why, now);
        }
        let why = match node.endpoint.availability(ask.lane, now) {
            Availability::Ready | Availability::HalfOpen | Availability::Suspect => {
                let waited = ask.waited > Duration::ZERO;
                let reason = if waited { AffinityReason::Waited } else { AffinityReason::Warm };
                return Decision::at(&node.endpoint, (AffinityResult::Hit, reason));
            }
            Availability::Paced { until }
            | Availability::Cooling { until }
            | Availability::Short { until } => {
                if let Some(wait) = wait(ask, node, until, self.params.wait_max, now) {
                    return wait;
                }
                AffinityReason::RateLimited
            }
            Availability::SuspectBusy => {
                if let Some(wait) = wait(ask, node, now + SUSPECT_STEP, SUSPECT_WAIT, now) {
                    return wait;
                }
                AffinityReason::Withdrawn
            }
            Availability::FailureOpen { .. }
            | Availability::TrialBusy
            | Availability::Barred { .. }
            | Availability::Spent { .. }
            | Availability::NoToken
            | Availability::Unhealthy => AffinityReason::Unavailable,
            Availability::Quarantined | Availability::Drained => AffinityReason::Withdrawn,
        };
        self.relocate(ask, nodes, known, why, now)
    }

    /// A warm session must leave its home.
    fn relocate(
        &self,
        ask: &Ask<'_>,
        nodes: &Nodes,
        known: &Known,
        why: AffinityReason,
        now: Moment,
    ) -> Decision {
        let home = known.home.id;
        let usable = |node: &Node| node.id() != home && is_usable(ask, node, now);
        let shares = |place: &Place| {
            nodes.best(ask.seed, |node| usable(node) && node.endpoint.cache_domain() == place.cache)
        };
        if let Some(node) = shares(&known.home) {
            return Decision::go(ask, &node.endpoint, (AffinityResult::Hit, why), now);
        }
        let prior = known.prior.as_ref().filter(|prior| prior.is_warm(now));
        let warm_too = prior
            .and_then(|prior| nodes.by_id(prior.id).filter(|node| usable(node)).or_else(|| shares(prior)));
        match warm_too.or_else(|| self.place(ask, nodes, Some(home), now)) {
            Some(node) => Decision::go(ask, &node.endpoint, (AffinityResult::Moved, why), now),
            None => self.nowhere(ask, nodes, now),
        }
    }

    /// The session is warm nowhere that we know of.
    fn cold(&self, ask: &Ask<'_>, nodes: &Nodes, known: Option<&Known>, now: Moment) -> Decision {
        let reason = match (ask.session, known) {
            _ if !ask.tried.is_empty() => AffinityReason::Fallback,
            (None, _) => AffinityReason::Anonymous,
            (Some(_), Some(_)) => AffinityReason::Expired,
            (Some(_), None) => AffinityReason::First,
        };
        if ask.session.is_some()
            && known.is_none()
            && ask.has_history
            && let Some(node) = nodes.best(ask.seed, |node| !ask.rules_out(&node.endpoint))
        {
            let available = node.endpoint.availability(ask.lane, now);
            if available.usable() {
                return Decision::go(ask, &node.endpoint, (AffinityResult::New, reason), now);
            }
            if let Some(wait) =
                available.reopens().and_then(|until| wait(ask, node, until, self.params.wait_max, now))
            {
                return wait;
            }
        }
        match self.place(ask, nodes, None, now) {
            Some(node) => Decision::go(ask, &node.endpoint, (AffinityResult::New, reason), now),
            None => self.nowhere(ask, nodes, now),
        }
    }

    /// Only one endpoint can serve it.
    fn pinned(&self, ask: &Ask<'_>, nodes: &Nodes, pin: &EndpointName, now: Moment) -> Decision {
        let Some(node) = nodes.by_id(Endpoint::id_of(pin.as_str())) else {
            return Decision::Deny { reason: Reason::OwnerGone, retry_after: 60 };
        };
        if ask.rules_out(&node.endpoint) {
            return Decision::Deny { reason: Reason::NoEndpoint, retry_after: 1 };
        }
        let available = node.endpoint.availability(ask.lane, now);
        if available.usable() {
            return Decision::at(&node.endpoint, (AffinityResult::Hit, AffinityReason::HardPin));
        }
        let (until, most) = match available.reopens() {
            Some(until) => (until, self.params.wait_max),
            None if available == Availability::SuspectBusy => (now + SUSPECT_STEP, SUSPECT_WAIT),
            None => return deny(Reason::NoEndpoint, available.ends(), now),
        };
        wait(ask, node, until, most, now).unwrap_or_else(|| deny(Reason::RateLimited, Some(until), now))
    }

    /// Rendezvous over what can be used, skipping what holds more than its share.
    fn place<'n>(
        &self,
        ask: &Ask<'_>,
        nodes: &'n Nodes,
        leave: Option<u64>,
        now: Moment,
    ) -> Option<&'n Node> {
        self.sessions.sweep(now);
        let load = Load::measure(nodes, self.params.load_percent, |node| {
            Some(node.id()) != leave && is_good(ask, node, now)
        });
        nodes
            .best(ask.seed, |node| load.has_room(node) && Some(node.id()) != leave && is_good(ask, node, now))
            .or_else(|| nodes.best(ask.seed, |node| Some(node.id()) != leave && is_usable(ask, node, now)))
    }

    /// Nothing can be used now: wait for whatever opens first, or say no.
    fn nowhere(&self, ask: &Ask<'_>, nodes: &Nodes, now: Moment) -> Decision {
        let candidates = nodes.all().iter().filter(|node| !ask.rules_out(&node.endpoint));
        let states: SmallVec<[_; 16]> =
            candidates.map(|node| (node, node.endpoint.availability(ask.lane, now))).collect();
        let first = states
            .iter()
            .filter_map(|(node, state)| Some((state.reopens()?, *node)))
            .min_by_key(|(until, node)| (*until, node.id()));
        if let Some((until, node)) = first {
            return wait(ask, node, until, self.params.wait_max, now).unwrap_or_else(|| {
                let full = now.until(until) + ask.waited <= self.params.wait_max;
                let reason = if full { Reason::WaitersFull } else { Reason::RateLimited };
                deny(reason, Some(until), now)
            });
        }
        deny(Reason::NoEndpoint, states.iter().filter_map(|(_, state)| state.ends()).min(), now)
    }
}

impl Pinned {
    /// Where may this request go now?
    pub(super) fn decide(&self, ask: &Ask<'_>, now: Moment) -> Verdict {
        let need = Need { input: u64::from(ask.prompt.tokens), cached: 0 };
        // Refusals alone make it wait: our own reckoning of the limits is only kept up to date.
        Verdict { anyway: true, ..Verdict::new(self.decision(ask, now), need) }
    }

    fn decision(&self, ask: &Ask<'_>, now: Moment) -> Decision {
        let nodes = ask.ring.nodes();
        if let Some(pin) = ask.pin {
            return self.pinned(ask, &nodes, pin, now);
        }
        let known = ask.session.and_then(|session| self.sessions.known(session));
        match &known {
            Some(warm) if warm.home.is_warm(now) => self.warm(ask, &nodes, warm, now),
            Some(_) | None => self.cold(ask, &nodes, known.as_ref(), now),
        }
    }
}

/// Until an opening at `until`; as long as may be where none is known.
fn deny(reason: Reason, until: Option<Moment>, now: Moment) -> Decision {
    Decision::deny(reason, until.map_or(Duration::from_secs(60), |until| now.until(until)))
}

/// `None` when that is too long, or too many wait already.
fn wait(ask: &Ask<'_>, node: &Node, until: Moment, most: Duration, now: Moment) -> Option<Decision> {
    if !ask.may_wait || ask.waited.saturating_add(now.until(until)) > most {
        return None;
    }
    Some(Decision::Wait { endpoint: Arc::clone(&node.endpoint), until })
}

fn is_usable(ask: &Ask<'_>, node: &Node, now: Moment) -> bool {
    node.endpoint.availability(ask.lane, now).usable() && !ask.rules_out(&node.endpoint)
}

/// Usable, and nothing speaks against its key.
fn is_good(ask: &Ask<'_>, node: &Node, now: Moment) -> bool {
    node.endpoint.availability(ask.lane, now).is_good() && !ask.rules_out(&node.endpoint)
}

/// How many warm sessions each rate domain may hold before new ones go elsewhere.
struct Load {
    domains: SmallVec<[DomainLoad; 16]>,
}

#[derive(Clone, Copy, Default)]
struct DomainLoad {
    sessions: u64,
    /// Of its endpoints that can be used.
    usable: u64,
    usable_sessions: u64,
    room: bool,
}

impl Load {
    fn measure(nodes: &Nodes, percent: u32, usable: impl Fn(&Node) -> bool) -> Self {
        let mut domains: SmallVec<[DomainLoad; 16]> = SmallVec::new();
        domains.resize(nodes.domains().len(), DomainLoad::default());
        for node in nodes.all() {
            let sessions = u64::from(node.endpoint.sessions());
            if let Some(domain) = domains.get_mut(node.domain) {
                domain.sessions += sessions;
                if usable(node) {
                    domain.usable += 1;
                    domain.usable_sessions += sessions;
                }
            }
        }
        let total: u64 = domains.iter().map(|domain| domain.sessions).sum();
        let shares = || domains.iter().zip(nodes.domains()).filter(|(domain, _)| domain.usable > 0);
        let weights: f64 = shares().map(|(_, share)| share.weight).sum();
        let factor = f64::from(percent) / 100.0;
        let total = f64::from(u32::try_from(total).unwrap_or(u32::MAX));
        for (domain, share) in domains.iter_mut().zip(nodes.domains()) {
            let most = (factor * total * share.weight / weights + 1.0).floor();
            domain.room = f64::from(u32::try_from(domain.sessions).unwrap_or(u32::MAX)) <= most;
        }
        Self { domains }
    }

    /// Its domain holds no more than its share, nor it of its domain's.
    fn has_room(&self, node: &Node) -> bool {
        self.domains.get(node.domain).is_some_and(|domain| {
            domain.room
                && domain.usable > 0
                && u64::from(node.endpoint.sessions()) <= (domain.usable_sessions + 1) / domain.usable
        })
    }
}

#[cfg(test)]
#[path = "pinned_tests.rs"]
mod tests;
