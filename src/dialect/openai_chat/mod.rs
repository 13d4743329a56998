//! OpenAI Chat Completions and its siblings.

mod answer;
mod request;

pub(super) use answer::{Answer, whole};
pub(super) use request::messages;
