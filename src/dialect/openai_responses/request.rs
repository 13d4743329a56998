//! The input of a request.

use crate::{
    dialect::{
        json::{Key, Kind, Walker},
        scan::{Content, Found, Marker, ScanError, content, file, plain},
        view::{Block, Span},
    },
    types::Section,
};

/// Reads `instructions`: a string, or (as in stored prompts) items.
pub(in crate::dialect) fn instructions(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
) -> Result<(), ScanError> {
    content(walker, found, Section::System, &mut Content::default())
}

/// Reads `input`: a string is one user message, an array holds items, each of them one block. The
/// `system` and `developer` messages that stand first are the system prompt.
pub(in crate::dialect) fn input(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    match walker.kind()? {
        Kind::String => {
            let (first, span) = (found.message_blocks(), walker.skip()?);
            found.block(walker, plain(Section::User, span))?;
            found.close_message(first, Section::User);
            Ok(())
        }
        Kind::Array => {
            let mut leading = true;
            let mut texts = Vec::new();
            walker.elements(|walker| {
                texts.clear();
                item(walker, found, &mut texts, &mut leading)
            })
        }
        Kind::Object | Kind::Scalar => {
            let span = walker.skip()?;
            if walker.bytes(&span) == b"null" {
                return Ok(());
            }
            Err(ScanError::of("input", "must be a string or an array", span.start))
        }
    }
}

/// What an item says of itself.
#[derive(Default)]
struct Item<'a> {
    kind: &'a [u8],
    role: &'a [u8],
    call: Option<Span>,
    marker: Marker,
}

impl Item<'_> {
    fn is_message(&self) -> bool {
        matches!(self.kind, b"" | b"message")
    }

    fn by_model(&self) -> bool {
        match self.kind {
            b"" | b"message" => self.role == b"assistant",
            b"reasoning" | b"compaction" => true,
            kind => kind.ends_with(b"_call"),
        }
    }
}

fn item(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
    texts: &mut Vec<Span>,
    leading: &mut bool,
) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        return Err(ScanError::of("input", "must hold objects only", walker.at()));
    }
    let (first, start) = (found.message_blocks(), walker.at());
    let mut item = Item::default();
    walker.members(|walker, key| member(walker, found, &key, &mut item, texts))?;
    let by_model = item.by_model();
    *leading &= item.is_message() && matches!(item.role, b"system" | b"developer");
    let section = match (by_model, *leading) {
        (true, _) => Section::Assistant,
        (false, true) => Section::System,
        (false, false) => Section::User,
    };
    if by_model {
        found.by_model(false, texts);
    } else {
        let answered = item.call.filter(|_| item.kind.ends_with(b"_output"));
        found.by_others(answered);
    }
    let span = start..walker.at();
    let marker = item.marker.close(&span);
    found.block(walker, Block { marker, ..plain(Section::User, span) })?;
    found.close_message(first, section);
    Ok(())
}

fn member<'a>(
    walker: &mut Walker<'a>,
    found: &mut Found<'_>,
    key: &Key<'_>,
    item: &mut Item<'a>,
    texts: &mut Vec<Span>,
) -> Result<(), ScanError> {
    item.marker.passed(key);
    match (key.raw, walker.kind()?) {
        (b"type", Kind::String) => item.kind = string(walker)?,
        (b"role", Kind::String) => item.role = string(walker)?,
        (b"call_id", Kind::String) => item.call = Some(walker.string()?),
        (b"encrypted_content", Kind::String) => {
            if !walker.string()?.is_empty() {
                found.encrypted();
            }
        }
        (b"content", Kind::String) => texts.push(walker.string()?),
        (b"content", Kind::Array) => return walker.elements(|walker| part(walker, found, item, texts)),
        (b"prompt_cache_breakpoint", _) => {
            let mut marker = std::mem::take(&mut item.marker);
            marker.read(walker, found, key)?;
            item.marker = marker;
        }
        _ => return file(walker, found, key),
    }
    Ok(())
}

fn string<'a>(walker: &mut Walker<'a>) -> Result<&'a [u8], ScanError> {
    let inner = walker.string()?;
    Ok(walker.bytes(&inner))
}

/// A part of a message's content. A breakpoint on it counts for the item, which is our block.
fn part(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
    item: &mut Item<'_>,
    texts: &mut Vec<Span>,
) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        return walker.pass().map_err(ScanError::from);
    }
    found.count(walker)?;
    let start = walker.at();
    let mut marker = Marker::default();
    walker.members(|walker, key| {
        marker.passed(&key);
        match key.raw {
            b"text" => texts.extend(walker.string_or_skip()?),
            b"prompt_cache_breakpoint" => marker.read(walker, found, &key)?,
            _ => file(walker, found, &key)?,
        }
        Ok::<(), ScanError>(())
    })?;
    if let Some(span) = marker.close(&(start..walker.at())) {
        item.marker.set(span);
    }
    Ok(())
}
