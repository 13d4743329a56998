//! One exchange: sent, timed, read.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Fault, Line, plain};
use crate::{
    clock::{self, Moment},
    dialect::{Signal, StreamReader, UpstreamFault, read_fault, read_whole},
    gauge::said::Said,
    types::{Dialect, Operation, ReportedUsage, Usage},
};

/// What an answer may be larger than by its tokens: its frame.
const FRAME: usize = 256 << 10;
/// A token with its event around it is smaller.
const TOKEN: usize = 1_024;
/// An error is read so far.
const ERROR: usize = 64 << 10;
/// Times between pieces kept of one answer.
const PIECES: usize = 4_096;

/// What came back.
#[derive(Debug, Default)]
pub(in crate::gauge) struct Heard {
    /// 0 when there was no answer at all.
    pub(in crate::gauge) status: u16,
    pub(in crate::gauge) fault: Option<Fault>,
    pub(in crate::gauge) usage: Option<Usage>,
    pub(in crate::gauge) account: Option<Arc<str>>,
    pub(in crate::gauge) first_token: Option<Duration>,
    pub(in crate::gauge) between: Vec<Duration>,
    pub(in crate::gauge) total: Option<Duration>,
    pub(in crate::gauge) said: Said,
    /// For how long to stay away, as it was asked for.
    pub(in crate::gauge) wait: Option<Duration>,
    /// The endpoint says whether it is worth another try.
    pub(in crate::gauge) again: Option<bool>,
    /// Something may have been charged.
    pub(in crate::gauge) may_cost: bool,
}

impl Line {
    /// Sends `body` and hears the answer to its end, within `limit`.
    pub(in crate::gauge) async fn ask(
        &mut self,
        dialect: Dialect,
        headers: &[(&'static str, String)],
        body: Bytes,
        max_tokens: u32,
        limit: Duration,
    ) -> Heard {
        let mut heard = Heard::default();
        let most = FRAME + TOKEN * usize::try_from(max_tokens).unwrap_or(usize::MAX >> 20);
        let sent = clock::now();
        let ended = timeout(limit, self.exchange(dialect, headers, body, most, sent, &mut heard)).await;
        heard.total = (heard.status != 0).then(|| clock::now().since(sent));
        let fault = match ended {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) if heard.status == 0 => Some(Fault::Silent(limit)),
            Err(_) => Some(Fault::Unfinished(limit)),
        };
        if fault.is_some() {
            // What is left on it belongs to nobody.
            self.close();
        }
        heard.fault = fault;
        heard
    }

    async fn exchange(
        &mut self,
        dialect: Dialect,
        headers: &[(&'static str, String)],
        body: Bytes,
        most: usize,
        sent: Moment,
        heard: &mut Heard,
    ) -> Result<(), Fault> {
        let request = self
            .target()
            .request(dialect, headers, body)
            .map_err(|error| Fault::Broken(format!("the request cannot be written: {error}")))?;
        heard.may_cost = true;
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(fault) => {
                let unsent = matches!(fault, Fault::Unknown { .. } | Fault::NoConnection(_) | Fault::Tls(_));
                heard.may_cost = !unsent;
                return Err(fault);
            }
        };
        heard.status = response.status().as_u16();
        heard.account = account(response.headers());
        if !response.status().is_success() {
            // Nobody charges for an error.
            heard.may_cost = false;
            return Err(self.refused(response, heard).await);
        }
        let content_type = content_type(response.headers());
        let mut hearing =
            Hearing { dialect, sent, last: None, reported: None, seen: false, fault: None, heard };
        let read = if content_type.contains("event-stream") {
            hearing.stream(response.into_body(), most).await
        } else if content_type.contains("json") {
            hearing.whole(response.into_body(), most, &content_type).await
        } else if content_type.contains("html") {
            Err(Fault::Page { status: hearing.heard.status, content_type })
        } else {
            Err(Fault::NotModel(content_type))
        };
        let told = hearing.end();
        read.and(told)
    }

    /// Reads an error.
    async fn refused(&self, response: Response<Incoming>, heard: &mut Heard) -> Fault {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<f64>().ok());
        let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0).or_else(|| number("retry-after"));
        heard.wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        heard.again = text("x-should-retry").and_then(|text| text.parse().ok());
        if head.status.is_redirection() {
            return Fault::Moved { status, to: plain(text("location").unwrap_or("nowhere")) };
        }
        let content_type = content_type(&head.headers);
        if content_type.contains("html") {
            return Fault::Page { status, content_type };
        }
        let (bytes, _) = read(body, ERROR).await;
        let UpstreamFault { kind, code, message, .. } = read_fault(&bytes);
        let kind = [kind, code].into_iter().find(|word| !word.is_empty()).map(|word| plain(&word));
        let message = if message.is_empty() && kind.is_none() {
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            message
        };
        Fault::Refused { status, kind, message: plain(&self.target().without_key(&message)) }
    }
}

/// Reads at most `most` bytes, and how it ended.
async fn read(mut body: Incoming, most: usize) -> (Vec<u8>, Result<(), Fault>) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) if bytes.len() + data.len() > most => return (bytes, Err(too_long(most))),
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return (bytes, Err(Fault::Broken(broke(&error)))),
        }
    }
    (bytes, Ok(()))
}

fn too_long(most: usize) -> Fault {
    Fault::Broken(format!("the answer is longer than {} KB, far more than `--max-tokens` allows", most >> 10))
}

fn broke(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    plain(&cause.unwrap_or_else(|| error.to_string()))
}

/// What is read of one answer.
struct Hearing<'h> {
    dialect: Dialect,
    sent: Moment,
    last: Option<Moment>,
    reported: Option<ReportedUsage>,
    /// Something that only a model's answer has.
    seen: bool,
    fault: Option<UpstreamFault>,
    heard: &'h mut Heard,
}

impl Hearing<'_> {
    fn operation(&self) -> Operation {
        match self.dialect {
            Dialect::Anthropic => Operation::Messages,
            Dialect::OpenAiChat => Operation::ChatCompletions,
            Dialect::OpenAiResponses => Operation::Responses,
        }
    }

    fn see(&mut self, signal: Signal<'_>, now: Moment) {
        match signal {
            Signal::Started { .. } | Signal::Model(_) | Signal::Stop(_) | Signal::ToolCall { .. } => {
                self.seen = true;
            }
            Signal::Delta { .. } => {
                self.seen = true;
                match self.last {
                    None => self.heard.first_token = Some(now.since(self.sent)),
                    Some(last) if self.heard.between.len() < PIECES => {
                        self.heard.between.push(now.since(last));
                    }
                    Some(_) => {}
                }
                self.last = Some(now);
            }
            Signal::Usage(usage) => {
                self.seen = true;
                self.reported.get_or_insert_default().overwrite(&usage);
            }
            Signal::Error(fault) => self.fault = Some(fault),
            Signal::Tier(_) | Signal::Lifecycle | Signal::Terminal => {}
        }
    }

    async fn stream(&mut self, mut body: Incoming, most: usize) -> Result<(), Fault> {
        let mut reader = StreamReader::new(self.operation(), false);
        let mut bytes = Vec::new();
        let mut broken = None;
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => {
                    let now = clock::now();
                    // What is to be forwarded is a gateway's question.
                    let _ = reader.push(&data, &mut |signal| self.see(signal, now));
                    bytes.extend_from_slice(&data);
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    broken = Some(Fault::Broken(broke(&error)));
                    break;
                }
            }
            if bytes.len() > most {
                return Err(too_long(most));
            }
        }
        let now = clock::now();
        let end = reader.end(&mut |signal| self.see(signal, now));
        self.heard.said = Said::read(self.dialect, &bytes, true);
        match broken {
            _ if end.complete || self.fault.is_some() => Ok(()),
            Some(fault) => Err(fault),
            None if self.seen => Err(Fault::Broken("the stream ended before the answer did".to_owned())),
            None => Err(Fault::NotModel("text/event-stream".to_owned())),
        }
    }

    async fn whole(&mut self, body: Incoming, most: usize, content_type: &str) -> Result<(), Fault> {
        let (bytes, ended) = read(body, most).await;
        let now = clock::now();
        let operation = self.operation();
        read_whole(operation, &bytes, &mut |signal| self.see(signal, now));
        // In one piece, nothing came between its pieces.
        self.heard.between.clear();
        self.heard.said = Said::read(self.dialect, &bytes, false);
        ended?;
        if self.seen || self.fault.is_some() { Ok(()) } else { Err(Fault::NotModel(content_type.to_owned())) }
    }

    fn end(self) -> Result<(), Fault> {
        self.heard.usage = self.reported.map(|reported| reported.settled());
        match self.fault {
            None => Ok(()),
            // It was told within a 200: the status that the word stands for is not said.
            Some(fault) => Err(Fault::Refused {
                status: self.heard.status,
                kind: [fault.kind, fault.code]
                    .into_iter()
                    .find(|word| !word.is_empty())
                    .map(|word| plain(&word)),
                message: plain(&fault.message),
            }),
        }
    }
}

/// Without its parameters.
fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = plain(text.split(';').next().unwrap_or_default()).to_ascii_lowercase();
    if text.is_empty() { "no content type".to_owned() } else { text }
}

/// Who answered, by what providers and gateways say: the smallest thing that has a cache of its own.
fn account(headers: &HeaderMap) -> Option<Arc<str>> {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let both = |outer: &str, inner: &str| match (text(outer), text(inner)) {
        (Some(outer), Some(inner)) => Some(format!("{outer}/{inner}")),
        (outer, inner) => outer.or(inner).map(str::to_owned),
    };
    both("anthropic-organization-id", "anthropic-workspace-id")
        .or_else(|| both("openai-organization", "openai-project"))
        .or_else(|| {
            ["x-warmkey-endpoint", "x-litellm-model-id"].into_iter().find_map(text).map(str::to_owned)
        })
        .map(|name| plain(&name).into())
}
