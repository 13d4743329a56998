//! What was found, as figures: the members of `--json` are the fields of [`Report`].
//!
//! A member without a figure is `null`: nothing was seen that it could rest on. Shares are parts of one.

mod make;
mod reading;
mod table;

use serde::Serialize;

pub use self::reading::Reading;
pub(super) use self::{
    make::{Counted, of},
    table::{dollars, glance, percent, seconds, stopped},
};
use super::{Diagnosis, Source, Via};
use crate::types::{NanoUsd, Usage};

/// Why a run ended before its plan did.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Somebody stopped it.
    Interrupted,
    /// Another request might have passed what was allowed to be spent.
    Budget {
        /// That, in dollars.
        cap_usd: f64,
    },
    /// Too many requests in a row came to nothing.
    Failing,
}

/// Tokens by kind, as the provider reported them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Tokens {
    /// Input that had nothing to do with a cache.
    pub input: u64,
    /// Input read from the cache.
    pub cached_read: u64,
    /// Input written to it for the short time.
    pub write_5m: u64,
    /// Input written to it for the long time.
    pub write_1h: u64,
    /// Output.
    pub output: u64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let Usage { input, cached_read, write_5m, write_1h, output, reasoning: _ } = usage;
        Self { input, cached_read, write_5m, write_1h, output }
    }
}

/// Errors of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ErrorCount {
    /// A status and the provider's type of error, or what happened to the connection.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// What identical prompts, one after the other, showed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Probe {
    /// Answered, with figures.
    pub tries: u64,
    /// Those that read most of the prompt from the cache.
    pub hits: u64,
    /// A character a try, in order: `h` for one that read, `.` for one that paid; the first 64.
    pub pattern: String,
    /// Different accounts that headers named.
    pub accounts: usize,
}

/// How a source did.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The endpoint's URL, or the file that was read.
    pub endpoint: String,
    /// How it was observed.
    pub via: Via,
    /// What was spoken, where it is the same for all requests.
    pub dialect: Option<&'static str>,
    /// The models that were asked for, the most frequent first; eight at most.
    pub models: Vec<String>,
    /// Conversations; sub-agents have their own.
    pub conversations: u64,
    /// Every try.
    pub requests: u64,
    /// Requests that were answered.
    pub turns: u64,
    /// Tries that came to nothing, but for those that met a limit.
    pub errors: u64,
    /// The same by kind, the most frequent first.
    pub errors_by_kind: Vec<ErrorCount>,
    /// Tries that met a limit.
    pub status_429: u64,
    /// Turns with the provider's figures; hit rates and costs rest on these.
    pub turns_with_usage: u64,
    /// The part of all input tokens that was read from the cache.
    pub hit_rate: Option<f64>,
    /// The same by turn of a conversation, counted from 0; the 65th stands for all later ones.
    pub hit_rate_by_turn: Vec<Option<f64>>,
    /// How many turns have that number.
    pub turns_by_number: Vec<u64>,
    /// The part of all input tokens that its conversation had sent before.
    pub possible_hit_rate: Option<f64>,
    /// All tokens.
    pub tokens: Tokens,
    /// What the turns with figures and a price cost, in dollars at list prices.
    pub cost_usd: Option<f64>,
    /// What they would have cost with a cache that keeps everything.
    pub warm_cost_usd: Option<f64>,
    /// Dollars for a thousand turns.
    pub cost_per_1k_turns: Option<f64>,
    /// The same with a cache that keeps everything.
    pub warm_cost_per_1k_turns: Option<f64>,
    /// Models without a known price; their turns are in no cost.
    pub unpriced_models: Vec<String>,
    /// Time to the first token in seconds, of half of the answers...
    pub ttft_p50_s: Option<f64>,
    /// ...of nine in ten...
    pub ttft_p90_s: Option<f64>,
    /// ...and of ninety-nine in a hundred.
    pub ttft_p99_s: Option<f64>,
    /// Time between pieces of content, likewise.
    pub itl_p50_s: Option<f64>,
    /// Nine in ten.
    pub itl_p90_s: Option<f64>,
    /// Ninety-nine in a hundred.
    pub itl_p99_s: Option<f64>,
    /// Time to the end of an answer, likewise.
    pub total_p50_s: Option<f64>,
    /// Nine in ten.
    pub total_p90_s: Option<f64>,
    /// Ninety-nine in a hundred.
    pub total_p99_s: Option<f64>,
    /// What identical prompts showed; of driven endpoints only.
    pub probe: Option<Probe>,
    /// What is wrong, in words, the most costly first.
    pub diagnosis: Vec<Diagnosis>,
    /// What else is to be known of these figures.
    pub remarks: Vec<String>,
    /// How reading went; of files only.
    pub read: Option<Reading>,
    /// Why a run ended early. For whoever drives it to set.
    pub stopped: Option<Stopped>,
    /// What a run spent, everything included that was charged at its bound. For whoever drives it to set.
    pub spent_usd: Option<f64>,
}

impl Report {
    /// The part of all input tokens that was read from the cache; `None` where nobody said.
    #[must_use]
    pub const fn hit_rate(&self) -> Option<f64> {
        self.hit_rate
    }

    /// For a terminal: a table, the hit rate by turn, and the diagnosis.
    #[must_use]
    pub fn text(&self) -> String {
        text(std::slice::from_ref(self))
    }
}

/// Several reports for a terminal, a row each; the first is the yardstick of the others.
#[must_use]
pub fn text(reports: &[Report]) -> String {
    table::text(reports)
}

/// `1 turn`, `2 turns`.
pub(super) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn usd(money: NanoUsd) -> f64 {
    money.as_usd()
}

#[cfg(test)]
mod tests;
