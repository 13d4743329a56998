//! Who is about to make a prefix readable.
//!
//! A cache entry can be read from the first byte of its writer's answer on (providers 1.1), so
//! requests that share a long cold prefix wait for that moment of the first of them instead of each
//! paying for the whole. The end comes once: with the first byte, or with the leader's failure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Semaphore;

use crate::clock::Moment;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A request that others may wait behind.
#[derive(Debug)]
pub struct Leader {
    id: u64,
    started: Moment,
    /// Never has a permit: closing it wakes everybody, also those who come later.
    gate: Semaphore,
}

impl Leader {
    /// A leader that starts `now`.
    pub(in crate::routing) fn new(now: Moment) -> Arc<Self> {
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), started: now, gate: Semaphore::new(0) })
    }

    /// A number of its own.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// When it set out.
    #[must_use]
    pub const fn started(&self) -> Moment {
        self.started
    }

    /// Its provider has begun to answer, or it has failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.gate.is_closed()
    }

    /// Returns when [`Self::is_over`].
    pub async fn over(&self) {
        // There are no permits, so that this ends with the closing and no sooner.
        let _closed = self.gate.acquire().await;
    }

    pub(in crate::routing) fn end(&self) {
        self.gate.close();
    }
}
