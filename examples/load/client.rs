//! The clients: a closed or paced loop of requests, or many streams held open.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use memchr::memmem;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http::Wire;
use crate::measure::{Used, percentile};

/// Replaced by a number of the same length, so that each connection is a conversation of its own.
const MARK: &[u8] = b"@CONVERSATION@";
/// Streams being opened at one time: a fleet does not dial in one millisecond, and no accept queue overflows.
const OPENING: usize = 32;

/// The bytes of a request, body and head.
pub(crate) struct Requests {
    template: Vec<u8>,
}

/// A run of `post`.
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) seconds: Duration,
    pub(crate) rate: Option<f64>,
}

impl Requests {
    pub(crate) fn load(body: &Path, target: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let body = std::fs::read(body).with_context(|| format!("cannot read {}", body.display()))?;
        let mut template = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\naccept: application/json\r\n\
             anthropic-version: 2023-06-01\r\nx-api-key: bench\r\nuser-agent: warmkey-bench\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        template.extend_from_slice(&body);
        Ok(Arc::new(Self { template }))
    }

    fn of(&self, conversation: usize) -> Vec<u8> {
        let mut request = self.template.clone();
        if let Some(slot) = memmem::find(&request, MARK).and_then(|at| request.get_mut(at..at + MARK.len())) {
            slot.copy_from_slice(format!("{conversation:014}").as_bytes());
        }
        request
    }
}

/// Counters of a run of `post`; times in microseconds.
#[derive(Default)]
struct Tally {
    next: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

/// When paced requests are due.
struct Pace {
    rate: f64,
    begun: Instant,
    until: Instant,
    turns: Semaphore,
}

impl Pace {
    /// Hands out turns from a thread of its own: tokio's timers tick in milliseconds, and what is due within one
    /// tick would arrive as a burst, which measures the queue that we made.
    fn start(rate: f64, begun: Instant, until: Instant) -> Arc<Self> {
        let pace = Arc::new(Self { rate, begun, until, turns: Semaphore::new(0) });
        let clock = Arc::clone(&pace);
        std::thread::spawn(move || {
            let mut turn = 0;
            loop {
                let due = clock.due(turn);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                clock.turns.add_permits(1);
                turn += 1;
                if due >= clock.until {
                    // Whoever still waits for a turn finds that time is up.
                    clock.turns.close();
                    return;
                }
            }
        });
        pace
    }

    fn due(&self, turn: u32) -> Instant {
        self.begun + Duration::from_secs_f64(f64::from(turn) / self.rate)
    }
}

/// Runs the plan and reports completed requests, times to first body byte, and what the processes used.
pub(crate) async fn post(
    target: SocketAddr,
    requests: Arc<Requests>,
    plan: &Plan,
    pids: &[u32],
) -> anyhow::Result<serde_json::Value> {
    let tally = Arc::new(Tally::default());
    let before = Used::by(pids)?;
    let begun = Instant::now();
    let until = begun + plan.seconds;
    let pace = plan.rate.map(|rate| Pace::start(rate, begun, until));
    let mut workers = Vec::with_capacity(plan.connections);
    for conversation in 0..plan.connections {
        let (request, tally, pace) = (requests.of(conversation), Arc::clone(&tally), pace.clone());
        workers.push(tokio::spawn(async move {
            let mut samples = Vec::new();
            // A failed connection is counted and opened again; a proxy that refuses all shows in `failed`.
            while Instant::now() < until {
                if ask(target, &request, until, pace.as_deref(), &tally, &mut samples).await.is_err() {
                    tally.failed.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            samples
        }));
    }
    let mut samples = Vec::new();
    for worker in workers {
        samples.extend(worker.await?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = Used::by(pids)?;
    samples.sort_unstable();
    Ok(json!({
        "completed": tally.completed.load(Ordering::Relaxed),
        "failed": tally.failed.load(Ordering::Relaxed),
        "late": tally.late.load(Ordering::Relaxed),
        "seconds": seconds,
        "ttft_p50_us": percentile(&samples, 500),
        "ttft_p99_us": percentile(&samples, 990),
        "cpu_us": after.cpu_micros - before.cpu_micros,
        "resident_kib": after.resident_kib,
    }))
}

/// One connection, for as long as it lives.
async fn ask(
    target: SocketAddr,
    request: &[u8],
    until: Instant,
    pace: Option<&Pace>,
    tally: &Tally,
    samples: &mut Vec<u64>,
) -> anyhow::Result<()> {
    let mut wire = Wire::new(TcpStream::connect(target).await?)?;
    while Instant::now() < until {
        if let Some(pace) = pace {
            let Ok(permit) = pace.turns.acquire().await else { return Ok(()) };
            permit.forget();
            let due = pace.due(u32::try_from(tally.next.fetch_add(1, Ordering::Relaxed))?);
            if due >= until {
                return Ok(());
            }
            // Timed from the write; if every connection was busy when a turn came, that is said.
            if due.elapsed() > Duration::from_millis(20) {
                tally.late.fetch_add(1, Ordering::Relaxed);
            }
        }
        let sent = Instant::now();
        wire.stream.write_all(request).await?;
        let head = wire.head().await?.context("closed before an answer")?;
        let mut first = None;
        wire.body(&head, |_| {
            first.get_or_insert_with(|| sent.elapsed());
        })
        .await?;
        ensure!(head.status()? == 200, "answered {}", head.first_line);
        if let Some(first) = first {
            samples.push(u64::try_from(first.as_micros())?);
        }
        tally.completed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Counters of a run of `streams`.
#[derive(Default)]
struct Open {
    opened: AtomicU64,
    ended: AtomicU64,
    events: AtomicU64,
}

/// Opens `count` streams, then measures for `window` while all of them run.
pub(crate) async fn streams(
    target: SocketAddr,
    requests: Arc<Requests>,
    count: usize,
    window: Duration,
    pids: &[u32],
) -> anyhow::Result<serde_json::Value> {
    let idle = Used::by(pids)?;
    let open = Arc::new(Open::default());
    let gate = Arc::new(Semaphore::new(OPENING));
    let begun = Instant::now();
    for conversation in 0..count {
        let (open, gate, request) = (Arc::clone(&open), Arc::clone(&gate), requests.of(conversation));
        let permit = gate.acquire_owned().await?;
        tokio::spawn(async move {
            let mut permit = Some(permit);
            let _outcome = listen(target, request, &open, || drop(permit.take())).await;
            open.ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    let wanted = u64::try_from(count)?;
    while open.opened.load(Ordering::Relaxed) < wanted {
        ensure!(open.ended.load(Ordering::Relaxed) == 0, "a stream ended before all were open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let opening = begun.elapsed();
    // Let what opening left behind settle: buffers are freed, queues drained.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (from, seen, start) = (Used::by(pids)?, open.events.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(window).await;
    let (to, events, seconds) =
        (Used::by(pids)?, open.events.load(Ordering::Relaxed) - seen, start.elapsed().as_secs_f64());
    let ended = open.ended.load(Ordering::Relaxed);
    ensure!(ended == 0, "{ended} streams ended while they were measured");
    Ok(json!({
        "streams": count,
        "opening_seconds": opening.as_secs_f64(),
        "events": events,
        "seconds": seconds,
        "cpu_us": to.cpu_micros - from.cpu_micros,
        "idle_kib": idle.resident_kib,
        "resident_kib": to.resident_kib,
    }))
}

/// One stream: `opened` is called at its first byte, then its events are counted to its end.
async fn listen(
    target: SocketAddr,
    request: Vec<u8>,
    open: &Open,
    opened: impl FnOnce(),
) -> anyhow::Result<()> {
    let mut wire = Wire::new(TcpStream::connect(target).await?)?;
    wire.stream.write_all(&request).await?;
    drop(request);
    let head = wire.head().await?.context("closed before an answer")?;
    ensure!(head.status()? == 200, "answered {}", head.first_line);
    let mut opened = Some(opened);
    let mut last = b' ';
    wire.body(&head, |piece| {
        if let Some(opened) = opened.take() {
            opened();
            open.opened.fetch_add(1, Ordering::Relaxed);
        }
        // An event ends with an empty line, which two pieces may share.
        let split = u64::from(last == b'\n' && piece.first() == Some(&b'\n'));
        last = piece.last().copied().unwrap_or(last);
        let whole = u64::try_from(memmem::find_iter(piece, b"\n\n").count()).unwrap_or_default();
        open.events.fetch_add(whole + split, Ordering::Relaxed);
    })
    .await
}
