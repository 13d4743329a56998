//! Pictures and documents.

use crate::{
    dialect::{
        neutral::{At, Escaped, Losses, Media, MediaKind, Request, Source, Weight, Writer},
        translate::Target,
    },
    types::Dialect,
};

/// Writes one as a piece of content; `more` may add members to it.
pub(super) fn write(
    media: &Media<'_>,
    at: At,
    request: &Request<'_>,
    target: &Target<'_>,
    w: &mut Writer<'_>,
    losses: &mut Losses,
    more: impl FnOnce(&mut Writer<'_>),
) {
    if let Some(why) = refused(media, request, target) {
        losses.add(at.path(request.origin), Weight::Meaning, why);
        return;
    }
    if media.citations {
        let field = format!("{}.citations", at.path(request.origin));
        losses.add(field, Weight::Meaning, "cannot be asked for there");
    }
    w.object(|w| {
        match media.kind {
            MediaKind::Image => image(media, w),
            MediaKind::Document | MediaKind::Audio => document(media, w),
        }
        more(w);
    });
}

/// Why it cannot be said there; `None`: it can.
fn refused(media: &Media<'_>, request: &Request<'_>, target: &Target<'_>) -> Option<&'static str> {
    if matches!(media.source, Source::File(_)) && request.origin == Dialect::Anthropic {
        return Some("names a file that only the client's own provider has");
    }
    match (media.kind, &media.source) {
        (MediaKind::Image, _) if !target.quirks.images => {
            Some("is a picture, which the provider does not take")
        }
        (MediaKind::Image, Source::Text(_)) => Some("is no picture"),
        // As text it is text.
        (MediaKind::Image, _) | (MediaKind::Document, Source::Text(_)) => None,
        (MediaKind::Document, _) if !target.quirks.files => {
            Some("is a file, which the provider does not take")
        }
        (MediaKind::Document, _) => None,
        (MediaKind::Audio, _) => Some("is sound, which the provider does not take"),
    }
}

fn image(media: &Media<'_>, w: &mut Writer<'_>) {
    w.key("type").text("input_image");
    match &media.detail {
        Some(detail) => w.key("detail").escaped(detail),
        None => w.key("detail").text("auto"),
    }
    match &media.source {
        Source::Base64 { media_type, data } => data_url("image_url", media_type, data, w),
        Source::Url(url) | Source::Text(url) => w.key("image_url").escaped(url),
        Source::File(id) => w.key("file_id").escaped(id),
    }
}

fn document(media: &Media<'_>, w: &mut Writer<'_>) {
    if let Source::Text(text) = &media.source {
        w.key("type").text("input_text");
        match &media.name {
            // Its title is all that tells it from what the user says.
            Some(name) => w.key("text").joined(&[name.raw(), r"\n\n", text.raw()]),
            None => w.key("text").escaped(text),
        }
        return;
    }
    w.key("type").text("input_file");
    match &media.source {
        Source::Base64 { media_type, data } => {
            // A name is asked for, and its ending says what it is.
            match &media.name {
                Some(name) => w.key("filename").escaped(name),
                None => w.key("filename").text(name_of(media_type)),
            }
            data_url("file_data", media_type, data, w);
        }
        Source::Url(url) | Source::Text(url) => w.key("file_url").escaped(url),
        Source::File(id) => w.key("file_id").escaped(id),
    }
}

fn name_of(media_type: &Escaped<'_>) -> &'static str {
    match media_type.raw() {
        "application/pdf" => "document.pdf",
        "text/csv" => "document.csv",
        "text/html" => "document.html",
        "text/markdown" => "document.md",
        "application/json" => "document.json",
        "text/plain" => "document.txt",
        _ => "document",
    }
}

fn data_url(name: &str, media_type: &Escaped<'_>, data: &Escaped<'_>, w: &mut Writer<'_>) {
    w.key(name).joined(&["data:", media_type.raw(), ";base64,", data.raw()]);
}
