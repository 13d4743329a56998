//! Gauges: read off the live state when somebody scrapes.

use crate::{
    clock::{self, Moment},
    live::Live,
    store::ledger::Ledger,
    telemetry::{Metrics, Readings},
    upstream::{ClassView, DomainView, EndpointState},
};

/// Levels whose budgets are shown, at most: stored organisations and teams may be many.
const LEVELS: usize = 1_000;

/// Brings every gauge up to date.
pub(super) fn refresh(live: &Live, now: Moment) {
    let metrics = Metrics::global();
    let snapshot = live.snapshot.load();
    metrics.in_flight.set(live.flights.running());
    metrics.live_output.set(live.flights.live_output());
    metrics.buffered.set(i64::try_from(live.buffers.held()).unwrap_or(i64::MAX));
    metrics.kept.set(i64::try_from(live.keeper.bytes()).unwrap_or(i64::MAX));
    metrics.waiting.set(i64::try_from(snapshot.policy.waiters().count()).unwrap_or(i64::MAX));
    let memory = snapshot.policy.memory();
    let savings = memory.savings.so_far();
    metrics.warm_prefixes.set(i64::try_from(memory.warm.len()).unwrap_or(i64::MAX));
    metrics.round_robin.set(savings.round_robin);
    metrics.saved.set(savings.saved());
    metrics.refresh_ratio();
    refresh_ledger(live, metrics);
    refresh_fleet(live, metrics);
    refresh_budgets(live, metrics, now);
}

/// Gauges of endpoints and domains, those that there are now.
pub(super) fn readings(live: &Live, now: Moment) -> Readings {
    let snapshot = live.snapshot.load();
    let mut readings = Readings::default();
    let mut states = readings.family("endpoint_state", "1 for the state it is in.");
    for endpoint in snapshot.pool.endpoints() {
        let state = endpoint.state(now);
        for each in EndpointState::ALL {
            let labels = [("endpoint", endpoint.name().as_str()), ("state", each.label())];
            states.series(labels, f64::from(u8::from(each == state)));
        }
    }
    let domains = snapshot.pool.domain_views(now);
    domain(&mut readings, "domain_open_seconds", "Seconds until it opens again.", &domains, |class| {
        class.open_in_seconds
    });
    let help = "Share of the input limit in use: the average, or what is gone, whichever is more.";
    domain(&mut readings, "domain_utilisation", help, &domains, |class| f64::from(class.utilisation));
    let help = "Requests that hold a place in the queue for its limits.";
    domain(&mut readings, "domain_waiting", help, &domains, |class| count(class.waiting));
    let mut headroom = readings.family("domain_headroom", "Share of a limit left.");
    for (domain, class) in classes(&domains) {
        for level in &class.headroom {
            let limit = level.limit.filter(|limit| *limit > 0);
            if let (Some(remaining), Some(limit)) = (level.remaining, limit) {
                let labels = [("domain", &*domain.name), ("class", &*class.class), ("kind", level.kind)];
                headroom.series(labels, share(remaining, limit));
            }
        }
    }
    readings
}

fn classes(domains: &[DomainView]) -> impl Iterator<Item = (&DomainView, &ClassView)> {
    domains.iter().flat_map(|domain| domain.classes.iter().map(move |class| (domain, class)))
}

fn domain(
    readings: &mut Readings,
    name: &'static str,
    help: &str,
    domains: &[DomainView],
    value: impl Fn(&ClassView) -> f64,
) {
    let mut family = readings.family(name, help);
    for (domain, class) in classes(domains) {
        family.series([("domain", &*domain.name), ("class", &*class.class)], value(class));
    }
}

fn refresh_ledger(live: &Live, metrics: &Metrics) {
    let Some(state) = live.ledger.as_ref().map(Ledger::state) else { return };
    let level = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.spending.ledger_queued.set(level(state.queued as u64));
    metrics.spending.ledger_dropped.set(level(state.dropped));
    metrics.spending.ledger_written.set(level(state.written));
    metrics.spending.ledger_failing.set(i64::from(!state.well()));
}

fn refresh_fleet(live: &Live, metrics: &Metrics) {
    let level = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let spending = &metrics.spending;
    if let Some(state) = live.fleet.redis_state() {
        spending.shared_up.with_label_values(&["redis"]).set(f64::from(u8::from(state.away.is_none())));
        spending.shared_gateways.set(level(state.gateways));
        spending.shared_undelivered.set(level(state.undelivered as u64));
    }
    if let Some(state) = live.fleet.postgres_state(live.ledger.as_ref()) {
        spending.shared_up.with_label_values(&["postgres"]).set(f64::from(u8::from(state.away.is_none())));
        spending.ledger_spooled.set(level(state.spooled));
        spending.ledger_refused.set(level(state.refused));
    }
}

/// Of what is named in settings: keys, sessions and the like are for `/api` and the ledger.
fn refresh_budgets(live: &Live, metrics: &Metrics, now: Moment) {
    metrics.spending.budget_used.reset();
    let (levels, at) = (live.keys.levels(), clock::unix_now());
    for (scope, name) in levels.scopes().take(LEVELS) {
        for view in live.quota.view(&scope, now, at).iter().filter(|view| view.what.is_budget()) {
            let labels = [scope.level(), name.as_str(), view.what.label()];
            metrics.spending.budget_used.with_label_values(&labels).set(share(view.used, view.limit.max(1)));
        }
    }
}

fn count(of: usize) -> f64 {
    f64::from(u32::try_from(of).unwrap_or(u32::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
