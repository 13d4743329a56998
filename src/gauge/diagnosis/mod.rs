//! From evidence to sentences: what is wrong, why, and what to do.
//!
//! Each rule is a function of the evidence that finds one thing or nothing, with its weight: the part of all
//! input tokens, or of all requests, that it cost. A rule claims no more than its evidence bears; where two
//! causes look alike from outside it says so.

mod prompts;
mod route;
mod service;
mod words;

use serde::Serialize;

use super::{
    Via,
    report::Report,
    tally::{Costs, evidence::Evidence},
};

/// What costs less than this part is not worth a sentence: two runs differ by as much.
const WORTH_SAYING: f64 = 0.03;
/// With fewer turns nothing is said of a cache.
const FEW: u64 = 3;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing that is worth a sentence.
    Healthy,
    /// Turns of one conversation land on accounts (or machines) that share no cache.
    SeveralAccounts,
    /// Something between client and provider changes the beginning of every prompt.
    PrefixChangedOnTheWay,
    /// The client changes its prompt from turn to turn.
    PrefixChanges,
    /// Requests ask for caching, and nothing is cached.
    MarksLost,
    /// Requests do not ask for caching.
    NoMarks,
    /// Answers do not say what they used.
    UsageNotReported,
    /// Limits were met.
    Throttled,
    /// Prompts below what a provider caches.
    PromptsTooShort,
    /// Requests came to nothing.
    Errors,
    /// Pauses are longer than the cache lives.
    GapsOutliveCache,
    /// Histories are cut or summed up.
    HistoryCut,
    /// What was cached is not found again, and nothing that was seen says why.
    Unexplained,
    /// There is little that could be read from a cache.
    NothingToReuse,
    /// Too little was seen to say anything.
    TooLittle,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnosis {
    /// What, for programs.
    pub kind: Kind,
    /// What, with figures, cause and remedy, for people.
    pub sentence: String,
}

/// A finding before it is sorted.
struct Found {
    kind: Kind,
    /// The part of tokens or requests that it cost, from 0 to 1.
    weight: f64,
    sentence: String,
}

/// What the rules look at.
struct Case<'a> {
    evidence: &'a Evidence,
    costs: Costs,
    via: Via,
    beside: Option<&'a Report>,
}

type Rule = fn(&Case<'_>) -> Option<Found>;

const RULES: [Rule; 12] = [
    service::errors,
    service::throttled,
    service::usage_not_reported,
    route::several_accounts,
    route::prefix_changed_on_the_way,
    prompts::prefix_changes,
    prompts::marks,
    prompts::prompts_too_short,
    prompts::gaps_outlive_cache,
    prompts::history_cut,
    route::nothing_read,
    route::unexplained,
];

/// What is wrong, the most costly first; never empty.
pub(super) fn of(evidence: &Evidence, costs: Costs, via: Via, beside: Option<&Report>) -> Vec<Diagnosis> {
    let case = Case { evidence, costs, via, beside };
    let mut found: Vec<Found> = RULES.iter().filter_map(|rule| rule(&case)).collect();
    found.retain(|found| found.weight >= WORTH_SAYING);
    found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    if found.is_empty() {
        found.push(words::nothing_wrong(&case));
    }
    found.into_iter().map(|Found { kind, sentence, .. }| Diagnosis { kind, sentence }).collect()
}

#[cfg(test)]
mod tests;
