//! Background work: tokens, checks of keys, health of engines, the state file.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{alerts, state, stores, tokens};
use crate::{
    clock,
    live::Live,
    proxy::{Checked, Upstreams, check_key, keep_alive, probe_health},
    upstream::Endpoint,
};

/// How often keys that are due are looked for, beside being told.
const CHECKS: Duration = Duration::from_secs(1);
/// Keys are validated at start, but a provider that hangs must not keep the gateway from serving.
const FIRST_CHECKS: Duration = Duration::from_secs(5);

/// Starts the loops; they end with the set.
pub(super) fn start(live: &Arc<Live>, upstreams: &Arc<Upstreams>, tasks: &mut JoinSet<()>) {
    tasks.spawn(tokens::keep(Arc::clone(live)));
    tasks.spawn(check_keys(Arc::clone(live), Arc::clone(upstreams)));
    tasks.spawn(probe_engines(Arc::clone(live), Arc::clone(upstreams)));
    tasks.spawn(keep_alive(Arc::clone(live), Arc::clone(upstreams)));
    tasks.spawn(stores::follow_levels(Arc::clone(live)));
    tasks.spawn(alerts::tell(Arc::clone(live)));
    tasks.spawn(save_state(Arc::clone(live)));
    tasks.spawn(publish_health(Arc::clone(live)));
    tasks.spawn(take_pulse(Arc::clone(live)));
}

/// Validates every key that wants it, which also tells what organisation it belongs to.
pub(super) async fn first_checks(
    live: &Arc<Live>,
    upstreams: &Arc<Upstreams>,
    wanted: impl Fn(&Endpoint) -> bool,
) {
    let snapshot = live.snapshot.load_full();
    let mut checks = JoinSet::new();
    for endpoint in snapshot.pool.endpoints() {
        if !endpoint.provider().params.validate_keys || !wanted(endpoint) {
            continue;
        }
        if let Some(check) = endpoint.claim_first_check(clock::now()) {
            let (upstreams, endpoint) = (Arc::clone(upstreams), Arc::clone(endpoint));
            let snapshot = Arc::clone(&snapshot);
            checks.spawn(async move {
                let found = check_key(&upstreams, &endpoint, check, None).await;
                if found == Checked::Unknown {
                    tracing::warn!(endpoint = %endpoint.name(), "key not checked: the provider did not answer");
                }
                // Who shares limits is known better now.
                snapshot.rings.reweigh();
            });
        }
    }
    let all = async { while checks.join_next().await.is_some() {} };
    if tokio::time::timeout(FIRST_CHECKS, all).await.is_err() {
        tracing::warn!("some keys are not checked yet; serving all the same");
        checks.detach_all();
    }
}

async fn check_keys(live: Arc<Live>, upstreams: Arc<Upstreams>) {
    // Held here, so that they end with this loop.
    let mut checks = JoinSet::new();
    loop {
        tokio::select! {
            () = live.check_wanted.notified() => {}
            () = tokio::time::sleep(CHECKS) => {}
        }
        while checks.try_join_next().is_some() {}
        let snapshot = live.snapshot.load_full();
        for endpoint in snapshot.pool.endpoints() {
            if let Some(check) = endpoint.claim_check(clock::now()) {
                let (upstreams, endpoint) = (Arc::clone(&upstreams), Arc::clone(endpoint));
                let model = snapshot.models.served_by(&endpoint);
                let snapshot = Arc::clone(&snapshot);
                checks.spawn(async move {
                    check_key(&upstreams, &endpoint, check, model.as_deref()).await;
                    snapshot.rings.reweigh();
                });
            }
        }
    }
}

async fn probe_engines(live: Arc<Live>, upstreams: Arc<Upstreams>) {
    loop {
        let snapshot = live.snapshot.load_full();
        let mut every = Duration::from_secs(60);
        let mut probes = JoinSet::new();
        for endpoint in snapshot.pool.endpoints() {
            let params = &endpoint.provider().params;
            if params.health_path.is_some() {
                every = every.min(params.health_every);
                let (upstreams, endpoint) = (Arc::clone(&upstreams), Arc::clone(endpoint));
                probes.spawn(async move { probe_health(&upstreams, &endpoint).await });
            }
        }
        while probes.join_next().await.is_some() {}
        drop(snapshot);
        tokio::time::sleep(every.max(Duration::from_millis(100))).await;
    }
}

async fn save_state(live: Arc<Live>) {
    loop {
        let every = live.snapshot.load().server.state_every;
        tokio::time::sleep(every).await;
        let live = Arc::clone(&live);
        let saved = tokio::task::spawn_blocking(move || {
            let file = live.snapshot.load().server.state_file.clone();
            state::save(&live, file.as_deref());
        });
        let _ = saved.await;
    }
}

/// Once a second: what rates are reckoned from, and what those who watch wake up for.
async fn take_pulse(live: Arc<Live>) {
    let mut seconds = tokio::time::interval(CHECKS);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let output = u64::try_from(live.flights.live_output()).unwrap_or(0);
        let saved = live.snapshot.load().policy.memory().savings.so_far().saved();
        live.pulse.sample(output, saved, clock::now(), clock::unix_now());
    }
}

/// Pingora's view of health is for its readiness, its log and its metrics; ours is the truth.
async fn publish_health(live: Arc<Live>) {
    loop {
        for ring in live.snapshot.load_full().rings.all() {
            ring.balancer().backends().run_health_check(false).await;
        }
        tokio::time::sleep(CHECKS).await;
    }
}
