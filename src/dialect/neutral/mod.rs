//! The neutral form: what a conversation and its answer are, whoever's words they come in.
//!
//! Each dialect is read into it and written from it; no dialect knows another. Text stays JSON: a
//! string is kept as it stood between its quotes ([`Escaped`]), an object as its bytes ([`Json`]), so
//! that nothing is decoded only to be encoded again, and the same history always comes out as the
//! same bytes: a provider's cache survives the translation.
//!
//! Invariant: what the neutral form has no word for is written down in [`Losses`], and so is what a
//! target cannot say. Nothing is left out in silence.

mod answer;
mod carrier;
mod custom;
mod event;
mod loss;
mod request;
mod text;
mod tool_id;
mod writer;

pub(super) use answer::{Answer, AnswerBlock, Collector};
pub(super) use carrier::{BEHIND_TOOL_ID, Carrier, Seal, split_tool_id, with_carrier};
pub use carrier::{Maker, carries};
pub(super) use event::{BlockKind, Event, Show, Stop, StopReason};
pub(super) use loss::{Losses, Weight};
pub use loss::{Lost, OnLoss, Refused};
pub(super) use request::{
    At, CacheMark, Content, Effort, Format, Media, MediaKind, Message, Part, Reasoning, Request, Role, Seals,
    Source, Tool, ToolChoice, ToolKind,
};
pub(super) use text::{Escaped, Json, Malformed};
pub(super) use tool_id::fit;
pub(super) use writer::Writer;
