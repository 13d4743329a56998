//! Writing an answer of `Converse`, whole or as a stream of frames.

use serde_json::{Value, json};

use super::{
    super::{
        answer::{Answer, pieces},
        anthropic::{signature, stop_reason},
        frame::Frame,
        models::tokens,
    },
    frames::event,
};
use crate::types::Usage;

/// An answer in one piece.
pub(in crate::sim) fn whole(answer: &Answer, usage: &Usage) -> Value {
    let mut content = Vec::new();
    if !answer.thinking.is_empty() {
        let text = json!({"text": answer.thinking, "signature": signature(answer)});
        content.push(json!({"reasoningContent": {"reasoningText": text}}));
    }
    if !answer.text.is_empty() {
        content.push(json!({"text": answer.text}));
    }
    for call in &answer.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
        let call = json!({"toolUseId": tool_id(&call.id), "name": call.name, "input": input});
        content.push(json!({"toolUse": call}));
    }
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason(answer), "usage": usage_of(usage), "metrics": {"latencyMs": 1},
    })
}

/// The same answer as events, in the order of the real thing: text and thinking begin without a word.
pub(in crate::sim) fn stream(answer: &Answer, usage: &Usage) -> Vec<Frame> {
    let mut events = Events { frames: Vec::new(), output: 0, index: 0 };
    events.push("messageStart", &json!({"role": "assistant"}));
    if !answer.thinking.is_empty() {
        events.pieces(&answer.thinking, 0, |piece| json!({"reasoningContent": {"text": piece}}));
        events.delta(&json!({"reasoningContent": {"signature": signature(answer)}}));
        events.close();
    }
    if !answer.text.is_empty() {
        events.pieces(&answer.text, 0, |piece| json!({"text": piece}));
        events.close();
    }
    for call in &answer.calls {
        events.output += tokens(call.name.len());
        let start = json!({"toolUse": {"toolUseId": tool_id(&call.id), "name": call.name}});
        let index = events.index;
        events.push("contentBlockStart", &json!({"contentBlockIndex": index, "start": start}));
        events.pieces(&call.arguments, call.name.len(), |piece| json!({"toolUse": {"input": piece}}));
        events.close();
    }
    events.output = answer.tokens();
    events.push("messageStop", &json!({"stopReason": stop_reason(answer)}));
    events.push("metadata", &json!({"usage": usage_of(usage), "metrics": {"latencyMs": 1}}));
    events.frames
}

struct Events {
    frames: Vec<Frame>,
    output: u64,
    index: u64,
}

impl Events {
    fn push(&mut self, kind: &str, payload: &Value) {
        self.frames.push(Frame { bytes: event(kind, payload), output: self.output });
    }

    fn delta(&mut self, delta: &Value) {
        let payload = json!({"contentBlockIndex": self.index, "delta": delta});
        self.push("contentBlockDelta", &payload);
    }

    /// A text piece by piece, of which `sent` bytes are counted already.
    fn pieces(&mut self, text: &str, mut sent: usize, delta: impl Fn(&str) -> Value) {
        for piece in pieces(text) {
            let before = tokens(sent);
            sent += piece.len();
            self.output += tokens(sent) - before;
            self.delta(&delta(piece));
        }
    }

    fn close(&mut self) {
        let payload = json!({"contentBlockIndex": self.index});
        self.push("contentBlockStop", &payload);
        self.index += 1;
    }
}

fn usage_of(usage: &Usage) -> Value {
    let mut details = Vec::new();
    for (ttl, tokens) in [("1h", usage.write_1h), ("5m", usage.write_5m)] {
        if tokens > 0 {
            details.push(json!({"ttl": ttl, "inputTokens": tokens}));
        }
    }
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output,
        "totalTokens": usage.total_input() + usage.output,
        "cacheReadInputTokens": usage.cached_read,
        "cacheWriteInputTokens": usage.write_5m + usage.write_1h,
        "cacheDetails": details,
    })
}

fn tool_id(id: &str) -> String {
    format!("tooluse_{id}")
}
