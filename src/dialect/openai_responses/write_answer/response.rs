//! The response object.

use super::item::{Item, Kind};
use crate::{
    dialect::{
        answer::MAX_DEPTH,
        json::{Kind as JsonKind, Walker},
        neutral::{Escaped, Json, Malformed, StopReason, Writer},
        signal::UpstreamFault,
        translate::Asked,
    },
    types::ReportedUsage,
};

/// What a response says of the request, in the order in which OpenAI writes it, with what is true where
/// nothing was asked.
const SETTINGS: [(&str, &str); 21] = [
    ("background", "false"),
    ("completed_at", "null"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("prompt_cache_retention", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
    ("metadata", "{}"),
    ("conversation", "null"),
];

/// All of it but what was said.
pub(super) struct Head {
    /// Ours, for the ids of items.
    pub id: String,
    created: u64,
    pub model: Escaped<'static>,
    settings: Vec<(&'static str, Json<'static>)>,
    /// Names of the client's free-form tools.
    free: Vec<Escaped<'static>>,
    pub tier: Option<Escaped<'static>>,
    pub usage: ReportedUsage,
}

/// How a response stands.
#[derive(Clone, Copy)]
pub(super) enum Outcome<'f> {
    InProgress,
    Completed,
    /// Why it is not whole.
    Incomplete(&'static str),
    Failed(&'f UpstreamFault),
}

impl Outcome<'_> {
    /// How it ended.
    pub(super) fn of(stop: Option<StopReason>, items: &[Item]) -> Self {
        match stop {
            Some(StopReason::MaxTokens | StopReason::ContextWindow) => Self::Incomplete("max_output_tokens"),
            // A refusal in so many words is a whole answer here.
            Some(StopReason::Refusal) if !items.iter().any(|item| matches!(item.kind, Kind::Refusal)) => {
                Self::Incomplete("content_filter")
            }
            Some(
                StopReason::EndTurn
                | StopReason::ToolUse
                | StopReason::StopSequence
                | StopReason::Refusal
                | StopReason::Pause
                | StopReason::Other,
            )
            | None => Self::Completed,
        }
    }

    /// The event that says so.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete(_) => "response.incomplete",
            Self::Failed(_) => "response.failed",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }
}

impl Head {
    pub(super) fn new(asked: &Asked) -> Self {
        let echoed = |name: &str| asked.echo.iter().find(|(known, _)| *known == name);
        let settings = SETTINGS.map(|(name, unasked)| {
            let value = match echoed(name) {
                // A body may have line breaks between its members; an event may not.
                Some((_, value)) => Json::from_text(value.replace(['\n', '\r'], " ")),
                None => Json::written(unasked),
            };
            (name, value)
        });
        let free = echoed("tools").map(|(_, tools)| free_form(tools).unwrap_or_default());
        Self {
            id: asked.id.clone(),
            created: asked.created,
            model: Escaped::of(&asked.model),
            settings: settings.into(),
            free: free.unwrap_or_default(),
            tier: None,
            usage: ReportedUsage::default(),
        }
    }

    /// The client knows this tool as a free-form one.
    pub(super) fn is_free(&self, name: &Escaped<'_>) -> bool {
        self.free.iter().any(|free| free == name)
    }

    /// Writes the response with what was said.
    pub(super) fn write(&self, outcome: Outcome<'_>, items: &[Item], w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("id").escaped(&Escaped::plain(&format!("resp_{}", self.id)));
            w.key("object").text("response");
            w.key("created_at").number(self.created);
            w.key("status").text(outcome.label());
            w.key("error");
            match outcome {
                Outcome::Failed(fault) => error(fault, w),
                Outcome::InProgress | Outcome::Completed | Outcome::Incomplete(_) => w.null(),
            }
            w.key("incomplete_details");
            match outcome {
                Outcome::Incomplete(reason) => w.object(|w| w.key("reason").text(reason)),
                Outcome::InProgress | Outcome::Completed | Outcome::Failed(_) => w.null(),
            }
            w.key("model").escaped(&self.model);
            for (name, value) in &self.settings {
                w.key(name).json(value);
            }
            w.key("service_tier").text(self.tier());
            w.key("output").array(|w| items.iter().for_each(|item| item.write(w)));
            w.key("usage");
            self.usage(outcome, w);
        });
    }

    /// The tier in OpenAI's words; what is none of them is the usual one.
    fn tier(&self) -> &'static str {
        const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];
        let told = self.tier.as_ref().map(Escaped::raw);
        TIERS.into_iter().find(|tier| Some(*tier) == told).unwrap_or("default")
    }

    /// Input counts everything here.
    fn usage(&self, outcome: Outcome<'_>, w: &mut Writer<'_>) {
        if matches!(outcome, Outcome::InProgress) || self.usage == ReportedUsage::default() {
            return w.null();
        }
        let usage = self.usage.settled();
        let written = usage.write_5m.saturating_add(usage.write_1h);
        let input = usage.input.saturating_add(usage.cached_read).saturating_add(written);
        w.object(|w| {
            w.key("input_tokens").number(input);
            w.key("input_tokens_details").object(|w| {
                w.key("cached_tokens").number(usage.cached_read);
                w.key("cache_write_tokens").number(written);
                if usage.write_1h > 0 {
                    w.key("cache_write_tokens_details").object(|w| {
                        w.key("ttl_30m_tokens").number(usage.write_5m);
                        w.key("ttl_12h_tokens").number(usage.write_1h);
                    });
                }
            });
            w.key("output_tokens").number(usage.output);
            w.key("output_tokens_details").object(|w| w.key("reasoning_tokens").number(usage.reasoning));
            w.key("total_tokens").number(input.saturating_add(usage.output));
        });
    }
}

fn error(fault: &UpstreamFault, w: &mut Writer<'_>) {
    w.object(|w| {
        w.key("code").text(code(fault));
        let silent = "the provider reported an error";
        w.key("message").text(if fault.message.is_empty() { silent } else { &fault.message });
    });
}

/// The code by which clients decide whether to try again.
fn code(fault: &UpstreamFault) -> &str {
    let says = |word: &str| fault.kind.contains(word) || fault.code.contains(word);
    match fault.code.as_str() {
        "context_length_exceeded" | "insufficient_quota" => &fault.code,
        _ if says("rate_limit") || says("throttling") => "rate_limit_exceeded",
        _ if says("invalid_request") || says("invalid_prompt") => "invalid_prompt",
        _ => "server_error",
    }
}

/// The names of the free-form tools among these.
fn free_form(tools: &str) -> Result<Vec<Escaped<'static>>, Malformed> {
    let mut free = Vec::new();
    let mut walker = Walker::new(tools.as_bytes(), MAX_DEPTH);
    walker.elements(|walker| {
        if walker.kind()? != JsonKind::Object {
            return walker.pass().map_err(Malformed::from);
        }
        let (mut kind, mut name) = (None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"type" => kind = Escaped::read(walker)?,
                b"name" => name = Escaped::read(walker)?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        if kind.is_some_and(|kind| kind.raw() == "custom") {
            free.extend(name.map(Escaped::into_owned));
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(free)
}
