//! Writing a request from the neutral form.
//!
//! Chat is what most hosts speak, and each a little less of it than OpenAI: whatever is not common to
//! all stands behind one of the target's quirks. Sources: openai 3.54.0, `types/chat/`; the hosts' own
//! documents for what the quirks name.

mod messages;
mod parts;
mod settings;
#[cfg(test)]
mod tests;
mod tools;

use crate::{
    dialect::{
        neutral::{Content, Losses, Part, Request, Source, ToolKind, Weight, Writer},
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
    let mut out = Vec::with_capacity(size(request));
    let mut losses = Lost { origin: request.origin, losses };
    Writer::new(&mut out).object(|w| {
        w.key("model").text(target.model);
        w.key("messages");
        messages::write(w, request, target, &mut losses);
        tools::write(w, request, target, &mut losses);
        settings::write(w, request, target, &mut losses);
    });
    out
}

/// About as long as the body will be, so that it need not grow.
fn size(request: &Request<'_>) -> usize {
    /// What stands around a part or a tool.
    const AROUND: usize = 96;
    fn of(part: &Part<'_>) -> usize {
        let inside = match &part.content {
            Content::Text(text) | Content::Refusal(text) | Content::Thinking { text, .. } => text.raw().len(),
            Content::Media(media) => match &media.source {
                Source::Base64 { data, .. } => data.raw().len(),
                Source::Text(text) | Source::Url(text) | Source::File(text) => text.raw().len(),
            },
            // Quotes within are escaped on the way.
            Content::ToolCall { arguments, .. } => arguments.as_str().len() * 9 / 8,
            Content::ToolResult { parts, .. } => parts.iter().map(of).sum(),
        };
        inside + AROUND
    }
    let tools: usize = request
        .tools
        .iter()
        .map(|tool| {
            let schema = match &tool.kind {
                ToolKind::Function(Some(schema)) => schema.as_str().len(),
                ToolKind::Function(None) | ToolKind::Custom(_) | ToolKind::Hosted { .. } => 0,
            };
            schema + tool.description.as_ref().map_or(0, |text| text.raw().len()) + AROUND
        })
        .sum();
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    request.system.iter().chain(parts).map(of).sum::<usize>() + tools + 1_024
}

/// Losses, in the words of whoever wrote the request.
struct Lost<'l> {
    origin: Dialect,
    losses: &'l mut Losses,
}

/// Members that each dialect calls something else.
#[derive(Clone, Copy)]
enum Member {
    Parallel,
    Effort,
    Summary,
    User,
    Format,
    Verbosity,
    Stop,
    CacheMarks,
    CacheKey,
    CacheTime,
}

impl Lost<'_> {
    const fn name(&self, member: Member) -> &'static str {
        let [anthropic, chat, responses] = match member {
            Member::Parallel => {
                ["tool_choice.disable_parallel_tool_use", "parallel_tool_calls", "parallel_tool_calls"]
            }
            Member::Effort => ["thinking", "reasoning_effort", "reasoning.effort"],
            Member::Summary => ["thinking.display", "reasoning.summary", "reasoning.summary"],
            Member::User => ["metadata.user_id", "safety_identifier", "safety_identifier"],
            Member::Format => ["output_config.format", "response_format", "text.format"],
            Member::Verbosity => ["verbosity", "verbosity", "text.verbosity"],
            Member::Stop => ["stop_sequences", "stop", "stop"],
            Member::CacheMarks => ["cache_control", "cache_control", "prompt_cache_breakpoint"],
            Member::CacheKey => ["prompt_cache_key", "prompt_cache_key", "prompt_cache_key"],
            Member::CacheTime => ["cache_control.ttl", "prompt_cache_retention", "prompt_cache_retention"],
        };
        match self.origin {
            Dialect::Anthropic => anthropic,
            Dialect::OpenAiChat => chat,
            Dialect::OpenAiResponses => responses,
        }
    }

    fn hint(&mut self, member: Member, why: &'static str) {
        self.losses.add(self.name(member), Weight::Hint, why);
    }

    fn meaning(&mut self, member: Member, why: &'static str) {
        self.losses.add(self.name(member), Weight::Meaning, why);
    }

    /// What a part loses as a whole.
    fn part(&mut self, part: &Part<'_>, why: &'static str) {
        let field = part.at.path(self.origin);
        self.losses.add(field, Weight::Meaning, why);
    }
}
