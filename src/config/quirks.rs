//! `[provider.quirks]`: how a host differs from OpenAI's Chat, key by key.

use super::read::Section;
use crate::dialect::{AffinityHeader, MaxTokensName, Quirks, ReasoningField};

/// Reads what differs from `usual`.
pub(super) fn read(quirks: &Section<'_>, usual: Quirks) -> Quirks {
    let names = [
        ("max_completion_tokens", MaxTokensName::MaxCompletionTokens),
        ("max_tokens", MaxTokensName::MaxTokens),
    ];
    let reasoning = [
        ("effort", ReasoningField::Effort),
        ("object", ReasoningField::Object),
        ("switch", ReasoningField::Switch),
        ("none", ReasoningField::None),
    ];
    let affinity = [
        ("x-grok-conv-id", Some(AffinityHeader::GrokConversation)),
        ("x-session-affinity", Some(AffinityHeader::SessionAffinity)),
        ("none", None),
    ];
    Quirks {
        max_tokens: quirks.choice("max_tokens", usual.max_tokens, &names),
        developer_role: quirks.flag("developer_role", usual.developer_role),
        usage_option: quirks.flag("usage_option", usual.usage_option),
        strict_tools: quirks.flag("strict_tools", usual.strict_tools),
        parallel_tool_calls: quirks.flag("parallel_tool_calls", usual.parallel_tool_calls),
        json_schema: quirks.flag("json_schema", usual.json_schema),
        required_is_any: quirks.flag("required_is_any", usual.required_is_any),
        nine_letter_ids: quirks.flag("nine_letter_ids", usual.nine_letter_ids),
        reasoning: quirks.choice("reasoning", usual.reasoning, &reasoning),
        random_seed: quirks.flag("random_seed", usual.random_seed),
        prompt_cache_key: quirks.flag("prompt_cache_key", usual.prompt_cache_key),
        cache_control: quirks.flag("cache_control", usual.cache_control),
        images: quirks.flag("images", usual.images),
        files: quirks.flag("files", usual.files),
        hints: quirks.flag("hints", usual.hints),
        affinity: quirks.choice("affinity", usual.affinity, &affinity),
        api_version: api_version(quirks).or(usual.api_version),
    }
}

fn api_version(quirks: &Section<'_>) -> Option<String> {
    let version = quirks.text("api_version")?;
    if !version.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        let what = format!("`{}` is not a version", version.value.escape_debug());
        quirks.fault_at(&version, &what, "write it as in `2024-10-21`");
        return None;
    }
    Some(version.value)
}
