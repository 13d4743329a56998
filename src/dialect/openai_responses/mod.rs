//! OpenAI Responses.

mod request;

pub(super) use request::{input, instructions};
