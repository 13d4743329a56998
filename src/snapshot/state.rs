//! What is kept beyond a process, and shared with others: where, and what happens when it is full.

use crate::{store::ledger::LedgerParams, types::Secret};

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
