//! One limit or budget as it counts requests.

use super::{
    What,
    pricing::{Cost, Pricing},
};
use crate::{
    clock::UnixTime,
    store::counters::{CounterId, Rule, Take},
    types::{NanoUsd, Period, SESSION_ACTIVE, Scope, SessionKey, Usage},
};

/// What of a request is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counts {
    /// The request, in a minute.
    Requests,
    /// Its input and output; input read from a cache only where `cached`.
    Tokens { cached: bool },
    /// Its input.
    Input { cached: bool },
    /// Its output.
    Output,
    /// That it is under way.
    Presence,
    /// Its session.
    Session,
    /// That it is one turn more.
    Turn,
    /// What its caller is billed.
    Billed,
    /// What it costs at the provider.
    Plain,
    /// All its tokens, for good.
    All,
}

/// What a request is expected to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    /// Its input, as if nothing were cached.
    pub(super) input: Cost,
    /// Its output as budgets reserve it: a slice, or all that is likely.
    pub(super) output: Cost,
    /// Its output as limits by the minute reserve it.
    pub(super) likely_output: u64,
}

/// One counter of one scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) id: CounterId,
    pub(super) scope: Scope,
    pub(super) what: What,
    pub(super) counts: Counts,
    pub(super) limit: u64,
    /// It warns and lets pass.
    pub(super) soft: bool,
    /// The end of a budget's period; of anything else nothing.
    pub(super) until: UnixTime,
}

impl Line {
    /// The rule of its counter, for a request of this session.
    pub(super) fn rule(&self, session: Option<SessionKey>) -> Rule {
        match self.counts {
            Counts::Requests | Counts::Tokens { .. } | Counts::Input { .. } | Counts::Output => Rule::Window,
            Counts::Presence => Rule::Level,
            Counts::Session => Rule::Members {
                // Half of a good hash.
                member: session.map_or(0, |session| (session.0 >> 64) as u64),
                idle: SESSION_ACTIVE,
            },
            Counts::Turn | Counts::Billed | Counts::Plain | Counts::All => Rule::Budget { until: self.until },
        }
    }

    /// Whether what it counted is kept in the ledger.
    pub(super) const fn is_charged(&self) -> bool {
        matches!(self.counts, Counts::Turn | Counts::Billed | Counts::Plain | Counts::All)
    }

    /// Whether a stream takes it slice by slice.
    pub(super) const fn is_sliced(&self) -> bool {
        matches!(self.counts, Counts::Billed | Counts::Plain | Counts::All)
    }

    /// Whether it counts dollars.
    pub(super) const fn is_money(&self) -> bool {
        matches!(self.counts, Counts::Billed | Counts::Plain)
    }

    /// What it reserves, for the input and for the output.
    pub(super) const fn reserves(&self, estimate: &Estimate) -> (u64, u64) {
        let tokens = estimate.input.tokens;
        match self.counts {
            Counts::Requests | Counts::Presence | Counts::Session | Counts::Turn => (1, 0),
            Counts::Tokens { .. } => (tokens, estimate.likely_output),
            Counts::Input { .. } => (tokens, 0),
            Counts::Output => (0, estimate.likely_output),
            Counts::Billed | Counts::Plain | Counts::All => {
                (self.part(&estimate.input), self.part(&estimate.output))
            }
        }
    }

    /// A budget's share of a cost; nothing else has one.
    pub(super) const fn part(&self, cost: &Cost) -> u64 {
        match self.counts {
            Counts::Billed => cost.billed,
            Counts::Plain => cost.plain,
            Counts::All => cost.tokens,
            Counts::Requests
            | Counts::Tokens { .. }
            | Counts::Input { .. }
            | Counts::Output
            | Counts::Presence
            | Counts::Session
            | Counts::Turn => 0,
        }
    }

    /// What the reported input comes to; `None` where input does not count.
    pub(super) fn input(&self, pricing: &Pricing, usage: &Usage) -> Option<u64> {
        match self.counts {
            Counts::Tokens { cached } | Counts::Input { cached } => Some(counted_input(usage, cached)),
            Counts::Billed | Counts::Plain | Counts::All => Some(self.part(&pricing.read_input(usage))),
            Counts::Requests | Counts::Output | Counts::Presence | Counts::Session | Counts::Turn => None,
        }
    }

    /// What it all came to.
    pub(super) fn actual(&self, pricing: &Pricing, usage: &Usage, charge: Option<NanoUsd>) -> u64 {
        match self.counts {
            Counts::Requests | Counts::Presence | Counts::Session | Counts::Turn => 1,
            Counts::Tokens { cached } => counted_input(usage, cached).saturating_add(usage.output),
            Counts::Input { cached } => counted_input(usage, cached),
            Counts::Output => usage.output,
            Counts::Billed | Counts::Plain | Counts::All => self.part(&pricing.total(usage, charge)),
        }
    }

    /// A take of it. Nothing always fits: who needs nothing of a budget need not find room in it.
    pub(super) fn take(&self, session: Option<SessionKey>, amount: u64) -> Take {
        Take {
            id: self.id.clone(),
            rule: self.rule(session),
            amount,
            limit: self.limit,
            anyway: self.soft || amount == 0,
        }
    }

    /// When it begins anew.
    pub(super) fn resets_at(&self) -> Option<UnixTime> {
        match self.what {
            What::Usd(Period::Total) | What::Tokens(Period::Total) => None,
            What::Usd(_) | What::Tokens(_) => Some(self.until),
            What::Rpm
            | What::Tpm
            | What::Itpm
            | What::Otpm
            | What::Concurrent
            | What::Sessions
            | What::Turns => None,
        }
    }
}

const fn counted_input(usage: &Usage, cached: bool) -> u64 {
    let all = usage.total_input();
    if cached { all } else { all.saturating_sub(usage.cached_read) }
}
