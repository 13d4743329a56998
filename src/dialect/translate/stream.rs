//! A streamed answer's way down: the provider's events in, the client's out, signals on the side.

use bytes::Bytes;

use super::{
    Asked, Framing,
    frame::{BadFrame, Frame, Frames},
};
use crate::{
    dialect::{
        anthropic, bedrock, gemini,
        neutral::{BlockKind, Event, Maker, Show},
        openai_chat, openai_responses,
        signal::{DeltaKind, Signal, UpstreamFault},
        stream::StreamEnd,
    },
    types::{Dialect, ProviderDialect},
};

/// Reads a provider's events.
pub(super) enum Reader {
    Anthropic(Box<anthropic::AnswerReader>),
    Chat(Box<openai_chat::AnswerReader>),
    Responses(Box<openai_responses::AnswerReader>),
    Gemini(Box<gemini::AnswerReader>),
    Bedrock(Box<bedrock::AnswerReader>),
    /// Anthropic's events, wrapped.
    BedrockClaude(Box<bedrock::ClaudeReader>),
}

impl Reader {
    fn new(from: ProviderDialect, maker: Maker) -> Self {
        match from {
            ProviderDialect::Anthropic => Self::Anthropic(Box::new(anthropic::AnswerReader::new(maker))),
            ProviderDialect::OpenAiChat => Self::Chat(Box::new(openai_chat::AnswerReader::new(maker))),
            ProviderDialect::OpenAiResponses => {
                Self::Responses(Box::new(openai_responses::AnswerReader::new(maker)))
            }
            ProviderDialect::Gemini => Self::Gemini(Box::new(gemini::AnswerReader::new(maker))),
            ProviderDialect::Bedrock => Self::Bedrock(Box::new(bedrock::AnswerReader::new(maker))),
            ProviderDialect::BedrockClaude => {
                Self::BedrockClaude(Box::new(bedrock::ClaudeReader::new(maker)))
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        match self {
            Self::Anthropic(reader) => reader.frame(frame, show),
            Self::Chat(reader) => reader.frame(frame, show),
            Self::Responses(reader) => reader.frame(frame, show),
            Self::Gemini(reader) => reader.frame(frame, show),
            Self::Bedrock(reader) => reader.frame(frame, show),
            Self::BedrockClaude(reader) => reader.frame(frame, show),
        }
    }

    /// The body ended cleanly: what the dialect leaves to be understood is shown now (a Chat stream of
    /// a host that sends no `[DONE]`, Gemini's, which has no terminal event).
    fn end(&mut self, show: Show<'_>) {
        match self {
            Self::Anthropic(reader) => reader.end(show),
            Self::Chat(reader) => reader.end(show),
            Self::Responses(reader) => reader.end(show),
            Self::Gemini(reader) => reader.end(show),
            Self::Bedrock(reader) => reader.end(show),
            Self::BedrockClaude(reader) => reader.end(show),
        }
    }
}

/// Writes a client's events.
enum Writer {
    Anthropic(Box<anthropic::AnswerWriter>),
    Chat(Box<openai_chat::AnswerWriter>),
    Responses(Box<openai_responses::AnswerWriter>),
}

impl Writer {
    fn new(asked: Asked) -> Self {
        match asked.origin {
            Dialect::Anthropic => Self::Anthropic(Box::new(anthropic::AnswerWriter::new(asked))),
            Dialect::OpenAiChat => Self::Chat(Box::new(openai_chat::AnswerWriter::new(asked))),
            Dialect::OpenAiResponses => Self::Responses(Box::new(openai_responses::AnswerWriter::new(asked))),
        }
    }

    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Anthropic(writer) => writer.event(event, out),
            Self::Chat(writer) => writer.event(event, out),
            Self::Responses(writer) => writer.event(event, out),
        }
    }

    /// The provider's event is over: what was held back for the figures in it may go.
    fn settle(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Anthropic(writer) => writer.settle(out),
            Self::Chat(_) | Self::Responses(_) => {}
        }
    }

    const fn last_sequence(&self) -> Option<u64> {
        match self {
            Self::Anthropic(_) | Self::Chat(_) => None,
            Self::Responses(writer) => writer.last_sequence(),
        }
    }
}

/// Translates one streamed answer.
pub struct StreamTranslator {
    frames: Frames,
    reader: Reader,
    joint: Joint,
}

/// Between reader and writer.
struct Joint {
    writer: Writer,
    listener: Listener,
    out: Vec<u8>,
}

impl Joint {
    fn event(&mut self, event: &Event<'_>, see: &mut dyn FnMut(Signal<'_>)) {
        if self.listener.over {
            // Whatever a provider says behind its own end is not for the client.
            return;
        }
        self.listener.hear(event, see);
        self.writer.event(event, &mut self.out);
    }

    fn settle(&mut self) {
        self.writer.settle(&mut self.out);
    }
}

impl StreamTranslator {
    /// A translator of an answer of `maker`'s.
    #[must_use]
    pub fn new(from: ProviderDialect, maker: Maker, framing: Framing, asked: Asked) -> Self {
        Self {
            frames: Frames::new(framing),
            reader: Reader::new(from, maker),
            joint: Joint { writer: Writer::new(asked), listener: Listener::default(), out: Vec::new() },
        }
    }

    /// Takes the next chunk; gives whole events of the client's dialect, maybe none. `see` is shown what
    /// they mean.
    pub fn push(&mut self, chunk: &[u8], see: &mut dyn FnMut(Signal<'_>)) -> Bytes {
        let Self { frames, reader, joint } = self;
        let pushed = frames.push(chunk, &mut |frame| {
            reader.frame(&frame, &mut |event| joint.event(&event, see));
            joint.settle();
        });
        self.broken(pushed, see);
        std::mem::take(&mut self.joint.out).into()
    }

    /// The body ended cleanly.
    pub fn end(&mut self, see: &mut dyn FnMut(Signal<'_>)) -> StreamEnd {
        let Self { frames, reader, joint } = self;
        let finished = frames.finish(&mut |frame| {
            reader.frame(&frame, &mut |event| joint.event(&event, see));
            joint.settle();
        });
        self.broken(finished, see);
        let Self { reader, joint, .. } = self;
        reader.end(&mut |event| joint.event(&event, see));
        StreamEnd { complete: self.is_complete(), held: std::mem::take(&mut self.joint.out).into() }
    }

    /// The stream cannot be read on: an error like one of the provider's own.
    fn broken(&mut self, result: Result<(), BadFrame>, see: &mut dyn FnMut(Signal<'_>)) {
        if let Err(BadFrame(what)) = result {
            let fault = UpstreamFault {
                kind: "api_error".to_owned(),
                message: format!("the provider's stream cannot be read: {what}"),
                ..UpstreamFault::default()
            };
            self.joint.event(&Event::Error(fault), see);
        }
    }

    /// Whether a clean end now would be a complete answer.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.joint.listener.stopped
    }

    /// The last `sequence_number` of a Responses stream.
    #[must_use]
    pub const fn last_sequence(&self) -> Option<u64> {
        self.joint.writer.last_sequence()
    }
}

/// What events mean to the meter and the session.
#[derive(Default)]
pub(super) struct Listener {
    /// What the open blocks are; a provider fills few at a time.
    open: Vec<(u32, DeltaKind)>,
    stopped: bool,
    over: bool,
}

/// Blocks open at a time; more are a hostile provider's, and count as text.
const MOST_OPEN: usize = 256;

impl Listener {
    /// Shows what `event` means.
    pub(super) fn hear(&mut self, event: &Event<'_>, see: &mut dyn FnMut(Signal<'_>)) {
        match event {
            Event::Start { id, model } => {
                if let Some(id) = id {
                    see(Signal::Started { id: id.decode().into_owned() });
                }
                if let Some(model) = model {
                    see(Signal::Model(model.decode().into_owned()));
                }
                see(Signal::Lifecycle);
            }
            Event::Open { block, kind } => self.opened(*block, kind, see),
            Event::Delta { block, text } => {
                let kind = self.open.iter().rev().find(|(number, _)| number == block);
                let kind = kind.map_or(DeltaKind::Text, |(_, kind)| *kind);
                if !text.is_empty() {
                    see(Signal::Delta { kind, raw: text.raw().as_bytes() });
                }
            }
            Event::Close { block } => self.open.retain(|(number, _)| number != block),
            Event::Sealed { .. } | Event::Citation { .. } | Event::Ping => see(Signal::Lifecycle),
            Event::Usage(usage) => see(Signal::Usage(*usage)),
            Event::Tier(tier) => see(Signal::Tier(tier.decode().into_owned())),
            Event::Stop(stop) => {
                self.stopped = true;
                see(Signal::Stop(stop.reason.kind()));
            }
            Event::End => {
                self.stopped = true;
                self.over = true;
                see(Signal::Terminal);
            }
            Event::Error(fault) => {
                self.over = true;
                self.stopped = false;
                see(Signal::Error(fault.clone()));
            }
        }
    }

    fn opened(&mut self, block: u32, kind: &BlockKind<'_>, see: &mut dyn FnMut(Signal<'_>)) {
        let means = match kind {
            BlockKind::Text | BlockKind::Refusal => DeltaKind::Text,
            BlockKind::Thinking => DeltaKind::Thinking,
            BlockKind::ToolCall { id, .. } => {
                see(Signal::ToolCall { id: id.decode().into_owned() });
                DeltaKind::ToolArguments
            }
        };
        if self.open.len() < MOST_OPEN {
            self.open.push((block, means));
        }
    }

    /// The answer has ended as it should.
    pub(super) const fn is_complete(&self) -> bool {
        self.stopped
    }
}
