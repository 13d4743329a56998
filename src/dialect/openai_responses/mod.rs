//! OpenAI Responses.

mod answer;
mod request;

pub(super) use answer::{Answer, whole};
pub(super) use request::{input, instructions};
