//! What is kept beyond a process, and shared with others: where, and what happens when it is full.

use std::{path::PathBuf, time::Duration};

use crate::types::Secret;

/// Who may call without a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// Anybody. Only ever on loopback.
    Everybody,
    /// Anybody, until there is a key: neither a configured caller nor a stored key. Only ever on
    /// loopback.
    UntilKeys,
    /// Nobody, also while no key exists.
    Never,
}

/// The ledger, as configured.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The local file.
    pub params: LedgerParams,
    /// Where ledger and keys of several gateways come together: `postgres://...`, with its password.
    pub postgres: Option<Secret>,
}

/// The local ledger's file and bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerParams {
    /// Where it is.
    pub file: PathBuf,
    /// What happens to requests when nothing more can be noted.
    pub when_full: WhenFull,
    /// Receipts held in memory while the disk is slow or full.
    pub buffer: usize,
    /// How long receipts are kept; `None` is for ever.
    pub keep: Option<Duration>,
    /// How often what was noted is committed.
    pub commit_every: Duration,
}

/// What happens to requests when the ledger can take no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// They are served, and missing in the ledger.
    Open,
    /// They are refused.
    Closed,
}

/// What several gateways share while they run.
#[derive(Clone, Debug)]
pub struct StateParams {
    /// The Redis or Valkey server: `redis://...` or `rediss://...`, perhaps with a password.
    pub redis: Option<Secret>,
    /// How many gateways there are: each has such a part of every limit while nothing is shared.
    pub replicas: u32,
}

impl Default for StateParams {
    fn default() -> Self {
        Self { redis: None, replicas: 1 }
    }
}

/// Whom budgets that run out are told to, beside log and metrics.
#[derive(Clone, Debug, Default)]
pub struct AlertParams {
    /// Takes a POST of JSON. A secret: such URLs hold their own password.
    pub webhook: Option<Secret>,
}
