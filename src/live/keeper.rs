//! Sessions that rest, and whether their prompts are worth keeping warm.
//!
//! A session that keep-alive is wanted for is put here when its turn is over, and taken out when it
//! comes back. Just before its provider would drop the prompt it falls due: then the rule of
//! [`Hazard`] is asked, the account's utilisation, and the budget. Whoever is not worth it loses its
//! body at once, but is watched on: what is learned must not depend on what was done.
//!
//! Pure but for a lock: `now` is an argument, prices come from whoever asks. What a body is made of
//! is not looked at.
//!
//! Bounds: bytes of bodies (the session unused longest lets go of its own), number of sessions,
//! stages of one rest, dollars in 24 hours.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lru::LruCache;
use parking_lot::Mutex;

use crate::{
    clock::Moment,
    session::{Hazard, Rest, is_worth_keeping},
    types::{NanoUsd, ProviderName, SessionKey},
};

/// Sessions watched.
const SESSIONS: usize = 100_000;
/// A budget is for so long.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Everything that rests. `T` is what it takes to keep one warm.
pub struct Keeper<T> {
    resting: Mutex<Resting<T>>,
    /// How many there are: nobody takes the lock for nothing.
    count: AtomicUsize,
    bytes: Arc<AtomicU64>,
}

struct Resting<T> {
    sessions: LruCache<SessionKey, Session<T>, ahash::RandomState>,
    due: BinaryHeap<Reverse<(Moment, SessionKey)>>,
    /// Who may hold a body, the longest rest first; with the rest's number.
    holders: VecDeque<(SessionKey, u64)>,
    /// Rests so far.
    number: u64,
    hazard: Hazard,
    spent: HashMap<ProviderName, Spent, ahash::RandomState>,
}

struct Session<T> {
    number: u64,
    rest: Rest,
    /// Stages whose end has come.
    stages: u32,
    most: u32,
    life: Duration,
    due: Moment,
    warm_until: Moment,
    kept: Option<Arc<Kept<T>>>,
}

#[derive(Clone, Copy)]
struct Spent {
    since: Moment,
    sum: NanoUsd,
}

/// What a session needs to be kept warm.
pub struct Kept<T> {
    /// It.
    pub what: T,
    _share: Share,
}

/// A share of the bytes; given back when dropped.
pub struct Share {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// A turn that is over.
pub struct Over<T> {
    /// Who rests, and why.
    pub rest: Rest,
    /// When the turn was sent: the cache lives from there (providers 0.2).
    pub started: Moment,
    /// How long the provider keeps it.
    pub life: Duration,
    /// Times that it may be kept warm.
    pub most: u32,
    /// What that takes; `None` is only watched.
    pub kept: Option<(T, Share)>,
}

/// What keeping a session warm once more would mean.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Reading its prompt.
    pub read: NanoUsd,
    /// Writing it again.
    pub write: NanoUsd,
    /// There is room at its account.
    pub room: bool,
    /// Who is paid.
    pub provider: ProviderName,
    /// What may be spent there in 24 hours.
    pub budget: NanoUsd,
}

/// A session to be kept warm now.
pub struct Ping<T> {
    /// It.
    pub session: SessionKey,
    /// What it takes.
    pub kept: Arc<Kept<T>>,
    /// What was set aside for it.
    pub cost: NanoUsd,
    /// From then on it is too late.
    pub until: Moment,
}

impl<T> Default for Keeper<T> {
    fn default() -> Self {
        let most = NonZeroUsize::new(SESSIONS).unwrap_or(NonZeroUsize::MIN);
        let mut sessions = LruCache::unbounded_with_hasher(ahash::RandomState::default());
        sessions.resize(most);
        Self {
            resting: Mutex::new(Resting {
                sessions,
                due: BinaryHeap::new(),
                holders: VecDeque::new(),
                number: 0,
                hazard: Hazard::default(),
                spent: HashMap::default(),
            }),
            count: AtomicUsize::new(0),
            bytes: Arc::default(),
        }
    }
}

impl<T> Keeper<T> {
    /// Bytes of what is kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// A share of the bytes for one body. Where they are all taken, those that have rested longest let
    /// go; `None` when there is no room even so.
    #[must_use]
    pub fn share(&self, bytes: u64, most: u64) -> Option<Share> {
        let take = || {
            let taken = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |all| {
                all.checked_add(bytes).filter(|all| *all <= most)
            });
            taken.is_ok().then(|| Share { all: Arc::clone(&self.bytes), bytes })
        };
        if bytes > most {
            return None;
        }
        if let Some(share) = take() {
            return Some(share);
        }
        let mut resting = self.resting.lock();
        while let Some((key, number)) = resting.holders.pop_front() {
            let holder = resting.sessions.peek_mut(&key).filter(|session| session.number == number);
            if holder.is_some_and(|session| session.kept.take().is_some())
                && let Some(share) = take()
            {
                return Some(share);
            }
        }
        None
    }

    /// A session's turn is over: it rests.
    pub fn rests(&self, key: SessionKey, over: Over<T>) {
        let due = over.started + early(over.life);
        let mut resting = self.resting.lock();
        resting.number += 1;
        let number = resting.number;
        if over.kept.is_some() {
            resting.holders.push_back((key, number));
        }
        let session = Session {
            number,
            rest: over.rest,
            stages: 0,
            most: over.most,
            life: over.life,
            due,
            warm_until: over.started + over.life,
            kept: over.kept.map(|(what, share)| Arc::new(Kept { what, _share: share })),
        };
        resting.sessions.put(key, session);
        resting.queue(due, key);
        self.count.store(resting.sessions.len(), Ordering::Release);
    }

    /// A session goes on: nothing of it is kept any longer, and what it did is learned from.
    pub fn came_back(&self, key: SessionKey) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut resting = self.resting.lock();
        let Some(session) = resting.sessions.pop(&key) else { return };
        if let Some(stage) = session.stages.checked_sub(1) {
            resting.hazard.saw(session.rest, stage, true);
        }
        self.count.store(resting.sessions.len(), Ordering::Release);
    }

    /// When the next one falls due.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.resting.lock().due.peek().map(|Reverse((due, _))| *due)
    }

    /// Who is to be kept warm now, and paid for. `terms` says what that would mean; `None` where it
    /// cannot be done any more.
    pub fn plan(&self, now: Moment, mut terms: impl FnMut(&T) -> Option<Terms>) -> Vec<Ping<T>> {
        let mut pings = Vec::new();
        let mut resting = self.resting.lock();
        let Resting { sessions, due, hazard, spent, .. } = &mut *resting;
        while let Some(&Reverse((at, key))) = due.peek() {
            if at > now {
                break;
            }
            due.pop();
            let Some(session) = sessions.peek_mut(&key).filter(|session| session.due == at) else { continue };
            let stage = session.stages;
            if let Some(passed) = stage.checked_sub(1) {
                hazard.saw(session.rest, passed, false);
            }
            session.stages += 1;
            let chance = hazard.chance(session.rest, stage);
            let wanted = session.kept.take().filter(|_| now < session.warm_until && stage < session.most);
            let paid = wanted.and_then(|kept| {
                let terms = terms(&kept.what)?;
                let worth = terms.room && is_worth_keeping(chance, terms.read, terms.write);
                (worth && spend(spent, &terms, now)).then_some((kept, terms.read))
            });
            if let Some((kept, cost)) = paid {
                session.kept = Some(Arc::clone(&kept));
                let until = std::mem::replace(&mut session.warm_until, now + session.life);
                pings.push(Ping { session: key, kept, cost, until });
            }
            if session.stages > session.most {
                sessions.pop(&key);
                continue;
            }
            // Also those that are only watched: in the same steps, or the stages would not compare.
            session.due = now + early(session.life);
            due.push(Reverse((session.due, key)));
        }
        self.count.store(sessions.len(), Ordering::Release);
        pings
    }

    /// It was done, and cost this; or it was not, and costs nothing.
    pub fn done(&self, ping: &Ping<T>, provider: &ProviderName, cost: Option<NanoUsd>) {
        let mut resting = self.resting.lock();
        if let Some(spent) = resting.spent.get_mut(provider) {
            let others = spent.sum.0.saturating_sub(ping.cost.0);
            spent.sum = NanoUsd(others.saturating_add(cost.unwrap_or_default().0));
        }
        if cost.is_none()
            && let Some(session) = resting.sessions.peek_mut(&ping.session)
            && session.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &ping.kept))
        {
            session.kept = None;
        }
    }
}

impl<T> Resting<T> {
    fn queue(&mut self, due: Moment, key: SessionKey) {
        let Self { sessions, due: queue, holders, .. } = self;
        queue.push(Reverse((due, key)));
        if queue.len() > 2 * sessions.len() + 64 {
            // Items of rests that are over.
            queue.retain(|Reverse((due, key))| sessions.peek(key).is_some_and(|at| at.due == *due));
        }
        if holders.len() > 2 * sessions.len() + 64 {
            holders.retain(|(key, number)| sessions.peek(key).is_some_and(|at| at.number == *number));
        }
    }
}

/// How long after its start a prompt is kept warm: 285 s of 300 (routing 6.2).
fn early(life: Duration) -> Duration {
    life.mul_f64(0.95)
}

/// Sets the price of a read aside, if the budget has it.
fn spend(spent: &mut HashMap<ProviderName, Spent, ahash::RandomState>, terms: &Terms, now: Moment) -> bool {
    let nothing = Spent { since: now, sum: NanoUsd(0) };
    let spent = spent.entry(terms.provider.clone()).or_insert(nothing);
    if now.since(spent.since) >= DAY {
        *spent = nothing;
    }
    let sum = spent.sum.0.saturating_add(terms.read.0);
    let has = sum <= terms.budget.0;
    if has {
        spent.sum = NanoUsd(sum);
    }
    has
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
