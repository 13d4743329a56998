//! How a stream is read: in passing, or translated on the way.

use bytes::Bytes;

use super::Passage;
use crate::{
    dialect::{Passed, Signal, StreamEnd, StreamReader, StreamTranslator},
    proxy::forward::Answer,
};

/// Reads one streamed answer.
pub(super) enum Reader {
    /// The client speaks the provider's dialect: bytes pass as they come.
    Plain(Box<StreamReader>),
    /// It does not.
    Translated(Box<StreamTranslator>),
}

impl Reader {
    pub(super) fn new(passage: &Passage, answer: &Answer) -> Self {
        let words = passage.words.as_ref();
        match words.and_then(|words| words.stream(words.framing(&answer.head.headers)?)) {
            Some(translator) => Self::Translated(Box::new(translator)),
            None => Self::Plain(Box::new(StreamReader::new(passage.operation, passage.hide_usage))),
        }
    }

    /// Takes the next chunk; says what goes to the client for it.
    pub(super) fn push(&mut self, chunk: &Bytes, see: &mut dyn FnMut(Signal<'_>)) -> Passed {
        match self {
            Self::Plain(reader) => reader.push(chunk, see),
            Self::Translated(translator) => {
                let out = translator.push(chunk, see);
                Passed::Pieces(if out.is_empty() { Vec::new() } else { vec![out] })
            }
        }
    }

    /// An event of ours may be written now: what is translated goes out in whole events.
    pub(super) const fn at_boundary(&self) -> bool {
        match self {
            Self::Plain(reader) => reader.at_boundary(),
            Self::Translated(_) => true,
        }
    }

    /// The last `sequence_number` that the client was told (Responses).
    pub(super) const fn last_sequence(&self) -> Option<u64> {
        match self {
            Self::Plain(reader) => reader.last_sequence(),
            Self::Translated(translator) => translator.last_sequence(),
        }
    }

    /// Whether a clean end now would be a complete answer.
    pub(super) const fn is_complete(&self) -> bool {
        match self {
            Self::Plain(reader) => reader.is_complete(),
            Self::Translated(translator) => translator.is_complete(),
        }
    }

    /// The body ended cleanly.
    pub(super) fn end(&mut self, see: &mut dyn FnMut(Signal<'_>)) -> StreamEnd {
        match self {
            Self::Plain(reader) => reader.end(see),
            Self::Translated(translator) => translator.end(see),
        }
    }
}
