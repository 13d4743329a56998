//! One try at one endpoint, up to the head of its answer.
//!
//! The request's head is built anew, never cloned from downstream: an HTTP/2 client's authority or a
//! hop-by-hop header would go along otherwise. The body goes up in slices, and between two of them
//! the answer is polled, so that a provider which says 413 or 429 during an upload is heard.

use std::{borrow::Cow, future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use pingora::{
    ErrorType, RetryType,
    http::{RequestHeader, ResponseHeader},
    protocols::SocketDigest,
};

use super::{
    authorise::authorise,
    connect::{Connection, Upstreams},
    headers,
    marks::Outward,
};
use crate::{
    clock::{self, Moment},
    upstream::{Credential, Credentials, Failure, ProviderParams},
};

/// A body that the kernel takes at once: its write is not watched, which saves a system call.
const SMALL: usize = 64 << 10;
/// What goes up between two looks at the answer.
const SLICE: usize = 256 << 10;
/// A slice that is not taken within this time makes us ask the kernel whether an answer is there.
const STALL: Duration = Duration::from_millis(200);
/// Over TLS bytes come that are no answer (session tickets), so there the other side must also have
/// acknowledged nothing for this many stalls.
const STALLS: u32 = 5;
/// A pooled connection that the provider had closed breaks at once; one that breaks later was alive,
/// and the request may have been worked on.
const STALE_WITHIN: Duration = Duration::from_secs(1);
/// What is read of an error's body; the rest closes the connection.
const ERROR_BODY: usize = 64 << 10;
/// How long an error's body may take.
const ERROR_TIME: Duration = Duration::from_secs(2);

/// A request as it goes up.
pub(crate) struct Outbound<'a> {
    /// To whom.
    pub provider: &'a ProviderParams,
    /// With whose key; `None` in observe mode and for engines without one.
    pub key: Option<&'a Arc<Credential>>,
    /// `POST`, mostly.
    pub method: Method,
    /// Path and query below the provider's base path.
    pub path_and_query: &'a str,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// The trace that it is part of, for a provider that is told.
    pub trace: Outward,
    /// The body, spliced already.
    pub body: Bytes,
    /// From the last byte sent to the first received.
    pub first_byte: Duration,
}

/// The head of an answer, and the connection that the rest of it comes on.
pub(crate) struct Answer {
    /// The connection.
    pub connection: Box<Connection>,
    /// The final head (no 1xx).
    pub head: Box<ResponseHeader>,
    /// The whole request was sent; else the connection cannot be used again.
    pub sent: bool,
}

/// A try that brought no answer.
#[derive(Debug)]
pub(crate) struct Broken {
    /// What it means for the endpoint.
    pub failure: Failure,
    /// The whole request had been sent: it may be billed.
    pub ambiguous: bool,
}

impl Broken {
    fn before(failure: Failure) -> Self {
        Self { failure, ambiguous: false }
    }
}

/// Sends the request and waits for the head of the answer.
pub(crate) async fn send(upstreams: &Upstreams, out: &Outbound<'_>) -> Result<Answer, Broken> {
    let mut connection =
        upstreams.connect(out.provider).await.map_err(|_| Broken::before(Failure::Connect))?;
    let head = build(out, connection.is_h2()).map_err(|_| Broken::before(Failure::Broken))?;
    let mut sent = None;
    let tried = talk(&mut connection, head, out, &mut sent).await;
    match tried {
        Ok(()) => match connection.session.response_header() {
            Some(head) => Ok(Answer { head: Box::new(head.clone()), connection, sent: sent.is_some() }),
            None => Err(Broken::before(Failure::Broken)),
        },
        Err(fault) => {
            let waited = sent.map(|at| clock::now().since(at));
            let failure = judge(&fault, connection.reused && waited.unwrap_or_default() < STALE_WITHIN);
            connection.close().await;
            let ambiguous = sent.is_some() && !matches!(failure, Failure::Stale);
            Err(Broken { failure, ambiguous })
        }
    }
}

/// A pooled connection that the provider had closed, or a stream that it refused unprocessed, says
/// nothing against the endpoint. (An HTTP/2 stream that it reset for any other reason does: the
/// connection lives, and nearly every stream is one of a pooled connection.)
fn judge(fault: &pingora::Error, maybe_stale: bool) -> Failure {
    let unprocessed = match fault.retry {
        RetryType::Decided(retry) => retry,
        RetryType::ReusedOnly => maybe_stale,
    };
    let reset = fault.root_cause().downcast_ref::<h2::Error>().is_some_and(|e| e.is_reset() && e.is_remote());
    let closed = matches!(
        fault.etype(),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error
    ) && !reset;
    if unprocessed || (maybe_stale && closed) {
        return Failure::Stale;
    }
    if matches!(fault.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
        return Failure::Timeout;
    }
    Failure::Broken
}

async fn talk(
    connection: &mut Connection,
    head: RequestHeader,
    out: &Outbound<'_>,
    sent: &mut Option<Moment>,
) -> pingora::Result<()> {
    let patience = out.provider.timeouts.write;
    connection.session.set_write_timeout(Some(patience));
    connection.session.set_read_timeout(None);
    // Pingora's own time limit does not cover its flushes.
    within(patience, connection.session.write_request_header(Box::new(head))).await?;
    let watch = Watch::new(connection, out.provider.tls, out.body.len());
    let mut rest = out.body.clone();
    while !rest.is_empty() {
        let slice = rest.split_to(rest.len().min(SLICE));
        let last = rest.is_empty();
        match write(connection, slice, last, &watch).await {
            Ok(true) => {}
            // Nobody reads any more: either an answer is there, or the connection is dead.
            Ok(false) => return read_head(connection, Duration::from_secs(1)).await,
            Err(fault) => {
                return read_head(connection, Duration::from_secs(1)).await.map_err(|_| fault);
            }
        }
        if !last && answered_early(connection).await? {
            return Ok(());
        }
    }
    within(patience, connection.session.finish_request_body()).await?;
    *sent = Some(clock::now());
    read_head(connection, out.first_byte).await
}

async fn within<T>(
    patience: Duration,
    writing: impl Future<Output = pingora::Result<T>>,
) -> pingora::Result<T> {
    match pingora_timeout::timeout(patience, writing).await {
        Ok(written) => written,
        Err(_) => pingora::Error::e_explain(ErrorType::WriteTimedout, "the provider does not read"),
    }
}

/// Tells, while a write is stuck, an answer that came early from a peer that is merely slow to read.
struct Watch {
    /// On HTTP/2 the connection carries other streams too, so its byte counts say nothing of ours.
    socket: Option<Arc<SocketDigest>>,
    /// Bytes that the kernel had received when the request's head was sent.
    received: u64,
    stalls: u32,
}

impl Watch {
    fn new(connection: &Connection, tls: bool, length: usize) -> Self {
        let watched = length > SMALL && !connection.is_h2();
        let socket = if watched { connection.socket() } else { None };
        let received = socket.as_ref().and_then(|socket| socket.tcp_info());
        let received = received.map_or(u64::MAX, |tcp| tcp.tcpi_bytes_received);
        Self { socket, received, stalls: if tls { STALLS } else { 0 } }
    }

    /// Bytes acknowledged, if the other side has sent something.
    fn look(&self) -> Option<u64> {
        let tcp = self.socket.as_ref()?.tcp_info()?;
        (tcp.tcpi_bytes_received > self.received).then_some(tcp.tcpi_bytes_acked)
    }
}

/// Writes one slice. `false`: the other side stopped reading, and has sent something.
async fn write(
    connection: &mut Connection,
    slice: Bytes,
    last: bool,
    watch: &Watch,
) -> pingora::Result<bool> {
    let mut writing = pin!(connection.session.write_request_body(slice, last));
    let (mut acknowledged, mut stalls) = (0, 0);
    loop {
        if let Ok(written) = pingora_timeout::timeout(STALL, writing.as_mut()).await {
            return written.map(|()| true);
        }
        let Some(now) = watch.look() else { continue };
        stalls = if now == acknowledged { stalls + 1 } else { 0 };
        acknowledged = now;
        if stalls >= watch.stalls {
            return Ok(false);
        }
    }
}

/// Looks once whether a final head is there. Reading a head may be dropped half-way: Pingora keeps
/// what it has read of it.
async fn answered_early(connection: &mut Connection) -> pingora::Result<bool> {
    loop {
        let polled = {
            let mut reading = pin!(connection.session.read_response_header());
            std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await
        };
        match polled {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read?,
        }
        if !is_informational(connection) {
            return Ok(true);
        }
    }
}

async fn read_head(connection: &mut Connection, patience: Duration) -> pingora::Result<()> {
    let reading = async {
        loop {
            connection.session.read_response_header().await?;
            if !is_informational(connection) {
                return Ok(());
            }
        }
    };
    match pingora_timeout::timeout(patience, reading).await {
        Ok(read) => read,
        Err(_) => pingora::Error::e_explain(ErrorType::ReadTimedout, "no answer"),
    }
}

fn is_informational(connection: &Connection) -> bool {
    connection.session.response_header().is_some_and(|head| head.status.is_informational())
}

fn build(out: &Outbound<'_>, h2: bool) -> pingora::Result<RequestHeader> {
    let provider = out.provider;
    let observe = provider.credentials == Credentials::Caller;
    let mut path = Cow::Borrowed(out.path_and_query);
    if !provider.base_path.is_empty() {
        path = Cow::Owned(format!("{}{path}", provider.base_path));
    }
    if let Some(version) = &provider.quirks.api_version {
        let sign = if path.contains('?') { '&' } else { '?' };
        path = Cow::Owned(format!("{path}{sign}api-version={version}"));
    }
    let mut head = RequestHeader::build(out.method.clone(), path.as_bytes(), Some(24))?;
    head.set_version(if h2 { Version::HTTP_2 } else { Version::HTTP_11 });
    head.insert_header(header::HOST, authority(provider))?;
    for (name, value) in headers::upward(out.headers, observe) {
        head.append_header(name.clone(), value.clone())?;
    }
    for (name, value) in &out.trace {
        head.insert_header(name.clone(), value.clone())?;
    }
    // Usage is read from the bytes as they pass, so they must not be packed.
    head.insert_header(header::ACCEPT_ENCODING, "identity")?;
    head.insert_header(header::CONTENT_LENGTH, out.body.len())?;
    if out.body.is_empty() {
        head.remove_header(&header::CONTENT_TYPE);
    }
    if let (false, Some(key)) = (observe, out.key) {
        authorise(&mut head, provider, key, &out.body)?;
    }
    Ok(head)
}

/// Host, and the port where it is not the scheme's own.
pub(crate) fn authority(provider: &ProviderParams) -> String {
    let usual = if provider.tls { 443 } else { 80 };
    if provider.port == usual {
        provider.host.clone()
    } else {
        format!("{}:{}", provider.host, provider.port)
    }
}

impl Answer {
    /// Reads an error's body, within bounds, so that the connection lives on and the client can be
    /// told word by word.
    pub(crate) async fn drain(self) -> (Box<ResponseHeader>, Bytes) {
        let Self { mut connection, head, sent } = self;
        let mut body = Vec::new();
        let reading = async {
            while let Some(chunk) = connection.session.read_response_body().await? {
                body.extend_from_slice(&chunk);
                if body.len() > ERROR_BODY {
                    return pingora::Error::e_explain(ErrorType::ReadError, "an error of endless length");
                }
            }
            Ok(())
        };
        let whole = matches!(pingora_timeout::timeout(ERROR_TIME, reading).await, Ok(Ok(())));
        if whole && sent {
            connection.release().await;
        } else {
            connection.close().await;
        }
        body.truncate(ERROR_BODY);
        (head, body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_surely_not_worked_on_is_stale() {
        let fault = |kind| pingora::Error::new(kind);
        assert_eq!(judge(&fault(ErrorType::ConnectionClosed), true), Failure::Stale);
        assert_eq!(judge(&fault(ErrorType::ConnectionClosed), false), Failure::Broken);
        let mut refused = fault(ErrorType::H2Error);
        refused.retry = true.into();
        assert_eq!(judge(&refused, false), Failure::Stale, "REFUSED_STREAM, or a GOAWAY before it");
        assert_eq!(judge(&fault(ErrorType::ReadTimedout), true), Failure::Timeout);
    }
}
