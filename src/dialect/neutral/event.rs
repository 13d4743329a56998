//! An answer in the neutral form, as it comes.
//!
//! Order: one `Start`; then blocks, each opened, filled and closed; `Usage` whenever figures are known,
//! each overwriting what it names; one `Stop`; `End`. Blocks carry numbers, because some providers
//! write into several at a time. An `Error` may come in place of anything and is the last event.

use super::{Carrier, Escaped, Json};
use crate::{
    dialect::signal::{StopKind, UpstreamFault},
    types::ReportedUsage,
};

/// One thing that a provider said.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum Event<'a> {
    Start {
        /// The provider's id of the answer, where it has one.
        id: Option<Escaped<'a>>,
        /// The model that serves, in the provider's words.
        model: Option<Escaped<'a>>,
    },
    /// A block begins. Numbers rise from 0, none is used twice.
    Open {
        block: u32,
        kind: BlockKind<'a>,
    },
    /// More of a block: its text, or the next piece of the JSON text of a tool call's arguments.
    Delta {
        block: u32,
        text: Escaped<'a>,
    },
    /// What makes thinking good for its maker. Comes before the block's `Close`.
    Sealed {
        block: u32,
        carrier: Carrier,
    },
    /// A source that a text block cites, in the provider's own form.
    Citation {
        block: u32,
        citation: Json<'a>,
    },
    Close {
        block: u32,
    },
    Usage(ReportedUsage),
    Tier(Escaped<'a>),
    Stop(Stop<'a>),
    /// The answer is complete.
    End,
    /// A sign of life.
    Ping,
    Error(UpstreamFault),
}

/// Who is shown the events of an answer.
pub(in crate::dialect) type Show<'s> = &'s mut dyn FnMut(Event<'_>);

/// What a block is.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum BlockKind<'a> {
    Text,
    /// Thinking or its summary. A block that is never filled but sealed is thinking that nobody may
    /// read.
    Thinking,
    ToolCall {
        /// The provider's; made up by the reader where it has none.
        id: Escaped<'a>,
        name: Escaped<'a>,
        /// What its maker wants back with the call.
        carrier: Option<Carrier>,
        /// Its arguments are free text and no JSON (Responses `custom`).
        custom: bool,
    },
    /// The model declines, in words that are no answer.
    Refusal,
}

/// Why the model stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Stop<'a> {
    pub reason: StopReason,
    /// The stop sequence that it ran into, where the provider tells.
    pub sequence: Option<Escaped<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum StopReason {
    /// It was done.
    EndTurn,
    /// It waits for tools' results.
    ToolUse,
    /// The limit that the request set.
    MaxTokens,
    /// The model's context is full.
    ContextWindow,
    StopSequence,
    /// The model or the provider refuses to go on.
    Refusal,
    /// A pause in the provider's own tool loop: send the answer back to go on.
    Pause,
    /// Anything else.
    Other,
}

impl StopReason {
    /// As the meter and the session know it.
    pub(in crate::dialect) const fn kind(self) -> StopKind {
        match self {
            Self::EndTurn | Self::StopSequence => StopKind::End,
            Self::ToolUse => StopKind::ToolUse,
            Self::MaxTokens | Self::ContextWindow => StopKind::Length,
            Self::Refusal | Self::Pause | Self::Other => StopKind::Other,
        }
    }
}
