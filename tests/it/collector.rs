//! A collector of traces, and what must be true of every trace.

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::any_value::Value as Plain,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::within;

/// A collector: keeps what it is sent.
pub struct Collector {
    pub at: SocketAddr,
    pub got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

/// What a collector does with what it is sent.
#[derive(Clone, Copy)]
pub enum Manner {
    Takes,
    Hangs,
    /// Takes a batch but for one span.
    TakesInPart,
    Refuses(u16),
}

impl Collector {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
        let kept = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let serve = service_fn(move |request| answer(request, Arc::clone(&kept), manner));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
            }
        });
        Self { at, got }
    }

    pub fn section(&self, more: &str) -> String {
        format!("[otlp]\nendpoint = \"http://{}\"\n{more}\n", self.at)
    }

    fn spans(&self) -> Vec<Span> {
        let decode = |(headers, body): &(HeaderMap, Bytes)| {
            let mut plain = Vec::new();
            if headers.get("content-encoding").is_some_and(|value| value == "gzip") {
                std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain)
                    .expect("gzip");
            } else {
                plain.extend_from_slice(body);
            }
            ExportTraceServiceRequest::decode(&plain[..]).expect("protobuf")
        };
        let all: Vec<_> = self.got.lock().iter().map(decode).collect();
        let scopes = all.into_iter().flat_map(|one| one.resource_spans).flat_map(|one| one.scope_spans);
        scopes.flat_map(|one| one.spans).collect()
    }

    /// Waits for so many requests' traces.
    pub async fn traces(&self, count: usize) -> Vec<Tree> {
        let roots = |spans: &[Span]| spans.iter().filter(|span| span.kind() == SpanKind::Server).count();
        within("spans arrive", async {
            while roots(&self.spans()) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let spans = self.spans();
        assert_eq!(roots(&spans), count);
        let tree = |root: &Span| Tree {
            children: spans.iter().filter(|span| span.parent_span_id == root.span_id).cloned().collect(),
            root: root.clone(),
        };
        spans.iter().filter(|span| span.kind() == SpanKind::Server).map(tree).collect()
    }

    pub async fn trace(&self) -> Tree {
        self.traces(1).await.remove(0)
    }
}

async fn answer(
    request: http::Request<Incoming>,
    kept: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    manner: Manner,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut said = ExportTraceServiceResponse::default();
    let mut status = 200;
    match manner {
        Manner::Hangs => std::future::pending::<()>().await,
        Manner::Takes => {}
        Manner::TakesInPart => {
            let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: String::new() };
            said.partial_success = Some(partial);
        }
        Manner::Refuses(code) => status = code,
    }
    kept.lock().push((head.headers, body));
    let body = Full::new(Bytes::from(said.encode_to_vec()));
    Ok(Response::builder().status(status).body(body).expect("an answer"))
}

/// One request's spans.
pub struct Tree {
    pub root: Span,
    pub children: Vec<Span>,
}

impl Tree {
    /// Names of the children, in the order of their beginnings.
    pub fn names(&self) -> Vec<&str> {
        let mut children: Vec<_> = self.children.iter().collect();
        children.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
        children.into_iter().map(|span| span.name.as_str()).collect()
    }

    pub fn all(&self, name: &str) -> Vec<&Span> {
        self.children.iter().filter(|span| span.name == name).collect()
    }

    /// Every span is whole, in its trace, and within its root.
    pub fn assert_sound(&self) {
        assert_eq!((self.root.trace_id.len(), self.root.span_id.len()), (16, 8));
        let mut ids = BTreeSet::from([self.root.span_id.clone()]);
        for span in &self.children {
            assert_eq!(span.trace_id, self.root.trace_id);
            assert!(ids.insert(span.span_id.clone()), "an id twice");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
            assert!(self.root.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
            assert!(span.end_time_unix_nano <= self.root.end_time_unix_nano, "{span:?}");
            assert_eq!(span.trace_state, self.root.trace_state);
        }
        for span in self.children.iter().chain([&self.root]) {
            let mut keys = BTreeSet::new();
            for attribute in &span.attributes {
                let known = attribute.key.starts_with("warmkey.") || conventional().contains(&*attribute.key);
                assert!(known, "`{}` is in no convention", attribute.key);
                assert!(keys.insert(attribute.key.clone()), "`{}` twice", attribute.key);
            }
        }
    }
}

/// The names that the conventions have, by the crate that is made from them.
#[expect(deprecated, reason = "GenAI's moved to a repository of their own, under the same names")]
fn conventional() -> BTreeSet<&'static str> {
    use opentelemetry_semantic_conventions::attribute as a;
    BTreeSet::from([
        a::ERROR_TYPE,
        a::GEN_AI_CONVERSATION_ID,
        a::GEN_AI_OPERATION_NAME,
        a::GEN_AI_PROVIDER_NAME,
        a::GEN_AI_REQUEST_MODEL,
        a::GEN_AI_REQUEST_STREAM,
        a::GEN_AI_RESPONSE_MODEL,
        a::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
        a::GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
        a::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        a::GEN_AI_USAGE_INPUT_TOKENS,
        a::GEN_AI_USAGE_OUTPUT_TOKENS,
        a::HTTP_REQUEST_BODY_SIZE,
        a::HTTP_REQUEST_METHOD,
        a::HTTP_REQUEST_RESEND_COUNT,
        a::HTTP_RESPONSE_BODY_SIZE,
        a::HTTP_RESPONSE_STATUS_CODE,
        a::SERVER_ADDRESS,
        a::SERVER_PORT,
        a::URL_PATH,
    ])
}

/// An attribute, as JSON.
pub fn of(span: &Span, key: &str) -> Value {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Plain::StringValue(text)) => json!(text),
        Some(Plain::IntValue(number)) => json!(number),
        Some(Plain::DoubleValue(number)) => json!(number),
        Some(Plain::BoolValue(flag)) => json!(flag),
        None => Value::Null,
        other => panic!("{key}: {other:?}"),
    }
}

pub fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
