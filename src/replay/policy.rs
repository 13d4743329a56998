//! The policies that can be compared, and one run of one of them.

use std::time::Duration;

use super::{
    baseline::{Baseline, HashKey, LiteLlm, Rendezvous, RoundRobin, Single, Sticky},
    chooser::Chooser,
    engine::{self, World},
    gateway::Gateway,
    outcome::Outcome,
    replicas::Replicas,
    scenario::{Conditions, accounts},
    trace::Trace,
};
use crate::sim::Ttl;

/// A way to choose accounts, or a bound that no way can pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// The router's own code.
    Warmkey,
    /// The same with `cache_ttl = "1h"`: the clients' breakpoints are asked to live an hour.
    WarmkeyHour,
    /// Weighted rendezvous hashing of the session.
    Rendezvous,
    /// The same; a request is held up to 30 s for its account before it goes elsewhere.
    RendezvousWait,
    /// One account after the other.
    RoundRobin,
    /// A table of sessions, pinned anew where they fail over to.
    Sticky,
    /// LiteLLM's prompt-caching check.
    LiteLlm,
    /// The hash of the caller's key.
    HashKey,
    /// The first account for all.
    Single,
    /// Bound: one account without limits, which is never out of reach. Routing can do no better, but
    /// for holding requests back until what they share is readable.
    Oracle5m,
    /// Bound: the same with caches that never forget and show at once what is written.
    Compulsory,
}

impl Policy {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Warmkey,
        Self::WarmkeyHour,
        Self::Rendezvous,
        Self::RendezvousWait,
        Self::RoundRobin,
        Self::Sticky,
        Self::LiteLlm,
        Self::HashKey,
        Self::Single,
        Self::Oracle5m,
        Self::Compulsory,
    ];

    /// Its name on the command line and in tables.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Warmkey => "warmkey",
            Self::WarmkeyHour => "warmkey-1h",
            Self::Rendezvous => "rendezvous",
            Self::RendezvousWait => "rendezvous-wait",
            Self::RoundRobin => "round-robin",
            Self::Sticky => "sticky",
            Self::LiteLlm => "litellm",
            Self::HashKey => "hash-key",
            Self::Single => "single",
            Self::Oracle5m => "oracle-5m",
            Self::Compulsory => "compulsory",
        }
    }

    /// The policy with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.label() == name)
    }

    /// Whether it is a bound and not a way to choose.
    #[must_use]
    pub const fn is_bound(self) -> bool {
        matches!(self, Self::Oracle5m | Self::Compulsory)
    }

    /// Runs it; `tell` is called for each request that is done.
    #[must_use]
    pub fn run(self, trace: &Trace, conditions: &Conditions, seed: u64, tell: &(dyn Fn() + Sync)) -> Outcome {
        if self.is_bound() {
            // One account, no limits, nothing out of order.
            let free = Conditions {
                accounts: accounts(1, 0).into_iter().map(|account| account.limits(0, 0, 0)).collect(),
                early: conditions.early,
                grain: conditions.grain,
                ..Conditions::default()
            };
            let mut chooser = Baseline::new(Single, vec![1], trace.agents.len(), Duration::ZERO);
            let world = World { trace, conditions: &free, seed, ideal: self == Self::Compulsory, tell };
            return engine::run(world, &mut chooser);
        }
        let lengthened = (self == Self::WarmkeyHour).then(|| trace.with_life(Ttl::Hour));
        let trace = lengthened.as_ref().unwrap_or(trace);
        let Some(mut chooser) = self.chooser(trace, conditions, seed) else { return Outcome::default() };
        engine::run(World { trace, conditions, seed, ideal: false, tell }, &mut *chooser)
    }

    fn chooser(self, trace: &Trace, conditions: &Conditions, seed: u64) -> Option<Box<dyn Chooser>> {
        const HOLD: Duration = Duration::from_secs(30);
        let weights: Vec<u64> = conditions.accounts.iter().map(|account| account.itpm).collect();
        let agents = trace.agents.len();
        let now = Duration::ZERO;
        Some(match self {
            Self::Warmkey | Self::WarmkeyHour => gateways(trace, conditions, seed)?,
            Self::Rendezvous => Box::new(Baseline::new(Rendezvous, weights, agents, now)),
            Self::RendezvousWait => Box::new(Baseline::new(Rendezvous, weights, agents, HOLD)),
            Self::RoundRobin => Box::new(Baseline::new(RoundRobin::default(), weights, agents, now)),
            Self::Sticky => Box::new(Baseline::new(Sticky::default(), weights, agents, now)),
            Self::LiteLlm => Box::new(Baseline::new(LiteLlm::new(seed), weights, agents, now)),
            Self::HashKey => Box::new(Baseline::new(HashKey, weights, agents, now)),
            Self::Single | Self::Oracle5m | Self::Compulsory => {
                Box::new(Baseline::new(Single, weights, agents, now))
            }
        })
    }
}

fn gateways(trace: &Trace, conditions: &Conditions, seed: u64) -> Option<Box<dyn Chooser>> {
    let listed = vec![true; conditions.accounts.len()];
    let (agents, model) = (trace.agents.len(), trace.agents.first()?.model.id());
    let gateway = || Gateway::new(conditions, &listed, model, agents, seed);
    if conditions.replicas <= 1 {
        return Some(Box::new(gateway()?));
    }
    let gateways: Option<Vec<_>> = (0..conditions.replicas).map(|_| gateway()).collect();
    Some(Box::new(Replicas::new(gateways?, agents, conditions.restart, seed)))
}
