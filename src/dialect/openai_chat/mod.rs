//! OpenAI Chat Completions and its siblings.

mod request;

pub(super) use request::messages;
