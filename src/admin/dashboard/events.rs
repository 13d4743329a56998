//! The live stream: server-sent events for as long as somebody watches.
//!
//! Latest state wins: a frame is made when the last one was written, so a slow reader sees fewer frames and
//! never old ones, and holds nothing but its place. Bounds: [`SEATS`] streams; [`PATIENCE`] for a write.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Version, header};
use pingora::{http::ResponseHeader, protocols::http::ServerSession, server::ShutdownWatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Dashboard, Papers,
    frames::{self, event},
    query::Query,
    reply::SECURITY,
    requests,
};
use crate::{
    clock::{self, Moment},
    live::{Live, TailFilter},
};

/// Streams at once.
pub(super) const SEATS: usize = 64;
/// One write to somebody who does not read; then the stream is cut.
const PATIENCE: Duration = Duration::from_secs(10);
/// A write is this large at most, so that a slow line is told from a dead one.
const PIECE: usize = 64 * 1024;
/// Between two looks at the tail of requests.
const LOOK: Duration = Duration::from_millis(500);
/// Rows in one frame of requests.
const ROWS: usize = 100;
/// Silence before a comment, which keeps proxies between us from cutting.
const SILENCE: Duration = Duration::from_secs(14);

/// What somebody wants to be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Wanted {
    now: bool,
    accounts: bool,
    sessions: bool,
    requests: Option<TailFilter>,
    /// Requests from this number on; else those from now on.
    from: Option<u64>,
}

impl Wanted {
    /// Reads the query of a stream.
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let known: Vec<&'static str> = ["topics", "from"].into_iter().chain(requests::FILTERS).collect();
        let query = Query::read(query, &known)?;
        let mut wanted = Self { from: query.whole("from", 0..=u64::MAX)?, ..Self::default() };
        let filter = requests::filter(&query)?;
        for topic in query.text("topics").unwrap_or_default().split(',') {
            match topic {
                "now" => wanted.now = true,
                "accounts" => wanted.accounts = true,
                "sessions" => wanted.sessions = true,
                "requests" => wanted.requests = Some(filter.clone()),
                _ => return Err("`topics` lists some of `now,accounts,requests,sessions`".to_owned()),
            }
        }
        Ok(wanted)
    }
}

/// Places for streams.
#[derive(Clone)]
pub(crate) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SEATS)))
    }
}

impl Seats {
    /// A place, for as long as it is held; `None`: all are taken.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// Lets nobody in any more, and resolves when the last one has left.
    pub(crate) async fn all_left(&self) {
        let all = u32::try_from(SEATS).unwrap_or(u32::MAX);
        let _ = self.0.acquire_many(all).await;
        self.0.close();
    }
}

/// Why a stream is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The client left, or does not read: nothing more can be said.
    Gone,
    /// Its session ended, or the gateway stops.
    Bye,
}

/// One stream.
pub(in crate::admin) struct Viewer {
    pub(super) wanted: Wanted,
    /// Shown again and again: a session may end while its stream runs.
    pub(super) papers: Papers,
    pub(super) seat: OwnedSemaphorePermit,
}

/// Where a stream is.
struct Place {
    beat: Option<u64>,
    tail: u64,
    looked: Moment,
    said: Moment,
}

/// Sends events until it is over. The connection is not to be used again.
pub(super) async fn stream(
    dashboard: &Dashboard,
    live: &Arc<Live>,
    session: &mut ServerSession,
    viewer: Viewer,
    mut stop: ShutdownWatch,
) {
    let Viewer { wanted, papers, seat } = viewer;
    session.set_keepalive(None);
    let mut end = match head(session).await {
        Ok(()) if *stop.borrow() => Some(End::Bye),
        Ok(()) => None,
        Err(gone) => Some(gone),
    };
    let mut beats = live.pulse.beats();
    let now = clock::now();
    let tail = wanted.from.unwrap_or_else(|| live.tail.next());
    let mut place = Place { beat: None, tail, looked: now, said: now };
    while end.is_none() {
        let beat = *beats.borrow_and_update();
        let frames = due(dashboard, live, &wanted, &mut place, beat).await;
        if !frames.is_empty() {
            place.said = clock::now();
            end = write(session, frames).await.err();
        }
        let look = if wanted.requests.is_some() { LOOK } else { SILENCE };
        end = end.or(tokio::select! {
            _ = stop.changed() => Some(End::Bye),
            _ = session.read_body_or_idle(true) => Some(End::Gone),
            _ = beats.changed() => None,
            () = pingora_timeout::sleep(look) => None,
        });
        end = end.or_else(|| dashboard.guest(live, &papers, clock::now()).is_none().then_some(End::Bye));
    }
    if end == Some(End::Bye) {
        let last = write(session, Bytes::from_static(b"event: bye\ndata: {}\n\n")).await;
        if last.is_ok() {
            let _ = in_time(session.write_response_body(Bytes::new(), true)).await;
        }
    }
    drop(seat);
}

/// The frames that are due, in one piece.
async fn due(
    dashboard: &Dashboard,
    live: &Arc<Live>,
    wanted: &Wanted,
    place: &mut Place,
    beat: u64,
) -> Bytes {
    let (mut all, last, now) = (BytesMut::new(), place.beat.replace(beat), clock::now());
    // The same beats for everybody, so that a frame is made once.
    let is_due = |every: u64| last.is_none_or(|last| last / every != beat / every);
    if wanted.now && is_due(1) {
        all.extend_from_slice(&dashboard.frames.now(live, beat).await);
    }
    if wanted.accounts && is_due(frames::accounts_every(live)) {
        all.extend_from_slice(&dashboard.frames.accounts(live, beat).await);
    }
    if wanted.sessions && is_due(frames::sessions_every()) {
        all.extend_from_slice(&dashboard.frames.sessions(live, beat).await);
    }
    if let Some(filter) =
        wanted.requests.as_ref().filter(|_| last.is_none() || now.since(place.looked) >= LOOK)
    {
        place.looked = now;
        if live.tail.next() > place.tail {
            let page = live.tail.from(place.tail, filter, ROWS);
            place.tail = page.next;
            if !page.rows.is_empty() || page.missed > 0 {
                all.extend_from_slice(&event("requests", &page));
            }
        }
    }
    if all.is_empty() && now.since(place.said) >= SILENCE {
        all.extend_from_slice(b": still here\n\n");
    }
    all.freeze()
}

async fn head(session: &mut ServerSession) -> Result<(), End> {
    let build = || -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(200, Some(SECURITY.len() + 3))?;
        for (name, value) in SECURITY {
            head.insert_header(name, HeaderValue::from_static(value))?;
        }
        head.insert_header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
        if session.req_header().version != Version::HTTP_10 {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(head)
    };
    let head = build().map_err(|_| End::Gone)?;
    in_time(session.write_response_header(Box::new(head))).await
}

async fn write(session: &mut ServerSession, mut frames: Bytes) -> Result<(), End> {
    while !frames.is_empty() {
        let piece = frames.split_to(frames.len().min(PIECE));
        in_time(session.write_response_body(piece, false)).await?;
    }
    Ok(())
}

async fn in_time(writing: impl Future<Output = pingora::Result<()>>) -> Result<(), End> {
    match pingora_timeout::timeout(PATIENCE, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_and_filters_go_with_them() {
        let wanted = Wanted::read("topics=now,requests&caller=ann&from=7").unwrap();
        assert!(wanted.now && !wanted.accounts && !wanted.sessions);
        assert_eq!((wanted.requests.unwrap().caller.as_deref(), wanted.from), (Some("ann"), Some(7)));
        for bad in ["", "topics=", "topics=now,", "topics=all", "topics=now&from=x", "topics=now&colour=red"]
        {
            assert!(Wanted::read(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn seats_are_given_back_and_the_last_to_leave_is_waited_for() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..SEATS).map(|_| seats.take().expect("a seat")).collect();
        assert!(seats.take().is_none());
        taken.pop();
        taken.push(seats.take().expect("a seat that was given back"));
        let left = tokio::spawn({
            let seats = seats.clone();
            async move { seats.all_left().await }
        });
        drop(taken);
        left.await.unwrap();
        assert!(seats.take().is_none(), "the gateway stops");
    }
}
