//! The client's side of an exchange: what was sent to it, whether it is still there, and heart-beats
//! while it waits.
//!
//! *Committed*: a status line was sent, so errors are in-band from then on. *Content*: a byte of the
//! provider's answer was sent, so nothing is replayed from then on. Nothing is ever awaited beside
//! the client except through [`Downlink::attend`], which notices a client that leaves, the end of
//! the drain, and the time for a heart-beat.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Version, header};
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::{
    clock::{self, Moment},
    dialect,
    live::Flights,
    snapshot::Heartbeat,
};

/// How long a refused client may go on sending, in all and between two reads.
const LINGER: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(1));

/// The clock is looked at this often at least while a client waits. One timer serves every deadline
/// of an exchange: a stream of fifty events a second would otherwise arm and drop a hundred.
const TICK: Duration = Duration::from_millis(500);

/// A timer that was armed some time ago; going off early does no harm.
struct Ticker {
    at: Moment,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why the client's side ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    /// It left.
    Gone,
    /// It stopped reading.
    Stalled,
    /// The gateway's time to drain is over.
    Draining,
}

/// The client's side of one exchange.
pub(crate) struct Downlink<'a> {
    /// Pingora's session.
    pub session: &'a mut Session,
    /// Bytes of body sent.
    pub sent: u64,
    committed: bool,
    content: bool,
    stream: bool,
    between_events: bool,
    broken: bool,
    write_timeout: Duration,
    beat: Option<(Moment, Duration)>,
    flights: Arc<Flights>,
    ticker: Option<Ticker>,
}

impl<'a> Downlink<'a> {
    /// A client that was sent nothing yet.
    pub(crate) fn new(session: &'a mut Session, write_timeout: Duration, flights: Arc<Flights>) -> Self {
        // Or else a client that sends its next request early would look like one that has left.
        session.downstream_session.set_pipelining_enabled(true);
        Self {
            session,
            sent: 0,
            committed: false,
            content: false,
            stream: false,
            between_events: true,
            broken: false,
            write_timeout,
            beat: None,
            flights,
            ticker: None,
        }
    }

    /// From now on heart-beats are sent while the client waits for its stream, if they are switched on.
    pub(crate) fn beat_with(&mut self, heartbeat: &Heartbeat) {
        self.beat = heartbeat.enabled.then(|| (clock::now() + heartbeat.after, heartbeat.every));
    }

    /// An error can be said in-band: the answer is an event stream, and no event is half sent.
    pub(crate) fn takes_events(&self) -> bool {
        self.stream && self.between_events
    }

    /// A status line was sent.
    pub(crate) fn is_committed(&self) -> bool {
        self.committed
    }

    /// A byte of the provider's answer was sent.
    pub(crate) fn has_content(&self) -> bool {
        self.content
    }

    /// Awaits `work` with an eye on the client.
    pub(crate) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        let mut work = pin!(work);
        loop {
            if let Some(done) = self.watch(work.as_mut(), None).await? {
                return Ok(done);
            }
        }
    }

    /// The same, until a time at most: then `None`.
    pub(crate) async fn attend_until<T>(
        &mut self,
        work: impl Future<Output = T>,
        until: Moment,
    ) -> Result<Option<T>, Lost> {
        self.watch(pin!(work), Some(until)).await
    }

    async fn watch<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
        until: Option<Moment>,
    ) -> Result<Option<T>, Lost> {
        loop {
            let sleep = arm(&mut self.ticker, [until, self.beat.map(|(at, _)| at)]);
            tokio::select! {
                biased;
                done = work.as_mut() => return Ok(Some(done)),
                // Pending for as long as the client is there: what it says meanwhile is its next
                // request (pipelining is switched on) and waits.
                _ = self.session.downstream_session.read_body_or_idle(true) => return Err(Lost::Gone),
                () = sleep => self.ticker = None,
            }
            if self.flights.is_cut() {
                return Err(Lost::Draining);
            }
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return Ok(None);
            }
            if self.beat.is_some_and(|(at, _)| now >= at) {
                self.send_beat().await?;
            }
        }
    }

    /// Sends the head of an answer; a heart-beat may have sent one before, and then this is lost.
    pub(crate) async fn head(&mut self, mut head: ResponseHeader) -> Result<(), Lost> {
        if self.committed {
            return Ok(());
        }
        self.committed = true;
        // The head may come from an HTTP/2 provider; "HTTP/2 200" would confuse an HTTP/1.1 client.
        head.set_version(Version::HTTP_11);
        self.stream = is_event_stream(&head.headers);
        if matches!(head.status.as_u16(), 204 | 304) {
            head.remove_header(&header::CONTENT_LENGTH);
        } else if !head.headers.contains_key(header::CONTENT_LENGTH) {
            // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
            if self.session.req_header().version == Version::HTTP_10 {
                self.session.set_keepalive(None);
            } else {
                let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
            }
        }
        let writing = self.session.write_response_header(Box::new(head), false);
        finish(self.write_timeout, writing).await
    }

    /// Sends a piece of the provider's answer.
    pub(crate) async fn answer(&mut self, bytes: Bytes) -> Result<(), Lost> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.content = true;
        if let Some((at, every)) = &mut self.beat {
            *at = clock::now() + *every;
        }
        self.write(bytes, false).await
    }

    /// Sends bytes of our own and ends the answer.
    pub(crate) async fn last_words(&mut self, bytes: Bytes) -> Result<(), Lost> {
        self.write(bytes, true).await
    }

    /// Ends the answer.
    pub(crate) async fn end(&mut self) -> Result<(), Lost> {
        finish(self.write_timeout, self.session.write_response_body(None, true)).await
    }

    /// Breaks the connection off, so that a body which is not complete does not look complete.
    ///
    /// Nothing is sent: a goodbye to a client that does not read would wait for ever. The shell drops
    /// the session, which closes the socket or resets the stream.
    pub(crate) fn abort(&mut self) {
        self.broken = true;
        self.session.set_keepalive(None);
    }

    /// The connection is to be dropped as it is.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Says that there is no more to come, and forgets what the client still sends of its body, for a
    /// while. A connection that is closed on unread bytes is reset, and the reset overtakes the answer.
    pub(crate) async fn linger(&mut self) {
        let session = &mut self.session.downstream_session;
        if session.as_http1().is_none() || session.is_body_done() {
            return;
        }
        session.shutdown().await;
        let (in_all, between) = LINGER;
        let reading = async {
            while let Ok(Ok(Some(_))) = pingora_timeout::timeout(between, session.read_request_body()).await {
            }
        };
        let _ = pingora_timeout::timeout(in_all, reading).await;
    }

    async fn write(&mut self, bytes: Bytes, end: bool) -> Result<(), Lost> {
        self.sent += bytes.len() as u64;
        finish(self.write_timeout, self.session.write_response_body(Some(bytes), end)).await
    }

    /// Whether what was sent last ended an event: nothing of ours may be written within one.
    pub(crate) fn between_events(&mut self, between: bool) {
        self.between_events = between;
    }

    async fn send_beat(&mut self) -> Result<(), Lost> {
        let Some((at, every)) = &mut self.beat else { return Ok(()) };
        *at = clock::now() + *every;
        if !self.between_events {
            return Ok(());
        }
        if !self.committed {
            let head = stream_head().map_err(|_| Lost::Gone)?;
            self.head(head).await?;
        }
        self.write(dialect::heartbeat(), false).await
    }
}

/// The timer, armed anew only where it would go off too late.
fn arm(
    ticker: &mut Option<Ticker>,
    deadlines: [Option<Moment>; 2],
) -> Pin<&mut (dyn Future<Output = ()> + Send)> {
    let now = clock::now();
    let due = deadlines.into_iter().flatten().fold(now + TICK, Moment::min);
    if ticker.as_ref().is_some_and(|ticker| ticker.at > due) {
        *ticker = None;
    }
    let ticker = ticker
        .get_or_insert_with(|| Ticker { at: due, sleep: Box::pin(pingora_timeout::sleep(now.until(due))) });
    ticker.sleep.as_mut()
}

/// Whether an answer with these headers is an event stream.
pub(crate) fn is_event_stream(headers: &http::HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    value.and_then(|value| value.get(..KIND.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

/// The head of an event stream that we begin ourselves.
pub(crate) fn stream_head() -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(200, Some(4))?;
    head.insert_header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")?;
    head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))?;
    Ok(head)
}

async fn finish(patience: Duration, writing: impl Future<Output = pingora::Result<()>>) -> Result<(), Lost> {
    match pingora_timeout::timeout(patience, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Lost::Gone),
        Err(_) => Err(Lost::Stalled),
    }
}
