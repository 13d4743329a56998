//! What outlives the process: opened before anything serves, in the order in which one needs the other.
//!
//! The ledger first, which says what was spent; then the limits and budgets, which begin from there. Servers
//! that are shared are met later (`shared`): whether they are there or not, the gateway starts.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    clock,
    config::Config,
    live::{Filter, Fleet, FleetPostgres, FleetRedis, Live},
    quota::{Quota, QuotaParams},
    store::{
        counters::{Counters, redis::RedisCounters},
        documents::Documents,
        ledger::{Ledger, LedgerParams, Opened},
        postgres::{
            Database, PostgresDocuments, PostgresFault, PostgresLedger, PostgresParams, SharedDocuments,
            Shipper,
        },
        redis::{Link, RedisParams},
        sqlite,
    },
    types::{Levels, Secret},
};

/// Keys whose budgets are looked at when something changes.
const KEYS: usize = 1_000;
/// Budgets whose past is looked up at once.
const BUDGETS: usize = 64;

/// What the rest of the gateway is given.
pub(super) struct Stores {
    pub(super) quota: Arc<Quota>,
    pub(super) ledger: Option<Ledger>,
    pub(super) keys: Option<Arc<dyn Documents>>,
    pub(super) fleet: Fleet,
    /// The connection to the server of counters.
    pub(super) link: Option<Arc<Link>>,
}

impl Stores {
    /// Opens everything.
    ///
    /// # Errors
    ///
    /// A ledger that another gateway writes, or that is newer, foreign or damaged; an address that cannot be
    /// used; a Postgres that a later version wrote.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let mut fleet = Fleet { replicas: config.state.replicas, ..Fleet::default() };
        let opened = match &config.ledger {
            Some(settings) => Some(open_ledger(&settings.params)?),
            None => None,
        };
        let database = database(config).await?;
        let link = match &config.state.redis {
            Some(url) => Some(redis(config, url, database.is_some(), &mut fleet)?),
            None => None,
        };
        let shared =
            fleet.redis.as_ref().map(|redis| -> Arc<dyn Counters> { Arc::clone(&redis.counters) as _ });
        let params = QuotaParams { replicas: config.state.replicas, ..QuotaParams::default() };
        let quota = Arc::new(Quota::new(params, shared));
        quota.configure(Arc::new(config.levels.clone()));
        let keys = keys(config, database.as_ref())?;
        let Some(Opened { ledger, crashed, balances }) = opened else {
            return Ok(Self { quota, ledger: None, keys, fleet, link });
        };
        if crashed > 0 {
            tracing::warn!(
                requests = crashed,
                "the gateway before this one died; what was under way is charged at its estimate"
            );
        }
        quota.restore(&balances);
        if let Some(database) = database {
            let to = PostgresLedger::new(database);
            // What the others spent; while Postgres is away, what this one knows has to do.
            if let Ok((balances, _)) = to.balances(clock::unix_now(), None).await {
                quota.restore(&balances);
            }
            let shipper = Shipper::new(ledger.clone(), to.clone());
            fleet.postgres = Some(FleetPostgres { ledger: to, shipper });
        }
        Ok(Self { quota, ledger: Some(ledger), keys, fleet, link })
    }
}

fn open_ledger(params: &LedgerParams) -> anyhow::Result<Opened> {
    if let Some(folder) = params.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("`ledger.file`: making the folder {}", folder.display()))?;
    }
    Ok(Ledger::open(params)?)
}

/// Postgres, if it is configured; one that is away is waited for later.
async fn database(config: &Config) -> anyhow::Result<Option<Arc<Database>>> {
    let Some(url) = config.ledger.as_ref().and_then(|ledger| ledger.postgres.clone()) else {
        return Ok(None);
    };
    let database = Arc::new(Database::new(&PostgresParams { url }).context("`ledger.postgres`")?);
    match database.open().await {
        Ok(()) => {}
        Err(why @ PostgresFault::Away(_)) => {
            tracing::warn!(%why, "starting without it: receipts stay in the ledger's file, keys are those known last");
        }
        Err(fault) => return Err(fault).context("`ledger.postgres`"),
    }
    Ok(Some(database))
}

/// The shared counters. Opens no connection yet.
fn redis(config: &Config, url: &Secret, one_ledger: bool, fleet: &mut Fleet) -> anyhow::Result<Arc<Link>> {
    let own = match (&config.ledger, one_ledger) {
        (Some(settings), false) => Some(sqlite::identity(&settings.params.file)?),
        (Some(_) | None, _) => None,
    };
    let params = RedisParams::read(url, own).context("`state.redis`")?;
    let link = Arc::new(Link::new(&params).context("`state.redis`")?);
    fleet.redis = Some(FleetRedis::new(Arc::new(RedisCounters::new(Arc::clone(&link), &params))));
    Ok(link)
}

/// The store of keys: Postgres with a copy in the ledger's file, or that file alone; `None` where there is no
/// ledger.
fn keys(config: &Config, database: Option<&Arc<Database>>) -> anyhow::Result<Option<Arc<dyn Documents>>> {
    let Some(own) = super::keys::store(config)? else { return Ok(None) };
    Ok(Some(match database {
        Some(database) => Arc::new(SharedDocuments::new(PostgresDocuments::new(Arc::clone(database)), own)),
        None => Arc::new(own),
    }))
}

/// Limits and budgets follow the levels in force, whoever changes them. Ends with its task.
pub(super) async fn follow_levels(live: Arc<Live>) {
    let mut changes = live.keys.changes();
    know_the_past(&live).await;
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let levels: Arc<Levels> = Arc::clone(&changes.borrow_and_update());
                live.quota.configure(levels);
                // What was spent may be a part of more now.
                for endpoint in live.snapshot.load().pool.endpoints() {
                    endpoint.reopen_spent();
                }
            }
            () = live.keys_changed.notified() => {}
        }
        know_the_past(&live).await;
    }
}

/// Budgets that are new begin with what receipts of their period came to: one that is given at noon knows
/// the morning. Each is a walk over the ledger, so this is done beside the traffic, for so many at a time;
/// until it is done such a budget begins at nothing.
async fn know_the_past(live: &Arc<Live>) {
    let Some(ledger) = live.ledger.clone() else { return };
    let (entries, _) = live.keys.list(&Filter::default(), None, KEYS);
    let keys: Vec<_> =
        entries.into_iter().map(|entry| entry.key).filter(|key| !key.allowance.budgets.is_empty()).collect();
    let new = live.quota.uncounted(&keys, clock::unix_now());
    let walked = tokio::task::spawn_blocking(move || {
        let mut known = Vec::new();
        for budget in new.into_iter().take(BUDGETS) {
            match ledger.spent(&budget.scope, budget.unit, budget.since) {
                Ok(0) => {}
                Ok(amount) => known.push(budget.spent(amount)),
                Err(fault) => {
                    tracing::warn!(%fault, "what was spent before a budget was there is not known");
                    break;
                }
            }
        }
        known
    });
    let Ok(known) = walked.await else { return };
    if !known.is_empty() {
        tracing::info!(budgets = known.len(), "budgets that are new begin with what was spent before");
        live.quota.restore(&known);
    }
}
