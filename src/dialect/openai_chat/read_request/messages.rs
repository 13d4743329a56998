//! The conversation.

use super::{content, value};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{
        At, Carrier, Content, Escaped, Json, Losses, Malformed, Message, Part, Request, Role, Seals, Weight,
        split_tool_id,
    },
    openai_chat::seals::Load,
};

/// Output that clients hand back as they got it, and that no model reads: identifiers, citations, what
/// hosts add for themselves.
const NOT_READ: [&[u8]; 6] =
    [b"annotations", b"reasoning_details", b"provider_specific_fields", b"id", b"status", b"type"];

/// Reads `messages`.
pub(super) fn read<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    let mut conversation = Conversation { request, losses, last: Last::Start, function: None };
    let mut i = 0;
    walker.elements(|walker| {
        let draft = Draft::read(walker, i, conversation.losses)?;
        conversation.take(draft, i)?;
        i += 1;
        Ok(())
    })
}

/// What the message before was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing, or the system prompt.
    Start,
    /// A tool's result, which more results may join.
    Result,
    Other,
}

/// A message's members as they stand.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    parts: Vec<Part<'a>>,
    refusal: Option<Escaped<'a>>,
    thinking: Option<Escaped<'a>>,
    calls: Vec<Call<'a>>,
    answers: Option<Escaped<'a>>,
}

/// A tool call.
struct Call<'a> {
    /// `None` in the older form, which knows none.
    id: Option<Escaped<'a>>,
    name: Escaped<'a>,
    arguments: Json<'a>,
}

impl<'a> Draft<'a> {
    fn read(walker: &mut Walker<'a>, i: u32, losses: &mut Losses) -> Result<Self, Malformed> {
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(format!("messages[{i}]"), "must be an object"));
        }
        let mut draft = Self::default();
        let mut mark = None;
        walker.members(|walker, key| {
            match key.raw {
                b"role" => draft.role = value::string(walker, &format_args!("messages[{i}].role"))?,
                b"name" => draft.name = value::string(walker, &format_args!("messages[{i}].name"))?,
                b"content" => content::read(walker, i, &mut draft.parts, losses)?,
                b"refusal" => draft.refusal = value::string(walker, &format_args!("messages[{i}].refusal"))?,
                b"reasoning_content" | b"reasoning" => {
                    // Some hosts say it under both names, and clients hand both back.
                    draft.thinking = Escaped::read(walker)?.or(draft.thinking.take());
                }
                b"tool_calls" => calls(walker, i, &mut draft.calls, losses)?,
                b"function_call" => {
                    if value::is_object(walker, &format_args!("messages[{i}].function_call"))? {
                        let (name, arguments) =
                            function(walker, &format_args!("messages[{i}].function_call"), losses)?;
                        draft.calls.push(Call { id: None, name, arguments });
                    }
                }
                b"tool_call_id" => {
                    draft.answers = value::string(walker, &format_args!("messages[{i}].tool_call_id"))?;
                }
                b"cache_control" => {
                    mark = value::mark(walker, &format_args!("messages[{i}].cache_control"))?;
                }
                _ => {
                    let counts = value::says_something(walker)? && !NOT_READ.contains(&key.raw);
                    if counts {
                        let name = format!("messages[{i}].{}", String::from_utf8_lossy(key.raw));
                        losses.add(name, Weight::Meaning, "is not translated");
                    }
                }
            }
            Ok::<(), Malformed>(())
        })?;
        if let Some(last) = draft.parts.last_mut() {
            last.mark = last.mark.or(mark);
        }
        Ok(draft)
    }

    /// The model's turn: thinking, words, calls.
    fn spoken(self, i: u32) -> (Vec<Part<'a>>, Option<Escaped<'a>>) {
        let at = At::Item(i);
        let mut parts = Vec::with_capacity(self.parts.len() + self.calls.len() + 1);
        if let Some(text) = self.thinking.filter(|text| !text.is_empty()) {
            parts.push(Part { at, content: Content::Thinking { text, seal: Seals::None }, mark: None });
        }
        // Beside calls, clients hand an empty string back where there were no words.
        let is_empty = |part: &Part<'_>| matches!(&part.content, Content::Text(text) if text.is_empty());
        let alone = self.calls.is_empty() && self.refusal.is_none();
        parts.extend(self.parts.into_iter().filter(|part| alone || !is_empty(part)));
        if let Some(refusal) = self.refusal.filter(|refusal| !refusal.is_empty()) {
            parts.push(Part { at, content: Content::Refusal(refusal), mark: None });
        }
        let mut function = None;
        for Call { id, name, arguments } in self.calls {
            let id = id.unwrap_or_else(|| {
                let made = Escaped::plain(&format!("call_{i}")).into_owned();
                function = Some(made.clone());
                made
            });
            let (id, carrier) = split_tool_id(id);
            let Load { own: carrier, thinking } = carrier.map(Load::unpack).unwrap_or_default();
            parts.extend(thinking.into_iter().map(|carrier| restored(at, carrier)));
            let content = Content::ToolCall { id, name, arguments, carrier };
            parts.push(Part { at, content, mark: None });
        }
        (parts, function)
    }
}

/// Thinking that came home with a call.
fn restored(at: At, carrier: Carrier) -> Part<'static> {
    let text = Escaped::of(&carrier.seal.text);
    Part { at, content: Content::Thinking { text, seal: Seals::Carried(carrier) }, mark: None }
}

/// Puts drafts together.
struct Conversation<'a, 'r> {
    request: &'r mut Request<'a>,
    losses: &'r mut Losses,
    last: Last,
    /// The id made up for the latest call in the older form.
    function: Option<Escaped<'a>>,
}

impl<'a> Conversation<'a, '_> {
    fn take(&mut self, mut draft: Draft<'a>, i: u32) -> Result<(), Malformed> {
        let Some(role) = draft.role.take() else {
            return Err(Malformed::new(format!("messages[{i}].role"), "is missing"));
        };
        match role.raw() {
            "system" | "developer" if self.last == Last::Start => self.system(draft, i),
            "system" | "developer" => self.push(Role::System, draft.name, draft.parts),
            "user" => self.push(Role::User, draft.name, draft.parts),
            "assistant" => {
                let name = draft.name.take();
                let (parts, function) = draft.spoken(i);
                self.function = function.or(self.function.take());
                self.push(Role::Assistant, name, parts);
            }
            "tool" => {
                let Some(id) = draft.answers else {
                    return Err(Malformed::new(format!("messages[{i}].tool_call_id"), "is missing"));
                };
                self.result(split_tool_id(id).0, draft.parts, i);
            }
            "function" => {
                let id = self.function.clone();
                let id = id.unwrap_or_else(|| Escaped::plain(&format!("call_{i}")).into_owned());
                self.result(id, draft.parts, i);
            }
            _ => {
                let what = "must be system, developer, user, assistant or tool";
                return Err(Malformed::new(format!("messages[{i}].role"), what));
            }
        }
        Ok(())
    }

    fn system(&mut self, draft: Draft<'a>, i: u32) {
        if draft.name.is_some() {
            self.losses.add(format!("messages[{i}].name"), Weight::Hint, "is left out of the system prompt");
        }
        for part in draft.parts {
            if matches!(part.content, Content::Text(_)) {
                self.request.system.push(part);
            } else {
                let name = part.at.path(self.request.origin);
                self.losses.add(name, Weight::Meaning, "must be text in the system prompt");
            }
        }
    }

    fn push(&mut self, role: Role, name: Option<Escaped<'a>>, parts: Vec<Part<'a>>) {
        self.last = Last::Other;
        self.request.messages.push(Message { role, name, parts });
    }

    /// The results of one turn's calls stand in one message.
    fn result(&mut self, id: Escaped<'a>, mut parts: Vec<Part<'a>>, i: u32) {
        // The mark is the result's: what stands in it cannot be cached apart.
        let mark = parts.iter_mut().rev().find_map(|part| part.mark.take());
        let content = Content::ToolResult { id, is_error: false, parts };
        let part = Part { at: At::Item(i), content, mark };
        if self.last == Last::Result
            && let Some(message) = self.request.messages.last_mut()
        {
            message.parts.push(part);
        } else {
            self.push(Role::User, None, vec![part]);
            self.last = Last::Result;
        }
    }
}

fn calls<'a>(
    walker: &mut Walker<'a>,
    i: u32,
    calls: &mut Vec<Call<'a>>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    if !value::is_array(walker, &format_args!("messages[{i}].tool_calls"))? {
        return Ok(());
    }
    let mut j = 0;
    walker.elements(|walker| {
        let here = format_args!("messages[{i}].tool_calls[{j}]");
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(here.to_string(), "must be an object"));
        }
        let (mut id, mut called) = (None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"id" => id = value::string(walker, &format_args!("{here}.id"))?,
                b"function" => {
                    if value::is_object(walker, &format_args!("{here}.function"))? {
                        called = Some(function(walker, &format_args!("{here}.function"), losses)?);
                    }
                }
                b"custom" => {
                    if value::is_object(walker, &format_args!("{here}.custom"))? {
                        called = Some(custom(walker, &format_args!("{here}.custom"))?);
                    }
                }
                // `type`, `index`, what hosts add.
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        let Some((name, arguments)) = called else {
            return Err(Malformed::new(format!("{here}.function"), "is missing"));
        };
        let Some(id) = id else { return Err(Malformed::new(format!("{here}.id"), "is missing")) };
        calls.push(Call { id: Some(id), name, arguments });
        j += 1;
        Ok(())
    })
}

fn function<'a>(
    walker: &mut Walker<'a>,
    here: value::Name<'_>,
    losses: &mut Losses,
) -> Result<(Escaped<'a>, Json<'a>), Malformed> {
    let (mut name, mut arguments) = (None, None);
    walker.members(|walker, key| {
        match key.raw {
            b"name" => name = value::string(walker, &format_args!("{here}.name"))?,
            b"arguments" => arguments = Some(self::arguments(walker, here, losses)?),
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    let Some(name) = name else { return Err(Malformed::new(format!("{here}.name"), "is missing")) };
    Ok((name, arguments.unwrap_or(Json::written("{}"))))
}

/// The arguments as an object. A model may have written what is none, and its client hands that back:
/// it stays readable, within an object, or the conversation could never go on.
fn arguments<'a>(
    walker: &mut Walker<'a>,
    here: value::Name<'_>,
    losses: &mut Losses,
) -> Result<Json<'a>, Malformed> {
    if walker.kind()? == Kind::Object {
        return Json::read(walker);
    }
    let text = value::string(walker, &format_args!("{here}.arguments"))?.unwrap_or_default();
    if text.raw().trim().is_empty() {
        return Ok(Json::written("{}"));
    }
    if let Some(object) = text.spelled().filter(Json::is_object) {
        return Ok(object);
    }
    let why = "is no JSON object: it is handed on as text in one";
    losses.add(format!("{here}.arguments"), Weight::Hint, why);
    Ok(Json::from_text(format!(r#"{{"invalid_json":"{}"}}"#, text.raw())))
}

fn custom<'a>(walker: &mut Walker<'a>, here: value::Name<'_>) -> Result<(Escaped<'a>, Json<'a>), Malformed> {
    let (mut name, mut input) = (None, None);
    walker.members(|walker, key| {
        match key.raw {
            b"name" => name = value::string(walker, &format_args!("{here}.name"))?,
            b"input" => input = value::string(walker, &format_args!("{here}.input"))?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    let Some(name) = name else { return Err(Malformed::new(format!("{here}.name"), "is missing")) };
    let input = input.unwrap_or_default();
    Ok((name, Json::from_text(format!("\"{}\"", input.raw()))))
}
