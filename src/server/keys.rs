//! The store of keys: opened at start, and looked at each second.
//!
//! A second, and not a notice from the store: the command line writes into the same file, other gateways
//! into the same server, and neither knows us. What anybody changes is in force within two.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::{config::Config, live::Live, store::sqlite::SqliteDocuments};

const LOOK: Duration = Duration::from_secs(1);

/// The store of keys in the ledger's file; `None` where there is no ledger.
pub(super) fn store(config: &Config) -> anyhow::Result<Option<SqliteDocuments>> {
    let Some(ledger) = &config.ledger else { return Ok(None) };
    let file = &ledger.params.file;
    let store = SqliteDocuments::open(file)
        .with_context(|| format!("opening the ledger {}, which holds the keys", file.display()))?;
    Ok(Some(store))
}

/// Reads the store, and goes on looking; ends with the set. A store that cannot be read at start keeps
/// nobody from starting: keys of the file are good, and others are told to come back.
pub(super) async fn start(live: &Arc<Live>, tasks: &mut JoinSet<()>) {
    let mut was_away = look(live, false).await;
    let live = Arc::clone(live);
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            was_away = look(&live, was_away).await;
        }
    });
}

/// Whether the store is away; says so once.
async fn look(live: &Live, was_away: bool) -> bool {
    match live.keys.refresh().await {
        Ok(changed) => {
            if was_away {
                tracing::info!("the store of keys is back");
            }
            if changed {
                tracing::info!(keys = live.keys.len(), "keys read");
                live.keys_changed.notify_one();
            }
            false
        }
        Err(fault) => {
            if !was_away {
                tracing::error!(%fault, "the store of keys is out of reach: the keys known last stay valid");
            }
            true
        }
    }
}
