//! Gauges: read off the live state when somebody scrapes.

use crate::{
    clock::Moment,
    live::Live,
    telemetry::Metrics,
    upstream::EndpointState,
};

/// Brings every gauge up to date.
pub(super) fn refresh(live: &Live, now: Moment) {
    let metrics = Metrics::global();
    metrics.in_flight.set(live.flights.running());
    metrics.live_output.set(live.flights.live_output());
    metrics.buffered.set(i64::try_from(live.buffers.held()).unwrap_or(i64::MAX));
    metrics.waiting.set(i64::try_from(live.policy.waiting()).unwrap_or(i64::MAX));
    metrics.refresh_ratio();
    let snapshot = live.snapshot.load();
    // Endpoints and domains that a reload took away must not linger.
    metrics.endpoint_state.reset();
    metrics.domain_open.reset();
    metrics.domain_headroom.reset();
    for endpoint in snapshot.pool.endpoints() {
        let state = endpoint.state(now);
        for &each in EndpointState::ALL {
            let gauge = metrics.endpoint_state.with_label_values(&[endpoint.name().as_str(), each.label()]);
            gauge.set(f64::from(u8::from(each == state)));
        }
    }
    for domain in snapshot.pool.domain_views(now) {
        for class in &domain.classes {
            let labels = [domain.name.as_str(), class.class.as_str()];
            metrics.domain_open.with_label_values(&labels).set(class.opens_in_s);
            for level in &class.levels {
                let labels = [labels[0], labels[1], level.kind.label()];
                metrics.domain_headroom.with_label_values(&labels).set(level.share);
            }
        }
    }
}
