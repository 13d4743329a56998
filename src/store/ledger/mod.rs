//! The ledger: every request leaves exactly one receipt, in a SQLite file that people can open.
//!
//! Owns the journal of requests, what budgets were charged, and feedback. One thread writes (`writer`),
//! behind a bounded queue (`front`); many requests share a commit. Not here: what is reserved and what a
//! charge is (`quota`, `metering`), the file's door and its schema (`store::sqlite`).
//!
//! The invariant: a receipt, what it charged and the end of its open record are one transaction, keyed by
//! the request's id. So whatever is tried again, and whenever the process dies, counts once.
//!
//! What is durable: what was committed survives the death of the process (`kill -9`). The kernel's own
//! death or a power cut may take what it had not written yet, some seconds; `stop` waits for the disk.
//!
//! The trap: nothing on a request's path may wait for the disk. Only [`Ledger::begin_durably`] does, and
//! only for so long.

mod batch;
mod front;
mod open;
mod reader;
mod record;
mod report;
mod row;
mod state;
mod steady;
mod table;
mod timeline;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

pub use front::Ledger;
pub use record::{Feedback, OpenRecord, Renewal};
pub use report::{Between, By, Interrupter, LedgerFile, Line, Rating};
pub use row::Row;
pub use state::LedgerState;
pub use timeline::{Step, TURNS_OF};

use crate::store::counters::Charged;

/// What happens to requests when the ledger cannot be written and its buffer is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// They go on; their receipts are dropped and counted.
    #[default]
    Open,
    /// They are refused. Who was let in before has room for its receipt.
    Closed,
}

/// How the ledger is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerParams {
    /// The file. Beside it stand `-wal`, `-shm` and `.lock`.
    pub file: PathBuf,
    /// When it cannot be written.
    pub when_full: WhenFull,
    /// Entries that wait for the disk, at most; about 1 KB each. A receipt in the file takes some 750 bytes.
    pub buffer: usize,
    /// Receipts older than this are deleted; `None`: never.
    pub keep: Option<Duration>,
    /// How long an entry waits for others to share its commit.
    pub commit_every: Duration,
}

impl LedgerParams {
    /// The defaults for a file: open, 100,000 entries, for ever, 50 ms.
    #[must_use]
    pub fn of(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            when_full: WhenFull::default(),
            buffer: 100_000,
            keep: None,
            commit_every: Duration::from_millis(50),
        }
    }
}

/// A ledger that was opened, and what it knew.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// Requests that were under way when the gateway before this one died; closed at their estimate.
    pub crashed: u64,
    /// What was spent of budgets whose period is not over.
    pub balances: Vec<Charged>,
}

/// The ledger takes no more: it cannot be written, its buffer is full, and it is to fail closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the ledger cannot be written at the moment, and requests without a receipt are not allowed")]
pub struct Full;

/// Why a file is no ledger for us. It is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LedgerFault {
    /// Another process writes it.
    #[error(
        "the ledger {file} is in use by another gateway{by}; stop that one, or name another file in `ledger.file`"
    )]
    InUse {
        /// Which file.
        file: String,
        /// By whom, where known: ` (process 4711)`.
        by: String,
    },
    /// A later version wrote it.
    #[error(
        "the ledger {file} has schema {found}, written by {by}; this program knows schemas up to {known}: run that version, or name another file in `ledger.file`"
    )]
    Newer {
        /// Which file.
        file: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
        /// Who says it wrote it.
        by: String,
    },
    /// It is something else.
    #[error("{file} is no ledger of warmkey: {what}; name another file in `ledger.file`")]
    Foreign {
        /// Which file.
        file: String,
        /// What it is.
        what: String,
    },
    /// It is broken.
    #[error(
        "the ledger {file} is damaged: {what}; it was left as it is. Move it aside to start a new one, or try `sqlite3 {file} .recover`"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// What SQLite found.
        what: String,
    },
    /// The system or SQLite would not.
    #[error("the ledger {file}: {what}")]
    Unusable {
        /// Which file.
        file: String,
        /// What it said.
        what: String,
    },
}
