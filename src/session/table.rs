//! A bounded, sharded table: least recently used goes first.

use std::num::NonZeroUsize;

use ahash::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

/// Enough that threads rarely meet, few enough that a small bound still means something.
const SHARDS: usize = 16;

/// One shard.
type Shard<V> = Mutex<LruCache<u128, V, RandomState>>;

/// Values by a 128-bit hash. No lock is held while anything else is called but the closure given.
#[derive(Debug)]
pub(super) struct Table<V> {
    shards: [Shard<V>; SHARDS],
}

impl<V> Table<V> {
    /// An empty table of about `capacity` entries, rounded up to a multiple of the shards.
    pub(super) fn new(capacity: usize) -> Self {
        let each = NonZeroUsize::new(capacity.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        Self { shards: std::array::from_fn(|_| Mutex::new(LruCache::with_hasher(each, RandomState::new()))) }
    }

    fn shard(&self, key: u128) -> &Shard<V> {
        // Keys are hashes already; four bits from the middle, which no caller keeps constant.
        &self.shards[((key >> 17) & 0xf) as usize]
    }

    /// Looks at the value of `key` and marks it as used.
    pub(super) fn with<T>(&self, key: u128, look: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.shard(key).lock().get_mut(&key).map(look)
    }

    /// Changes what `key` holds: `change` gets the old value and returns the new one.
    pub(super) fn upsert(&self, key: u128, change: impl FnOnce(Option<V>) -> V) {
        let mut shard = self.shard(key).lock();
        let old = shard.pop(&key);
        shard.put(key, change(old));
    }

    /// Every entry that `pick` turns into something; within a shard the latest used first.
    pub(super) fn collect<T>(&self, mut pick: impl FnMut(u128, &V) -> Option<T>) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().iter().filter_map(|(key, value)| pick(*key, value)));
        }
        all
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}
