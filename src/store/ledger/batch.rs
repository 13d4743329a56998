//! What goes into one transaction: entries in order, with what cancels out left out.
//!
//! The invariant: writing a batch again after a failure changes nothing that was written before.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::{
    Feedback, Renewal, Row,
    front::Entry,
    row::{OpenRow, charges_text},
};
use crate::{store::counters::Charged, types::RequestId};

/// A request that is over.
pub(super) struct Closed {
    pub(super) row: Row,
    pub(super) charged: Vec<Charged>,
    /// Its open record is in the file.
    pub(super) opened: bool,
}

/// One transaction's worth.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) opens: HashMap<RequestId, OpenRow, ahash::RandomState>,
    /// Of requests that were opened in earlier batches.
    pub(super) renewals: HashMap<RequestId, Renewal, ahash::RandomState>,
    pub(super) closes: Vec<Closed>,
    pub(super) feedback: Vec<(Feedback, oneshot::Sender<bool>)>,
    pub(super) shipped: Option<u64>,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            batch.take(entry);
        }
        batch
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Begin(open) => {
                self.opens.insert(open.id, OpenRow::of(&open));
            }
            Entry::Renew(renewal) => match self.opens.get_mut(&renewal.id) {
                Some(open) => {
                    open.estimate = renewal.estimate;
                    open.charge = renewal.charge.map(|charge| charge.0);
                    open.billed = renewal.billed.map(|billed| billed.0);
                    open.reserved = charges_text(&renewal.reserved);
                }
                None => {
                    self.renewals.insert(renewal.id, *renewal);
                }
            },
            Entry::Close(closing) => {
                let id = closing.receipt.id;
                let opened = closing.began && self.opens.remove(&id).is_none();
                self.renewals.remove(&id);
                let row = Row::of(&closing.receipt, &closing.charged);
                self.closes.push(Closed { row, charged: closing.charged, opened });
            }
            Entry::Feedback(feedback, done) => self.feedback.push((*feedback, done)),
            Entry::Shipped(up_to) => self.shipped = self.shipped.max(Some(up_to)),
            Entry::Wait(done) => self.waiting.push(done),
        }
    }

    /// Whether there is anything for the disk.
    pub(super) fn is_empty(&self) -> bool {
        self.opens.is_empty()
            && self.renewals.is_empty()
            && self.closes.is_empty()
            && self.feedback.is_empty()
            && self.shipped.is_none()
    }
}
