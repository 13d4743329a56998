//! Copies receipts from the gateway's own ledger to Postgres, in the order in which they were written.
//!
//! The own ledger is the journal, and remembers up to where it was copied; that moves on only after
//! Postgres has committed. So a crash on either side makes some be copied again, which counts once, and
//! none be left out.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{PostgresFault, PostgresLedger};
use crate::store::ledger::{Ledger, Row};

/// Receipts in one step: a megabyte or two.
const BATCH: usize = 1_000;

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Shipped {
    /// Receipts that were looked at.
    pub read: u64,
    /// Of them, those that Postgres did not have.
    pub new: u64,
    /// There are more: step again at once.
    pub more: bool,
}

/// See the module's description.
pub struct Shipper {
    from: Ledger,
    to: PostgresLedger,
    refused: AtomicU64,
}

impl Shipper {
    /// Copies from one to the other. From now on the own ledger deletes only what was copied.
    #[must_use]
    pub fn new(from: Ledger, to: PostgresLedger) -> Self {
        from.ships();
        Self { from, to, refused: AtomicU64::new(0) }
    }

    /// Receipts that Postgres refused for good; they are in the own ledger alone.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How long to wait before the next step, by how the last one went.
    #[must_use]
    pub const fn pause(last: &Result<Shipped, PostgresFault>) -> Duration {
        match last {
            Ok(Shipped { more: true, .. }) => Duration::ZERO,
            Ok(_) => Duration::from_millis(250),
            Err(_) => Duration::from_secs(1),
        }
    }

    /// Copies the next receipts.
    ///
    /// # Errors
    ///
    /// Postgres is out of reach, or the own ledger cannot be read. Nothing is lost: step again later.
    pub async fn step(&self) -> Result<Shipped, PostgresFault> {
        let after = self.from.state().shipped;
        let from = self.from.clone();
        let read = tokio::task::spawn_blocking(move || from.next_batch(after, BATCH)).await;
        let rows = match read {
            Ok(Ok(rows)) => rows,
            Ok(Err(fault)) => return Err(PostgresFault::Refused(fault.to_string())),
            Err(_) => return Err(PostgresFault::Away("the reading was broken off".to_owned())),
        };
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(Shipped::default()) };
        let new = match self.to.add(&rows).await {
            Err(PostgresFault::Refused(_)) => self.one_by_one(&rows).await?,
            added => added?,
        };
        self.from.shipped(last);
        Ok(Shipped { read: rows.len() as u64, new, more: rows.len() == BATCH })
    }

    /// One of them is refused: the others must not wait for it for ever.
    async fn one_by_one(&self, rows: &[Row]) -> Result<u64, PostgresFault> {
        let mut new = 0;
        let mut refused = Vec::new();
        for row in rows {
            match self.to.add(std::slice::from_ref(row)).await {
                Ok(added) => new += added,
                Err(PostgresFault::Refused(why)) => refused.push((&row.id, why)),
                Err(away) => return Err(away),
            }
        }
        // Where it refuses all of them it is not about the receipts: a disk that is full, rights that are
        // missing. Then they wait.
        if refused.len() == rows.len()
            && let Some((_, why)) = refused.first()
        {
            return Err(PostgresFault::Refused(why.clone()));
        }
        for (id, why) in refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%id, %why, "Postgres refuses a receipt: it stays in this gateway's own ledger");
        }
        Ok(new)
    }
}
