//! What a provider's prompt cache sees of a request.
//!
//! *Marked* caches (Anthropic; providers 1.1) write at breakpoints only, and a read looks back from
//! each breakpoint over at most twenty positions, itself included. *Anywhere* caches (OpenAI,
//! engines; providers 2.1) find any shared prefix; of those we remember the ends that a next turn
//! begins with. Keys carry model and settings, because they belong to the provider's key, and never
//! the tenant, because the provider's cache does not know ours.

use std::time::Duration;

use smallvec::SmallVec;

use crate::{
    dialect::TtlAsked,
    types::{PrefixChain, PrefixPoint, Section},
    upstream::{CacheLife, CacheRule},
};

/// Positions that one breakpoint looks at, itself included (providers 1.1).
const LOOK_BACK: usize = 20;
/// Breakpoints of one request (providers 1.1).
const MAX_MARKS: usize = 4;
/// Positions looked up at most: four breakpoints of twenty; OpenAI considers the latest eighty.
const MAX_PROBES: usize = 80;

/// A prefix that the request leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its key in the index.
    pub key: u64,
    /// Its tokens, estimated.
    pub tokens: u32,
    /// How long the provider keeps it.
    pub life: Duration,
    /// It ends in tools or system: many sessions may share it.
    pub shared: bool,
}

/// A prefix that the request could read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Its key in the index.
    pub key: u64,
    /// Its tokens, estimated.
    pub tokens: u32,
}

/// What a [`Prompt`] is made of besides its chain.
#[derive(Clone, Copy, Debug)]
pub struct PromptFacts<'a> {
    /// The breakpoints in the chain's order: which point, and the life that it asks for.
    pub marks: &'a [(usize, TtlAsked)],
    /// The rules of the provider's cache.
    pub cache: CacheLife,
    /// Hash of the model as the provider knows it.
    pub model: u64,
    /// Hash of the settings that belong to the key of every prefix; 0: none.
    pub settings: u64,
    /// Hash of those that belong to the key of message prefixes; 0: none.
    pub message_settings: u64,
    /// Tokens of the whole prompt, estimated.
    pub tokens: u32,
    /// The longest life that is asked for: what holds where there are no breakpoints.
    pub ttl: TtlAsked,
}

/// A prompt as a provider's cache sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prompt {
    /// Tokens of all of it, estimated.
    pub tokens: u32,
    /// How often the model has spoken in it.
    pub turns: u32,
    /// The dearest of its marks lives long (an hour: written at another price).
    pub long: bool,
    marks: SmallVec<[Mark; MAX_MARKS]>,
    probes: Vec<Probe>,
}

impl Prompt {
    /// Reads a chain by the rules of its provider.
    #[must_use]
    pub fn of(chain: &PrefixChain, facts: &PromptFacts<'_>) -> Self {
        let points = &chain.points;
        let reader = Reader { facts, bytes: points.last().map_or(0, |point| point.bytes) };
        let mut prompt = Self {
            tokens: facts.tokens,
            turns: turns(points),
            long: facts.ttl == TtlAsked::Long,
            marks: SmallVec::new(),
            probes: Vec::new(),
        };
        match facts.cache.rule {
            CacheRule::Never => {}
            CacheRule::Marked => {
                let last = facts.marks.len().saturating_sub(MAX_MARKS);
                prompt.read(points, &reader, facts.marks.get(last..).unwrap_or_default(), LOOK_BACK);
            }
            CacheRule::Anywhere => {
                let ends: SmallVec<[(usize, TtlAsked); MAX_MARKS]> =
                    ends(points).into_iter().map(|at| (at, facts.ttl)).collect();
                prompt.read(points, &reader, &ends, MAX_PROBES);
            }
        }
        prompt
    }

    /// A prompt of which only the size is known: nothing of it is cached.
    #[must_use]
    pub fn opaque(tokens: u32) -> Self {
        Self { tokens, ..Self::default() }
    }

    /// What it leaves behind, shortest first.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// What it could read, longest first.
    #[must_use]
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    fn read(
        &mut self,
        points: &[PrefixPoint],
        reader: &Reader<'_>,
        marks: &[(usize, TtlAsked)],
        back: usize,
    ) {
        let deep = |(n, _): &(usize, TtlAsked)| points.get(*n).is_some_and(|p| reader.is_deep_enough(p));
        let marks: SmallVec<[(usize, TtlAsked); MAX_MARKS]> = marks.iter().copied().filter(deep).collect();
        let mut lowest = usize::MAX;
        for &(mark, _) in marks.iter().rev() {
            let seen = lowest;
            for at in (0..=mark).rev().take(back).skip_while(|at| *at >= seen) {
                if self.probes.len() >= MAX_PROBES {
                    break;
                }
                if let Some(point) = points.get(at) {
                    self.probes.push(Probe { key: reader.key(point), tokens: reader.tokens(point) });
                }
                lowest = at;
            }
        }
        let mark = |&(at, ttl): &(usize, TtlAsked)| Some(reader.mark(points.get(at)?, ttl));
        self.marks = marks.iter().filter_map(mark).collect();
    }
}

/// Runs of blocks by the model.
fn turns(points: &[PrefixPoint]) -> u32 {
    let speaks = |point: &PrefixPoint| point.section == Section::Assistant;
    let ends = points.windows(2).filter(|pair| matches!(pair, [a, b] if speaks(a) && !speaks(b))).count();
    u32::try_from(ends + usize::from(points.last().is_some_and(speaks))).unwrap_or(u32::MAX)
}

/// Where a next turn, or another session, may branch off: after tools, after system, before the last
/// reply, and at the end.
fn ends(points: &[PrefixPoint]) -> SmallVec<[usize; MAX_MARKS]> {
    let last_of = |section| points.iter().rposition(|point| point.section == section);
    let before = points
        .iter()
        .rposition(|point| point.section == Section::Assistant)
        .and_then(|reply| points.get(..reply)?.iter().rposition(|point| point.section == Section::User));
    let mut ends: SmallVec<[usize; MAX_MARKS]> =
        [last_of(Section::Tools), last_of(Section::System), before, points.len().checked_sub(1)]
            .into_iter()
            .flatten()
            .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

struct Reader<'a> {
    facts: &'a PromptFacts<'a>,
    bytes: u64,
}

impl Reader<'_> {
    fn key(&self, point: &PrefixPoint) -> u64 {
        let facts = self.facts;
        // The hashes are good ones already: to fold them needs no more than a mix that is not
        // symmetric.
        let salt = facts.model ^ facts.settings.rotate_left(17);
        match point.section {
            Section::Tools | Section::System => point.hash ^ salt,
            Section::User | Section::Assistant => point.hash ^ salt ^ facts.message_settings.rotate_left(31),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an estimate, within 0..=tokens"
    )]
    fn tokens(&self, point: &PrefixPoint) -> u32 {
        let share = point.bytes as f64 / self.bytes.max(1) as f64;
        (f64::from(self.facts.tokens) * share.clamp(0.0, 1.0)) as u32
    }

    fn is_deep_enough(&self, point: &PrefixPoint) -> bool {
        self.tokens(point) >= self.facts.cache.min_tokens
    }

    fn mark(&self, point: &PrefixPoint, ttl: TtlAsked) -> Mark {
        Mark {
            key: self.key(point),
            tokens: self.tokens(point),
            life: self.facts.cache.of(ttl),
            shared: matches!(point.section, Section::Tools | Section::System),
        }
    }
}

#[cfg(test)]
#[path = "prompt_tests.rs"]
mod tests;
