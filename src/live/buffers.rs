//! Request bodies held for a replay: counted over all requests, bounded, and given back on every
//! path because the count sits in a guard.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many bytes of request bodies are held, over all requests.
#[derive(Default)]
pub struct Buffers {
    held: AtomicU64,
}

/// A share of the buffers; given back when dropped.
pub struct Held {
    buffers: Arc<Buffers>,
    bytes: u64,
}

impl Buffers {
    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// An empty share.
    pub fn share(self: &Arc<Self>) -> Held {
        Held { buffers: Arc::clone(self), bytes: 0 }
    }
}

impl Held {
    /// Grows the share to `bytes`, unless all shares together would exceed `limit`.
    pub fn grow_to(&mut self, bytes: u64, limit: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.buffers.held.fetch_add(more, Ordering::Relaxed);
        if more > 0 && before.saturating_add(more) > limit {
            self.buffers.held.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffers.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_together_and_given_back() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.share();
        let mut second = buffers.share();
        assert!(first.grow_to(60, 100));
        assert!(!second.grow_to(50, 100), "over the bound");
        assert!(second.grow_to(40, 100));
        assert!(first.grow_to(60, 100), "no growth is always allowed");
        assert_eq!(buffers.held(), 100);
        drop(first);
        assert_eq!(buffers.held(), 40);
        drop(second);
        assert_eq!(buffers.held(), 0);
    }
}
