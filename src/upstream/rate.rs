//! When requests of one class of models may start at one account.
//!
//! One small machine per (rate domain, class). A 429 cools it until the time the provider named; a
//! later answer with an earlier deadline never shortens that. It re-opens *paced*: after the
//! deadline at most one request starts in each span of `pace`, for ten starts, without a trial: a
//! bucket that refills needs no proof of health, only no stampede.
//!
//! Behind that stand the buckets and the queue of the class (`gauge`), under the same lock, so that a
//! start takes a place in the pace and its tokens at once or neither.
//!
//! The truth is behind a mutex; what the hot path asks (may something start?) is published in two
//! atomics. Trap: a gate that never cooled reads 0, so a deadline is published as at least 1.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    availability::Availability,
    gauge::{Asker, Debit, Gauge},
    need::Outlook,
    rate_domain::Terms,
};
use crate::clock::Moment;

/// After its deadline a gate lets this many requests start one by one.
pub(super) const PACED_STARTS: u32 = 10;

/// What a gate says to a request that would start now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RateState {
    Open,
    Cooling { until: Moment },
    Paced { until: Moment },
}

/// The limits of one class of models in one rate domain.
pub(super) struct RateGate {
    /// Nanoseconds; nothing starts before. 0: nothing to wait for.
    next_start: AtomicU64,
    /// Nanoseconds of the 429's deadline; 0: none is remembered.
    open_until: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    until: Moment,
    next: Moment,
    paced_left: u32,
    pace: Duration,
    gauge: Gauge,
}

impl Inner {
    /// Nothing is waited for any more.
    fn open(&mut self) {
        (self.until, self.next, self.paced_left) = (Moment::ZERO, Moment::ZERO, 0);
    }

    /// When a request with so many before it starts while the gate re-opens one by one. Those who
    /// wait are told apart already here, so that they do not all come at once and go again.
    fn paced_wait(&self, before: usize, now: Moment) -> Duration {
        if self.paced_left == 0 {
            return Duration::ZERO;
        }
        let before = u32::try_from(before).unwrap_or(u32::MAX).min(self.paced_left - 1);
        let wait = now.until(self.next + self.pace.saturating_mul(before));
        // Only what is owed to others: for itself `RateGate::state` speaks.
        if before == 0 { Duration::ZERO } else { wait }
    }

    fn outlook(&self, counted: f64, who: &Asker, now: Moment) -> Outlook {
        let (mut outlook, ahead) = self.gauge.outlook(counted, who, now);
        outlook.wait = outlook.wait.max(self.paced_wait(ahead.requests, now));
        outlook
    }
}

impl Default for RateGate {
    fn default() -> Self {
        Self::new(&Terms::default(), true)
    }
}

impl RateGate {
    pub(super) fn new(terms: &Terms, generates: bool) -> Self {
        let gate = Self {
            next_start: AtomicU64::new(0),
            open_until: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                until: Moment::ZERO,
                next: Moment::ZERO,
                paced_left: 0,
                pace: terms.pace,
                gauge: Gauge::new(terms.window, generates),
            }),
        };
        gate.configure(terms);
        gate
    }

    pub(super) fn configure(&self, terms: &Terms) {
        let mut inner = self.inner.lock();
        inner.pace = terms.pace;
        inner.gauge.configure(terms.window, &terms.limits);
    }

    /// Works on the limits under their lock.
    pub(super) fn gauge<T>(&self, work: impl FnOnce(&mut Gauge) -> T) -> T {
        work(&mut self.inner.lock().gauge)
    }

    /// When its buckets and its queue let `counted` tokens start.
    pub(super) fn outlook(&self, counted: f64, who: &Asker, now: Moment) -> Outlook {
        self.inner.lock().outlook(counted, who, now)
    }

    /// May a request start at `now`? Reads atomics only and claims nothing.
    pub(super) fn state(&self, now: Moment) -> RateState {
        let next = self.next_start.load(Ordering::Acquire);
        if now.as_nanos() >= next {
            return RateState::Open;
        }
        let until = self.open_until.load(Ordering::Acquire);
        if now.as_nanos() < until {
            RateState::Cooling { until: Moment::from_nanos(until) }
        } else {
            RateState::Paced { until: Moment::from_nanos(next) }
        }
    }

    /// Starts a request at `now`: takes one of the paced starts where there are any, and what it
    /// needs of the buckets. Both or neither.
    pub(super) fn start(
        &self,
        counted: f64,
        who: &Asker,
        anyway: bool,
        now: Moment,
    ) -> Result<Debit, Availability> {
        let mut inner = self.inner.lock();
        if now < inner.until {
            return Err(Availability::Cooling { until: inner.until });
        }
        if now < inner.next {
            return Err(Availability::Paced { until: inner.next });
        }
        if !anyway {
            let outlook = inner.outlook(counted, who, now);
            if outlook.never || !outlook.wait.is_zero() {
                return Err(Availability::Short { until: now + outlook.wait });
            }
        }
        let debit = inner.gauge.draw(counted, who, now);
        if inner.paced_left > 0 {
            inner.paced_left -= 1;
            if inner.paced_left == 0 {
                inner.open();
            } else {
                inner.next = now + inner.pace;
            }
            self.publish(&inner);
        }
        Ok(debit)
    }

    /// Cools until `until`, or longer where it was to cool longer already. Returns the deadline
    /// that holds now.
    pub(super) fn cool(&self, until: Moment) -> Moment {
        let mut inner = self.inner.lock();
        inner.until = inner.until.max(until);
        inner.next = inner.next.max(inner.until);
        inner.paced_left = PACED_STARTS;
        self.publish(&inner);
        inner.until
    }

    /// The deadline, if it is still to come.
    pub(super) fn open_until(&self, now: Moment) -> Option<Moment> {
        let until = Moment::from_nanos(self.open_until.load(Ordering::Acquire));
        (now < until).then_some(until)
    }

    /// Forgets the deadline: an operator said so.
    pub(super) fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.open();
        self.publish(&inner);
    }

    /// Takes over what `other` is cooling for and what it knows of limits.
    pub(super) fn keep_the_stricter(&self, other: &Self) {
        // One lock at a time: two gates may join each other.
        let (until, pacing, gist) = {
            let inner = other.inner.lock();
            (inner.until, inner.paced_left > 0, inner.gauge.gist())
        };
        if pacing {
            self.cool(until);
        }
        self.gauge(|gauge| gauge.merge(&gist));
    }

    fn publish(&self, inner: &Inner) {
        let floor = u64::from(inner.paced_left > 0);
        self.open_until.store(inner.until.as_nanos(), Ordering::Release);
        self.next_start.store(inner.next.as_nanos().max(floor), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Flow;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn start(gate: &RateGate, now: Moment) -> Result<(), Availability> {
        gate.start(0.0, &Asker { flow: Flow::NOBODY, place: None }, true, now).map(|_| ())
    }

    #[test]
    fn a_later_answer_never_shortens_a_deadline() {
        let gate = RateGate::default();
        gate.cool(at(30_000));
        assert_eq!(gate.cool(at(5_000)), at(30_000));
        assert_eq!(gate.state(at(29_999)), RateState::Cooling { until: at(30_000) });
        assert_eq!(gate.cool(at(60_000)), at(60_000));
    }

    #[test]
    fn concurrent_refusals_cool_once_and_not_in_a_row() {
        let gate = RateGate::default();
        for _ in 0..50 {
            gate.cool(at(1_000));
        }
        assert_eq!(gate.state(at(1_000)), RateState::Open);
    }

    #[test]
    fn it_reopens_one_start_at_a_time_for_ten_starts_and_then_fully() {
        let gate = RateGate::default();
        gate.cool(at(1_000));
        assert_eq!(start(&gate, at(999)), Err(Availability::Cooling { until: at(1_000) }));
        for n in 0..u64::from(PACED_STARTS) - 1 {
            let now = 1_000 + n * 200;
            assert_eq!(start(&gate, at(now)), Ok(()), "start {n}");
            assert_eq!(start(&gate, at(now + 199)), Err(Availability::Paced { until: at(now + 200) }));
            assert_eq!(gate.state(at(now + 1)), RateState::Paced { until: at(now + 200) });
        }
        assert_eq!(start(&gate, at(2_800)), Ok(()), "the tenth");
        for _ in 0..100 {
            assert_eq!(start(&gate, at(2_800)), Ok(()));
        }
        assert_eq!(gate.state(at(2_800)), RateState::Open);
    }

    #[test]
    fn a_refusal_while_it_reopens_cools_again() {
        let gate = RateGate::default();
        gate.cool(at(1_000));
        start(&gate, at(1_000)).unwrap();
        gate.cool(at(9_000));
        assert_eq!(start(&gate, at(8_999)), Err(Availability::Cooling { until: at(9_000) }));
        assert_eq!(start(&gate, at(9_000)), Ok(()));
    }

    #[test]
    fn a_deadline_that_is_now_is_paced_at_once() {
        let gate = RateGate::default();
        gate.cool(Moment::ZERO);
        assert_eq!(start(&gate, Moment::ZERO), Ok(()));
        assert_eq!(start(&gate, at(1)), Err(Availability::Paced { until: at(200) }));
    }
}
