//! From a checked configuration to the values that run.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use http::HeaderName;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::stores::Stores;
use crate::{
    clock,
    config::Config,
    live::{Asked, Buffers, Decisions, Flights, Keeper, KeyRing, Live, Pulse, Reloads, Tail, Troubles},
    metering::{Learned, PriceEntry, PriceList, PriceTier},
    routing::{Policy, Rings, Router},
    session::{Forensics, Links, LinksParams, Owners, SessionParams},
    sim::{Account, SimConfig},
    snapshot::{SimParams, Snapshot},
    telemetry::{TraceParams, Tracer},
    upstream::{ModelTable, Pool, PoolFault},
};

/// Idle connections kept to each provider. Sized for the peak: a connection that is not pooled is a
/// TLS handshake in front of somebody's first token.
pub(super) const POOLED: usize = 4_096;

/// Everything configured, with live state taken over from `old`.
pub(super) fn snapshot(
    config: &Config,
    old: Option<&Pool>,
    policy: &Arc<Router>,
) -> anyhow::Result<Snapshot> {
    let pool = Pool::build(config.providers.clone(), config.endpoints.clone(), old).map_err(faults)?;
    let policy: Arc<dyn Policy> = Arc::<Router>::clone(policy);
    let models = ModelTable::build(config.models.clone(), &pool).map_err(faults)?;
    let rings = Rings::build(&pool, &models);
    let headers =
        config.server.session_headers.iter().filter_map(|name| HeaderName::try_from(name).ok()).collect();
    Ok(Snapshot {
        loaded: clock::unix_now(),
        server: config.server.clone(),
        levels: Arc::new(config.levels.clone()),
        alerts: config.alerts.clone(),
        identity: SessionParams { headers },
        pool: Arc::new(pool),
        models,
        rings,
        policy,
        prices: prices(config),
        settings: config.settings.clone(),
    })
}

/// What we may send to, by itself.
pub(super) fn pool(config: &Config) -> anyhow::Result<Pool> {
    Pool::build(config.providers.clone(), config.endpoints.clone(), None).map_err(faults)
}

fn faults(faults: Vec<PoolFault>) -> anyhow::Error {
    anyhow!(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn prices(config: &Config) -> PriceList {
    let entry = |row: &crate::config::PriceRow| PriceEntry {
        model: row.model.clone(),
        rates: row.rates,
        tiers: row
            .tiers
            .iter()
            .map(|&(above_input_tokens, rates)| PriceTier { above_input_tokens, rates })
            .collect(),
    };
    PriceList::new(config.prices.iter().map(entry).collect())
}

/// Everything that outlives a reload.
pub(super) fn live(config: &Config, policy: &Arc<Router>, stores: Stores) -> anyhow::Result<Live> {
    let start = u64::try_from(clock::unix_now().0.as_nanos() & u128::from(u64::MAX)).unwrap_or(0);
    let links = LinksParams { capacity: config.routing.tool_links, ..LinksParams::default() };
    Ok(Live {
        snapshot: ArcSwap::from_pointee(snapshot(config, None, policy)?),
        keys: KeyRing::new(config.callers.clone(), config.levels.clone(), stores.keys),
        quota: stores.quota,
        ledger: stores.ledger,
        fleet: stores.fleet,
        links: Links::new(links, start ^ fastrand::u64(..)),
        owners: Owners::new(config.routing.objects),
        forensics: Forensics::new(usize::try_from(config.routing.forensics).unwrap_or(usize::MAX)),
        decisions: Decisions::default(),
        troubles: Troubles::default(),
        reloads: Reloads::default(),
        asked: Asked::default(),
        pulse: Pulse::default(),
        tail: Tail::default(),
        learned: Learned::new(),
        buffers: Arc::new(Buffers::default()),
        flights: Arc::new(Flights::default()),
        usage_refused: Mutex::new(HashSet::new()),
        keeper: Keeper::default(),
        tracer: config.trace.as_ref().map(open_trace).transpose()?,
        check_wanted: Notify::new(),
        keys_changed: Notify::new(),
    })
}

fn open_trace(params: &TraceParams) -> anyhow::Result<Tracer> {
    Tracer::open(params).with_context(|| format!("`trace.file`: writing {}", params.file.display()))
}

/// The simulated provider's settings.
pub(super) fn sim(params: &SimParams) -> SimConfig {
    SimConfig {
        listen: params.listen,
        accounts: params
            .accounts
            .iter()
            .map(|a| Account::new(&a.key, &a.organization, &a.workspace).limits(a.rpm, a.itpm, a.otpm))
            .collect(),
        ttft: params.time_to_first_token,
        tokens_per_second: params.tokens_per_second,
        compress: params.compress,
        ..SimConfig::default()
    }
}
