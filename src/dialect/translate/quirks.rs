//! How hosts differ from the dialect that they say they speak.
//!
//! These matter where a request is translated; one in the host's own dialect goes up as it came.

/// What a host of an OpenAI dialect understands. The default is OpenAI itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one documented line of somebody's API")]
pub struct Quirks {
    /// What the limit of the output is called in Chat.
    pub max_tokens: MaxTokensName,
    /// Instructions are sent as `developer`; else as `system`.
    pub developer_role: bool,
    /// `stream_options.include_usage` is understood.
    pub usage_option: bool,
    /// `strict` of a function is understood.
    pub strict_tools: bool,
    /// `parallel_tool_calls` is understood.
    pub parallel_tool_calls: bool,
    /// `response_format` of type `json_schema` is understood.
    pub json_schema: bool,
    /// `tool_choice: "required"` is written `any` (Mistral).
    pub required_is_any: bool,
    /// Tool calls' ids must be nine letters and digits (Mistral).
    pub nine_letter_ids: bool,
    /// How the effort of reasoning is asked for.
    pub reasoning: ReasoningField,
    /// `seed` is called `random_seed` (Mistral).
    pub random_seed: bool,
    /// `prompt_cache_key` is understood.
    pub prompt_cache_key: bool,
    /// `cache_control` on content parts is understood (OpenRouter).
    pub cache_control: bool,
    /// Pictures are understood.
    pub images: bool,
    /// Files (`type: "file"`) are understood.
    pub files: bool,
    /// `service_tier`, `user` and such are understood; other hosts answer 400 or 422 to members that
    /// they do not know.
    pub hints: bool,
    /// A header that keeps a session on one of the host's machines.
    pub affinity: Option<AffinityHeader>,
    /// `api-version` in the query (Azure's older paths, `2024-10-21`).
    pub api_version: Option<String>,
}

/// What the limit of the output is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxTokensName {
    /// `max_completion_tokens`
    MaxCompletionTokens,
    /// `max_tokens`
    MaxTokens,
}

/// How the effort of reasoning is asked for in Chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReasoningField {
    /// `reasoning_effort: "high"`
    Effort,
    /// `reasoning: {"effort": "high"}` or `{"max_tokens": n}` (OpenRouter)
    Object,
    /// `thinking: {"type": "enabled" | "disabled"}` (DeepSeek)
    Switch,
    /// Not at all.
    None,
}

/// A header by which a host keeps a session on one machine, where its cache is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AffinityHeader {
    /// `x-grok-conv-id` (xAI)
    GrokConversation,
    /// `x-session-affinity` (Fireworks and others)
    SessionAffinity,
}

impl AffinityHeader {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrokConversation => "x-grok-conv-id",
            Self::SessionAffinity => "x-session-affinity",
        }
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            max_tokens: MaxTokensName::MaxCompletionTokens,
            developer_role: false,
            usage_option: true,
            strict_tools: true,
            parallel_tool_calls: true,
            json_schema: true,
            required_is_any: false,
            nine_letter_ids: false,
            reasoning: ReasoningField::Effort,
            random_seed: false,
            prompt_cache_key: true,
            cache_control: false,
            images: true,
            files: true,
            hints: true,
            affinity: None,
            api_version: None,
        }
    }
}
