//! The thread that writes: it takes what waits, commits it as one, and goes on.
//!
//! While the file cannot be written the batch is kept and tried again, ever more slowly, and the queue
//! fills behind it. The invariant: a batch leaves the thread's hands committed, or with the process.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;

use super::{batch::Batch, front::Shared, steady::Steady, table};
use crate::{
    clock::{self, Moment, UnixTime},
    store::sqlite::{self, FileLock},
};

/// Entries of one transaction: some 50 ms' work.
const BATCH: usize = 2_048;

/// How long it waits after a failure, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long the end of the process may wait for a disk that fails.
const LAST_TRY: Duration = Duration::from_secs(5);

/// How often old things are swept out.
const UPKEEP: Duration = Duration::from_secs(10);

/// The thread's own things.
pub(super) struct Writer {
    shared: Arc<Shared>,
    db: Connection,
    lock: FileLock,
    /// What was left open by the process before is still to be closed.
    recover: bool,
    swept: Moment,
    steady: Steady,
    /// Which file it is, whatever it is called.
    identity: Option<(u64, u64)>,
}

/// The file that this name stands for now.
fn identity(file: &Path) -> Option<(u64, u64)> {
    fs::metadata(file).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, db: Connection, lock: FileLock, recover: bool) -> Self {
        let steady = Steady::new(clock::now(), clock::unix_now());
        let identity = identity(&shared.params.file);
        Self { shared, db, lock, recover, swept: Moment::ZERO, steady, identity }
    }

    /// Runs until the ledger is stopped.
    pub(super) fn run(mut self) {
        if self.recover && self.insist(|db| table::recover(db, clock::unix_now())).is_none() {
            return self.end();
        }
        while let Some(batch) = self.next() {
            if !self.commit(batch) {
                break;
            }
            self.upkeep();
        }
        self.end();
    }

    fn end(self) {
        if let Err(error) = table::settle(&self.db) {
            tracing::warn!(file = %self.shared.params.file.display(), %error, "the ledger was not brought to the disk at the end");
        }
        // First the file, then the right to it.
        drop(self.db);
        drop(self.lock);
        let mut queue = self.shared.queue.lock();
        queue.stopped = true;
        queue.ended.clear();
    }

    /// What to write next; `None` when the ledger was stopped and everything is written.
    fn next(&self) -> Option<Batch> {
        let mut queue = self.shared.queue.lock();
        let mut until = None;
        loop {
            let due = queue.urgent || queue.stopping || queue.entries.len() >= BATCH;
            let now = clock::now();
            if queue.entries.is_empty() {
                if queue.stopping {
                    return None;
                }
                queue.urgent = false;
                if self.shared.wake.wait_for(&mut queue, UPKEEP).timed_out() {
                    return Some(Batch::default());
                }
                continue;
            }
            let until = *until.get_or_insert(now + self.shared.params.commit_every);
            if due || now >= until {
                break;
            }
            let _ = self.shared.wake.wait_for(&mut queue, now.until(until));
        }
        let n = queue.entries.len().min(BATCH);
        let entries: Vec<_> = queue.entries.drain(..n).collect();
        queue.in_work = entries.len();
        queue.state.writing_since = Some(clock::now());
        // Whoever waits may stand behind what was taken.
        queue.urgent &= !queue.entries.is_empty();
        drop(queue);
        Some(Batch::of(entries))
    }

    /// Whether it was committed; else the ledger was stopped and the disk would not.
    fn commit(&mut self, batch: Batch) -> bool {
        let written = if batch.is_empty() {
            None
        } else {
            let Some(written) = self.insist(|db| table::write(db, &batch, clock::unix_now())) else {
                return false;
            };
            Some(written)
        };
        let lost = identity(&self.shared.params.file) != self.identity;
        let mut queue = self.shared.queue.lock();
        queue.state.lost &= lost;
        if lost && !std::mem::replace(&mut queue.state.lost, lost) {
            tracing::error!(file = %self.shared.params.file.display(), "the ledger was moved or deleted; what is written now is lost with the process: restart the gateway");
        }
        queue.in_work = 0;
        queue.state.writing_since = None;
        let mut known = Vec::new();
        if let Some(written) = written {
            queue.state.commits += 1;
            queue.state.written += written.receipts;
            queue.state.last_seq = written.last_seq.unwrap_or(queue.state.last_seq);
            known = written.known;
        }
        drop(queue);
        // Who no longer waits needs no answer.
        for ((_, done), known) in batch.feedback.into_iter().zip(known) {
            let _ = done.send(known);
        }
        for done in batch.waiting {
            let _ = done.send(());
        }
        true
    }

    /// Tries until it works; `None` when the ledger was stopped meanwhile and it still does not.
    fn insist<T>(&mut self, work: impl Fn(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut wait = BACK_OFF.0;
        let mut last_try = None;
        loop {
            #[cfg(test)]
            self.limit_pages();
            match work(&mut self.db) {
                Ok(done) => {
                    self.works();
                    return Some(done);
                }
                Err(error) => self.fails(&error),
            }
            let mut queue = self.shared.queue.lock();
            let now = clock::now();
            if queue.stopping && now >= *last_try.get_or_insert(now + LAST_TRY) {
                let lost = queue.entries.len() + queue.in_work;
                tracing::error!(file = %self.shared.params.file.display(), lost, "the ledger cannot be written: what waited for it is lost");
                return None;
            }
            let until = now + wait;
            while clock::now() < until {
                let _ = self.shared.wake.wait_for(&mut queue, clock::now().until(until));
            }
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    #[cfg(test)]
    fn limit_pages(&self) {
        let pages = self.shared.pages.load(std::sync::atomic::Ordering::SeqCst);
        let pages = if pages == 0 { 1_073_741_823 } else { pages };
        let _ = self.db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()));
    }

    fn works(&self) {
        let mut queue = self.shared.queue.lock();
        queue.state.fault = None;
        if queue.state.failing_since.take().is_some() {
            let (queued, dropped) = (queue.entries.len(), queue.state.dropped);
            queue.dropping = false;
            tracing::info!(file = %self.shared.params.file.display(), queued, dropped, "the ledger is written again");
        }
    }

    fn fails(&self, error: &rusqlite::Error) {
        let mut queue = self.shared.queue.lock();
        queue.state.fault = Some(sqlite::said(error));
        if queue.state.failing_since.is_none() {
            queue.state.failing_since = Some((clock::now(), clock::unix_now()));
            tracing::error!(file = %self.shared.params.file.display(), %error, "the ledger cannot be written; what comes meanwhile is kept in memory");
        }
    }

    /// Sweeps out a little of what is too old.
    fn upkeep(&mut self) {
        let now = clock::now();
        if now.since(self.swept) < UPKEEP {
            return;
        }
        let unix = clock::unix_now();
        if !self.steady.believes(now, unix) {
            self.swept = now;
            tracing::warn!("the clock has jumped: no old receipts are deleted for an hour");
            return;
        }
        let up_to = {
            let queue = self.shared.queue.lock();
            if queue.ships { queue.state.shipped } else { u64::MAX }
        };
        let more = match self.shared.params.keep {
            Some(keep) => {
                let before = UnixTime(unix.0.saturating_sub(keep)).as_millis();
                table::sweep(&mut self.db, before, up_to)
            }
            None => Ok(false),
        };
        match more.and_then(|more| table::sweep_balances(&self.db, unix).map(|()| more)) {
            // The rest after the next batch.
            Ok(true) => {}
            Ok(false) => self.swept = now,
            Err(error) => {
                self.swept = now;
                tracing::warn!(file = %self.shared.params.file.display(), %error, "old receipts were not deleted");
            }
        }
    }
}
