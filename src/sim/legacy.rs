//! `POST /v1/completions`: the answer of a chat in the shape of before there were chats.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, End, pieces},
    frame::{Frame, bare},
    models::tokens,
    prompt::Ask,
};
use crate::types::Usage;

/// A completion in one piece.
pub(super) fn whole(said: &Answer, ask: &Ask, usage: &Usage, created: u64) -> Value {
    let mut value = chunk(said, ask, created, &said.text, Some(finish(said)));
    value["usage"] = usage_of(usage);
    value
}

/// The same completion in chunks.
pub(super) fn stream(said: &Answer, ask: &Ask, usage: &Usage, created: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut sent = 0;
    for piece in pieces(&said.text) {
        sent += piece.len();
        let bytes = bare(&chunk(said, ask, created, piece, None));
        frames.push(Frame { bytes, output: said.thinking_tokens() + tokens(sent) });
    }
    let output = usage.output;
    frames.push(Frame { bytes: bare(&chunk(said, ask, created, "", Some(finish(said)))), output });
    if ask.include_usage {
        let mut last = chunk(said, ask, created, "", None);
        last["choices"] = json!([]);
        last["usage"] = usage_of(usage);
        frames.push(Frame { bytes: bare(&last), output });
    }
    frames.push(Frame { bytes: Bytes::from_static(b"data: [DONE]\n\n"), output });
    frames
}

fn chunk(said: &Answer, ask: &Ask, created: u64, text: &str, finish: Option<&str>) -> Value {
    json!({
        "id": format!("cmpl-{}", said.id), "object": "text_completion", "created": created,
        "model": ask.model_name,
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}],
    })
}

fn usage_of(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.total_input(), "completion_tokens": usage.output,
        "total_tokens": usage.total_input() + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_read},
    })
}

fn finish(said: &Answer) -> &'static str {
    match said.end {
        End::Done | End::Tools => "stop",
        End::Length => "length",
    }
}
