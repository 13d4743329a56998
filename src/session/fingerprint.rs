//! The prefix chain: what a provider's cache sees of a prompt, as cumulative hashes.
//!
//! Each block is hashed in one go and folded into the chain (a streaming hash pays for its buffer at
//! every block boundary). Left out: `cache_control` markers, which clients move from turn to turn,
//! and Claude Code's attribution block. The model is not part of it.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    forensics::{Print, Prints, short},
    key::fold,
};
use crate::{
    dialect::{Block, RequestView},
    types::{PrefixChain, PrefixPoint, Section},
};

/// The chain's first link. Changes when what is hashed changes, so that old state cannot mislead.
const SEED: u64 = 0x7761_726d_6b65_7901;

/// The prefix hashes of a request, one point a block, shortest first; none for attribution blocks.
///
/// Spans that do not lie in `body` count as empty: a wrong fingerprint costs a cache miss, a panic
/// costs the request.
#[must_use]
pub fn chain(view: &RequestView, body: &[u8]) -> PrefixChain {
    read(view, body).0
}

/// The same, with each block by itself: to tell later which of them has changed.
pub(super) fn read(view: &RequestView, body: &[u8]) -> (PrefixChain, Prints) {
    let mut points = Vec::with_capacity(view.blocks.len());
    let mut prints = Prints { blocks: Vec::with_capacity(view.blocks.len()), ..Prints::default() };
    prints.settings = view.settings;
    let (mut hash, mut bytes) = (SEED, 0_u64);
    for block in &view.blocks {
        let (content, length) = content_hash(block, body);
        if block.attribution {
            prints.attribution = short(content).max(1);
            continue;
        }
        bytes = bytes.saturating_add(length);
        hash = fold([hash, content, tag(block)]);
        points.push(PrefixPoint { hash, bytes, section: block.section, breakpoint: block.marker.is_some() });
        let raw = body.get(block.span.clone()).unwrap_or_default();
        prints.blocks.push(Print::new(block, raw, content, length));
    }
    (PrefixChain { points }, prints)
}

/// What keeps two blocks of one message apart from two messages, and a user's words from a model's.
const fn tag(block: &Block) -> u64 {
    let section = match block.section {
        Section::Tools => 1,
        Section::System => 2,
        Section::User => 3,
        Section::Assistant => 4,
    };
    section << 1 | block.opens_message as u64
}

/// The hash and the length of a block without its marker. (The marker of a text block is empty: the
/// scanner shows text blocks as their string, because clients turn one into the other.)
fn content_hash(block: &Block, body: &[u8]) -> (u64, u64) {
    let [before, after] = content(block, body);
    if after.is_empty() {
        return (xxh3_64(before), before.len() as u64);
    }
    let mut hasher = Xxh3::new();
    hasher.update(before);
    hasher.update(after);
    (hasher.digest(), (before.len() + after.len()) as u64)
}

/// What stands before and behind a block's marker.
pub(super) fn content<'a>(block: &Block, body: &'a [u8]) -> [&'a [u8]; 2] {
    let raw = body.get(block.span.clone()).unwrap_or_default();
    let around = block.marker.as_ref().filter(|marker| !marker.is_empty()).and_then(|marker| {
        let from = marker.start.checked_sub(block.span.start)?;
        let to = marker.end.checked_sub(block.span.start)?;
        Some([raw.get(..from)?, raw.get(to..)?])
    });
    around.unwrap_or([raw, b""])
}
