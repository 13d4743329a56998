//! Every preset: hosts, dialects, keys, caches.

use std::time::Duration;

use super::{Preset, hosts};
use crate::{
    dialect::Quirks,
    types::{Family, ProviderDialect},
    upstream::{AuthScheme, CacheRule},
};

use ProviderDialect::{
    Anthropic, Bedrock, BedrockClaude, Gemini, OpenAiChat as Chat, OpenAiResponses as Responses,
};

/// What most hosts of OpenAI's Chat have in common.
pub(super) const HOST: Preset = Preset {
    name: "",
    family: Family::OpenAi,
    speaks: &[Chat],
    base_url: "",
    auth: AuthScheme::Bearer,
    quirks: hosts::plain,
    cache: CacheRule::Anywhere,
    min_tokens: None,
    short: None,
    cached_reads_count: None,
    health_path: None,
    lists_models: true,
};

/// What engines of one's own have in common: no key, a path that says how they are.
const ENGINE: Preset = Preset {
    quirks: hosts::engine,
    min_tokens: Some(16),
    health_path: Some("/health"),
    lists_models: false,
    ..HOST
};

/// Every preset.
pub(in crate::config) const PRESETS: &[Preset] = &[
    Preset {
        name: "openai",
        speaks: &[Chat, Responses],
        base_url: "https://api.openai.com",
        quirks: Quirks::default,
        ..HOST
    },
    Preset {
        name: "anthropic",
        family: Family::Anthropic,
        speaks: &[Anthropic],
        base_url: "https://api.anthropic.com",
        auth: AuthScheme::XApiKey,
        quirks: Quirks::default,
        cache: CacheRule::Marked,
        ..HOST
    },
    // The v1 paths need no `api-version` (providers 3). A model is called as its deployment is.
    Preset {
        name: "azure",
        speaks: &[Chat, Responses],
        base_url: "https://{resource}.openai.azure.com/openai",
        auth: AuthScheme::ApiKey,
        quirks: Quirks::default,
        ..HOST
    },
    // anthropic 2.12.0, lib/foundry.py: base URL; the endpoint goes by `x-api-key`, or an Entra bearer.
    Preset {
        name: "foundry-anthropic",
        family: Family::Anthropic,
        speaks: &[Anthropic],
        base_url: "https://{resource}.services.ai.azure.com/anthropic",
        auth: AuthScheme::XApiKey,
        quirks: Quirks::default,
        cache: CacheRule::Marked,
        lists_models: false,
        ..HOST
    },
    Preset {
        name: "google",
        family: Family::Gemini,
        speaks: &[Gemini],
        base_url: "https://generativelanguage.googleapis.com/v1beta",
        auth: AuthScheme::GoogApiKey,
        quirks: Quirks::default,
        min_tokens: Some(2_048),
        ..HOST
    },
    Preset {
        name: "vertex",
        family: Family::Gemini,
        speaks: &[Gemini],
        base_url: "https://{vertex}/v1/projects/{project}/locations/{location}/publishers/google",
        auth: AuthScheme::GoogleServiceAccount,
        quirks: Quirks::default,
        min_tokens: Some(2_048),
        lists_models: false,
        ..HOST
    },
    // Converse, for models of any maker.
    Preset {
        name: "bedrock",
        family: Family::Bedrock,
        speaks: &[Bedrock],
        base_url: "https://bedrock-runtime.{region}.amazonaws.com",
        auth: AuthScheme::SigV4,
        quirks: Quirks::default,
        cache: CacheRule::Marked,
        lists_models: false,
        ..HOST
    },
    // InvokeModel: Claude's own bodies, in which nothing of theirs is lost.
    Preset {
        name: "bedrock-claude",
        family: Family::Bedrock,
        speaks: &[BedrockClaude],
        base_url: "https://bedrock-runtime.{region}.amazonaws.com",
        auth: AuthScheme::SigV4,
        quirks: Quirks::default,
        cache: CacheRule::Marked,
        lists_models: false,
        ..HOST
    },
    Preset { name: "mistral", base_url: "https://api.mistral.ai", quirks: hosts::mistral, ..HOST },
    Preset {
        name: "deepseek",
        base_url: "https://api.deepseek.com",
        quirks: hosts::deepseek,
        // A hit needs a whole unit of 64 tokens; kept for hours (providers 3).
        min_tokens: Some(64),
        short: Some(Duration::from_secs(2 * 3_600)),
        ..HOST
    },
    Preset {
        name: "xai",
        speaks: &[Chat, Responses],
        base_url: "https://api.x.ai",
        quirks: hosts::xai,
        ..HOST
    },
    // No discount for what was sent before is documented.
    Preset {
        name: "cohere",
        base_url: "https://api.cohere.ai/compatibility",
        quirks: hosts::cohere,
        cache: CacheRule::Never,
        lists_models: false,
        ..HOST
    },
    Preset {
        name: "groq",
        base_url: "https://api.groq.com/openai",
        quirks: hosts::groq,
        // providers 3: cached tokens do not count, and live for two hours.
        short: Some(Duration::from_secs(2 * 3_600)),
        cached_reads_count: Some(false),
        ..HOST
    },
    Preset { name: "together", base_url: "https://api.together.xyz", quirks: hosts::together, ..HOST },
    Preset {
        name: "fireworks",
        base_url: "https://api.fireworks.ai/inference",
        quirks: hosts::fireworks,
        ..HOST
    },
    Preset { name: "openrouter", base_url: "https://openrouter.ai/api", quirks: hosts::openrouter, ..HOST },
    Preset { name: "vllm", base_url: "http://127.0.0.1:8000", ..ENGINE },
    Preset { name: "sglang", base_url: "http://127.0.0.1:30000", ..ENGINE },
    // `/` answers 200 while it runs; there is no `/health`. Tool choice and parallel calls are ignored.
    Preset {
        name: "ollama",
        base_url: "http://127.0.0.1:11434",
        quirks: hosts::ollama,
        health_path: Some("/"),
        ..ENGINE
    },
    Preset { name: "llama-cpp", base_url: "http://127.0.0.1:8080", quirks: hosts::llama_cpp, ..ENGINE },
];
