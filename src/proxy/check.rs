//! Our own requests to providers: is this key good, is this engine healthy.
//!
//! A caller's odd header may make a provider refuse a key that is fine, so a key is quarantined only
//! when a request that is ours from end to end is refused too.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use super::{
    connect::Upstreams,
    forward::{self, Outbound},
};
use crate::{
    clock,
    dialect::{self, MaxTokensName, segment},
    types::{Family, ProviderDialect},
    upstream::{Asked, CheckKind, Endpoint, Failure, KeyCheck, ProviderParams, Verdict, classify},
};

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checked {
    /// The key is good; the organisation it belongs to, where the provider says so.
    Good(Option<String>),
    /// The provider refuses it, in these words of ours.
    Bad(&'static str),
    /// No telling: the provider could not be asked.
    Unknown,
}

/// What a check sends.
struct Question {
    method: Method,
    path: Cow<'static, str>,
    body: Bytes,
}

impl Question {
    /// `model` is one that can be named. `None`: there is nothing that this provider could be asked.
    fn of(params: &ProviderParams, wanted: CheckKind, model: Option<&str>) -> Option<Self> {
        match (wanted, model) {
            // One token of an answer: spend limits do not show on free calls.
            (CheckKind::Generate, Some(model)) => Some(Self::one_token(params, model)),
            // Bedrock lists its models at another host, which knows nothing of limits.
            (CheckKind::ListModels, Some(model)) if params.family == Family::Bedrock => {
                Some(Self::one_token(params, model))
            }
            // Free, and enough for most. Without a model the free question has to do.
            (CheckKind::ListModels | CheckKind::Generate, _) => Self::list(params.family),
        }
    }

    fn list(family: Family) -> Option<Self> {
        let path = match family {
            Family::Anthropic | Family::OpenAi => "/v1/models",
            Family::Gemini => "/models",
            Family::Bedrock => return None,
        };
        Some(Self { method: Method::GET, path: path.into(), body: Bytes::new() })
    }

    fn one_token(params: &ProviderParams, model: &str) -> Self {
        let claude = params.speaks.first() == Some(&ProviderDialect::BedrockClaude);
        let ask = json!([{ "role": "user", "content": "ping" }]);
        let (path, body) = match params.family {
            Family::Anthropic => {
                ("/v1/messages".into(), json!({ "model": model, "max_tokens": 1, "messages": ask }))
            }
            Family::OpenAi => {
                let limit = match params.quirks.max_tokens {
                    MaxTokensName::MaxTokens => "max_tokens",
                    MaxTokensName::MaxCompletionTokens => "max_completion_tokens",
                };
                ("/v1/chat/completions".into(), json!({ "model": model, limit: 1, "messages": ask }))
            }
            Family::Gemini => (
                format!("/models/{}:generateContent", segment(model)).into(),
                json!({
                    "contents": [{ "role": "user", "parts": [{ "text": "ping" }] }],
                    "generationConfig": { "maxOutputTokens": 1 },
                }),
            ),
            Family::Bedrock if claude => (
                format!("/model/{}/invoke", segment(model)).into(),
                json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": ask }),
            ),
            Family::Bedrock => (
                format!("/model/{}/converse", segment(model)).into(),
                json!({
                    "messages": [{ "role": "user", "content": [{ "text": "ping" }] }],
                    "inferenceConfig": { "maxTokens": 1 },
                }),
            ),
        };
        Self { method: Method::POST, path, body: body.to_string().into() }
    }
}

/// Asks the provider something with this endpoint's key and nothing of any caller's. `model` is one
/// that the endpoint serves, for the rare check that has to generate.
pub async fn check_key(
    upstreams: &Upstreams,
    endpoint: &Arc<Endpoint>,
    check: KeyCheck,
    model: Option<&str>,
) -> Checked {
    let params = &endpoint.provider().params;
    let Some(question) = Question::of(params, check.wanted(), model) else { return Checked::Unknown };
    let generates = !question.body.is_empty();
    let mut headers = HeaderMap::new();
    if generates {
        headers.insert("content-type", HeaderValue::from_static("application/json"));
    }
    if params.family == Family::Anthropic {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    headers.insert("user-agent", HeaderValue::from_static(concat!("warmkey/", env!("CARGO_PKG_VERSION"))));
    let out = Outbound {
        provider: params,
        key: endpoint.key(),
        method: question.method,
        path_and_query: &question.path,
        headers: &headers,
        trace: Vec::new(),
        body: question.body,
        first_byte: PATIENCE,
    };
    let Ok(answer) = forward::send(upstreams, &out).await else { return Checked::Unknown };
    // What changed is shared out by whoever asked for the check: it re-weighs the rings.
    let _ = endpoint.learn(&answer.head.headers);
    let (head, body) = answer.drain().await;
    let now = clock::now();
    let fault = dialect::read_fault(&body);
    let verdict = classify(head.status.as_u16(), &head.headers, &fault, &Asked::ASIDE, clock::unix_now());
    if let Verdict::KeySuspect(trouble) = verdict {
        tracing::error!(endpoint = %endpoint.name(), trouble = trouble.label(), "key quarantined");
        check.failed(trouble, now);
        return Checked::Bad(trouble.label());
    }
    let told = if generates {
        // Anything but an answer says nothing of the money.
        verdict == Verdict::Answered
    } else {
        // Engines without a model list, or a limit on it, say nothing against the key.
        !matches!(verdict.failure(false), Some(Failure::ServerError | Failure::Overloaded { .. }))
    };
    if !told {
        return Checked::Unknown;
    }
    check.passed(now);
    Checked::Good(endpoint.organisation())
}

/// Asks a self-hosted engine how it is.
pub async fn probe_health(upstreams: &Upstreams, endpoint: &Arc<Endpoint>) {
    let params = &endpoint.provider().params;
    let Some(path) = &params.health_path else { return };
    let headers = HeaderMap::new();
    let out = Outbound {
        provider: params,
        key: endpoint.key(),
        method: Method::GET,
        path_and_query: path,
        headers: &headers,
        trace: Vec::new(),
        body: Bytes::new(),
        first_byte: PATIENCE,
    };
    let healthy = match forward::send(upstreams, &out).await {
        Ok(answer) => {
            let healthy = answer.head.status.is_success();
            let _ = answer.drain().await;
            healthy
        }
        Err(_) => false,
    };
    endpoint.set_healthy(healthy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing;

    fn check(family: Family, wanted: CheckKind, model: Option<&str>, expected: Option<(&str, &str)>) {
        let params = ProviderParams { family, ..testing::provider("p") };
        let asked = Question::of(&params, wanted, model);
        let asked = asked.as_ref().map(|asked| (asked.method.as_str(), asked.path.as_ref()));
        assert_eq!(asked, expected);
    }

    #[test]
    fn each_family_is_asked_what_it_answers() {
        let (list, generate) = (CheckKind::ListModels, CheckKind::Generate);
        check(Family::OpenAi, list, None, Some(("GET", "/v1/models")));
        check(Family::OpenAi, generate, None, Some(("GET", "/v1/models")));
        check(Family::Anthropic, generate, Some("m"), Some(("POST", "/v1/messages")));
        check(Family::Gemini, list, Some("m"), Some(("GET", "/models")));
        check(Family::Gemini, generate, Some("m"), Some(("POST", "/models/m:generateContent")));
        check(Family::Bedrock, list, None, None);
        let id = Some("us.anthropic.claude-v1:0");
        let path = "/model/us.anthropic.claude-v1%3A0/converse";
        check(Family::Bedrock, list, id, Some(("POST", path)));
    }
}
