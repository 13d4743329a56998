//! Reading a request into the neutral form.

mod blocks;
mod messages;
mod settings;
#[cfg(test)]
mod tests;
mod tools;

use crate::{
    dialect::{
        anthropic::ATTRIBUTION,
        json::{Kind, Walker},
        neutral::{Content, Effort, Escaped, Json, Losses, Malformed, Reasoning, Request, Weight},
    },
    types::Dialect,
};

/// Brackets nest no deeper; the scan at the door has the same limit.
const MAX_DEPTH: usize = 128;

/// Reads a request's body.
pub(in crate::dialect) fn read_request<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Request<'a>, Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut reader =
        Reader { request: Request::new(Dialect::Anthropic), losses, settings: Settings::default() };
    if walker.kind()? != Kind::Object {
        return Err(Malformed::new("", "must be an object"));
    }
    let mut has_messages = false;
    walker.members(|walker, key| {
        has_messages |= key.raw == b"messages";
        reader.member(walker, key.raw)
    })?;
    walker.finish()?;
    if !has_messages {
        return Err(Malformed::new("messages", "is missing"));
    }
    reader.finish();
    Ok(reader.request)
}

/// A request under way.
struct Reader<'a, 'l> {
    request: Request<'a>,
    losses: &'l mut Losses,
    settings: Settings<'a>,
}

/// How to think and in which form to answer: several members say it together.
#[derive(Default)]
struct Settings<'a> {
    thinking: Option<Thinking>,
    /// `display: "omitted"`
    unseen: bool,
    effort: Option<Escaped<'a>>,
}

/// `thinking.type`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Disabled,
    Adaptive,
    Enabled(u64),
}

impl<'a> Reader<'a, '_> {
    fn member(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<(), Malformed> {
        match key {
            b"model" => {
                text(walker, "model")?;
            }
            b"messages" => self.messages(walker)?,
            b"system" => self.system(walker)?,
            b"tools" => self.tools(walker)?,
            b"tool_choice" => self.tool_choice(walker)?,
            b"max_tokens" => self.request.max_output = number(walker, "max_tokens")?,
            b"stream" => self.request.stream = flag(walker, "stream")?.unwrap_or(false),
            b"temperature" => self.request.sampling.temperature = figure(walker, "temperature")?,
            b"top_p" => self.request.sampling.top_p = figure(walker, "top_p")?,
            b"top_k" => self.request.sampling.top_k = figure(walker, "top_k")?,
            b"stop_sequences" => self.stop_sequences(walker)?,
            b"thinking" => self.thinking(walker)?,
            b"output_config" => self.output_config(walker)?,
            b"output_format" => self.format(walker, "output_format")?,
            b"metadata" => self.metadata(walker)?,
            b"cache_control" => self.request.cache.auto = self.mark(walker, None)?,
            b"service_tier" => {
                // `auto` is what is used where nothing is said.
                self.request.tier = text(walker, "service_tier")?.filter(|tier| tier.raw() != "auto");
            }
            _ => self.other(walker, key)?,
        }
        Ok(())
    }

    /// Members that only Anthropic's own API knows.
    fn other(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<(), Malformed> {
        let value = Json::read(walker)?;
        let (weight, why) = match key {
            // Of the version of the API, not of the request.
            b"anthropic_version" => return Ok(()),
            b"context_management" | b"compaction" => {
                (Weight::Hint, "is the provider's own; the conversation is sent as it is")
            }
            b"diagnostics"
            | b"anthropic_beta"
            | b"betas"
            | b"user_profile_id"
            | b"workspace_id"
            | b"billing_policy"
            | b"fallbacks"
            | b"fallback_credit_token" => (Weight::Hint, "is known to Anthropic's own API only"),
            b"speed" if value.as_str() == "\"standard\"" => return Ok(()),
            b"speed" => (Weight::Hint, "is known to Anthropic's own API only"),
            b"inference_geo" => (Weight::Meaning, "is known to Anthropic's own API only"),
            b"container" | b"thread" | b"mcp_servers" => {
                (Weight::Meaning, "lives at Anthropic's own API only")
            }
            _ => (Weight::Meaning, "is not known here"),
        };
        if !says_nothing(&value) {
            self.losses.add(String::from_utf8_lossy(key).into_owned(), weight, why);
        }
        Ok(())
    }

    fn system(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        let mut system = self.content(walker, &messages::Place::System)?;
        for part in &system {
            if !matches!(part.content, Content::Text(_)) {
                return Err(Malformed::new("system", "must hold text only"));
            }
        }
        let attributed = system.first().is_some_and(|part| match &part.content {
            Content::Text(text) => text.raw().starts_with(ATTRIBUTION),
            Content::Media(_)
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Refusal(_) => false,
        });
        if attributed {
            // Anthropic takes it off before the model sees anything; it is for nobody else.
            system.remove(0);
        }
        self.request.system = system;
        Ok(())
    }

    /// What several members say together.
    fn finish(&mut self) {
        let Settings { thinking, unseen, effort } = std::mem::take(&mut self.settings);
        let effort_counts = !matches!(thinking, Some(Thinking::Disabled | Thinking::Enabled(_)));
        if effort.is_some() && !effort_counts {
            let why = "says less than `thinking` beside it, and only one of them can be carried over";
            self.losses.add("output_config.effort", Weight::Hint, why);
        }
        let effort = match (thinking, effort) {
            (None, None) => return,
            (None, Some(level)) => Effort::Level(level),
            (Some(Thinking::Disabled), _) => Effort::Off,
            (Some(Thinking::Adaptive), level) => Effort::Adaptive(level),
            (Some(Thinking::Enabled(budget)), _) => Effort::Budget(budget),
        };
        // Anthropic shows thinking where nothing is said of it.
        let shown = !unseen && !matches!(effort, Effort::Off | Effort::Level(_));
        let summary = shown.then(|| Escaped::plain("auto"));
        self.request.reasoning = Some(Reasoning { effort, summary });
    }
}

/// It is there only because somebody writes every member.
fn says_nothing(value: &Json<'_>) -> bool {
    matches!(value.as_str().trim_ascii(), "null" | "false" | "[]" | "{}" | "\"\"")
}

/// Whether the next value is `null`, which is passed then.
fn is_null(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    if walker.kind()? != Kind::Scalar {
        return Ok(false);
    }
    let mut ahead = walker.clone();
    let span = ahead.scalar()?;
    let null = ahead.bytes(&span) == b"null";
    if null {
        *walker = ahead;
    }
    Ok(null)
}

/// A string, or `None` for `null`.
fn text<'a>(walker: &mut Walker<'a>, field: &str) -> Result<Option<Escaped<'a>>, Malformed> {
    match walker.kind()? {
        Kind::String => {
            let span = walker.string()?;
            Escaped::from_raw(walker.bytes(&span))
                .map(Some)
                .map_err(|fault| Malformed::new(field, fault.what))
        }
        Kind::Scalar | Kind::Object | Kind::Array if is_null(walker)? => Ok(None),
        Kind::Scalar | Kind::Object | Kind::Array => Err(Malformed::new(field, "must be a string")),
    }
}

/// A number as it stands, or `None` for `null`.
fn figure<'a>(walker: &mut Walker<'a>, field: &str) -> Result<Option<Json<'a>>, Malformed> {
    if is_null(walker)? {
        return Ok(None);
    }
    let value = Json::read(walker)?;
    if value.as_str().starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Ok(Some(value));
    }
    Err(Malformed::new(field, "must be a number"))
}

/// A whole number, or `None` for `null`.
fn number(walker: &mut Walker<'_>, field: &str) -> Result<Option<u64>, Malformed> {
    if is_null(walker)? {
        return Ok(None);
    }
    let span = walker.skip()?;
    match crate::dialect::json::count(walker.bytes(&span)) {
        Some(count) => Ok(Some(count)),
        None => Err(Malformed::new(field, "must be a whole number, and not negative")),
    }
}

/// `true` or `false`, or `None` for `null`.
fn flag(walker: &mut Walker<'_>, field: &str) -> Result<Option<bool>, Malformed> {
    let span = walker.skip()?;
    match walker.bytes(&span) {
        b"true" => Ok(Some(true)),
        b"false" => Ok(Some(false)),
        b"null" => Ok(None),
        _ => Err(Malformed::new(field, "must be true or false")),
    }
}
