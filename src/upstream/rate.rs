//! Rate domains: accounts that share limits, and when each class of model may start again.
//!
//! One small machine per (rate domain, class). A 429 cools it until the time the provider named; a
//! later answer with an earlier deadline never shortens that. It re-opens *paced*: after the
//! deadline at most one request starts in each span of `pace`, for ten starts, without a trial: a
//! bucket that refills needs no proof of health, only no stampede.
//!
//! The truth is behind a mutex; what the hot path asks (may something start?) is published in two
//! atomics. Trap: a gate that never cooled reads 0, so a deadline is published as at least 1.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    headroom::Levels,
    lane::{Lane, MAX_CLASSES},
};
use crate::{clock::Moment, types::DomainName};

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
#[derive(Default)]
pub(super) struct RateGate {
    /// Nanoseconds; nothing starts before. 0: nothing to wait for.
    next_start: AtomicU64,
    /// Nanoseconds of the 429's deadline; 0: none is remembered.
    open_until: AtomicU64,
    inner: Mutex<Inner>,
    /// What the provider said of remaining requests and tokens.
    pub(super) levels: Levels,
}

#[derive(Default)]
struct Inner {
    until: Moment,
    next: Moment,
    paced_left: u32,
}

impl RateGate {
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

    /// Starts a request at `now`, taking one of the paced starts where there are any.
    pub(super) fn start(&self, pace: Duration, now: Moment) -> Result<(), RateState> {
        if self.next_start.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        if now < inner.until {
            return Err(RateState::Cooling { until: inner.until });
        }
        if now < inner.next {
            return Err(RateState::Paced { until: inner.next });
        }
        inner.paced_left = inner.paced_left.saturating_sub(1);
        if inner.paced_left == 0 {
            *inner = Inner::default();
        } else {
            inner.next = now + pace;
        }
        self.publish(&inner);
        Ok(())
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
        *inner = Inner::default();
        self.publish(&inner);
    }

    fn pacing(&self) -> bool {
        self.inner.lock().paced_left > 0
    }

    fn publish(&self, inner: &Inner) {
        let floor = u64::from(inner.paced_left > 0);
        self.open_until.store(inner.until.as_nanos(), Ordering::Release);
        self.next_start.store(inner.next.as_nanos().max(floor), Ordering::Release);
    }
}

/// Endpoints that share rate limits: an organisation.
pub struct RateDomain {
    name: DomainName,
    configured: bool,
    weight: AtomicU32,
    gates: Box<[OnceLock<Box<RateGate>>]>,
}

impl RateDomain {
    pub(super) fn new(name: DomainName, configured: bool) -> Self {
        let gates = (0..MAX_CLASSES).map(|_| OnceLock::new()).collect();
        Self { name, configured, weight: AtomicU32::new(0), gates }
    }

    /// Its name: configured, learned, or that of its only endpoint.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// The configuration named it: what providers' headers say cannot change its members.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// Its weight, shared by its endpoints: the largest that one of them asked for, at least 1.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(super) fn raise_weight(&self, weight: u32) {
        self.weight.fetch_max(weight, Ordering::Relaxed);
    }

    /// The gate of a lane, if anything was ever booked to it.
    pub(super) fn gate(&self, lane: Lane) -> Option<&RateGate> {
        self.gates.get(usize::from(lane.class()))?.get().map(Box::as_ref)
    }

    /// The gate of a lane; `None` only for a lane that was not made by this process.
    pub(super) fn gate_or_new(&self, lane: Lane) -> Option<&RateGate> {
        self.gates.get(usize::from(lane.class())).map(|gate| gate.get_or_init(Box::default).as_ref())
    }

    /// Takes over what `other` is cooling for: an endpoint of it turned out to belong here.
    pub(super) fn keep_the_stricter(&self, other: &Self) {
        for (class, theirs) in other.used() {
            let until = Moment::from_nanos(theirs.open_until.load(Ordering::Acquire));
            if theirs.pacing()
                && let Some(ours) = self.gate_or_new(Lane::from_class(class))
            {
                ours.cool(until);
            }
        }
    }

    pub(super) fn reset(&self) {
        self.used().for_each(|(_, gate)| gate.reset());
    }

    /// The classes that something was booked to.
    pub(super) fn used(&self) -> impl Iterator<Item = (u16, &RateGate)> {
        (0_u16..).zip(&self.gates).filter_map(|(class, gate)| Some((class, gate.get()?.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(200);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
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
        assert_eq!(gate.start(PACE, at(999)), Err(RateState::Cooling { until: at(1_000) }));
        for n in 0..u64::from(PACED_STARTS) - 1 {
            let now = 1_000 + n * 200;
            assert_eq!(gate.start(PACE, at(now)), Ok(()), "start {n}");
            assert_eq!(gate.start(PACE, at(now + 199)), Err(RateState::Paced { until: at(now + 200) }));
            assert_eq!(gate.state(at(now + 1)), RateState::Paced { until: at(now + 200) });
        }
        assert_eq!(gate.start(PACE, at(2_800)), Ok(()), "the tenth");
        for _ in 0..100 {
            assert_eq!(gate.start(PACE, at(2_800)), Ok(()));
        }
        assert_eq!(gate.state(at(2_800)), RateState::Open);
    }

    #[test]
    fn a_refusal_while_it_reopens_cools_again() {
        let gate = RateGate::default();
        gate.cool(at(1_000));
        gate.start(PACE, at(1_000)).unwrap();
        gate.cool(at(9_000));
        assert_eq!(gate.start(PACE, at(8_999)), Err(RateState::Cooling { until: at(9_000) }));
        assert_eq!(gate.start(PACE, at(9_000)), Ok(()));
    }

    #[test]
    fn a_deadline_that_is_now_is_paced_at_once() {
        let gate = RateGate::default();
        gate.cool(Moment::ZERO);
        assert_eq!(gate.start(PACE, Moment::ZERO), Ok(()));
        assert_eq!(gate.start(PACE, at(1)), Err(RateState::Paced { until: at(200) }));
    }

    #[test]
    fn joining_a_domain_keeps_the_later_deadline() {
        let (a, b) = (RateDomain::new("a".into(), false), RateDomain::new("b".into(), false));
        let lane = Lane::from_class(40);
        a.gate_or_new(lane).unwrap().cool(at(5_000));
        b.gate_or_new(lane).unwrap().cool(at(9_000));
        a.keep_the_stricter(&b);
        assert_eq!(a.gate(lane).unwrap().open_until(at(0)), Some(at(9_000)));
        b.keep_the_stricter(&a);
        assert_eq!(b.gate(lane).unwrap().open_until(at(0)), Some(at(9_000)));
    }

    #[test]
    fn classes_cool_apart() {
        let domain = RateDomain::new("a".into(), false);
        domain.gate_or_new(Lane::from_class(40)).unwrap().cool(at(5_000));
        assert!(domain.gate(Lane::from_class(41)).is_none());
        assert_eq!(domain.gate_or_new(Lane::from_class(0)).unwrap().state(at(0)), RateState::Open);
    }
}
