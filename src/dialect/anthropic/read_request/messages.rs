//! Messages, and what they and the system prompt hold.

use super::{Reader, says_nothing, text};
use crate::{
    dialect::{
        json::{Kind, Walker},
        neutral::{At, Content, Escaped, Json, Malformed, Message, Part, Role, Weight},
    },
    types::Dialect,
};

/// Where blocks stand.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In `system`.
    System,
    /// In this message.
    Message(u32),
    /// In the tool's result that stands there.
    Result(At),
}

impl Place {
    /// The place of a block, or of the string that stands for all of them.
    const fn block(self, index: Option<u32>) -> At {
        match (self, index) {
            (Self::System, Some(index)) => At::System(index),
            (Self::System, None) => At::System(0),
            (Self::Message(message), Some(index)) => At::Content(message, index),
            (Self::Message(message), None) => At::Item(message),
            (Self::Result(at), _) => at,
        }
    }

    fn path(self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Message(message) => format!("messages[{message}].content"),
            Self::Result(at) => format!("{}.content", at.path(Dialect::Anthropic)),
        }
    }
}

impl<'a> Reader<'a, '_> {
    pub(super) fn messages(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if walker.kind()? != Kind::Array {
            return Err(Malformed::new("messages", "must be an array"));
        }
        let mut index = 0;
        walker.elements(|walker| {
            let message = self.message(walker, index)?;
            self.request.messages.push(message);
            index += 1;
            Ok(())
        })
    }

    fn message(&mut self, walker: &mut Walker<'a>, index: u32) -> Result<Message<'a>, Malformed> {
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(format!("messages[{index}]"), "must be an object"));
        }
        let (mut role, mut parts) = (None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"role" => role = Some(read_role(walker, index)?),
                b"content" => parts = Some(self.content(walker, &Place::Message(index))?),
                other => {
                    let value = Json::read(walker)?;
                    if !says_nothing(&value) {
                        let name = format!("messages[{index}].{}", String::from_utf8_lossy(other));
                        self.losses.add(name, Weight::Meaning, "is not known here");
                    }
                }
            }
            Ok::<(), Malformed>(())
        })?;
        let missing = |name| Malformed::new(format!("messages[{index}].{name}"), "is missing");
        let role = role.ok_or_else(|| missing("role"))?;
        let parts = parts.ok_or_else(|| missing("content"))?;
        if role == Role::System && !parts.iter().all(|part| matches!(part.content, Content::Text(_))) {
            return Err(Malformed::new(format!("messages[{index}].content"), "must hold text only"));
        }
        Ok(Message { role, name: None, parts })
    }

    /// Reads a `content`, or `system`: a string is one block of text.
    pub(super) fn content(
        &mut self,
        walker: &mut Walker<'a>,
        place: &Place,
    ) -> Result<Vec<Part<'a>>, Malformed> {
        let mut parts = Vec::new();
        match walker.kind()? {
            Kind::String => {
                let span = walker.string()?;
                let text = Escaped::from_raw(walker.bytes(&span))
                    .map_err(|fault| Malformed::new(place.path(), fault.what))?;
                parts.push(Part { at: place.block(None), content: Content::Text(text), mark: None });
            }
            Kind::Array => {
                let mut index = 0;
                walker.elements(|walker| {
                    parts.extend(self.block(walker, place.block(Some(index)), place)?);
                    index += 1;
                    Ok::<(), Malformed>(())
                })?;
            }
            Kind::Object | Kind::Scalar if matches!(place, Place::System) && super::is_null(walker)? => {}
            Kind::Object | Kind::Scalar => {
                return Err(Malformed::new(place.path(), "must be a string or an array"));
            }
        }
        Ok(parts)
    }
}

fn read_role(walker: &mut Walker<'_>, index: u32) -> Result<Role, Malformed> {
    let field = || format!("messages[{index}].role");
    let role = text(walker, "role").map_err(|fault| Malformed::new(field(), fault.what))?;
    match role.as_ref().map_or("", Escaped::raw) {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(Malformed::new(field(), "must be `user`, `assistant` or `system`")),
    }
}
