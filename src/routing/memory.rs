//! What routing remembers, whichever policy decides: sessions, warm prefixes, and how good our
//! predictions were. It outlives a reload.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use smallvec::SmallVec;

use super::{
    policy::Start,
    savings::Savings,
    sessions::{SessionTable, Turn, TurnFacts},
    warm::{Leader, Mark, Probe, Prompt, WarmIndex},
};
use crate::{
    clock::Moment,
    upstream::{CacheRule, Endpoint},
};

/// A read this much smaller than predicted is no rounding: entries below it do not exist anywhere.
const TOLERANCE: u64 = 1_024;

/// What routing remembers.
pub struct Memory {
    /// Which session was where.
    pub sessions: Arc<SessionTable>,
    /// Which prefix is warm where.
    pub warm: WarmIndex,
    /// What all of this saves.
    pub savings: Savings,
    predictions: AtomicU64,
    prediction_errors: AtomicU64,
}

/// How often the warm index was asked, and how often it was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Predictions {
    /// Reads predicted and reported on.
    pub made: u64,
    /// Those that did not happen.
    pub wrong: u64,
}

/// What one request was expected to find in its provider's cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected {
    /// Tokens that the warm index says can be read.
    pub warm: u32,
    /// Tokens of the whole prompt, estimated.
    pub tokens: u32,
}

/// Compact, for a header: `88000/104000`.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The index knows what providers counted, the whole is our guess: never more than all.
        write!(f, "{}/{}", self.warm, self.tokens.max(self.warm))
    }
}

impl Memory {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(max_sessions: usize, max_prefixes: usize) -> Arc<Self> {
        Arc::new(Self {
            sessions: SessionTable::new(max_sessions),
            warm: WarmIndex::new(max_prefixes),
            savings: Savings::new(max_prefixes / 8),
            predictions: AtomicU64::new(0),
            prediction_errors: AtomicU64::new(0),
        })
    }

    /// A request goes out.
    pub(super) fn started(self: &Arc<Self>, start: &Start<'_>, now: Moment) -> Turn {
        let mut turn = self.sessions.start(start, now);
        turn.trail = Some(Trail::begin(self, start, now));
        turn
    }

    /// How good the warm index's predictions were so far.
    #[must_use]
    pub fn predictions(&self) -> Predictions {
        Predictions {
            made: self.predictions.load(Ordering::Relaxed),
            wrong: self.prediction_errors.load(Ordering::Relaxed),
        }
    }
}

/// What one request leaves behind in its provider's cache, from its start to its settlement.
pub(super) struct Trail {
    memory: Arc<Memory>,
    endpoint: Arc<Endpoint>,
    /// The cache domain as it was known at the start.
    domain: u64,
    marks: SmallVec<[Mark; 4]>,
    /// What it was expected to read.
    read: Option<Probe>,
    tokens: u32,
    /// The prompt is nothing that a cache could hold.
    opaque: bool,
    leader: Arc<Leader>,
    started: Moment,
    answered: bool,
    shadow: Option<super::savings::Shadow>,
}

impl Trail {
    fn begin(memory: &Arc<Memory>, start: &Start<'_>, now: Moment) -> Self {
        let prompt: &Prompt = start.prompt;
        let domain = start.endpoint.cache_id();
        let leader = Leader::new(now);
        let read = memory.warm.read(prompt, domain, now);
        memory.warm.lead(prompt.marks(), domain, &leader, now);
        Self {
            memory: Arc::clone(memory),
            endpoint: Arc::clone(start.endpoint),
            domain,
            marks: prompt.marks().into(),
            read,
            tokens: prompt.tokens,
            opaque: prompt.probes().is_empty(),
            leader,
            started: now,
            answered: false,
            shadow: memory.savings.started(start, now),
        }
    }

    pub(super) fn expected(&self) -> Option<Expected> {
        let warm = self.read.map_or(0, |read| read.tokens);
        (!self.opaque).then_some(Expected { warm, tokens: self.tokens })
    }

    /// The provider has begun to answer.
    pub(super) fn answered(&mut self) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        // The very answer may have taught us whose cache it is.
        let domain = self.endpoint.cache_id();
        let warm = &self.memory.warm;
        if domain != self.domain {
            warm.abandon(&self.marks, self.domain, &self.leader);
            self.domain = domain;
        }
        warm.reveal(&self.marks, domain, self.started);
        if let Some(read) = self.read {
            warm.refresh(read.key, domain, self.started);
        }
        self.leader.end();
    }

    /// What the provider counted. Tokens that it reports as read tell whether we were right.
    pub(super) fn settled(&mut self, facts: &TurnFacts) -> Option<bool> {
        let input = facts.input.filter(|_| self.answered)?;
        if let Some(shadow) = self.shadow.take() {
            self.memory.savings.settled(&shadow, &input);
        }
        let total = input.read + input.written + input.uncached;
        if total == 0 {
            return None;
        }
        let is_marked = self.endpoint.provider().params.cache.rule == CacheRule::Marked;
        if is_marked && input.read == 0 && input.written == 0 {
            // It was not cached at all, whatever its markers ask for: too short, or no markers after
            // all.
            for mark in &self.marks {
                self.memory.warm.forget(mark.key, self.domain);
            }
        } else {
            self.resize(total);
        }
        self.judge(input.read)
    }

    /// Bytes become tokens at another rate than we guessed: now we know.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "float casts saturate"
    )]
    fn resize(&self, total: u64) {
        let factor = total as f64 / f64::from(self.tokens.max(1));
        for mark in &self.marks {
            self.memory.warm.resize(mark.key, self.domain, (f64::from(mark.tokens) * factor) as u32);
        }
    }

    /// Whether what was expected was read; `None` where nothing was.
    fn judge(&self, read: u64) -> Option<bool> {
        let expected = self.read?;
        self.memory.predictions.fetch_add(1, Ordering::Relaxed);
        let tokens = u64::from(expected.tokens);
        if read + (tokens / 8).max(TOLERANCE) >= tokens {
            return Some(true);
        }
        self.memory.prediction_errors.fetch_add(1, Ordering::Relaxed);
        // What this request wrote itself is there now.
        if self.marks.iter().all(|mark| mark.key != expected.key) {
            self.memory.warm.forget(expected.key, self.domain);
        }
        Some(false)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.answered {
            self.memory.warm.abandon(&self.marks, self.domain, &self.leader);
            self.leader.end();
        }
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
