//! The conversation as items.

use xxhash_rust::xxh3::xxh3_64;

use super::media;
use crate::{
    dialect::{
        neutral::{
            At, CacheMark, Carrier, Content, Escaped, Json, Losses, Message, Part, Request, Role, Seals,
            Weight, Writer, fit,
        },
        translate::Target,
    },
    types::{Dialect, ProviderDialect},
};

/// The longest id of a call that OpenAI takes.
const LONGEST_CALL_ID: usize = 64;

/// Writes `instructions` and `input`.
pub(super) fn write(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let mut items = Items { request, target, losses, thoughts: Vec::new(), custom: Vec::new() };
    // One plain text is what `instructions` holds; several, or marked ones, stay what they are.
    let plain = match request.system.as_slice() {
        [Part { content: Content::Text(text), mark, at }] => {
            if mark.is_some() && !items.takes_marks() {
                unmarked(*at, request, items.losses);
            }
            (mark.is_none() || !items.takes_marks()).then_some(text)
        }
        _ => None,
    };
    if let Some(text) = plain {
        w.key("instructions").escaped(text);
    }
    w.key("input").array(|w| {
        if plain.is_none() && !request.system.is_empty() {
            items.message(items.system_role(), &request.system, w);
        }
        for message in &request.messages {
            items.write(message, w);
        }
    });
}

/// Writes down that a cache's mark was left out.
pub(super) fn unmarked(at: At, request: &Request<'_>, losses: &mut Losses) {
    let name = match request.origin {
        Dialect::Anthropic => "cache_control",
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "prompt_cache_breakpoint",
    };
    let field = format!("{}.{name}", at.path(request.origin));
    losses.add(field, Weight::Hint, "is not needed: the provider caches by itself");
}

struct Items<'r, 'a, 'l> {
    request: &'r Request<'a>,
    target: &'r Target<'r>,
    losses: &'l mut Losses,
    /// Thinking that waits for what followed it: alone it is refused.
    thoughts: Vec<Thought<'r>>,
    /// Calls of free-form tools: their results are called otherwise.
    custom: Vec<&'r Escaped<'a>>,
}

/// A piece of thinking of the target's own.
struct Thought<'r> {
    id: &'r str,
    text: Option<&'r Escaped<'r>>,
    sealed: Escaped<'r>,
}

impl<'r, 'a> Items<'r, 'a, '_> {
    /// Breakpoints are refused by all but the newest models: they go only where the client, who
    /// speaks OpenAI's words, has put them itself.
    fn takes_marks(&self) -> bool {
        self.request.origin != Dialect::Anthropic && self.target.quirks.hints
    }

    const fn system_role(&self) -> &'static str {
        if self.target.quirks.developer_role { "developer" } else { "system" }
    }

    fn write(&mut self, message: &'r Message<'a>, w: &mut Writer<'_>) {
        if let (Some(_), Some(part)) = (&message.name, message.parts.first()) {
            let whole = match part.at {
                At::Content(item, _) => At::Item(item),
                at @ (At::Item(_) | At::System(_) | At::Tool(_)) => at,
            };
            let field = format!("{}.name", whole.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "is unknown to the provider");
        }
        match message.role {
            Role::Assistant => {
                for part in &message.parts {
                    self.by_model(part, w);
                }
            }
            Role::System => {
                self.thoughts.clear();
                self.message(self.system_role(), &message.parts, w);
            }
            Role::User => {
                self.thoughts.clear();
                self.by_user(&message.parts, w);
            }
        }
    }

    /// Results are items; what stands between them is a message.
    fn by_user(&mut self, parts: &'r [Part<'a>], w: &mut Writer<'_>) {
        let is_result = |part: &Part<'_>| matches!(part.content, Content::ToolResult { .. });
        for run in parts.chunk_by(|one, next| is_result(one) == is_result(next)) {
            if !run.iter().any(is_result) {
                self.message("user", run, w);
                continue;
            }
            for part in run {
                if let Content::ToolResult { id, is_error, parts } = &part.content {
                    self.result(part, id, *is_error, parts, w);
                }
            }
        }
    }

    /// A message of the user's or of instructions.
    fn message(&mut self, role: &str, parts: &[Part<'_>], w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("type").text("message");
            w.key("role").text(role);
            w.key("content").array(|w| self.pieces(parts, w));
        });
    }

    fn pieces(&mut self, parts: &[Part<'_>], w: &mut Writer<'_>) {
        for part in parts {
            let mark = part.mark.filter(|_| self.takes_marks());
            if part.mark.is_some() && mark.is_none() {
                unmarked(part.at, self.request, self.losses);
            }
            match &part.content {
                Content::Text(text) | Content::Refusal(text) => w.object(|w| {
                    w.key("type").text("input_text");
                    w.key("text").escaped(text);
                    breakpoint(mark, w);
                }),
                Content::Media(media) => {
                    media::write(media, part.at, self.request, self.target, w, self.losses, |w| {
                        breakpoint(mark, w);
                    });
                }
                Content::ToolCall { .. } | Content::ToolResult { .. } | Content::Thinking { .. } => {
                    // No reader puts one here; what one did all the same is not lost in silence.
                    let field = part.at.path(self.request.origin);
                    self.losses.add(field, Weight::Meaning, "stands where the provider does not take it");
                }
            }
        }
    }

    fn result(
        &mut self,
        part: &Part<'_>,
        id: &Escaped<'_>,
        is_error: bool,
        parts: &[Part<'_>],
        w: &mut Writer<'_>,
    ) {
        if is_error {
            let field = format!("{}.is_error", part.at.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "is unknown to the provider: the result's text has to tell");
        }
        if part.mark.is_some() && !self.takes_marks() {
            unmarked(part.at, self.request, self.losses);
        }
        let custom = self.custom.contains(&id);
        let mark = part.mark.filter(|_| self.takes_marks());
        w.object(|w| {
            w.key("type").text(if custom { "custom_tool_call_output" } else { "function_call_output" });
            w.key("call_id").escaped(&fit(id, LONGEST_CALL_ID, true));
            w.key("output");
            match parts {
                [] => w.text(""),
                [Part { content: Content::Text(text), mark: None, .. }] if mark.is_none() => w.escaped(text),
                [rest @ .., last] => w.array(|w| {
                    self.pieces(rest, w);
                    let last = Part { mark: mark.or(last.mark), ..last.clone() };
                    self.pieces(&[last], w);
                }),
            }
        });
    }

    fn by_model(&mut self, part: &'r Part<'a>, w: &mut Writer<'_>) {
        if part.mark.is_some() {
            unmarked(part.at, self.request, self.losses);
        }
        match &part.content {
            Content::Text(text) => {
                self.thought(w);
                w.object(|w| {
                    w.key("type").text("message");
                    w.key("role").text("assistant");
                    w.key("content").escaped(text);
                });
            }
            Content::Refusal(text) => {
                self.thought(w);
                refusal(text, w);
            }
            Content::Thinking { text, seal } => self.thinking(text, seal),
            Content::ToolCall { id, name, arguments, carrier } => {
                if let Some(carrier) = carrier {
                    self.carried(carrier, None);
                }
                self.thought(w);
                self.call(id, name, arguments, w);
            }
            Content::Media(_) | Content::ToolResult { .. } => {
                let field = part.at.path(self.request.origin);
                self.losses.add(field, Weight::Meaning, "cannot be said by the model there");
            }
        }
    }

    fn call(&mut self, id: &'r Escaped<'a>, name: &Escaped<'_>, arguments: &Json<'_>, w: &mut Writer<'_>) {
        let custom = arguments.as_str().trim_start().starts_with('"');
        if custom {
            self.custom.push(id);
        }
        w.object(|w| {
            w.key("type").text(if custom { "custom_tool_call" } else { "function_call" });
            w.key("call_id").escaped(&fit(id, LONGEST_CALL_ID, true));
            w.key("name").escaped(name);
            if custom {
                w.key("input").json(arguments);
            } else {
                w.key("arguments").spelled(arguments);
            }
        });
    }

    /// Keeps thinking back until it is known what followed it.
    fn thinking(&mut self, text: &'r Escaped<'a>, seal: &'r Seals<'a>) {
        match seal {
            Seals::Carried(carrier) => self.carried(carrier, Some(text)),
            // Without its id, which the client may have left out: a made-up one does not fit the seal.
            Seals::Native(sealed) if self.request.origin == Dialect::OpenAiResponses => {
                self.thoughts.push(Thought { id: "", text: Some(text), sealed: sealed.clone() });
            }
            Seals::Native(_) | Seals::Redacted(_) | Seals::None => {}
        }
    }

    fn carried(&mut self, carrier: &'r Carrier, text: Option<&'r Escaped<'a>>) {
        let Some(seal) = carrier.open(self.target.maker) else { return };
        if seal.dialect != ProviderDialect::OpenAiResponses {
            return;
        }
        let sealed = Escaped::of(&seal.data);
        // A Chat client's reader may have put it in front of the call as well.
        if self.thoughts.iter().any(|thought| thought.sealed == sealed) {
            return;
        }
        self.thoughts.push(Thought { id: &seal.id, text: text.filter(|text| !text.is_empty()), sealed });
    }

    /// Writes the thinking that led to the next item.
    fn thought(&mut self, w: &mut Writer<'_>) {
        for thought in self.thoughts.drain(..) {
            w.object(|w| {
                w.key("type").text("reasoning");
                if !thought.id.is_empty() {
                    w.key("id").text(thought.id);
                }
                w.key("summary").array(|w| {
                    if let Some(text) = thought.text.filter(|text| !text.is_empty()) {
                        w.object(|w| {
                            w.key("type").text("summary_text");
                            w.key("text").escaped(text);
                        });
                    }
                });
                w.key("encrypted_content").escaped(&thought.sealed);
            });
        }
    }
}

/// A refusal can only be said in a message as the model wrote it, which has an id and a status.
fn refusal(text: &Escaped<'_>, w: &mut Writer<'_>) {
    w.object(|w| {
        w.key("id").text(&format!("msg_{:016x}", xxh3_64(text.raw().as_bytes())));
        w.key("type").text("message");
        w.key("role").text("assistant");
        w.key("status").text("completed");
        w.key("content").array(|w| {
            w.object(|w| {
                w.key("type").text("refusal");
                w.key("refusal").escaped(text);
            });
        });
    });
}

fn breakpoint(mark: Option<CacheMark>, w: &mut Writer<'_>) {
    let Some(mark) = mark else { return };
    w.key("prompt_cache_breakpoint").object(|w| {
        w.key("mode").text("explicit");
        match mark {
            CacheMark::Short => {}
            CacheMark::Long => w.key("ttl").text("12h"),
        }
    });
}
