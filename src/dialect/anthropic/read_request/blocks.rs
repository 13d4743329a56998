//! Blocks of content.

use super::{Reader, flag, is_null, messages::Place, says_nothing, text};
use crate::{
    dialect::{
        anthropic::{REDACTED, members},
        json::{Kind, Walker},
        neutral::{
            At, CacheMark, Carrier, Content, Escaped, Json, Malformed, Media, MediaKind, Part, Seals, Source,
            Weight, split_tool_id,
        },
    },
    types::Dialect,
};

/// What the members of a block say, whatever its type, which may come last.
#[derive(Default)]
struct Block<'a> {
    kind: Option<Escaped<'a>>,
    text: Option<Escaped<'a>>,
    id: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    input: Option<Json<'a>>,
    /// `tool_use_id`
    call: Option<Escaped<'a>>,
    is_error: bool,
    result: Option<Vec<Part<'a>>>,
    thinking: Option<Escaped<'a>>,
    signature: Option<Escaped<'a>>,
    data: Option<Escaped<'a>>,
    source: Option<Held<'a>>,
    title: Option<Escaped<'a>>,
    /// `citations.enabled`
    cite: bool,
    mark: Option<CacheMark>,
    unknown: Vec<(&'a [u8], Json<'a>)>,
}

/// A `source`.
enum Held<'a> {
    Known(Source<'a>),
    /// Of a type that the neutral form does not know.
    Other,
}

impl<'a> Reader<'a, '_> {
    /// Reads a block; `None` for one that has no place in the neutral form, which is written down.
    pub(super) fn block(
        &mut self,
        walker: &mut Walker<'a>,
        at: At,
        place: &Place,
    ) -> Result<Option<Part<'a>>, Malformed> {
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(at.path(Dialect::Anthropic), "must be an object"));
        }
        let mut block = self.read_members(walker, at, place).map_err(|fault| inside(at, fault))?;
        // A mark within a tool's result ends the prefix at that result.
        let mark = block.mark.or_else(|| block.result.iter().flatten().rev().find_map(|part| part.mark));
        let unknown = std::mem::take(&mut block.unknown);
        let kind = block.kind.take().ok_or_else(|| inside(at, Malformed::new("type", "is missing")))?;
        let content = self.build(kind.raw(), block, at, place).map_err(|fault| inside(at, fault))?;
        let Some(content) = content else { return Ok(None) };
        for (name, value) in unknown {
            self.unknown_member(at, name, &value);
        }
        Ok(Some(Part { at, content, mark }))
    }

    fn read_members(
        &mut self,
        walker: &mut Walker<'a>,
        at: At,
        place: &Place,
    ) -> Result<Block<'a>, Malformed> {
        let mut block = Block::default();
        // Where a result's content stands that came before its type.
        let mut ahead = None;
        walker.members(|walker, key| {
            match key.raw {
                b"type" => block.kind = text(walker, "type")?,
                b"text" => block.text = text(walker, "text")?,
                b"id" => block.id = text(walker, "id")?,
                b"name" => block.name = text(walker, "name")?,
                b"input" => block.input = Some(Json::read(walker)?),
                b"tool_use_id" => block.call = text(walker, "tool_use_id")?,
                b"is_error" => block.is_error = flag(walker, "is_error")?.unwrap_or(false),
                b"thinking" => block.thinking = text(walker, "thinking")?,
                b"signature" => block.signature = text(walker, "signature")?,
                b"data" => block.data = text(walker, "data")?,
                b"source" if walker.kind()? == Kind::Object => block.source = Some(source(walker)?),
                b"title" => block.title = text(walker, "title")?,
                b"citations" if walker.kind()? == Kind::Object => {
                    members(walker, |walker, key| {
                        match key.raw {
                            b"enabled" => block.cite = flag(walker, "citations.enabled")?.unwrap_or(false),
                            _ => walker.pass()?,
                        }
                        Ok(())
                    })?;
                }
                b"cache_control" => block.mark = self.mark(walker, Some(at))?,
                b"content" if is_result(&block, place) => block.result = Some(self.result(walker, at)?),
                b"content" => {
                    ahead = Some(walker.clone());
                    walker.pass()?;
                }
                other => block.unknown.push((other, Json::read(walker)?)),
            }
            Ok::<(), Malformed>(())
        })?;
        if let Some(mut ahead) = ahead.filter(|_| is_result(&block, place)) {
            block.result = Some(self.result(&mut ahead, at)?);
        }
        Ok(block)
    }

    fn result(&mut self, walker: &mut Walker<'a>, at: At) -> Result<Vec<Part<'a>>, Malformed> {
        if is_null(walker)? {
            return Ok(Vec::new());
        }
        self.content(walker, &Place::Result(at))
    }

    fn build(
        &mut self,
        kind: &str,
        block: Block<'a>,
        at: At,
        place: &Place,
    ) -> Result<Option<Content<'a>>, Malformed> {
        let in_message = matches!(place, Place::Message(_));
        let content = match kind {
            "text" => Content::Text(need(block.text, "text")?),
            "image" | "document" => return self.media(kind, block, at),
            "tool_use" if in_message => {
                let (id, carrier) = split_tool_id(need(block.id, "id")?);
                let arguments = need(block.input.filter(Json::is_object), "input")?;
                Content::ToolCall { id, name: need(block.name, "name")?, arguments, carrier }
            }
            "tool_result" if in_message => {
                // What the call's maker wants back stands in the call.
                let (id, _) = split_tool_id(need(block.call, "tool_use_id")?);
                Content::ToolResult { id, is_error: block.is_error, parts: block.result.unwrap_or_default() }
            }
            "thinking" if in_message => Content::Thinking {
                text: block.thinking.unwrap_or_default(),
                seal: seal(block.signature.unwrap_or_default(), Seals::Native),
            },
            REDACTED if in_message => Content::Thinking {
                text: Escaped::default(),
                seal: seal(need(block.data, "data")?, Seals::Redacted),
            },
            _ => {
                let why = "is of a type that is known to Anthropic's own API only";
                self.losses.add(at.path(Dialect::Anthropic), Weight::Meaning, why);
                return Ok(None);
            }
        };
        Ok(Some(content))
    }

    fn media(&mut self, kind: &str, block: Block<'a>, at: At) -> Result<Option<Content<'a>>, Malformed> {
        let source = match need(block.source, "source")? {
            Held::Known(source) => source,
            Held::Other => {
                let field = format!("{}.source", at.path(Dialect::Anthropic));
                self.losses.add(
                    field,
                    Weight::Meaning,
                    "is of a type that is known to Anthropic's own API only",
                );
                return Ok(None);
            }
        };
        let kind = if kind == "image" { MediaKind::Image } else { MediaKind::Document };
        let media = Media { kind, source, name: block.title, detail: None, citations: block.cite };
        Ok(Some(Content::Media(media)))
    }

    /// Writes down a member that the neutral form has no word for.
    fn unknown_member(&mut self, at: At, name: &[u8], value: &Json<'_>) {
        if says_nothing(value) {
            return;
        }
        let (weight, why) = match name {
            b"caller" if value.as_str().contains("\"direct\"") => return,
            b"caller" => (Weight::Hint, "is known to Anthropic's own API only"),
            // The text itself stays.
            b"citations" => (Weight::Hint, "is known to Anthropic's own API only"),
            b"transformations" => (Weight::Hint, "is known to Anthropic's own API only"),
            _ => (Weight::Meaning, "is not known here"),
        };
        let field = format!("{}.{}", at.path(Dialect::Anthropic), String::from_utf8_lossy(name));
        self.losses.add(field, weight, why);
    }
}

fn is_result(block: &Block<'_>, place: &Place) -> bool {
    matches!(place, Place::Message(_)) && block.kind.as_ref().is_some_and(|kind| kind.raw() == "tool_result")
}

/// A fault of a block's, named with the place that it stands in.
fn inside(at: At, fault: Malformed) -> Malformed {
    if fault.field.starts_with("messages[") || fault.field.starts_with("system") {
        return fault;
    }
    let dot = if fault.field.is_empty() { "" } else { "." };
    Malformed { field: format!("{}{dot}{}", at.path(Dialect::Anthropic), fault.field), what: fault.what }
}

fn need<T>(value: Option<T>, name: &str) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(name, "is missing, or of the wrong type"))
}

/// A signature, or what is redacted: ours, packed, or one of Anthropic's own.
fn seal<'a>(text: Escaped<'a>, native: fn(Escaped<'a>) -> Seals<'a>) -> Seals<'a> {
    if text.is_empty() {
        return Seals::None;
    }
    match Carrier::unpack(text.raw()) {
        Some(carrier) => Seals::Carried(carrier),
        None => native(text),
    }
}

fn source<'a>(walker: &mut Walker<'a>) -> Result<Held<'a>, Malformed> {
    let (mut kind, mut media_type, mut data, mut url, mut file) = (None, None, None, None, None);
    // `content` may be a string, or blocks; only the string has a place.
    let mut content = None;
    members(walker, |walker, key| {
        match key.raw {
            b"type" => kind = text(walker, "source.type")?,
            b"media_type" => media_type = text(walker, "source.media_type")?,
            b"data" => data = text(walker, "source.data")?,
            b"url" => url = text(walker, "source.url")?,
            b"file_id" => file = text(walker, "source.file_id")?,
            b"content" => content = Escaped::read(walker)?,
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    let kind = need(kind, "source.type")?;
    Ok(match kind.raw() {
        "base64" => Held::Known(Source::Base64 {
            media_type: need(media_type, "source.media_type")?,
            data: need(data, "source.data")?,
        }),
        "text" => Held::Known(Source::Text(need(data, "source.data")?)),
        "url" => Held::Known(Source::Url(need(url, "source.url")?)),
        "file" => Held::Known(Source::File(need(file, "source.file_id")?)),
        "content" => content.map_or(Held::Other, |text| Held::Known(Source::Text(text))),
        _ => Held::Other,
    })
}
