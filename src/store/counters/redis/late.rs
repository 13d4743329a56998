//! What could not be delivered, until it can.
//!
//! Bounded: when there is too much of it, it is all dropped, and the gateway takes another name. Then
//! what it held under its old name is charged as reserved, as if it had died, and requests that are
//! still under way settle by the difference.

use std::collections::VecDeque;

use super::super::Settlement;
use crate::types::RequestId;

/// Calls kept: ten seconds of a thousand requests a second.
const MOST: usize = 10_000;

/// A call that must arrive.
pub(super) enum Late {
    /// What was reserved under this id came to this.
    Settle(RequestId, Vec<Settlement>),
    /// A call of reserve, by its token, whose answer never came.
    Cancel(RequestId, String),
}

/// See the module's description.
#[derive(Default)]
pub(super) struct Undelivered {
    calls: VecDeque<Late>,
}

impl Undelivered {
    /// Keeps a call. `false`: there were too many, and none is left.
    pub(super) fn push(&mut self, call: Late) -> bool {
        if self.calls.len() >= MOST {
            self.calls = VecDeque::new();
            return false;
        }
        self.calls.push_back(call);
        true
    }

    /// The oldest, to be tried again.
    pub(super) fn pop(&mut self) -> Option<Late> {
        self.calls.pop_front()
    }

    /// It failed again: it stays the oldest. Dropped where everything was dropped meanwhile.
    pub(super) fn put_back(&mut self, call: Late) {
        if self.calls.len() < MOST {
            self.calls.push_front(call);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }
}
