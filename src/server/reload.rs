//! Settings read again: on SIGHUP and, unless switched off, when a file changes.
//!
//! A file with faults keeps the old settings and says why. Listeners and worker threads are the
//! process's and need a restart; everything else takes effect with the next request. Secrets are
//! read again, and live state is taken over by name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use super::{build, tokens, upkeep};
use crate::{
    clock,
    config::{self, Config, ThisHost},
    live::Live,
    proxy::Upstreams,
    routing::Router,
    snapshot::{Open, ServerParams},
    telemetry::Metrics,
    upstream::{Endpoint, Pool},
};

/// How often the files' times are looked at. Polling sees what inotify misses: mounted secrets that
/// are swapped by a link.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the watch; it ends with the set.
pub(super) fn start(
    live: &Arc<Live>,
    upstreams: &Arc<Upstreams>,
    policy: Arc<Router>,
    path: Option<PathBuf>,
    config: &Config,
    tasks: &mut JoinSet<()>,
) {
    let Some(path) = path else { return };
    let files = config.files.clone();
    let watch = config.server.watch;
    tasks.spawn(watch_files(Arc::clone(live), Arc::clone(upstreams), policy, path, files, watch));
}

async fn watch_files(
    live: Arc<Live>,
    upstreams: Arc<Upstreams>,
    mut policy: Arc<Router>,
    path: PathBuf,
    mut files: Vec<PathBuf>,
    watch: bool,
) {
    let Ok(mut hup) = signal(SignalKind::hangup()) else {
        tracing::error!("cannot listen for SIGHUP; settings are fixed until a restart");
        return;
    };
    let mut seen = times(&path, &files);
    loop {
        let asked = tokio::select! {
            _ = hup.recv() => true,
            () = tokio::time::sleep(LOOK), if watch => false,
        };
        let now = times(&path, &files);
        if !asked && now == seen {
            continue;
        }
        // Stamped before it is read: what is written meanwhile is seen with the next look.
        seen = now;
        let old = live.snapshot.load_full();
        if let Some((read, reconfigured)) = reload(&live, &policy, &path) {
            if read != files {
                seen = times(&path, &read);
            }
            (files, policy) = (read, reconfigured);
            tokens::first(&live.snapshot.load_full().pool).await;
            upkeep::first_checks(&live, &upstreams, |endpoint| is_new(&old.pool, endpoint)).await;
        }
    }
}

/// It was not there before, or had another key.
fn is_new(old: &Pool, endpoint: &Endpoint) -> bool {
    let digest = |endpoint: &Endpoint| endpoint.key().map(|key| key.digest());
    old.endpoint(endpoint.name().as_str()).is_none_or(|known| digest(known) != digest(endpoint))
}

/// What tells one version of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

fn times(path: &Path, files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &Path| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    std::iter::once(path).chain(files.iter().map(PathBuf::as_path)).map(stamp).collect()
}

/// What is bound stays bound, so that is what the new settings are held against: a file that is fine
/// for a loopback listener must not open one that the world can reach.
fn keep_listeners(old: &ServerParams, config: &mut Config) -> Result<(), &'static str> {
    let new = &mut config.server;
    if old.listen != new.listen || old.admin != new.admin || old.tls != new.tls || old.threads != new.threads
    {
        tracing::warn!("listeners or threads changed: that takes effect with a restart");
    }
    new.listen.clone_from(&old.listen);
    new.admin = old.admin;
    new.tls.clone_from(&old.tls);
    new.threads = old.threads;
    let is_open = match new.open {
        Open::Everybody => true,
        // Stored keys close it as well, but nobody who writes a file sees them.
        Open::UntilKeys => config.callers.is_empty(),
        Open::Never => false,
    };
    if is_open && new.listen.iter().any(|address| !address.ip().is_loopback()) {
        return Err("they would let anybody call, and the data listener is not on loopback");
    }
    Ok(())
}

/// Reads the settings again. On success says which files they came from.
fn reload(live: &Live, policy: &Router, path: &Path) -> Option<(Vec<PathBuf>, Arc<Router>)> {
    let result = |label| Metrics::global().reloads.with_label_values(&[label]).inc();
    let mut config = match config::load(path, &ThisHost) {
        Ok(config) => config,
        Err(faults) => {
            result("refused");
            tracing::error!(file = %path.display(), "settings have faults, keeping the old ones:\n{faults}");
            live.reloads.refused(clock::unix_now(), faults.0.iter().map(ToString::to_string));
            return None;
        }
    };
    let old = live.snapshot.load_full();
    if let Err(fault) = keep_listeners(&old.server, &mut config) {
        result("refused");
        tracing::error!(file = %path.display(), fault, "settings refused, keeping the old ones");
        live.reloads.refused(clock::unix_now(), [fault.to_owned()]);
        return None;
    }
    config.settings = std::mem::take(&mut config.settings).following(&old.settings);
    // The same sessions, under the new knobs.
    let policy = Arc::new(policy.with_params(&config.routing.router()));
    match build::snapshot(&config, Some(&old.pool), &policy) {
        Ok(snapshot) => {
            live.keys.configure(config.callers.clone(), config.levels.clone());
            live.snapshot.store(Arc::new(snapshot));
            live.keys_changed.notify_one();
            let in_force = live.snapshot.load();
            live.troubles.keep(|endpoint| in_force.pool.endpoint(endpoint.as_str()).is_some());
            live.reloads.done(clock::unix_now());
            result("ok");
            tracing::info!(file = %path.display(), endpoints = config.endpoints.len(), "settings reloaded");
            Some((config.files, policy))
        }
        Err(fault) => {
            result("refused");
            tracing::error!(file = %path.display(), %fault, "settings do not fit together, keeping the old ones");
            live.reloads.refused(clock::unix_now(), fault.to_string().lines().map(str::to_owned));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_never_opens_a_listener_that_the_world_can_reach() {
        let demo = || config::demo(&ThisHost).expect("the demo is well-formed");
        let mut bound = demo().server;
        let mut config = demo();
        assert!(config.callers.is_empty(), "anybody may call the demo");
        assert_eq!(keep_listeners(&bound, &mut config), Ok(()));
        bound.listen = vec![std::net::SocketAddr::from(([0, 0, 0, 0], 8080))];
        assert!(keep_listeners(&bound, &mut config).is_err());
        assert_eq!(config.server.listen, bound.listen, "what is bound is what counts");
    }
}
