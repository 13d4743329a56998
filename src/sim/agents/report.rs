//! What a gateway was worth: the same fleet through it, and over the keys in turn.

use super::{Run, Way, Workload, run};
use crate::sim::{AccountStats, Sim};

/// One run and the provider's books for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Side {
    /// What the agents noted.
    pub run: Run,
    /// What the provider billed, all accounts together.
    pub books: AccountStats,
}

/// A gateway beside plain round-robin.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// Through the way of the workload.
    pub gateway: Side,
    /// Over the provider's keys in turn.
    pub round_robin: Side,
}

impl Comparison {
    /// Two lines of figures, for a terminal: the caller prints them.
    #[must_use]
    pub fn lines(&self) -> [String; 2] {
        [line("gateway", &self.gateway), line("round-robin", &self.round_robin)]
    }
}

fn line(name: &str, side: &Side) -> String {
    let (home, later) = side.run.at_home();
    format!(
        "{name:<12} requests {:>6}  at home {home:>6} of {later:<6} cache hits {:>5.1} %  cost ${:.4}  failed {}",
        side.run.exchanges.len(),
        side.books.hit_share() * 100.0,
        side.books.cost.as_usd(),
        side.run.failures().len(),
    )
}

/// Runs `workload` as it is, then again over the keys of `sim` in turn. The provider is reset before
/// each, so its record and scripts are lost.
pub async fn compare(sim: &Sim, workload: &Workload) -> Comparison {
    let keys = sim.config().accounts.iter().map(|account| account.key.clone()).collect();
    let way = Way::RoundRobin { base_url: sim.base_url(), keys };
    let plain = Workload { way, ..workload.clone() };
    Comparison { gateway: side(sim, workload).await, round_robin: side(sim, &plain).await }
}

async fn side(sim: &Sim, workload: &Workload) -> Side {
    sim.reset();
    let run = run(workload).await;
    let seen = sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    drop(seen);
    Side { run, books: sim.stats().total() }
}
