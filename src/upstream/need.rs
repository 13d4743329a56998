//! The words in which routing speaks of headroom: what a request needs, who asks, what the answer is.

use std::time::Duration;

use super::{queue::Newcomer, reservation::Reservation};
use crate::types::Priority;

/// What a request is expected to take from its rate domain's limits, in tokens.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Need {
    /// The whole prompt.
    pub input: u64,
    /// The part of it that is expected to be read from the provider's cache.
    pub cached: u64,
}

impl Need {
    /// What of it the provider counts.
    pub(super) const fn counted(&self, cached_reads_count: bool) -> u64 {
        if cached_reads_count { self.input } else { self.input.saturating_sub(self.cached) }
    }
}

/// On whose behalf one waits: what the fair share of a queue goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flow {
    /// Hash of the caller.
    pub id: u64,
    /// The caller's weight; 1 unless configured. Nonsense (zero, negative, not a number) counts as 1.
    pub weight: f32,
    /// Whether somebody waits for the answer: interactive requests go before batch ones.
    pub priority: Priority,
    /// Bytes of the request's body, held while it waits.
    pub bytes: u64,
}

impl Flow {
    /// Nobody in particular.
    pub const NOBODY: Self = Self { id: 0, weight: 1.0, priority: Priority::Interactive, bytes: 0 };

    /// What it looks like to a queue, with so much input.
    pub(super) const fn newcomer(&self, input: f64) -> Newcomer {
        Newcomer { flow: self.id, weight: self.weight, priority: self.priority, input }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum Standing<'a> {
    /// A newcomer.
    New(Flow),
    /// One who holds a place in the queue. Where the place is in another queue, it is a newcomer here.
    Waiting(&'a Reservation),
}

/// When a rate domain's limits would let a request start.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlook {
    /// Zero: now. Counts those who are before it in the queue.
    pub wait: Duration,
    /// It is larger than the limit itself: waiting is useless.
    pub never: bool,
    /// 0..=1, the larger of two: counted input per window (averaged) over the limit, and the part of
    /// the bucket that is gone. 0 where the limit is unknown.
    pub utilisation: f32,
}

impl Outlook {
    /// Nothing is known that speaks against it.
    pub const OPEN: Self = Self { wait: Duration::ZERO, never: false, utilisation: 0.0 };
}

/// What a request takes when it starts.
#[derive(Clone, Copy)]
pub struct Draw<'a> {
    /// What it needs.
    pub need: Need,
    /// On whose behalf; a place in the queue is used up by it.
    pub who: Standing<'a>,
    /// Never refused by our own reckoning: what it takes is booked all the same.
    pub anyway: bool,
}

impl Draw<'_> {
    /// A call of which nothing is known: it takes one request, whatever is left.
    #[must_use]
    pub const fn untold() -> Self {
        Self { need: Need { input: 0, cached: 0 }, who: Standing::New(Flow::NOBODY), anyway: true }
    }
}
