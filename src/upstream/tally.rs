//! What is counted and switched per endpoint, and which models its key may not use.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Moment;

/// Counts and switches that belong to an endpoint's name, whatever key stands behind it.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) in_flight: AtomicU32,
    pub(super) sessions: AtomicU32,
    pub(super) served: AtomicU64,
    pub(super) drained: AtomicBool,
    pub(super) unhealthy: AtomicBool,
    /// Nanoseconds; an operator cools this endpoint alone until then.
    pub(super) cooled_until: AtomicU64,
    /// Nanoseconds; a budget of its own or of its provider's is spent until then.
    pub(super) spent_until: AtomicU64,
}

/// One warm session counts here; dropping it says that it no longer does.
pub struct Homed(pub(super) Arc<Tally>);

impl Drop for Homed {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Models that an endpoint's key may not use, each until it is asked again.
#[derive(Default)]
pub(super) struct Bars {
    /// Nanoseconds of the latest of them; 0: none.
    latest: AtomicU64,
    list: Mutex<SmallVec<[(u64, Moment); 2]>>,
}

/// Callers can make up unlisted models: only so many bars are remembered.
const MAX_BARS: usize = 64;

impl Bars {
    pub(super) fn until(&self, model: u64, now: Moment) -> Option<Moment> {
        if now.as_nanos() >= self.latest.load(Ordering::Acquire) {
            return None;
        }
        let list = self.list.lock();
        list.iter().find(|(barred, until)| *barred == model && now < *until).map(|&(_, until)| until)
    }

    pub(super) fn bar(&self, model: u64, until: Moment, now: Moment) {
        let mut list = self.list.lock();
        list.retain(|(barred, until)| *barred != model && now < *until);
        if list.len() >= MAX_BARS {
            list.remove(0);
        }
        list.push((model, until));
        let latest = list.iter().map(|(_, until)| until.as_nanos()).max().unwrap_or(0);
        self.latest.store(latest, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.list.lock().clear();
        self.latest.store(0, Ordering::Release);
    }
}
