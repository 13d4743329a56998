//! What a request counts as at an account: the class its limits are booked to, and its model.
//!
//! Classes are numbered, so that the gates of a rate domain are an array and the hot path reads one
//! atomic without a look-up. The numbers are handed out once a process and survive reloads; there
//! are at most [`MAX_CLASSES`]. Callers cannot make new ones: models that no `[[model]]` lists share
//! a handful of buckets, chosen by hash.

use std::collections::HashMap;

use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

use crate::types::Operation;

/// Classes in one process; what is configured beyond that shares one overflow class.
pub(super) const MAX_CLASSES: usize = 256;

const COUNT_TOKENS: u16 = 0;
const EMBEDDINGS: u16 = 1;
const PASSTHROUGH: u16 = 2;
const OVERFLOW: u16 = 3;
const UNLISTED: u16 = 4;
const UNLISTED_BUCKETS: u16 = 16;
const FIXED: [&str; 4] = ["count_tokens", "embeddings", "passthrough", "other"];

/// The class of limits and the model of one request. Cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane {
    class: u16,
    /// XXH3 of the model as the provider is asked for it; 0 where there is none.
    model: u64,
}

impl Lane {
    /// Paths that are passed through untouched: limits of their own, no model.
    pub const PASSTHROUGH: Self = Self { class: PASSTHROUGH, model: 0 };

    pub(super) fn of(operation: Operation, class: u16, model: &str) -> Self {
        let class = match operation {
            Operation::CountTokens => COUNT_TOKENS,
            Operation::Embeddings => EMBEDDINGS,
            Operation::Messages
            | Operation::ChatCompletions
            | Operation::Responses
            | Operation::Completions => class,
        };
        Self { class, model: xxh3_64(model.as_bytes()) }
    }

    /// The number of its class: an index below 256.
    #[must_use]
    pub const fn class(self) -> u16 {
        self.class
    }

    /// A lane of this class without a model: enough to read limits by.
    #[must_use]
    pub const fn from_class(class: u16) -> Self {
        let class = if (class as usize) < MAX_CLASSES { class } else { OVERFLOW };
        Self { class, model: 0 }
    }

    pub(super) const fn model(self) -> u64 {
        self.model
    }

    /// Whether it stands for calls that produce a model's answer.
    pub(super) const fn generates(self) -> bool {
        self.class >= OVERFLOW
    }
}

/// The bucket of a model that nobody listed.
pub(super) fn unlisted_class(model: &str) -> u16 {
    let bucket = xxh3_64(model.as_bytes()) % u64::from(UNLISTED_BUCKETS);
    UNLISTED + u16::try_from(bucket).unwrap_or(0)
}

/// The names of the classes, by number.
pub(super) struct Classes {
    inner: RwLock<Interned>,
}

struct Interned {
    names: Vec<String>,
    numbers: HashMap<String, u16, ahash::RandomState>,
}

impl Default for Classes {
    fn default() -> Self {
        let mut names: Vec<String> = FIXED.iter().map(|&name| name.to_owned()).collect();
        names.extend((0..UNLISTED_BUCKETS).map(|n| format!("unlisted-{n}")));
        // The fixed names stay out of the map: a model called `other` gets a number of its own.
        Self { inner: RwLock::new(Interned { names, numbers: HashMap::default() }) }
    }
}

impl Classes {
    /// The number of the class `name`, new or old.
    pub(super) fn number(&self, name: &str) -> u16 {
        let mut inner = self.inner.write();
        if let Some(&number) = inner.numbers.get(name) {
            return number;
        }
        let Ok(number) = u16::try_from(inner.names.len()) else { return OVERFLOW };
        if usize::from(number) >= MAX_CLASSES {
            return OVERFLOW;
        }
        inner.names.push(name.to_owned());
        inner.numbers.insert(name.to_owned(), number);
        number
    }

    /// The number of the class `name`, where it has one.
    pub(super) fn known(&self, name: &str) -> Option<u16> {
        let inner = self.inner.read();
        let number = inner.names.iter().position(|known| known == name)?;
        u16::try_from(number).ok()
    }

    /// What class number `class` is called.
    pub(super) fn name(&self, class: u16) -> String {
        self.inner.read().names.get(usize::from(class)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_generate_nothing_have_classes_of_their_own() {
        let messages = Lane::of(Operation::Messages, 30, "m");
        assert_ne!(messages.class(), Lane::of(Operation::CountTokens, 30, "m").class());
        assert_ne!(messages.class(), Lane::of(Operation::Embeddings, 30, "m").class());
        assert_ne!(messages.class(), Lane::PASSTHROUGH.class());
        assert_eq!(messages.class(), Lane::of(Operation::Responses, 30, "m").class());
    }

    #[test]
    fn names_keep_their_numbers_and_too_many_share_one() {
        let classes = Classes::default();
        let first = classes.number("sonnet-4");
        assert_eq!(classes.number("sonnet-4"), first);
        assert_eq!(classes.name(first), "sonnet-4");
        for n in 0..2 * MAX_CLASSES {
            assert!(usize::from(classes.number(&format!("m{n}"))) < MAX_CLASSES);
        }
        assert_eq!(classes.number("one too many"), OVERFLOW);
        assert_eq!(classes.number("sonnet-4"), first);
    }

    #[test]
    fn unlisted_models_fall_into_few_buckets() {
        for n in 0..1000 {
            let class = unlisted_class(&format!("model-{n}"));
            assert!((UNLISTED..UNLISTED + UNLISTED_BUCKETS).contains(&class));
        }
    }
}
