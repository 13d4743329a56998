//! Blocks of a prompt: what Anthropic's messages and OpenAI's chat have in common.

use crate::{
    dialect::{
        json::{self, Key, Kind, Walker},
        scan::{Found, ScanError},
        view::{Block, MarkLife, PinKind, Place, Span},
    },
    types::Section,
};

/// Claude Code's first system block: about the client, not about the conversation.
const ATTRIBUTION: &[u8] = b"x-anthropic-billing-header:";

/// What the blocks of one message told, until its role is known.
#[derive(Default)]
pub(crate) struct Content {
    /// Texts, between their quotes.
    pub texts: Vec<Span>,
    /// Ids of the tool calls whose results stand here, between their quotes.
    pub results: Vec<Span>,
}

impl Content {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.results.clear();
    }
}

/// Reads a `content` or `system`: a string is one block, an array holds blocks.
pub(crate) fn content(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
    section: Section,
    seen: &mut Content,
) -> Result<(), ScanError> {
    match walker.kind()? {
        Kind::String => {
            let inner = walker.string()?;
            let place = if json::is_blank(walker.bytes(&inner)) { Place::Nowhere } else { Place::Bare };
            let block = Block { place, ..plain(section, inner.start - 1..inner.end + 1) };
            seen.texts.push(inner);
            found.block(walker, block)
        }
        Kind::Array => walker.elements(|walker| element(walker, found, section, seen)),
        Kind::Object => {
            let span = walker.skip()?;
            found.block(walker, plain(section, span))
        }
        Kind::Scalar => walker.scalar().map(drop).map_err(ScanError::from),
    }
}

/// A block without anything to know about it.
pub(crate) const fn plain(section: Section, span: Span) -> Block {
    Block { section, span, marker: None, opens_message: false, attribution: false, place: Place::Nowhere }
}

/// Kinds of blocks that we know to take a marker.
const MARKABLE: &[&[u8]] = &[b"text", b"image", b"document", b"search_result", b"tool_use", b"tool_result"];

fn element(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
    section: Section,
    seen: &mut Content,
) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        let span = walker.skip()?;
        return found.block(walker, plain(section, span));
    }
    let start = walker.at();
    let (mut kind, mut text, mut call) = (None, None, None);
    let mut signature = false;
    // Only `type`, `text` and the marker: the same to a provider as the bare string.
    let mut only_text = true;
    let mut marker = Marker::default();
    walker.members(|walker, key| {
        marker.passed(&key);
        match key.raw {
            b"type" => kind = walker.string_or_skip()?,
            b"text" => text = walker.string_or_skip()?,
            b"cache_control" | b"prompt_cache_breakpoint" => return marker.read(walker, found, &key),
            _ => {
                only_text = false;
                match key.raw {
                    b"tool_use_id" => call = walker.string_or_skip()?,
                    b"signature" => signature = walker.string_or_skip()?.is_some_and(|text| !text.is_empty()),
                    _ => file(walker, found, &key)?,
                }
            }
        }
        Ok(())
    })?;
    let span = start..walker.at();
    let kind = kind.map(|kind| walker.bytes(&kind)).unwrap_or_default();
    let attribution = section == Section::System
        && found.system_is_empty()
        && text.as_ref().is_some_and(|text| walker.bytes(text).starts_with(ATTRIBUTION));
    let blank = kind == b"text" && text.as_ref().is_none_or(|text| json::is_blank(walker.bytes(text)));
    let takes_marker = !marker.named && !attribution && !blank && MARKABLE.contains(&kind);
    let place = |place| if takes_marker { place } else { Place::Nowhere };
    let marker = marker.close(&span);
    let block = match &text {
        Some(text) if only_text && kind == b"text" => {
            let span = text.start - 1..text.end + 1;
            // What marks it stands outside of its text: nothing has to be left out.
            let marker = marker.map(|_| span.end..span.end);
            Block { marker, attribution, place: place(Place::BehindText), ..plain(section, span) }
        }
        _ => {
            // A marker in a tool's result ends the prefix at that result.
            let marker = marker.or_else(|| found.has_open_mark().then_some(span.end..span.end));
            Block { marker, attribution, place: place(Place::Inside), ..plain(section, span) }
        }
    };
    if kind == b"image" {
        found.image();
    }
    if kind == b"redacted_thinking" || (kind == b"thinking" && signature) {
        found.signed();
    }
    if kind == b"text" {
        seen.texts.extend(text);
    }
    if kind == b"tool_result" {
        seen.results.extend(call);
    }
    found.block(walker, block)
}

/// Passes a member's value and pins the request to a file in it, wherever the dialects put one:
/// `file_id`, `source.file_id`, `file.file_id`, and the same in the blocks of a tool's result.
pub(crate) fn file(walker: &mut Walker<'_>, found: &mut Found<'_>, key: &Key<'_>) -> Result<(), ScanError> {
    plainly(key)?;
    match (key.raw, walker.kind()?) {
        (b"file_id", Kind::String) => {
            let id = walker.string()?;
            found.pin(PinKind::File, "file_id", &id)
        }
        (b"source" | b"file", Kind::Object) => {
            walker.members(|walker, key| match (plainly(&key)?, walker.kind()?) {
                (b"file_id", Kind::String) => {
                    let id = walker.string()?;
                    found.pin(PinKind::File, "file_id", &id)
                }
                _ => walker.pass().map_err(ScanError::from),
            })
        }
        // One level only: results hold plain blocks, never results.
        (b"content" | b"output", Kind::Array) => walker.elements(|walker| {
            if walker.kind()? != Kind::Object {
                return walker.pass().map_err(ScanError::from);
            }
            walker.members(|walker, key| match key.raw {
                b"content" | b"output" => walker.pass().map_err(ScanError::from),
                b"type" => {
                    if walker.string_or_skip()?.is_some_and(|kind| walker.bytes(&kind) == b"image") {
                        found.image();
                    }
                    Ok(())
                }
                // A marker in a tool's result counts among the request's four.
                b"cache_control" => {
                    if let Some((value, life)) = read_marker(walker, found)? {
                        found.breakpoint(value, life);
                    }
                    Ok(())
                }
                _ => file(walker, found, &key),
            })
        }),
        _ => walker.pass().map_err(ScanError::from),
    }
}

/// A key that is written with escapes: no client does so, but one that wants us to read one request
/// and the provider another.
fn plainly<'a>(key: &Key<'a>) -> Result<&'a [u8], ScanError> {
    if memchr::memchr(b'\\', key.raw).is_none() {
        return Ok(key.raw);
    }
    Err(ScanError {
        message: "the name of a member of the prompt is written with escapes".to_owned(),
        field: None,
        offset: key.start,
    })
}

/// The container that a tool runs in, by id, or the files that it is made with.
fn container(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    match walker.kind()? {
        Kind::String => {
            let id = walker.string()?;
            found.pin(PinKind::Container, "container", &id)
        }
        Kind::Object => walker.members(|walker, key| match (plainly(&key)?, walker.kind()?) {
            (b"file_ids", Kind::Array) => walker.elements(|walker| match walker.string_or_skip()? {
                Some(id) => found.pin(PinKind::File, "file_ids", &id),
                None => Ok(()),
            }),
            _ => walker.pass().map_err(ScanError::from),
        }),
        Kind::Array | Kind::Scalar => walker.pass().map_err(ScanError::from),
    }
}

/// Reads `tools`: every definition is a block.
pub(crate) fn tools(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    match walker.kind()? {
        Kind::Array => walker.elements(|walker| {
            if walker.kind()? != Kind::Object {
                let span = walker.skip()?;
                return found.block(walker, plain(Section::Tools, span));
            }
            let start = walker.at();
            let mut marker = Marker::default();
            let mut deferred = false;
            walker.members(|walker, key| {
                marker.passed(&key);
                match plainly(&key)? {
                    // A tool that is only looked up later is no part of the prefix.
                    b"defer_loading" => {
                        deferred = true;
                        walker.pass().map_err(ScanError::from)
                    }
                    b"cache_control" => marker.read(walker, found, &key),
                    b"container" => container(walker, found),
                    _ => walker.pass().map_err(ScanError::from),
                }
            })?;
            let span = start..walker.at();
            let empty = walker
                .bytes(&span)
                .get(1..span.len() - 1)
                .is_none_or(|inside| inside.trim_ascii().is_empty());
            let place = if deferred || marker.named || empty { Place::Nowhere } else { Place::Inside };
            let marker = marker.close(&span);
            found.block(walker, Block { marker, place, ..plain(Section::Tools, span) })
        }),
        Kind::String | Kind::Object | Kind::Scalar => {
            let span = walker.skip()?;
            if walker.bytes(&span) == b"null" {
                return Ok(());
            }
            Err(ScanError::of("tools", "must be an array", span.start))
        }
    }
}

/// Where an object's cache marker stands, with exactly the comma that came with it: what is left
/// is the same text as if the marker had never been put in.
#[derive(Default)]
pub(crate) struct Marker {
    span: Option<Span>,
    /// It is the first member, and no member has followed yet.
    alone: bool,
    /// The member is there, even if it marks nothing.
    named: bool,
}

impl Marker {
    /// A key was passed: a marker that came first ends where the next member begins.
    pub(crate) fn passed(&mut self, key: &Key<'_>) {
        if self.alone
            && let Some(span) = &mut self.span
        {
            span.end = key.start;
            self.alone = false;
        }
    }

    /// Reads the marker whose key was just passed. `null` marks nothing.
    pub(crate) fn read(
        &mut self,
        walker: &mut Walker<'_>,
        found: &mut Found<'_>,
        key: &Key<'_>,
    ) -> Result<(), ScanError> {
        self.named = true;
        if let Some((value, life)) = read_marker(walker, found)? {
            found.breakpoint(value, life);
            self.alone = key.before.is_none();
            self.span = Some(key.before.unwrap_or(key.start)..walker.at());
        }
        Ok(())
    }

    /// A marker further inside stands for the object's own; the last one counts.
    pub(crate) fn set(&mut self, span: Span) {
        self.alone = false;
        self.span = Some(span);
    }

    /// The object ended; it stands at `object`.
    pub(crate) fn close(self, object: &Span) -> Option<Span> {
        if self.alone { Some(object.start + 1..object.end - 1) } else { self.span }
    }
}

/// Reads the value of a `cache_control`: where it stands, and the life that it asks for. `None` when
/// it marks nothing.
pub(crate) fn read_marker(
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
) -> Result<Option<(Span, MarkLife)>, ScanError> {
    let kind = walker.kind()?;
    let start = walker.at();
    let (mut ephemeral, mut ttls, mut escaped) = (false, 0_u8, false);
    let (mut long, mut life) = (false, MarkLife::Unsaid);
    match kind {
        Kind::Object => walker.members(|walker, key| {
            walker.kind()?;
            let at = walker.at();
            let value = walker.string_or_skip()?;
            let text = value.map(|inner| walker.bytes(&inner));
            escaped |= key.raw.contains(&b'\\');
            match key.raw {
                b"type" => ephemeral = text == Some(b"ephemeral"),
                b"ttl" => {
                    ttls = ttls.saturating_add(1);
                    long = text.is_some_and(|ttl| matches!(ttl, b"1h" | b"12h" | b"24h"));
                    let raw = at..walker.at();
                    life = match text {
                        Some(b"1h") => MarkLife::Hour,
                        Some(b"5m") => MarkLife::Short(raw),
                        None if walker.bytes(&raw) == b"null" => MarkLife::Short(raw),
                        Some(_) | None => MarkLife::Odd,
                    };
                }
                _ => {}
            }
            Ok::<(), ScanError>(())
        })?,
        Kind::Scalar => {
            let span = walker.scalar()?;
            if walker.bytes(&span) == b"null" {
                return Ok(None);
            }
        }
        Kind::String | Kind::Array => walker.pass()?,
    }
    found.marked(long);
    if !ephemeral || ttls > 1 || escaped {
        life = MarkLife::Odd;
    }
    Ok(Some((start..walker.at(), life)))
}
