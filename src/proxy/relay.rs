//! Passing an answer on while reading it.
//!
//! Bytes go out as they come in; what is read of them is read in passing. Two things are held back:
//! the lifecycle events at the head of a stream, for a short while, because a `200` whose first event
//! is an error can still be tried elsewhere; and the tail of an event that has not fully arrived,
//! because a client can do nothing with it, and an error event must begin on a boundary.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::http::ResponseHeader;

use super::{
    admit::Payload,
    downlink::{Downlink, Lost, is_event_stream},
    exchange::Exchange,
    forward::Answer,
    headers,
    reading::Reading,
};
use crate::{
    clock::{self, Moment},
    dialect::{Passed, StreamReader, UpstreamFault},
    live::Flight,
    types::Operation,
    upstream::Timeouts,
};

/// A whole answer up to this size is read before its head goes out, so that a provider which dies in
/// the middle of it can still be replaced.
const WHOLE: usize = 1 << 20;
/// What of a larger answer is kept to read its usage at the end.
const READABLE: usize = 16 << 20;
/// How long a provider may take to end a stream whose terminal event has come.
const LAST_BYTE: Duration = Duration::from_secs(1);
/// What is held of a stream's lifecycle events at most.
const HELD: usize = 256 << 10;

/// How an answer ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Passed on to its end.
    Complete,
    /// Nothing of it reached the client: another endpoint may answer instead.
    Unseen(Cut),
    /// It broke off after content.
    Interrupted(Cut),
    /// The client's side ended first.
    Lost(Lost),
}

/// Why an answer broke off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The connection broke.
    Broken,
    /// It ended without its terminal event.
    Truncated,
    /// Silence.
    Idle,
    /// The request's whole time is over.
    Overdue,
    /// The provider said so itself.
    Reported(UpstreamFault),
}

/// What the relay needs to know of the request.
pub(crate) struct Passage {
    /// What was asked for.
    pub operation: Operation,
    /// Our usage option was added, so its chunk is not for the client.
    pub hide_usage: bool,
    /// Another try may bring a better answer than a `200` that holds an error, or half an answer.
    pub replaceable: bool,
    /// How long lifecycle events are held.
    pub hold: Duration,
    /// The provider's limits of time.
    pub timeouts: Timeouts,
    /// When the whole request is over.
    pub deadline: Moment,
}

/// The head of an answer as the client gets it.
pub(crate) fn downward(head: &ResponseHeader, observe: bool) -> pingora::Result<ResponseHeader> {
    let mut down = ResponseHeader::build(head.status, Some(head.headers.len() + 6))?;
    for (name, value) in headers::downward(&head.headers, observe) {
        down.append_header(name.clone(), value.clone())?;
    }
    Ok(down)
}

/// The next thing on an answer's connection.
enum Next {
    Chunk(Bytes),
    End,
    Broken,
    Timer,
}

async fn next(line: &mut Downlink<'_>, answer: &mut Answer, until: Moment) -> Result<Next, Lost> {
    let reading = answer.connection.session.read_response_body();
    Ok(match line.attend_until(reading, until).await? {
        Some(Ok(Some(chunk))) => Next::Chunk(chunk),
        Some(Ok(None)) => Next::End,
        Some(Err(_)) => Next::Broken,
        None => Next::Timer,
    })
}

/// What listens in on an answer, and what is let go at its first byte.
struct Tap<'a> {
    reading: &'a mut Reading,
    flight: &'a mut Flight,
    payload: &'a mut Payload,
}

impl Tap<'_> {
    /// From the first byte on nothing is replayed, so the request's body is not needed any more.
    fn content_is_sent(&mut self) {
        self.payload.release();
    }
}

/// Passes an answer on. `down` is the head for the client.
pub(crate) async fn relay(
    line: &mut Downlink<'_>,
    answer: Answer,
    down: ResponseHeader,
    passage: &Passage,
    x: &mut Exchange,
    payload: &mut Payload,
) -> Ended {
    let is_stream = is_event_stream(&answer.head.headers);
    let Some((reading, flight)) = x.reading_and_flight() else { return Ended::Unseen(Cut::Broken) };
    let mut tap = Tap { reading, flight, payload };
    if is_stream {
        stream(line, answer, down, passage, &mut tap).await
    } else {
        whole(line, answer, down, passage, &mut tap).await
    }
}

async fn stream(
    line: &mut Downlink<'_>,
    mut answer: Answer,
    down: ResponseHeader,
    passage: &Passage,
    tap: &mut Tap<'_>,
) -> Ended {
    let mut stream = Stream {
        reader: StreamReader::new(passage.operation, passage.hide_usage),
        opaque: is_encoded(&answer.head.headers),
        held: Vec::new(),
        held_bytes: 0,
        down: Some(down),
    };
    let ended = stream.run(line, &mut answer, passage, tap).await;
    if matches!(ended, Ended::Complete) && answer.sent && answer.connection.session.response_done() {
        answer.connection.release().await;
    } else {
        // Closes an HTTP/1.1 connection, resets an HTTP/2 stream: either way the provider stops
        // before its next event.
        answer.connection.close().await;
    }
    ended
}

struct Stream {
    reader: StreamReader,
    /// It is packed, though we asked for plain bytes: they can only be passed on.
    opaque: bool,
    held: Vec<Bytes>,
    held_bytes: usize,
    /// The head, until it is sent.
    down: Option<ResponseHeader>,
}

impl Stream {
    async fn run(
        &mut self,
        line: &mut Downlink<'_>,
        answer: &mut Answer,
        passage: &Passage,
        tap: &mut Tap<'_>,
    ) -> Ended {
        let hold_until = clock::now() + passage.hold;
        let mut idle_until = clock::now() + passage.timeouts.idle;
        loop {
            let mut until = idle_until.min(passage.deadline);
            if !self.held.is_empty() {
                until = until.min(hold_until);
            }
            let step = match next(line, answer, until).await {
                Ok(Next::Chunk(chunk)) => {
                    let passed = self.pass(line, &chunk, hold_until, tap).await;
                    // Counted from here: the time that our client takes to read is not the provider's.
                    idle_until = clock::now() + passage.timeouts.idle;
                    if tap.reading.is_over() {
                        // All is said; only the end is awaited, so that the connection lives on.
                        idle_until = idle_until.min(clock::now() + LAST_BYTE);
                    }
                    passed
                }
                Ok(Next::End) => return self.finish(line, tap).await,
                Ok(Next::Broken) => Err(self.cut(tap.reading, Cut::Broken)),
                Ok(Next::Timer) => {
                    let now = clock::now();
                    if now >= passage.deadline {
                        Err(self.cut(tap.reading, Cut::Overdue))
                    } else if now >= idle_until {
                        Err(self.cut(tap.reading, Cut::Idle))
                    } else {
                        self.flush(line, tap).await
                    }
                }
                Err(lost) => Err(self.left(lost, tap.reading)),
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// The client's side ended. One that hangs up on the last event, as SDKs do, has got it all.
    fn left(&self, lost: Lost, reading: &Reading) -> Ended {
        let got_it_all = self.down.is_none() && self.reader.is_complete() && reading.fault.is_none();
        if got_it_all && lost == Lost::Gone { Ended::Complete } else { Ended::Lost(lost) }
    }

    async fn pass(
        &mut self,
        line: &mut Downlink<'_>,
        chunk: &Bytes,
        hold_until: Moment,
        tap: &mut Tap<'_>,
    ) -> Result<(), Ended> {
        let now = clock::now();
        let passed = if self.opaque {
            Passed::Whole
        } else {
            self.reader.push(chunk, &mut |signal| tap.reading.see(&signal, now))
        };
        // Not at the stream's end: an event of which the end is missing is not forwarded.
        tap.reading.last_sequence = self.reader.last_sequence();
        tap.reading.report(tap.flight, now);
        if self.down.is_some() {
            if let Some(fault) = tap.reading.fault_before_content() {
                return Err(Ended::Unseen(Cut::Reported(fault)));
            }
            self.hold(chunk, passed);
            let due = self.opaque || tap.reading.has_content() || now >= hold_until || self.held_bytes > HELD;
            // A head alone tells the client nothing, and would rule out another endpoint.
            if due && !self.held.is_empty() {
                self.flush(line, tap).await?;
            }
            return Ok(());
        }
        let sent = match passed {
            Passed::Whole => line.answer(chunk.clone()).await,
            Passed::Pieces(pieces) => {
                let mut sent = Ok(());
                for piece in pieces {
                    sent = line.answer(piece).await;
                    if sent.is_err() {
                        break;
                    }
                }
                sent
            }
        };
        line.between_events(self.at_boundary());
        sent.map_err(Ended::Lost)
    }

    fn hold(&mut self, chunk: &Bytes, passed: Passed) {
        let before = self.held.len();
        match passed {
            Passed::Whole => self.held.push(chunk.clone()),
            Passed::Pieces(pieces) => self.held.extend(pieces),
        }
        self.held_bytes += self.held.iter().skip(before).map(Bytes::len).sum::<usize>();
    }

    /// Sends the head and what was held. From here on nothing is replayed.
    async fn flush(&mut self, line: &mut Downlink<'_>, tap: &mut Tap<'_>) -> Result<(), Ended> {
        if let Some(down) = self.down.take() {
            tap.content_is_sent();
            line.head(down).await.map_err(Ended::Lost)?;
        }
        line.between_events(self.at_boundary());
        let held = match self.held.len() {
            0 => return Ok(()),
            1 => self.held.pop().unwrap_or_default(),
            _ => {
                let mut all = BytesMut::with_capacity(self.held_bytes);
                self.held.drain(..).for_each(|piece| all.extend_from_slice(&piece));
                all.freeze()
            }
        };
        self.held = Vec::new();
        line.answer(held).await.map_err(Ended::Lost)
    }

    /// An event of ours may be written now.
    fn at_boundary(&self) -> bool {
        !self.opaque && self.reader.at_boundary()
    }

    fn cut(&self, reading: &Reading, cut: Cut) -> Ended {
        if self.down.is_some() {
            return Ended::Unseen(cut);
        }
        // A provider that has said everything may be slow to hang up, or hang up rudely.
        if self.reader.is_complete() && reading.fault.is_none() {
            return Ended::Complete;
        }
        Ended::Interrupted(reading.fault.clone().map_or(cut, Cut::Reported))
    }

    async fn finish(&mut self, line: &mut Downlink<'_>, tap: &mut Tap<'_>) -> Ended {
        let now = clock::now();
        let end = self.reader.end(&mut |signal| tap.reading.see(&signal, now));
        if self.down.is_some()
            && let Some(fault) = tap.reading.fault_before_content()
        {
            return Ended::Unseen(Cut::Reported(fault));
        }
        if !end.complete && !self.opaque {
            return match (&tap.reading.fault, self.down.is_some()) {
                // The provider's own error event was the end, and the client has seen it.
                (Some(fault), false) => Ended::Interrupted(Cut::Reported(fault.clone())),
                (_, true) => Ended::Unseen(Cut::Truncated),
                (None, false) => Ended::Interrupted(Cut::Truncated),
            };
        }
        if let Err(ended) = self.flush(line, tap).await {
            return ended;
        }
        if let Err(lost) = line.answer(end.held).await {
            return Ended::Lost(lost);
        }
        Ended::Complete
    }
}

async fn whole(
    line: &mut Downlink<'_>,
    mut answer: Answer,
    down: ResponseHeader,
    passage: &Passage,
    tap: &mut Tap<'_>,
) -> Ended {
    let length = content_length(&answer.head);
    let mut readable = !is_encoded(&answer.head.headers);
    let mut down = Some(down);
    // All of it until the head is sent; from then on what is needed to read its usage.
    let mut body = BytesMut::new();
    let ended = loop {
        let until = (clock::now() + passage.timeouts.idle).min(passage.deadline);
        match next(line, &mut answer, until).await {
            Ok(Next::Chunk(chunk)) => {
                if readable || down.is_some() {
                    body.extend_from_slice(&chunk);
                }
                let sent = if body.len() <= WHOLE && down.is_some() {
                    Ok(())
                } else if let Some(mut down) = down.take() {
                    tap.content_is_sent();
                    keep_length(&mut down, length);
                    match line.head(down).await {
                        Ok(()) => line.answer(Bytes::copy_from_slice(&body)).await,
                        lost @ Err(_) => lost,
                    }
                } else {
                    line.answer(chunk).await
                };
                if let Err(lost) = sent {
                    break Ended::Lost(lost);
                }
                if body.len() > READABLE {
                    readable = false;
                    body = BytesMut::new();
                }
            }
            Ok(Next::End) => break Ended::Complete,
            Ok(Next::Broken) => break cut(down.is_some(), Cut::Broken),
            Ok(Next::Timer) if clock::now() >= passage.deadline => break cut(down.is_some(), Cut::Overdue),
            Ok(Next::Timer) => break cut(down.is_some(), Cut::Idle),
            Err(lost) => break Ended::Lost(lost),
        }
    };
    if !matches!(ended, Ended::Complete) || !answer.sent {
        answer.connection.close().await;
    } else {
        answer.connection.release().await;
    }
    if !matches!(ended, Ended::Complete) {
        return ended;
    }
    if readable {
        let whole = tap.reading.read_whole(passage.operation, &body, clock::now());
        if passage.replaceable && down.is_some() {
            if let Some(fault) = tap.reading.fault_before_content() {
                return Ended::Unseen(Cut::Reported(fault));
            }
            if !whole {
                return Ended::Unseen(Cut::Truncated);
            }
        }
    }
    let Some(mut down) = down else { return Ended::Complete };
    keep_length(&mut down, Some(body.len()));
    if let Err(lost) = line.head(down).await {
        return Ended::Lost(lost);
    }
    match line.answer(body.freeze()).await {
        Ok(()) => Ended::Complete,
        Err(lost) => Ended::Lost(lost),
    }
}

fn cut(unseen: bool, cut: Cut) -> Ended {
    if unseen { Ended::Unseen(cut) } else { Ended::Interrupted(cut) }
}

/// The body is packed.
fn is_encoded(headers: &http::HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn content_length(head: &ResponseHeader) -> Option<usize> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn keep_length(down: &mut ResponseHeader, length: Option<usize>) {
    if let Some(length) = length {
        let _ = down.insert_header(header::CONTENT_LENGTH, length);
    }
}
