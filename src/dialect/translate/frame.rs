//! How a streamed answer is cut into events: server-sent events, AWS's event stream, a JSON array.

use crate::{
    dialect::{bedrock::EventStream, gemini::JsonArray, sse::Splitter},
    types::ProviderDialect,
};

/// How an answer's events are packed, by its content type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// `text/event-stream`
    Sse,
    /// `application/vnd.amazon.eventstream`
    EventStream,
    /// `application/json`: one array of events (Gemini without `alt=sse`).
    JsonArray,
}

impl Framing {
    /// The framing of a stream of this content type from a host of this dialect; `None`: it is none.
    #[must_use]
    pub fn of(dialect: ProviderDialect, content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("text/event-stream") {
            Some(Self::Sse)
        } else if is("application/vnd.amazon.eventstream") {
            Some(Self::EventStream)
        } else if dialect == ProviderDialect::Gemini && is("application/json") {
            Some(Self::JsonArray)
        } else {
            None
        }
    }
}

/// One event of a stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect) struct Frame<'a> {
    /// AWS's `:event-type` or `:exception-type`; empty elsewhere.
    pub kind: &'a str,
    /// AWS: it is an exception.
    pub is_exception: bool,
    /// Its JSON. Empty for a comment, or an event too long to be read.
    pub data: &'a [u8],
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct BadFrame(pub &'static str);

/// Cuts a stream.
pub(in crate::dialect) enum Frames {
    Sse(Box<Splitter>),
    EventStream(Box<EventStream>),
    JsonArray(Box<JsonArray>),
}

impl Frames {
    pub(in crate::dialect) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Sse => Self::Sse(Box::default()),
            Framing::EventStream => Self::EventStream(Box::default()),
            Framing::JsonArray => Self::JsonArray(Box::default()),
        }
    }

    /// Takes the next chunk and shows every event that it completes.
    pub(in crate::dialect) fn push(
        &mut self,
        chunk: &[u8],
        show: &mut dyn FnMut(Frame<'_>),
    ) -> Result<(), BadFrame> {
        match self {
            Self::Sse(splitter) => {
                splitter.push(chunk, |event| show(Frame { kind: "", is_exception: false, data: event.data }));
                Ok(())
            }
            Self::EventStream(stream) => stream.push(chunk, show),
            Self::JsonArray(array) => array.push(chunk, show),
        }
    }

    /// The body ended cleanly: an event whose end was missing is shown (SSE), or an error.
    pub(in crate::dialect) fn finish(&mut self, show: &mut dyn FnMut(Frame<'_>)) -> Result<(), BadFrame> {
        match self {
            Self::Sse(splitter) => {
                splitter.finish(|event| show(Frame { kind: "", is_exception: false, data: event.data }));
                Ok(())
            }
            Self::EventStream(stream) => stream.finish(),
            Self::JsonArray(array) => array.finish(),
        }
    }
}
