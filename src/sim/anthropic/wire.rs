//! Writing a message, whole or as a stream of events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::{
    answer::{Answer, End, pieces},
    frame::{Frame, named},
    models::{Maker, tokens},
    refusal::Refusal,
};
use crate::types::Usage;

/// A message in one piece.
pub(in crate::sim) fn whole(answer: &Answer, model: &str, usage: &Usage) -> Value {
    let mut content = Vec::new();
    if !answer.thinking.is_empty() {
        content
            .push(json!({"type": "thinking", "thinking": answer.thinking, "signature": signature(answer)}));
    }
    if !answer.text.is_empty() {
        content.push(json!({"type": "text", "text": answer.text}));
    }
    for call in &answer.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
        content.push(json!({"type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": input}));
    }
    let mut message = message(answer, model, &usage_of(usage, usage.output));
    message["content"] = Value::Array(content);
    message["stop_reason"] = stop_reason(answer).into();
    message
}

/// The same message as events, in the order of the real thing.
pub(in crate::sim) fn stream(answer: &Answer, model: &str, usage: &Usage) -> Vec<Frame> {
    let mut events = Events { frames: Vec::new(), output: 0, index: 0 };
    let first = answer.tokens().min(1);
    events.push(
        "message_start",
        &json!({
            "type": "message_start", "message": message(answer, model, &usage_of(usage, first)),
        }),
    );
    if !answer.thinking.is_empty() {
        events.thinking(answer);
    }
    if !answer.text.is_empty() {
        events.open(&json!({"type": "text", "text": ""}));
        let mut sent = 0;
        for piece in pieces(&answer.text) {
            let before = tokens(sent);
            sent += piece.len();
            events.output += tokens(sent) - before;
            events.delta(&json!({"type": "text_delta", "text": piece}));
        }
        events.close();
    }
    for call in &answer.calls {
        let block = json!({"type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": {}});
        let mut sent = call.name.len();
        events.output += tokens(sent);
        events.open(&block);
        events.delta(&json!({"type": "input_json_delta", "partial_json": ""}));
        for piece in pieces(&call.arguments) {
            let before = tokens(sent);
            sent += piece.len();
            events.output += tokens(sent) - before;
            events.delta(&json!({"type": "input_json_delta", "partial_json": piece}));
        }
        events.close();
    }
    events.output = answer.tokens();
    events.push(
        "message_delta",
        &json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
            "usage": delta_usage(usage, answer.tokens()),
        }),
    );
    events.push("message_stop", &json!({"type": "message_stop"}));
    events.frames
}

/// An error inside a stream.
pub(in crate::sim) fn error_event(refusal: &Refusal) -> Bytes {
    let mut body = refusal.body(Maker::Anthropic, "");
    if let Some(map) = body.as_object_mut() {
        map.remove("request_id");
    }
    named("error", &body)
}

struct Events {
    frames: Vec<Frame>,
    output: u64,
    index: u64,
}

impl Events {
    fn push(&mut self, name: &str, data: &Value) {
        self.frames.push(Frame { bytes: named(name, data), output: self.output });
    }

    fn open(&mut self, block: &Value) {
        let data = json!({"type": "content_block_start", "index": self.index, "content_block": block});
        self.push("content_block_start", &data);
        if self.index == 0 {
            self.push("ping", &json!({"type": "ping"}));
        }
    }

    fn delta(&mut self, delta: &Value) {
        let data = json!({"type": "content_block_delta", "index": self.index, "delta": delta});
        self.push("content_block_delta", &data);
    }

    fn close(&mut self) {
        let data = json!({"type": "content_block_stop", "index": self.index});
        self.push("content_block_stop", &data);
        self.index += 1;
    }

    fn thinking(&mut self, answer: &Answer) {
        self.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        let mut sent = 0;
        for piece in pieces(&answer.thinking) {
            sent += piece.len();
            self.output = tokens(sent);
            self.delta(&json!({"type": "thinking_delta", "thinking": piece}));
        }
        self.delta(&json!({"type": "signature_delta", "signature": signature(answer)}));
        self.close();
    }
}

fn message(answer: &Answer, model: &str, usage: &Value) -> Value {
    json!({
        "id": format!("msg_01{}", answer.id), "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
    })
}

fn usage_of(usage: &Usage, output: u64) -> Value {
    let mut all = delta_usage(usage, output);
    all["cache_creation"] = json!({
        "ephemeral_5m_input_tokens": usage.write_5m, "ephemeral_1h_input_tokens": usage.write_1h,
    });
    all["service_tier"] = "standard".into();
    all
}

/// Cumulative, as `message_delta` repeats it.
fn delta_usage(usage: &Usage, output: u64) -> Value {
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.write_5m + usage.write_1h,
        "cache_read_input_tokens": usage.cached_read,
        "output_tokens": output,
    })
}

fn tool_id(id: &str) -> String {
    format!("toolu_01{id}")
}

pub(in crate::sim) fn signature(answer: &Answer) -> String {
    format!("sim{}", answer.id)
}

pub(in crate::sim) fn stop_reason(answer: &Answer) -> &'static str {
    match answer.end {
        End::Done => "end_turn",
        End::Length => "max_tokens",
        End::Tools => "tool_use",
    }
}
