//! A request in the neutral form.

use super::{Carrier, Escaped, Json};
use crate::types::Dialect;

/// A conversation, and what is asked of the model.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Request<'a> {
    /// The dialect that it was written in: losses are named in its words.
    pub origin: Dialect,
    /// The system prompt: what stands before the conversation. Text parts only.
    pub system: Vec<Part<'a>>,
    /// The conversation, in order. A system message in its midst keeps its place.
    pub messages: Vec<Message<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether the model may call several tools at once; `None` is the provider's usual.
    pub parallel_tools: Option<bool>,
    pub stream: bool,
    /// The client wants usage in its stream (Chat's `include_usage`; the other dialects always do).
    pub include_usage: bool,
    pub max_output: Option<u64>,
    pub sampling: Sampling<'a>,
    pub reasoning: Option<Reasoning<'a>>,
    pub format: Option<Format<'a>>,
    pub cache: CacheWishes<'a>,
    /// Who the end user is, for the provider's abuse checks (`metadata.user_id`, `user`,
    /// `safety_identifier`).
    pub user: Option<Escaped<'a>>,
    /// `service_tier`, in the origin's words.
    pub tier: Option<Escaped<'a>>,
    /// How wordy the answer should be (`verbosity`), in the origin's words.
    pub verbosity: Option<Escaped<'a>>,
    /// Members of the body that the answer repeats (Responses), with their values as they stood.
    pub echo: Vec<(&'static str, Json<'a>)>,
}

impl Request<'_> {
    /// A request without anything in it.
    pub(in crate::dialect) fn new(origin: Dialect) -> Self {
        Self {
            origin,
            system: Vec::new(),
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            stream: false,
            include_usage: false,
            max_output: None,
            sampling: Sampling::default(),
            reasoning: None,
            format: None,
            cache: CacheWishes::default(),
            user: None,
            tier: None,
            verbosity: None,
            echo: Vec::new(),
        }
    }

    /// The client has marked what is to be cached.
    pub(in crate::dialect) fn has_marks(&self) -> bool {
        self.cache.auto.is_some()
            || self.tools.iter().any(|tool| tool.mark.is_some())
            || self.system.iter().any(|part| part.mark.is_some())
            || self.messages.iter().flat_map(|message| &message.parts).any(|part| part.mark.is_some())
    }
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum Role {
    /// The user, and tools' results.
    User,
    /// The model.
    Assistant,
    /// Instructions in the midst of the conversation (`system`, `developer`).
    System,
}

/// One message.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Message<'a> {
    pub role: Role,
    /// `name` (Chat): one of several users.
    pub name: Option<Escaped<'a>>,
    pub parts: Vec<Part<'a>>,
}

/// Where something stands in the caller's body, to name it in an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum At {
    /// `system[i]` (Anthropic), `instructions` (Responses).
    System(u32),
    /// `messages[i]`, or `input[i]`, as a whole.
    Item(u32),
    /// `messages[i].content[j]`, or `input[i].content[j]`.
    Content(u32, u32),
    /// `tools[i]`
    Tool(u32),
}

impl At {
    /// As the caller of this dialect would write it.
    pub(in crate::dialect) fn path(self, origin: Dialect) -> String {
        let list = match origin {
            Dialect::Anthropic | Dialect::OpenAiChat => "messages",
            Dialect::OpenAiResponses => "input",
        };
        match self {
            Self::System(_) if origin == Dialect::OpenAiResponses => "instructions".to_owned(),
            Self::System(i) => format!("system[{i}]"),
            Self::Item(i) => format!("{list}[{i}]"),
            Self::Content(i, j) => format!("{list}[{i}].content[{j}]"),
            Self::Tool(i) => format!("tools[{i}]"),
        }
    }
}

/// One piece of a message.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Part<'a> {
    pub at: At,
    pub content: Content<'a>,
    /// The prompt up to and including this piece is to be cached.
    pub mark: Option<CacheMark>,
}

/// What a piece is.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum Content<'a> {
    Text(Escaped<'a>),
    Media(Media<'a>),
    /// The model called a tool.
    ToolCall {
        /// As the client knows it, without a carrier.
        id: Escaped<'a>,
        name: Escaped<'a>,
        /// A JSON object; or, for a free-form tool, a JSON string.
        arguments: Json<'a>,
        /// What its maker wants back with the call.
        carrier: Option<Carrier>,
    },
    /// What a tool said.
    ToolResult {
        /// The call's id, without a carrier.
        id: Escaped<'a>,
        is_error: bool,
        /// Texts and media.
        parts: Vec<Part<'a>>,
    },
    /// The model's thinking. Only who sealed it may see it again; without a seal of the target's own
    /// it is left out (no loss: it is nobody else's to read).
    Thinking {
        /// In the clear, or its summary; maybe empty.
        text: Escaped<'a>,
        seal: Seals<'a>,
    },
    /// The model declined, in so many words.
    Refusal(Escaped<'a>),
}

/// What makes thinking good for its maker.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum Seals<'a> {
    /// None.
    None,
    /// Made by a provider of the origin's dialect, and given to the client as it came (a signature of
    /// Anthropic's): it can only go where the origin's dialect is spoken.
    Native(Escaped<'a>),
    /// The same for thinking that nobody may read (Anthropic's `redacted_thinking`): its `data`. The
    /// text beside it is empty.
    Redacted(Escaped<'a>),
    /// Made by a provider of another dialect, and carried.
    Carried(Carrier),
}

/// A picture or a document.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Media<'a> {
    pub kind: MediaKind,
    pub source: Source<'a>,
    /// A document's title or file name.
    pub name: Option<Escaped<'a>>,
    /// `detail` (OpenAI), in its words.
    pub detail: Option<Escaped<'a>>,
    /// Answers shall cite it (Anthropic).
    pub citations: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum MediaKind {
    Image,
    /// A PDF, or plain text as a file.
    Document,
    Audio,
}

/// Where its bytes are.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum Source<'a> {
    /// In the request.
    Base64 {
        media_type: Escaped<'a>,
        data: Escaped<'a>,
    },
    /// In the request, as plain text.
    Text(Escaped<'a>),
    Url(Escaped<'a>),
    /// Uploaded before: an id in one account.
    File(Escaped<'a>),
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub(in crate::dialect) struct Tool<'a> {
    pub at: At,
    pub name: Escaped<'a>,
    pub description: Option<Escaped<'a>>,
    pub kind: ToolKind<'a>,
    /// Arguments follow the schema to the letter.
    pub strict: Option<bool>,
    pub mark: Option<CacheMark>,
}

#[derive(Clone, Debug)]
pub(in crate::dialect) enum ToolKind<'a> {
    /// The client runs it; JSON schema of its arguments (`None`: takes none).
    Function(Option<Json<'a>>),
    /// The client runs it and gets free text (Responses `custom`), by a grammar maybe.
    Custom(Option<Json<'a>>),
    /// The provider runs it, or knows it by this type (`web_search_20250305`): only the origin's own
    /// providers do. The whole definition.
    Hosted { kind: Escaped<'a>, definition: Json<'a> },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum ToolChoice<'a> {
    Auto,
    /// Some tool (`any`, `required`).
    Any,
    None,
    /// This tool.
    Named(Escaped<'a>),
}

/// How the next token is chosen. Numbers stay as they were written.
#[derive(Clone, Default, Debug)]
pub(in crate::dialect) struct Sampling<'a> {
    pub temperature: Option<Json<'a>>,
    pub top_p: Option<Json<'a>>,
    pub top_k: Option<Json<'a>>,
    pub frequency_penalty: Option<Json<'a>>,
    pub presence_penalty: Option<Json<'a>>,
    pub seed: Option<Json<'a>>,
    pub stop: Vec<Escaped<'a>>,
    /// Answers to choose from; nothing here but 1 or unsaid reaches another dialect.
    pub choices: Option<u64>,
    /// Chat `logprobs`, `top_logprobs`: how many alternatives a token.
    pub logprobs: Option<u64>,
    pub logit_bias: Option<Json<'a>>,
}

/// How much to think.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Reasoning<'a> {
    pub effort: Effort<'a>,
    /// The client wants to see a summary (`summary`; `includeThoughts`; `display`).
    pub summary: Option<Escaped<'a>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) enum Effort<'a> {
    /// Not at all (`disabled`, `none`, budget 0).
    Off,
    /// As much as the model sees fit (`adaptive`), maybe within a level.
    Adaptive(Option<Escaped<'a>>),
    /// `minimal`, `low`, `medium`, `high`, `xhigh`, `max`
    Level(Escaped<'a>),
    /// At most so many tokens.
    Budget(u64),
}

impl Effort<'_> {
    /// As a level, where the target knows levels only. The steps are the usual ones of clients that
    /// offer both: 1,024 tokens low, 4,096 medium from there on, 16,384 high.
    pub(in crate::dialect) fn level(&self) -> &str {
        match self {
            Self::Off => "none",
            Self::Adaptive(level) => level.as_ref().map_or("medium", Escaped::raw),
            Self::Level(level) => level.raw(),
            Self::Budget(0..=2_048) => "low",
            Self::Budget(2_049..=8_192) => "medium",
            Self::Budget(_) => "high",
        }
    }

    /// As a budget of tokens, where the target knows budgets only.
    pub(in crate::dialect) fn budget(&self) -> u64 {
        let of_level = |level: &str| match level {
            "none" => 0,
            "minimal" | "low" => 1_024,
            "medium" => 4_096,
            "high" => 16_384,
            _ => 32_768,
        };
        match self {
            Self::Budget(tokens) => *tokens,
            Self::Off | Self::Adaptive(_) | Self::Level(_) => of_level(self.level()),
        }
    }
}

/// The form of the answer.
#[derive(Clone, Debug)]
pub(in crate::dialect) enum Format<'a> {
    /// Some JSON object.
    JsonObject,
    /// JSON by this schema.
    Schema {
        name: Option<Escaped<'a>>,
        description: Option<Escaped<'a>>,
        schema: Json<'a>,
        strict: Option<bool>,
    },
}

/// How long something is to stay cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::dialect) enum CacheMark {
    /// The usual time.
    #[default]
    Short,
    /// The long time (`"ttl":"1h"`).
    Long,
}

/// What the request as a whole asks of the provider's cache.
#[derive(Clone, Default, Debug)]
pub(in crate::dialect) struct CacheWishes<'a> {
    /// One mark on the last block (Anthropic's `cache_control` at the top).
    pub auto: Option<CacheMark>,
    /// `prompt_cache_key`
    pub key: Option<Escaped<'a>>,
    /// `prompt_cache_retention: "24h"`.
    pub long: bool,
}
