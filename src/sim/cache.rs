//! Prompt caches, by the providers' published rules.
//!
//! Owns what each cache domain holds and how much of a prompt is read, written or paid in full.
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

use super::models::CacheRule;
use crate::{clock::Moment, types::Usage};

/// Positions that one Anthropic breakpoint looks at, itself included.
const LOOK_BACK: usize = 20;
/// The smallest prompt that OpenAI caches.
const OPENAI_MIN: u64 = 1_024;
/// When so many entries are held, the expired ones are cleared out before more are written.
const SWEEP_AT: usize = 1 << 20;

/// How long an entry lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ttl {
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
pub(super) struct Position {
    /// Hash of everything up to here, the cache domain included.
    pub(super) hash: u64,
    /// Tokens of everything up to here.
    pub(super) tokens: u64,
    /// A breakpoint, and how long to keep what ends here.
    pub(super) mark: Option<Ttl>,
}

/// A prompt as a cache sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Chain {
    pub(super) positions: Vec<Position>,
    /// Tokens of the whole prompt.
    pub(super) total: u64,
}

/// What a prompt finds, and what it will leave behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// The input side of the bill.
    pub(super) usage: Usage,
    writes: Vec<(u64, Ttl)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    expires: Moment,
    ttl: Ttl,
}

/// The caches of all domains.
#[derive(Default, Debug)]
pub(super) struct PromptCache {
    entries: AHashMap<u64, Entry>,
}

impl PromptCache {
    /// What of `chain` is warm for a request that starts `now`; refreshes what is read.
    pub(super) fn look(&mut self, chain: &Chain, rule: CacheRule, now: Moment) -> Look {
        match rule {
            CacheRule::Marked { min } => self.look_marked(chain, min, now),
            CacheRule::Stepped => self.look_stepped(chain, now),
            CacheRule::Written => self.look_written(chain, now),
        }
    }

    /// The first byte of the answer is out: what `look` said would be written is there to be read.
    /// `started` is when the request began.
    pub(super) fn write(&mut self, look: &Look, started: Moment, now: Moment) {
        if self.entries.len() + look.writes.len() > SWEEP_AT {
            self.entries.retain(|_, entry| entry.expires > now);
        }
        if self.entries.len() + look.writes.len() > SWEEP_AT {
            return; // A full cache evicts early; a later request pays again.
        }
        for &(hash, ttl) in &look.writes {
            let expires = started + ttl.span();
            let entry = self.entries.entry(hash).or_insert(Entry { expires, ttl });
            if entry.expires < expires {
                *entry = Entry { expires, ttl };
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    fn is_warm(&self, hash: u64, now: Moment) -> bool {
        self.entries.get(&hash).is_some_and(|entry| entry.expires > now)
    }

    fn refresh(&mut self, hash: u64, now: Moment) {
        if let Some(entry) = self.entries.get_mut(&hash)
            && entry.expires > now
        {
            entry.expires = entry.expires.max(now + entry.ttl.span());
        }
    }

    fn look_marked(&mut self, chain: &Chain, min: u64, now: Moment) -> Look {
        let marks: Vec<usize> = marked(chain, min).collect();
        let hit = marks.iter().rev().find_map(|&mark| {
            (0..=mark).rev().take(LOOK_BACK).find(|&n| self.is_warm(chain.positions[n].hash, now))
        });
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        if let Some(hit) = hit {
            for n in marks.iter().copied().filter(|&n| n < hit).chain([hit]) {
                self.refresh(chain.positions[n].hash, now);
            }
        }
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
        Look { usage, writes }
    }

    fn look_stepped(&mut self, chain: &Chain, now: Moment) -> Look {
        let hit = chain.positions.iter().rposition(|position| self.is_warm(position.hash, now));
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        for n in 0..hit.map_or(0, |n| n + 1) {
            self.refresh(chain.positions[n].hash, now);
        }
        let usage = Usage { input: chain.total.saturating_sub(read), cached_read: read, ..Usage::default() };
        let fresh = &chain.positions[hit.map_or(0, |n| n + 1)..];
        let writes = fresh.iter().map(|p| (p.hash, p.mark.unwrap_or(Ttl::Idle))).collect();
        Look { usage, writes }
    }

    fn look_written(&mut self, chain: &Chain, now: Moment) -> Look {
        let marks: Vec<usize> = marked(chain, OPENAI_MIN).collect();
        let hit = if marks.is_empty() {
            None // `mode: explicit` without a breakpoint switches caching off.
        } else {
            chain.positions.iter().rposition(|position| self.is_warm(position.hash, now))
        };
        let read = hit.map_or(0, |n| chain.positions[n].tokens);
        for n in marks.iter().copied().chain(hit) {
            self.refresh(chain.positions[n].hash, now);
        }
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
        Look { usage, writes }
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
