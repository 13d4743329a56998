//! The side of the ledger that requests see: a bounded queue, and nothing that waits for the disk.
//!
//! The invariant: with [`WhenFull::Closed`] whoever is let in has room for its receipt: each open request
//! holds one place of the buffer. With [`WhenFull::Open`] nothing is ever refused, and what does not fit
//! is counted.

use std::{
    collections::{HashSet, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Feedback, Full, LedgerParams, LedgerState, OpenRecord, Renewal, WhenFull};
use crate::{
    clock,
    store::counters::Charged,
    types::{Receipt, RequestId},
};

/// How long a request waits for its open record to be committed. Once a commit has hung for as long, nobody
/// waits for it any more.
const DURABLE: Duration = Duration::from_secs(1);

/// How long feedback and `flush` wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing to write.
pub(super) enum Entry {
    Begin(Box<OpenRecord>),
    Renew(Box<Renewal>),
    Close(Box<Closing>),
    Feedback(Box<Feedback>, oneshot::Sender<bool>),
    Shipped(u64),
    Wait(oneshot::Sender<()>),
}

/// The end of a request.
pub(super) struct Closing {
    pub(super) receipt: Receipt,
    pub(super) charged: Vec<Charged>,
    /// It has, or is to have, an open record.
    pub(super) began: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    /// Entries that the writer has taken and not committed yet.
    pub(super) in_work: usize,
    /// Requests whose open record was accepted.
    pub(super) open: HashSet<RequestId, ahash::RandomState>,
    /// Somebody waits for a commit.
    pub(super) urgent: bool,
    pub(super) stopping: bool,
    /// The writer has ended.
    pub(super) stopped: bool,
    /// Who waits for its end; dropped by the writer.
    pub(super) ended: Vec<oneshot::Sender<()>>,
    /// Receipts were dropped since the file could last be written, and that was said.
    pub(super) dropping: bool,
    /// Only what was copied elsewhere may be deleted.
    pub(super) ships: bool,
    pub(super) state: LedgerState,
}

impl Queue {
    fn len(&self) -> usize {
        self.entries.len() + self.in_work
    }
}

/// What requests and the writer share.
pub(super) struct Shared {
    pub(super) params: LedgerParams,
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Condvar,
    /// Opened at the first question.
    pub(super) reader: Mutex<Option<Connection>>,
    /// Pages that the file may have; 0: any number. The disk that is full.
    #[cfg(test)]
    pub(super) pages: std::sync::atomic::AtomicU32,
}

impl Shared {
    pub(super) fn new(params: LedgerParams, queue: Queue) -> Self {
        Self {
            params,
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            reader: Mutex::new(None),
            #[cfg(test)]
            pages: std::sync::atomic::AtomicU32::new(0),
        }
    }
}

/// Ends the writer when the last clone of the ledger goes.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_one();
    }
}

/// The ledger of this process; clones are the same ledger.
#[derive(Clone)]
pub struct Ledger {
    pub(super) handle: Arc<Handle>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.handle.shared.params.file.display())
    }
}

impl Ledger {
    /// A request was let in. Never blocks; written with the next commit, unless it is over by then.
    ///
    /// # Errors
    ///
    /// When the buffer is full and the ledger fails closed: the request is to be refused.
    pub fn begin(&self, open: OpenRecord) -> Result<(), Full> {
        let mut queue = self.handle.shared.queue.lock();
        self.admit(&mut queue, open).map(|_| ())
    }

    /// The same, and returns once the record is committed: for requests with a budget, before their first
    /// byte goes up. Waits for 1 s at most, and not at all while nothing can be written; then it goes on when
    /// the ledger fails open, and is counted in [`LedgerState::late`].
    ///
    /// # Errors
    ///
    /// When the ledger fails closed and the record is not in the file: the request is to be refused. Its
    /// receipt is closed like any other's.
    pub async fn begin_durably(&self, open: OpenRecord) -> Result<(), Full> {
        let waiting = {
            let mut queue = self.handle.shared.queue.lock();
            if !self.admit(&mut queue, open)? {
                return Ok(());
            }
            let hangs = queue.state.lag(clock::now()) >= DURABLE;
            if hangs || queue.state.failing_since.is_some() || queue.stopped {
                return self.late(&mut queue);
            }
            let (done, waiting) = oneshot::channel();
            self.push(&mut queue, Entry::Wait(done), true);
            waiting
        };
        match tokio::time::timeout(DURABLE, waiting).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => self.late(&mut self.handle.shared.queue.lock()),
        }
    }

    /// Its record is not in the file in time.
    fn late(&self, queue: &mut Queue) -> Result<(), Full> {
        queue.state.late += 1;
        match self.handle.shared.params.when_full {
            WhenFull::Open => Ok(()),
            WhenFull::Closed => Err(Full),
        }
    }

    /// Whether the record was taken.
    fn admit(&self, queue: &mut Queue, open: OpenRecord) -> Result<bool, Full> {
        let buffer = self.handle.shared.params.buffer;
        match self.handle.shared.params.when_full {
            // Itself, and its receipt.
            WhenFull::Closed if queue.len() + queue.open.len() + 2 > buffer => return Err(Full),
            WhenFull::Open if queue.len() >= buffer => {
                queue.state.unrecorded += 1;
                return Ok(false);
            }
            WhenFull::Open | WhenFull::Closed => {}
        }
        queue.open.insert(open.id);
        self.push(queue, Entry::Begin(Box::new(open)), false);
        Ok(true)
    }

    /// What is held for an open request has changed: a stream took its next slice. Never blocks. Ignored
    /// for a request that is not open.
    pub fn renew(&self, renewal: Renewal) {
        let mut queue = self.handle.shared.queue.lock();
        // A figure, not a record: without room it is left out, and the figure before it stands.
        if queue.open.contains(&renewal.id)
            && queue.len() + queue.open.len() + 1 < self.handle.shared.params.buffer
        {
            self.push(&mut queue, Entry::Renew(Box::new(renewal)), false);
        }
    }

    /// A request is over; exactly once each, those that were denied too. Never blocks.
    pub fn close(&self, receipt: Receipt, charged: Vec<Charged>) {
        let mut queue = self.handle.shared.queue.lock();
        let began = queue.open.remove(&receipt.id);
        // Who began has room: a begin that found none left no trace. So the buffer is exceeded by no more than
        // what was under way when it became full.
        let held = match self.handle.shared.params.when_full {
            WhenFull::Open => 0,
            WhenFull::Closed => queue.open.len(),
        };
        if !began && queue.len() + held >= self.handle.shared.params.buffer {
            queue.state.dropped += 1;
            if !std::mem::replace(&mut queue.dropping, true) {
                tracing::error!(file = %self.handle.shared.params.file.display(), "the ledger's buffer is full: receipts are lost");
            }
            return;
        }
        self.push(&mut queue, Entry::Close(Box::new(Closing { receipt, charged, began })), false);
    }

    /// Joins what somebody thinks of an answer to its receipt; false when no receipt of this organisation
    /// has this id (also: while the request runs, and when another gateway served it).
    ///
    /// # Errors
    ///
    /// When the ledger cannot be written within 5 s.
    pub async fn feedback(&self, feedback: Feedback) -> Result<bool, Full> {
        let (done, waiting) = oneshot::channel();
        {
            let mut queue = self.handle.shared.queue.lock();
            if queue.state.failing_since.is_some() || queue.len() >= self.handle.shared.params.buffer {
                return Err(Full);
            }
            self.push(&mut queue, Entry::Feedback(Box::new(feedback), done), true);
        }
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Returns once everything that was told before is committed, or after 5 s; whether it is.
    pub async fn flush(&self) -> bool {
        let (done, waiting) = oneshot::channel();
        {
            let mut queue = self.handle.shared.queue.lock();
            if queue.stopped {
                return queue.len() == 0;
            }
            self.push(&mut queue, Entry::Wait(done), true);
        }
        matches!(tokio::time::timeout(PATIENCE, waiting).await, Ok(Ok(())))
    }

    /// Receipts up to this number have been copied elsewhere. Kept with the next commit: after a crash some
    /// may be copied once more.
    pub fn shipped(&self, up_to: u64) {
        let mut queue = self.handle.shared.queue.lock();
        queue.state.shipped = queue.state.shipped.max(up_to);
        self.push(&mut queue, Entry::Shipped(up_to), false);
    }

    /// From now on only receipts that were [`shipped`](Self::shipped) are deleted.
    pub fn ships(&self) {
        self.handle.shared.queue.lock().ships = true;
    }

    /// Writes everything, brings it to the disk itself and ends, as the last thing before the process does.
    /// Whether it is written; waits for a disk that fails no longer than 5 s.
    pub async fn stop(&self) -> bool {
        let (ended, ending) = oneshot::channel();
        {
            let mut queue = self.handle.shared.queue.lock();
            if !queue.stopped {
                queue.stopping = true;
                queue.ended.push(ended);
                self.handle.shared.wake.notify_one();
            }
        }
        // The sender is dropped, now or by the writer.
        let _ = ending.await;
        let queue = self.handle.shared.queue.lock();
        queue.len() == 0
    }

    /// The file that it is written to.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.handle.shared.params.file
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        let queue = self.handle.shared.queue.lock();
        LedgerState {
            queued: queue.len(),
            buffer: self.handle.shared.params.buffer,
            open: queue.open.len(),
            ..queue.state.clone()
        }
    }

    fn push(&self, queue: &mut Queue, entry: Entry, urgent: bool) {
        // The writer sleeps without a limit only while there is nothing.
        let wake = queue.entries.is_empty() || (urgent && !queue.urgent);
        queue.entries.push_back(entry);
        queue.urgent |= urgent;
        if wake {
            self.handle.shared.wake.notify_one();
        }
    }
}
