//! Google `generateContent`: a provider's dialect.

mod array;
mod count;
mod embeddings;
mod read_answer;
mod write_request;

use crate::dialect::translate::segment;

pub(super) use array::JsonArray;
pub(super) use count::{read_count, write_count};
pub(super) use embeddings::{read_embeddings, write_embeddings};
pub(super) use read_answer::{AnswerReader, read_answer};
pub(super) use write_request::write_request;

/// What a thought signature was found on: said in [`Seal::id`](super::neutral::Seal), so that it goes
/// back where it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SealOf {
    /// A function call.
    Call,
    /// A thought, in words or not.
    Thought,
}

impl SealOf {
    const fn id(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Thought => "thought",
        }
    }
}

/// Path and query below the base path (`/v1beta`; Vertex: up to `publishers/google`).
pub(super) fn path(model: &str, stream: bool) -> String {
    let call = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    format!("/models/{}:{call}", segment(model))
}
