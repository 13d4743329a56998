//! OpenAI Responses.

mod answer;
mod request;

pub(super) use answer::{Answer, whole};
pub(super) use request::{input, instructions};

mod read_answer;
mod read_request;
mod write_answer;
mod write_request;

pub(super) use read_answer::{AnswerReader, read_answer};
pub(super) use read_request::read_request;
pub(super) use write_answer::{AnswerWriter, write_answer};
pub(super) use write_request::write_request;
