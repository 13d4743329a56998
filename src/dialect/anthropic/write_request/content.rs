//! Blocks of content.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Scribe;
use crate::{
    dialect::{
        anthropic::REDACTED,
        neutral::{
            CacheMark, Content, Escaped, Json, Media, MediaKind, Part, Seals, Source, Weight, Writer, fit,
        },
    },
    types::ProviderDialect,
};

/// What pictures may be (anthropic 2.12.0, `types/base64_image_source_param.py`).
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Ids of tool calls are letters, digits, `-` and `_`; AWS allows so many of them.
const LONGEST_ID: usize = 64;

/// Whether a part says anything: empty text is refused.
pub(super) fn is_said(part: &Part<'_>) -> bool {
    match &part.content {
        Content::Text(text) | Content::Refusal(text) => !text.is_blank(),
        Content::Media(_)
        | Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. } => true,
    }
}

/// A block of thinking as the target wants it back.
enum Thought<'p> {
    Clear { text: Cow<'p, str>, signature: Cow<'p, str> },
    Redacted(Cow<'p, str>),
}

impl Scribe<'_, '_> {
    /// Whether the target has words for a part; writes it down if it has none.
    pub(super) fn can_say(&mut self, part: &Part<'_>) -> bool {
        match &part.content {
            Content::Thinking { text, seal } => self.thought(text, seal).is_some(),
            Content::Media(media) => {
                let Some(why) = self.unsayable(media) else { return true };
                self.losses.add(part.at.path(self.request.origin), Weight::Meaning, why);
                false
            }
            Content::Text(_)
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Refusal(_) => true,
        }
    }

    fn unsayable(&self, media: &Media<'_>) -> Option<&'static str> {
        match (media.kind, &media.source) {
            (MediaKind::Audio, _) => Some("is sound, which Claude does not hear"),
            (_, Source::File(_)) if !self.is_native() || self.is_bedrock() => {
                Some("is a file that was uploaded elsewhere")
            }
            (_, Source::Url(_)) if self.is_bedrock() => {
                Some("is a URL, which Bedrock does not fetch; send its bytes")
            }
            (MediaKind::Image, Source::Base64 { media_type, .. }) if picture(media_type).is_none() => {
                Some("must be a JPEG, PNG, GIF or WebP")
            }
            (MediaKind::Image, Source::Text(_)) => Some("is text and no picture"),
            (MediaKind::Document, Source::Base64 { media_type, data })
                if media_type.raw() != "application/pdf" && plain(media_type, data).is_none() =>
            {
                Some("must be a PDF or plain text")
            }
            (
                MediaKind::Image | MediaKind::Document,
                Source::Base64 { .. } | Source::Text(_) | Source::Url(_) | Source::File(_),
            ) => None,
        }
    }

    /// Thinking goes back to who sealed it alone.
    fn thought<'p>(&self, text: &'p Escaped<'_>, seal: &'p Seals<'_>) -> Option<Thought<'p>> {
        match seal {
            Seals::Native(signature) if self.is_native() => {
                Some(Thought::Clear { text: text.raw().into(), signature: signature.raw().into() })
            }
            Seals::Redacted(data) if self.is_native() => Some(Thought::Redacted(data.raw().into())),
            Seals::None | Seals::Native(_) | Seals::Redacted(_) => None,
            Seals::Carried(carrier) => {
                let seal = carrier.open(self.target.maker)?;
                let family =
                    matches!(seal.dialect, ProviderDialect::Anthropic | ProviderDialect::BedrockClaude);
                if !family {
                    return None;
                }
                let data = Escaped::of(&seal.data).raw().to_owned().into();
                if seal.id == REDACTED {
                    return Some(Thought::Redacted(data));
                }
                // It travels in the seal where the client has no place for it.
                let text = if text.is_empty() {
                    Escaped::of(&seal.text).raw().to_owned().into()
                } else {
                    text.raw().into()
                };
                Some(Thought::Clear { text, signature: data })
            }
        }
    }

    /// Writes a block.
    pub(super) fn part(&mut self, w: &mut Writer<'_>, part: &Part<'_>, mark: Option<CacheMark>) {
        match &part.content {
            Content::Thinking { text, seal } => {
                if let Some(thought) = self.thought(text, seal) {
                    w.object(|w| thinking(w, &thought));
                }
            }
            Content::Text(text) | Content::Refusal(text) => w.object(|w| {
                w.key("type").text("text");
                w.key("text").escaped(text);
                self.mark(w, mark);
            }),
            Content::Media(media) => {
                if media.detail.as_ref().is_some_and(|detail| !["auto", "high"].contains(&detail.raw())) {
                    let field = format!("{}.detail", part.at.path(self.request.origin));
                    self.losses.add(field, Weight::Hint, "is unknown to Anthropic");
                }
                w.object(|w| {
                    write_media(w, media);
                    self.mark(w, mark);
                });
            }
            Content::ToolCall { id, name, arguments, carrier: _ } => w.object(|w| {
                w.key("type").text("tool_use");
                w.key("id").escaped(&fit(id, LONGEST_ID, true));
                w.key("name").escaped(name);
                w.key("input");
                input(w, arguments);
                self.mark(w, mark);
            }),
            Content::ToolResult { id, is_error, parts } => w.object(|w| {
                w.key("type").text("tool_result");
                w.key("tool_use_id").escaped(&fit(id, LONGEST_ID, true));
                if *is_error {
                    w.key("is_error").bool(true);
                }
                w.key("content").array(|w| {
                    for part in parts {
                        if is_said(part) && self.can_say(part) {
                            self.part(w, part, None);
                        }
                    }
                });
                self.mark(w, mark);
            }),
        }
    }
}

/// Arguments must be an object; the text of a free-form tool is made the only member of one.
fn input(w: &mut Writer<'_>, arguments: &Json<'_>) {
    if arguments.is_object() {
        w.json(arguments);
    } else {
        w.object(|w| w.key("input").json(arguments));
    }
}

fn thinking(w: &mut Writer<'_>, thought: &Thought<'_>) {
    match thought {
        Thought::Clear { text, signature } => {
            w.key("type").text("thinking");
            w.key("thinking").escaped(&Escaped::plain(text));
            w.key("signature").escaped(&Escaped::plain(signature));
        }
        Thought::Redacted(data) => {
            w.key("type").text(REDACTED);
            w.key("data").escaped(&Escaped::plain(data));
        }
    }
}

/// A picture's type in Anthropic's words.
fn picture(media_type: &Escaped<'_>) -> Option<&'static str> {
    match media_type.raw() {
        "image/jpg" => Some("image/jpeg"),
        other => PICTURES.into_iter().find(|known| *known == other),
    }
}

/// The text of a plain file in base64.
fn plain(media_type: &Escaped<'_>, data: &Escaped<'_>) -> Option<Escaped<'static>> {
    if !media_type.raw().starts_with("text/") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(data.decode().as_bytes()).ok()?).ok()?;
    Some(Escaped::of(&text))
}

fn write_media(w: &mut Writer<'_>, media: &Media<'_>) {
    let is_image = media.kind == MediaKind::Image;
    w.key("type").text(if is_image { "image" } else { "document" });
    w.key("source").object(|w| match &media.source {
        Source::Base64 { media_type, data } => match plain(media_type, data).filter(|_| !is_image) {
            Some(text) => plain_text(w, &text),
            None => {
                w.key("type").text("base64");
                w.key("media_type").text(picture(media_type).unwrap_or("application/pdf"));
                w.key("data").escaped(data);
            }
        },
        Source::Text(text) => plain_text(w, text),
        Source::Url(url) => {
            w.key("type").text("url");
            w.key("url").escaped(url);
        }
        Source::File(file) => {
            w.key("type").text("file");
            w.key("file_id").escaped(file);
        }
    });
    if is_image {
        return;
    }
    if let Some(name) = &media.name {
        w.key("title").escaped(name);
    }
    if media.citations {
        w.key("citations").object(|w| w.key("enabled").bool(true));
    }
}

fn plain_text(w: &mut Writer<'_>, text: &Escaped<'_>) {
    w.key("type").text("text");
    w.key("media_type").text("text/plain");
    w.key("data").escaped(text);
}

pub(super) fn source_size(source: &Source<'_>) -> usize {
    match source {
        Source::Base64 { data, .. } => data.raw().len(),
        Source::Text(text) | Source::Url(text) | Source::File(text) => text.raw().len(),
    }
}
