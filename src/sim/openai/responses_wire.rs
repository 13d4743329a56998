//! Writing a response object, whole or as its sequence of events.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::{
    answer::{Answer, Call, End, pieces},
    frame::{Frame, named},
    json::Json,
    models::{CacheRule, Maker, Model, tokens},
    refusal::Refusal,
};
use crate::types::Usage;

/// What an answer repeats of its request.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Shape {
    pub(in crate::sim) model: &'static Model,
    pub(in crate::sim) name: String,
    pub(in crate::sim) created: u64,
    /// The request, as far as it is given back.
    echo: Value,
    /// `include` asks for encrypted reasoning.
    encrypted: bool,
}

impl Shape {
    pub(in crate::sim) fn of(body: &Json, model: &'static Model, name: &str, created: u64) -> Self {
        let mut echo = json!({});
        let defaults = [
            ("instructions", Value::Null),
            ("metadata", json!({})),
            ("parallel_tool_calls", true.into()),
            ("temperature", json!(1.0)),
            ("tool_choice", "auto".into()),
            ("tools", json!([])),
            ("top_p", json!(1.0)),
            ("max_output_tokens", Value::Null),
            ("previous_response_id", Value::Null),
            ("reasoning", json!({"effort": null, "summary": null})),
            ("store", true.into()),
            ("background", false.into()),
            ("truncation", "disabled".into()),
            ("text", json!({"format": {"type": "text"}})),
        ];
        for (key, default) in defaults {
            echo[key] = body.get(key).filter(|value| !value.is_null()).map_or(default, Json::to_value);
        }
        let include = body.get("include").and_then(Json::as_list).unwrap_or(&[]);
        let encrypted = include.iter().any(|item| item.as_text() == Some("reasoning.encrypted_content"));
        Self { model, name: name.to_owned(), created, echo, encrypted }
    }

    /// The object with this status, output and usage.
    pub(in crate::sim) fn object(
        &self,
        id: &str,
        status: &str,
        output: &Value,
        usage: Option<&Usage>,
    ) -> Value {
        let mut object = self.echo.clone();
        object["id"] = format!("resp_{id}").into();
        object["object"] = "response".into();
        object["created_at"] = self.created.into();
        object["status"] = status.into();
        object["error"] = Value::Null;
        object["incomplete_details"] = match status {
            "incomplete" => json!({"reason": "max_output_tokens"}),
            _ => Value::Null,
        };
        object["model"] = self.name.clone().into();
        object["output"] = output.clone();
        object["usage"] = usage.map_or(Value::Null, |usage| usage_of(self.model, usage));
        object
    }
}

/// The items of an answer.
pub(in crate::sim) fn output_items(answer: &Answer, shape: &Shape) -> Vec<Value> {
    let mut items = Vec::new();
    if !answer.thinking.is_empty() {
        items.push(reasoning(answer, shape, true));
    }
    if !answer.text.is_empty() {
        items.push(message(answer, "completed", &json!([text_part(&answer.text)])));
    }
    items.extend(answer.calls.iter().map(|call| function_call(call, "completed", &call.arguments)));
    items
}

/// A response in one piece.
pub(in crate::sim) fn whole(answer: &Answer, shape: &Shape, usage: &Usage) -> Value {
    let output = Value::Array(output_items(answer, shape));
    shape.object(&answer.id, status_of(answer), &output, Some(usage))
}

/// The same response as events.
pub(in crate::sim) fn stream(answer: &Answer, shape: &Shape, usage: &Usage) -> Vec<Frame> {
    let mut events = Events { frames: Vec::new(), output: 0, sequence: 0, index: 0 };
    let begun = shape.object(&answer.id, "in_progress", &json!([]), None);
    events.push("response.created", json!({"response": begun}));
    events.push("response.in_progress", json!({"response": begun}));
    if !answer.thinking.is_empty() {
        events.item("response.output_item.added", &reasoning(answer, shape, false));
        events.output = answer.thinking_tokens();
        events.item("response.output_item.done", &reasoning(answer, shape, true));
        events.index += 1;
    }
    if !answer.text.is_empty() {
        events.text(answer);
    }
    for call in &answer.calls {
        events.call(call);
    }
    events.output = answer.tokens();
    let name = if answer.end == End::Length { "response.incomplete" } else { "response.completed" };
    events.push(name, json!({"response": whole(answer, shape, usage)}));
    events.frames
}

/// An `error` event.
pub(in crate::sim) fn error_event(refusal: &Refusal, sequence: u64) -> Bytes {
    let body = refusal.body(Maker::OpenAi, "");
    let error = &body["error"];
    let code = refusal.code.unwrap_or("server_error");
    named(
        "error",
        &json!({
            "type": "error", "code": code, "message": error["message"], "param": null, "sequence_number": sequence,
        }),
    )
}

/// A `response.failed` event: how a response ends that had begun.
pub(in crate::sim) fn failed_event(id: &str, shape: &Shape, refusal: &Refusal, sequence: u64) -> Bytes {
    let mut object = shape.object(id, "failed", &json!([]), None);
    object["error"] = json!({"code": refusal.code.unwrap_or("server_error"), "message": refusal.message});
    named(
        "response.failed",
        &json!({
            "type": "response.failed", "sequence_number": sequence, "response": object,
        }),
    )
}

struct Events {
    frames: Vec<Frame>,
    output: u64,
    sequence: u64,
    index: u64,
}

impl Events {
    fn push(&mut self, name: &str, mut data: Value) {
        data["type"] = name.into();
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        self.frames.push(Frame { bytes: named(name, &data), output: self.output });
    }

    fn item(&mut self, name: &str, item: &Value) {
        self.push(name, json!({"output_index": self.index, "item": item}));
    }

    fn text(&mut self, answer: &Answer) {
        let id = message_id(answer);
        let place = json!({"item_id": id, "output_index": self.index, "content_index": 0});
        let with = |more: Value| {
            let mut data = place.clone();
            if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
                data.extend(more);
            }
            data
        };
        self.item("response.output_item.added", &message(answer, "in_progress", &json!([])));
        self.push("response.content_part.added", with(json!({"part": text_part("")})));
        let mut sent = 0;
        for piece in pieces(&answer.text) {
            let before = tokens(sent);
            sent += piece.len();
            self.output += tokens(sent) - before;
            self.push("response.output_text.delta", with(json!({"delta": piece, "logprobs": []})));
        }
        self.push("response.output_text.done", with(json!({"text": answer.text, "logprobs": []})));
        self.push("response.content_part.done", with(json!({"part": text_part(&answer.text)})));
        let done = message(answer, "completed", &json!([text_part(&answer.text)]));
        self.item("response.output_item.done", &done);
        self.index += 1;
    }

    fn call(&mut self, call: &Call) {
        let item_id = item_id(call);
        let mut sent = call.name.len();
        self.output += tokens(sent);
        self.item("response.output_item.added", &function_call(call, "in_progress", ""));
        for piece in pieces(&call.arguments) {
            let before = tokens(sent);
            sent += piece.len();
            self.output += tokens(sent) - before;
            let data = json!({"item_id": item_id, "output_index": self.index, "delta": piece});
            self.push("response.function_call_arguments.delta", data);
        }
        let data = json!({
            "item_id": item_id, "output_index": self.index, "name": call.name, "arguments": call.arguments,
        });
        self.push("response.function_call_arguments.done", data);
        self.item("response.output_item.done", &function_call(call, "completed", &call.arguments));
        self.index += 1;
    }
}

fn message(answer: &Answer, status: &str, content: &Value) -> Value {
    json!({
        "id": message_id(answer), "type": "message", "status": status, "role": "assistant", "content": content,
    })
}

fn message_id(answer: &Answer) -> String {
    format!("msg_{}", answer.id)
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn function_call(call: &Call, status: &str, arguments: &str) -> Value {
    json!({
        "id": item_id(call), "type": "function_call", "status": status, "call_id": format!("call_{}", call.id),
        "name": call.name, "arguments": arguments,
    })
}

fn item_id(call: &Call) -> String {
    format!("fc_{}", call.id)
}

fn reasoning(answer: &Answer, shape: &Shape, done: bool) -> Value {
    let mut item = json!({"id": format!("rs_{}", answer.id), "type": "reasoning", "summary": []});
    if done && shape.encrypted {
        item["encrypted_content"] = format!("gAAAAsim{}", answer.id).into();
    }
    item
}

fn status_of(answer: &Answer) -> &'static str {
    if answer.end == End::Length { "incomplete" } else { "completed" }
}

fn usage_of(model: &Model, usage: &Usage) -> Value {
    let mut details = json!({"cached_tokens": usage.cached_read});
    if model.cache == CacheRule::Written {
        details["cache_write_tokens"] = usage.write_5m.into();
    }
    json!({
        "input_tokens": usage.total_input(), "input_tokens_details": details,
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_input() + usage.output,
    })
}
