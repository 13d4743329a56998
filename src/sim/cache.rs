//! Prompt caches, by the providers' published rules.
//!
//! Owns what one cache domain holds and how much of a prompt is read, written or paid in full.
//! It is pure: prompts come as [`Chain`]s of cumulative hashes, time as an argument.
//!
//! - *Lifetimes run from the start of the request* that wrote or read an entry, not from its end.
//! - *An entry becomes visible at the first byte of its writer's answer*: [`PromptCache::look`] only
//!   says what would be written, [`PromptCache::write`] makes it so. A request that fails writes nothing.
//! - *Anthropic*: written only at breakpoints; from each breakpoint, the last first, a read walks back
//!   over at most 20 positions, the breakpoint included, to an entry that some request wrote.
//! - *OpenAI to GPT-5.5*: any shared prefix from 1,024 tokens in steps of 128.
//! - *OpenAI from GPT-5.6*: written at breakpoints; a read finds the longest written prefix.
//!
//! Two points on which the documents are silent: reading a deep entry also refreshes the shallower
//! entries of the same prompt's breakpoints, and an entry keeps the lifetime that it was written with.

use std::time::Duration;

use ahash::AHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::models::CacheRule;
use crate::{clock::Moment, types::Usage};

/// Positions that one Anthropic breakpoint looks at, itself included.
pub(super) const LOOK_BACK: usize = 20;
/// The smallest prompt that OpenAI caches.
const OPENAI_MIN: u64 = 1_024;
/// When so many entries are held, the expired ones are cleared out before more are written.
const SWEEP_AT: usize = 1 << 20;

/// How long an entry lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    /// Five minutes (Anthropic's default).
    FiveMinutes,
    /// An hour (Anthropic).
    Hour,
    /// Ten minutes of idleness (OpenAI, in memory).
    Idle,
    /// Thirty minutes (OpenAI from GPT-5.6).
    HalfHour,
    /// `prompt_cache_retention: "24h"`.
    Day,
}

impl Ttl {
    const fn span(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Idle => 600,
            Self::HalfHour => 1_800,
            Self::Day => 86_400,
        })
    }
}

/// The end of a block (or of a step), as a cache sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Hash of everything up to here, the model included.
    pub hash: u64,
    /// Tokens of everything up to here.
    pub tokens: u64,
    /// A breakpoint, and how long to keep what ends here.
    pub mark: Option<Ttl>,
}

/// A prompt as a cache sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Its blocks or steps, in order.
    pub positions: Vec<Position>,
    /// Tokens of the whole prompt.
    pub total: u64,
}

/// What a prompt finds, and what it will leave behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// The input side of the bill.
    pub usage: Usage,
    reads: Vec<u64>,
    writes: Vec<(u64, Ttl)>,
}

/// How far a cache keeps what it promises.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Keeping {
    /// The share of entries, 0 to 1, that die before their time.
    pub early: f64,
    /// Which ones die, and when.
    pub seed: u64,
    /// Nothing ever expires: no provider does this, but a lower bound of all bills needs it.
    pub forever: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    expires: Moment,
    ttl: Ttl,
    /// When it dies, however often it is read.
    dies: Moment,
}

impl Entry {
    fn is_warm(&self, now: Moment) -> bool {
        self.expires > now && self.dies > now
    }
}

/// The cache of one domain.
#[derive(Default, Debug)]
pub(super) struct PromptCache {
    entries: AHashMap<u64, Entry>,
    keeping: Keeping,
}

impl PromptCache {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { entries: AHashMap::new(), keeping }
    }

    /// What of `chain` is warm for a request that starts `now`. Changes nothing: a request may still be
    /// refused.
    pub(super) fn look(&self, chain: &Chain, rule: CacheRule, now: Moment) -> Look {
        match rule {
            CacheRule::Marked { min } => self.look_marked(chain, min, now),
            CacheRule::Stepped => self.look_stepped(chain, now),
            CacheRule::Written => self.look_written(chain, now),
        }
    }

    /// The request that `look` was for is let in: what it reads lives on from its start.
    pub(super) fn touch(&mut self, look: &Look, started: Moment) {
        for hash in &look.reads {
            if let Some(entry) = self.entries.get_mut(hash)
                && entry.is_warm(started)
            {
                entry.expires = entry.expires.max(started + entry.ttl.span());
            }
        }
    }

    /// The first byte of the answer is out: what `look` said would be written is there to be read.
    /// `started` is when the request began.
    pub(super) fn write(&mut self, look: &Look, started: Moment, now: Moment) {
        if self.entries.len() + look.writes.len() > SWEEP_AT {
            let forever = self.keeping.forever;
            self.entries.retain(|_, entry| forever || entry.is_warm(now));
        }
        if self.entries.len() + look.writes.len() > SWEEP_AT {
            return; // A full cache evicts early; a later request pays again.
        }
        for &(hash, ttl) in &look.writes {
            let expires = started + ttl.span();
            let fresh = Entry { expires, ttl, dies: self.death(hash, started, ttl) };
            let entry = self.entries.entry(hash).or_insert(fresh);
            if !entry.is_warm(now) {
                *entry = fresh;
            } else if entry.expires < expires {
                *entry = Entry { dies: entry.dies, ..fresh };
            }
        }
    }

    /// When the entry that is written now dies, whatever it was promised.
    #[expect(clippy::cast_precision_loss, reason = "53 random bits are plenty")]
    fn death(&self, hash: u64, started: Moment, ttl: Ttl) -> Moment {
        const NEVER: Moment = Moment::from_nanos(u64::MAX);
        if self.keeping.early <= 0.0 {
            return NEVER;
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&hash.to_le_bytes());
        bytes[8..].copy_from_slice(&started.as_nanos().to_le_bytes());
        let luck = (xxh3_64_with_seed(&bytes, self.keeping.seed) >> 11) as f64 / (1_u64 << 53) as f64;
        if luck < self.keeping.early {
            started + ttl.span().mul_f64((luck / self.keeping.early).clamp(0.0, 1.0))
        } else {
            NEVER
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    fn is_warm(&self, hash: u64, now: Moment) -> bool {
        self.entries.get(&hash).is_some_and(|entry| self.keeping.forever || entry.is_warm(now))
    }

    fn look_marked(&self, chain: &Chain, min: u64, now: Moment) -> Look {
        let marks: Vec<usize> = marked(chain, min).collect();
        let hit = marks.iter().rev().find_map(|&mark| {
            (0..=mark).rev().take(LOOK_BACK).find(|&n| self.is_warm(chain.positions[n].hash, now))
        });
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        let reads = hit.map_or(Vec::new(), |hit| {
            marks.iter().copied().filter(|&n| n < hit).chain([hit]).map(|n| chain.positions[n].hash).collect()
        });
        // Billing positions: A the highest hit, B the last one-hour mark, C the last mark.
        let at = |n: usize| chain.positions[n].tokens;
        let long = |n: &&usize| chain.positions[**n].mark == Some(Ttl::Hour);
        let b = marks.iter().rev().find(long).map_or(0, |&n| at(n)).max(read);
        let c = marks.last().map_or(0, |&n| at(n)).max(b);
        let usage = Usage {
            input: chain.total.saturating_sub(c),
            cached_read: read,
            write_5m: c - b,
            write_1h: b - read,
            ..Usage::default()
        };
        let writes = marks
            .iter()
            .filter(|&&n| Some(n) != hit)
            .filter_map(|&n| chain.positions[n].mark.map(|ttl| (chain.positions[n].hash, ttl)))
            .collect();
        Look { usage, reads, writes }
    }

    fn look_stepped(&self, chain: &Chain, now: Moment) -> Look {
        let hit = chain.positions.iter().rposition(|position| self.is_warm(position.hash, now));
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        let reads =
            chain.positions[..hit.map_or(0, |n| n + 1)].iter().map(|position| position.hash).collect();
        let usage = Usage { input: chain.total.saturating_sub(read), cached_read: read, ..Usage::default() };
        let fresh = &chain.positions[hit.map_or(0, |n| n + 1)..];
        let writes = fresh.iter().map(|p| (p.hash, p.mark.unwrap_or(Ttl::Idle))).collect();
        Look { usage, reads, writes }
    }

    fn look_written(&self, chain: &Chain, now: Moment) -> Look {
        let marks: Vec<usize> = marked(chain, OPENAI_MIN).collect();
        let hit = if marks.is_empty() {
            None // `mode: explicit` without a breakpoint switches caching off.
        } else {
            chain.positions.iter().rposition(|position| self.is_warm(position.hash, now))
        };
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        let reads = marks.iter().copied().chain(hit).map(|n| chain.positions[n].hash).collect();
        let last = marks.last().map_or(0, |&n| chain.positions[n].tokens).max(read);
        let usage = Usage {
            input: chain.total.saturating_sub(last),
            cached_read: read,
            write_5m: last - read,
            ..Usage::default()
        };
        let writes = marks
            .iter()
            .filter(|&&n| hit.is_none_or(|hit| n > hit))
            .map(|&n| (chain.positions[n].hash, Ttl::HalfHour))
            .collect();
        Look { usage, reads, writes }
    }
}

/// The breakpoints that are deep enough to count.
fn marked(chain: &Chain, min: u64) -> impl Iterator<Item = usize> {
    chain
        .positions
        .iter()
        .enumerate()
        .filter(move |(_, position)| position.mark.is_some() && position.tokens >= min)
        .map(|(n, _)| n)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
