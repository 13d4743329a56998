//! Says aloud what a failure did to an endpoint, and has a suspect key checked; and learns from the head of
//! an answer. One place, so that the log has one voice and no path forgets either.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;

use super::exchange::Exchange;
use crate::{
    clock::{self, Moment, UnixTime},
    live::Live,
    quota::Refusal,
    routing::Tried,
    snapshot::Snapshot,
    telemetry::Metrics,
    types::Scope,
    upstream::{Credentials, Effect, Endpoint, Failure, Slot},
};

/// Learns from an answer's head whose account it is and what is left of its limits. Call it before the
/// answer is judged.
pub(crate) fn hear(snapshot: &Snapshot, slot: &mut Slot, headers: &HeaderMap) {
    let endpoint = slot.endpoint();
    if endpoint.provider().params.credentials != Credentials::Gateway {
        return;
    }
    if let Some(learned) = endpoint.learn(headers) {
        if let Some(warning) = &learned.warning {
            tracing::warn!(endpoint = %endpoint.name(), ?warning, "domain differs from configuration");
        }
        if learned.changed {
            snapshot.rings.reweigh();
        }
    }
    for lie in slot.note_headroom(headers, clock::unix_now(), clock::now()) {
        Metrics::global().lied(lie.label());
    }
}

/// So little of a budget counts as nothing left: what follows would be refused one by one.
const LEFT_OVER: u64 = 100;
/// A budget without periods ends when an operator raises it.
const FOR_GOOD: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// What may be spent at an account, or at its provider, has no room for a request. Closes it to everybody
/// until the period ends, if next to nothing is left: what is only reserved comes back, and one large
/// request says nothing of others. Returns who cannot take this request.
pub(crate) fn spent(
    x: &Exchange,
    endpoint: &Arc<Endpoint>,
    refusal: &Refusal,
    now: Moment,
    at: UnixTime,
) -> Vec<Tried> {
    let views = x.live.quota.view(&refusal.scope, now, at);
    let known = views.iter().find(|view| view.what == refusal.what).map_or(refusal.used, |view| view.spent);
    let left = refusal.limit.saturating_sub(known);
    let for_good = left <= refusal.limit / LEFT_OVER;
    let span = refusal.resets_at.map_or(FOR_GOOD, |resets| resets.0.saturating_sub(at.0));
    let all_of_it = matches!(refusal.scope, Scope::Provider(_));
    let is_meant = |other: &&Arc<Endpoint>| {
        other.name() == endpoint.name()
            || (all_of_it && other.provider().params.name == endpoint.provider().params.name)
    };
    let meant: Vec<_> = x.snapshot.pool.endpoints().iter().filter(is_meant).collect();
    for other in meant.iter().filter(|_| for_good) {
        if other.close_spent(now + span, now) {
            let (endpoint, budget, seconds) = (other.name(), refusal.what.label(), span.as_secs());
            tracing::warn!(%endpoint, budget, seconds, "what may be spent there is spent; closed until then");
        }
    }
    meant.into_iter().map(|other| Tried::unaffordable(other)).collect()
}

/// Logs the effect of a failure, and asks for the check that it wants.
pub(crate) fn tell(live: &Live, endpoint: &Endpoint, failure: &Failure, effect: &Effect, now: Moment) {
    let endpoint_name = endpoint.name();
    if let Some(until) = effect.cooled_until {
        let seconds = now.until(until).as_secs_f64();
        let domain = endpoint.rate_domain();
        let domain = domain.name();
        if effect.long {
            tracing::warn!(endpoint = %endpoint_name, %domain, seconds, "rate domain cools for unusually long");
        } else {
            tracing::info!(endpoint = %endpoint_name, %domain, seconds, "rate domain cools");
        }
    }
    if effect.opened {
        let failure = failure.outcome().label();
        tracing::warn!(endpoint = %endpoint_name, failure, "failure domain cools after repeated failures");
    }
    if effect.check_key {
        tracing::warn!(endpoint = %endpoint_name, "provider refused the key; checking it");
        live.check_wanted.notify_one();
    }
    if let Some(until) = effect.barred_until {
        let seconds = now.until(until).as_secs_f64();
        tracing::warn!(endpoint = %endpoint_name, seconds, "key may not use this model; model barred there");
    }
}
