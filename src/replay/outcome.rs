//! What came of a run.

use std::time::Duration;

use crate::{
    sim::Model,
    types::{NanoUsd, Usage},
};

/// The books of one run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Input tokens by kind; nothing of the output is in it, which is the same for all policies.
    pub usage: Usage,
    /// What the input cost.
    pub cost: NanoUsd,
    /// 429s that a client got to see.
    pub client_429: u64,
    /// 529s and 503s that a client got to see.
    pub client_5xx: u64,
    /// Refusals of the provider, whoever got to see them.
    pub refused: u64,
    /// From the first time that a client sent a turn until it went out for good, in seconds.
    waits: Vec<f32>,
    /// Uncached tokens by account.
    uncached: Vec<u64>,
    /// Uncached tokens by minute.
    minutes: Vec<u64>,
    /// Virtual time until the last agent was done.
    pub ended: Duration,
    /// Some agent was not.
    pub unfinished: bool,
    /// When each agent's turns came.
    pub times: Times,
}

/// By agent and turn: when it came for the first time, and how long it took until it was over.
pub type Times = Vec<Vec<(Duration, Duration)>>;

impl Outcome {
    pub(super) fn new(accounts: usize, agents: usize) -> Self {
        Self { uncached: vec![0; accounts], times: vec![Vec::new(); agents], ..Self::default() }
    }

    pub(super) fn admitted(
        &mut self,
        account: usize,
        usage: &Usage,
        model: &Model,
        at: Duration,
        waited: Duration,
    ) {
        let uncached = usage.total_input() - usage.cached_read;
        self.usage += *usage;
        self.cost += model.bill(usage);
        self.uncached[account] += uncached;
        let minute = usize::try_from(at.as_secs() / 60).unwrap_or(0);
        if self.minutes.len() <= minute {
            self.minutes.resize(minute + 1, 0);
        }
        self.minutes[minute] += uncached;
        self.waits.push(waited.as_secs_f32());
    }

    /// Requests that were answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.waits.len()
    }

    /// Uncached tokens a minute in the busiest five: what the limits must let through.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.minutes.windows(5).map(|five| five.iter().sum::<u64>() / 5).max().unwrap_or(0)
    }

    /// The share of input tokens that was read from a cache.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn hit_rate(&self) -> f64 {
        let total = self.usage.total_input();
        if total == 0 { 0.0 } else { self.usage.cached_read as f64 / total as f64 }
    }

    /// The wait that a share of all requests, 0 to 1, did not exceed, in seconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index within the list"
    )]
    pub fn wait(&self, share: f64) -> f64 {
        let mut waits = self.waits.clone();
        if waits.is_empty() {
            return 0.0;
        }
        let rank = ((waits.len() as f64 * share).ceil() as usize).clamp(1, waits.len()) - 1;
        let (_, wait, _) = waits.select_nth_unstable_by(rank, f32::total_cmp);
        f64::from(*wait)
    }

    /// How unevenly uncached tokens were spread over the accounts, each by its limit: the standard
    /// deviation over the mean.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn spread(&self, limits: &[u64]) -> f64 {
        let loads: Vec<f64> =
            self.uncached.iter().zip(limits).map(|(&n, &limit)| n as f64 / limit.max(1) as f64).collect();
        let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
        if mean <= 0.0 {
            return 0.0;
        }
        let variance = loads.iter().map(|load| (load - mean).powi(2)).sum::<f64>() / loads.len() as f64;
        variance.sqrt() / mean
    }
}
