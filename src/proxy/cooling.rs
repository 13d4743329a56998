//! Says aloud what a failure did to an endpoint, and has a suspect key checked. One place, so that the
//! log has one voice and no path forgets the check.

use crate::{
    clock::Moment,
    live::Live,
    upstream::{Effect, Endpoint, Failure},
};

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
