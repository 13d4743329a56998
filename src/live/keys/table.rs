//! The look-up tables of one version of the ring: immutable, swapped as a whole.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Found, token};
use crate::{
    clock::UnixTime,
    types::{CallerName, KeyDigest, KeyId, VirtualKey},
};

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// Every key by digest, id and name.
#[derive(Default)]
pub(super) struct Table {
    by_digest: Map<KeyDigest, Arc<VirtualKey>>,
    by_id: Map<KeyId, Arc<VirtualKey>>,
    by_name: Map<CallerName, Arc<VirtualKey>>,
    tenants: usize,
}

impl Table {
    /// Of two keys with one token, id or name the first wins.
    pub(super) fn of(keys: &[Arc<VirtualKey>]) -> Self {
        let mut table = Self {
            tenants: keys.iter().map(|key| &key.organisation).collect::<BTreeSet<_>>().len(),
            ..Self::default()
        };
        for key in keys {
            table.by_digest.entry(key.digest).or_insert_with(|| Arc::clone(key));
            if let Some((old, _)) = key.old {
                table.by_digest.entry(old).or_insert_with(|| Arc::clone(key));
            }
            table.by_id.entry(key.id.clone()).or_insert_with(|| Arc::clone(key));
            table.by_name.entry(key.name.clone()).or_insert_with(|| Arc::clone(key));
        }
        table
    }

    pub(super) fn find(&self, token: &[u8], now: UnixTime) -> Found {
        let digest = KeyDigest::of(token);
        let Some(key) = self.by_digest.get(&digest) else {
            return if token::well_formed(token) == Some(false) { Found::Malformed } else { Found::Unknown };
        };
        let is_over =
            key.old.is_some_and(|(old, until)| old == digest && key.digest != digest && until <= now);
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

    pub(super) const fn tenants(&self) -> usize {
        self.tenants
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether somebody without a key is nobody.
    pub(super) fn is_closed(&self) -> bool {
        !self.by_id.is_empty()
    }
}
