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
    policy::Start,
    saved::{SavedSession, SavedTable, SessionView},
};
use crate::{
    clock::{Moment, UnixTime},
    dialect::TtlAsked,
    types::{AffinityResult, DomainName, EndpointName, ModelName, NanoUsd, SessionKey},
    upstream::{Endpoint, Homed},
};

const SHARDS: usize = 16;

/// Somewhere a session is warm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// XXH3 of its name.
    pub id: u64,
    /// The endpoints that share its cache.
    pub cache: DomainName,
    /// Until when, by the provider's rules.
    pub warm_until: Moment,
}

/// What the table knows of a session's whereabouts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Where it went last.
    pub home: Place,
    /// Where it was before it had to move; may be warm still.
    pub prior: Option<Place>,
}

struct Entry {
    model: ModelName,
    parent: Option<SessionKey>,
    home: Place,
    prior: Option<Place>,
    /// Counts at home; `None` when cold.
    homed: Option<Homed>,
    /// The count at the prior home, kept until the move has proven good.
    prior_homed: Option<Homed>,
    /// An answer has come from home.
    confirmed: bool,
    last_start: Moment,
    /// The deadline of its item in the heap: others of it are stale.
    queued: Option<Moment>,
    counts: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    turns: u64,
    hits: u64,
    moved: u64,
    in_flight: u32,
    context_bytes: u64,
    context_tokens: u64,
    output_tokens: u64,
    charged: NanoUsd,
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
        self.with(session, |entry| Known { home: entry.home.clone(), prior: entry.prior.clone() })
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
        let life = life_of(start.endpoint, start.ttl);
        let mut turn = Turn {
            table: Arc::clone(self),
            session: start.session,
            endpoint: start.endpoint.id(),
            place: Place::new(start.endpoint, now + life),
            started: now,
            warm_before: Moment::ZERO,
            affinity: start.affinity,
            answered: false,
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

fn life_of(endpoint: &Endpoint, ttl: TtlAsked) -> Duration {
    let life = endpoint.provider().params.cache;
    match ttl {
        // Without a marker OpenAI caches all the same, and Anthropic not at all: then staying costs
        // nothing either.
        TtlAsked::None | TtlAsked::Short => life.short,
        TtlAsked::Long => life.long,
    }
}

impl Place {
    fn new(endpoint: &Endpoint, warm_until: Moment) -> Self {
        Self {
            endpoint: endpoint.name().clone(),
            id: endpoint.id(),
            cache: endpoint.cache_domain(),
            warm_until,
        }
    }

    /// Whether the provider still has the prompt at `now`.
    #[must_use]
    pub fn is_warm(&self, now: Moment) -> bool {
        now < self.warm_until
    }
}

impl Entry {
    fn new(start: &Start<'_>, home: Place, now: Moment) -> Self {
        Self {
            model: start.model.clone(),
            parent: start.parent,
            home: Place { warm_until: Moment::ZERO, ..home },
            prior: None,
            homed: None,
            prior_homed: None,
            confirmed: false,
            last_start: now,
            queued: None,
            counts: Counts::default(),
        }
    }

    fn restored(saved: &SavedSession, endpoint: &Endpoint, warm_until: Moment, now: Moment) -> Self {
        Self {
            model: saved.model.as_str().into(),
            parent: saved.parent(),
            home: Place::new(endpoint, warm_until),
            prior: None,
            homed: Some(endpoint.adopt()),
            prior_homed: None,
            confirmed: true,
            last_start: now - Duration::from_millis(saved.idle_ms),
            queued: Some(warm_until),
            counts: Counts {
                turns: saved.turns,
                hits: saved.hits,
                moved: saved.moved,
                in_flight: 0,
                context_bytes: saved.context_bytes,
                context_tokens: saved.context_tokens,
                output_tokens: saved.output_tokens,
                charged: NanoUsd(saved.charged_nano_usd),
            },
        }
    }

    /// Returns until when it was warm at this endpoint before.
    fn start(&mut self, start: &Start<'_>, place: &Place, now: Moment) -> Moment {
        self.counts.turns += u64::from(start.first_try);
        self.counts.in_flight = self.counts.in_flight.saturating_add(1);
        self.counts.context_bytes = start.context_bytes;
        self.last_start = now;
        if self.home.id != place.id {
            self.move_to(Place { warm_until: Moment::ZERO, ..place.clone() }, now);
        }
        let before = self.home.warm_until;
        self.home.warm_until = self.home.warm_until.max(place.warm_until);
        self.home.cache = place.cache.clone();
        if self.homed.is_none() {
            self.homed = Some(start.endpoint.adopt());
        }
        before
    }

    /// The old home is remembered while it is warm: it is where to go if this one must be left too.
    fn move_to(&mut self, place: Place, now: Moment) {
        let returning = self.prior.take_if(|prior| prior.id == place.id && prior.is_warm(now));
        let back = returning.is_some();
        let old = std::mem::replace(&mut self.home, returning.unwrap_or(place));
        let (homed, prior_homed) = (self.homed.take(), self.prior_homed.take());
        let proven = std::mem::replace(&mut self.confirmed, back) && old.is_warm(now);
        if proven {
            self.prior = Some(old);
        }
        match (back, proven) {
            // It counts here again, and no longer where it was.
            (true, _) => self.homed = prior_homed,
            // It counts at its old home until an answer proves the move.
            (false, true) => self.prior_homed = homed,
            (false, false) => self.prior_homed = prior_homed,
        }
    }

    fn go_cold(&mut self) {
        self.home.warm_until = Moment::ZERO;
        self.prior = None;
        self.homed = None;
        self.prior_homed = None;
    }

    fn answered(&mut self, place: &Place, affinity: AffinityResult) {
        match affinity {
            AffinityResult::Hit => self.counts.hits += 1,
            AffinityResult::Moved => self.counts.moved += 1,
            AffinityResult::New => {}
        }
        if self.home.id == place.id {
            self.confirmed = true;
            self.prior_homed = None;
            self.home.warm_until = self.home.warm_until.max(place.warm_until);
        }
    }

    /// A turn ended without an answer: what it promised does not hold.
    fn unanswered(&mut self, turn: &Turn) {
        if self.home.id != turn.endpoint || self.last_start != turn.started {
            return;
        }
        if self.confirmed {
            if self.home.warm_until == turn.place.warm_until {
                self.home.warm_until = turn.warm_before;
            }
        } else if let Some(prior) = self.prior.take() {
            self.home = prior;
            self.confirmed = true;
            self.homed = self.prior_homed.take();
        } else {
            self.go_cold();
        }
        if self.home.warm_until == Moment::ZERO {
            self.homed = None;
        }
    }

    fn view(&self, session: SessionKey, now: Moment) -> SessionView {
        SessionView {
            session: session.to_string(),
            parent: self.parent.map(|parent| parent.to_string()),
            model: self.model.to_string(),
            endpoint: self.home.endpoint.to_string(),
            warm_seconds: now.until(self.home.warm_until).as_secs_f64(),
            idle_seconds: now.since(self.last_start).as_secs_f64(),
            turns: self.counts.turns,
            hits: self.counts.hits,
            moved: self.counts.moved,
            in_flight: self.counts.in_flight,
            context_bytes: self.counts.context_bytes,
            context_tokens: self.counts.context_tokens,
            output_tokens: self.counts.output_tokens,
            charged_nano_usd: self.counts.charged.0,
        }
    }

    fn save(&self, session: SessionKey, now: Moment) -> SavedSession {
        SavedSession {
            session: format!("{:032x}", session.0),
            parent: self.parent.map(|parent| format!("{:032x}", parent.0)),
            model: self.model.to_string(),
            endpoint: self.home.endpoint.to_string(),
            warm_ms: millis(now.until(self.home.warm_until)),
            idle_ms: millis(now.since(self.last_start)),
            turns: self.counts.turns,
            hits: self.counts.hits,
            moved: self.counts.moved,
            context_bytes: self.counts.context_bytes,
            context_tokens: self.counts.context_tokens,
            output_tokens: self.counts.output_tokens,
            charged_nano_usd: self.counts.charged.0,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
}

/// One request of a session that is out. Dropping it without [`Turn::answered`] says that nothing
/// was cached.
#[must_use = "dropping a turn that was not answered says that nothing was cached"]
pub struct Turn {
    table: Arc<SessionTable>,
    session: Option<SessionKey>,
    endpoint: u64,
    place: Place,
    started: Moment,
    warm_before: Moment,
    affinity: AffinityResult,
    answered: bool,
}

impl Turn {
    /// The provider began to answer: from now on the prompt is warm there.
    pub fn answered(&mut self) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        if let Some(session) = self.session {
            self.table.with(session, |entry| entry.answered(&self.place, self.affinity));
        }
    }

    /// The turn's figures.
    pub fn settled(&self, facts: &TurnFacts) {
        let Some(session) = self.session else { return };
        self.table.with(session, |entry| {
            let counts = &mut entry.counts;
            if facts.context_tokens > 0 {
                counts.context_tokens = facts.context_tokens;
            }
            counts.output_tokens = counts.output_tokens.saturating_add(facts.output_tokens);
            counts.charged = NanoUsd(counts.charged.0.saturating_add(facts.charged.0));
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(session) = self.session else { return };
        self.table.with(session, |entry| {
            entry.counts.in_flight = entry.counts.in_flight.saturating_sub(1);
            if !self.answered {
                entry.unanswered(self);
            }
        });
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
