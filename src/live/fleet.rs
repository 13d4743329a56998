//! What this gateway shares with others, and how that is: for `/readyz`, `/status` and metrics.
//!
//! Written by `server`'s loops, read by `admin`. Where nothing is shared there is nothing here.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    clock::Moment,
    store::{
        counters::redis::RedisCounters,
        ledger::Ledger,
        postgres::{PostgresLedger, Shipper},
    },
};

/// The servers that are shared.
#[derive(Default)]
pub struct Fleet {
    /// Limits, budgets, cooldowns.
    pub redis: Option<FleetRedis>,
    /// Ledger and keys.
    pub postgres: Option<FleetPostgres>,
    /// Gateways that are configured to share them.
    pub replicas: u32,
}

/// The server of counters.
pub struct FleetRedis {
    /// The counters there.
    pub counters: Arc<RedisCounters>,
    /// Since when they are out of reach, and why; `None`: they are not.
    pub away: Mutex<Option<(Moment, String)>>,
    /// Gateways that lived when it was asked last.
    pub gateways: Mutex<u64>,
}

/// The server of ledger and keys.
pub struct FleetPostgres {
    /// The ledger there.
    pub ledger: PostgresLedger,
    /// Copies our own ledger there.
    pub shipper: Shipper,
}

/// How Redis is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisState {
    /// Since when it is out of reach, and why; `None`: it is not.
    pub away: Option<(Moment, String)>,
    /// Gateways that live, this one with them, when it was asked last.
    pub gateways: u64,
    /// Calls that wait to be delivered.
    pub undelivered: usize,
}

/// How Postgres is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgresState {
    /// Since when it is out of reach, and why; `None`: it is not.
    pub away: Option<(Moment, String)>,
    /// Receipts that are in our own ledger alone.
    pub spooled: u64,
    /// Receipts that it refused for good.
    pub refused: u64,
}

impl FleetRedis {
    /// Not reached yet.
    #[must_use]
    pub fn new(counters: Arc<RedisCounters>) -> Self {
        Self { counters, away: Mutex::new(None), gateways: Mutex::new(0) }
    }
}

impl Fleet {
    /// How Redis is, where there is one.
    #[must_use]
    pub fn redis_state(&self) -> Option<RedisState> {
        self.redis.as_ref().map(|redis| RedisState {
            away: redis.away.lock().clone(),
            gateways: *redis.gateways.lock(),
            undelivered: redis.counters.undelivered(),
        })
    }

    /// How Postgres is, where there is one. `ledger`: our own.
    #[must_use]
    pub fn postgres_state(&self, ledger: Option<&Ledger>) -> Option<PostgresState> {
        self.postgres.as_ref().map(|postgres| PostgresState {
            away: postgres.ledger.away(),
            spooled: ledger.map_or(0, |ledger| ledger.state().unshipped()),
            refused: postgres.shipper.refused(),
        })
    }

    /// What does not work as it should, in words.
    #[must_use]
    pub fn troubles(&self, ledger: Option<&Ledger>, now: Moment) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Some((since, why)) = self.redis_state().and_then(|state| state.away) {
            let (seconds, replicas) = (now.since(since).as_secs(), self.replicas.max(1));
            troubles.push(format!(
                "limits and budgets are not shared for {seconds} s, this gateway allows 1/{replicas} of each: {why}"
            ));
        }
        if let Some(state) = self.postgres_state(ledger) {
            if let Some((since, why)) = state.away {
                let (seconds, spooled) = (now.since(since).as_secs(), state.spooled);
                troubles.push(format!(
                    "the shared ledger is away for {seconds} s, {spooled} receipts wait in this gateway's own, \
                     and keys cannot be changed: {why}"
                ));
            }
            if state.refused > 0 {
                troubles.push(format!("the shared ledger has refused {} receipts", state.refused));
            }
        }
        troubles
    }
}
