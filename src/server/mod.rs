//! Assembly: the only place that builds things, and the order in which they start and stop.
//!
//! Pingora's services run on our own runtime rather than in its `Server`, whose graceful stop sleeps
//! its whole grace period and then drops what still runs. So the drain is ours: stop listening, let
//! streams end, end the rest in-band at the deadline, settle, save, return.
//!
//! Listeners are bound here, before anything else starts, so that a taken port is an error with a
//! name and not a panic inside a service.

mod alerts;
mod build;
mod call;
mod keys;
mod listen;
mod live_check;
mod reload;
mod shared;
mod spans;
mod state;
mod stores;
mod tokens;
mod upkeep;
mod webhook;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use pingora::server::configuration::ServerConf;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};

pub use live_check::{LiveReport, live_check};

use self::stores::Stores;
use crate::{
    admin::Admin,
    config::{self, Config, ThisHost},
    live::Live,
    proxy::{Gateway, Upstreams},
    routing::Router,
    sim::Sim,
    telemetry,
};

/// After the deadline of a drain: the time for last words to reach their clients.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// After the last request, and after everything: the time for clients to take leave of their connections.
const GOODBYE: Duration = Duration::from_secs(2);

/// What runs now; for whoever started it to tell.
pub struct Started<'a> {
    /// Where agents connect.
    pub data: &'a [SocketAddr],
    /// Where people connect.
    pub admin: SocketAddr,
    /// The data listener speaks TLS.
    pub tls: bool,
    /// The simulated provider, where there is one.
    pub sim: Option<SocketAddr>,
    /// Names of models that can be asked for.
    pub models: Vec<String>,
    /// Endpoints configured.
    pub endpoints: usize,
    /// What `check` would remark without refusing.
    pub notes: Vec<String>,
}

/// Runs a gateway until it is told to stop. Without a file it serves the demo.
///
/// # Errors
///
/// A configuration with faults, a listener that cannot be bound, a certificate that cannot be read.
pub fn serve(path: Option<&Path>, tell: impl FnOnce(&Started<'_>)) -> anyhow::Result<()> {
    let config = match path {
        Some(path) => config::load(path, &ThisHost)?,
        None => config::demo(&ThisHost)?,
    };
    let ledger = config.ledger.as_ref().and_then(|ledger| ledger.params.file.parent());
    let demo_folder = ledger.filter(|_| path.is_none()).map(Path::to_path_buf);
    telemetry::start_log(&config.server.log);
    let threads = match config.server.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("starting the worker threads")?;
    let served = runtime.block_on(run(config, path.map(Path::to_path_buf), threads, tell));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(folder) = demo_folder {
        // What the demo has noted is of no use to anybody.
        let _ = std::fs::remove_dir_all(folder);
    }
    served
}

async fn run(
    config: Config,
    path: Option<PathBuf>,
    threads: usize,
    tell: impl FnOnce(&Started<'_>),
) -> anyhow::Result<()> {
    let listeners = listen::Listeners::bind(&config.server)?;
    let sim = match &config.sim {
        Some(params) => {
            Some(Sim::start(build::sim(params)).await.context("starting the simulated provider")?)
        }
        None => None,
    };
    let policy = Arc::new(Router::new(&config.routing.router()));
    let mut stores = Stores::open(&config).await?;
    let link = stores.link.take();
    let (spans, exporter) = config.otlp.clone().map(spans::Exporter::start).unzip();
    let live = Arc::new(build::live(&config, &policy, stores, spans)?);
    state::restore(&live, config.server.state_file.as_deref());
    let upstreams = Arc::new(Upstreams::new(build::POOLED));
    let (stop, stopping) = watch::channel(false);
    let mut services = JoinSet::new();
    let conf = Arc::new(ServerConf {
        threads,
        upstream_keepalive_pool_size: build::POOLED,
        ..ServerConf::default()
    });
    let started = Started {
        data: &listeners.data.clone(),
        admin: listeners.admin,
        tls: config.server.tls.is_some(),
        sim: sim.as_ref().map(Sim::addr),
        models: live.snapshot.load().models.models().map(|model| model.label.to_string()).collect(),
        endpoints: config.endpoints.len(),
        notes: config.notes.iter().map(ToString::to_string).collect(),
    };
    let (open, mut all_closed) = mpsc::channel(1);
    let gateway = Gateway::new(Arc::clone(&live), Arc::clone(&upstreams), open);
    let admin = Admin::new(Arc::clone(&live), config.server.admin);
    let watched_from = admin.seats();
    // Whoever watches a drain, watches it there: the admin listener stays until the end.
    let (close_admin, admin_stopping) = watch::channel(false);
    let stops = listen::Stops { data: stopping, admin: admin_stopping };
    listeners.start(&config.server, &conf, gateway, admin, stops, &mut services)?;
    let mut upkeep = JoinSet::new();
    shared::start(&live, link, &mut upkeep).await;
    keys::start(&live, &mut upkeep).await;
    upkeep::start(&live, &upstreams, &mut upkeep);
    reload::start(&live, &upstreams, policy, path, &config, &mut upkeep);
    tokens::first(&live.snapshot.load_full().pool).await;
    upkeep::first_checks(&live, &upstreams, |_| true).await;
    tell(&started);
    tracing::info!(data = ?started.data, admin = %started.admin, version = env!("CARGO_PKG_VERSION"), "serving");

    told_to_stop().await?;
    drain(&live, &stop, config.server.drain).await;
    // What was said last may not have left yet: HTTP/2 frames go out with their connection's own task.
    let _ = tokio::time::timeout(GOODBYE, all_closed.recv()).await;
    upkeep.shutdown().await;
    spans::stop(exporter).await;
    put_away(&live).await;
    close_admin.send_replace(true);
    let _ = tokio::time::timeout(GOODBYE, watched_from.all_left()).await;
    services.shutdown().await;
    if let Some(sim) = sim {
        sim.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Writes down everything that outlives the process. Nothing is under way any more.
async fn put_away(live: &Live) {
    let file = live.snapshot.load().server.state_file.clone();
    state::save(live, file.as_deref());
    if let Some(tracer) = &live.tracer {
        tracer.close();
    }
    if let Some(ledger) = &live.ledger {
        ledger.flush().await;
    }
    shared::farewell(&live.fleet).await;
    if let Some(ledger) = &live.ledger
        && !ledger.stop().await
    {
        tracing::error!("the ledger could not write everything before the end");
    }
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// Stops listening, lets streams end, and ends the rest in-band at the deadline.
async fn drain(live: &Live, stop: &watch::Sender<bool>, deadline: Duration) {
    live.flights.drain();
    stop.send_replace(true);
    let running = live.flights.running();
    tracing::info!(running, deadline_s = deadline.as_secs(), "draining");
    if tokio::time::timeout(deadline, live.flights.all_landed()).await.is_err() {
        tracing::warn!(running = live.flights.running(), "drain deadline reached, ending streams in-band");
        live.flights.cut();
        let _ = tokio::time::timeout(LAST_WORDS, live.flights.all_landed()).await;
    }
}
