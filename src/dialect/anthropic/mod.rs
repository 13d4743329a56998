//! Anthropic Messages.

mod answer;
mod models;
mod read_answer;
mod read_request;
mod request;
mod usage;
mod write_answer;
mod write_request;

pub(super) use answer::{Answer, whole};
pub(super) use models::claude_version;
pub(super) use read_answer::{AnswerReader, read_answer};
pub(super) use read_request::read_request;
pub(super) use request::messages;
pub(super) use write_answer::{AnswerWriter, write_answer};
pub(super) use write_request::write_request;

use crate::dialect::{
    json::{Key, Kind, Walker},
    neutral::Malformed,
};

/// Visits the members of an object; passes anything else.
fn members<'a>(
    walker: &mut Walker<'a>,
    each: impl FnMut(&mut Walker<'a>, Key<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if walker.kind()? == Kind::Object { walker.members(each) } else { Ok(walker.pass()?) }
}

/// What a seal of thinking that nobody may read has in its `id`; that of other thinking is empty.
const REDACTED: &str = "redacted_thinking";

/// How Claude Code's first system block begins: it is about the client, and differs from one version
/// to the next.
const ATTRIBUTION: &str = "x-anthropic-billing-header:";
