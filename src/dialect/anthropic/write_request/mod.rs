//! Writing a request from the neutral form.

mod content;
mod reasoning;
mod settings;
#[cfg(test)]
mod tests;
mod tools;
mod turns;

use turns::Turn;

use crate::{
    dialect::{
        anthropic::models::Age,
        neutral::{CacheMark, Content, Escaped, Losses, Part, Request, Role, Weight, Writer},
        translate::Target,
    },
    types::{Dialect, ProviderDialect},
};

/// `max_tokens` where the client says nothing: Anthropic wants it said. Every model that is still served
/// may write as much; the SDKs ask for it, too.
const MAX_TOKENS: u64 = 32_000;
/// How many marks a request may carry (providers: 1.1).
const MOST_MARKS: usize = 4;

/// Writes a request's body.
pub(in crate::dialect) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    let mut scribe = Scribe::new(request, target, losses);
    let system = scribe.system();
    let turns = scribe.turns();
    let marks = scribe.marks(&system, &turns);
    let mut out = Vec::with_capacity(size(request));
    Writer::new(&mut out).object(|w| {
        scribe.settings(w, &turns);
        if let Some(mark) = marks.top {
            scribe.mark(w, Some(mark));
        }
        scribe.tools(w, &marks);
        if !system.is_empty() {
            w.key("system").array(|w| {
                let last = system.len() - 1;
                for (index, part) in system.iter().enumerate() {
                    let auto = marks.last_system.filter(|_| index == last);
                    scribe.part(w, part, part.mark.or(auto));
                }
            });
        }
        w.key("messages").array(|w| scribe.messages(w, &turns, &marks));
    });
    out
}

/// A body under way.
struct Scribe<'r, 'l> {
    request: &'r Request<'r>,
    target: &'r Target<'r>,
    age: Age,
    losses: &'l mut Losses,
}

/// What is marked to be cached, besides what the client marked itself.
#[derive(Default)]
struct Marks {
    /// `cache_control` of the request: the provider marks the last block.
    top: Option<CacheMark>,
    last_tool: Option<CacheMark>,
    last_system: Option<CacheMark>,
    /// The last block of the conversation.
    last: Option<CacheMark>,
    /// The first so many of the client's marks in the conversation are too many.
    skip: usize,
}

impl<'r, 'l> Scribe<'r, 'l> {
    fn new(request: &'r Request<'r>, target: &'r Target<'r>, losses: &'l mut Losses) -> Self {
        Self { request, target, age: Age::of(target.model), losses }
    }

    /// The client wrote Anthropic's words: it knows what the model understands.
    fn is_native(&self) -> bool {
        self.request.origin == Dialect::Anthropic
    }

    fn is_bedrock(&self) -> bool {
        self.target.dialect == ProviderDialect::BedrockClaude
    }

    /// Writes down a loss, under its name in each dialect.
    fn lose(&mut self, name: Name, weight: Weight, why: &'static str) {
        self.losses.add(name.in_words_of(self.request.origin), weight, why);
    }

    /// The system prompt: what stands there, and the system messages that the conversation begins with.
    fn system(&self) -> Vec<&'r Part<'r>> {
        let leading = self.request.messages.iter().take_while(|message| message.role == Role::System);
        let parts = self.request.system.iter().chain(leading.flat_map(|message| &message.parts));
        parts.filter(|part| content::is_said(part)).collect()
    }

    fn marks(&mut self, system: &[&Part<'_>], turns: &[Turn<'_>]) -> Marks {
        let request = self.request;
        let mut marks = Marks::default();
        if request.has_marks() {
            let before = request.tools.iter().filter(|tool| tool.mark.is_some()).count()
                + system.iter().filter(|part| part.mark.is_some()).count()
                + usize::from(request.cache.auto.is_some());
            let within = turns.iter().flat_map(|turn| &turn.parts).filter(|part| part.mark.is_some()).count();
            marks.skip = (before + within).saturating_sub(MOST_MARKS).min(within);
            if self.is_bedrock() {
                // Legacy Bedrock refuses the member at the top (providers: 1.1).
                marks.last = request.cache.auto;
            } else {
                marks.top = request.cache.auto;
            }
        } else if !self.is_native() {
            // Clients of other dialects expect a cache without asking for one.
            let mark = Some(CacheMark::Short);
            if !self.is_bedrock() {
                marks.top = mark;
            } else {
                marks.last = mark;
                *(if system.is_empty() { &mut marks.last_tool } else { &mut marks.last_system }) = mark;
            }
        }
        marks
    }

    /// Writes `cache_control`, if there is a mark.
    fn mark(&self, w: &mut Writer<'_>, mark: Option<CacheMark>) {
        let Some(mark) = mark else { return };
        w.key("cache_control").object(|w| {
            w.key("type").text("ephemeral");
            if mark == CacheMark::Long || self.request.cache.long {
                w.key("ttl").text("1h");
            }
        });
    }

    fn messages(&mut self, w: &mut Writer<'_>, turns: &[Turn<'_>], marks: &Marks) {
        let last = turns::last_markable(turns);
        let mut skip = marks.skip;
        for (turn_index, turn) in turns.iter().enumerate() {
            w.object(|w| {
                w.key("role").text(match turn.role {
                    Role::User => "user",
                    Role::Assistant => "assistant",
                    Role::System => "system",
                });
                w.key("content").array(|w| {
                    for (index, part) in turn.parts.iter().enumerate() {
                        let mut mark = part.mark;
                        if mark.is_some() && skip > 0 {
                            skip -= 1;
                            mark = None;
                            let field = format!("{}.cache_control", part.at.path(self.request.origin));
                            self.losses.add(
                                field,
                                Weight::Hint,
                                "is the fifth mark or more; four are allowed",
                            );
                        }
                        let auto = marks.last.filter(|_| last == Some((turn_index, index)));
                        self.part(w, part, mark.or(auto));
                    }
                });
            });
        }
    }
}

/// What a member is called, where each dialect has its own word.
#[derive(Clone, Copy)]
enum Name {
    Same(&'static str),
    Stop,
    Reasoning,
    Format,
    Verbosity,
    LogProbs,
    User,
}

impl Name {
    const fn in_words_of(self, origin: Dialect) -> &'static str {
        match (self, origin) {
            (Self::Same(name), _) => name,
            (Self::Stop, Dialect::Anthropic) => "stop_sequences",
            (Self::Stop, Dialect::OpenAiChat | Dialect::OpenAiResponses) => "stop",
            (Self::Reasoning, Dialect::Anthropic) => "thinking",
            (Self::Reasoning, Dialect::OpenAiChat) => "reasoning_effort",
            (Self::Reasoning, Dialect::OpenAiResponses) => "reasoning.effort",
            (Self::Format, Dialect::Anthropic) => "output_config.format",
            (Self::Format, Dialect::OpenAiChat) => "response_format",
            (Self::Format, Dialect::OpenAiResponses) => "text.format",
            (Self::Verbosity, Dialect::Anthropic | Dialect::OpenAiChat) => "verbosity",
            (Self::Verbosity, Dialect::OpenAiResponses) => "text.verbosity",
            (Self::LogProbs, Dialect::Anthropic | Dialect::OpenAiChat) => "logprobs",
            (Self::LogProbs, Dialect::OpenAiResponses) => "top_logprobs",
            (Self::User, Dialect::Anthropic) => "metadata.user_id",
            (Self::User, Dialect::OpenAiChat | Dialect::OpenAiResponses) => "user",
        }
    }
}

/// About how long the body will be, so that it is put together in one piece of memory.
fn size(request: &Request<'_>) -> usize {
    let part = |part: &Part<'_>| 96 + content_size(&part.content);
    let messages = request.messages.iter().flat_map(|message| &message.parts).map(part).sum::<usize>();
    let system = request.system.iter().map(part).sum::<usize>();
    let tools = request.tools.iter().map(tools::size).sum::<usize>();
    1_024 + messages + system + tools + 32 * request.messages.len()
}

fn content_size(content: &Content<'_>) -> usize {
    match content {
        Content::Text(text) | Content::Refusal(text) => text.raw().len(),
        Content::Media(media) => 64 + content::source_size(&media.source),
        Content::ToolCall { arguments, .. } => 128 + arguments.as_str().len(),
        Content::ToolResult { parts, .. } => {
            128 + parts.iter().map(|part| 96 + content_size(&part.content)).sum::<usize>()
        }
        // A signature is about as long as a short paragraph; a longer one only makes the buffer grow.
        Content::Thinking { text, .. } => 1_024 + Escaped::raw(text).len(),
    }
}
