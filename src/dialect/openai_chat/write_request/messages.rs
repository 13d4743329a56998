//! The conversation.
//!
//! All that the model said in one turn is one message, because the results of its calls must stand right
//! behind it; and of what follows until its next turn the results stand first. What came in one turn is
//! complete when the next begins, so what has been written stays as it was.

use super::{
    Lost, Weight,
    parts::{self, Text},
};
use crate::{
    dialect::{
        neutral::{Carrier, Content, Escaped, Json, Message, Part, Request, Role, Seals, Writer, fit},
        openai_chat::thinking,
        translate::Target,
    },
    types::ProviderDialect,
};

/// `OpenAI` takes no longer id of a tool call. Source: its 400.
const LONGEST_ID: usize = 40;
/// Mistral takes no other. Source: its 400.
const MISTRAL_ID: usize = 9;

/// What a tool's message says whose result is a picture.
const PICTURES_FOLLOW: &str = "The result follows in the next message.";
/// What a tool's message says that failed without a word.
const FAILED: &str = "The tool failed.";

pub(super) fn write(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    w.array(|w| {
        if !request.system.is_empty() {
            let parts: Vec<&Part<'_>> = request.system.iter().collect();
            message(w, system_role(target), None, |w| parts::content(w, &parts, target, lost));
        }
        let mut rest = request.messages.as_slice();
        while let Some(first) = rest.first() {
            let by_model = first.role == Role::Assistant;
            let len = rest.iter().take_while(|next| (next.role == Role::Assistant) == by_model).count();
            let (run, behind) = rest.split_at(len);
            if by_model {
                Turn::of(run, target, lost).write(w, target);
            } else {
                by_others(w, run, target, lost);
            }
            rest = behind;
        }
    });
}

const fn system_role(target: &Target<'_>) -> &'static str {
    if target.quirks.developer_role { "developer" } else { "system" }
}

fn message(
    w: &mut Writer<'_>,
    role: &str,
    name: Option<&Escaped<'_>>,
    content: impl FnOnce(&mut Writer<'_>),
) {
    w.object(|w| {
        w.key("role").text(role);
        if let Some(name) = name {
            w.key("name").escaped(name);
        }
        content(w.key("content"));
    });
}

fn call_id<'a>(id: &Escaped<'a>, target: &Target<'_>) -> Escaped<'a> {
    if target.quirks.nine_letter_ids { fit(id, MISTRAL_ID, false) } else { fit(id, LONGEST_ID, true) }
}

/// What one turn of the model comes to.
#[derive(Default)]
struct Turn<'a> {
    name: Option<&'a Escaped<'a>>,
    texts: Vec<Text<'a>>,
    refusal: Option<&'a Escaped<'a>>,
    calls: Vec<(&'a Escaped<'a>, &'a Escaped<'a>, &'a Json<'a>, Option<&'a Carrier>)>,
    /// The member that the host calls its thinking, and the thinking.
    thinking: Option<(&'static str, Vec<&'a str>)>,
}

impl<'a> Turn<'a> {
    fn of(run: &'a [Message<'a>], target: &Target<'_>, lost: &mut Lost<'_>) -> Self {
        let mut turn = Self::default();
        for message in run {
            turn.name = turn.name.or(message.name.as_ref());
            for part in &message.parts {
                turn.take(part, target, lost);
            }
        }
        if turn.name.is_some() && !target.quirks.hints {
            let first = run.first().and_then(|message| message.parts.first());
            let field = first.map(|part| part.at.path(lost.origin)).unwrap_or_default();
            lost.losses.add(format!("{field}.name"), Weight::Hint, "is not understood there");
            turn.name = None;
        }
        turn
    }

    fn take(&mut self, part: &'a Part<'a>, target: &Target<'_>, lost: &mut Lost<'_>) {
        match &part.content {
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => self.texts.push(Text { text, mark: part.mark }),
            Content::Refusal(text) if target.quirks.hints && self.refusal.is_none() => {
                self.refusal = Some(text);
            }
            Content::Refusal(text) => self.texts.push(Text { text, mark: part.mark }),
            Content::ToolCall { id, name, arguments, carrier } => {
                self.calls.push((id, name, arguments, carrier.as_ref()));
            }
            Content::Thinking { text, seal: Seals::Carried(carrier) } => self.think(text, carrier, target),
            Content::Thinking { seal: Seals::None | Seals::Native(_) | Seals::Redacted(_), .. } => {}
            Content::Media(_) | Content::ToolResult { .. } => {
                lost.part(part, "can not be said by the model there");
            }
        }
    }

    /// Thinking goes back to the host that it came from, under the name that it had there.
    fn think(&mut self, text: &'a Escaped<'a>, carrier: &'a Carrier, target: &Target<'_>) {
        let Some(seal) = carrier.open(target.maker) else { return };
        if seal.dialect != ProviderDialect::OpenAiChat {
            return;
        }
        let Some(member) = thinking::member(&seal.data) else { return };
        let (_, texts) = self.thinking.get_or_insert((member, Vec::new()));
        texts.push(text.raw());
    }

    fn write(&self, w: &mut Writer<'_>, target: &Target<'_>) {
        if self.texts.is_empty() && self.refusal.is_none() && self.calls.is_empty() {
            // Thinking alone is no message.
            return;
        }
        w.object(|w| {
            w.key("role").text("assistant");
            if let Some(name) = self.name {
                w.key("name").escaped(name);
            }
            w.key("content");
            self.content(w, target);
            if let Some(refusal) = self.refusal {
                w.key("refusal").escaped(refusal);
            }
            match &self.thinking {
                Some((member, texts)) if *member != thinking::PARTS => {
                    w.key(member).joined(texts);
                }
                Some(_) | None => {}
            }
            if !self.calls.is_empty() {
                w.key("tool_calls").array(|w| {
                    for (id, name, arguments, carrier) in &self.calls {
                        w.object(|w| call(w, (id, name, arguments, *carrier), target));
                    }
                });
            }
        });
    }

    fn content(&self, w: &mut Writer<'_>, target: &Target<'_>) {
        match &self.thinking {
            Some((thinking::PARTS, texts)) => w.array(|w| {
                w.object(|w| {
                    w.key("type").text("thinking");
                    w.key("thinking").array(|w| {
                        w.object(|w| {
                            w.key("type").text("text");
                            w.key("text").joined(texts);
                        });
                    });
                });
                for text in &self.texts {
                    parts::write_text(w, text.text, text.mark, target.quirks);
                }
            }),
            Some(_) | None if self.texts.is_empty() => w.null(),
            Some(_) | None => parts::texts(w, &self.texts, None, target.quirks),
        }
    }
}

fn call(
    w: &mut Writer<'_>,
    (id, name, arguments, carrier): (&Escaped<'_>, &Escaped<'_>, &Json<'_>, Option<&Carrier>),
    target: &Target<'_>,
) {
    w.key("id").escaped(&call_id(id, target));
    let is_free = arguments.as_str().starts_with('"');
    if is_free && target.quirks.hints {
        w.key("type").text("custom");
        w.key("custom").object(|w| {
            w.key("name").escaped(name);
            w.key("input").json(arguments);
        });
    } else {
        w.key("type").text("function");
        w.key("function").object(|w| {
            w.key("name").escaped(name);
            if is_free {
                let object = Json::from_text(format!(r#"{{"input":{}}}"#, arguments.as_str()));
                w.key("arguments").spelled(&object);
            } else {
                w.key("arguments").spelled(arguments);
            }
        });
    }
    // What the host's own members hold: kept as it came, and checked again to be JSON.
    let own = carrier.and_then(|carrier| carrier.open(target.maker));
    let own = own.filter(|seal| seal.dialect == ProviderDialect::OpenAiChat);
    if let Some(extra) = own.and_then(|seal| Escaped::of(&seal.data).spelled()) {
        w.key("extra_content").json(&extra);
    }
}

/// What users, tools and operators say between two turns of the model.
fn by_others(w: &mut Writer<'_>, run: &[Message<'_>], target: &Target<'_>, lost: &mut Lost<'_>) {
    let mut shown: Vec<(Escaped<'_>, Vec<&Part<'_>>)> = Vec::new();
    for part in run.iter().flat_map(|message| &message.parts) {
        match &part.content {
            Content::ToolResult { id, is_error, parts } => {
                let media = result(w, part, (id, *is_error, parts), target, lost);
                if !media.is_empty() {
                    shown.push((call_id(id, target), media));
                }
            }
            Content::Text(_)
            | Content::Media(_)
            | Content::ToolCall { .. }
            | Content::Thinking { .. }
            | Content::Refusal(_) => {}
        }
    }
    if !shown.is_empty() {
        message(w, "user", None, |w| pictures(w, &shown, target));
    }
    for one in run {
        let is_result = |part: &&Part<'_>| matches!(part.content, Content::ToolResult { .. });
        let parts: Vec<&Part<'_>> = one.parts.iter().filter(|part| !is_result(part)).collect();
        if parts.is_empty() && !one.parts.is_empty() {
            continue;
        }
        let role = if one.role == Role::System { system_role(target) } else { "user" };
        if one.name.is_some() && !target.quirks.hints {
            let field = parts.first().map(|part| part.at.path(lost.origin)).unwrap_or_default();
            lost.losses.add(format!("{field}.name"), Weight::Hint, "is not understood there");
        }
        let name = one.name.as_ref().filter(|_| target.quirks.hints);
        message(w, role, name, |w| parts::content(w, &parts, target, lost));
    }
}

/// Writes what a tool said in words; gives what it showed, which no tool's message may hold.
fn result<'a>(
    w: &mut Writer<'_>,
    part: &Part<'_>,
    (id, is_error, inside): (&Escaped<'_>, bool, &'a [Part<'a>]),
    target: &Target<'_>,
    lost: &mut Lost<'_>,
) -> Vec<&'a Part<'a>> {
    let (mut texts, mut media) = (Vec::new(), Vec::new());
    for inner in inside {
        match &inner.content {
            Content::Text(text) => texts.push(Text { text, mark: inner.mark }),
            Content::Media(_)
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Refusal(_) => {
                if parts::is_known(inner, target.quirks, lost) {
                    media.push(inner);
                }
            }
        }
    }
    let says_nothing = texts.iter().all(|text| text.text.is_empty());
    if is_error && !says_nothing {
        // The words say so themselves.
        let field = format!("{}.is_error", part.at.path(lost.origin));
        lost.losses.add(field, Weight::Hint, "is left out: what the tool said stays");
    }
    let (failed, follow) = (Escaped::plain(FAILED), Escaped::plain(PICTURES_FOLLOW));
    match (says_nothing, is_error, media.is_empty()) {
        (true, true, _) => texts = vec![Text { text: &failed, mark: None }],
        (true, false, false) => texts = vec![Text { text: &follow, mark: None }],
        (true, false, true) | (false, _, _) => {}
    }
    w.object(|w| {
        w.key("role").text("tool");
        w.key("tool_call_id").escaped(&call_id(id, target));
        w.key("content");
        parts::texts(w, &texts, part.mark, target.quirks);
    });
    media
}

/// What tools showed, and which.
fn pictures(w: &mut Writer<'_>, shown: &[(Escaped<'_>, Vec<&Part<'_>>)], target: &Target<'_>) {
    w.array(|w| {
        for (id, media) in shown {
            w.object(|w| {
                w.key("type").text("text");
                w.key("text").joined(&["From the result of tool call ", id.raw(), ":"]);
            });
            for part in media {
                parts::write_part(w, part, target.quirks);
            }
        }
    });
}
