//! Writing an answer, whole or in chunks.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    super::{
        answer::{Answer, Call, End, pieces},
        frame::Frame,
        json::Json,
        models::tokens,
        refusal::Refusal,
    },
    signature,
};
use crate::types::Usage;

/// How an answer is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim) struct Manner {
    /// `alt=sse`; else a stream is a JSON array that grows.
    pub(in crate::sim) sse: bool,
    /// Thoughts are shown.
    pub(in crate::sim) thoughts: bool,
    /// Calls have ids and signatures.
    pub(in crate::sim) signs: bool,
}

/// An answer in one piece.
pub(in crate::sim) fn whole(answer: &Answer, name: &str, usage: &Usage, manner: Manner) -> Value {
    let mut parts = Vec::new();
    if manner.thoughts && !answer.thinking.is_empty() {
        parts.push(json!({"text": answer.thinking, "thought": true}));
    }
    if !answer.text.is_empty() {
        parts.push(json!({"text": answer.text}));
    }
    parts.extend(answer.calls.iter().enumerate().map(|(n, call)| function_call(n, call, manner)));
    let thought = answer.thinking_tokens();
    let mut whole =
        chunk(answer, name, Value::from(parts), &usage_of(usage, usage.output - thought, thought));
    whole["candidates"][0]["finishReason"] = finish_reason(answer).into();
    whole
}

/// The same in chunks. Each has the usage so far, and the last one has the finish reason; nothing says
/// that it is the last.
pub(in crate::sim) fn stream(answer: &Answer, name: &str, usage: &Usage, manner: Manner) -> Vec<Frame> {
    let mut chunks: Vec<(Value, u64)> = Vec::new();
    let thought = answer.thinking_tokens();
    let mut said = 0;
    let mut sent = 0;
    if manner.thoughts {
        for piece in pieces(&answer.thinking) {
            let before = tokens(sent);
            sent += piece.len();
            let now = tokens(sent);
            said += now - before;
            let parts = json!([{"text": piece, "thought": true}]);
            chunks.push((chunk(answer, name, parts, &usage_of(usage, 0, now)), said));
        }
    }
    said = thought;
    sent = 0;
    for piece in pieces(&answer.text) {
        let before = tokens(sent);
        sent += piece.len();
        said += tokens(sent) - before;
        let usage = usage_of(usage, said - thought, thought);
        chunks.push((chunk(answer, name, json!([{"text": piece}]), &usage), said));
    }
    for (n, call) in answer.calls.iter().enumerate() {
        said += call.tokens();
        let usage = usage_of(usage, said - thought, thought);
        chunks.push((chunk(answer, name, json!([function_call(n, call, manner)]), &usage), said));
    }
    let last = usage_of(usage, usage.output - thought, thought);
    let mut last = chunk(answer, name, json!([{"text": ""}]), &last);
    last["candidates"][0]["finishReason"] = finish_reason(answer).into();
    chunks.push((last, usage.output));
    let count = chunks.len();
    let frame = |(n, (value, output)): (usize, (Value, u64))| {
        let bytes = if manner.sse {
            sse(&value)
        } else {
            let open = if n == 0 { "[" } else { ",\r\n" };
            let close = if n + 1 == count { "]" } else { "" };
            Bytes::from(format!("{open}{value:#}{close}"))
        };
        Frame { bytes, output }
    };
    chunks.into_iter().enumerate().map(frame).collect()
}

/// Google ends its lines with both characters.
fn sse(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\r\n\r\n"))
}

/// An error inside a stream, at whose place so many events were.
pub(in crate::sim) fn error_event(refusal: &Refusal, manner: Manner, events: u64) -> Bytes {
    let body = error_body(refusal);
    if manner.sse {
        return sse(&body);
    }
    Bytes::from(format!("{}{body}]", if events == 0 { "[" } else { ",\r\n" }))
}

/// An error's body. How long to wait is said in it, and in no header.
pub(in crate::sim) fn error_body(refusal: &Refusal) -> Value {
    let status = refusal.google_status();
    let word = match status {
        400 if refusal.code == Some("billing_not_active") => "FAILED_PRECONDITION",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let mut details = Vec::new();
    if refusal.code == Some("invalid_api_key") {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
            "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"},
        }));
    }
    if let Some(wait) = refusal.wait() {
        let delay = format!("{}s", wait.as_secs_f64());
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    let mut error = json!({"code": status, "message": refusal.message, "status": word});
    if !details.is_empty() {
        error["details"] = details.into();
    }
    json!({"error": error})
}

fn chunk(answer: &Answer, name: &str, parts: Value, usage: &Value) -> Value {
    json!({
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "usageMetadata": usage, "modelVersion": name, "responseId": answer.id,
    })
}

fn function_call(n: usize, call: &Call, manner: Manner) -> Value {
    let arguments = Json::parse(call.arguments.as_bytes()).unwrap_or(Json::Map(Vec::new()));
    let mut part = json!({"functionCall": {"name": call.name, "args": arguments.to_value()}});
    if manner.signs {
        part["functionCall"]["id"] = call.id.as_str().into();
    }
    // Of several calls at once only the first is signed.
    if manner.signs && n == 0 {
        // The signature is of what goes out: the order of keys is not ours to choose.
        let sent = Json::parse(part["functionCall"]["args"].to_string().as_bytes());
        part["thoughtSignature"] = signature::of(&call.name, &sent.unwrap_or(arguments)).into();
    }
    part
}

fn usage_of(usage: &Usage, said: u64, thought: u64) -> Value {
    let mut of = json!({
        "promptTokenCount": usage.total_input(), "totalTokenCount": usage.total_input() + said + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.total_input()}],
    });
    for (name, count) in [
        ("candidatesTokenCount", said),
        ("cachedContentTokenCount", usage.cached_read),
        ("thoughtsTokenCount", thought),
    ] {
        // What is nothing is left out, as protobuf does.
        if count > 0 {
            of[name] = count.into();
        }
    }
    of
}

/// A turn that ends in calls ends like any other.
fn finish_reason(answer: &Answer) -> &'static str {
    match answer.end {
        End::Done | End::Tools => "STOP",
        End::Length => "MAX_TOKENS",
    }
}
