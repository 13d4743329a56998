//! The items of the input: messages, calls, results, thinking.
//!
//! What the model said between two inputs is one turn of its: its items become one message, and so do
//! the results that answer its calls. The `system` and `developer` messages that stand first are the
//! system prompt.

use super::{
    ELSEWHERE, STATE,
    content::{self, Parts},
    take::{self, Here},
};
use crate::dialect::{
    json::{Key, Kind, Walker},
    neutral::{
        At, Carrier, Content, Escaped, Json, Losses, Malformed, Message, Part, Request, Role, Seals, Weight,
        split_tool_id,
    },
};

/// Reads `input`: a string is one user message, an array holds items.
pub(super) fn read<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    request.system.clear();
    request.messages.clear();
    match walker.kind()? {
        Kind::String => {
            let text = Escaped::read(walker)?.unwrap_or_default();
            let part = Part { at: At::Item(0), content: Content::Text(text), mark: None };
            push(request, Role::User, vec![part], false);
            Ok(())
        }
        Kind::Array => {
            let mut leading = true;
            take::elements(walker, Here::top("input"), |walker, number| {
                item(walker, At::Item(number), request, &mut leading, losses)
            })
        }
        Kind::Object | Kind::Scalar => {
            if take::is_unset(walker)? {
                return Ok(());
            }
            Err(Here::top("input").wrong("must be a string or an array"))
        }
    }
}

/// Adds parts to the conversation; `joins`: to the message before, if that is by the same.
fn push<'a>(request: &mut Request<'a>, role: Role, parts: Vec<Part<'a>>, joins: bool) {
    if parts.is_empty() {
        return;
    }
    match request.messages.last_mut() {
        Some(last) if joins && last.role == role => last.parts.extend(parts),
        Some(_) | None => request.messages.push(Message { role, name: None, parts }),
    }
}

/// Only results of tools.
fn is_results(message: &Message<'_>) -> bool {
    message.parts.iter().all(|part| matches!(part.content, Content::ToolResult { .. }))
}

/// What an item says of itself.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Escaped<'a>>,
    role: Option<Escaped<'a>>,
    id: bool,
    content: Parts<'a>,
    /// The summary of thinking.
    summary: Parts<'a>,
    output: Option<Parts<'a>>,
    call_id: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    arguments: Option<Escaped<'a>>,
    /// A free-form call's text, with its quotes.
    input: Option<Json<'a>>,
    encrypted: Option<Escaped<'a>>,
    others: Vec<&'a [u8]>,
}

impl<'a> Item<'a> {
    fn member(
        &mut self,
        walker: &mut Walker<'a>,
        key: &Key<'a>,
        at: At,
        losses: &mut Losses,
    ) -> Result<(), Malformed> {
        let here = |name| Here::of(at, name);
        match (key.raw, walker.kind()?) {
            (b"type", _) => self.kind = take::string(walker, here("type"))?,
            (b"role", _) => self.role = take::string(walker, here("role"))?,
            (b"id", _) => self.id = take::string(walker, here("id"))?.is_some(),
            (b"call_id", _) => self.call_id = take::string(walker, here("call_id"))?,
            (b"name", Kind::String) => self.name = take::string(walker, here("name"))?,
            (b"arguments", Kind::String) => self.arguments = take::string(walker, here("arguments"))?,
            (b"input", Kind::String) => self.input = Some(Json::read(walker)?),
            (b"encrypted_content", _) => {
                self.encrypted = take::string(walker, here("encrypted_content"))?;
            }
            (b"content", _) => self.content = content::read(walker, at, "content", losses)?,
            (b"summary", Kind::Array) => self.summary = content::read(walker, at, "summary", losses)?,
            (b"output", Kind::String | Kind::Array) => {
                self.output = Some(content::read(walker, at, "output", losses)?);
            }
            // How far the item had come when it was written down.
            (b"status", _) => walker.pass()?,
            // Whether a message was the last word or a remark on the way; it is read as neither.
            (b"phase", _) => {
                if !take::is_unset(walker)? {
                    losses.add(here("phase").path(), Weight::Hint, ELSEWHERE);
                }
            }
            _ => {
                if !take::is_unset(walker)? {
                    self.others.push(key.raw);
                }
            }
        }
        Ok(())
    }
}

fn item<'a>(
    walker: &mut Walker<'a>,
    at: At,
    request: &mut Request<'a>,
    leading: &mut bool,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    if walker.kind()? != Kind::Object {
        return Err(Here::of(at, "").wrong("must be an object"));
    }
    let mut item = Item::default();
    walker.members(|walker, key| item.member(walker, &key, at, losses))?;
    let kind = item.kind.take();
    let kind = kind.as_ref().map(Escaped::raw);
    let others = std::mem::take(&mut item.others);
    *leading &= matches!(kind, None | Some("message"))
        && matches!(item.role.as_ref().map(Escaped::raw), Some("system" | "developer"));
    match kind {
        Some("message") => message(item, at, request, *leading)?,
        None if item.role.is_some() => message(item, at, request, *leading)?,
        Some("function_call") => {
            let call = function_call(item, at, losses)?;
            push(request, Role::Assistant, vec![call], true);
        }
        Some("custom_tool_call") => {
            let call = custom_call(item, at)?;
            push(request, Role::Assistant, vec![call], true);
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let result = result(item, at)?;
            let joins = request.messages.last().is_some_and(is_results);
            push(request, Role::User, vec![result], joins);
        }
        Some("reasoning") => {
            let thought = thinking(item, at);
            push(request, Role::Assistant, vec![thought], true);
        }
        Some("item_reference") => losses.add(Here::of(at, "").path(), Weight::Meaning, STATE),
        None if item.id => losses.add(Here::of(at, "").path(), Weight::Meaning, STATE),
        None => return Err(Here::of(at, "type").wrong("is missing")),
        Some(_) => {
            let why = "is of a type that only OpenAI's own tools know";
            losses.add(Here::of(at, "").path(), Weight::Meaning, why);
            return Ok(());
        }
    }
    for key in others {
        losses.add(format!("{}.{}", Here::of(at, "").path(), take::name(key)), Weight::Meaning, ELSEWHERE);
    }
    Ok(())
}

fn message<'a>(item: Item<'a>, at: At, request: &mut Request<'a>, leading: bool) -> Result<(), Malformed> {
    match item.role.as_ref().map(Escaped::raw) {
        Some("user") => push(request, Role::User, item.content, false),
        Some("assistant") => push(request, Role::Assistant, item.content, true),
        Some("system" | "developer") if leading => request.system.extend(item.content),
        Some("system" | "developer") => push(request, Role::System, item.content, false),
        Some(_) => {
            return Err(Here::of(at, "role").wrong("must be user, assistant, system or developer"));
        }
        None => return Err(Here::of(at, "role").wrong("is missing")),
    }
    Ok(())
}

/// A call's id as the client knows it, and what came back with it.
fn call_id<'a>(id: Option<Escaped<'a>>, at: At) -> Result<(Escaped<'a>, Option<Carrier>), Malformed> {
    match id {
        Some(id) => Ok(split_tool_id(id)),
        None => Err(Here::of(at, "call_id").wrong("is missing")),
    }
}

fn function_call<'a>(item: Item<'a>, at: At, losses: &mut Losses) -> Result<Part<'a>, Malformed> {
    let (id, carrier) = call_id(item.call_id, at)?;
    let Some(name) = item.name else { return Err(Here::of(at, "name").wrong("is missing")) };
    let Some(text) = item.arguments else {
        return Err(Here::of(at, "arguments").wrong("must be a string"));
    };
    let arguments = if text.is_empty() {
        Json::written("{}")
    } else if let Some(object) = text.spelled().filter(Json::is_object) {
        object
    } else {
        // What a model wrote wrongly, or was cut in, comes back with the tool's complaint about it: the
        // conversation must not be stuck there.
        let why = "is no JSON object: it is handed on as text in one";
        losses.add(Here::of(at, "arguments").path(), Weight::Hint, why);
        Json::from_text(format!("{{\"invalid_json\":\"{}\"}}", text.raw()))
    };
    let content = Content::ToolCall { id, name, arguments, carrier };
    Ok(Part { at, content, mark: None })
}

fn custom_call<'a>(item: Item<'a>, at: At) -> Result<Part<'a>, Malformed> {
    let (id, carrier) = call_id(item.call_id, at)?;
    let Some(name) = item.name else { return Err(Here::of(at, "name").wrong("is missing")) };
    let Some(arguments) = item.input else { return Err(Here::of(at, "input").wrong("must be a string")) };
    let content = Content::ToolCall { id, name, arguments, carrier };
    Ok(Part { at, content, mark: None })
}

fn result<'a>(item: Item<'a>, at: At) -> Result<Part<'a>, Malformed> {
    let (id, _) = call_id(item.call_id, at)?;
    let Some(mut parts) = item.output else {
        return Err(Here::of(at, "output").wrong("must be a string or an array"));
    };
    // The mark of a piece counts for the whole result: that is what other dialects can mark.
    let mark = parts.iter_mut().rev().find_map(|part| part.mark.take());
    let content = Content::ToolResult { id, is_error: false, parts };
    Ok(Part { at, content, mark })
}

fn thinking<'a>(item: Item<'a>, at: At) -> Part<'a> {
    let parts = if item.summary.is_empty() { item.content } else { item.summary };
    let seal = match item.encrypted {
        None => Seals::None,
        Some(text) if text.is_empty() => Seals::None,
        Some(text) => match Carrier::unpack(text.raw()) {
            Some(carrier) => Seals::Carried(carrier),
            None => Seals::Native(text),
        },
    };
    Part { at, content: Content::Thinking { text: content::joined(parts), seal }, mark: None }
}
