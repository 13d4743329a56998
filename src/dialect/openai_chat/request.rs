//! The messages of a request.

use crate::{
    dialect::{
        json::{Kind, Walker},
        scan::{Content, Found, ScanError, content, plain},
    },
    types::Section,
};

/// Reads `messages`. The `system` and `developer` messages that stand first are the system prompt.
pub(in crate::dialect) fn messages(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Array {
        return Err(ScanError::of("messages", "must be an array", walker.at()));
    }
    let mut seen = Content::default();
    let mut leading = true;
    walker.elements(|walker| message(walker, found, &mut seen, &mut leading))
}

fn message(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
    seen: &mut Content,
    leading: &mut bool,
) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        return Err(ScanError::of("messages", "must hold objects only", walker.at()));
    }
    seen.clear();
    let first = found.message_blocks();
    let mut role: &[u8] = b"";
    let mut answers = None;
    walker.members(|walker, key| {
        match key.raw {
            b"role" => role = walker.string_or_skip()?.map(|role| walker.bytes(&role)).unwrap_or_default(),
            b"content" => content(walker, found, Section::User, seen)?,
            b"tool_call_id" => answers = walker.string_or_skip()?,
            // What else the model produced is part of the prompt, too.
            b"tool_calls" | b"function_call" | b"refusal" | b"audio" | b"reasoning"
            | b"reasoning_content" | b"reasoning_details" => parts(walker, found)?,
            _ => walker.pass()?,
        }
        Ok::<(), ScanError>(())
    })?;
    *leading &= matches!(role, b"system" | b"developer");
    let section = match role {
        b"assistant" => Section::Assistant,
        _ if *leading => Section::System,
        _ => Section::User,
    };
    if section == Section::Assistant {
        found.by_model(true, &seen.texts);
    } else {
        found.by_others(answers);
    }
    found.close_message(first, section);
    Ok(())
}

/// A value that is a block, or an array of such; `null` is nothing.
fn parts(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    if walker.kind()? == Kind::Array {
        return walker.elements(|walker| {
            let span = walker.skip()?;
            found.block(walker, plain(Section::User, span))
        });
    }
    let span = walker.skip()?;
    if walker.bytes(&span) == b"null" {
        return Ok(());
    }
    found.block(walker, plain(Section::User, span))
}
