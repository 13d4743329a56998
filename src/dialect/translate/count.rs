//! Token counting: a client's call in the words of providers that count in their own.

use bytes::Bytes;

use super::{Target, Untranslatable, request};
use crate::{
    dialect::{
        bedrock, gemini,
        neutral::{Losses, Lost, OnLoss, Refused, Writer},
    },
    types::{Dialect, ProviderDialect},
};

/// A counting request in a provider's words.
#[derive(Clone, Debug)]
pub struct TranslatedCount {
    /// Path and query below the provider's base path.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// Members of the client's body that are not counted.
    pub dropped: Vec<Lost>,
}

/// Writes a call that counts (`/v1/messages/count_tokens`, `/v1/responses/input_tokens`; a body of Chat
/// works, too) in the words of `target`. Nothing is answered by it, so everything may be lost.
///
/// # Errors
/// When the body is malformed, or the target counts nothing: then an estimate has to do.
pub fn translate_count(
    origin: Dialect,
    body: &[u8],
    target: &Target<'_>,
) -> Result<TranslatedCount, Untranslatable> {
    let mut losses = Losses::default();
    let request = request::read(origin, body, &mut losses)?;
    let (path, written) = match target.dialect {
        ProviderDialect::Gemini => gemini::write_count(&request, target, &mut losses),
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude
            if bedrock::counts(target.dialect, target.model) =>
        {
            bedrock::write_count(&request, target, &mut losses)
        }
        ProviderDialect::Bedrock
        | ProviderDialect::BedrockClaude
        | ProviderDialect::Anthropic
        | ProviderDialect::OpenAiChat
        | ProviderDialect::OpenAiResponses => {
            return Err(Untranslatable::Refused(Refused {
                field: "model".to_owned(),
                why: "is one that no call counts tokens for".into(),
            }));
        }
    };
    let dropped = losses.settle(OnLoss::Drop).map_err(Untranslatable::Refused)?;
    Ok(TranslatedCount { path, body: written.into(), dropped })
}

/// Whether hosts of this dialect have a call that counts. (`OpenAI`'s own has one, most others that speak
/// its dialects have none.)
#[must_use]
pub const fn counts(dialect: ProviderDialect) -> bool {
    match dialect {
        ProviderDialect::Gemini
        | ProviderDialect::Anthropic
        | ProviderDialect::Bedrock
        | ProviderDialect::BedrockClaude => true,
        ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => false,
    }
}

/// Writes the figure in the client's words; `None` where the answer holds none.
#[must_use]
pub fn translate_count_answer(from: ProviderDialect, origin: Dialect, body: &[u8]) -> Option<Bytes> {
    let count = match from {
        ProviderDialect::Gemini => gemini::read_count(body),
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => bedrock::read_count(body),
        ProviderDialect::Anthropic | ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => None,
    }?;
    Some(counted(origin, count))
}

/// A figure in the client's words; an estimate of the gateway's own looks the same.
#[must_use]
pub fn counted(origin: Dialect, count: u64) -> Bytes {
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        if origin != Dialect::Anthropic {
            w.key("object").text("response.input_tokens");
        }
        w.key("input_tokens").number(count);
    });
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(origin: Dialect, body: &str) -> Option<String> {
        let answer = translate_count_answer(ProviderDialect::Gemini, origin, body.as_bytes());
        answer.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn the_figure_comes_in_the_clients_words() {
        let body = r#"{"totalTokens":31,"promptTokensDetails":[{"modality":"TEXT","tokenCount":31}]}"#;
        assert_eq!(answered(Dialect::Anthropic, body).unwrap(), r#"{"input_tokens":31}"#);
        assert_eq!(
            answered(Dialect::OpenAiResponses, body).unwrap(),
            r#"{"object":"response.input_tokens","input_tokens":31}"#
        );
        for none in ["", "{}", r#"{"totalTokens":"x"}"#, "[1]"] {
            assert_eq!(answered(Dialect::Anthropic, none), None, "{none}");
        }
    }
}
