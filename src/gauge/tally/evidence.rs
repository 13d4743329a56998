//! What was counted: all that a diagnosis rests on.

use std::collections::BTreeMap;

use crate::{
    gauge::share,
    types::{BreakCause, BreakPlace, Usage},
};

/// Turn numbers with a row of their own; later ones share the last row.
pub(in crate::gauge) const TURNS: usize = 64;
/// Distinct places and causes of breaks; further ones count as the last one.
const MOST_BREAKS: usize = 64;

/// Turns, and tokens of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::gauge) struct Count {
    pub(in crate::gauge) turns: u64,
    pub(in crate::gauge) tokens: u64,
}

impl Count {
    pub(super) fn add(&mut self, tokens: u64) {
        self.turns += 1;
        self.tokens = self.tokens.saturating_add(tokens);
    }
}

/// Input of the turns with one number.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::gauge) struct Row {
    pub(in crate::gauge) turns: u64,
    pub(in crate::gauge) input: u64,
    pub(in crate::gauge) read: u64,
}

/// What follow-up turns lost of what had been cached for their conversation, by the likely reason.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::gauge) struct Losses {
    /// The pause was longer than the cache lives.
    pub(in crate::gauge) gap: Count,
    /// Of those, pauses of up to an hour.
    pub(in crate::gauge) gap_within_hour: u64,
    /// The prompt no longer begins as the one before did.
    pub(in crate::gauge) changed: Count,
    /// It was shorter than what had been cached: cut, or summed up.
    pub(in crate::gauge) cut: Count,
    /// Another account answered than the time before.
    pub(in crate::gauge) moved: Count,
    /// None of these.
    pub(in crate::gauge) unknown: Count,
    /// Of the last two, turns that read nothing at all.
    pub(in crate::gauge) to_nothing: u64,
}

/// The identical prompts that were sent one after the other.
#[derive(Clone, Default, Debug)]
pub(in crate::gauge) struct Repeats {
    /// Answered, with figures.
    pub(in crate::gauge) tries: u64,
    /// Those that read most of the prompt.
    pub(in crate::gauge) hits: u64,
    /// Those that wrote to the cache.
    pub(in crate::gauge) writes: u64,
    /// Accounts named by headers.
    pub(in crate::gauge) accounts: usize,
    /// Tokens of the prompt.
    pub(in crate::gauge) tokens: u64,
    /// `h` or `.` a try, in order: read or not; 64 at most.
    pub(in crate::gauge) pattern: String,
}

impl Repeats {
    /// Those that paid for the prompt, the first one included, which has to.
    pub(in crate::gauge) const fn misses(&self) -> u64 {
        self.tries - self.hits
    }
}

/// Everything that was counted of one source.
#[derive(Clone, Default, Debug)]
pub(in crate::gauge) struct Evidence {
    /// Every try.
    pub(in crate::gauge) requests: u64,
    /// Those that were answered: a turn each.
    pub(in crate::gauge) turns: u64,
    pub(in crate::gauge) conversations: u64,
    pub(in crate::gauge) throttled: u64,
    pub(in crate::gauge) errors: BTreeMap<String, u64>,
    /// Answered turns with the provider's figures.
    pub(in crate::gauge) with_usage: u64,
    pub(in crate::gauge) usage: Usage,
    /// By number, as far as there are turns; row [`TURNS`] is what comes later.
    pub(in crate::gauge) by_turn: Vec<Row>,
    /// What a cache that forgets nothing would have read, and of how much, where both are known.
    pub(in crate::gauge) possible: u64,
    pub(in crate::gauge) possible_of: u64,
    /// Of turns without figures: what could have been read within a cache's life.
    pub(in crate::gauge) in_life: u64,
    /// Follow-up turns whose conversation had something cached.
    pub(in crate::gauge) judged: u64,
    pub(in crate::gauge) kept: u64,
    pub(in crate::gauge) losses: Losses,
    /// Follow-up turns of which the account is known, as of the turn before, and those where it differs.
    pub(in crate::gauge) account_pairs: u64,
    pub(in crate::gauge) account_changes: u64,
    /// Accounts named by headers; 256 stand for more.
    pub(in crate::gauge) accounts: usize,
    /// Turns whose request's body was looked at.
    pub(in crate::gauge) bodies: u64,
    /// Turns of prompts that are long enough for any cache, at providers that have to be asked, of which nothing
    /// was written or read, by whether they asked: yes, no, not known.
    pub(in crate::gauge) uncached: [Count; 3],
    /// Follow-up turns at providers that cache without being asked, of which nothing was read.
    pub(in crate::gauge) unread: Count,
    /// Turns of prompts that may have been too short, of which nothing was written or read.
    pub(in crate::gauge) short: Count,
    /// Follow-up turns whose prompt left the one before.
    pub(in crate::gauge) breaks: BTreeMap<(String, BreakCause), Count>,
    /// Turns that left the conversation's last prompt, or went on from it: where that is known.
    pub(in crate::gauge) compared: u64,
    /// Some provider caches without being asked and reports no writes.
    pub(in crate::gauge) automatic: bool,
    /// Some dialect is Anthropic's.
    pub(in crate::gauge) explicit: bool,
    pub(in crate::gauge) repeats: Repeats,
}

impl Evidence {
    /// Tries that came to nothing for another reason than a limit.
    pub(in crate::gauge) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The part of all input tokens that was read from the cache.
    pub(in crate::gauge) fn hit_rate(&self) -> Option<f64> {
        share(self.usage.cached_read, self.usage.total_input())
    }

    /// Tokens as a part of all input.
    pub(in crate::gauge) fn weight(&self, tokens: u64) -> f64 {
        let input = self.usage.total_input().max(self.possible_of);
        share(tokens, input).unwrap_or(0.0).min(1.0)
    }

    pub(super) fn broke(&mut self, at: Option<BreakPlace>, cause: BreakCause, tokens: u64) {
        let place = at.map_or_else(String::new, |at| at.to_string());
        let key = (place, cause);
        let full = self.breaks.len() >= MOST_BREAKS && !self.breaks.contains_key(&key);
        let key = if full { (String::new(), cause) } else { key };
        self.breaks.entry(key).or_default().add(tokens);
    }
}
