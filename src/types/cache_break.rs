//! A break of a session's prompt cache, as a plain value.

use std::fmt;

use super::{BreakCause, NanoUsd};

/// The first block of a prompt that is not what the session sent last time. All numbers from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakPlace {
    /// No block at all: a setting of the request.
    Settings,
    /// A tool's definition.
    Tool(u32),
    /// A block of the system prompt.
    System(u32),
    /// A block of a message.
    Message {
        /// Which message, as the client's list counts them.
        message: u32,
        /// Which block of it.
        block: u32,
    },
}

impl fmt::Display for BreakPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Settings => f.write_str("settings"),
            Self::Tool(n) => write!(f, "tools[{n}]"),
            Self::System(n) => write!(f, "system[{n}]"),
            Self::Message { message, block: 0 } => write!(f, "message {message}"),
            Self::Message { message, block } => write!(f, "message {message} block {block}"),
        }
    }
}

/// What happened to a tool list whose change broke the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ToolsDelta {
    /// Definitions that are new, changed ones among them.
    pub added: u32,
    /// Definitions that are gone, changed ones among them.
    pub removed: u32,
}

impl fmt::Display for ToolsDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { added: 0, removed: 0 } => f.write_str("reordered"),
            Self { added, removed: 0 } => write!(f, "{added} added"),
            Self { added: 0, removed } => write!(f, "{removed} removed"),
            Self { added, removed } => write!(f, "{added} added or changed, {removed} removed or changed"),
        }
    }
}

/// What was cached of a session and had to be paid for again. Holds no prompt text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheBreak {
    /// The likely cause.
    pub cause: BreakCause,
    /// Where the prompt first differs.
    pub at: BreakPlace,
    /// Bytes of prompt (markers left out) in front of that place.
    pub offset: u64,
    /// Which tools changed, where they did.
    pub tools: Option<ToolsDelta>,
    /// Tokens that were warm and were paid for again; an estimate by bytes, never more than the
    /// provider billed as not read from its cache.
    pub tokens: u64,
    /// Those tokens at the price that was paid, less what reading them would have cost; `None` when no
    /// price is known for the model.
    pub cost: Option<NanoUsd>,
}
