//! Pictures, documents, sounds.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Job;
use crate::dialect::neutral::{At, Escaped, Media, MediaKind, Source, Weight, Writer};

/// Formats by media type: `ImageFormat`, `DocumentFormat`, `AudioFormat` of botocore.
const IMAGES: [(&str, &str); 5] = [
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];
const DOCUMENTS: [(&str, &str); 10] = [
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("text/csv", "csv"),
    ("application/csv", "csv"),
    ("text/html", "html"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
];
const SOUNDS: [(&str, &str); 8] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/ogg", "ogg"),
    ("audio/opus", "opus"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
];

/// A file, ready to be written.
pub(super) struct File<'a> {
    member: &'static str,
    format: &'static str,
    /// Base64.
    data: Escaped<'a>,
    /// Of a document.
    name: Option<String>,
    citations: bool,
}

impl File<'_> {
    pub(super) const fn is_document(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key(self.member).object(|w| {
                w.key("format").escaped(&Escaped::plain(self.format));
                if let Some(name) = &self.name {
                    w.key("name").escaped(&Escaped::plain(name));
                }
                w.key("source").object(|w| w.key("bytes").escaped(&self.data));
                if self.citations {
                    w.key("citations").object(|w| w.key("enabled").bool(true));
                }
            });
        });
    }
}

/// About as many bytes as it takes.
pub(super) fn length(media: &Media<'_>) -> usize {
    const WRAPPING: usize = 128;
    WRAPPING
        + match &media.source {
            Source::Base64 { data, .. } => data.raw().len(),
            Source::Text(text) => text.raw().len() / 3 * 4,
            Source::Url(_) | Source::File(_) => 0,
        }
}

impl<'j> Job<'j, '_> {
    pub(super) fn media(&mut self, media: &'j Media<'j>, at: At) -> Option<File<'j>> {
        let (format, data) = match &media.source {
            Source::Base64 { media_type, data } => {
                let Some(format) = format(media.kind, &media_type.decode()) else {
                    self.lose(at, "is of a type that is not understood there");
                    return None;
                };
                (format, data.clone())
            }
            Source::Text(text) => ("txt", Escaped::of(&STANDARD.encode(text.decode().as_bytes()))),
            Source::Url(_) => {
                self.lose(at, "is a URL, and only data within the request is understood");
                return None;
            }
            Source::File(_) => {
                self.lose(at, "was uploaded elsewhere, and only data within the request is understood");
                return None;
            }
        };
        if data.is_empty() {
            self.lose(at, "is empty");
            return None;
        }
        if media.detail.as_ref().is_some_and(|detail| detail.raw() != "auto") {
            let field = format!("{}.detail", at.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "has no counterpart there");
        }
        let (member, name) = match media.kind {
            MediaKind::Image => ("image", None),
            MediaKind::Document => ("document", Some(self.documents.fit(media.name.as_ref()))),
            MediaKind::Audio => ("audio", None),
        };
        Some(File { member, format, data, citations: media.citations && name.is_some(), name })
    }
}

fn format(kind: MediaKind, media_type: &str) -> Option<&'static str> {
    let formats: &[(&str, &'static str)] = match kind {
        MediaKind::Image => &IMAGES,
        MediaKind::Document => &DOCUMENTS,
        MediaKind::Audio => &SOUNDS,
    };
    let name = media_type.split(';').next().unwrap_or_default().trim();
    formats.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, format)| *format)
}
