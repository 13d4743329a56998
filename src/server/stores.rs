//! What outlives the process: opened before anything serves, in the order in which one needs the other.
//!
//! The ledger first, which says what was spent; then the limits and budgets, which begin from there.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    clock,
    config::Config,
    live::{Filter, Live},
    quota::{Quota, QuotaParams},
    store::ledger::{Ledger, Opened},
    types::Levels,
};

/// Keys whose budgets are looked at when something changes.
const KEYS: usize = 1_000;
/// Budgets whose past is looked up at once.
const BUDGETS: usize = 64;

/// What the rest of the gateway is given.
pub(super) struct Stores {
    pub(super) quota: Arc<Quota>,
    pub(super) ledger: Option<Ledger>,
}

impl Stores {
    /// Opens everything.
    ///
    /// # Errors
    ///
    /// A ledger that another gateway writes, or that is newer, foreign or damaged.
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let params = QuotaParams { replicas: config.state.replicas, ..QuotaParams::default() };
        let quota = Arc::new(Quota::new(params, None));
        quota.configure(Arc::new(config.levels.clone()));
        let Some(settings) = &config.ledger else { return Ok(Self { quota, ledger: None }) };
        let params = &settings.params;
        if let Some(folder) = params.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("`ledger.file`: making the folder {}", folder.display()))?;
        }
        let Opened { ledger, crashed, balances } = Ledger::open(params)?;
        if crashed > 0 {
            tracing::warn!(
                requests = crashed,
                "the gateway before this one died; what was under way is charged at its estimate"
            );
        }
        quota.restore(&balances);
        Ok(Self { quota, ledger: Some(ledger) })
    }
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
