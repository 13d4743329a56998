//! Writing a request from the neutral form.
//!
//! The members are those that google-genai 3.4.0 sends to both Google AI and Vertex. Schemas go as they
//! came: `parametersJsonSchema` and `responseJsonSchema` take JSON schema (that release documents both;
//! what a model does not support of it is passed over there), where the older `parameters` wants a
//! dialect of its own and answers 400 to `$ref`, `additionalProperties` and the like.

mod config;
mod contents;
mod tools;

#[cfg(test)]
mod tests;

use crate::{
    dialect::{
        neutral::{Escaped, Losses, Request, Weight, Writer},
        translate::Target,
    },
    types::Dialect,
};

/// Writes a request's body.
pub(in crate::dialect) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    let model = Model::of(target.model);
    let conversation = contents::Conversation::of(request, target, model, losses);
    let mut out = Vec::with_capacity(conversation.size() + tools::size(request) + 1_024);
    Writer::new(&mut out).object(|w| {
        conversation.write_system(w);
        tools::write(w, request, losses);
        conversation.write_contents(w);
        config::write(w, request, model, losses);
    });
    note_hints(request, losses);
    out
}

/// What a model's name tells of what it understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Model {
    /// Before Gemini 3: thinks by a budget of tokens and not by levels, demands no thought signatures,
    /// and takes no media inside a tool's result.
    pub before_3: bool,
    /// Cannot go without thinking.
    pub always_thinks: bool,
    pub lite: bool,
}

impl Model {
    pub(super) fn of(name: &str) -> Self {
        let version = name.split("gemini-").nth(1).and_then(|rest| rest.bytes().next());
        Self {
            before_3: matches!(version, Some(b'1' | b'2')),
            always_thinks: name.contains("-pro"),
            lite: name.contains("-lite"),
        }
    }
}

/// Members that have no place there, and without which the answer is the same.
fn note_hints(request: &Request<'_>, losses: &mut Losses) {
    let anthropic = request.origin == Dialect::Anthropic;
    let mut hint = |field: &'static str, why: &'static str| losses.add(field, Weight::Hint, why);
    if request.has_marks() {
        let field = if anthropic { "cache_control" } else { "prompt_cache_breakpoint" };
        hint(field, "has no place there: Gemini caches by itself");
    }
    if request.cache.key.is_some() {
        hint("prompt_cache_key", "has no place there: Gemini caches by itself");
    }
    if request.cache.long {
        hint("prompt_cache_retention", "has no place there: Gemini caches by itself");
    }
    if request.user.is_some() {
        hint(if anthropic { "metadata.user_id" } else { "user" }, "is not known to Gemini");
    }
    if request.verbosity.as_ref().is_some_and(|verbosity| verbosity.raw() != "medium") {
        let field = if request.origin == Dialect::OpenAiResponses { "text.verbosity" } else { "verbosity" };
        hint(field, "is not known to Gemini");
    }
    if let Some(tier) = &request.tier
        && tier_of(tier).is_none()
    {
        hint("service_tier", "is not known to Gemini");
    }
}

/// Google's name of a tier: `Some("")` is the usual one, which needs no word.
fn tier_of(tier: &Escaped<'_>) -> Option<&'static str> {
    match tier.raw() {
        "auto" | "default" | "standard" | "standard_only" => Some(""),
        "flex" => Some("flex"),
        "priority" => Some("priority"),
        _ => None,
    }
}
