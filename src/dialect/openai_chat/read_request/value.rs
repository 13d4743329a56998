//! Values of the types that members must have; `null` is a member left out.

use std::fmt::Display;

use crate::dialect::{
    json::{self, Kind, Walker},
    neutral::{CacheMark, Escaped, Json, Malformed},
};

/// What a member is called, for an error.
pub(super) type Name<'n> = &'n dyn Display;

fn wrong<T>(name: Name<'_>, what: &'static str) -> Result<T, Malformed> {
    Err(Malformed::new(name.to_string(), what))
}

/// Passes a `null`, and says that it did.
pub(super) fn null(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    let is_null = walker.kind()? == Kind::Scalar && walker.bytes(&(walker.at()..walker.at() + 4)) == b"null";
    if is_null {
        walker.scalar()?;
    }
    Ok(is_null)
}

pub(super) fn string<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Escaped<'a>>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    match Escaped::read(walker)? {
        Some(text) => Ok(Some(text)),
        None => wrong(name, "must be a string"),
    }
}

fn scalar<'a>(
    walker: &mut Walker<'a>,
    name: Name<'_>,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Malformed> {
    if walker.kind()? != Kind::Scalar {
        return wrong(name, what);
    }
    let span = walker.scalar()?;
    Ok(Some(walker.bytes(&span)).filter(|text| *text != b"null"))
}

pub(super) fn number<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Json<'a>>, Malformed> {
    let what = "must be a number";
    let Some(text) = scalar(walker, name, what)? else { return Ok(None) };
    match std::str::from_utf8(text) {
        Ok(text) if !matches!(text, "true" | "false") => Ok(Some(Json::written(text))),
        Ok(_) | Err(_) => wrong(name, what),
    }
}

pub(super) fn count(walker: &mut Walker<'_>, name: Name<'_>) -> Result<Option<u64>, Malformed> {
    let what = "must be a whole number";
    let Some(text) = scalar(walker, name, what)? else { return Ok(None) };
    match json::count(text) {
        Some(count) => Ok(Some(count)),
        None => wrong(name, what),
    }
}

pub(super) fn bool(walker: &mut Walker<'_>, name: Name<'_>) -> Result<Option<bool>, Malformed> {
    let what = "must be true or false";
    match scalar(walker, name, what)? {
        None => Ok(None),
        Some(b"true") => Ok(Some(true)),
        Some(b"false") => Ok(Some(false)),
        Some(_) => wrong(name, what),
    }
}

/// An object, kept whole.
pub(super) fn object<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Json<'a>>, Malformed> {
    if null(walker)? {
        return Ok(None);
    }
    if walker.kind()? != Kind::Object {
        return wrong(name, "must be an object");
    }
    Json::read(walker).map(Some)
}

/// Whether there is an object to be visited (`null` has been passed).
pub(super) fn is_object(walker: &mut Walker<'_>, name: Name<'_>) -> Result<bool, Malformed> {
    if null(walker)? {
        return Ok(false);
    }
    if walker.kind()? == Kind::Object { Ok(true) } else { wrong(name, "must be an object") }
}

/// Whether there is an array to be visited (`null` has been passed).
pub(super) fn is_array(walker: &mut Walker<'_>, name: Name<'_>) -> Result<bool, Malformed> {
    if null(walker)? {
        return Ok(false);
    }
    if walker.kind()? == Kind::Array { Ok(true) } else { wrong(name, "must be an array") }
}

/// Passes a value; says whether it is more than `null`, `false`, `{}`, `[]` or `""`.
pub(super) fn says_something(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    let span = walker.skip()?;
    let text = walker.bytes(&span);
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}' | b'[' | b']' | b'"');
    Ok(!matches!(text, b"null" | b"false") && !text.iter().all(is_blank))
}

/// `cache_control` (hosts of Claude's models) or `prompt_cache_breakpoint` (`OpenAI`).
pub(super) fn mark(walker: &mut Walker<'_>, name: Name<'_>) -> Result<Option<CacheMark>, Malformed> {
    if !is_object(walker, name)? {
        return Ok(None);
    }
    let mut mark = CacheMark::Short;
    walker.members(|walker, key| {
        match key.raw {
            b"ttl" => {
                let ttl = string(walker, &format_args!("{name}.ttl"))?;
                if ttl.is_some_and(|ttl| matches!(ttl.raw(), "1h" | "12h")) {
                    mark = CacheMark::Long;
                }
            }
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(Some(mark))
}
