//! The policy in service: by cost or pinned, over one memory.
//!
//! `routing = "pinned"` on a provider is the operator's safety lever: it takes effect with the next
//! reload, for every model that the provider serves, and loses nothing, because both ways of deciding
//! feed and read the same memory.

use std::sync::Arc;

use super::{
    cost::{Cost, CostParams},
    memory::Memory,
    pinned::{Pinned, PinnedParams},
    policy::{Ask, Policy, Start, Verdict, Waiters},
    sessions::{SessionTable, Turn},
};
use crate::{clock::Moment, upstream::Reservation};

/// The knobs of a [`Router`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RouterParams {
    /// By cost.
    pub cost: CostParams,
    /// Pinned.
    pub pinned: PinnedParams,
    /// How many requests may wait at a time.
    pub max_waiters: usize,
    /// Sessions remembered. Only what it is at start counts.
    pub max_sessions: usize,
    /// Warm prefixes remembered. Only what it is at start counts.
    pub max_prefixes: usize,
}

impl Default for RouterParams {
    fn default() -> Self {
        Self {
            cost: CostParams::default(),
            pinned: PinnedParams::default(),
            max_waiters: 1_024,
            max_sessions: 100_000,
            max_prefixes: 1_000_000,
        }
    }
}

/// Decides where requests go.
pub struct Router {
    memory: Arc<Memory>,
    cost: Cost,
    pinned: Pinned,
    waiters: Waiters,
}

impl Router {
    /// A router that knows nothing yet.
    #[must_use]
    pub fn new(params: &RouterParams) -> Self {
        Self::over(Memory::new(params.max_sessions, params.max_prefixes), params)
    }

    /// The same memory under other knobs: for a reload.
    #[must_use]
    pub fn with_params(&self, params: &RouterParams) -> Self {
        Self::over(Arc::clone(&self.memory), params)
    }

    fn over(memory: Arc<Memory>, params: &RouterParams) -> Self {
        Self {
            cost: Cost { params: params.cost },
            pinned: Pinned::new(params.pinned, Arc::clone(&memory.sessions)),
            waiters: Waiters::new(params.max_waiters),
            memory,
        }
    }
}

impl Policy for Router {
    fn decide(&self, ask: &Ask<'_>, place: Option<&Reservation>, now: Moment) -> Verdict {
        if ask.ring.nodes().is_pinned() {
            self.pinned.decide(ask, now)
        } else {
            self.cost.decide(&self.memory, ask, place, now)
        }
    }

    fn started(&self, start: &Start<'_>, now: Moment) -> Turn {
        self.memory.started(start, now)
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn sessions(&self) -> &Arc<SessionTable> {
        &self.memory.sessions
    }

    fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}
