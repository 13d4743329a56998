//! The pieces of messages, of results and of summaries.

use super::{
    ELSEWHERE,
    take::{self, Here},
};
use crate::dialect::{
    json::{Key, Kind, Walker},
    neutral::{At, CacheMark, Content, Escaped, Losses, Malformed, Media, MediaKind, Part, Source, Weight},
};

/// The pieces of one item.
pub(super) type Parts<'a> = Vec<Part<'a>>;

/// Reads a string, or an array of pieces. `name` is the member's: pieces of `content` have places of
/// their own in errors, others count as their item.
pub(super) fn read<'a>(
    walker: &mut Walker<'a>,
    at: At,
    name: &'static str,
    losses: &mut Losses,
) -> Result<Parts<'a>, Malformed> {
    let here = Here::of(at, name);
    if walker.kind()? == Kind::String {
        let text = Escaped::read(walker)?.unwrap_or_default();
        return Ok(vec![Part { at, content: Content::Text(text), mark: None }]);
    }
    let mut parts = Vec::new();
    take::elements(walker, here, |walker, number| {
        let own = match at {
            At::Item(item) if name == "content" => At::Content(item, number),
            At::Item(_) | At::System(_) | At::Content(..) | At::Tool(_) => at,
        };
        parts.extend(part(walker, own, losses)?);
        Ok(())
    })?;
    Ok(parts)
}

/// What a piece says of itself. Strings that may be long are kept as bytes: they are cut first.
#[derive(Default)]
struct Found<'a> {
    kind: Option<Escaped<'a>>,
    text: Option<Escaped<'a>>,
    refusal: Option<Escaped<'a>>,
    /// `image_url`, `file_url`: an address, or the data.
    url: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    file_id: Option<Escaped<'a>>,
    filename: Option<Escaped<'a>>,
    detail: Option<Escaped<'a>>,
    audio: Option<(Escaped<'a>, Escaped<'a>)>,
    mark: Option<CacheMark>,
    others: Vec<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>, at: At) -> Result<(), Malformed> {
        let here = |name| Here::of(at, name);
        match key.raw {
            b"type" => self.kind = take::string(walker, here("type"))?,
            b"text" => self.text = take::string(walker, here("text"))?,
            b"refusal" => self.refusal = take::string(walker, here("refusal"))?,
            b"image_url" => self.url = bytes(walker, here("image_url"))?.or(self.url),
            b"file_url" => self.url = bytes(walker, here("file_url"))?.or(self.url),
            b"file_data" => self.data = bytes(walker, here("file_data"))?,
            b"file_id" => self.file_id = take::string(walker, here("file_id"))?,
            b"filename" => self.filename = take::string(walker, here("filename"))?,
            b"detail" => self.detail = take::string(walker, here("detail"))?,
            b"input_audio" => self.audio = audio(walker, at)?,
            b"prompt_cache_breakpoint" => self.mark = mark(walker, at)?,
            _ => {
                if !take::is_unset(walker)? {
                    self.others.push(key.raw);
                }
            }
        }
        Ok(())
    }

    /// Writes down what no other dialect has a word for.
    fn settle(&mut self, at: At, losses: &mut Losses) {
        for key in self.others.drain(..) {
            // Where an earlier answer got its words from, and how sure it was.
            let told = matches!(key, b"annotations" | b"logprobs");
            let weight = if told { Weight::Hint } else { Weight::Meaning };
            losses.add(format!("{}.{}", Here::of(at, "").path(), take::name(key)), weight, ELSEWHERE);
        }
    }
}

fn part<'a>(walker: &mut Walker<'a>, at: At, losses: &mut Losses) -> Result<Option<Part<'a>>, Malformed> {
    if walker.kind()? != Kind::Object {
        return Err(Here::of(at, "").wrong("must be an object"));
    }
    let mut found = Found::default();
    walker.members(|walker, key| found.member(walker, &key, at))?;
    let Some(kind) = found.kind.take() else { return Err(Here::of(at, "type").wrong("is missing")) };
    let missing = |name| Here::of(at, name).wrong("is missing");
    found.settle(at, losses);
    let mark = found.mark;
    let content = match kind.raw() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            Content::Text(found.text.ok_or_else(|| missing("text"))?)
        }
        "refusal" => Content::Refusal(found.refusal.ok_or_else(|| missing("refusal"))?),
        "input_image" => Content::Media(image(found).transpose()?.ok_or_else(|| missing("image_url"))?),
        "input_file" => Content::Media(file(found).transpose()?.ok_or_else(|| missing("file_data"))?),
        "input_audio" => Content::Media(sound(found).ok_or_else(|| missing("input_audio"))?),
        _ => {
            losses.add(
                Here::of(at, "").path(),
                Weight::Meaning,
                "is of a type that is unknown to the provider",
            );
            return Ok(None);
        }
    };
    Ok(Some(Part { at, content, mark }))
}

/// The bytes between the quotes of a string; `None` for `null`.
fn bytes<'a>(walker: &mut Walker<'a>, here: Here) -> Result<Option<&'a [u8]>, Malformed> {
    if walker.kind()? == Kind::String {
        let span = walker.string()?;
        return Ok(Some(walker.bytes(&span)));
    }
    take::string(walker, here).map(|_| None)
}

fn image(found: Found<'_>) -> Option<Result<Media<'_>, Malformed>> {
    let Found { url, file_id, detail, .. } = found;
    let source = match (url, file_id) {
        (Some(url), _) => address(url),
        (None, Some(id)) => Ok(Source::File(id)),
        (None, None) => return None,
    };
    let media = |source| Media { kind: MediaKind::Image, source, name: None, detail, citations: false };
    Some(source.map(media))
}

fn file(found: Found<'_>) -> Option<Result<Media<'_>, Malformed>> {
    let Found { url, data, file_id, filename, detail, .. } = found;
    let source = match (data, url, file_id) {
        (Some(data), ..) if data.starts_with(b"data:") => address(data),
        (Some(data), ..) => Escaped::from_raw(data).map(|data| {
            let media_type = Escaped::plain(type_of(filename.as_ref()));
            Source::Base64 { media_type, data }
        }),
        (None, Some(url), _) => address(url),
        (None, None, Some(id)) => Ok(Source::File(id)),
        (None, None, None) => return None,
    };
    let media =
        |source| Media { kind: MediaKind::Document, source, name: filename, detail, citations: false };
    Some(source.map(media))
}

/// What bare data is, by the name of its file. `OpenAI` means a PDF where nothing else is said.
fn type_of(name: Option<&Escaped<'_>>) -> &'static str {
    let name = name.map(Escaped::raw).unwrap_or_default();
    let end = name.rsplit('.').next().unwrap_or_default();
    match end {
        "txt" | "md" | "log" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/pdf",
    }
}

/// An address; one of the `data:` kind is the thing itself.
fn address(raw: &[u8]) -> Result<Source<'_>, Malformed> {
    let Some(rest) = raw.strip_prefix(b"data:") else { return Escaped::from_raw(raw).map(Source::Url) };
    // The head is short: a comma that stands far away is none of its.
    const HEAD: usize = 256;
    let head = rest.get(..HEAD.min(rest.len())).unwrap_or_default();
    let Some(comma) = head.iter().position(|byte| *byte == b',') else {
        return Escaped::from_raw(raw).map(Source::Url);
    };
    let (head, data) = (head.get(..comma).unwrap_or_default(), rest.get(comma + 1..).unwrap_or_default());
    let Some(kind) = head.strip_suffix(b";base64") else { return Escaped::from_raw(raw).map(Source::Url) };
    // Parameters (`;charset=utf-8`) say nothing about bytes.
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = plain(Escaped::from_raw(kind)?);
    Ok(Source::Base64 { media_type, data: plain(Escaped::from_raw(data)?) })
}

/// Some encoders write `/` as `\/`: what is compared, or cut from its quotes, is written plainly.
fn plain(text: Escaped<'_>) -> Escaped<'_> {
    if text.raw().contains('\\') { Escaped::of(&text.decode()) } else { text }
}

fn audio<'a>(walker: &mut Walker<'a>, at: At) -> Result<Option<(Escaped<'a>, Escaped<'a>)>, Malformed> {
    let (mut data, mut format) = (None, None);
    take::members(walker, Here::of(at, "input_audio"), |walker, key| {
        match key.raw {
            b"data" => data = take::string(walker, Here::of(at, "input_audio.data"))?,
            b"format" => format = take::string(walker, Here::of(at, "input_audio.format"))?,
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    Ok(data.zip(format))
}

fn sound(found: Found<'_>) -> Option<Media<'_>> {
    let (data, format) = found.audio?;
    let media_type = match format.raw() {
        "mp3" => Escaped::plain("audio/mp3"),
        "wav" => Escaped::plain("audio/wav"),
        other => Escaped::plain(&format!("audio/{other}")).into_owned(),
    };
    let source = Source::Base64 { media_type, data };
    Some(Media { kind: MediaKind::Audio, source, name: None, detail: None, citations: false })
}

fn mark(walker: &mut Walker<'_>, at: At) -> Result<Option<CacheMark>, Malformed> {
    if walker.kind()? != Kind::Object {
        take::is_unset(walker)?;
        return Ok(None);
    }
    let mut mark = CacheMark::Short;
    walker.members(|walker, key| {
        if key.raw == b"ttl" {
            let ttl = take::string(walker, Here::of(at, "prompt_cache_breakpoint.ttl"))?;
            if ttl.is_some_and(|ttl| ttl.raw() == "12h") {
                mark = CacheMark::Long;
            }
            return Ok(());
        }
        walker.pass().map_err(Malformed::from)
    })?;
    Ok(Some(mark))
}

/// The texts of a summary as one.
pub(super) fn joined(parts: Parts<'_>) -> Escaped<'_> {
    let mut texts = parts.into_iter().filter_map(|part| match part.content {
        Content::Text(text) => Some(text),
        Content::Media(_)
        | Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::Refusal(_) => None,
    });
    let Some(first) = texts.next() else { return Escaped::default() };
    let Some(second) = texts.next() else { return first };
    let mut all = first.raw().to_owned();
    for text in std::iter::once(second).chain(texts) {
        all.push_str(r"\n\n");
        all.push_str(text.raw());
    }
    Escaped::plain(&all).into_owned()
}
