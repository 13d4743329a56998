//! Our own requests to providers: is this key good, is this engine healthy.
//!
//! A caller's odd header may make a provider refuse a key that is fine, so a key is quarantined only
//! when a request that is ours from end to end is refused too.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use super::{
    connect::Upstreams,
    forward::{self, Outbound},
};
use crate::{
    clock, dialect,
    types::Family,
    upstream::{Asked, CheckKind, Endpoint, Failure, KeyCheck, Verdict, classify},
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
    path: &'static str,
    body: Bytes,
}

impl Question {
    /// Free, and enough for most.
    const LIST: Self = Self { method: Method::GET, path: "/v1/models", body: Bytes::new() };

    /// One token of an answer: spend limits do not show on free calls. Without a model that can be
    /// named, the free question has to do.
    fn one_token(family: Family, model: Option<&str>) -> Self {
        let Some(model) = model else { return Self::LIST };
        let (path, limit) = match family {
            Family::Anthropic => ("/v1/messages", "max_tokens"),
            Family::OpenAi => ("/v1/chat/completions", "max_completion_tokens"),
        };
        let body = serde_json::json!({
            "model": model, limit: 1, "messages": [{"role": "user", "content": "ping"}],
        });
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
    let question = match check.wanted() {
        CheckKind::ListModels => Question::LIST,
        CheckKind::Generate => Question::one_token(params.family, model),
    };
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
        path_and_query: question.path,
        headers: &headers,
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
