//! What outlives the process: opened before anything serves, in the order in which one needs the other.
//!
//! The ledger first, which says what was spent; then the limits and budgets, which begin from there.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    config::Config,
    live::Live,
    quota::{Quota, QuotaParams},
    store::ledger::{Ledger, Opened},
    types::Levels,
};

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
    while changes.changed().await.is_ok() {
        let levels: Arc<Levels> = Arc::clone(&changes.borrow_and_update());
        live.quota.configure(levels);
        // What was spent may be a part of more now.
        for endpoint in live.snapshot.load().pool.endpoints() {
            endpoint.reopen_spent();
        }
    }
}
