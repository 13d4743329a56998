//! Routing by cost: wait where the prompt is warm, or pay for it elsewhere, whichever is cheaper.
//!
//! - The cheapest candidate that can start at once gets the request.
//! - Is the cheapest one short of headroom, the request waits for it while that is within the cap;
//!   a spill pays for the whole context again and drains the next account (routing 3.2, 3.3).
//! - Beyond the cap it goes to somebody who is open only if that costs no more than a refusal;
//!   else it is refused, with the time after which it is worth coming back.
//! - Does somebody else just now write a prefix that it shares, it waits for that one's first byte.
//! - Cold sessions fall out of the sum by themselves: they move free of charge. A spill moves
//!   nothing for good: both places are warm then, and the next turn picks the cheaper.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use super::{
    candidates::{Candidate, Candidates},
    memory::Memory,
    policy::{Ask, Decision, Verdict},
    record::{Record, Weighed},
    rendezvous::{Node, Nodes},
    score::{PREFILL_PER_SECOND, Weights},
    sessions::Known,
    warm::Leader,
};
use crate::{
    clock::Moment,
    types::{AffinityReason, AffinityResult, Reason},
    upstream::{Availability, Endpoint, Need, Reservation},
};

/// The knobs of routing by cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CostParams {
    /// How long a request waits by choice: for limits, or behind a leader. Before it is refused it waits
    /// up to three times as long.
    pub wait_max: Duration,
    /// What the terms weigh.
    pub weights: Weights,
}

impl Default for CostParams {
    fn default() -> Self {
        Self { wait_max: Duration::from_secs(10), weights: Weights::default() }
    }
}

/// Nobody waits longer, whatever is configured: clients and proxies on the way give up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds until a provider's first byte, without what the prompt adds: for the guess at how long a
/// leader takes.
const FIRST_BYTE: f64 = 0.9;

pub(super) struct Cost {
    pub(super) params: CostParams,
}

impl Cost {
    pub(super) fn decide(
        &self,
        memory: &Arc<Memory>,
        ask: &Ask<'_>,
        place: Option<&Reservation>,
        now: Moment,
    ) -> Verdict {
        let nodes = ask.ring.nodes();
        let known = ask.session.and_then(|session| memory.sessions.known(session));
        if ask.pin.is_none() {
            memory.sessions.sweep(now);
        }
        let found = memory.warm.look(ask.prompt, now);
        let weights = &self.params.weights;
        let mut candidates = Candidates::new(ask, &nodes, weights, (known.as_ref(), place), found, now);
        let asked = Asked { ask, nodes: &nodes, known: known.as_ref(), now, params: &self.params };
        match ask.pin.map(|pin| nodes.by_id(Endpoint::id_of(pin.as_str()))) {
            Some(None) => return Asked::deny(Reason::OwnerGone, Duration::from_secs(60)),
            Some(Some(node)) => candidates.only(node),
            None => {
                candidates.warm();
                if !candidates.are_settled() {
                    candidates.others();
                }
            }
        }
        asked.choose(&candidates)
    }
}

/// One question, with what is needed to answer it.
struct Asked<'a> {
    ask: &'a Ask<'a>,
    nodes: &'a Nodes,
    known: Option<&'a Known>,
    now: Moment,
    params: &'a CostParams,
}

impl Asked<'_> {
    fn choose(&self, candidates: &Candidates<'_, '_>) -> Verdict {
        let list = &candidates.list;
        let cheaper = |a: &(usize, &Candidate<'_>), b: &(usize, &Candidate<'_>)| {
            a.1.cost().partial_cmp(&b.1.cost()).unwrap_or(Ordering::Equal)
        };
        let all = || list.iter().enumerate();
        let Some((_, best)) = all().min_by(cheaper) else { return self.nowhere() };
        // Those that it may have: open, or open before its patience ends.
        let within = |most: Duration| {
            let left = most.saturating_sub(self.ask.waited);
            let open = move |c: &Candidate<'_>| c.is_open() || (self.ask.may_wait && c.facts.wait <= left);
            all()
                .filter(|(_, candidate)| open(candidate))
                .min_by(cheaper)
                .filter(|(_, taken)| taken.cost() <= best.cost() + self.params.weights.refusal)
        };
        let left = self.patience().saturating_sub(self.ask.waited);
        let taken = within(self.params.wait_max).or_else(|| within(self.patience()));
        let (at, taken) = match taken {
            Some(taken) => taken,
            None => {
                let full = !self.ask.may_wait && best.facts.wait <= left;
                let reason = if full { Reason::WaitersFull } else { Reason::RateLimited };
                return Verdict { record: self.record(list, None), ..Self::deny(reason, best.facts.wait) };
            }
        };
        let decision = if taken.is_open() {
            self.parked(taken).unwrap_or_else(|| {
                Decision::go(self.ask, &taken.node.endpoint, self.affinity(taken, candidates), self.now)
            })
        } else {
            let endpoint = Arc::clone(&taken.node.endpoint);
            Decision::Wait { endpoint, until: self.now + taken.facts.wait }
        };
        Verdict { decision, need: taken.need, anyway: taken.never, record: self.record(list, Some(at)) }
    }

    /// How long it may wait in all before it is refused: longer than it waits by choice. A refusal
    /// costs it its place, and the client comes back to the same queue.
    fn patience(&self) -> Duration {
        (3 * self.params.wait_max).min(PATIENCE)
    }

    /// Whether it is worth waiting for somebody else's first byte.
    fn parked(&self, taken: &Candidate<'_>) -> Option<Decision> {
        let (tokens, leader) = taken.pending.as_ref()?;
        // By choice: it could go at once.
        let left = self.params.wait_max.saturating_sub(self.ask.waited);
        let gain = tokens.checked_sub(taken.facts.warm).filter(|gain| *gain > 0)?;
        if !self.ask.may_wait || left.is_zero() || self.ask.pin.is_some() {
            return None;
        }
        let all = FIRST_BYTE + f64::from(*tokens) / PREFILL_PER_SECOND;
        let rest = (all - self.now.since(leader.started()).as_secs_f64()).max(FIRST_BYTE / 3.0);
        let worth = f64::from(gain) * self.ask.price.premium();
        (worth > self.params.weights.delay * rest)
            .then(|| Decision::Park { leader: Arc::<Leader>::clone(leader), until: self.now + left })
    }

    fn affinity(
        &self,
        taken: &Candidate<'_>,
        candidates: &Candidates<'_, '_>,
    ) -> (AffinityResult, AffinityReason) {
        let ask = self.ask;
        if ask.pin.is_some() {
            return (AffinityResult::Hit, AffinityReason::HardPin);
        }
        let waited = ask.waited > Duration::ZERO;
        let home = self.known.filter(|known| known.home.is_warm(self.now));
        // Where nothing is cached (a short prompt, no markers), staying is all there is to keep.
        let stays = taken.facts.is_home && home.is_some();
        if !taken.facts.is_cold() || stays {
            let left = home.filter(|_| !taken.facts.is_home);
            let reason = match left {
                Some(home) if !ask.tried.is_empty() => self.why_left(home, candidates),
                Some(_) | None if waited => AffinityReason::Waited,
                Some(_) | None => AffinityReason::Warm,
            };
            return (AffinityResult::Hit, reason);
        }
        if let Some(home) = home {
            return (AffinityResult::Moved, self.why_left(home, candidates));
        }
        let reason = match (ask.session, self.known) {
            _ if !ask.tried.is_empty() => AffinityReason::Fallback,
            (None, _) => AffinityReason::Anonymous,
            (Some(_), Some(_)) => AffinityReason::Expired,
            (Some(_), None) => AffinityReason::First,
        };
        (AffinityResult::New, reason)
    }

    /// Why the session is not served where it is warm.
    fn why_left(&self, known: &Known, candidates: &Candidates<'_, '_>) -> AffinityReason {
        let home = known.home.id;
        let Some(node) = self.nodes.by_id(home) else { return AffinityReason::Withdrawn };
        if self.ask.forbids(&node.endpoint) {
            return AffinityReason::Withdrawn;
        }
        if self.ask.rules_out(&node.endpoint) {
            return AffinityReason::Fallback;
        }
        if let Some(weighed) = candidates.list.iter().find(|candidate| candidate.node.id() == home) {
            let limited = !weighed.is_open();
            return if limited { AffinityReason::RateLimited } else { AffinityReason::Cheaper };
        }
        match node.endpoint.availability(self.ask.lane, self.now) {
            Availability::Quarantined
            | Availability::Drained
            | Availability::SuspectBusy
            | Availability::Suspect => AffinityReason::Withdrawn,
            Availability::Short { .. } | Availability::Paced { .. } | Availability::Cooling { .. } => {
                AffinityReason::RateLimited
            }
            Availability::FailureOpen { .. }
            | Availability::TrialBusy
            | Availability::Barred { .. }
            | Availability::Spent { .. }
            | Availability::NoToken
            | Availability::Unhealthy => AffinityReason::Unavailable,
            Availability::Ready | Availability::HalfOpen => AffinityReason::Cheaper,
        }
    }

    /// Nobody can serve it, and waiting for limits is not the matter.
    fn nowhere(&self) -> Verdict {
        let ask = self.ask;
        // A key under suspicion is better than nothing.
        let suspect = self.nodes.best(ask.seed, |node| self.is_last_resort(node));
        if let (Some(node), None) = (suspect, ask.pin) {
            let reason =
                if ask.tried.is_empty() { AffinityReason::Unavailable } else { AffinityReason::Fallback };
            let result = match self.known {
                Some(known) if known.home.is_warm(self.now) => AffinityResult::Moved,
                Some(_) | None => AffinityResult::New,
            };
            let endpoint = Arc::clone(&node.endpoint);
            let need = Need { input: u64::from(ask.prompt.tokens), cached: 0 };
            return Verdict::new(Decision::Go { endpoint, affinity: (result, reason) }, need);
        }
        let ends = |node: &Node| Some(self.now.until(node.endpoint.availability(ask.lane, self.now).ends()?));
        let own = ask.pin.map(|pin| Endpoint::id_of(pin.as_str()));
        let soonest = self
            .nodes
            .all()
            .iter()
            .filter(|node| own.is_none_or(|own| own == node.id()) && !ask.rules_out(&node.endpoint))
            .filter_map(ends)
            .min();
        let seconds = if own.is_some() && soonest.is_none() { 1 } else { 60 };
        Self::deny(Reason::NoEndpoint, soonest.unwrap_or(Duration::from_secs(seconds)))
    }

    fn is_last_resort(&self, node: &Node) -> bool {
        node.endpoint.availability(self.ask.lane, self.now) == Availability::Suspect
            && !self.ask.rules_out(&node.endpoint)
    }

    fn deny(reason: Reason, after: Duration) -> Verdict {
        Verdict::new(Decision::deny(reason, after), Need::default())
    }

    fn record(&self, list: &[Candidate<'_>], chosen: Option<usize>) -> Record {
        let weighed = |candidate: &Candidate<'_>| Weighed {
            endpoint: candidate.node.endpoint.name().clone(),
            warm: candidate.facts.warm,
            wait: candidate.facts.wait,
            #[expect(clippy::cast_possible_truncation, reason = "came from an f32")]
            utilisation: candidate.facts.utilisation as f32,
            terms: candidate.terms,
        };
        Record { tokens: self.ask.prompt.tokens, candidates: list.iter().map(weighed).collect(), chosen }
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
