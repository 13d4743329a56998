//! One item of the output.

use super::event::word;
use crate::dialect::{
    json::{Key, Kind, Walker},
    neutral::{Escaped, Json, Malformed},
};

/// What an item says of itself; not all of it before it is done.
#[derive(Default)]
pub(super) struct Item<'a> {
    pub kind: &'a str,
    pub id: Option<Escaped<'a>>,
    pub call_id: Option<Escaped<'a>>,
    pub name: Option<Escaped<'a>>,
    /// `arguments`, or the `input` of a free-form tool.
    pub arguments: Option<Escaped<'a>>,
    /// The pieces of a message, or of thinking in the clear.
    pub content: Vec<Piece<'a>>,
    /// The summaries of thinking.
    pub summary: Vec<Piece<'a>>,
    pub encrypted: Option<Escaped<'a>>,
}

/// A piece of content.
#[derive(Default)]
pub(super) struct Piece<'a> {
    pub refuses: bool,
    pub text: Option<Escaped<'a>>,
    pub annotations: Vec<Json<'a>>,
}

impl<'a> Item<'a> {
    pub(super) fn read(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let mut item = Self::default();
        walker.members(|walker, key| item.member(walker, &key))?;
        Ok(item)
    }

    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>) -> Result<(), Malformed> {
        match (key.raw, walker.kind()?) {
            (b"type", _) => self.kind = word(walker)?,
            (b"id", _) => self.id = Escaped::read(walker)?,
            (b"call_id", _) => self.call_id = Escaped::read(walker)?,
            (b"name", _) => self.name = Escaped::read(walker)?,
            (b"arguments" | b"input", Kind::String) => self.arguments = Escaped::read(walker)?,
            (b"encrypted_content", _) => self.encrypted = Escaped::read(walker)?,
            (b"content", Kind::Array) => self.content = pieces(walker)?,
            (b"summary", Kind::Array) => self.summary = pieces(walker)?,
            _ => walker.pass()?,
        }
        Ok(())
    }
}

fn pieces<'a>(walker: &mut Walker<'a>) -> Result<Vec<Piece<'a>>, Malformed> {
    let mut pieces = Vec::new();
    walker.elements(|walker| {
        if walker.kind()? != Kind::Object {
            return walker.pass().map_err(Malformed::from);
        }
        let mut piece = Piece::default();
        walker.members(|walker, key| {
            match (key.raw, walker.kind()?) {
                (b"text", _) => piece.text = Escaped::read(walker)?.or(piece.text.take()),
                (b"refusal", Kind::String) => {
                    piece.refuses = true;
                    piece.text = Escaped::read(walker)?;
                }
                (b"annotations", Kind::Array) => walker.elements(|walker| {
                    piece.annotations.push(Json::read(walker)?);
                    Ok::<(), Malformed>(())
                })?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        pieces.push(piece);
        Ok::<(), Malformed>(())
    })?;
    Ok(pieces)
}
