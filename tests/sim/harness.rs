//! An ordinary client, and a provider with four keys in three workspaces of two organisations.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use warmkey::{
    sim::{Account, Sim, SimConfig},
    types::Dialect,
};

/// Three dialects: path and a short streaming body.
pub(crate) const DIALECTS: [Dialect; 3] = Dialect::ALL;

pub(crate) struct Caller {
    pub(crate) inner: Client<HttpConnector, Full<Bytes>>,
    pub(crate) base: String,
    pub(crate) key: String,
}

pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body broke off.
    pub(crate) broken: bool,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("an event of JSON"))
            .collect()
    }
}

impl Caller {
    pub(crate) fn of(sim: &Sim, key: &str) -> Self {
        Self::with(sim, key, false)
    }

    pub(crate) fn with(sim: &Sim, key: &str, http2: bool) -> Self {
        let inner = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .retry_canceled_requests(false)
            .build_http();
        Self { inner, base: sim.base_url(), key: key.to_owned() }
    }

    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, String> {
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        if path.starts_with("/v1/messages") {
            builder = builder.header("anthropic-version", "2023-06-01");
        }
        let request = builder.body(Full::new(body)).expect("a request");
        self.inner.request(request).await.map_err(|e| format!("{e:?}"))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Heard, String> {
        let response = self.open(method, path, body).await?;
        let (head, mut incoming) = response.into_parts();
        let (mut whole, mut broken) = (Vec::new(), false);
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => whole.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Ok(Heard { status: head.status, headers: head.headers, body: whole.into(), broken })
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Heard {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Heard {
        self.send(Method::GET, path, Bytes::new()).await.expect("an answer")
    }
}

pub(crate) fn config() -> SimConfig {
    SimConfig {
        accounts: vec![
            Account::new("key-a", "org-1", "ws-1"),
            Account::new("key-b", "org-1", "ws-1"),
            Account::new("key-c", "org-1", "ws-2"),
            Account::new("key-d", "org-2", "ws-3"),
        ],
        ..SimConfig::default()
    }
}

pub(crate) async fn start() -> Sim {
    Sim::start(config()).await.expect("a provider")
}

pub(crate) fn path_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "/v1/messages",
        Dialect::OpenAiChat => "/v1/chat/completions",
        Dialect::OpenAiResponses => "/v1/responses",
    }
}

pub(crate) fn ask(dialect: Dialect, text: &str, stream: bool) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "model": "claude-sonnet-4-6", "max_tokens": 1_000, "stream": stream,
            "messages": [{"role": "user", "content": text}],
        }),
        Dialect::OpenAiChat => json!({
            "model": "gpt-5.6", "stream": stream, "messages": [{"role": "user", "content": text}],
        }),
        Dialect::OpenAiResponses => json!({"model": "gpt-5.6", "stream": stream, "input": text}),
    }
}

/// A long prompt with a breakpoint at its end.
pub(crate) fn long(text: &str) -> Value {
    json!({
        "model": "claude-sonnet-4-6", "max_tokens": 1_000,
        "system": [{"type": "text", "text": "s".repeat(8_000), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": text}],
    })
}

pub(crate) fn read_of(heard: &Heard) -> u64 {
    heard.json()["usage"]["cache_read_input_tokens"].as_u64().expect("usage")
}
