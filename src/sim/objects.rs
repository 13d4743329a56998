//! What an account keeps with the provider: responses, conversations, files.
//!
//! Each belongs to a scope (organisation and workspace); another scope cannot see it.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use serde_json::Value;

use super::json::Json;
use crate::clock::Moment;

/// Objects kept; the least recently used go first.
const KEEP: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

/// The items of a conversation, one segment a response, shared between those that continue it.
pub(super) type Segments = Vec<Arc<[Json]>>;

#[derive(Clone, Debug)]
pub(super) enum Object {
    Response {
        /// As it is when complete.
        body: Value,
        /// When that is so.
        ready: Moment,
        items: Segments,
    },
    Conversation {
        items: Segments,
    },
    File {
        body: Value,
    },
}

#[derive(Debug)]
pub(super) struct Objects {
    all: LruCache<(String, String), Object>,
}

impl Default for Objects {
    fn default() -> Self {
        Self { all: LruCache::new(KEEP) }
    }
}

impl Objects {
    pub(super) fn put(&mut self, scope: &str, id: &str, object: Object) {
        self.all.put((scope.to_owned(), id.to_owned()), object);
    }

    pub(super) fn get(&mut self, scope: &str, id: &str) -> Option<&mut Object> {
        self.all.get_mut(&(scope.to_owned(), id.to_owned()))
    }

    pub(super) fn remove(&mut self, scope: &str, id: &str) -> Option<Object> {
        self.all.pop(&(scope.to_owned(), id.to_owned()))
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// The items that a response or conversation holds.
    pub(super) fn items(&mut self, scope: &str, id: &str) -> Option<Segments> {
        match self.get(scope, id)? {
            Object::Response { items, .. } | Object::Conversation { items } => Some(items.clone()),
            Object::File { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_seen_only_in_its_own_scope() {
        let mut objects = Objects::default();
        objects.put("o/w", "file-1", Object::File { body: Value::Null });
        assert!(objects.get("o/other", "file-1").is_none());
        assert!(objects.remove("o/other", "file-1").is_none());
        assert!(objects.get("o/w", "file-1").is_some());
    }
}
