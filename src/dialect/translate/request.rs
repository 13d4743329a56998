//! A request's way up.

use bytes::Bytes;

use super::{Asked, Quirks};
use crate::{
    dialect::{
        anthropic, bedrock, gemini,
        neutral::{Losses, Lost, Maker, Malformed, OnLoss, Refused, Request},
        openai_chat, openai_responses,
    },
    types::{Dialect, Operation, ProviderDialect},
};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What is spoken there.
    pub dialect: ProviderDialect,
    /// Who it is: what it sealed, it gets back.
    pub maker: Maker,
    /// What the model is called there.
    pub model: &'a str,
    /// How it differs from its dialect.
    pub quirks: &'a Quirks,
    /// What may be lost on the way.
    pub on_loss: OnLoss,
}

/// A request in a provider's words.
#[derive(Clone, Debug)]
pub struct Translated {
    /// Path and query below the provider's base path.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// Members of the client's body that were left out.
    pub dropped: Vec<Lost>,
    /// What its answer has to be written by.
    pub asked: Asked,
}

/// Why there is no translation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Untranslatable {
    /// The body is not what its dialect says: member (empty: all of it) and what is wrong with it.
    Malformed(String, std::borrow::Cow<'static, str>),
    /// The target cannot express a member that may not be lost.
    Refused(Refused),
}

impl From<Malformed> for Untranslatable {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.field, malformed.what)
    }
}

/// Writes a generating request in the words of `target`. `id` and `created` go into the answer.
///
/// # Errors
/// When the body is malformed, or holds what the target cannot express and may not be lost.
pub fn translate_request(
    operation: Operation,
    body: &[u8],
    target: &Target<'_>,
    id: &str,
    created: u64,
) -> Result<Translated, Untranslatable> {
    let mut losses = Losses::default();
    let mut request = read(operation.dialect(), body, &mut losses)?;
    if !knows_free_tools(target) {
        request.spell_free_tools(&mut losses);
    }
    let written = write(&request, target, &mut losses);
    let dropped = losses.settle(target.on_loss).map_err(Untranslatable::Refused)?;
    let asked = Asked {
        origin: request.origin,
        stream: request.stream,
        include_usage: request.include_usage,
        model: target.model.to_owned(),
        id: id.to_owned(),
        created,
        echo: request.echo.iter().map(|(name, value)| (*name, value.as_str().to_owned())).collect(),
    };
    let path = path(target, request.stream);
    Ok(Translated { path, body: written.into(), dropped, asked })
}

/// Whether tools may take free text there: an invention of `OpenAI`'s, which other hosts of its dialects do
/// not know.
fn knows_free_tools(target: &Target<'_>) -> bool {
    match target.dialect {
        ProviderDialect::OpenAiResponses => true,
        ProviderDialect::OpenAiChat => target.quirks.hints,
        ProviderDialect::Anthropic
        | ProviderDialect::Gemini
        | ProviderDialect::Bedrock
        | ProviderDialect::BedrockClaude => false,
    }
}

pub(super) fn read<'a>(
    dialect: Dialect,
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Request<'a>, Malformed> {
    match dialect {
        Dialect::Anthropic => anthropic::read_request(body, losses),
        Dialect::OpenAiChat => openai_chat::read_request(body, losses),
        Dialect::OpenAiResponses => openai_responses::read_request(body, losses),
    }
}

fn write(request: &Request<'_>, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    match target.dialect {
        ProviderDialect::Anthropic => anthropic::write_request(request, target, losses),
        ProviderDialect::OpenAiChat => openai_chat::write_request(request, target, losses),
        ProviderDialect::OpenAiResponses => openai_responses::write_request(request, target, losses),
        ProviderDialect::Gemini => gemini::write_request(request, target, losses),
        ProviderDialect::Bedrock => bedrock::write_request(request, target, losses),
        ProviderDialect::BedrockClaude => bedrock::write_claude_request(request, target, losses),
    }
}

fn path(target: &Target<'_>, stream: bool) -> String {
    match target.dialect {
        ProviderDialect::Anthropic => Operation::Messages.path().to_owned(),
        ProviderDialect::OpenAiChat => Operation::ChatCompletions.path().to_owned(),
        ProviderDialect::OpenAiResponses => Operation::Responses.path().to_owned(),
        ProviderDialect::Gemini => gemini::path(target.model, stream),
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => {
            bedrock::path(target.dialect, target.model, stream)
        }
    }
}
