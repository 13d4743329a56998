//! Google `generateContent`: what is asked, and how it is answered.
//!
//! Its rules that the others have not: the model and the call stand in the path; a member that is not
//! known is a 400; models from Gemini 3 on sign their calls and want the signatures back; the prompt is
//! cached without being asked to, from 2,048 tokens on (Gemini 3: 4,096).

mod aside;
mod ask;
mod signature;
mod wire;

#[cfg(test)]
mod tests;

pub(super) use aside::answer as aside;
pub(super) use ask::ask;
pub(super) use wire::{Manner, error_body, error_event, stream, whole};

use super::{
    models::{self, Maker, Model},
    refusal::Refusal,
};

/// The model and the call that a path names: `/v1beta/models/MODEL:CALL`, or Vertex's longer one.
pub(super) fn route(path: &str) -> Option<(&str, &str)> {
    let (base, rest) = path.rsplit_once("/models/")?;
    if !base.starts_with("/v1") {
        return None;
    }
    rest.split_once(':')
}

/// Whether a call to this path is Google's.
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with("/v1beta/") || route(path).is_some()
}

/// Whether it produces an answer.
pub(super) fn generates(path: &str) -> bool {
    matches!(route(path), Some((_, "generateContent" | "streamGenerateContent")))
}

/// The key in a query (`?key=...`).
pub(super) fn key_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("key="))
}

fn model_of(name: &str) -> Result<&'static Model, Refusal> {
    models::find(name).filter(|model| model.maker == Maker::Google).ok_or_else(|| {
        let message =
            format!("models/{name} is not found for API version v1beta, or is not supported for this call.");
        Refusal::new(404, message)
    })
}

/// Whether a model wants its signatures back.
fn signs(model: &str) -> bool {
    model.starts_with("gemini-3")
}
