//! The content of a message: a string, or parts.

use super::{media, value};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{At, Content, Escaped, Losses, Malformed, Media, Part, Seals, Weight},
};

/// Reads `messages[i].content` behind what `parts` holds.
pub(super) fn read<'a>(
    walker: &mut Walker<'a>,
    i: u32,
    parts: &mut Vec<Part<'a>>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    if walker.kind()? == Kind::String {
        if let Some(text) = Escaped::read(walker)? {
            parts.push(Part { at: At::Item(i), content: Content::Text(text), mark: None });
        }
        return Ok(());
    }
    if value::null(walker)? {
        return Ok(());
    }
    if walker.kind()? != Kind::Array {
        return Err(Malformed::new(format!("messages[{i}].content"), "must be a string or an array"));
    }
    let mut j = 0;
    walker.elements(|walker| {
        parts.extend(part(walker, i, j, losses)?);
        j += 1;
        Ok(())
    })
}

/// What a part's members may hold; its type says which of them counts.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Escaped<'a>>,
    text: Option<Escaped<'a>>,
    refusal: Option<Escaped<'a>>,
    thinking: Option<Escaped<'a>>,
    media: Option<Media<'a>>,
}

fn part<'a>(
    walker: &mut Walker<'a>,
    i: u32,
    j: u32,
    losses: &mut Losses,
) -> Result<Option<Part<'a>>, Malformed> {
    let at = At::Content(i, j);
    let here = format_args!("messages[{i}].content[{j}]");
    match walker.kind()? {
        Kind::Object => {}
        // Mistral's clients may send bare strings.
        Kind::String => {
            let text = Escaped::read(walker)?.unwrap_or_default();
            return Ok(Some(Part { at, content: Content::Text(text), mark: None }));
        }
        Kind::Array | Kind::Scalar => return Err(Malformed::new(here.to_string(), "must be an object")),
    }
    let mut found = Members::default();
    let mut mark = None;
    walker.members(|walker, key| {
        match key.raw {
            b"type" => found.kind = value::string(walker, &format_args!("{here}.type"))?,
            b"text" => found.text = value::string(walker, &format_args!("{here}.text"))?,
            b"refusal" => found.refusal = value::string(walker, &format_args!("{here}.refusal"))?,
            b"thinking" => found.thinking = thinking(walker)?,
            b"image_url" => found.media = media::image(walker, &format_args!("{here}.image_url"))?,
            b"input_audio" => found.media = media::audio(walker, &format_args!("{here}.input_audio"))?,
            b"file" => found.media = media::file(walker, &format_args!("{here}.file"))?,
            b"cache_control" | b"prompt_cache_breakpoint" => {
                let name = String::from_utf8_lossy(key.raw);
                mark = value::mark(walker, &format_args!("{here}.{name}"))?;
            }
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    let Members { kind, text, refusal, thinking, media } = found;
    let Some(kind) = kind else {
        return Err(Malformed::new(format!("{here}.type"), "is missing"));
    };
    let content = match kind.raw() {
        "text" => text.map(Content::Text),
        "refusal" => refusal.map(Content::Refusal),
        "thinking" => Some(Content::Thinking { text: thinking.unwrap_or_default(), seal: Seals::None }),
        "image_url" | "input_audio" | "file" => media.map(Content::Media),
        _ => {
            losses.add(here.to_string(), Weight::Meaning, "is of a type that is not translated");
            return Ok(None);
        }
    };
    match content {
        Some(content) => Ok(Some(Part { at, content, mark })),
        None => Err(Malformed::new(format!("{here}.{}", kind.decode()), "is missing")),
    }
}

/// Mistral's thinking, which its clients hand back: a string, or parts with a text each.
fn thinking<'a>(walker: &mut Walker<'a>) -> Result<Option<Escaped<'a>>, Malformed> {
    if walker.kind()? != Kind::Array {
        return Escaped::read(walker);
    }
    let mut whole: Option<Escaped<'a>> = None;
    walker.elements(|walker| {
        if walker.kind()? != Kind::Object {
            return Ok(walker.pass()?);
        }
        walker.members(|walker, key| {
            if key.raw != b"text" {
                return Ok(walker.pass()?);
            }
            let more = Escaped::read(walker)?.unwrap_or_default();
            whole = Some(match whole.take() {
                None => more,
                Some(text) => Escaped::plain(&format!("{}{}", text.raw(), more.raw())).into_owned(),
            });
            Ok::<(), Malformed>(())
        })
    })?;
    Ok(whole)
}
