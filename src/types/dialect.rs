//! What a client speaks, and what it asks for.

use std::fmt;

/// A wire protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Dialect {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions (and its siblings: embeddings, legacy completions).
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
}

impl Dialect {
    /// Every dialect, for tables and tests.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::OpenAiChat, Self::OpenAiResponses];

    /// The label of this dialect in metrics, logs and configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
        }
    }

    /// The family of providers that understand it.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Anthropic => Family::Anthropic,
            Self::OpenAiChat | Self::OpenAiResponses => Family::OpenAi,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a provider speaks. The first three are what clients speak, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum ProviderDialect {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Google `generateContent` and `streamGenerateContent`.
    Gemini,
    /// AWS Bedrock `Converse` and `ConverseStream`.
    Bedrock,
    /// AWS Bedrock `InvokeModel` with Anthropic's bodies.
    BedrockClaude,
}

impl ProviderDialect {
    /// Every one, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::Anthropic,
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::Gemini,
        Self::Bedrock,
        Self::BedrockClaude,
    ];

    /// The label in metrics, logs, receipts and carriers.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::BedrockClaude => "bedrock-claude",
        }
    }

    /// The client's dialect that it is, if it is one.
    #[must_use]
    pub const fn client(self) -> Option<Dialect> {
        match self {
            Self::Anthropic => Some(Dialect::Anthropic),
            Self::OpenAiChat => Some(Dialect::OpenAiChat),
            Self::OpenAiResponses => Some(Dialect::OpenAiResponses),
            Self::Gemini | Self::Bedrock | Self::BedrockClaude => None,
        }
    }
}

impl From<Dialect> for ProviderDialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Anthropic => Self::Anthropic,
            Dialect::OpenAiChat => Self::OpenAiChat,
            Dialect::OpenAiResponses => Self::OpenAiResponses,
        }
    }
}

/// Providers whose hosts speak the same set of dialects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Family {
    /// Hosts that speak Anthropic Messages.
    Anthropic,
    /// Hosts that speak OpenAI Chat Completions, and Responses where they say so.
    OpenAi,
    /// Google AI and Vertex.
    Gemini,
    /// AWS Bedrock.
    Bedrock,
}

impl Family {
    /// Every family, for tables and tests.
    pub const ALL: [Self; 4] = [Self::Anthropic, Self::OpenAi, Self::Gemini, Self::Bedrock];

    /// The name of this family in the configuration (`dialect = "..."`) and as a path prefix.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// A call that the gateway understands and drives itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
    /// `POST /v1/chat/completions`
    ChatCompletions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1/completions`
    Completions,
}

impl Operation {
    /// The dialect of its bodies and errors.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
            Self::ChatCompletions | Self::Embeddings | Self::Completions => Dialect::OpenAiChat,
            Self::Responses => Dialect::OpenAiResponses,
        }
    }

    /// The path below a provider's base URL, without query.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Completions => "/v1/completions",
        }
    }

    /// Whether the call produces a model's answer. The others have limits of their own, so that
    /// their 429s must not cool the messages of the same account.
    #[must_use]
    pub const fn generates(self) -> bool {
        matches!(self, Self::Messages | Self::ChatCompletions | Self::Responses | Self::Completions)
    }
}
