//! Counters that admit: what a request takes is taken from all of them, or from none.
//!
//! A request *reserves* what it may use; when it is over, what it reserved is *settled* to what it
//! did use. Both are one step for all the counters of a request. One contract test holds every engine to
//! the same behaviour.

pub mod contract;
mod local;
mod memory;
pub mod redis;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use local::LocalCounters;
pub use memory::{CAP, Memory};

use crate::{clock::UnixTime, types::RequestId};

/// Names a counter on every gateway alike, such as `b/key:k_7f3a/usd/day/1795132800`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CounterId(pub Arc<str>);

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a counter counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Never more than the limit in any 60 s: the sum over 61 one-second buckets, the second that is
    /// under way and the sixty before it, so that no window of a minute holds more.
    Window,
    /// Held at once: given back in full when the request is settled.
    Level,
    /// Different members seen within `idle`; a member that is known already is always let in.
    Members {
        /// Who.
        member: u64,
        /// How long a member counts after it was seen last.
        idle: Duration,
    },
    /// Spent and reserved together stay within the limit; may be forgotten a day after `until`.
    Budget {
        /// The end of its period.
        until: UnixTime,
    },
}

/// What a request takes from one counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Take {
    /// Which.
    pub id: CounterId,
    /// How it counts.
    pub rule: Rule,
    /// How much: requests, tokens, nano-dollars.
    pub amount: u64,
    /// Up to what.
    pub limit: u64,
    /// It is taken also beyond the limit (a soft budget, an overshoot that has happened).
    pub anyway: bool,
}

/// Where a counter stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// In use: the sum of the window, what is held, members, or spent plus reserved.
    pub used: u64,
    /// Of that, spent for good: only of budgets.
    pub spent: u64,
}

/// What became of a reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// Taken from all of them.
    Granted {
        /// The second, by the engine's own clock, in which windows were charged: settling needs it.
        second: u64,
        /// Where each counter stands now, in the order of the takes.
        standings: Vec<Standing>,
    },
    /// Taken from none.
    Refused {
        /// Which of the takes did not fit.
        index: usize,
        /// Where that counter stands.
        standing: Standing,
        /// When so much will fit again, as far as the engine can know: of windows.
        after: Option<Duration>,
    },
}

/// What was taken, and what it came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// Which.
    pub id: CounterId,
    /// How it counts.
    pub rule: Rule,
    /// What was reserved in all.
    pub reserved: u64,
    /// What was used. More than was reserved is booked now, less is given back to the second in which
    /// it was taken; no bucket goes below zero.
    pub actual: u64,
    /// [`Reserved::Granted::second`].
    pub second: u64,
}

/// What a budget was charged, for the ledger: balances are kept with the receipts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charged {
    /// Which.
    pub id: CounterId,
    /// The end of its period.
    pub until: UnixTime,
    /// Nano-dollars or tokens.
    pub amount: u64,
}

/// The engine cannot be reached, or did not answer in time. What it was asked may or may not have
/// happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Down(pub String);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the shared counters are out of reach: {}", self.0)
    }
}

/// An engine that counts for several gateways.
///
/// What is reserved under an id and not settled is charged as reserved when its gateway is dead: for
/// ten seconds without a heart-beat. Settling an id twice, or one that was charged meanwhile, corrects
/// and never counts twice.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Takes everything, or nothing. May be called again under one id: a stream that goes on. Taking
    /// nothing at all asks whether the engine is there, and knows what was spent.
    async fn reserve(&self, by: RequestId, takes: &[Take]) -> Result<Reserved, Down>;

    /// So much of what was reserved under this id is not needed after all: `reserved` comes down by
    /// [`Settlement::reserved`] at once and for good, `actual` is not looked at, and the rest stays
    /// reserved. A stream's input is corrected so, and an attempt's share of an upstream budget.
    async fn give_back(&self, by: RequestId, parts: &[Settlement]) -> Result<Vec<Standing>, Down>;

    /// What was reserved under this id came to this. The reservation is over. What was reserved in all
    /// the engine knows better than [`Settlement::reserved`]: an answer may have been lost. Where it
    /// cannot be delivered the engine delivers it later; the caller is done.
    async fn settle(&self, by: RequestId, settlements: &[Settlement]) -> Result<Vec<Standing>, Down>;

    /// The ledger knows that at least so much was spent: an engine that knows of less (it lost
    /// something, or was not there) takes it over. Idempotent, and never lowers anything.
    async fn raise(&self, spent: &[(CounterId, Rule, u64)]) -> Result<(), Down>;
}
