//! The clients and the providers that are joined.

use warmkey::{
    dialect::{Maker, OnLoss, Quirks, Target, Translated, Untranslatable, translate_request},
    types::{Dialect, Operation, ProviderDialect},
};

/// What clients ask for, and the folder of their fixtures.
pub(crate) const CLIENTS: [(Operation, &str); 3] = [
    (Operation::Messages, "anthropic"),
    (Operation::ChatCompletions, "openai_chat"),
    (Operation::Responses, "openai_responses"),
];

/// The folder of a provider's fixtures.
pub(crate) const fn folder(provider: ProviderDialect) -> &'static str {
    match provider {
        ProviderDialect::Anthropic => "anthropic",
        ProviderDialect::OpenAiChat => "openai_chat",
        ProviderDialect::OpenAiResponses => "openai_responses",
        ProviderDialect::Gemini => "gemini",
        ProviderDialect::Bedrock => "bedrock",
        ProviderDialect::BedrockClaude => "bedrock_claude",
    }
}

/// A model that such a provider has.
pub(crate) const fn model(provider: ProviderDialect) -> &'static str {
    match provider {
        ProviderDialect::Anthropic => "claude-sonnet-5",
        ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => "gpt-5.6",
        ProviderDialect::Gemini => "gemini-3.5-flash",
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => "us.anthropic.claude-sonnet-4-6",
    }
}

/// Who a provider is: the makers of seals differ.
pub(crate) fn maker(provider: ProviderDialect) -> Maker {
    Maker::of(folder(provider))
}

/// The dialect that a client's operation belongs to.
pub(crate) const fn dialect(operation: Operation) -> Dialect {
    operation.dialect()
}

/// A request on its way to a provider.
pub(crate) fn send(
    operation: Operation,
    body: &[u8],
    provider: ProviderDialect,
    on_loss: OnLoss,
) -> Result<Translated, Untranslatable> {
    let quirks = Quirks::default();
    let target = Target {
        dialect: provider,
        maker: maker(provider),
        model: model(provider),
        quirks: &quirks,
        on_loss,
    };
    translate_request(operation, body, &target, "golden", 1_700_000_000)
}
