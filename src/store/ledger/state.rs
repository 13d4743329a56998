//! How the ledger is, for `/readyz`, `/status` and metrics.

use std::time::Duration;

use crate::clock::{Moment, UnixTime};

/// How the ledger is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LedgerState {
    /// Entries that wait for the disk, those under way included.
    pub queued: usize,
    /// How many may.
    pub buffer: usize,
    /// Requests that are open.
    pub open: usize,
    /// Receipts written since the start.
    pub written: u64,
    /// Receipts that were lost because the buffer was full.
    pub dropped: u64,
    /// Open records that were left out because the buffer was full: nobody knew of those requests, had the
    /// gateway died while they ran.
    pub unrecorded: u64,
    /// Requests with a budget whose open record was not in the file in time: they went on without it, or
    /// were refused, by how the ledger fails.
    pub late: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Since when nothing could be written; `None`: all is well.
    pub failing_since: Option<(Moment, UnixTime)>,
    /// Since when the commit that is under way has been; a disk that hangs shows here, not as a failure.
    pub writing_since: Option<Moment>,
    /// The file is no longer where it was: what is written goes with the process. Restart the gateway.
    pub lost: bool,
    /// What the disk or SQLite said then.
    pub fault: Option<String>,
    /// The last receipt's number.
    pub last_seq: u64,
    /// Receipts up to this number have been copied elsewhere.
    pub shipped: u64,
}

impl LedgerState {
    /// Whether receipts reach the disk.
    #[must_use]
    pub const fn well(&self) -> bool {
        self.failing_since.is_none() && !self.lost
    }

    /// How long what was told first has waited for the disk.
    #[must_use]
    pub fn lag(&self, now: Moment) -> Duration {
        self.writing_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Receipts that have not been copied elsewhere yet: what is spooled while Postgres is away.
    #[must_use]
    pub const fn unshipped(&self) -> u64 {
        self.last_seq.saturating_sub(self.shipped)
    }
}
