//! A request body, read in one pass: what it asks for and where its prompt's blocks stand.
//!
//! Owns what is common to the operations; what a message looks like is each dialect's own. The
//! provider stays the judge of everything that we do not read: unknown members, deep values and
//! odd numbers pass. What we do read must be unmistakable, or we would authorise one request and
//! the provider would serve another: a repeated key among those is an error, escaped or not.

mod blocks;
mod fields;
mod found;
mod settings;

use std::fmt;

use crate::{
    dialect::{
        json::{Fault, Kind, Walker},
        view::RequestView,
    },
    types::Operation,
};

pub(super) use blocks::{Content, Marker, content, file, plain, tools};
pub(super) use found::Found;

/// Bounds of a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanLimits {
    /// Brackets may nest this deep; more than 128 counts as 128.
    pub max_depth: usize,
    /// Blocks of a prompt, and parts of them that are remembered.
    pub max_blocks: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { max_depth: 128, max_blocks: 200_000 }
    }
}

/// The body is not one that we can answer for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanError {
    /// What is wrong, for the client. Never quotes the body.
    pub message: String,
    /// The member that is wrong, where it is one that we know.
    pub field: Option<&'static str>,
    /// Byte offset into the body.
    pub offset: usize,
}

impl ScanError {
    /// `` `field` what``
    pub(super) fn of(field: &'static str, what: &str, offset: usize) -> Self {
        Self { message: format!("`{field}` {what}"), field: Some(field), offset }
    }
}

impl From<Fault> for ScanError {
    fn from(fault: Fault) -> Self {
        Self {
            message: format!("the body is not valid JSON: {} (at byte {})", fault.what, fault.at),
            field: None,
            offset: fault.at,
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScanError {}

/// Reads the body of a request.
///
/// # Errors
/// When the body is not one JSON object in UTF-8, a member that we read is repeated or has the wrong
/// type, `model` is missing, or a limit is passed.
pub fn scan(operation: Operation, body: &[u8], limits: &ScanLimits) -> Result<RequestView, ScanError> {
    check_encoding(body)?;
    let mut walker = Walker::new(body, limits.max_depth);
    if walker.kind()? != Kind::Object {
        return Err(ScanError {
            message: "the body must be a JSON object".to_owned(),
            field: None,
            offset: walker.at(),
        });
    }
    let mut found = Found::new(body, walker.at() + 1, limits.max_blocks);
    walker.members(|walker, key| {
        found.empty = false;
        fields::member(operation, walker, key, &mut found)
    })?;
    walker.finish()?;
    found.into_view(operation)
}

fn check_encoding(body: &[u8]) -> Result<(), ScanError> {
    let fail = |message: &str, offset| Err(ScanError { message: message.to_owned(), field: None, offset });
    if simdutf8::basic::from_utf8(body).is_err() {
        let offset = std::str::from_utf8(body).err().map_or(0, |error| error.valid_up_to());
        return fail("the body is not valid UTF-8", offset);
    }
    if body.starts_with("\u{feff}".as_bytes()) {
        return fail("the body begins with a byte order mark", 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
