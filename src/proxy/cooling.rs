//! Says aloud what a failure did to an endpoint, and has a suspect key checked; and learns from the head of
//! an answer. One place, so that the log has one voice and no path forgets either.

use http::HeaderMap;

use crate::{
    clock::{self, Moment},
    live::Live,
    snapshot::Snapshot,
    telemetry::Metrics,
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
