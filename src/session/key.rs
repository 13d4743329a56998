//! How ids become keys: length-prefixed parts under XXH3, the same on every replica for ever.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::types::{ModelName, SessionKey, TenantId};

/// Where the parts of an id come from. Part of the hash, so the names never change.
///
/// Every carrier of a client's own id is one kind: Claude Code says the same id in a header and in
/// the body, OpenCode in two headers, and a request that lacks one of them is no new conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum IdKind {
    /// The client said so.
    Client,
    /// A trace id.
    Trace,
    /// We numbered a first turn.
    Minted,
    /// A later turn whose beginning we never saw.
    Opening,
    /// An earlier session that went on with another model.
    Switched,
}

impl IdKind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"id",
            Self::Trace => b"trace",
            Self::Minted => b"minted",
            Self::Opening => b"opening",
            Self::Switched => b"switched",
        }
    }
}

/// Scheme of the hashes: changes when what is hashed changes, so that old state cannot mislead.
const SCHEME: &[u8] = b"warmkey-session-1";

/// The conversation that a client, or we, named; `agent` is empty for the main one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversation<'a> {
    /// Whose word it is.
    pub(super) kind: IdKind,
    /// The id.
    pub(super) id: &'a [u8],
    /// The sub-agent, if it is one.
    pub(super) agent: &'a [u8],
}

impl Conversation<'_> {
    /// Its key with one model.
    pub(super) fn key(&self, tenant: &TenantId, model: &ModelName) -> SessionKey {
        let model = model.as_str().as_bytes();
        SessionKey(xxh3_128(&framed(&[
            SCHEME,
            tenant.as_str().as_bytes(),
            self.kind.label(),
            self.id,
            self.agent,
            model,
        ])))
    }

    /// A hash of the conversation whatever its model: how a sub-agent finds its parent.
    pub(super) fn any_model(&self) -> u64 {
        xxh3_64(&framed(&[SCHEME, self.kind.label(), self.id, self.agent]))
    }
}

/// Parts with their lengths in front, so that no two lists of parts make the same bytes.
fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Folds fixed-size numbers into one: no lengths needed.
pub(super) fn fold(parts: [u64; 3]) -> u64 {
    let mut bytes = [0; 24];
    for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    xxh3_64(&bytes)
}
