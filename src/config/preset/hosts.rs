//! What each host of OpenAI's Chat understands, and where that is said.

use crate::dialect::{AffinityHeader, MaxTokensName, Quirks, ReasoningField};

/// A host that knows what OpenAI's Chat had before 2025, and refuses what it does not know.
pub(super) fn plain() -> Quirks {
    Quirks {
        max_tokens: MaxTokensName::MaxTokens,
        strict_tools: false,
        prompt_cache_key: false,
        files: false,
        hints: false,
        ..Quirks::default()
    }
}

/// mistralai 3.7.0, `ChatCompletionRequest` and `ChatCompletionStreamRequest`: `max_tokens`,
/// `random_seed`, `prompt_cache_key`, `reasoning_effort`, `parallel_tool_calls`, formats with a schema, and
/// `strict` of a function; no `stream_options` (usage comes in any case), no `user`, and extra members
/// are a 422. Tool ids: nine of `[a-zA-Z0-9]`. `any` is the older word for `required`.
pub(super) fn mistral() -> Quirks {
    Quirks {
        usage_option: false,
        strict_tools: true,
        required_is_any: true,
        nine_letter_ids: true,
        random_seed: true,
        prompt_cache_key: true,
        ..plain()
    }
}

/// api-docs.deepseek.com, "Create chat completion" and "Thinking mode": `thinking` switches, formats are
/// `text` or `json_object`, `strict` is for the beta path only; no `parallel_tool_calls`, and none of the
/// hints. Its cache needs no key.
pub(super) fn deepseek() -> Quirks {
    Quirks { parallel_tool_calls: false, json_schema: false, reasoning: ReasoningField::Switch, ..plain() }
}

/// docs.x.ai: `max_completion_tokens` (`max_tokens` is deprecated), `x-grok-conv-id` keeps a conversation
/// on one server (providers 3); `strict` of a function is refused (litellm 1.109.1 takes it out).
pub(super) fn xai() -> Quirks {
    Quirks {
        max_tokens: MaxTokensName::MaxCompletionTokens,
        affinity: Some(AffinityHeader::GrokConversation),
        ..plain()
    }
}

/// docs.cohere.com, "Compatibility API": `parallel_tool_calls`, `service_tier`, `store`, `metadata` and
/// `logit_bias` are unsupported; `stream_options` is refused (strandsagents.com, "Cohere").
pub(super) fn cohere() -> Quirks {
    Quirks { usage_option: false, parallel_tool_calls: false, ..plain() }
}

/// groq 1.7.0, `CompletionCreateParams`: `max_completion_tokens`, `strict` of a function,
/// `parallel_tool_calls`, schemas, `reasoning_effort`; tiers of other names, so hints stay out.
pub(super) fn groq() -> Quirks {
    Quirks { max_tokens: MaxTokensName::MaxCompletionTokens, strict_tools: true, ..plain() }
}

/// together 3.1.1, `CompletionCreateParams`: `max_tokens`, schemas, `reasoning_effort`, `seed`; neither
/// `stream_options` (the last chunk has the usage) nor `parallel_tool_calls` nor `user`.
pub(super) fn together() -> Quirks {
    Quirks { usage_option: false, parallel_tool_calls: false, ..plain() }
}

/// docs.fireworks.ai, "Create chat completion": `prompt_cache_key`, `stream_options`,
/// `parallel_tool_calls`, schemas, `reasoning_effort`; `strict` of a function is refused (litellm 1.109.1
/// takes it out). `x-session-affinity` keeps a session on one replica (providers 3).
pub(super) fn fireworks() -> Quirks {
    Quirks { prompt_cache_key: true, affinity: Some(AffinityHeader::SessionAffinity), ..plain() }
}

/// openrouter.ai, "Parameters", "Prompt caching" and "Reasoning": a `reasoning` object, `cache_control` on
/// parts for Claude and Gemini, files; what a model does not take is left out there.
pub(super) fn openrouter() -> Quirks {
    Quirks { reasoning: ReasoningField::Object, cache_control: true, ..Quirks::default() }
}

/// vLLM and SGLang take any member and ignore what they do not know; `max_tokens` is what all their
/// versions read.
pub(super) fn engine() -> Quirks {
    plain()
}

/// docs.ollama.com, "OpenAI compatibility": `max_tokens`, `seed`, schemas, `reasoning_effort`, tools,
/// pictures, `stream_options`.
pub(super) fn ollama() -> Quirks {
    Quirks { parallel_tool_calls: false, ..plain() }
}

/// llama.cpp, tools/server/README.md: schemas, tools with `parallel_tool_calls`, pictures where the model
/// sees; effort of reasoning is a matter of the template.
pub(super) fn llama_cpp() -> Quirks {
    Quirks { reasoning: ReasoningField::None, ..plain() }
}
