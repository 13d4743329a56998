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

use super::build;
use crate::{
    config::{self, Config, ThisHost},
    live::Live,
    routing::Pinned,
    telemetry::Metrics,
};

/// How often the files' times are looked at. Polling sees what inotify misses: mounted secrets that
/// are swapped by a link.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the watch; it ends with the set.
pub(super) fn start(
    live: &Arc<Live>,
    policy: Arc<Pinned>,
    path: Option<PathBuf>,
    config: &Config,
    tasks: &mut JoinSet<()>,
) {
    let Some(path) = path else { return };
    let files = config.files.clone();
    let watch = config.server.watch;
    tasks.spawn(watch_files(Arc::clone(live), policy, path, files, watch));
}

async fn watch_files(
    live: Arc<Live>,
    mut policy: Arc<Pinned>,
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
        if let Some((read, reconfigured)) = reload(&live, &policy, &path) {
            (files, policy) = (read, reconfigured);
        }
        seen = times(&path, &files);
    }
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

/// Reads the settings again. On success says which files they came from.
fn reload(live: &Live, policy: &Pinned, path: &Path) -> Option<(Vec<PathBuf>, Arc<Pinned>)> {
    let result = |label| Metrics::global().reloads.with_label_values(&[label]).inc();
    let config = match config::load(path, &ThisHost) {
        Ok(config) => config,
        Err(faults) => {
            result("refused");
            tracing::error!(file = %path.display(), "settings have faults, keeping the old ones:\n{faults}");
            return None;
        }
    };
    let old = live.snapshot.load_full();
    if old.server.listen != config.server.listen || old.server.admin != config.server.admin {
        tracing::warn!("listeners changed: that takes effect with a restart");
    }
    // The same sessions, under the new knobs.
    let policy = Arc::new(policy.with_params(build::policy(&config)));
    match build::snapshot(&config, Some(&old.pool), &policy) {
        Ok(snapshot) => {
            live.snapshot.store(Arc::new(snapshot));
            result("ok");
            tracing::info!(file = %path.display(), endpoints = config.endpoints.len(), "settings reloaded");
            Some((config.files, policy))
        }
        Err(fault) => {
            result("refused");
            tracing::error!(file = %path.display(), %fault, "settings do not fit together, keeping the old ones");
            None
        }
    }
}
