//! Limits and budgets: what a request takes from each level, and what it comes to in the end.

mod alerts;
mod ask;
mod permit;
mod refusal;
mod view;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use alerts::Alert;
pub use ask::{Ask, QuotaParams};
pub use permit::{Flow, Permit};
pub use refusal::{Refusal, What, Why};
pub use view::{CounterView, Figure, Figures};

use crate::{
    clock::{Moment, UnixTime},
    store::counters::{Charged, Counters},
    types::{Levels, Scope, VirtualKey},
};

/// All limits and budgets of the process.
pub struct Quota {
    params: QuotaParams,
    shared: Option<Arc<dyn Counters>>,
    levels: ArcSwap<Levels>,
}

impl Quota {
    /// Without any limits yet.
    #[must_use]
    pub fn new(params: QuotaParams, shared: Option<Arc<dyn Counters>>) -> Self {
        Self { params, shared, levels: ArcSwap::default() }
    }

    /// These levels hold from now on. What is in use stays in use.
    pub fn configure(&self, levels: Arc<Levels>) {
        self.levels.store(levels);
    }

    /// What the ledger knows to be spent, at the start.
    pub fn restore(&self, _balances: &[Charged]) {}

    /// Takes what the request may use from every level, or nothing.
    ///
    /// # Errors
    /// One of them has no room.
    #[expect(clippy::unused_async, reason = "it waits where counters are shared")]
    pub async fn admit(self: &Arc<Self>, _ask: Ask<'_>) -> Result<Permit, Refusal> {
        Ok(Permit::new(Arc::clone(self)))
    }

    /// Where everything stands that limits a key: its own, its team's, its organisation's, its tags'.
    #[must_use]
    pub fn view_key(&self, _key: &VirtualKey, _now: Moment, _at: UnixTime) -> Vec<CounterView> {
        Vec::new()
    }

    /// Where everything of one scope stands. Of a key: see [`Self::view_key`].
    #[must_use]
    pub fn view(&self, _scope: &Scope, _now: Moment, _at: UnixTime) -> Vec<CounterView> {
        Vec::new()
    }

    /// Takes the alerts that have come up since the last call, the oldest first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        Vec::new()
    }
}
