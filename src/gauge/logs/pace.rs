//! The place of a request in its conversation.

use std::{num::NonZeroUsize, time::Duration};

use ahash::RandomState;
use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

/// Conversations that are remembered, about 100 bytes each.
const CONVERSATIONS: usize = 100_000;

/// Counts the turns of conversations.
#[derive(Debug)]
pub(super) struct Pace {
    known: LruCache<u64, (u32, Duration), RandomState>,
    /// Requests that began before one of their conversation that was read earlier.
    pub(super) late: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let most = NonZeroUsize::new(CONVERSATIONS).unwrap_or(NonZeroUsize::MIN);
        Self { known: LruCache::with_hasher(most, RandomState::new()), late: 0 }
    }
}

impl Pace {
    /// The number of a turn that began at `at` and was over at `end`, and the pause before it.
    pub(super) fn turn(
        &mut self,
        conversation: &str,
        at: Duration,
        end: Duration,
    ) -> (u32, Option<Duration>) {
        let id = xxh3_64(conversation.as_bytes());
        let Some((turn, last)) = self.known.get_mut(&id) else {
            self.known.put(id, (0, end));
            return (0, None);
        };
        self.late += u64::from(end < *last);
        *turn = turn.saturating_add(1);
        let gap = at.saturating_sub(*last);
        *last = end.max(*last);
        (*turn, Some(gap))
    }
}
