//! One part of a content.

use crate::dialect::{
    json::{Kind, Walker},
    neutral::{Escaped, Json, Malformed},
};

#[derive(Default)]
pub(super) struct Part<'a> {
    pub text: Option<Escaped<'a>>,
    pub thought: bool,
    pub signature: Option<Escaped<'a>>,
    pub call: Option<Call<'a>>,
    /// What it holds instead, if no client's dialect has a place for that. Nobody asked for it: pictures
    /// come from models that make pictures, the others from tools of Google's own.
    pub unspeakable: Option<&'static str>,
}

pub(super) struct Call<'a> {
    pub id: Option<Escaped<'a>>,
    pub name: Escaped<'a>,
    /// A JSON object.
    pub arguments: Option<Json<'a>>,
}

impl<'a> Part<'a> {
    pub(super) fn read(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let mut part = Part::default();
        if walker.kind()? != Kind::Object {
            walker.pass()?;
            return Ok(part);
        }
        walker.members(|walker, key| {
            match key.raw {
                b"text" => part.text = Escaped::read(walker)?,
                b"thought" => {
                    let value = walker.skip()?;
                    part.thought = walker.bytes(&value) == b"true";
                }
                b"thoughtSignature" | b"thought_signature" => {
                    part.signature = Escaped::read(walker)?.filter(|signature| !signature.is_empty());
                }
                b"functionCall" if walker.kind()? == Kind::Object => part.call = Some(call(walker)?),
                b"inlineData" => part.unspeakable = unspeakable(walker, "inlineData")?,
                b"fileData" => part.unspeakable = unspeakable(walker, "fileData")?,
                b"executableCode" => part.unspeakable = unspeakable(walker, "executableCode")?,
                b"codeExecutionResult" => part.unspeakable = unspeakable(walker, "codeExecutionResult")?,
                b"toolCall" => part.unspeakable = unspeakable(walker, "toolCall")?,
                b"toolResponse" => part.unspeakable = unspeakable(walker, "toolResponse")?,
                // What is said about a part, and not in it.
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        Ok(part)
    }
}

fn unspeakable(walker: &mut Walker<'_>, name: &'static str) -> Result<Option<&'static str>, Malformed> {
    let is_there = walker.kind()? == Kind::Object;
    walker.pass()?;
    Ok(is_there.then_some(name))
}

fn call<'a>(walker: &mut Walker<'a>) -> Result<Call<'a>, Malformed> {
    let mut call = Call { id: None, name: Escaped::default(), arguments: None };
    walker.members(|walker, key| {
        match key.raw {
            b"id" => call.id = Escaped::read(walker)?,
            b"name" => call.name = Escaped::read(walker)?.unwrap_or_default(),
            b"args" if walker.kind()? == Kind::Object => call.arguments = Some(Json::read(walker)?),
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(call)
}
