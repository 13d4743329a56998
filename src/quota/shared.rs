//! Counters that several gateways share, as this one sees them: asked while they answer, left alone
//! while they do not.
//!
//! After a failure they are not asked for half a second, then one, up to [`LONGEST`]: no request waits
//! for a server that is gone. The way back is a probe beside the requests: it tells the server what
//! is known to be spent, delivers what was settled meanwhile, and only then opens the way.
//!
//! Trap: what was asked when the server went away may have happened. Settlements are kept (up to
//! [`UNDELIVERED`]) and delivered later; engines count them once. What is beyond that is forgotten:
//! the ledger raises the server's budgets later, and a gateway's leases end with it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    clock::Moment,
    store::counters::{Counters, Down, Memory, Settlement},
    types::RequestId,
};

/// How long the server is left alone after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// And at most.
const LONGEST: Duration = Duration::from_secs(4);
/// Settlements that are kept for it.
const UNDELIVERED: usize = 16_384;
/// Budgets that are raised in one call.
const RAISED: usize = 512;

/// A settlement that could not be delivered.
type Undelivered = (RequestId, Vec<Settlement>);

pub(super) struct Shared {
    pub(super) engine: Arc<dyn Counters>,
    memory: Arc<Memory>,
    /// When it may be tried again, in nanoseconds; 0 while it answers.
    retry_at: AtomicU64,
    /// How long it is left alone the next time, in nanoseconds.
    pause: AtomicU64,
    probing: AtomicBool,
    undelivered: Mutex<VecDeque<Undelivered>>,
}

/// The shared counters, for inspection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedState {
    /// They answer.
    pub reachable: bool,
    /// Settlements that wait for them.
    pub undelivered: usize,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Counters>, memory: Arc<Memory>) -> Self {
        Self {
            engine,
            memory,
            retry_at: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            probing: AtomicBool::new(false),
            undelivered: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> SharedState {
        SharedState { reachable: self.answers(), undelivered: self.undelivered.lock().len() }
    }

    /// Whether it is to be asked.
    pub(super) fn answers(&self) -> bool {
        self.retry_at.load(Ordering::Acquire) == 0
    }

    /// As [`Self::answers`]; where it is not, and has been left alone for long enough, it is probed
    /// beside the request.
    pub(super) fn may_be_asked(self: &Arc<Self>, now: Moment) -> bool {
        let retry_at = self.retry_at.load(Ordering::Acquire);
        if retry_at == 0 {
            return true;
        }
        if now.as_nanos() >= retry_at
            && let Ok(runtime) = Handle::try_current()
            && !self.probing.swap(true, Ordering::AcqRel)
        {
            let shared = Arc::clone(self);
            runtime.spawn(async move { shared.probe(now).await });
        }
        false
    }

    /// It did not answer.
    pub(super) fn failed(&self, down: &Down, now: Moment) {
        let longest = nanos(LONGEST);
        let pause = self.pause.load(Ordering::Relaxed).clamp(nanos(FIRST), longest);
        let until = now.as_nanos().saturating_add(pause).max(1);
        if self.retry_at.compare_exchange(0, until, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.pause.store((pause * 2).min(longest), Ordering::Relaxed);
            tracing::warn!(%down, "shared counters do not answer: limits and budgets go by this gateway's part");
        }
    }

    /// Keeps a settlement for later.
    pub(super) fn keep(&self, by: RequestId, settlements: Vec<Settlement>) {
        let mut undelivered = self.undelivered.lock();
        if undelivered.len() < UNDELIVERED {
            undelivered.push_back((by, settlements));
        }
    }

    async fn probe(&self, now: Moment) {
        match self.come_back().await {
            Ok(()) => {
                self.pause.store(0, Ordering::Relaxed);
                self.retry_at.store(0, Ordering::Release);
                tracing::info!("shared counters answer again");
                // What was put aside while the way was being opened.
                if let Err(down) = self.deliver().await {
                    self.failed(&down, now);
                }
            }
            Err(Down(_)) => {
                let pause = self.pause.load(Ordering::Relaxed).clamp(nanos(FIRST), nanos(LONGEST));
                self.pause.store((pause * 2).min(nanos(LONGEST)), Ordering::Relaxed);
                self.retry_at.store(now.as_nanos().saturating_add(pause).max(1), Ordering::Release);
            }
        }
        self.probing.store(false, Ordering::Release);
    }

    async fn come_back(&self) -> Result<(), Down> {
        // One call at least: it shows whether anybody answers.
        self.engine.raise(&[]).await?;
        self.deliver().await?;
        // What we know is not more than what was spent, and may be more than the server remembers.
        for spent in self.memory.spent().chunks(RAISED) {
            self.engine.raise(spent).await?;
        }
        Ok(())
    }

    async fn deliver(&self) -> Result<(), Down> {
        while let Some((by, settlements)) = self.next() {
            if let Err(down) = self.engine.settle(by, &settlements).await {
                self.undelivered.lock().push_front((by, settlements));
                return Err(down);
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<Undelivered> {
        self.undelivered.lock().pop_front()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
