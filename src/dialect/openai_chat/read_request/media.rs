//! Pictures, sounds and files.

use super::value::{self, Name};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{Escaped, Malformed, Media, MediaKind, Source},
};

/// What a file is taken for whose type nobody says.
const PDF: &str = "application/pdf";

/// `image_url`: `{"url", "detail"}`, or the bare URL that some hosts take.
pub(super) fn image<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Media<'a>>, Malformed> {
    let (mut url, mut detail) = (None, None);
    if walker.kind()? == Kind::String {
        url = Escaped::read(walker)?;
    } else if value::is_object(walker, name)? {
        walker.members(|walker, key| {
            match key.raw {
                b"url" => url = value::string(walker, &format_args!("{name}.url"))?,
                b"detail" => detail = value::string(walker, &format_args!("{name}.detail"))?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
    }
    let Some(url) = url else { return Ok(None) };
    let source = match data_url(url) {
        Ok((media_type, data)) => Source::Base64 { media_type, data },
        Err(url) => Source::Url(url),
    };
    let detail = detail.filter(|detail| detail.raw() != "auto");
    Ok(Some(Media { kind: MediaKind::Image, source, name: None, detail, citations: false }))
}

/// `input_audio`: `{"data", "format"}`
pub(super) fn audio<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Media<'a>>, Malformed> {
    let (mut data, mut format) = (None, None);
    if value::is_object(walker, name)? {
        walker.members(|walker, key| {
            match key.raw {
                b"data" => data = value::string(walker, &format_args!("{name}.data"))?,
                b"format" => format = value::string(walker, &format_args!("{name}.format"))?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
    }
    let (Some(data), Some(format)) = (data, format) else { return Ok(None) };
    let media_type = match format.raw() {
        "wav" => Escaped::plain("audio/wav"),
        "mp3" => Escaped::plain("audio/mpeg"),
        other => Escaped::plain(&format!("audio/{other}")).into_owned(),
    };
    let source = Source::Base64 { media_type, data };
    Ok(Some(Media { kind: MediaKind::Audio, source, name: None, detail: None, citations: false }))
}

/// `file`: `{"file_data", "file_id", "filename"}`
pub(super) fn file<'a>(walker: &mut Walker<'a>, name: Name<'_>) -> Result<Option<Media<'a>>, Malformed> {
    let (mut data, mut id, mut filename) = (None, None, None);
    if value::is_object(walker, name)? {
        walker.members(|walker, key| {
            match key.raw {
                b"file_data" => data = value::string(walker, &format_args!("{name}.file_data"))?,
                b"file_id" => id = value::string(walker, &format_args!("{name}.file_id"))?,
                b"filename" => filename = value::string(walker, &format_args!("{name}.filename"))?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
    }
    let source = match (data.map(data_url), id) {
        (Some(Ok((media_type, data))), _) => Source::Base64 { media_type, data },
        (Some(Err(text)), _) if text.raw().starts_with("http") => Source::Url(text),
        (Some(Err(data)), _) => Source::Base64 { media_type: Escaped::plain(PDF), data },
        (None, Some(id)) => Source::File(id),
        (None, None) => return Ok(None),
    };
    let kind = match &source {
        Source::Base64 { media_type, .. } if media_type.raw().starts_with("image/") => MediaKind::Image,
        Source::Base64 { media_type, .. } if media_type.raw().starts_with("audio/") => MediaKind::Audio,
        Source::Base64 { .. } | Source::Text(_) | Source::Url(_) | Source::File(_) => MediaKind::Document,
    };
    Ok(Some(Media { kind, source, name: filename, detail: None, citations: false }))
}

/// The type and the Base64 of a `data:` URL; anything else is given back.
fn data_url(url: Escaped<'_>) -> Result<(Escaped<'_>, Escaped<'_>), Escaped<'_>> {
    const SCHEME: &str = "data:";
    // Parameters are few and short: no need to look through a picture for a comma that is not there.
    const LONGEST_HEAD: usize = 256;
    let head = url.raw().as_bytes().get(..url.raw().len().min(LONGEST_HEAD)).unwrap_or_default();
    let comma = head.iter().position(|byte| *byte == b',');
    let Some(comma) = comma.filter(|_| head.starts_with(SCHEME.as_bytes())) else { return Err(url) };
    if !head.get(..comma).is_some_and(|head| head.ends_with(b";base64")) {
        return Err(url);
    }
    let (head, data) = url.split_at(comma + 1);
    // Some encoders escape every slash.
    let head = head.decode().into_owned();
    let media_type = head.strip_prefix(SCHEME).and_then(|head| head.split(';').next()).unwrap_or_default();
    Ok((Escaped::of(media_type), data))
}
