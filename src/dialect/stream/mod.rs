//! A streamed answer, read while it passes.
//!
//! Owns what is forwarded and when; what an event means is each dialect's own. An event is forwarded
//! when it is whole: a client can do nothing with less, its end decides whether it is the injected
//! usage chunk, and after a provider that died within one an error can still be written in its place.
//! A chunk that ends an event is forwarded as it is, uncopied; only the tail of one that does not is
//! held. An event too long to be read is not held either: it passes through as it comes.

use bytes::Bytes;

use crate::{
    dialect::{
        answer::{EventKind, See},
        anthropic, openai_chat, openai_responses,
        signal::Signal,
        sse::{MAX_EVENT, Splitter},
    },
    types::{Dialect, Operation},
};

/// What to forward for a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    /// The chunk, as it came.
    Whole,
    /// These in its stead, in order; maybe none.
    Pieces(Vec<Bytes>),
}

/// How a stream ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct StreamEnd {
    /// The answer is complete: its terminal event came, or a clean end after a stop reason.
    pub complete: bool,
    /// What was still held back: a last event without its blank line. To be forwarded, unless an
    /// error is written in its place.
    pub held: Bytes,
}

enum Reading {
    Anthropic(anthropic::Answer),
    Chat(openai_chat::Answer),
    Responses(openai_responses::Answer),
}

impl Reading {
    fn event(&mut self, data: &[u8], see: See<'_>) -> EventKind {
        if data.is_empty() {
            // A comment, or an event too long to be read.
            return EventKind::Answer;
        }
        match self {
            Self::Anthropic(answer) => answer.event(data, see),
            Self::Chat(answer) => answer.event(data, see),
            Self::Responses(answer) => answer.event(data, see),
        }
    }
}

/// What is held back until its event is whole.
struct Hold {
    /// The usage chunk is not for the client.
    hides_usage: bool,
    /// A longer event is never held back and never hidden, however it is cut.
    most: usize,
    /// The current event's bytes from earlier chunks.
    held: Vec<u8>,
    /// The current event is too long: its bytes go on as they come.
    released: bool,
    /// The last event was hidden and ended in `\r`: a `\n` right behind it is hidden, too.
    hides_lf: bool,
}

/// Reads one streamed answer.
pub struct StreamReader {
    splitter: Splitter,
    reading: Reading,
    hold: Hold,
}

impl StreamReader {
    /// A reader for the answer to this operation. `hide_usage`: the usage chunk was asked for by us,
    /// not by the client, who must not see it.
    #[must_use]
    pub fn new(operation: Operation, hide_usage: bool) -> Self {
        let reading = match operation.dialect() {
            Dialect::Anthropic => Reading::Anthropic(anthropic::Answer::default()),
            Dialect::OpenAiChat => Reading::Chat(openai_chat::Answer::default()),
            Dialect::OpenAiResponses => Reading::Responses(openai_responses::Answer::default()),
        };
        let hold = Hold {
            hides_usage: hide_usage,
            most: MAX_EVENT,
            held: Vec::new(),
            released: false,
            hides_lf: false,
        };
        Self { splitter: Splitter::default(), reading, hold }
    }

    /// Reads the next chunk of the body and says what of it to forward.
    pub fn push(&mut self, chunk: &Bytes, see: &mut dyn FnMut(Signal<'_>)) -> Passed {
        let Self { splitter, reading, hold } = self;
        hold.push(chunk, splitter, &mut |data| reading.event(data, see))
    }

    /// Whether an event of ours may be written now: the last byte forwarded ended an event, or none
    /// was forwarded yet. It may not only within an event that is too long to be held.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        !self.hold.released
    }

    /// The last `sequence_number` of a Responses stream.
    #[must_use]
    pub const fn last_sequence(&self) -> Option<u64> {
        match &self.reading {
            Reading::Responses(answer) => answer.last_sequence(),
            Reading::Anthropic(_) | Reading::Chat(_) => None,
        }
    }

    /// Whether a clean end now would be a complete answer.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        match &self.reading {
            Reading::Anthropic(answer) => answer.is_complete(),
            Reading::Chat(answer) => answer.is_complete(),
            Reading::Responses(answer) => answer.is_complete(),
        }
    }

    /// The body ended cleanly; after a reset there is nothing to ask.
    pub fn end(&mut self, see: &mut dyn FnMut(Signal<'_>)) -> StreamEnd {
        let Self { splitter, reading, hold } = self;
        let mut hidden = false;
        splitter.finish(|event| {
            hidden = reading.event(event.data, see) == EventKind::UsageOnly && hold.hides_usage;
        });
        let held = if hidden { Vec::new() } else { std::mem::take(&mut hold.held) };
        StreamEnd { complete: self.is_complete(), held: held.into() }
    }
}

impl Hold {
    fn push(
        &mut self,
        chunk: &Bytes,
        splitter: &mut Splitter,
        read: &mut dyn FnMut(&[u8]) -> EventKind,
    ) -> Passed {
        if chunk.is_empty() {
            return Passed::Whole;
        }
        let mut pieces = Vec::new();
        let hides_lf = std::mem::take(&mut self.hides_lf);
        let late_lf = splitter.after_cr() && splitter.at_boundary() && chunk.first() == Some(&b'\n');
        // From where on the chunk is to be forwarded, and up to where its events are whole.
        let mut from = usize::from(late_lf && hides_lf);
        let mut whole = usize::from(late_lf);
        splitter.push(chunk, |event| {
            let usage = read(event.data) == EventKind::UsageOnly;
            let hide = usage && self.hides_usage && event.size <= self.most;
            if hide {
                self.held.clear();
                pieces.push(chunk.slice(from..event.start.max(from)));
                from = event.end;
            } else if !self.held.is_empty() {
                // Only the first event of a chunk can have begun before it.
                pieces.insert(0, std::mem::take(&mut self.held).into());
            }
            self.hides_lf = hide;
            self.released = false;
            whole = event.end;
        });
        self.hides_lf &= whole == chunk.len() && splitter.after_cr();
        if splitter.pending() > self.most {
            // Too long to be held: everything so far goes on.
            self.released = true;
            if !self.held.is_empty() {
                pieces.push(std::mem::take(&mut self.held).into());
            }
            whole = chunk.len();
        } else {
            self.held.extend_from_slice(chunk.get(whole..).unwrap_or_default());
        }
        if pieces.is_empty() && from == 0 && whole == chunk.len() {
            return Passed::Whole;
        }
        pieces.push(chunk.slice(from..whole.max(from)));
        pieces.retain(|piece| !piece.is_empty());
        Passed::Pieces(pieces)
    }
}

/// Reads an answer that was not streamed. Whether it is whole: one that breaks off (or is no JSON)
/// has shown what there was, but no [`Signal::Terminal`].
///
/// The arguments of Anthropic's tool calls are an object here: their delta is the object's text.
pub fn read_whole(operation: Operation, body: &[u8], see: &mut dyn FnMut(Signal<'_>)) -> bool {
    let read = match operation {
        // It is free of charge: its figures are the answer, no usage.
        Operation::CountTokens => {
            see(Signal::Terminal);
            Ok(())
        }
        Operation::Messages => anthropic::whole(body, see),
        Operation::ChatCompletions | Operation::Embeddings | Operation::Completions => {
            openai_chat::whole(body, see)
        }
        Operation::Responses => openai_responses::whole(body, see),
    };
    read.is_ok()
}

#[cfg(test)]
mod tests;
