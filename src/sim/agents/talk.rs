//! One HTTP exchange, as a client sees it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::Exchange;
use crate::{clock, types::Dialect};

/// What came back.
pub(super) struct Heard {
    pub(super) exchange: Exchange,
    pub(super) body: Bytes,
    /// The wait that the answer asked for.
    pub(super) wait: Option<Duration>,
}

/// A client with its own connections.
pub(super) struct Talk {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Talk {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends `body` and reads the answer to its end. Failures are an exchange with status 0, or one
    /// whose body breaks off.
    pub(super) async fn send(
        &self,
        dialect: Dialect,
        base_url: &str,
        key: &str,
        headers: Vec<(&'static str, String)>,
        body: &Bytes,
    ) -> Heard {
        let mut heard = Heard { exchange: Exchange::default(), body: Bytes::new(), wait: None };
        let Some(request) = request(dialect, base_url, key, headers, body) else { return heard };
        let sent = clock::now();
        let Ok(response) = self.client.request(request).await else { return heard };
        note(&response, &mut heard);
        let mut incoming = response.into_body();
        let mut whole = Vec::new();
        while let Some(Ok(frame)) = incoming.frame().await {
            if whole.is_empty() {
                heard.exchange.ttft = clock::now().since(sent);
            }
            if let Some(bytes) = frame.data_ref() {
                whole.extend_from_slice(bytes);
            }
        }
        heard.exchange.total = clock::now().since(sent);
        heard.body = whole.into();
        heard
    }
}

fn request(
    dialect: Dialect,
    base_url: &str,
    key: &str,
    headers: Vec<(&'static str, String)>,
    body: &Bytes,
) -> Option<Request<Full<Bytes>>> {
    let path = match dialect {
        Dialect::Anthropic => "/v1/messages?beta=true",
        Dialect::OpenAiChat => "/v1/chat/completions",
        Dialect::OpenAiResponses => "/v1/responses",
    };
    let mut builder =
        Request::post(format!("{base_url}{path}")).header(header::CONTENT_TYPE, "application/json");
    if dialect == Dialect::Anthropic {
        builder = builder.header("anthropic-version", "2023-06-01");
    }
    if !key.is_empty() {
        builder = match dialect {
            Dialect::Anthropic => builder.header("x-api-key", key),
            Dialect::OpenAiChat | Dialect::OpenAiResponses => {
                builder.header(header::AUTHORIZATION, format!("Bearer {key}"))
            }
        };
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body.clone())).ok()
}

fn note(response: &Response<Incoming>, heard: &mut Heard) {
    let text = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    heard.exchange.status = response.status().as_u16();
    heard.exchange.endpoint = text("x-warmkey-endpoint");
    heard.exchange.affinity = text("x-warmkey-affinity");
    heard.exchange.session = text("x-warmkey-session");
    // Anthropic has the one, OpenAI the other.
    heard.exchange.request_id = text("request-id") + &text("x-request-id");
    let millis = text("retry-after-ms").parse().ok().map(Duration::from_millis);
    heard.wait = millis.or_else(|| text("retry-after").parse().ok().map(Duration::from_secs));
}
