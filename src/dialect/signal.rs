//! What an answer tells us while it passes.

use std::time::Duration;

use crate::types::ReportedUsage;

/// What kind of output a delta carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DeltaKind {
    /// Words for the user.
    Text,
    /// Thinking, or a summary of it.
    Thinking,
    /// Arguments of a tool call.
    ToolArguments,
}

/// Why the model stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum StopKind {
    /// It was done, or waits for the user.
    End,
    /// It waits for a tool's result.
    ToolUse,
    /// It ran into a length limit.
    Length,
    /// Anything else (refusal, content filter, pause).
    Other,
}

/// An error that the provider reported in its own dialect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UpstreamFault {
    /// `error.type`.
    pub kind: String,
    /// `error.code`, or `error.details.error_code`.
    pub code: String,
    /// `error.message`, cut to 2,000 characters. For classification only: it may quote the prompt,
    /// so it must not reach a log or a label.
    pub message: String,
    /// `error.param`, where there is one.
    pub param: String,
    /// For how long to stay away, where the error says so itself (Google's `RetryInfo`).
    pub retry_after: Option<Duration>,
}

/// One thing learned from an answer. Borrowed text is JSON string contents, still escaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal<'a> {
    /// The answer's own id (`msg_`, `chatcmpl-`, `resp_`).
    Started {
        /// Decoded.
        id: String,
    },
    /// The model that serves, by the provider's own name for it; once.
    Model(String),
    /// The service tier that the provider says it used; a later one counts.
    Tier(String),
    /// Something that is neither content nor an end: created, in progress, ping.
    Lifecycle,
    /// Output.
    Delta {
        /// What kind.
        kind: DeltaKind,
        /// The text, still escaped. (In a whole Anthropic answer a tool's arguments are an object: its
        /// text as it stands.)
        raw: &'a [u8],
    },
    /// The model called a tool under this id.
    ToolCall {
        /// Decoded.
        id: String,
    },
    /// The provider's figures: overwrite what is named.
    Usage(ReportedUsage),
    /// The model stopped; a clean end from here on is a complete answer.
    Stop(StopKind),
    /// The answer is complete.
    Terminal,
    /// An error in place of (more) content.
    Error(UpstreamFault),
}
