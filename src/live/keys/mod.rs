//! The ring: every key that we accept, from the configuration and from the store of keys.
//!
//! Owns who a token belongs to, and the levels above keys. Not here: what a key's limits mean
//! (`quota`), and how a refusal reads (`proxy`).
//!
//! A token is looked up by its SHA-256, so timing says nothing of any token. Readers take no lock.
//!
//! Invariant: a gateway that has, or ever had, a stored key is not open by default: revoking the last
//! key does not let everybody in. The trap: while a store was never read, we do not know whether there
//! is one, so a gateway with a store begins closed.

mod table;
mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use table::Table;

pub use token::{Minted, mint, well_formed};

use crate::{
    clock::UnixTime,
    snapshot::Open,
    types::{CallerName, KeyId, Levels, VirtualKey},
};

/// Whose token it is.
#[derive(Clone, Debug)]
pub enum Found {
    /// A key that is accepted.
    Key(Arc<VirtualKey>),
    /// Its time is over.
    Expired(Arc<VirtualKey>),
    /// It is switched off.
    Disabled(Arc<VirtualKey>),
    /// It begins like one of ours, and its check sum is wrong: a typing error, or cut off.
    Malformed,
    /// Nobody's. Revoked keys are nobody's, too.
    Unknown,
    /// Nobody's that we know of, but the store of keys was never read.
    Unready,
}

/// All keys. One for each process.
pub struct KeyRing {
    table: ArcSwap<Table>,
    /// What the table is made from; held while a new one is made.
    parts: Mutex<Parts>,
    levels: watch::Sender<Arc<Levels>>,
}

/// What the table is made from.
struct Parts {
    callers: Vec<Arc<VirtualKey>>,
    levels: Levels,
}

impl KeyRing {
    /// The callers and levels of a configuration.
    #[must_use]
    pub fn new(callers: Vec<VirtualKey>, levels: Levels) -> Self {
        let parts = Parts { callers: callers.into_iter().map(Arc::new).collect(), levels };
        let table = Table::of(&parts.callers);
        let (sender, _) = watch::channel(Arc::new(parts.levels.clone()));
        Self { table: ArcSwap::from_pointee(table), parts: Mutex::new(parts), levels: sender }
    }

    /// The configuration was read again.
    pub fn configure(&self, callers: Vec<VirtualKey>, levels: Levels) {
        let mut parts = self.parts.lock();
        *parts = Parts { callers: callers.into_iter().map(Arc::new).collect(), levels };
        self.table.store(Arc::new(Table::of(&parts.callers)));
        self.levels.send_replace(Arc::new(parts.levels.clone()));
    }

    /// Who holds `token`.
    #[must_use]
    pub fn find(&self, token: &[u8], now: UnixTime) -> Found {
        self.table.load().find(token, now)
    }

    /// Whether anybody may call without a key.
    #[must_use]
    pub fn is_open(&self, open: Open) -> bool {
        match open {
            Open::Everybody => true,
            Open::UntilKeys => !self.table.load().is_closed(),
            Open::Never => false,
        }
    }

    /// Who is called `name`; nobody for anonymous callers of an open gateway.
    #[must_use]
    pub fn of_name(&self, name: &CallerName) -> Option<Arc<VirtualKey>> {
        self.table.load().of_name(name)
    }

    /// The key with this id.
    #[must_use]
    pub fn of_id(&self, id: &KeyId) -> Option<Arc<VirtualKey>> {
        self.table.load().of_id(id)
    }

    /// How many tenants there are; with at most one, nothing has to be kept apart.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.table.load().tenants()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.load().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The levels in force: those of the configuration, and those of the store beside them.
    #[must_use]
    pub fn levels(&self) -> Arc<Levels> {
        Arc::clone(&self.levels.borrow())
    }

    /// Tells of every change of the levels, and of the keys.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Levels>> {
        self.levels.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KeyDigest;

    fn caller(name: &str, token: &str) -> VirtualKey {
        VirtualKey::named(name, KeyDigest::of(token.as_bytes()))
    }

    #[test]
    fn a_caller_is_found_by_its_token_and_by_nothing_else() {
        let ring = KeyRing::new(vec![caller("ann", "wk-1"), caller("bob", "wk-2")], Levels::default());
        let now = UnixTime::default();
        assert!(matches!(ring.find(b"wk-2", now), Found::Key(key) if key.name.as_str() == "bob"));
        assert!(matches!(ring.find(b"sk-3", now), Found::Unknown));
        assert!(matches!(ring.find(b"", now), Found::Unknown));
        assert!(matches!(ring.find(b"wk-3", now), Found::Malformed));
    }
}
