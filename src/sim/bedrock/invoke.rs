//! Claude through `InvokeModel`: Anthropic's bodies, in AWS's wrapping.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::{
        answer::Answer,
        anthropic::{self, Ground},
        frame::Frame,
        json::Json,
        prompt::Ask,
        refusal::Refusal,
    },
    ask::domain,
    frames, model_of,
};
use crate::types::Usage;

/// Reads a request, or says what is wrong with it.
pub(in crate::sim) fn ask(id: &str, body: &Json, ground: Ground<'_>, stream: bool) -> Result<Ask, Refusal> {
    let model = model_of(id)?;
    check(body)?;
    anthropic::ask_of(body, (model, id.to_owned()), domain(ground, model), stream, ground)
}

/// What this integration wants, and what it does not take.
pub(super) fn check(body: &Json) -> Result<(), Refusal> {
    if body.text_of("anthropic_version") != Some("bedrock-2023-05-31") {
        return Err(Refusal::bad("anthropic_version: Field required"));
    }
    for name in ["model", "stream", "cache_control"] {
        if body.get(name).is_some() {
            return Err(Refusal::bad(format!("{name}: Extra inputs are not permitted")));
        }
    }
    Ok(())
}

/// Anthropic's events, each in a chunk; the last one has AWS's own count in it.
pub(in crate::sim) fn stream(answer: &Answer, model: &str, usage: &Usage) -> Vec<Frame> {
    let frames = anthropic::stream(answer, model, usage);
    frames
        .into_iter()
        .filter_map(|frame| {
            let text = std::str::from_utf8(&frame.bytes).ok()?;
            let data = text.lines().find_map(|line| line.strip_prefix("data: "))?;
            let mut data: Value = serde_json::from_str(data).ok()?;
            if data["type"] == "ping" {
                return None; // None come here (providers, 3).
            }
            if data["type"] == "message_stop" {
                data["amazon-bedrock-invocationMetrics"] = json!({
                    "inputTokenCount": usage.input, "outputTokenCount": usage.output,
                    "cacheReadInputTokenCount": usage.cached_read,
                    "cacheWriteInputTokenCount": usage.write_5m + usage.write_1h,
                    "invocationLatency": 1, "firstByteLatency": 1,
                });
            }
            let chunk = json!({"bytes": STANDARD.encode(data.to_string())});
            Some(Frame { bytes: frames::event("chunk", &chunk), output: frame.output })
        })
        .collect()
}
