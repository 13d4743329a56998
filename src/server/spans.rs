//! Sends spans to an OTLP collector, in batches.
//!
//! What cannot be sent is dropped and counted: a collector that is down or slow delays no request, and holds
//! no more memory than the queue and one batch. Only what a collector may take later is tried again, as the
//! protocol says: no answer, 429, 502, 503, 504.

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceResponse, trace::v1::Span};
use prost::Message as _;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::call::{Call, CallFault, call};
use crate::telemetry::{
    Metrics,
    otlp::{OtlpParams, Spans, Waiting, request},
};

/// Spans in one post, about; the last request's are not torn apart.
const BATCH: usize = 2_048;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_secs(1);
/// Pauses before a batch is tried again; after the last it is let go.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// What is left at the end may take so long.
const FLUSH: Duration = Duration::from_secs(5);

/// Why a batch was not taken.
#[derive(thiserror::Error, Debug)]
enum SpansFault {
    #[error(transparent)]
    Call(#[from] CallFault),
    #[error("no answer in time")]
    Silent,
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("the batch cannot be packed: {0}")]
    Pack(std::io::Error),
}

impl SpansFault {
    /// Whether it may be taken later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Call(_) | Self::Silent => true,
            Self::Refused(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Pack(_) => false,
        }
    }
}

/// The loop that sends.
pub(super) struct Exporter {
    stop: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

impl Exporter {
    /// Makes the queue, and starts to send what comes out of it.
    pub(super) fn start(params: OtlpParams) -> (Spans, Self) {
        let (spans, waiting) = Spans::new(&params);
        let (stop, stopping) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Sender { params, waiting, batch: Vec::new(), well: true }.run(stopping));
        (spans, Self { stop, tasks })
    }
}

/// Sends what is left, within bounds.
pub(super) async fn stop(exporter: Option<Exporter>) {
    let Some(Exporter { stop, mut tasks }) = exporter else { return };
    let _ = stop.send(());
    if timeout(FLUSH, tasks.join_next()).await.is_err() {
        tracing::warn!("the last spans could not be sent before the end");
    }
}

struct Sender {
    params: OtlpParams,
    waiting: Waiting,
    batch: Vec<Span>,
    /// The last batch was taken. Said when it changes.
    well: bool,
}

impl Sender {
    async fn run(mut self, mut stopping: oneshot::Receiver<()>) {
        while !stopping.is_terminated() {
            let open = tokio::select! {
                open = self.gather() => open,
                _ = &mut stopping => break,
            };
            if !open {
                break;
            }
            // A stop in the midst of it shortens the pauses, not the post.
            self.send(&mut stopping).await;
        }
        loop {
            while self.batch.len() < BATCH
                && let Some(more) = self.waiting.now()
            {
                self.batch.extend(more);
            }
            if self.batch.is_empty() {
                return;
            }
            self.send(&mut stopping).await;
        }
    }

    /// Fills the batch; `false` at the end of all. May be dropped half-way: what is gathered stays.
    async fn gather(&mut self) -> bool {
        let Some(spans) = self.waiting.next().await else { return false };
        self.batch.extend(spans);
        let until = Instant::now() + LINGER;
        while self.batch.len() < BATCH {
            match timeout_at(until, self.waiting.next()).await {
                Ok(Some(more)) => self.batch.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        true
    }

    async fn send(&mut self, stopping: &mut oneshot::Receiver<()>) {
        let spans = std::mem::take(&mut self.batch);
        let count = spans.len();
        let body: Bytes = request(&self.params.service_name, spans).encode_to_vec().into();
        let mut pauses = PAUSES.iter();
        let sent = loop {
            let fault = match self.post(body.clone()).await {
                Ok(refused) => break Ok(refused),
                Err(fault) => fault,
            };
            let Some(pause) = pauses.next().filter(|_| fault.may_pass() && !stopping.is_terminated()) else {
                break Err(fault);
            };
            self.say(Err(&fault));
            tokio::select! {
                () = sleep(*pause) => {}
                _ = &mut *stopping => {}
            }
        };
        let refused = sent.as_ref().map_or(count, |refused| count.min(*refused));
        Metrics::global().spans("exported", count - refused);
        Metrics::global().spans("failed", refused);
        self.say(sent.as_ref().map(|_| ()));
    }

    /// Posts once. How many spans of it were refused.
    async fn post(&self, body: Bytes) -> Result<usize, SpansFault> {
        let mut headers = vec![("content-type", "application/x-protobuf")];
        let mut body = body;
        if self.params.gzip {
            headers.push(("content-encoding", "gzip"));
            body = pack(&body).map_err(SpansFault::Pack)?;
        }
        headers.extend(self.params.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        let asked = call(Call { method: Method::POST, url: &self.params.url, headers: &headers, body });
        match timeout(self.params.timeout, asked).await {
            // It was taken, whatever is said of it.
            Ok(Err(CallFault::Answer)) => Ok(0),
            Ok(answered) => {
                let (status, body) = answered?;
                if status.is_success() { Ok(refused(&body)) } else { Err(SpansFault::Refused(status)) }
            }
            Err(_) => Err(SpansFault::Silent),
        }
    }

    fn say(&mut self, sent: Result<(), &SpansFault>) {
        match sent {
            Ok(()) if !self.well => tracing::info!("the OTLP collector takes spans again"),
            Err(fault) if self.well => {
                tracing::warn!(%fault, "the OTLP collector takes no spans; they are dropped until it does");
            }
            Ok(()) | Err(_) => {}
        }
        self.well = sent.is_ok();
    }
}

/// A collector may take a batch in part.
fn refused(answer: &[u8]) -> usize {
    let partial = ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    partial.and_then(|partial| usize::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn pack(body: &[u8]) -> std::io::Result<Bytes> {
    let mut packed =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    packed.write_all(body)?;
    Ok(packed.finish()?.into())
}
