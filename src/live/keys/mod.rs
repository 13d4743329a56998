//! The ring: every key that we accept, from the configuration and from the store of keys.
//!
//! Owns who a token belongs to, the levels above keys, and how stored keys are made and changed. Not
//! here: what a key's limits mean (`quota`), and how a refusal reads (`proxy`).
//!
//! A token is looked up by its SHA-256, so timing says nothing of any token. What was read from the store
//! last stays in force while the store is out of reach.
//!
//! Invariant: a gateway that has, or ever had, a stored key is not open by default: revoking the last
//! key does not let everybody in. The trap: while a store was never read, we do not know whether there
//! is one, so a gateway with a store begins closed.

mod change;
mod form;
mod level;
mod list;
mod problem;
mod stored;
mod table;
mod token;
mod view;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use stored::{Held, Stored};
use table::Table;

pub use change::{KeyFault, Made, read_settings};
pub use form::{BudgetForm, CacheTtl, KeySettings, LevelSettings};
pub use level::{LevelEntry, LevelName};
pub use list::{Entry, Filter};
pub use problem::Problem;
pub use stored::Facts;
pub use token::{Minted, mint, well_formed};
pub use view::KeyView;

use crate::{
    clock::{self, UnixTime},
    snapshot::Open,
    store::documents::{Documents, DocumentsFault},
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

/// All keys. One for each process; clones are the same ring.
#[derive(Clone)]
pub struct KeyRing {
    inner: Arc<Inner>,
}

struct Inner {
    /// What requests look into. Held to write for moments only.
    table: RwLock<Table>,
    /// [`KeyRing::is_ready`].
    ready: AtomicBool,
    /// There is, or was, a key.
    closed: AtomicBool,
    /// What the table is made from. Taken before the table.
    parts: Mutex<Parts>,
    levels: watch::Sender<Arc<Levels>>,
    store: Option<Arc<dyn Documents>>,
    /// Changes of the store, and readings of it, one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// What the table is made from.
struct Parts {
    callers: Vec<Arc<VirtualKey>>,
    levels: Levels,
    stored: Stored,
    failing: Option<(UnixTime, String)>,
}

/// How the store of keys is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeysState {
    /// There is a store.
    pub stored: bool,
    /// It was read at least once.
    pub ready: bool,
    /// Keys that it holds.
    pub keys: usize,
    /// Documents of it that say nothing to us, and let nobody in.
    pub unreadable: usize,
    /// Since when it has been out of reach, and why.
    pub failing: Option<(UnixTime, String)>,
}

impl KeyRing {
    /// The callers and levels of a configuration, and the store of keys beside them. It is not read yet:
    /// see [`KeyRing::refresh`].
    #[must_use]
    pub fn new(callers: Vec<VirtualKey>, levels: Levels, store: Option<Arc<dyn Documents>>) -> Self {
        let callers: Vec<_> = callers.into_iter().map(Arc::new).collect();
        let inner = Inner {
            table: RwLock::new(Table::of(&callers)),
            ready: AtomicBool::new(store.is_none()),
            closed: AtomicBool::new(!callers.is_empty()),
            levels: watch::channel(Arc::new(levels.clone())).0,
            parts: Mutex::new(Parts { callers, levels, stored: Stored::default(), failing: None }),
            store,
            turn: tokio::sync::Mutex::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The configuration was read again.
    pub fn configure(&self, callers: Vec<VirtualKey>, levels: Levels) {
        let mut parts = self.inner.parts.lock();
        parts.callers = callers.into_iter().map(Arc::new).collect();
        parts.levels = levels;
        self.inner.rebuild(&parts);
    }

    /// Who holds `token`.
    #[must_use]
    pub fn find(&self, token: &[u8], now: UnixTime) -> Found {
        let found = self.inner.table.read().find(token, now);
        match found {
            Found::Unknown if !self.is_ready() => Found::Unready,
            Found::Key(_)
            | Found::Expired(_)
            | Found::Disabled(_)
            | Found::Malformed
            | Found::Unknown
            | Found::Unready => found,
        }
    }

    /// Whether anybody may call without a key.
    #[must_use]
    pub fn is_open(&self, open: Open) -> bool {
        match open {
            Open::Everybody => true,
            Open::UntilKeys => self.is_ready() && !self.inner.closed.load(Ordering::Acquire),
            Open::Never => false,
        }
    }

    /// Whether every key there is is known: there is no store, or it was read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
    }

    /// Who is called `name`; nobody for anonymous callers of an open gateway.
    #[must_use]
    pub fn of_name(&self, name: &CallerName) -> Option<Arc<VirtualKey>> {
        self.inner.table.read().of_name(name)
    }

    /// The key with this id.
    #[must_use]
    pub fn of_id(&self, id: &KeyId) -> Option<Arc<VirtualKey>> {
        self.inner.table.read().of_id(id)
    }

    /// How many tenants there are; with at most one, nothing has to be kept apart.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.inner.table.read().tenants()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.table.read().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The levels in force: those of the configuration, and those of the store beside them.
    #[must_use]
    pub fn levels(&self) -> Arc<Levels> {
        Arc::clone(&self.inner.levels.borrow())
    }

    /// Tells of every change of the levels in force.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Levels>> {
        self.inner.levels.subscribe()
    }

    /// How the store is.
    #[must_use]
    pub fn state(&self) -> KeysState {
        let parts = self.inner.parts.lock();
        KeysState {
            stored: self.inner.store.is_some(),
            ready: parts.stored.version.is_some(),
            keys: parts.stored.keys.len(),
            unreadable: parts.stored.unreadable,
            failing: parts.failing.clone(),
        }
    }

    /// Reads the store, where it has changed. To be called each second: then what anybody changes is in
    /// force within two.
    ///
    /// # Errors
    /// The store is out of reach. What was read last stays in force.
    pub async fn refresh(&self) -> Result<bool, DocumentsFault> {
        let Some(store) = &self.inner.store else { return Ok(false) };
        let _turn = self.inner.turn.lock().await;
        let read = self.read(store.as_ref()).await;
        let mut parts = self.inner.parts.lock();
        match &read {
            Ok(_) => parts.failing = None,
            Err(fault) => {
                parts.failing.get_or_insert_with(|| (clock::unix_now(), fault.to_string()));
            }
        }
        read
    }

    async fn read(&self, store: &dyn Documents) -> Result<bool, DocumentsFault> {
        // Asked first: what is written meanwhile is seen with the next look.
        let version = store.version().await?;
        let known: BTreeMap<_, Held> = {
            let parts = self.inner.parts.lock();
            if parts.stored.version == Some(version) {
                return Ok(false);
            }
            parts.stored.keys.clone()
        };
        let documents = store.all().await?;
        // A hundred thousand keys take a while: not on a thread that serves requests.
        let inner = Arc::clone(&self.inner);
        let work = move || {
            let stored = Stored::read(version, &documents, &known);
            if let Some(first) = &stored.first_unreadable {
                tracing::error!(
                    documents = stored.unreadable,
                    first,
                    "the store of keys holds what cannot be read"
                );
            }
            let mut parts = inner.parts.lock();
            parts.stored = stored;
            inner.rebuild(&parts);
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            return Err(DocumentsFault {
                place: "this process".into(),
                why: "reading was broken off".into(),
            });
        }
        Ok(true)
    }
}

impl Inner {
    /// Makes the table and the levels anew.
    fn rebuild(&self, parts: &Parts) {
        let mut table = Table::of(&parts.callers);
        let mut hidden = 0_usize;
        for held in parts.stored.keys.values() {
            if !table.insert(&held.key) {
                hidden += 1;
                if hidden == 1 {
                    tracing::warn!(key = %held.key.id, name = %held.key.name, "a stored key is hidden by a caller of the configuration");
                }
            }
        }
        // The old one may be large: it goes when nobody waits any more.
        let old = std::mem::replace(&mut *self.table.write(), table);
        drop(old);
        self.closed.store(!parts.callers.is_empty() || parts.stored.closed, Ordering::Release);
        self.ready.store(self.store.is_none() || parts.stored.version.is_some(), Ordering::Release);
        self.publish(parts);
    }

    /// Tells whoever listens, where the levels have changed.
    fn publish(&self, parts: &Parts) {
        let mut levels = parts.levels.clone();
        for (name, allowance) in &parts.stored.organisations {
            levels.organisations.entry(name.clone()).or_insert_with(|| allowance.clone());
        }
        for (name, allowance) in &parts.stored.teams {
            levels.teams.entry(name.clone()).or_insert_with(|| allowance.clone());
        }
        self.levels.send_if_modified(|known| {
            let is_new = **known != levels;
            if is_new {
                *known = Arc::new(levels);
            }
            is_new
        });
    }
}
