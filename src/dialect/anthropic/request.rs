//! The messages of a request.

use crate::{
    dialect::{
        json::{Kind, Walker},
        scan::{Content, Found, ScanError, content},
    },
    types::Section,
};

/// Reads `messages`. A `system` message in their midst is allowed and keeps its place.
pub(in crate::dialect) fn messages(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Array {
        return Err(ScanError::of("messages", "must be an array", walker.at()));
    }
    let mut seen = Content::default();
    walker.elements(|walker| message(walker, found, &mut seen))
}

fn message(walker: &mut Walker<'_>, found: &mut Found<'_>, seen: &mut Content) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        return Err(ScanError::of("messages", "must hold objects only", walker.at()));
    }
    seen.clear();
    let first = found.message_blocks();
    let (mut by_model, mut by_system) = (false, false);
    walker.members(|walker, key| {
        match key.raw {
            b"role" => {
                let role = walker.string_or_skip()?.map(|role| walker.bytes(&role)).unwrap_or_default();
                by_model = role == b"assistant";
                by_system = role == b"system";
            }
            b"content" => content(walker, found, Section::User, seen)?,
            _ => walker.pass()?,
        }
        Ok::<(), ScanError>(())
    })?;
    if by_model {
        found.by_model(true, &seen.texts);
    } else {
        found.by_others(seen.results.drain(..));
    }
    if by_system {
        // Nobody says whether such a message may carry a marker.
        found.unmarkable(first);
    }
    found.close_message(first, if by_model { Section::Assistant } else { Section::User });
    Ok(())
}
