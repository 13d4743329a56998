//! Sending an answer event by event, and failing on the way as a script says.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame as BodyFrame};
use tokio::{sync::mpsc, time::Instant};

use super::{
    core::{Core, Whose},
    frame::Frame,
    line::{Cut, Line},
    log::Visit,
};

/// Why there is no answer, or not all of it. HTTP/2 resets the stream with the reason of the source.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// A script wants it.
    #[error("closed as scripted")]
    Scripted,
    /// A script wants the stream to be refused.
    #[error("refused as scripted")]
    Refused(#[from] h2::Error),
    /// The client broke off its upload.
    #[error("the upload broke off")]
    UploadBroken,
}

/// Time for hyper's own tasks to put on the wire what they were given, before a connection is cut.
const GRACE: Duration = Duration::from_millis(3);

/// A body whose parts come through a channel.
#[derive(Debug)]
pub(super) struct Pour(mpsc::Receiver<Bytes>);

impl Body for Pour {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|part| part.map(|bytes| Ok(BodyFrame::data(bytes))))
    }
}

/// What happens after so many events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    Stall,
    Cut(Cut),
    Truncate,
    /// This event, then a clean end.
    Say(Bytes),
}

/// An answer on its way out.
pub(super) struct Pump {
    pub(super) core: Arc<Core>,
    pub(super) line: Arc<Line>,
    pub(super) visit: Visit,
    pub(super) frames: Vec<Frame>,
    pub(super) stop: Option<(u64, Stop)>,
    /// Done when the first event is out: cache entries become visible.
    pub(super) on_first: Option<Box<dyn FnOnce() + Send>>,
    /// Done when the last event is out.
    pub(super) on_last: Option<Box<dyn FnOnce() + Send>>,
    pub(super) whose: Whose,
    pub(super) reasoning: u64,
    /// Streams are paced and can be held in lockstep; whole answers are not.
    pub(super) paced: bool,
}

impl Pump {
    /// Starts sending; the body is what hyper is given.
    pub(super) fn start(self) -> Pour {
        let (parts, body) = mpsc::channel(1);
        // Before the header can be written: the cut must know when that is out.
        let written = self.line.written();
        tokio::spawn(async move {
            tokio::select! {
                () = parts.closed() => {} // The client left: `self.visit` is dropped and says so.
                () = self.run(&parts, written) => {}
            }
        });
        Pour(body)
    }

    async fn run(mut self, parts: &mpsc::Sender<Bytes>, mut begun: u64) {
        let frames = std::mem::take(&mut self.frames);
        let core = Arc::clone(&self.core);
        let stop = self.stop.take();
        let until = stop.as_ref().map_or(u64::MAX, |(events, _)| *events);
        if matches!(stop, Some((_, Stop::Cut(_)))) {
            self.line.written_at_least(begun + 1).await; // the header
            begun = self.line.written();
        }
        let (mut output, mut due) = (0, Instant::now());
        for (n, frame) in (0..until).zip(frames) {
            if self.paced {
                core.gate.pass().await;
                due = pace(&core, frame.output.saturating_sub(output), due).await;
            }
            let size = frame.bytes.len() as u64;
            // The bill is written before the event can be read, so that whoever has read it finds it.
            if n == 0
                && let Some(first) = self.on_first.take()
            {
                first();
            }
            core.produced(self.whose, frame.output.saturating_sub(output));
            output = output.max(frame.output);
            self.visit.sent(output, self.reasoning);
            if parts.send(frame.bytes).await.is_err() {
                return;
            }
            if stop.is_some() {
                // Taken by the connection, or else there would be no room for another.
                drop(parts.reserve().await);
            }
            begun += size;
        }
        self.end(stop, begun, parts).await;
    }

    async fn end(mut self, stop: Option<(u64, Stop)>, written: u64, parts: &mpsc::Sender<Bytes>) {
        match stop.map(|(_, stop)| stop) {
            None => {
                if let Some(last) = self.on_last.take() {
                    last();
                }
                self.visit.finish();
            }
            Some(Stop::Truncate) => self.visit.finish(),
            Some(Stop::Say(event)) => {
                if self.paced {
                    self.core.gate.pass().await;
                }
                if parts.send(event).await.is_ok() {
                    self.visit.finish();
                }
            }
            Some(Stop::Cut(cut)) => {
                self.line.written_at_least(written).await;
                tokio::time::sleep(GRACE).await;
                self.visit.finish();
                self.line.cut(cut);
                std::future::pending::<()>().await;
            }
            // Until the client leaves, which then counts as its leaving.
            Some(Stop::Stall) => std::future::pending::<()>().await,
        }
    }
}

/// Waits until so many tokens are written, of which the first is begun when the one before was `due`:
/// timers that are late by a little each time do not make the whole answer late. Says when they were due.
async fn pace(core: &Core, tokens: u64, due: Instant) -> Instant {
    /// Whoever is later than this was held back on purpose, and makes up for nothing.
    const LATE: Duration = Duration::from_millis(250);
    let span = core.generation_time(tokens);
    let now = Instant::now();
    let from = if now.saturating_duration_since(due) > LATE { now } else { due };
    if !span.is_zero() {
        tokio::time::sleep_until(from + span).await;
    }
    from + span
}
