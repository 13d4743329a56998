//! Passing an answer on while reading it.
//!
//! Bytes go out as they come in; what is read of them is read in passing. Two things are held back:
//! the lifecycle events at the head of a stream, for a short while, because a `200` whose first event
//! is an error can still be tried elsewhere; and the tail of an event that has not fully arrived,
//! because a client can do nothing with it, and an error event must begin on a boundary.

mod reader;
mod stream;
mod whole;
mod worded;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::header;
use pingora::http::ResponseHeader;

use super::{
    admit::Payload,
    downlink::{Downlink, Lost, is_event_stream},
    exchange::{Exchange, Listeners},
    forward::Answer,
    headers,
    journal::Journal,
    reading::Reading,
    translation::Words,
};
use crate::{
    clock::Moment,
    dialect::UpstreamFault,
    live::Flight,
    quota::{Flow, Permit, Refusal},
    types::Operation,
    upstream::Timeouts,
};

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
    /// A budget has nothing left for more of it.
    Budget(Box<Refusal>),
}

/// What the relay needs to know of the request.
pub(crate) struct Passage {
    /// What was asked for.
    pub operation: Operation,
    /// It was translated, and so is the answer.
    pub words: Option<Arc<Words>>,
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
    permit: Option<&'a mut Permit>,
    journal: Option<&'a mut Journal>,
    payload: &'a mut Payload,
}

impl Tap<'_> {
    /// From the first byte on nothing is replayed, so the request's body is not needed any more.
    fn content_is_sent(&mut self) {
        self.payload.release();
    }

    /// Tells the budgets how far the answer is, and asks whether it may go on.
    fn account(&mut self, now: Moment) -> Option<Cut> {
        let permit = self.permit.as_mut()?;
        if self.reading.has_news_of_input() {
            permit.reported(&self.reading.meter.reported().settled(), now);
        }
        if self.journal.is_none() && !permit.counts_output() {
            return None;
        }
        let output = self.reading.meter.live_output(now);
        let flow = permit.flowed(output, now);
        if let Some(journal) = &mut self.journal {
            journal.follow(permit, &self.reading.meter, output);
        }
        match flow {
            Flow::Go => None,
            Flow::Stop(refusal) => Some(Cut::Budget(refusal)),
        }
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
    let framing = passage.words.as_ref().and_then(|words| words.framing(&answer.head.headers));
    let is_stream =
        if passage.words.is_some() { framing.is_some() } else { is_event_stream(&answer.head.headers) };
    let Some(Listeners { reading, flight, permit, journal }) = x.listeners() else {
        return Ended::Unseen(Cut::Broken);
    };
    let mut tap = Tap { reading, flight, permit, journal, payload };
    if is_stream {
        stream::stream(line, answer, down, passage, &mut tap).await
    } else if let Some(words) = &passage.words {
        worded::worded(line, answer, down, words, passage, &mut tap).await
    } else {
        whole::whole(line, answer, down, passage, &mut tap).await
    }
}

/// The body is packed.
fn is_encoded(headers: &http::HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}
