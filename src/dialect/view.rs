//! What we need to know of a request body, as spans into the bytes that the client sent.

use std::ops::Range;

use crate::types::{ModelName, Operation, Section};

/// A byte range of the body.
pub type Span = Range<usize>;

/// A field that we read, and where its value stands (quotes included), so that it can be replaced
/// without touching a byte around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value<T> {
    /// The value, decoded.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// One block of the prompt, in the order in which providers cache: tools, system, messages.
///
/// A tool definition, a system block (a plain string is one block) or a content block of a message
/// (string content is one block; in chat each tool call is one, too; in Responses, an input item is
/// one block).
///
/// A block of nothing but text stands for its text: its span is the text's string, quotes included,
/// so that `"x"` and `[{"type":"text","text":"x","cache_control":..}]`, which are one prompt to a
/// provider, are one to a fingerprint. Clients rewrite one into the other to move their marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The part of the prompt it belongs to.
    pub section: Section,
    /// Its raw bytes.
    pub span: Span,
    /// The `cache_control` member inside it, with the comma that separates it, which a fingerprint
    /// must leave out: clients move the marker from turn to turn. Empty, at the span's end, where a
    /// breakpoint stands on this block but outside of the span (pure text; a marker for the whole
    /// request, which stands on its last block).
    pub marker: Option<Span>,
    /// The block opens a new message: a fingerprint can tell two blocks of one message from two
    /// messages.
    pub opens_message: bool,
    /// It is Claude Code's attribution block (`x-anthropic-billing-header: ...`), whose bytes may
    /// change from turn to turn: no part of a fingerprint.
    pub attribution: bool,
    /// Where a breakpoint of ours could be put.
    pub place: Place,
}

/// Where a `cache_control` can be put into a block of Anthropic's, if at all (providers 1.1: never on
/// thinking, never on empty text).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// Nowhere: a block that cannot carry one, that we do not know, or that has the member already.
    #[default]
    Nowhere,
    /// The block is a bare string, which has to become a list of one text block around its bytes.
    Bare,
    /// As a member right behind the text, which is the block's span.
    BehindText,
    /// As the last member of the object that is the block's span.
    Inside,
}

/// A breakpoint of the client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which block it stands on, as an index of [`RequestView::blocks`].
    pub block: usize,
    /// Where its value stands.
    pub value: Span,
    /// The life that it asks for.
    pub life: MarkLife,
}

/// What a breakpoint says of its life, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MarkLife {
    /// Nothing: the usual life.
    Unsaid,
    /// The usual life, in so many words (or `null`); where they stand.
    Short(Span),
    /// `"1h"`.
    Hour,
    /// Something that we do not know; better left alone.
    Odd,
}

impl MarkLife {
    /// The life as a request asks for it.
    #[must_use]
    pub const fn asked(&self) -> TtlAsked {
        match self {
            Self::Hour => TtlAsked::Long,
            Self::Unsaid | Self::Short(_) | Self::Odd => TtlAsked::Short,
        }
    }
}

/// The members that make a request one that only warms the cache (providers 0.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prewarm {
    /// Where the value of `max_tokens` stands.
    pub max_tokens: Span,
    /// Where the value of `stream` stands, if it is there.
    pub stream: Option<Span>,
}

/// State that lives in one account: the request can go nowhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HardPin {
    /// What kind of object it is.
    pub kind: PinKind,
    /// Its id, decoded.
    pub id: String,
}

/// Kinds of objects that live in one account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum PinKind {
    /// `previous_response_id`, or a response by id.
    Response,
    /// `conversation`.
    Conversation,
    /// `container`.
    Container,
    /// A file id in the content.
    File,
    /// A batch by id.
    Batch,
}

impl PinKind {
    /// The name of this kind in messages and the state file.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Conversation => "conversation",
            Self::Container => "container",
            Self::File => "file",
            Self::Batch => "batch",
        }
    }
}

/// Ids of a conversation found in the body, decoded, `None` where absent or not a string.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BodyIds {
    /// Anthropic `metadata.user_id`, whole: the session is inside it (two known forms).
    pub user_id: Option<String>,
    /// `prompt_cache_key`.
    pub prompt_cache_key: Option<String>,
    /// Top-level `session_id` (OpenRouter), or `litellm_session_id`.
    pub session_id: Option<String>,
    /// `metadata.session_id`.
    pub metadata_session_id: Option<String>,
}

/// The longest cache life that the client's own markers ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TtlAsked {
    /// No marker: nothing is cached on purpose.
    #[default]
    None,
    /// The provider's usual time.
    Short,
    /// The long time (`"ttl": "1h"`).
    Long,
}

/// Settings of a request that are part of the provider's cache key beside the blocks: two requests
/// that differ here share nothing from that layer on, however alike their blocks are. XXH3 over the
/// members' names and raw values; the members' order does not count. 0: none is set.
///
/// Sources: Anthropic, "What invalidates the cache" (providers 1.1); `OpenAI`, prompt caching guide
/// (a schema is part of the prompt's start; the key decides the machine).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// What changes everything, or everything behind the tools: Anthropic `speed`, `mcp_servers`;
    /// `OpenAI` `prompt_cache_key`, `response_format`, `text`, `reasoning`, `functions`, `prompt`, ...
    pub all: u64,
    /// What changes the messages only: Anthropic `tool_choice` (with `disable_parallel_tool_use`),
    /// `thinking`, `output_config` (effort, format), `output_format`, `context_management`, and
    /// whether there is any image. Thinking and effort change tools and system, too, on some models,
    /// which the provider does not name.
    pub messages: u64,
}

/// A request body, scanned once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestView {
    /// What was asked for.
    pub operation: Operation,
    /// The model, as the caller wrote it.
    pub model: Value<ModelName>,
    /// `"stream": true`.
    pub stream: bool,
    /// `"background": true` (Responses): the answer is fetched later, by id.
    pub background: bool,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`.
    pub max_output_tokens: Option<u64>,
    /// `stream_options.include_usage` is `true` already.
    pub includes_usage: bool,
    /// Where the value of `stream_options` stands, if it is there.
    pub stream_options: Option<Span>,
    /// Just behind the opening brace of the body: where a missing member may be spliced in.
    pub body_start: usize,
    /// The body has no member at all (a member spliced in needs no comma behind it).
    pub empty: bool,
    /// The prompt's blocks, in caching order.
    pub blocks: Vec<Block>,
    /// A reply of the model stands in the history.
    pub has_history: bool,
    /// Ids of the tool calls whose results stand in the *last* run of tool results, decoded, newest
    /// last, at most 64: the links to the answer that made them.
    pub tool_result_ids: Vec<String>,
    /// Raw spans of the text of the last assistant message in the history (JSON string contents,
    /// still escaped), in order: its fingerprint links a plain chat to the answer that made it.
    pub last_reply: Vec<Span>,
    /// Objects that pin the request to one account, at most 64: a body that names more is refused.
    pub pins: Vec<HardPin>,
    /// Encrypted reasoning travels along: only the account that made it can read it.
    pub encrypted_content: bool,
    /// Ids in the body.
    pub ids: BodyIds,
    /// The cache life that the client asks for.
    pub ttl: TtlAsked,
    /// Settings that are part of the cache key.
    pub settings: Settings,
    /// An assistant's thinking with the signature of the account that made it stands in the history:
    /// another organization drops it, or refuses it (providers 0.4, 0.5).
    pub signed_thinking: bool,
    /// How many breakpoints the client put on blocks itself (255: that many or more).
    pub markers: u8,
    /// `cache_control` stands at the top: the provider puts one breakpoint on the last block.
    pub auto_marker: bool,
    /// The breakpoints on blocks in caching order, at most [`Self::MARKS`] of them.
    pub marks: Vec<Mark>,
    /// The one at the top; its block is the last one.
    pub auto_mark: Option<Mark>,
    /// Where the value of `prompt_cache_key` stands, whatever it is.
    pub cache_key: Option<Span>,
    /// What to change to make this a request that only warms the cache; `None` where the provider
    /// refuses such a one: with thinking enabled, a forced tool, or a format for the answer.
    pub prewarm: Option<Prewarm>,
}

impl RequestView {
    /// As many breakpoints are remembered; no provider takes more than four.
    pub const MARKS: usize = 8;
}
