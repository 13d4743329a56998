//! What must hold whenever the simulation of routing by cost sends a request.

use std::{sync::Arc, time::Duration};

use super::{Ask, Policy, Record, Weights, testkit::*};
use crate::{
    clock::Moment,
    types::{AffinityReason, AffinityResult},
    upstream::{Availability, Draw, Endpoint, LimitKind, Need, Standing},
};

/// Beyond which nobody waits just now.
#[derive(Clone, Copy, Default)]
pub(super) struct Bounds {
    /// By choice.
    pub(super) wait: Duration,
    pub(super) waiters: usize,
    /// In the queue of one account.
    pub(super) queue: u32,
}

/// What was offered without a wait is there: no account is drawn over its bucket, as we reckon it.
pub(super) fn is_there(endpoint: &Endpoint, draw: &Draw<'_>, now: Moment) {
    if draw.anyway {
        return;
    }
    let counted = draw.need.input - draw.need.cached;
    for left in endpoint.headroom(lane(), now).iter().filter(|left| left.kind == LimitKind::InputTokens) {
        let remaining = left.remaining.unwrap();
        assert!(remaining + 1 >= counted, "{endpoint:?} has {remaining} left, {counted} are needed");
    }
}

/// No warm session leaves home without a reason. What it did, for the statistics.
pub(super) fn has_reason(
    kit: &Kit,
    bounds: Bounds,
    ask: &Ask<'_>,
    home: Option<u64>,
    (chosen, affinity, record): (&Arc<Endpoint>, (AffinityResult, AffinityReason), &Record),
    now: Moment,
) -> &'static str {
    let Some(home) = home else { return "cold" };
    if let Some(pin) = ask.pin {
        assert_eq!(pin, chosen.name());
        return "pinned";
    }
    if chosen.id() == home {
        return "hit";
    }
    let nodes = kit.ring.nodes();
    let Some(node) = nodes.by_id(home) else { return "move" };
    let failed = ask.tried.iter().any(|tried| !tried.rate_limited && tried.endpoint == *node.endpoint.name());
    let available = node.endpoint.availability(lane(), now);
    if failed || !matches!(available, Availability::Ready | Availability::HalfOpen) {
        return "move";
    }
    assert!(!nodes.is_pinned(), "pinned, and it left {:?}, which can be used: {affinity:?}", node.endpoint);
    let weighed = record.candidates.iter().find(|weighed| weighed.endpoint == *node.endpoint.name());
    let (Some(weighed), Some(taken)) = (weighed, record.taken()) else {
        panic!("{:?} was not even weighed: {record}", node.endpoint);
    };
    let need = Need { input: u64::from(ask.prompt.tokens), cached: u64::from(weighed.warm) };
    let never = node.endpoint.outlook(lane(), &need, Standing::New(ask.flow), now).never;
    // The order of rendezvous weighs a hundred-thousandth of a dollar at most.
    let (went, stayed) = (taken.terms.total(), weighed.terms.total() + 2e-5);
    let too_long = ask.waited + weighed.wait > bounds.wait;
    let full = kit.policy.waiters().count() >= bounds.waiters || kit.queued(now) >= bounds.queue.into();
    let refused = !weighed.wait.is_zero() && (too_long || full) && went < stayed + Weights::default().refusal;
    assert!(never || went < stayed || refused, "left {:?}, which is cheaper: {record}", node.endpoint);
    if weighed.wait.is_zero() { "cheaper" } else { "spilled" }
}
