//! AWS Bedrock: what is asked, and how it is answered.
//!
//! Its rules that the others have not: the model stands in the path and its maker in its name; requests
//! are signed, byte for byte; streams are AWS's frames; refusals say their name in a header and never
//! when to come back; the cache is the account's.

mod aside;
mod ask;
mod frames;
mod invoke;
mod refuse;
mod sign;
mod wire;

#[cfg(test)]
mod tests;

pub(super) use aside::answer as aside;
pub(super) use ask::ask;
pub(super) use frames::broken;
pub(super) use invoke::{ask as invoke_ask, stream as invoke_stream};
pub(super) use refuse::{error_body, error_event, error_type, status};
pub use sign::secret as aws_secret;
pub(super) use sign::{access_key, verify};
pub(super) use wire::{stream, whole};

use super::{
    models::{self, Maker, Model},
    refusal::Refusal,
};

/// What a call is, by the end of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Converse { stream: bool },
    Invoke { stream: bool },
    Count,
    Embed,
}

/// The model and the deed that a path names: `/model/MODEL/converse`. The model is decoded.
pub(super) fn route(path: &str) -> Option<(String, Deed)> {
    let (model, deed) = path.strip_prefix("/model/")?.split_once('/')?;
    let model = decoded(model);
    let deed = match deed {
        "converse" => Deed::Converse { stream: false },
        "converse-stream" => Deed::Converse { stream: true },
        "invoke" if model.contains("embed") => Deed::Embed,
        "invoke" => Deed::Invoke { stream: false },
        "invoke-with-response-stream" => Deed::Invoke { stream: true },
        "count-tokens" => Deed::Count,
        _ => return None,
    };
    Some((model, deed))
}

/// Whether a call to this path is AWS's.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with("/model/")
}

/// Whether it produces an answer.
pub(super) fn generates(path: &str) -> bool {
    matches!(route(path), Some((_, Deed::Converse { .. } | Deed::Invoke { .. })))
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A model by its id, with or without its version (`-v1:0`).
fn model_of(id: &str) -> Result<&'static Model, Refusal> {
    let plain = id.rsplit_once("-v").filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    models::find(plain.map_or(id, |(name, _)| name))
        .filter(|model| model.maker == Maker::Aws)
        .ok_or_else(|| Refusal::bad("The provided model identifier is invalid."))
}
