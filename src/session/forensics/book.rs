//! The prompts of sessions, as hashes: least recently used goes first, bounded in bytes.

use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Case, Verdict,
    compare::{Relation, Sketched},
    prints::{Print, Prints, common},
    worst::LastBreak,
};
use crate::{
    clock::Moment,
    types::{CacheBreak, SessionKey},
};

const SHARDS: usize = 16;
/// Prompts of one session: the main one, and what runs beside it under the same id.
const BRANCHES: usize = 3;
/// An entry beside its blocks, about.
const OVERHEAD: usize = 256;

/// One prompt that was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Branch {
    /// Changes with each turn.
    pub(super) version: u64,
    pub(super) prints: Prints,
    pub(super) sketches: Vec<Sketched>,
    /// Tokens of the whole.
    pub(super) tokens: u64,
    /// Those of them that the provider has cached...
    pub(super) warm: u64,
    /// ...until then...
    pub(super) warm_until: Moment,
    /// ...in this cache domain.
    pub(super) cache: u64,
}

impl Branch {
    fn size(&self) -> usize {
        self.prints.blocks.capacity() * size_of::<Print>() + self.sketches.capacity() * size_of::<Sketched>()
    }
}

#[derive(Debug, Default)]
struct Entry {
    /// The latest first.
    branches: Vec<Branch>,
    last: Option<Box<LastBreak>>,
}

impl Entry {
    fn size(&self) -> usize {
        OVERHEAD
            + self.branches.iter().map(|branch| branch.size() + size_of::<Branch>()).sum::<usize>()
            + if self.last.is_some() { size_of::<LastBreak>() } else { 0 }
    }
}

#[derive(Debug)]
struct Shard {
    /// By the half of the session's hash that people see.
    entries: LruCache<u64, Entry, ahash::RandomState>,
    bytes: usize,
}

/// The branch nearest to a prompt.
pub(super) struct Near {
    pub(super) version: u64,
    pub(super) common: usize,
    /// There are others.
    pub(super) several: bool,
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Book {
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes a shard.
    most: usize,
}

/// A prompt of a session.
#[derive(Clone, Debug, Serialize)]
pub struct BranchView {
    /// Its blocks.
    pub blocks: usize,
    /// Its tokens.
    pub tokens: u64,
    /// Those that were cached when it was answered.
    pub cached_tokens: u64,
    /// For how long they still are.
    pub warm_seconds: f64,
}

/// What is known of a session's prompts.
#[derive(Clone, Debug, Serialize)]
pub struct SessionBreaks {
    /// The prompts that it goes on from, the latest first.
    pub prompts: Vec<BranchView>,
    /// When its cache broke last.
    pub last_break: Option<LastBreak>,
}

fn short(session: SessionKey) -> u64 {
    (session.0 >> 64) as u64
}

impl Book {
    pub(super) fn new(bytes: usize) -> Self {
        let shard =
            || Shard { entries: LruCache::unbounded_with_hasher(ahash::RandomState::new()), bytes: 0 };
        Self { shards: std::array::from_fn(|_| Mutex::new(shard())), most: bytes / SHARDS }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.most > 0
    }

    fn shard(&self, id: u64) -> &Mutex<Shard> {
        // The key is a hash.
        &self.shards[(id & 0xf) as usize]
    }

    /// The branch that has most in common with `prints`; of equals one with the same settings, then
    /// the latest.
    pub(super) fn nearest(&self, session: SessionKey, prints: &Prints, now: Moment) -> Option<Near> {
        let id = short(session);
        let mut shard = self.shard(id).lock();
        let entry = shard.entries.get(&id)?;
        let several = entry.branches.iter().filter(|branch| branch.warm_until > now).count() > 1;
        let near = entry.branches.iter().rev().map(|branch| {
            let common = common(&branch.prints.blocks, &prints.blocks);
            (common, branch.prints.settings == prints.settings, branch.version)
        });
        let (common, _, version) = near.max_by_key(|&(common, same, _)| (common, same))?;
        Some(Near { version, common, several })
    }

    /// Looks at a branch, unless a turn has changed it meanwhile.
    pub(super) fn with_branch<T>(
        &self,
        session: SessionKey,
        version: u64,
        look: impl FnOnce(&Branch) -> T,
    ) -> Option<T> {
        let id = short(session);
        let shard = self.shard(id).lock();
        let entry = shard.entries.peek(&id)?;
        entry.branches.iter().find(|branch| branch.version == version).map(look)
    }

    /// Keeps an answered turn's prompt, and the break that it was.
    pub(super) fn keep(&self, case: Case, verdict: &Verdict, version: u64, broken: Option<CacheBreak>) {
        let id = short(case.session);
        let mut shard = self.shard(id).lock();
        let Shard { entries, bytes } = &mut *shard;
        let before = entries.peek(&id).map_or(0, Entry::size);
        let entry = entries.get_or_insert_mut(id, Entry::default);
        if let Some(broken) = broken {
            entry.last = Some(Box::new(LastBreak::new(&broken, verdict)));
        }
        add(entry, case, verdict, version);
        let after = entry.size();
        *bytes = (*bytes + after).saturating_sub(before);
        while *bytes > self.most {
            let Some((_, gone)) = entries.pop_lru() else { break };
            *bytes = bytes.saturating_sub(gone.size());
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    pub(super) fn view(&self, id: u64, now: Moment) -> Option<SessionBreaks> {
        let shard = self.shard(id).lock();
        let entry = shard.entries.peek(&id)?;
        let prompts = entry.branches.iter().map(|branch| BranchView {
            blocks: branch.prints.blocks.len(),
            tokens: branch.tokens,
            cached_tokens: branch.warm,
            warm_seconds: now.until(branch.warm_until).as_secs_f64(),
        });
        Some(SessionBreaks { prompts: prompts.collect(), last_break: entry.last.as_deref().cloned() })
    }
}

fn add(entry: &mut Entry, case: Case, verdict: &Verdict, version: u64) {
    let Some((base, keep)) = case.base else {
        push(entry, case.into_branch(None, verdict, version));
        return;
    };
    let Some(at) = entry.branches.iter().position(|branch| branch.version == base) else {
        // Another turn has gone on from there meanwhile, and is the session's prompt now; what this
        // one kept of it is gone.
        if keep == 0 {
            push(entry, case.into_branch(None, verdict, version));
        }
        return;
    };
    let settings_differ =
        entry.branches.get(at).is_some_and(|branch| branch.prints.settings != case.tail.settings);
    match case.relation {
        // A retry, or a look back: the longer prompt is as warm as it was.
        Relation::CutBack if !settings_differ => {
            let branch = entry.branches.remove(at);
            entry.branches.insert(0, branch);
        }
        Relation::Extends | Relation::Changed if !settings_differ => {
            let branch = entry.branches.remove(at);
            push(entry, case.into_branch(Some(branch), verdict, version));
        }
        // Both may go on.
        Relation::Extends | Relation::Changed | Relation::CutBack | Relation::Fork | Relation::Stranger => {
            let copy = entry.branches.get(at).cloned();
            push(entry, case.into_branch(copy, verdict, version));
        }
    }
}

fn push(entry: &mut Entry, branch: Branch) {
    entry.branches.insert(0, branch);
    entry.branches.truncate(BRANCHES);
}
