//! Says aloud what a failure did to an endpoint. One place, so that the log has one voice.

use crate::{
    clock::Moment,
    upstream::{Effect, Endpoint, Failure},
};

/// Logs the effect of a failure.
pub(crate) fn tell(endpoint: &Endpoint, failure: &Failure, effect: &Effect, now: Moment) {
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
    }
    if let Some(until) = effect.barred_until {
        let seconds = now.until(until).as_secs_f64();
        tracing::warn!(endpoint = %endpoint_name, seconds, "key may not use this model; model barred there");
    }
}
