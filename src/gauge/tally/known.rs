//! What is remembered of a conversation between two of its turns, and what became of its cache.

use std::time::Duration;

use crate::{
    gauge::Observation,
    types::{Dialect, Usage},
};

/// Tokens that are lost to rounding, or to what a client adds behind its last breakpoint...
const LEAST_LOSS: u64 = 512;
/// ...and the part of what was cached that is.
const LEAST_PART: u64 = 16;
/// Nothing shorter is cached by those that cache without being asked (providers: `OpenAI`).
const LEAST_AUTOMATIC: u64 = 1_024;

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3_600);
/// Anthropic's lives are exact; what caches by itself forgets after five to ten idle minutes.
const IDLE: Duration = Duration::from_secs(600);
/// `OpenAI` from 5.6 on, which is where writes are reported.
const HALF_HOUR: Duration = Duration::from_secs(1_800);

/// A conversation after its last turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// When that was sent: lives count from there.
    pub(super) at: Duration,
    /// Its prompt and answer.
    pub(super) size: u64,
    /// What the provider had cached of it then.
    warm: u64,
    life: Duration,
    /// Hash of the account that answered.
    pub(super) account: Option<u64>,
}

/// What became of what was cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Nothing was, or the provider did not say.
    Unknown,
    /// It was read.
    Kept,
    /// So many tokens were paid for again.
    Lost(u64),
}

impl Known {
    /// After this turn, with these figures.
    pub(super) fn after(
        before: Option<&Self>,
        seen: &Observation,
        usage: Option<&Usage>,
        account: Option<u64>,
    ) -> Self {
        let Some(usage) = usage else {
            let size = before.map_or(0, |before| before.size);
            return Self { at: seen.at, size, warm: 0, life: FIVE_MINUTES, account };
        };
        let total = usage.total_input();
        let written = usage.write_5m.saturating_add(usage.write_1h);
        let automatic = is_automatic(seen.dialect, usage);
        let warm = if !automatic {
            usage.cached_read.saturating_add(written)
        } else if total < LEAST_AUTOMATIC {
            0
        } else {
            total
        };
        let life = match seen.dialect {
            // What was written for an hour is read for an hour.
            Dialect::Anthropic if usage.write_1h > 0 => HOUR,
            Dialect::Anthropic if written == 0 => before.map_or(FIVE_MINUTES, |before| before.life),
            Dialect::Anthropic => FIVE_MINUTES,
            Dialect::OpenAiChat | Dialect::OpenAiResponses if automatic => IDLE,
            Dialect::OpenAiChat | Dialect::OpenAiResponses => HALF_HOUR,
        };
        Self { at: seen.at, size: total.saturating_add(usage.output), warm, life, account }
    }

    /// With the size that a prompt is estimated at, where the provider has said none.
    pub(super) const fn or_of(mut self, prompt: Option<u64>) -> Self {
        if let (0, Some(prompt)) = (self.warm, prompt) {
            self.size = prompt;
        }
        self
    }

    /// Whether a request at `at` comes too late to find anything.
    pub(super) fn is_cold(&self, at: Duration) -> bool {
        at.saturating_sub(self.at) > self.life
    }

    /// What the next turn made of it.
    pub(super) fn fate(&self, usage: &Usage) -> Fate {
        if self.warm == 0 {
            return Fate::Unknown;
        }
        let expected = self.warm.min(usage.total_input());
        let lost = expected.saturating_sub(usage.cached_read);
        if lost >= LEAST_LOSS && lost >= expected / LEAST_PART { Fate::Lost(lost) } else { Fate::Kept }
    }

    /// Whether a prompt of so many tokens cannot go on from this one.
    pub(super) const fn is_cut_by(&self, total: u64) -> bool {
        total < self.warm - self.warm / 8
    }
}

/// The provider caches by itself and does not report what it writes.
pub(super) const fn is_automatic(dialect: Dialect, usage: &Usage) -> bool {
    !matches!(dialect, Dialect::Anthropic) && usage.write_5m == 0 && usage.write_1h == 0
}
