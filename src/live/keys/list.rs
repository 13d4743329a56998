//! Looking at keys: one, or a page of them.

use std::{ops::Bound, sync::Arc};

use super::{KeyRing, stored::Facts};
use crate::types::{KeyId, Tag, TeamName, TenantId, VirtualKey};

/// Keys of one page.
const PAGE: usize = 1_000;

/// A key, and what people want to know of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<VirtualKey>,
    /// Of stored keys; `None`: it stands in the configuration.
    pub facts: Option<Facts>,
}

/// Which keys are listed.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// Only of this organisation.
    pub organisation: Option<TenantId>,
    /// Only of teams of this name.
    pub team: Option<TeamName>,
    /// Only with this tag.
    pub tag: Option<Tag>,
}

impl KeyRing {
    /// The key with this id, or where there is none, the only one of this name.
    #[must_use]
    pub fn entry(&self, id_or_name: &str) -> Option<Entry> {
        let parts = self.inner.parts.lock();
        let stored = |key: &VirtualKey| parts.stored.keys.get(&key.id).map(|held| held.facts);
        if let Some(held) = parts.stored.keys.get(id_or_name) {
            return Some(Entry { key: Arc::clone(&held.key), facts: Some(held.facts) });
        }
        let table = self.inner.table.read();
        let key = table.of_id(&id_or_name.into()).or_else(|| table.of_name(&id_or_name.into()))?;
        let is_configured = parts.callers.iter().any(|caller| Arc::ptr_eq(caller, &key));
        let facts = if is_configured { None } else { stored(&key) };
        Some(Entry { key, facts })
    }

    /// Keys by id, those of the configuration first, beginning after `after`; and the id to go on from,
    /// where there are more. At most 1,000 at once.
    #[must_use]
    pub fn list(&self, filter: &Filter, after: Option<&KeyId>, limit: usize) -> (Vec<Entry>, Option<KeyId>) {
        let limit = limit.clamp(1, PAGE);
        let parts = self.inner.parts.lock();
        let configured = parts.callers.iter().filter(|_| after.is_none());
        let configured = configured.map(|key| Entry { key: Arc::clone(key), facts: None });
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let stored = parts.stored.keys.range::<KeyId, _>((from, Bound::Unbounded));
        let stored = stored.map(|(_, held)| Entry { key: Arc::clone(&held.key), facts: Some(held.facts) });
        let mut found: Vec<Entry> = configured.filter(|entry| filter.covers(&entry.key)).collect();
        let mut rest = stored.filter(|entry| filter.covers(&entry.key));
        let room = limit.saturating_sub(found.len()).max(1);
        found.extend(rest.by_ref().take(room));
        let more = rest.next().is_some();
        let last = found.iter().rev().find(|entry| entry.facts.is_some());
        let next = last.filter(|_| more).map(|entry| entry.key.id.clone());
        (found, next)
    }
}

impl Filter {
    pub(super) fn covers(&self, key: &VirtualKey) -> bool {
        self.organisation.as_ref().is_none_or(|name| key.organisation == *name)
            && self.team.as_ref().is_none_or(|name| key.team.as_ref() == Some(name))
            && self.tag.as_ref().is_none_or(|tag| key.tags.contains(tag))
    }
}
