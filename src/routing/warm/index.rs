//! Prefix -> where it is warm: sharded, bounded, one short lock a look-up.
//!
//! An entry is *pending* from the moment its request is sent until the provider's first byte, and
//! readable from then until it expires. Expiry runs from the request's start (providers 0.2), and a
//! read refreshes what it read.

use std::{sync::Arc, time::Duration};

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{
    leader::Leader,
    prompt::{Mark, Probe, Prompt},
    saved::{SavedPrefix, SavedWarm},
};
use crate::clock::{Moment, UnixTime};

const SHARDS: usize = 64;
/// Cache domains remembered for one prefix: a fleet's common prefix is warm in many.
const MAX_DOMAINS: usize = 64;
/// Where nothing has expired and the table is full, one in so many goes to make room.
const PART: usize = 8;

/// One prefix in one cache domain.
#[derive(Clone, Debug)]
struct Warm {
    domain: u64,
    expires: Moment,
    /// Milliseconds.
    life: u32,
    tokens: u32,
    /// Who is about to make it readable; `None`: it is.
    leader: Option<Arc<Leader>>,
}

type Places = SmallVec<[Warm; 1]>;

#[derive(Default)]
struct Shard {
    prefixes: AHashMap<u64, Places>,
    inserts: usize,
}

/// How much of a prompt is warm in one cache domain.
#[derive(Clone, Debug)]
pub struct Warmth {
    /// The cache domain.
    pub domain: u64,
    /// Tokens that can be read now; 0 when all is pending.
    pub tokens: u32,
    /// The key that they were found by.
    pub key: u64,
    /// Tokens that can be read once this request's answer begins.
    pub pending: Option<(u32, Arc<Leader>)>,
}

/// Where a prompt is warm, the warmest first.
pub type Found = SmallVec<[Warmth; 4]>;

/// Which prefixes are warm in which cache domains.
pub struct WarmIndex {
    shards: Box<[Mutex<Shard>]>,
    /// Prefixes a shard may hold.
    most: usize,
}

impl WarmIndex {
    /// An index of at most about `capacity` prefixes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shard = |_| {
            let prefixes = AHashMap::with_hasher(RandomState::default());
            Mutex::new(Shard { prefixes, inserts: 0 })
        };
        Self { shards: (0..SHARDS).map(shard).collect(), most: capacity.div_ceil(SHARDS).max(16) }
    }

    fn shard(&self, key: u64) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::try_from(key >> 58).unwrap_or(0))
    }

    /// Where `prompt` is warm at `now`.
    #[must_use]
    pub fn look(&self, prompt: &Prompt, now: Moment) -> Found {
        let mut found = Found::new();
        for probe in prompt.probes() {
            let Some(shard) = self.shard(probe.key) else { continue };
            let shard = shard.lock();
            let Some(places) = shard.prefixes.get(&probe.key) else { continue };
            // Of one prefix no domain comes twice: what a fleet shares is warm in many.
            let before = found.len();
            for warm in places.iter().filter(|warm| warm.expires > now) {
                note(&mut found, before, warm, probe.key);
            }
        }
        found.sort_by_key(|warmth| std::cmp::Reverse(warmth.tokens));
        found
    }

    /// The longest prefix of `prompt` that can be read in `domain`.
    #[must_use]
    pub fn read(&self, prompt: &Prompt, domain: u64, now: Moment) -> Option<Probe> {
        prompt.probes().iter().find_map(|probe| {
            let shard = self.shard(probe.key)?.lock();
            let places = shard.prefixes.get(&probe.key)?;
            let readable =
                |warm: &&Warm| warm.domain == domain && warm.expires > now && warm.leader.is_none();
            places.iter().find(readable).map(|warm| Probe { key: probe.key, tokens: warm.tokens })
        })
    }

    /// A request that will leave `marks` behind in `domain` goes out behind `leader`: until it is
    /// answered, they are pending.
    pub(in crate::routing) fn lead(&self, marks: &[Mark], domain: u64, leader: &Arc<Leader>, now: Moment) {
        for mark in marks {
            self.upsert(mark, domain, now, |warm, fresh| {
                // What can be read already stays so, and the first to come leads.
                let led = warm.leader.as_ref().is_some_and(|other| !other.is_over());
                if fresh || (warm.expires <= now && !led) {
                    // What it lived for once is over: it is written anew.
                    warm.life = millis(mark.life);
                    warm.expires = now + mark.life;
                    warm.leader = Some(Arc::clone(leader));
                }
            });
        }
    }

    /// The answer has begun: `marks` can be read in `domain`. Their life runs from `started`.
    pub(in crate::routing) fn reveal(&self, marks: &[Mark], domain: u64, started: Moment) {
        for mark in marks {
            self.upsert(mark, domain, started, |warm, _| {
                let was_alive = warm.expires > started;
                warm.life = millis(mark.life).max(if was_alive { warm.life } else { 0 });
                warm.expires = warm.expires.max(started + Duration::from_millis(warm.life.into()));
                warm.tokens = mark.tokens;
                warm.leader = None;
            });
        }
    }

    /// The prefix was read by a request that began at `started`: it lives on from there.
    pub(in crate::routing) fn refresh(&self, key: u64, domain: u64, started: Moment) {
        self.with(key, domain, |warm| {
            warm.expires = warm.expires.max(started + Duration::from_millis(warm.life.into()));
        });
    }

    /// The leader has failed: nobody makes `marks` readable.
    pub(in crate::routing) fn abandon(&self, marks: &[Mark], domain: u64, leader: &Leader) {
        for mark in marks {
            let Some(shard) = self.shard(mark.key) else { continue };
            let mut shard = shard.lock();
            let Some(places) = shard.prefixes.get_mut(&mark.key) else { continue };
            let led = |warm: &Warm| warm.leader.as_ref().is_some_and(|other| other.id() == leader.id());
            places.retain(|warm| warm.domain != domain || !led(warm));
            if places.is_empty() {
                shard.prefixes.remove(&mark.key);
            }
        }
    }

    /// The provider's usage report says that the prefix was not there. Whether we had thought so.
    pub(in crate::routing) fn forget(&self, key: u64, domain: u64) -> bool {
        let Some(shard) = self.shard(key) else { return false };
        let mut shard = shard.lock();
        let Some(places) = shard.prefixes.get_mut(&key) else { return false };
        let before = places.len();
        places.retain(|warm| warm.domain != domain);
        let forgot = places.len() < before;
        if places.is_empty() {
            shard.prefixes.remove(&key);
        }
        forgot
    }

    /// The true size of a prefix, from a usage report.
    pub(in crate::routing) fn resize(&self, key: u64, domain: u64, tokens: u32) {
        self.with(key, domain, |warm| warm.tokens = tokens);
    }

    /// Prefixes remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().prefixes.len()).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What can be read, for the state file.
    #[must_use]
    pub fn dump(&self, now: Moment, unix: UnixTime) -> SavedWarm {
        let mut prefixes = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            for (key, places) in &shard.prefixes {
                let readable = places.iter().filter(|warm| warm.leader.is_none() && warm.expires > now);
                prefixes.extend(readable.map(|warm| {
                    let left = u64::try_from(now.until(warm.expires).as_millis()).unwrap_or(u64::MAX);
                    SavedPrefix(
                        format!("{key:x}"),
                        format!("{:x}", warm.domain),
                        left,
                        warm.life,
                        warm.tokens,
                    )
                }));
            }
        }
        SavedWarm { saved_at_unix: unix.0.as_secs(), prefixes }
    }

    /// Takes over what another process saved and is warm yet. Returns how many.
    pub fn restore(&self, saved: &SavedWarm, now: Moment, unix: UnixTime) -> usize {
        let down = unix.0.saturating_sub(Duration::from_secs(saved.saved_at_unix));
        let mut restored = 0;
        for SavedPrefix(key, domain, left, life, tokens) in &saved.prefixes {
            let (Ok(key), Ok(domain)) = (u64::from_str_radix(key, 16), u64::from_str_radix(domain, 16))
            else {
                continue;
            };
            // No entry outlives its own life, whatever the file says.
            let left = Duration::from_millis((*left).min(u64::from(*life))).checked_sub(down);
            let Some(left) = left.filter(|left| !left.is_zero()) else { continue };
            let life_span = Duration::from_millis(u64::from(*life));
            let mark = Mark { key, tokens: *tokens, life: life_span, shared: false };
            self.upsert(&mark, domain, now, |warm, fresh| {
                if fresh {
                    warm.expires = now + left;
                }
            });
            restored += 1;
        }
        restored
    }

    fn with(&self, key: u64, domain: u64, change: impl FnOnce(&mut Warm)) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        let found = shard.prefixes.get_mut(&key).and_then(|p| p.iter_mut().find(|w| w.domain == domain));
        if let Some(warm) = found {
            change(warm);
        }
    }

    /// `change` is told whether the entry is new.
    fn upsert(&self, mark: &Mark, domain: u64, now: Moment, change: impl FnOnce(&mut Warm, bool)) {
        let Some(shard) = self.shard(mark.key) else { return };
        let mut shard = shard.lock();
        shard.make_room(self.most, mark.key, now);
        let places = shard.prefixes.entry(mark.key).or_default();
        if let Some(warm) = places.iter_mut().find(|warm| warm.domain == domain) {
            return change(warm, false);
        }
        if places.len() >= MAX_DOMAINS
            && let Some(oldest) = (0..places.len()).min_by_key(|&at| places.get(at).map(|warm| warm.expires))
        {
            places.swap_remove(oldest);
        }
        let mut warm = Warm {
            domain,
            expires: now + mark.life,
            life: millis(mark.life),
            tokens: mark.tokens,
            leader: None,
        };
        change(&mut warm, true);
        places.push(warm);
    }
}

impl Shard {
    /// Clears out what expired, from time to time; where that is not enough, whoever expires first goes.
    fn make_room(&mut self, most: usize, key: u64, now: Moment) {
        self.inserts += 1;
        // Seldom enough that an insertion pays for a few entries, whatever the table's size.
        if self.inserts > self.prefixes.len() / 4 + 256 {
            self.inserts = 0;
            self.prefixes.retain(|_, places| {
                places.retain(|warm| warm.expires > now);
                !places.is_empty()
            });
            let room = 2 * self.prefixes.len();
            self.prefixes.shrink_to(room);
        }
        if self.prefixes.len() < most || self.prefixes.contains_key(&key) {
            return;
        }
        // All at once, so that an insertion pays for a few entries here too; and by what is left of their
        // lives, so that those who come are not the first to go.
        let last = |places: &Places| places.iter().map(|warm| warm.expires).max().unwrap_or_default();
        let mut ends: Vec<Moment> = self.prefixes.values().map(last).collect();
        if ends.is_empty() {
            return;
        }
        let mut excess = ends.len() / PART + 1;
        let (_, &mut end, _) = ends.select_nth_unstable(excess - 1);
        self.prefixes.retain(|_, places| {
            let goes = excess > 0 && last(places) <= end;
            excess -= usize::from(goes);
            !goes
        });
    }
}

/// Adds what one entry says; `before`: what other prefixes said. Probes come longest first, so the
/// first of a domain counts.
fn note(found: &mut Found, before: usize, warm: &Warm, key: u64) {
    let known = found.iter().take(before).position(|warmth| warmth.domain == warm.domain);
    let at = known.unwrap_or_else(|| {
        found.push(Warmth { domain: warm.domain, tokens: 0, key, pending: None });
        found.len() - 1
    });
    let Some(warmth) = found.get_mut(at) else { return };
    match &warm.leader {
        None if warmth.tokens == 0 => (warmth.tokens, warmth.key) = (warm.tokens, key),
        Some(leader) if warmth.tokens == 0 && warmth.pending.is_none() && !leader.is_over() => {
            warmth.pending = Some((warm.tokens, Arc::clone(leader)));
        }
        None | Some(_) => {}
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
