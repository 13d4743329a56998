//! The OpenAI dialects: Chat Completions and Responses.

mod chat;
mod chat_wire;
mod responses;
mod responses_wire;

pub(super) use chat::ask as chat_ask;
pub(super) use chat_wire::{error_event as chat_error_event, stream as chat_stream, whole as chat_whole};
pub(super) use responses::{Links, ask as responses_ask, input_items};
pub(super) use responses_wire::{
    Shape, error_event as responses_error_event, failed_event as responses_failed_event, output_items,
    stream as responses_stream, whole as responses_whole,
};

use super::{
    cache::Ttl,
    json::Json,
    models::{self, CacheRule, Maker, Model},
    params::Account,
    prompt::{Blocks, hash_of},
    refusal::Refusal,
};

#[cfg(test)]
mod tests;

/// Keys that are not content.
const MARKER: &[&str] = &["prompt_cache_breakpoint"];
/// Writes in one request; with the implicit one it is one more.
const MAX_EXPLICIT: usize = 4;

fn model_of(body: &Json) -> Result<(&'static Model, String), Refusal> {
    if !body.is_map() {
        return Err(Refusal::bad("The request body must be an object."));
    }
    let name = body
        .text_of("model")
        .ok_or_else(|| Refusal::bad("you must provide a model parameter").param("model"))?;
    let model = models::find(name).filter(|model| model.maker == Maker::OpenAi);
    model.map(|model| (model, name.to_owned())).ok_or_else(|| Refusal::no_model(name))
}

/// The cache is the organisation's; a `prompt_cache_key` chooses a machine of it.
fn domain_of(body: &Json, account: &Account, model: &Model) -> u64 {
    let key = body.text_of("prompt_cache_key").unwrap_or("");
    hash_of(&["openai", &account.organization, key, model.id])
}

fn retention_of(body: &Json) -> Option<Ttl> {
    (body.text_of("prompt_cache_retention") == Some("24h")).then_some(Ttl::Day)
}

/// Sets the implicit breakpoint, or refuses what an older model does not know.
fn mark_implicitly(blocks: &mut Blocks, body: &Json, model: &Model) -> Result<(), Refusal> {
    let options = body.get("prompt_cache_options").filter(|options| !options.is_null());
    let explicit = blocks.marks().len();
    match model.cache {
        CacheRule::Written => {}
        CacheRule::Stepped | CacheRule::Marked { .. } if options.is_some() => {
            return Err(Refusal::bad(
                "Unsupported parameter: 'prompt_cache_options' is not supported with this model.",
            )
            .code("unsupported_parameter")
            .param("prompt_cache_options"));
        }
        CacheRule::Stepped | CacheRule::Marked { .. } if explicit > 0 => {
            return Err(Refusal::bad(
                "Unsupported parameter: 'prompt_cache_breakpoint' is not supported with this model.",
            )
            .code("unsupported_parameter")
            .param("prompt_cache_breakpoint"));
        }
        CacheRule::Stepped | CacheRule::Marked { .. } => return Ok(()),
    }
    if options.and_then(|options| options.text_of("mode")) == Some("explicit") {
        blocks.keep_last_marks(MAX_EXPLICIT);
    } else {
        blocks.mark_last(Ttl::HalfHour);
        blocks.keep_last_marks(MAX_EXPLICIT);
    }
    Ok(())
}

/// Pushes a message or item: each content part is a block of its own, the rest another.
fn push(blocks: &mut Blocks, role: &'static str, item: &Json) {
    let parts = item.get("content").and_then(Json::as_list).unwrap_or(&[]);
    if parts.is_empty() {
        blocks.push(role, item.to_bytes(MARKER), breakpoint(item));
        return;
    }
    blocks.push(role, item.to_bytes(&["content"]), None);
    for part in parts {
        blocks.push(role, part.to_bytes(MARKER), breakpoint(part));
    }
}

fn breakpoint(of: &Json) -> Option<Ttl> {
    of.get("prompt_cache_breakpoint").filter(|mark| !mark.is_null()).map(|_| Ttl::HalfHour)
}

/// What `tool_choice` says: (no tool, forced).
fn choice_of(choice: Option<&Json>) -> (bool, Option<Option<String>>) {
    match choice {
        Some(Json::Text(word)) if word == "none" => (true, None),
        Some(Json::Text(word)) if word == "required" => (false, Some(None)),
        Some(map @ Json::Map(_)) => {
            let name = map.text_of("name").or_else(|| map.get("function").and_then(|f| f.text_of("name")));
            (false, name.map(|name| Some(name.to_owned())))
        }
        _ => (false, None),
    }
}

/// Names of the functions on offer, in either shape.
fn tool_names(body: &Json) -> Vec<String> {
    let tools = body.get("tools").and_then(Json::as_list).unwrap_or(&[]);
    let name = |tool: &Json| {
        tool.text_of("name")
            .or_else(|| tool.get("function").and_then(|f| f.text_of("name")))
            .map(str::to_owned)
    };
    tools.iter().filter_map(name).collect()
}
