//! Counters that several gateways share, as this one sees them: asked while they answer, left alone
//! while they do not.
//!
//! After a failure they are not asked for half a second, then one, up to [`LONGEST`]: no request waits
//! for a server that is gone. The way back is a probe beside the requests, which reserves nothing: an
//! engine that has lost its memory does not even grant that before the ledger has told it what was
//! spent.
//!
//! Trap: what was asked when the server went away may have happened. To find out, and to deliver what
//! was settled meanwhile, is the engine's own matter; what a gateway let through by itself reaches it
//! from the ledger.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;

use crate::{
    clock::Moment,
    store::counters::{Counters, Down},
    types::RequestId,
};

/// How long the server is left alone after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// And at most.
const LONGEST: Duration = Duration::from_secs(4);
pub(super) struct Shared {
    pub(super) engine: Arc<dyn Counters>,
    /// When it may be tried again, in nanoseconds; 0 while it answers.
    retry_at: AtomicU64,
    /// How long it is left alone the next time, in nanoseconds.
    pause: AtomicU64,
    probing: AtomicBool,
}

/// The shared counters, for inspection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SharedState {
    /// They answer.
    pub reachable: bool,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Counters>) -> Self {
        Self {
            engine,
            retry_at: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self) -> SharedState {
        SharedState { reachable: self.answers() }
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

    async fn probe(&self, now: Moment) {
        match self.come_back().await {
            Ok(()) => {
                self.pause.store(0, Ordering::Relaxed);
                self.retry_at.store(0, Ordering::Release);
                tracing::info!("shared counters answer again");
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
        let by = RequestId::mint();
        self.engine.reserve(by, &[]).await?;
        self.engine.settle(by, &[]).await?;
        Ok(())
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
