//! Event streams: whole events only, and their head held back until it is worth something.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::http::ResponseHeader;

use super::{Cut, Ended, Next, Passage, Tap, is_encoded, next, reader::Reader};
use crate::{
    clock::{self, Moment},
    dialect::Passed,
    proxy::{
        downlink::{Downlink, Lost},
        forward::Answer,
        reading::Reading,
    },
};

/// How long a provider may take to end a stream whose terminal event has come.
const LAST_BYTE: Duration = Duration::from_secs(1);
/// A provider may be silent for so long before a client of a dialect with pings is sent one: Bedrock and
/// Gemini send none, and proxies in between cut what is silent for a minute.
const PING: Duration = Duration::from_secs(15);
/// What is held of a stream's lifecycle events at most.
const HELD: usize = 256 << 10;

pub(super) async fn stream(
    line: &mut Downlink<'_>,
    mut answer: Answer,
    down: ResponseHeader,
    passage: &Passage,
    tap: &mut Tap<'_>,
) -> Ended {
    let mut stream = Stream {
        reader: Reader::new(passage, &answer),
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
    reader: Reader,
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
        let ping = passage.words.as_ref().and_then(|words| words.ping());
        let mut ping_at = clock::now() + PING;
        loop {
            let mut until = idle_until.min(passage.deadline);
            if !self.held.is_empty() {
                until = until.min(hold_until);
            }
            // A head that is not sent yet is worth more than a ping: another endpoint may still answer.
            let ping = ping.as_ref().filter(|_| self.down.is_none() && !tap.reading.is_over());
            if ping.is_some() {
                until = until.min(ping_at);
            }
            let step = match next(line, answer, until).await {
                Ok(Next::Chunk(chunk)) => {
                    let passed = self.pass(line, &chunk, hold_until, tap).await;
                    let passed = match passed {
                        Ok(()) if !tap.reading.is_over() => self.afford(line, tap).await,
                        passed => passed,
                    };
                    // Counted from here: the time that our client takes to read is not the provider's.
                    idle_until = clock::now() + passage.timeouts.idle;
                    ping_at = clock::now() + PING;
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
                    } else if let Some(ping) = ping.filter(|_| now >= ping_at) {
                        ping_at = now + PING;
                        line.answer(ping.clone()).await.map_err(Ended::Lost)
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

    /// Whether the budgets let the stream go on; what has come of it was paid for and goes out.
    async fn afford(&mut self, line: &mut Downlink<'_>, tap: &mut Tap<'_>) -> Result<(), Ended> {
        let Some(cut) = tap.account(clock::now()) else { return Ok(()) };
        self.flush(line, tap).await?;
        Err(Ended::Interrupted(cut))
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
                // The provider's own error event was the end, and the client has seen it, or sees it now
                // where it only showed at the end.
                (Some(fault), false) => {
                    let said = Ended::Interrupted(Cut::Reported(fault.clone()));
                    line.answer(end.held).await.map_or_else(Ended::Lost, |()| said)
                }
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
