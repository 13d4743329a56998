//! Limits and budgets: what a request takes from each level, and what it comes to in the end.
//!
//! Owns which counters a request is counted in (`plan`), how much it takes of each (`line`,
//! `pricing`), and the guard that settles it ([`Permit`]). The counting itself is
//! `store::counters`'.
//!
//! Levels are organisation, team, key and session; tags and models have budgets beside them, and
//! providers and endpoints as well, which are taken when it is known where the request goes. All must
//! admit, in one step: who is refused by one has taken nothing of any.
//!
//! Invariant: what was reserved is settled or charged its estimate, exactly once, on every path.
//!
//! What may go over a budget: a stream by what arrives between two events once its last slice was
//! used up (and, where counters are shared, during the round trip of asking for the next one); an
//! answer in one piece by what it is longer than twice what was likely. Requests without a session id
//! are not counted by any session's limit.
//!
//! Trap: without shared counters nothing here waits; with them [`Quota::admit`] and [`Permit::bind`]
//! wait for one round trip, and everything else is done beside the request.

mod admit;
mod alerts;
mod ask;
mod bind;
mod lease;
mod line;
mod permit;
mod plan;
mod plans;
mod pricing;
mod refusal;
mod shared;
mod stream;
mod uncounted;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use alerts::Alert;
pub use ask::{Ask, QuotaParams, SLICE};
pub use permit::Permit;
pub use refusal::{Refusal, What, Why};
pub use shared::SharedState;
pub use stream::Flow;
pub use uncounted::Uncounted;
pub use view::{CounterView, Figure, Figures};

use self::{alerts::Alerts, plans::Plans, shared::Shared};
use crate::{
    store::counters::{Charged, CounterId, Counters, Memory, Rule},
    types::Levels,
};

/// All limits and budgets of the process.
pub struct Quota {
    params: QuotaParams,
    plans: Plans,
    memory: Arc<Memory>,
    shared: Option<Arc<Shared>>,
    alerts: Arc<Alerts>,
}

impl Quota {
    /// Without any limits yet. `shared` are the counters of several gateways.
    #[must_use]
    pub fn new(params: QuotaParams, shared: Option<Arc<dyn Counters>>) -> Self {
        let memory = Arc::new(Memory::default());
        Self {
            params,
            plans: Plans::default(),
            shared: shared.map(|engine| Arc::new(Shared::new(engine))),
            memory,
            alerts: Arc::default(),
        }
    }

    /// These levels hold from now on. What is in use stays in use.
    pub fn configure(&self, levels: Arc<Levels>) {
        self.plans.configure(levels);
    }

    /// What everybody is known to have spent, at the start and whenever it is heard of: of budgets whose
    /// period is not over. Several balances of one counter add up. Never lowers anything.
    pub fn restore(&self, balances: &[Charged]) {
        self.memory.raise(&summed(balances));
    }

    /// As [`Self::restore`], from a ledger that knows of this gateway alone: where counters are shared,
    /// others may have spent as much. Where they are not, there is no difference.
    pub fn restore_own(&self, balances: &[Charged]) {
        self.memory.raise_own(&summed(balances));
    }

    /// Takes the alerts that have come up since the last call, the oldest first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.take()
    }

    /// How the shared counters are; `None` where there are none.
    #[must_use]
    pub fn shared(&self) -> Option<SharedState> {
        self.shared.as_ref().map(|shared| shared.state())
    }

    /// Counters in memory.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.memory.len()
    }
}

/// Balances by counter.
fn summed(balances: &[Charged]) -> Vec<(CounterId, Rule, u64)> {
    let mut spent: Vec<(CounterId, Rule, u64)> = Vec::with_capacity(balances.len());
    let mut sorted: Vec<&Charged> = balances.iter().collect();
    sorted.sort_by(|one, other| (&one.id, one.until).cmp(&(&other.id, other.until)));
    for Charged { id, until, amount } in sorted {
        let rule = Rule::Budget { until: *until };
        match spent.last_mut() {
            Some(last) if last.0 == *id => {
                last.1 = rule;
                last.2 = last.2.saturating_add(*amount);
            }
            _ => spent.push((id.clone(), rule, *amount)),
        }
    }
    spent
}
