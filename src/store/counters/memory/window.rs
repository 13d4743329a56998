//! Sixty-one seconds, of which only those in which something happened are kept.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Moment;

/// The second that is under way and the sixty before it: no minute, wherever it begins, holds more.
const BUCKETS: u64 = 61;
const NANOS: u64 = 1_000_000_000;

/// The second that a moment lies in.
pub(super) const fn second_of(now: Moment) -> u64 {
    now.as_nanos() / NANOS
}

/// What was taken in the last minute.
///
/// Invariant: `sum` is the sum of the buckets; they stand in the order of their seconds, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    sum: u64,
    buckets: VecDeque<(u64, u64)>,
}

impl Window {
    /// Forgets what is older than a minute.
    pub(super) fn roll(&mut self, second: u64) {
        while let Some(&(old, amount)) = self.buckets.front()
            && old + BUCKETS <= second
        {
            self.sum -= amount;
            self.buckets.pop_front();
        }
    }

    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }

    /// Nothing in it is worth remembering.
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Books in this second, which is not before any that was booked in already.
    pub(super) fn add(&mut self, second: u64, amount: u64) {
        // No more than can be summed; nobody's limit is near.
        let amount = amount.min(u64::MAX - self.sum);
        if amount == 0 {
            return;
        }
        self.sum += amount;
        match self.buckets.back_mut() {
            Some((last, booked)) if *last >= second => *booked += amount,
            _ => self.buckets.push_back((second, amount)),
        }
    }

    /// Gives back to the second in which it was taken; not more than is there.
    pub(super) fn give_back(&mut self, second: u64, amount: u64) {
        let Ok(at) = self.buckets.binary_search_by_key(&second, |&(second, _)| second) else { return };
        let Some((_, booked)) = self.buckets.get_mut(at) else { return };
        let amount = amount.min(*booked);
        *booked -= amount;
        self.sum -= amount;
    }

    /// How long until `amount` fits under `limit`; `None` when it never will.
    pub(super) fn after(&self, now: Moment, amount: u64, limit: u64) -> Option<Duration> {
        let room = limit.checked_sub(amount)?;
        let mut left = self.sum;
        if left <= room {
            return Some(Duration::ZERO);
        }
        for &(second, booked) in &self.buckets {
            left -= booked;
            if left <= room {
                let free = Moment::from_nanos(second.saturating_add(BUCKETS).saturating_mul(NANOS));
                return Some(now.until(free));
            }
        }
        None
    }
}
