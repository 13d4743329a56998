//! Which conversation a request belongs to, as plain values.

use std::fmt;

/// (tenant, conversation, agent, model) as one fixed 128-bit hash (XXH3), so that replicas and
/// restarts agree and nothing a client sent needs to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u128);

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Half the hash is plenty for a person and keeps log lines short.
        write!(f, "{:016x}", (self.0 >> 64) as u64)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What gave the conversation away, strongest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum IdSource {
    /// A header that the configuration names.
    ConfiguredHeader,
    /// A known client's header, or a generic `x-*-session-id`.
    Header,
    /// A field of the body.
    Body,
    /// The id of a tool call that an earlier answer made.
    ToolId,
    /// The longest known prefix of the conversation.
    Prefix,
    /// The conversation's opening: a first turn without any id.
    Opener,
    /// A trace id: often one per turn, so it comes last.
    Trace,
    /// Nothing: an empty or unreadable conversation.
    None,
}

impl IdSource {
    /// The label of this source in logs and `/status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConfiguredHeader => "configured_header",
            Self::Header => "header",
            Self::Body => "body",
            Self::ToolId => "tool_id",
            Self::Prefix => "prefix",
            Self::Opener => "opener",
            Self::Trace => "trace",
            Self::None => "none",
        }
    }
}

/// The part of a prompt that a block belongs to, in the order in which providers cache them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Section {
    /// Tool definitions.
    Tools,
    /// The system prompt (`instructions` in Responses).
    System,
    /// A block of a message by the user, or a tool's result.
    User,
    /// A block of a message by the model.
    Assistant,
}

/// The cumulative hash of a prompt up to and including one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixPoint {
    /// XXH3-64 over everything up to here, without `cache_control` and the attribution block.
    pub hash: u64,
    /// Bytes hashed up to here: the measure that tokens are estimated from.
    pub bytes: u64,
    /// Where the last block of this prefix stands.
    pub section: Section,
    /// Whether the client put a cache breakpoint on it.
    pub breakpoint: bool,
}

/// The prefix hashes of a request, shortest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrefixChain {
    /// One point a block.
    pub points: Vec<PrefixPoint>,
}

impl PrefixChain {
    /// The hash of the whole prompt.
    #[must_use]
    pub fn last(&self) -> Option<&PrefixPoint> {
        self.points.last()
    }
}
