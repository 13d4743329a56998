//! Which session is warm where: a bounded table, and the counts per endpoint that placement reads.
//!
//! A provider's cache lives from the *start* of the request that wrote or read it (providers 0.2), so
//! warmth is counted from there and refreshed by each turn. A turn that is never answered leaves no
//! warmth behind: its guard puts back what was known before.
//!
//! Each warm session counts at its home until it grows cold; a heap per shard, with at most one live
//! item a session, finds those that did. When the table is full the session unused longest goes.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;

use super::{
    entry::{Entry, Place},
    memory::{Expected, Trail},
    policy::Start,
    saved::{SavedTable, SessionView},
    warm::Prompt,
};
use crate::{
    clock::{Moment, UnixTime},
    types::{AffinityResult, DomainName, EndpointName, NanoUsd, SessionKey},
    upstream::Endpoint,
};

const SHARDS: usize = 16;

/// What the table knows of a session's whereabouts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Where it went last.
    pub home: Place,
    /// Where it was before it had to move; may be warm still.
    pub prior: Option<Place>,
    /// The rate domain that refused its signed thinking last.
    pub refused: Option<DomainName>,
    /// How often the model had spoken when it was here last.
    pub turns: u32,
    /// Some of its turns go through other gateways.
    pub strays: bool,
}

impl Known {
    /// Some of its turns do not come here: what we know of it is not the newest.
    #[must_use]
    pub const fn has_strayed(&self, prompt: &Prompt) -> bool {
        self.strays || prompt.turns > self.turns.saturating_add(1)
    }
}

struct Shard {
    entries: LruCache<SessionKey, Entry, ahash::RandomState>,
    cooling: BinaryHeap<Reverse<(Moment, SessionKey)>>,
}

/// Every session that was seen lately.
pub struct SessionTable {
    shards: Box<[Mutex<Shard>]>,
    /// Nanoseconds: no session of any shard grows cold before.
    next_cold: Box<[AtomicU64]>,
    hasher: ahash::RandomState,
}

impl SessionTable {
    /// A table of at most about `capacity` sessions.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        let each = NonZeroUsize::new(capacity.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let shard = |_| {
            // Grows as it fills: a table for many sessions costs nothing while there are few.
            let mut entries = LruCache::unbounded_with_hasher(ahash::RandomState::default());
            entries.resize(each);
            Mutex::new(Shard { entries, cooling: BinaryHeap::new() })
        };
        Arc::new(Self {
            shards: (0..SHARDS).map(shard).collect(),
            next_cold: (0..SHARDS).map(|_| AtomicU64::new(u64::MAX)).collect(),
            hasher: ahash::RandomState::default(),
        })
    }

    fn at(&self, session: SessionKey) -> Option<(&Mutex<Shard>, &AtomicU64)> {
        let number = usize::try_from(self.hasher.hash_one(session) % SHARDS as u64).unwrap_or(0);
        Some((self.shards.get(number)?, self.next_cold.get(number)?))
    }

    fn with<R>(&self, session: SessionKey, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.at(session)?.0.lock().entries.get_mut(&session).map(f)
    }

    /// Where `session` was last, if it is remembered.
    #[must_use]
    pub fn known(&self, session: SessionKey) -> Option<Known> {
        self.with(session, |entry| Known {
            home: entry.home.clone(),
            prior: entry.prior.clone(),
            turns: entry.turns,
            strays: entry.strays,
            refused: entry.moved.as_ref().and_then(|moved| moved.refused.clone()),
        })
    }

    /// `endpoint` has refused signed thinking in the history of `session`, whose next turn goes back to
    /// where it was answered before, if that is known: then this says where.
    pub fn thinking_refused(&self, session: SessionKey, endpoint: &Endpoint) -> Option<EndpointName> {
        let by = endpoint.rate_domain();
        self.with(session, |entry| entry.thinking_refused(endpoint.id(), by.name())).flatten()
    }

    /// Sessions remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets `session`'s warmth: the provider said that nothing was cached, or the conversation
    /// was rewritten.
    pub fn chill(&self, session: SessionKey) {
        self.with(session, |entry| entry.go_cold());
    }

    /// Stops counting sessions that have grown cold by `now`.
    pub(super) fn sweep(&self, now: Moment) {
        for (shard, next) in self.shards.iter().zip(&self.next_cold) {
            if now.as_nanos() < next.load(Ordering::Acquire) {
                continue;
            }
            let mut shard = shard.lock();
            let Shard { entries, cooling } = &mut *shard;
            while let Some(&Reverse((due, session))) = cooling.peek() {
                if due > now {
                    break;
                }
                cooling.pop();
                // `peek_mut`: being swept is no use, it must not make a session look recent.
                let Some(entry) = entries.peek_mut(&session) else { continue };
                if entry.queued != Some(due) {
                    continue;
                }
                if entry.home.warm_until > now {
                    entry.queued = Some(entry.home.warm_until);
                    cooling.push(Reverse((entry.home.warm_until, session)));
                } else {
                    entry.queued = None;
                    entry.homed = None;
                    entry.prior_homed = None;
                }
            }
            let first = cooling.peek().map_or(u64::MAX, |Reverse((due, _))| due.as_nanos());
            next.store(first, Ordering::Release);
        }
    }

    /// A request of a session goes out.
    pub(super) fn start(self: &Arc<Self>, start: &Start<'_>, now: Moment) -> Turn {
        let life = start.endpoint.provider().params.cache.of(start.ttl);
        let mut turn = Turn {
            table: Arc::clone(self),
            session: start.session,
            place: Place::new(start.endpoint, now + life),
            started: now,
            warm_before: Moment::ZERO,
            affinity: start.affinity,
            answered: false,
            trail: None,
        };
        let Some((session, (shard, next))) = start.session.and_then(|s| Some((s, self.at(s)?))) else {
            return turn;
        };
        let mut shard = shard.lock();
        let Shard { entries, cooling } = &mut *shard;
        if !entries.contains(&session) {
            entries.put(session, Entry::new(start, turn.place.clone(), now));
        }
        let Some(entry) = entries.get_mut(&session) else { return turn };
        turn.warm_before = entry.start(start, &turn.place, now);
        if entry.queued.is_none() {
            let due = entry.home.warm_until;
            entry.queued = Some(due);
            cooling.push(Reverse((due, session)));
            next.fetch_min(due.as_nanos(), Ordering::AcqRel);
        }
        if cooling.len() > 2 * entries.cap().get() + SHARDS {
            // Items of sessions that were evicted: drop them before they fall due.
            cooling.retain(|Reverse((due, session))| {
                entries.peek(session).is_some_and(|entry| entry.queued == Some(*due))
            });
        }
        turn
    }

    /// The sessions, the most recently used first, `limit` at most.
    #[must_use]
    pub fn by_heat(&self, now: Moment, limit: usize) -> Vec<SessionView> {
        let mut views: Vec<(Moment, SessionView)> = Vec::new();
        for shard in &self.shards {
            views.extend(
                shard
                    .lock()
                    .entries
                    .iter()
                    // The most recent of each shard hold the most recent of all.
                    .take(limit)
                    .map(|(&session, entry)| (entry.last_start, entry.view(session, now))),
            );
        }
        views.sort_by_key(|&(last_start, _)| Reverse(last_start));
        views.into_iter().take(limit).map(|(_, view)| view).collect()
    }

    /// Shows every session to `look`, a shard at a time. Requests wait meanwhile: note and go.
    pub(super) fn each(&self, mut look: impl FnMut(SessionKey, &Entry)) {
        for shard in &self.shards {
            for (&session, entry) in &shard.lock().entries {
                look(session, entry);
            }
        }
    }

    /// How a session is, without making it look recent.
    pub(super) fn peek(&self, session: SessionKey, now: Moment) -> Option<SessionView> {
        let shard = self.at(session)?.0.lock();
        shard.entries.peek(&session).map(|entry| entry.view(session, now))
    }

    /// The session whose short hash (what its key shows itself as) is `id`.
    #[must_use]
    pub fn by_short_hash(&self, id: u64, now: Moment) -> Option<SessionView> {
        self.shards.iter().find_map(|shard| {
            let shard = shard.lock();
            let mut entries = shard.entries.iter();
            let (&session, entry) = entries.find(|(key, _)| key.0 >> 64 == u128::from(id))?;
            Some(entry.view(session, now))
        })
    }

    /// Everything that is warm, for the state file.
    #[must_use]
    pub fn dump(&self, now: Moment, unix: UnixTime) -> SavedTable {
        let mut sessions = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let warm = shard.entries.iter().filter(|(_, entry)| entry.home.warm_until > now);
            sessions.extend(warm.map(|(&session, entry)| entry.save(session, now)));
        }
        SavedTable { saved_at_unix: unix.0.as_secs(), sessions }
    }

    /// Takes over what another process saved: sessions that are still warm, at endpoints that
    /// `endpoint` still finds. Returns how many.
    pub fn restore(
        &self,
        saved: &SavedTable,
        endpoint: impl Fn(&str) -> Option<Arc<Endpoint>>,
        now: Moment,
        unix: UnixTime,
    ) -> usize {
        let down = unix.0.saturating_sub(Duration::from_secs(saved.saved_at_unix));
        let mut restored = 0;
        for saved in &saved.sessions {
            let Some((session, left)) = saved.read(down) else { continue };
            let Some(endpoint) = endpoint(&saved.endpoint) else { continue };
            let Some((shard, next)) = self.at(session) else { continue };
            let mut shard = shard.lock();
            let due = now + left;
            shard.entries.put(session, Entry::restored(saved, &endpoint, due, now));
            shard.cooling.push(Reverse((due, session)));
            next.fetch_min(due.as_nanos(), Ordering::AcqRel);
            restored += 1;
        }
        restored
    }
}

/// What a turn came to, once it is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TurnFacts {
    /// Input tokens of the whole prompt; 0 where nothing is known.
    pub context_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// What it cost, where a price is known.
    pub charged: NanoUsd,
    /// The prompt as the provider counted it; `None` where it did not say.
    pub input: Option<InputFacts>,
}

/// A prompt's tokens as a provider counted them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InputFacts {
    /// Read from the cache.
    pub read: u64,
    /// Written to it.
    pub written: u64,
    /// Neither.
    pub uncached: u64,
}

/// One request of a session that is out. Dropping it without [`Turn::answered`] says that nothing
/// was cached.
#[must_use = "dropping a turn that was not answered says that nothing was cached"]
pub struct Turn {
    table: Arc<SessionTable>,
    session: Option<SessionKey>,
    place: Place,
    started: Moment,
    warm_before: Moment,
    affinity: AffinityResult,
    answered: bool,
    /// What it leaves behind in the provider's cache.
    pub(super) trail: Option<Trail>,
}

impl Turn {
    /// The provider began to answer: from now on the prompt is warm there.
    pub fn answered(&mut self) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        if let Some(trail) = &mut self.trail {
            trail.answered();
        }
        if let Some(session) = self.session {
            self.table.with(session, |entry| entry.answered(&self.place, self.affinity));
        }
    }

    /// What it was expected to find in the provider's cache; `None` for what no cache could hold.
    #[must_use]
    pub fn expected(&self) -> Option<Expected> {
        self.trail.as_ref()?.expected()
    }

    /// The turn's figures. Says whether what was expected to be read was read; `None` where nothing
    /// was expected, or the provider did not say.
    pub fn settled(&mut self, facts: &TurnFacts) -> Option<bool> {
        let right = self.trail.as_mut().and_then(|trail| trail.settled(facts));
        let Some(session) = self.session else { return right };
        self.table.with(session, |entry| {
            let counts = &mut entry.counts;
            if facts.context_tokens > 0 {
                counts.context_tokens = facts.context_tokens;
            }
            counts.output_tokens = counts.output_tokens.saturating_add(facts.output_tokens);
            counts.charged = NanoUsd(counts.charged.0.saturating_add(facts.charged.0));
        });
        right
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(session) = self.session else { return };
        self.table.with(session, |entry| {
            entry.counts.in_flight = entry.counts.in_flight.saturating_sub(1);
            if !self.answered {
                entry.unanswered(&self.place, self.started, self.warm_before);
            }
        });
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
