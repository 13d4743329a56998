//! Failure domains: endpoints of one base URL and region, which fail together.
//!
//! `allowed_fails` failures in a row open it; when its time is over it is half-open: exactly one
//! request is the *trial*, and what becomes of it decides. The time doubles with each failed trial.
//!
//! Invariants: a trial is claimed under the lock and held by a guard with an owner's number; only
//! that guard can judge or release it, and dropping it releases it. A request that began before the
//! domain last opened or closed says nothing about it now: neither its success nor its failure
//! counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::params::Cooling;
use crate::{clock::Moment, types::DomainName};

/// What a gate says to a request that would start now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FailureState {
    Closed,
    Open { until: Moment },
    HalfOpen,
    TrialBusy,
}

/// The breaker of one failure domain.
pub(super) struct FailureGate {
    name: DomainName,
    /// Nanoseconds; 0: closed.
    open_until: AtomicU64,
    /// Number of the request on trial; 0: none.
    on_trial: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Failures in a row while closed.
    in_a_row: u32,
    /// Failed trials since it opened.
    failed_trials: u32,
    /// Zero while closed.
    until: Moment,
    /// The trial's number; 0: none.
    trial: u64,
    trials_made: u64,
    /// When it last opened or closed.
    turned: Moment,
}

impl FailureGate {
    pub(super) fn new(name: DomainName) -> Self {
        Self {
            name,
            open_until: AtomicU64::new(0),
            on_trial: AtomicU64::new(0),
            inner: Mutex::new(Inner::default()),
        }
    }

    pub(super) fn name(&self) -> &DomainName {
        &self.name
    }

    /// May a request start? Reads atomics only and claims nothing.
    pub(super) fn state(&self, now: Moment) -> FailureState {
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            FailureState::Closed
        } else if now.as_nanos() < until {
            FailureState::Open { until: Moment::from_nanos(until) }
        } else if self.on_trial.load(Ordering::Acquire) == 0 {
            FailureState::HalfOpen
        } else {
            FailureState::TrialBusy
        }
    }

    /// Starts a request; `Some` when it is the trial.
    pub(super) fn start(self: &Arc<Self>, now: Moment) -> Result<Option<Trial>, FailureState> {
        if self.open_until.load(Ordering::Acquire) == 0 {
            return Ok(None);
        }
        let mut inner = self.inner.lock();
        if inner.until == Moment::ZERO {
            return Ok(None);
        }
        if now < inner.until {
            return Err(FailureState::Open { until: inner.until });
        }
        if inner.trial != 0 {
            return Err(FailureState::TrialBusy);
        }
        inner.trials_made += 1;
        inner.trial = inner.trials_made;
        self.publish(&inner);
        Ok(Some(Trial { gate: Arc::clone(self), number: inner.trial }))
    }

    /// A request without the trial that began at `started` got an answer. Returns how many failures
    /// in a row this ended, for a request that fails after all.
    pub(super) fn answered(&self, started: Moment) -> u32 {
        let mut inner = self.inner.lock();
        if inner.until != Moment::ZERO || started < inner.turned {
            return 0;
        }
        std::mem::take(&mut inner.in_a_row)
    }

    /// A request without the trial that began at `started` failed, `before` failures being taken
    /// back up. Returns whether this opened the domain.
    pub(super) fn failed(&self, before: u32, started: Moment, cooling: &Cooling, now: Moment) -> bool {
        let mut inner = self.inner.lock();
        if inner.until != Moment::ZERO || started < inner.turned {
            return false;
        }
        inner.in_a_row = inner.in_a_row.max(before).saturating_add(1);
        if inner.in_a_row < cooling.allowed_fails.max(1) {
            return false;
        }
        inner.failed_trials = 0;
        self.open(&mut inner, cooling, now);
        true
    }

    /// Closes it: an operator, or our own check, said so. A running trial no longer decides.
    pub(super) fn reset(&self, now: Moment) {
        let mut inner = self.inner.lock();
        Self::close(&mut inner, now);
        self.publish(&inner);
    }

    fn close(inner: &mut Inner, now: Moment) {
        *inner = Inner { trials_made: inner.trials_made, turned: now, ..Inner::default() };
    }

    fn open(&self, inner: &mut Inner, cooling: &Cooling, now: Moment) {
        let factor = 1_u32.checked_shl(inner.failed_trials).unwrap_or(u32::MAX);
        let span = cooling.base.saturating_mul(factor).min(cooling.max);
        inner.until = (now + span).max(Moment::from_nanos(1));
        inner.turned = now;
        inner.in_a_row = 0;
        inner.trial = 0;
        self.publish(inner);
    }

    fn judge(&self, number: u64, judgement: Judgement<'_>) -> bool {
        let mut inner = self.inner.lock();
        if inner.trial != number {
            return false;
        }
        match judgement {
            Judgement::Passed(now) => Self::close(&mut inner, now),
            Judgement::Failed(cooling, now) => {
                inner.failed_trials = inner.failed_trials.saturating_add(1);
                self.open(&mut inner, cooling, now);
            }
            Judgement::None => inner.trial = 0,
        }
        self.publish(&inner);
        true
    }

    fn publish(&self, inner: &Inner) {
        self.on_trial.store(inner.trial, Ordering::Release);
        self.open_until.store(inner.until.as_nanos(), Ordering::Release);
    }
}

#[derive(Clone, Copy)]
enum Judgement<'a> {
    Passed(Moment),
    Failed(&'a Cooling, Moment),
    None,
}

/// The one request that decides whether a failure domain is well again. Dropping it unjudged
/// lets another request try.
pub(super) struct Trial {
    gate: Arc<FailureGate>,
    number: u64,
}

impl Trial {
    /// It still decides: nobody overruled it.
    pub(super) fn decides(&self) -> bool {
        self.gate.on_trial.load(Ordering::Acquire) == self.number
    }

    pub(super) fn passed(self, now: Moment) {
        self.gate.judge(self.number, Judgement::Passed(now));
    }

    pub(super) fn failed(self, cooling: &Cooling, now: Moment) -> bool {
        self.gate.judge(self.number, Judgement::Failed(cooling, now))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A judged trial's number is gone from the gate, so this touches nothing of anybody else's.
        self.gate.judge(self.number, Judgement::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<FailureGate> {
        Arc::new(FailureGate::new("host".into()))
    }

    fn at(secs: u64) -> Moment {
        Moment::from_millis(secs * 1_000)
    }

    fn opened(now: Moment) -> Arc<FailureGate> {
        let gate = gate();
        let cooling = Cooling::default();
        assert!(!gate.failed(0, now, &cooling, now));
        assert!(!gate.failed(0, now, &cooling, now));
        assert!(gate.failed(0, now, &cooling, now));
        gate
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_an_answer_between_them_starts_the_count_again() {
        let (gate, cooling) = (gate(), Cooling::default());
        for n in 0..20 {
            assert!(!gate.failed(0, at(n), &cooling, at(n)));
            assert!(!gate.failed(0, at(n), &cooling, at(n)));
            assert_eq!(gate.answered(at(n)), 2);
        }
        assert_eq!(gate.state(at(20)), FailureState::Closed);
        assert_eq!(opened(at(1)).state(at(2)), FailureState::Open { until: at(6) });
    }

    #[test]
    fn an_answer_that_turns_out_a_failure_does_not_break_the_row() {
        let (gate, cooling) = (gate(), Cooling::default());
        for n in 1..=3 {
            // A 200 whose first event is an error: answered, then failed.
            let before = gate.answered(at(n));
            assert_eq!(gate.failed(before, at(n), &cooling, at(n)), n == 3);
        }
    }

    #[test]
    fn exactly_one_trial_runs_and_its_success_closes() {
        let gate = opened(at(1));
        assert!(gate.start(at(5)).is_err());
        let trial = gate.start(at(6)).unwrap().expect("the trial");
        assert_eq!(gate.state(at(7)), FailureState::TrialBusy);
        assert!(gate.start(at(7)).is_err());
        trial.passed(at(8));
        assert_eq!(gate.state(at(8)), FailureState::Closed);
        assert!(gate.start(at(8)).unwrap().is_none());
    }

    #[test]
    fn the_time_doubles_with_each_failed_trial_up_to_its_bound() {
        let gate = opened(at(0));
        let (mut now, mut spans) = (at(5), Vec::new());
        for _ in 0..7 {
            gate.start(now).unwrap().expect("the trial").failed(&Cooling::default(), now);
            let FailureState::Open { until } = gate.state(now) else { panic!("not open") };
            spans.push(now.until(until).as_secs());
            now = until;
        }
        assert_eq!(spans, [10, 20, 40, 80, 120, 120, 120]);
    }

    #[test]
    fn a_dropped_trial_makes_room_for_the_next() {
        let gate = opened(at(0));
        drop(gate.start(at(5)).unwrap().expect("the trial"));
        assert_eq!(gate.state(at(5)), FailureState::HalfOpen);
        assert!(gate.start(at(5)).unwrap().is_some());
    }

    #[test]
    fn requests_from_before_it_opened_neither_close_it_nor_open_it_again() {
        let gate = opened(at(10));
        gate.answered(at(1));
        assert!(matches!(gate.state(at(11)), FailureState::Open { .. }));
        gate.start(at(15)).unwrap().expect("the trial").passed(at(16));
        for _ in 0..10 {
            assert!(!gate.failed(0, at(9), &Cooling::default(), at(17)), "stragglers count for nothing");
        }
        assert_eq!(gate.state(at(17)), FailureState::Closed);
    }

    #[test]
    fn a_trial_that_was_overruled_cannot_judge_any_more() {
        let gate = opened(at(0));
        let old = gate.start(at(5)).unwrap().expect("the trial");
        gate.reset(at(6));
        for _ in 0..3 {
            gate.failed(0, at(7), &Cooling::default(), at(7));
        }
        let new = gate.start(at(12)).unwrap().expect("the second trial");
        old.passed(at(13));
        assert_eq!(gate.state(at(13)), FailureState::TrialBusy, "the second trial is untouched");
        drop(new);
        assert_eq!(gate.state(at(13)), FailureState::HalfOpen);
    }
}
