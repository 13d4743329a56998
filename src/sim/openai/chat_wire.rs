//! Writing a chat completion, whole or in chunks.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::{
    answer::{Answer, Call, End, pieces},
    frame::{Frame, bare},
    models::{CacheRule, Maker, Model, tokens},
    refusal::Refusal,
};
use crate::types::Usage;

/// A completion in one piece. Thought costs tokens and is not shown.
pub(in crate::sim) fn whole(
    answer: &Answer,
    model: &Model,
    name: &str,
    usage: &Usage,
    created: u64,
) -> Value {
    let mut message =
        json!({"role": "assistant", "content": answer.text, "refusal": null, "annotations": []});
    if !answer.calls.is_empty() {
        message["content"] = Value::Null;
        message["tool_calls"] = answer.calls.iter().map(tool_call).collect();
    }
    json!({
        "id": format!("chatcmpl-{}", answer.id), "object": "chat.completion", "created": created, "model": name,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(answer)}],
        "usage": usage_of(model, usage), "service_tier": "default", "system_fingerprint": "fp_sim",
    })
}

/// The same completion in chunks; the last one carries usage only when that was asked for.
pub(in crate::sim) fn stream(
    answer: &Answer,
    model: &Model,
    name: &str,
    usage: &Usage,
    created: u64,
    include_usage: bool,
) -> Vec<Frame> {
    let mut head = json!({
        "id": format!("chatcmpl-{}", answer.id), "object": "chat.completion.chunk", "created": created,
        "model": name, "service_tier": "default", "system_fingerprint": "fp_sim",
    });
    if include_usage {
        head["usage"] = Value::Null;
    }
    let mut chunks = Chunks { head, frames: Vec::new(), output: 0 };
    chunks.delta(&json!({"role": "assistant", "content": "", "refusal": null}), None);
    // Thought is silent: it is on the bill by the time the first visible chunk comes.
    chunks.output = answer.thinking_tokens();
    let mut sent = 0;
    for piece in pieces(&answer.text) {
        let before = tokens(sent);
        sent += piece.len();
        chunks.output += tokens(sent) - before;
        chunks.delta(&json!({"content": piece}), None);
    }
    for (n, call) in answer.calls.iter().enumerate() {
        chunks.call(n, call);
    }
    chunks.output = answer.tokens();
    chunks.delta(&json!({}), Some(finish_reason(answer)));
    if include_usage {
        let mut last = chunks.head.clone();
        last["choices"] = json!([]);
        last["usage"] = usage_of(model, usage);
        chunks.push(bare(&last));
    }
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    chunks.frames
}

/// An error inside a stream.
pub(in crate::sim) fn error_event(refusal: &Refusal) -> Bytes {
    bare(&refusal.body(Maker::OpenAi, ""))
}

struct Chunks {
    head: Value,
    frames: Vec<Frame>,
    output: u64,
}

impl Chunks {
    fn push(&mut self, bytes: Bytes) {
        self.frames.push(Frame { bytes, output: self.output });
    }

    fn delta(&mut self, delta: &Value, finish: Option<&str>) {
        let mut chunk = self.head.clone();
        chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        self.push(bare(&chunk));
    }

    fn call(&mut self, n: usize, call: &Call) {
        let mut opening = tool_call(call);
        opening["index"] = n.into();
        opening["function"]["arguments"] = "".into();
        let mut sent = call.name.len();
        self.output += tokens(sent);
        self.delta(&json!({"tool_calls": [opening]}), None);
        for piece in pieces(&call.arguments) {
            let before = tokens(sent);
            sent += piece.len();
            self.output += tokens(sent) - before;
            self.delta(&json!({"tool_calls": [{"index": n, "function": {"arguments": piece}}]}), None);
        }
    }
}

fn tool_call(call: &Call) -> Value {
    json!({
        "id": format!("call_{}", call.id), "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    })
}

fn usage_of(model: &Model, usage: &Usage) -> Value {
    let mut details = json!({"cached_tokens": usage.cached_read, "audio_tokens": 0});
    if model.cache == CacheRule::Written {
        details["cache_write_tokens"] = usage.write_5m.into();
    }
    json!({
        "prompt_tokens": usage.total_input(), "completion_tokens": usage.output,
        "total_tokens": usage.total_input() + usage.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn finish_reason(answer: &Answer) -> &'static str {
    match answer.end {
        End::Done => "stop",
        End::Length => "length",
        End::Tools => "tool_calls",
    }
}
