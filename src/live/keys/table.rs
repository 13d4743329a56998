//! The look-up tables of the ring.
//!
//! Keys of the configuration go before stored ones of the same token, id or name. A table can take and
//! drop one key, so that a change costs the same whether there are ten keys or a million.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use super::{Found, token};
use crate::{
    clock::UnixTime,
    types::{CallerName, KeyDigest, KeyId, TenantId, VirtualKey},
};

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// Every key by digest, id and name.
#[derive(Default)]
pub(super) struct Table {
    by_digest: Map<KeyDigest, Arc<VirtualKey>>,
    by_id: Map<KeyId, Arc<VirtualKey>>,
    by_name: Map<CallerName, Arc<VirtualKey>>,
    tenants: Map<TenantId, usize>,
    /// Names that stored keys may not have.
    configured: HashSet<CallerName, ahash::RandomState>,
}

impl Table {
    /// A table of the configuration's keys.
    pub(super) fn of(callers: &[Arc<VirtualKey>]) -> Self {
        let configured = callers.iter().map(|key| key.name.clone()).collect();
        let mut table = Self { configured, ..Self::default() };
        for key in callers {
            table.take(key);
        }
        table
    }

    /// Takes a stored key, unless its token or id is there, or the configuration has its name: then says
    /// so. Two stored keys of one name are two keys.
    pub(super) fn insert(&mut self, key: &Arc<VirtualKey>) -> bool {
        let is_twin = self.by_digest.contains_key(&key.digest)
            || self.by_id.contains_key(&key.id)
            || self.configured.contains(&key.name);
        if !is_twin {
            self.take(key);
        }
        !is_twin
    }

    fn take(&mut self, key: &Arc<VirtualKey>) {
        self.by_digest.insert(key.digest, Arc::clone(key));
        if let Some((old, _)) = key.old {
            self.by_digest.entry(old).or_insert_with(|| Arc::clone(key));
        }
        self.by_id.insert(key.id.clone(), Arc::clone(key));
        self.by_name.entry(key.name.clone()).or_insert_with(|| Arc::clone(key));
        *self.tenants.entry(key.organisation.clone()).or_insert(0) += 1;
    }

    /// Drops a key, where this very one is there.
    pub(super) fn remove(&mut self, key: &Arc<VirtualKey>) {
        if !self.by_id.get(&key.id).is_some_and(|known| Arc::ptr_eq(known, key)) {
            return;
        }
        self.by_id.remove(&key.id);
        if self.by_name.get(&key.name).is_some_and(|known| Arc::ptr_eq(known, key)) {
            self.by_name.remove(&key.name);
        }
        for digest in [Some(key.digest), key.old.map(|(old, _)| old)].into_iter().flatten() {
            if let Entry::Occupied(entry) = self.by_digest.entry(digest)
                && Arc::ptr_eq(entry.get(), key)
            {
                entry.remove();
            }
        }
        if let Entry::Occupied(mut entry) = self.tenants.entry(key.organisation.clone()) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    pub(super) fn find(&self, token: &[u8], now: UnixTime) -> Found {
        let digest = KeyDigest::of(token);
        let Some(key) = self.by_digest.get(&digest) else {
            return if token::well_formed(token) == Some(false) { Found::Malformed } else { Found::Unknown };
        };
        let is_over = key.digest != digest && key.old.is_none_or(|(_, until)| until <= now);
        if is_over {
            return Found::Unknown;
        }
        let key = Arc::clone(key);
        if key.disabled {
            Found::Disabled(key)
        } else if key.expires.is_some_and(|expires| expires <= now) {
            Found::Expired(key)
        } else {
            Found::Key(key)
        }
    }

    pub(super) fn of_name(&self, name: &CallerName) -> Option<Arc<VirtualKey>> {
        self.by_name.get(name).cloned()
    }

    pub(super) fn of_id(&self, id: &KeyId) -> Option<Arc<VirtualKey>> {
        self.by_id.get(id).cloned()
    }

    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
