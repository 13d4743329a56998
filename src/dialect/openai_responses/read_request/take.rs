//! Taking one value of a known type, or a sentence that names the member.

use std::borrow::Cow;

use crate::{
    dialect::{
        json::{self, Kind, Walker},
        neutral::{At, Escaped, Json, Malformed},
    },
    types::Dialect,
};

/// Where a value stands, spelled out only when something is wrong with it.
#[derive(Clone, Copy)]
pub(super) struct Here {
    at: Option<At>,
    name: &'static str,
}

impl Here {
    /// A member of the body.
    pub(super) const fn top(name: &'static str) -> Self {
        Self { at: None, name }
    }

    /// A member of an item, a part or a tool.
    pub(super) const fn of(at: At, name: &'static str) -> Self {
        Self { at: Some(at), name }
    }

    /// As the caller would write it.
    pub(super) fn path(self) -> String {
        match self.at {
            None => self.name.to_owned(),
            Some(at) if self.name.is_empty() => at.path(Dialect::OpenAiResponses),
            Some(at) => format!("{}.{}", at.path(Dialect::OpenAiResponses), self.name),
        }
    }

    pub(super) fn wrong(self, what: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed::new(self.path(), what)
    }
}

/// Passes a scalar if it is `null`. Anything else stays where it is.
fn null(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    if walker.kind()? != Kind::Scalar {
        return Ok(false);
    }
    let start = walker.at();
    if walker.bytes(&(start..start + 4)) != b"null" {
        return Ok(false);
    }
    walker.scalar()?;
    Ok(true)
}

/// A string; `None` for `null`.
pub(super) fn string<'a>(walker: &mut Walker<'a>, here: Here) -> Result<Option<Escaped<'a>>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    match walker.kind()? {
        Kind::String => Escaped::read(walker),
        Kind::Object | Kind::Array | Kind::Scalar => Err(here.wrong("must be a string")),
    }
}

/// `true` or `false`; `None` for `null`.
pub(super) fn boolean(walker: &mut Walker<'_>, here: Here) -> Result<Option<bool>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    let span = walker.skip()?;
    match walker.bytes(&span) {
        b"true" => Ok(Some(true)),
        b"false" => Ok(Some(false)),
        _ => Err(here.wrong("must be true or false")),
    }
}

/// A count; `None` for `null`.
pub(super) fn count(walker: &mut Walker<'_>, here: Here) -> Result<Option<u64>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    let span = walker.skip()?;
    match json::count(walker.bytes(&span)) {
        Some(count) => Ok(Some(count)),
        None => Err(here.wrong("must be a whole number")),
    }
}

/// A number, as it was written; `None` for `null`.
pub(super) fn number<'a>(walker: &mut Walker<'a>, here: Here) -> Result<Option<Json<'a>>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    let value = Json::read(walker)?;
    if value.as_str().starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        Ok(Some(value))
    } else {
        Err(here.wrong("must be a number"))
    }
}

/// An object, as it stands; `None` for `null`.
pub(super) fn object<'a>(walker: &mut Walker<'a>, here: Here) -> Result<Option<Json<'a>>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    match walker.kind()? {
        Kind::Object => Json::read(walker).map(Some),
        Kind::Array | Kind::String | Kind::Scalar => Err(here.wrong("must be an object")),
    }
}

/// Visits the members of an object; passes `null`.
pub(super) fn members<'a>(
    walker: &mut Walker<'a>,
    here: Here,
    each: impl FnMut(&mut Walker<'a>, json::Key<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if null(walker)? {
        return Ok(());
    }
    match walker.kind()? {
        Kind::Object => walker.members(each),
        Kind::Array | Kind::String | Kind::Scalar => Err(here.wrong("must be an object")),
    }
}

/// Visits the elements of an array, each with its number; passes `null`.
pub(super) fn elements<'a>(
    walker: &mut Walker<'a>,
    here: Here,
    mut each: impl FnMut(&mut Walker<'a>, u32) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if null(walker)? {
        return Ok(());
    }
    if walker.kind()? != Kind::Array {
        return Err(here.wrong("must be an array"));
    }
    let mut number = 0_u32;
    walker.elements(|walker| {
        each(walker, number)?;
        number = number.saturating_add(1);
        Ok(())
    })
}

/// Passes any value; whether it says nothing (`null`, `false`, `[]`, `{}`, `""`, 0).
pub(super) fn is_unset(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    let span = walker.skip()?;
    let text = walker.bytes(&span);
    let is_empty = |open: u8, close: u8| {
        text.first() == Some(&open)
            && text.last() == Some(&close)
            && text.get(1..text.len() - 1).is_some_and(|inside| inside.trim_ascii().is_empty())
    };
    Ok(matches!(text, b"null" | b"false" | b"\"\"" | b"0") || is_empty(b'[', b']') || is_empty(b'{', b'}'))
}

/// What was passed since `start`, as it stands.
pub(super) fn spelled<'a>(walker: &Walker<'a>, start: usize) -> Result<Json<'a>, Malformed> {
    match simdutf8::basic::from_utf8(walker.bytes(&(start..walker.at()))) {
        Ok(text) => Ok(Json::written(text)),
        Err(_) => Err(Malformed::new("", "it is not UTF-8")),
    }
}

/// A member's name as it may stand in a header: whoever invents one of a megabyte gets it cut.
pub(super) fn name(key: &[u8]) -> String {
    const LONGEST: usize = 64;
    let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    key.iter().take(LONGEST).map(shown).collect()
}
