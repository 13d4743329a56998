//! An answer that is no stream, on its way down.

use bytes::Bytes;

use super::{Asked, stream::Listener};
use crate::{
    dialect::{
        anthropic, bedrock, gemini,
        neutral::{Answer, Collector, Maker, Malformed, Show},
        openai_chat, openai_responses,
        signal::Signal,
    },
    types::{Dialect, ProviderDialect},
};

/// Writes a whole answer of `maker`'s in the client's words. `see` is shown what it means. `None`: it
/// cannot be read, or broke off; an error that it holds in place of an answer has been shown.
pub fn translate_answer(
    from: ProviderDialect,
    maker: Maker,
    asked: &Asked,
    body: &[u8],
    see: &mut dyn FnMut(Signal<'_>),
) -> Option<Bytes> {
    let mut listener = Listener::default();
    let mut collector = Collector::default();
    let read = read(from, maker, body, &mut |event| {
        listener.hear(&event, see);
        collector.event(event);
    });
    let answer = collector.finish();
    if read.is_err() || !listener.is_complete() || answer.error.is_some() {
        return None;
    }
    Some(write(&answer, asked).into())
}

fn read(from: ProviderDialect, maker: Maker, body: &[u8], show: Show<'_>) -> Result<(), Malformed> {
    match from {
        ProviderDialect::Anthropic | ProviderDialect::BedrockClaude => {
            anthropic::read_answer(body, maker, show)
        }
        ProviderDialect::OpenAiChat => openai_chat::read_answer(body, maker, show),
        ProviderDialect::OpenAiResponses => openai_responses::read_answer(body, maker, show),
        ProviderDialect::Gemini => gemini::read_answer(body, maker, show),
        ProviderDialect::Bedrock => bedrock::read_answer(body, maker, show),
    }
}

fn write(answer: &Answer, asked: &Asked) -> Vec<u8> {
    match asked.origin {
        Dialect::Anthropic => anthropic::write_answer(answer, asked),
        Dialect::OpenAiChat => openai_chat::write_answer(answer, asked),
        Dialect::OpenAiResponses => openai_responses::write_answer(answer, asked),
    }
}
