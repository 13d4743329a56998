//! The content of a message.

use super::{Lost, settings::write_mark};
use crate::dialect::{
    neutral::{CacheMark, Content, Escaped, Media, MediaKind, Part, Source, Writer},
    translate::{Quirks, Target},
};

/// What stands between texts that become one.
const BETWEEN: &str = "\\n\\n";

/// Texts as one string where the host may know nothing else, or there is one only; else as parts. `mark`
/// is for the last of them.
pub(super) fn texts(w: &mut Writer<'_>, texts: &[Text<'_>], mark: Option<CacheMark>, quirks: &Quirks) {
    let is_marked = quirks.cache_control && (mark.is_some() || texts.iter().any(|text| text.mark.is_some()));
    match texts {
        [] => w.text(""),
        [one] if !is_marked => w.escaped(one.text),
        _ if is_marked || takes_parts(quirks) => w.array(|w| {
            for (i, text) in texts.iter().enumerate() {
                let is_last = i + 1 == texts.len();
                let mark = text.mark.or(mark.filter(|_| is_last));
                write_text(w, text.text, mark, quirks);
            }
        }),
        _ => {
            let mut pieces = Vec::with_capacity(texts.len() * 2);
            for text in texts {
                pieces.extend([BETWEEN, text.text.raw()]);
            }
            w.joined(pieces.get(1..).unwrap_or_default());
        }
    }
}

/// A text and its mark.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub text: &'a Escaped<'a>,
    pub mark: Option<CacheMark>,
}

/// A host that takes pictures or files takes texts as parts.
const fn takes_parts(quirks: &Quirks) -> bool {
    quirks.images || quirks.files || quirks.cache_control
}

/// Text and media as content; what the target cannot say is left out and written down.
pub(super) fn content(w: &mut Writer<'_>, parts: &[&Part<'_>], target: &Target<'_>, lost: &mut Lost<'_>) {
    let quirks = target.quirks;
    let known: Vec<&Part<'_>> = parts.iter().copied().filter(|part| is_known(part, quirks, lost)).collect();
    let mut only_texts = Vec::with_capacity(known.len());
    for part in &known {
        match &part.content {
            Content::Text(text) => only_texts.push(Text { text, mark: part.mark }),
            Content::Media(_)
            | Content::ToolCall { .. }
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Refusal(_) => {}
        }
    }
    if only_texts.len() == known.len() {
        texts(w, &only_texts, None, quirks);
        return;
    }
    w.array(|w| {
        for part in known {
            write_part(w, part, quirks);
        }
    });
}

/// A text, or media that [`is_known`].
pub(super) fn write_part(w: &mut Writer<'_>, part: &Part<'_>, quirks: &Quirks) {
    match &part.content {
        Content::Text(text) => write_text(w, text, part.mark, quirks),
        Content::Media(media) => write_media(w, media, part.mark, quirks),
        Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::Refusal(_) => {}
    }
}

pub(super) fn write_text(w: &mut Writer<'_>, text: &Escaped<'_>, mark: Option<CacheMark>, quirks: &Quirks) {
    w.object(|w| {
        w.key("type").text("text");
        w.key("text").escaped(text);
        part_mark(w, mark, quirks);
    });
}

fn part_mark(w: &mut Writer<'_>, mark: Option<CacheMark>, quirks: &Quirks) {
    if let Some(mark) = mark.filter(|_| quirks.cache_control) {
        write_mark(w, mark);
    }
}

/// Whether the target can say it; writes down what it cannot.
pub(super) fn is_known(part: &Part<'_>, quirks: &Quirks, lost: &mut Lost<'_>) -> bool {
    let why = match &part.content {
        Content::Text(_) => return true,
        Content::Media(media) => match unknown_media(media, quirks) {
            None => {
                if media.citations {
                    lost.part(part, "can not be cited there");
                }
                return true;
            }
            Some(why) => why,
        },
        Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::Refusal(_) => "can not be said in this place",
    };
    lost.part(part, why);
    false
}

/// Why the target cannot take it.
fn unknown_media(media: &Media<'_>, quirks: &Quirks) -> Option<&'static str> {
    match (media.kind, &media.source) {
        (_, Source::File(_)) => Some("is a file in another provider's account"),
        (MediaKind::Image, _) if !quirks.images => Some("is a picture, which is not understood there"),
        (MediaKind::Image, Source::Base64 { .. } | Source::Url(_))
        | (MediaKind::Document, Source::Text(_)) => None,
        (MediaKind::Document | MediaKind::Audio, _) if !quirks.files => {
            Some("is a file, which is not understood there")
        }
        (MediaKind::Document, Source::Base64 { .. }) => None,
        (MediaKind::Audio, Source::Base64 { media_type, .. }) => {
            audio_format(media_type).is_none().then_some("must be WAV or MP3 there")
        }
        (MediaKind::Document | MediaKind::Audio, Source::Url(_)) => Some("must be in the request there"),
        (MediaKind::Image | MediaKind::Audio, Source::Text(_)) => Some("must be Base64 there"),
    }
}

fn audio_format(media_type: &Escaped<'_>) -> Option<&'static str> {
    match media_type.raw() {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

fn write_media(w: &mut Writer<'_>, media: &Media<'_>, mark: Option<CacheMark>, quirks: &Quirks) {
    w.object(|w| {
        match (media.kind, &media.source) {
            (MediaKind::Image, Source::Base64 { media_type, data }) => {
                write_image(w, media, &["data:", media_type.raw(), ";base64,", data.raw()]);
            }
            (MediaKind::Image, Source::Url(url)) => write_image(w, media, &[url.raw()]),
            (MediaKind::Document, Source::Base64 { media_type, data }) => {
                w.key("type").text("file");
                w.key("file").object(|w| {
                    // Without a name it is refused.
                    let unnamed = Escaped::plain("document.pdf");
                    w.key("filename").escaped(media.name.as_ref().unwrap_or(&unnamed));
                    w.key("file_data").joined(&["data:", media_type.raw(), ";base64,", data.raw()]);
                });
            }
            (MediaKind::Document, Source::Text(text)) => {
                w.key("type").text("text");
                match &media.name {
                    Some(name) => w.key("text").joined(&[name.raw(), BETWEEN, text.raw()]),
                    None => w.key("text").escaped(text),
                }
            }
            (MediaKind::Audio, Source::Base64 { media_type, data }) => {
                w.key("type").text("input_audio");
                w.key("input_audio").object(|w| {
                    w.key("data").escaped(data);
                    w.key("format").text(audio_format(media_type).unwrap_or("wav"));
                });
            }
            // `is_known` lets none of these through.
            (MediaKind::Image | MediaKind::Document | MediaKind::Audio, _) => {}
        }
        part_mark(w, mark, quirks);
    });
}

fn write_image(w: &mut Writer<'_>, media: &Media<'_>, url: &[&str]) {
    w.key("type").text("image_url");
    w.key("image_url").object(|w| {
        w.key("url").joined(url);
        if let Some(detail) = &media.detail {
            w.key("detail").escaped(detail);
        }
    });
}
