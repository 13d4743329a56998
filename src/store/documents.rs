//! The store of keys and levels, whose contents are `live`'s business: here they are texts with a
//! kind and an id.
//!
//! The invariant: every change raises the version, in the same step, whoever made it. So whoever polls
//! the version and then reads everything misses nothing.

use async_trait::async_trait;

use crate::clock::UnixTime;

/// One document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// What it is, such as `key`, `team`, `organisation`.
    pub kind: String,
    /// Which one of its kind.
    pub id: String,
    /// JSON, by convention; the store does not read it.
    pub body: String,
    /// When it was put, by the clock of who put it; to the millisecond.
    pub changed: UnixTime,
}

/// When something was put, as an engine has it: milliseconds, signed.
pub(super) fn changed_at(at: UnixTime) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// The store cannot be reached or refused; says where and why, never what was in a document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store of keys at {place}: {why}")]
pub struct DocumentsFault {
    /// Which store: a path, or a server's name without credentials.
    pub place: String,
    /// What it said.
    pub why: String,
}

/// An engine that keeps documents.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Raised by every change, by whichever process; cheap enough to ask each second.
    async fn version(&self) -> Result<u64, DocumentsFault>;

    /// Everything, by kind and id.
    async fn all(&self) -> Result<Vec<Document>, DocumentsFault>;

    /// Creates or replaces one; gone is what was there.
    async fn put(&self, kind: &str, id: &str, body: &str) -> Result<(), DocumentsFault>;

    /// Removes one; whether it was there.
    async fn delete(&self, kind: &str, id: &str) -> Result<bool, DocumentsFault>;
}
