//! The record of requests, and the account books that follow from it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use super::{models::Model, params::Account, seen::SeenRequest};
use crate::types::{NanoUsd, Usage};

/// What one account was asked for and billed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct AccountStats {
    /// Its key.
    pub key: String,
    /// Its organisation.
    pub organization: String,
    /// Its workspace.
    pub workspace: String,
    /// Generating requests that were answered with a 2xx.
    pub requests: u64,
    /// Generating requests that were answered with anything else.
    pub refused: u64,
    /// Tokens billed.
    pub usage: Usage,
    /// Money billed.
    pub cost: NanoUsd,
}

impl AccountStats {
    /// The part of all input that was read from the cache, 0..=1.
    #[must_use]
    pub fn hit_share(&self) -> f64 {
        hit_share(&self.usage)
    }
}

/// The books of all accounts, in the order of the configuration.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// One line an account.
    pub accounts: Vec<AccountStats>,
}

impl Stats {
    /// All accounts together.
    #[must_use]
    pub fn total(&self) -> AccountStats {
        let mut total = AccountStats::default();
        for account in &self.accounts {
            total.requests += account.requests;
            total.refused += account.refused;
            total.usage += account.usage;
            total.cost += account.cost;
        }
        total
    }
}

#[expect(clippy::cast_precision_loss, reason = "a display value")]
pub(super) fn hit_share(usage: &Usage) -> f64 {
    let all = usage.total_input();
    if all == 0 { 0.0 } else { usage.cached_read as f64 / all as f64 }
}

/// `usage` as JSON.
#[derive(Serialize)]
pub(super) struct UsageView {
    input: u64,
    cached_read: u64,
    write_5m: u64,
    write_1h: u64,
    output: u64,
    reasoning: u64,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let Usage { input, cached_read, write_5m, write_1h, output, reasoning } = usage;
        Self { input, cached_read, write_5m, write_1h, output, reasoning }
    }
}

#[derive(Debug)]
pub(super) struct Log {
    book: Mutex<Book>,
    changed: Notify,
    keep: usize,
}

#[derive(Default, Debug)]
struct Book {
    seen: VecDeque<SeenRequest>,
    last: u64,
    stats: Stats,
}

impl Log {
    pub(super) fn new(accounts: &[Account], keep: usize) -> Self {
        let book = Book { stats: blank(accounts), ..Book::default() };
        Self { book: Mutex::new(book), changed: Notify::new(), keep: keep.max(1) }
    }

    /// Notes a request whose head has come; gives it its number.
    pub(super) fn begin(self: &Arc<Self>, mut seen: SeenRequest, generating: bool) -> Visit {
        let number = {
            let mut book = self.book.lock();
            book.last += 1;
            seen.number = book.last;
            if book.seen.len() == self.keep {
                book.seen.pop_front();
            }
            book.seen.push_back(seen);
            book.last
        };
        self.changed.notify_waiters();
        Visit { log: Arc::clone(self), number, generating, model: None, finished: false }
    }

    pub(super) fn seen(&self) -> Vec<SeenRequest> {
        self.book.lock().seen.iter().cloned().collect()
    }

    pub(super) fn stats(&self) -> Stats {
        self.book.lock().stats.clone()
    }

    /// Forgets what was seen; numbers go on, so that requests in flight cannot be mistaken.
    pub(super) fn clear(&self, accounts: &[Account]) {
        let mut book = self.book.lock();
        book.seen.clear();
        book.stats = blank(accounts);
    }

    /// Waits until `enough` is true of what was seen, looking again at every change.
    pub(super) async fn wait_for(&self, mut enough: impl FnMut(&[SeenRequest]) -> bool) -> Vec<SeenRequest> {
        loop {
            let change = self.changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            {
                let mut book = self.book.lock();
                if enough(book.seen.make_contiguous()) {
                    return book.seen.iter().cloned().collect();
                }
            }
            change.await;
        }
    }

    fn update(&self, number: u64, change: impl FnOnce(&mut SeenRequest)) {
        {
            let mut book = self.book.lock();
            let first = book.seen.front().map_or(u64::MAX, |seen| seen.number);
            let index = number.checked_sub(first).and_then(|n| usize::try_from(n).ok());
            if let Some(seen) = index.and_then(|n| book.seen.get_mut(n)) {
                change(seen);
            }
        }
        self.changed.notify_waiters();
    }
}

fn blank(accounts: &[Account]) -> Stats {
    let line = |account: &Account| AccountStats {
        key: account.key.clone(),
        organization: account.organization.clone(),
        workspace: account.workspace.clone(),
        ..AccountStats::default()
    };
    Stats { accounts: accounts.iter().map(line).collect() }
}

/// One request in the log. Dropped before [`Visit::finish`] it counts as cancelled by the client.
#[derive(Debug)]
pub(super) struct Visit {
    log: Arc<Log>,
    number: u64,
    generating: bool,
    model: Option<&'static Model>,
    finished: bool,
}

impl Visit {
    pub(super) fn note(&self, change: impl FnOnce(&mut SeenRequest)) {
        self.log.update(self.number, change);
    }

    /// The request was let in: its input is on the bill.
    pub(super) fn bill(&mut self, model: &'static Model, usage: Usage) {
        self.model = Some(model);
        self.note(|seen| seen.usage = usage);
    }

    /// An event went out; `output` tokens are on the bill by now.
    pub(super) fn sent(&self, output: u64, reasoning: u64) {
        self.note(|seen| {
            seen.events_sent += 1;
            seen.usage.output = output;
            seen.usage.reasoning = reasoning.min(output);
        });
    }

    /// The answer is complete, or ended as a script wanted it.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut book = self.log.book.lock();
        let Book { seen, stats, .. } = &mut *book;
        let first = seen.front().map_or(u64::MAX, |seen| seen.number);
        let index = self.number.checked_sub(first).and_then(|n| usize::try_from(n).ok());
        if let Some(seen) = index.and_then(|n| seen.get_mut(n)) {
            seen.done = true;
            seen.cancelled = !self.finished;
            seen.cost = self.model.map_or(NanoUsd(0), |model| model.bill(&seen.usage));
            let account = stats.accounts.iter_mut().find(|account| account.key == seen.key);
            if let Some(account) = account {
                account.usage += seen.usage;
                account.cost += seen.cost;
                if self.generating {
                    let ok = (200..300).contains(&seen.status);
                    account.requests += u64::from(ok);
                    account.refused += u64::from(!ok);
                }
            }
        }
        drop(book);
        self.log.changed.notify_waiters();
    }
}
