//! Traces for OpenTelemetry: which requests are sampled, and the queue of their spans.
//!
//! The spans of a request are made once, when it is settled, from times that were noted along its way
//! (`proxy/marks.rs`); `server/spans.rs` sends them. An unsampled request costs the look at its header.
//! The messages are those of `opentelemetry-proto`. Its SDK's own pipeline is not used: it makes spans as
//! they happen, has its own thread, and does not say how many it dropped.
//!
//! *Invariant:* the data path never waits: a full queue drops, and the drops are counted. *Invariant:*
//! attributes are numbers, closed sets, names of the configuration, and a model's name as the provider was
//! asked for it; never a token, a key, or a word of a prompt.

mod attributes;
mod context;
mod stages;
mod tree;

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::sync::mpsc;

pub use self::{
    context::{Context, SpanId, TraceId, read_state},
    stages::{Chosen, Stages, Tried},
};
use super::Metrics;
use crate::{
    clock::Moment,
    types::{Receipt, Secret},
};

/// Requests whose spans wait to be sent: some 10 KiB each.
const QUEUE: usize = 2_048;

/// Whose names the attributes are.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// Where spans go, and how many.
#[derive(Clone, Debug)]
pub struct OtlpParams {
    /// The whole URL that is posted to.
    pub url: String,
    /// Headers of ours; their values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// The share of requests without a sampled parent that is traced: 0 to 1.
    pub sample: f64,
    /// `service.name`.
    pub service_name: String,
    /// For one post, from the connection to the answer.
    pub timeout: Duration,
    /// Bodies are packed.
    pub gzip: bool,
}

/// The head of a sampled request's trace.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The request's own span.
    pub root: Context,
    /// The client's span, where it sent one.
    pub parent: Option<SpanId>,
    /// The client's `tracestate`.
    pub state: Option<String>,
}

/// Decides what is sampled, and takes spans.
pub struct Spans {
    sample: f64,
    queue: mpsc::Sender<Vec<Span>>,
}

/// What waits to be sent.
pub struct Waiting(mpsc::Receiver<Vec<Span>>);

impl Spans {
    /// A front, and the queue that it fills.
    #[must_use]
    pub fn new(params: &OtlpParams) -> (Self, Waiting) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { sample: params.sample, queue }, Waiting(waiting))
    }

    /// Whether a request is traced, decided by its head alone: by a valid parent's flag, else by the share.
    #[must_use]
    pub fn begin(&self, parent: Option<&[u8]>, state: Option<&[u8]>) -> Option<Trace> {
        let parent = parent.and_then(Context::read);
        let trace = parent.map_or_else(TraceId::mint, |parent| parent.trace);
        if !parent.map_or_else(|| trace.falls_within(self.sample), |parent| parent.sampled) {
            return None;
        }
        Some(Trace {
            root: Context { trace, span: SpanId::mint(), sampled: true },
            parent: parent.map(|parent| parent.span),
            // Without a parent it belongs to nothing.
            state: state.filter(|_| parent.is_some()).and_then(read_state).map(str::to_owned),
        })
    }

    /// A request is over: its spans are queued, or dropped and counted.
    pub fn over(&self, trace: &Trace, receipt: &Receipt, stages: &Stages, now: Moment) {
        let Ok(place) = self.queue.try_reserve() else {
            Metrics::global().spans("dropped", tree::count(stages));
            return;
        };
        place.send(tree::tree(trace, receipt, stages, now));
    }
}

impl Waiting {
    /// The next request's spans; `None` at the end.
    pub async fn next(&mut self) -> Option<Vec<Span>> {
        self.0.recv().await
    }

    /// The same, without waiting.
    pub fn now(&mut self) -> Option<Vec<Span>> {
        self.0.try_recv().ok()
    }
}

/// Spans as they are posted.
#[must_use]
pub fn request(service_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let mut about = attributes::Attributes::default();
    about.text("service.name", service_name);
    about.text("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource { attributes: about.take(), ..Resource::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_owned() }],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}
