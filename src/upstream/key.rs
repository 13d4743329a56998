//! Whether a provider still honours a key.
//!
//! An answer that says "your key is bad" (401, 402, 403, a spend cap) only makes a key *suspect*: a
//! caller's odd header can provoke some of those, and must never take a key from everybody else.
//! Then the gateway checks the key with a request of its own, and only that check quarantines it.
//!
//! While a key is suspect, at most [`SUSPECT_IN_FLIGHT`] requests go out on it at a time: a key that
//! is really dead is not hit by everybody, and one that is alive proves so (any success of a request
//! that began after the suspicion clears it). After it is cleared, further suspicion is ignored for
//! [`TRUST`], so that no caller can keep a key under suspicion.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::clock::Moment;

/// Requests that may be out on a suspect key at a time.
const SUSPECT_IN_FLIGHT: u32 = 2;

/// How long a key that was just proven good is not suspected again.
const TRUST: Duration = Duration::from_secs(10);

/// What a provider has against a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum KeyTrouble {
    /// 401: it does not know the key.
    Invalid,
    /// 402, or no credit is left.
    Billing,
    /// 403 about more than one model.
    Forbidden,
    /// A spend limit was reached.
    SpendCap,
}

impl KeyTrouble {
    /// Providers list their models also to accounts that cannot pay.
    const fn is_about_money(self) -> bool {
        match self {
            Self::Billing | Self::SpendCap => true,
            Self::Invalid | Self::Forbidden => false,
        }
    }

    /// The label in logs, metrics and `/status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Billing => "billing",
            Self::Forbidden => "forbidden",
            Self::SpendCap => "spend_cap",
        }
    }
}

/// What kind of request of our own can tell whether a key is good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CheckKind {
    /// `GET /v1/models`: free.
    ListModels,
    /// A generation of one token: spend limits do not show on free calls. Refused it costs nothing,
    /// and answered a tiny fraction of a cent.
    Generate,
}

/// What is known of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Nothing speaks against it.
    Good,
    /// An answer spoke against it; our own check is due.
    Suspect(KeyTrouble),
    /// Our own check failed too.
    Quarantined {
        /// Since when.
        since: Moment,
        /// Why.
        trouble: KeyTrouble,
    },
}

const GOOD: u8 = 0;
const SUSPECT: u8 = 1;
const QUARANTINED: u8 = 2;

/// The auth state of one key.
#[derive(Default)]
pub(super) struct KeyGate {
    state: AtomicU8,
    /// Requests out on it while suspect.
    out: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    trouble: Option<KeyTrouble>,
    since: Moment,
    trusted_until: Moment,
    /// Number of the check in flight; 0: none.
    check: u64,
    checks_made: u64,
    next_check: Moment,
}

impl KeyGate {
    /// Nothing speaks against it. One atomic.
    pub(super) fn is_good(&self) -> bool {
        self.state.load(Ordering::Acquire) == GOOD
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.state.load(Ordering::Acquire) == QUARANTINED
    }

    /// A suspect key has room for one more request.
    pub(super) fn has_room(&self) -> bool {
        self.out.load(Ordering::Acquire) < SUSPECT_IN_FLIGHT
    }

    pub(super) fn state(&self) -> KeyState {
        let inner = self.inner.lock();
        match (self.state.load(Ordering::Acquire), inner.trouble) {
            (SUSPECT, Some(trouble)) => KeyState::Suspect(trouble),
            (QUARANTINED, Some(trouble)) => KeyState::Quarantined { since: inner.since, trouble },
            _ => KeyState::Good,
        }
    }

    /// When our own check is due next; `None` while one runs.
    pub(super) fn next_check(&self) -> Option<Moment> {
        let inner = self.inner.lock();
        (inner.check == 0).then_some(inner.next_check)
    }

    /// One of the few places on a suspect key.
    pub(super) fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        self.out
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |out| {
                (out < SUSPECT_IN_FLIGHT).then_some(out + 1)
            })
            .ok()
            .map(|_| Ticket(Arc::clone(self)))
    }

    /// An answer spoke against the key. Returns whether a check is due.
    pub(super) fn suspect(&self, trouble: KeyTrouble, now: Moment) -> bool {
        let mut inner = self.inner.lock();
        if now < inner.trusted_until || self.is_quarantined() {
            return false;
        }
        if self.is_good() {
            inner.trouble = Some(trouble);
            inner.since = now;
            inner.next_check = now;
            self.state.store(SUSPECT, Ordering::Release);
        } else if trouble.is_about_money() {
            // Trouble that a free call would not show: it decides the kind of check.
            inner.trouble = Some(trouble);
        }
        inner.check == 0
    }

    /// A request that began at `started` succeeded: a suspicion from before then was wrong.
    pub(super) fn proven(&self, started: Moment, now: Moment) {
        if self.is_good() {
            return;
        }
        let mut inner = self.inner.lock();
        if self.state.load(Ordering::Acquire) == SUSPECT && started >= inner.since {
            self.clear(&mut inner, now);
        }
    }

    /// An operator said that it is good.
    pub(super) fn readmit(&self, now: Moment) {
        let mut inner = self.inner.lock();
        self.clear(&mut inner, now);
        inner.trusted_until = Moment::ZERO;
    }

    fn clear(&self, inner: &mut Inner, now: Moment) {
        inner.trouble = None;
        inner.trusted_until = now + TRUST;
        inner.check = 0;
        self.state.store(GOOD, Ordering::Release);
    }

    /// The right and duty to check this key. `None` where nothing is due or a check is running;
    /// `unasked` also checks a key that nothing speaks against, for the start of the gateway.
    pub(super) fn claim_check(
        self: &Arc<Self>,
        unasked: bool,
        recheck: Duration,
        now: Moment,
    ) -> Option<KeyCheck> {
        if self.is_good() && !unasked {
            return None;
        }
        let mut inner = self.inner.lock();
        if inner.check != 0 || now < inner.next_check {
            return None;
        }
        inner.checks_made += 1;
        inner.check = inner.checks_made;
        Some(KeyCheck {
            gate: Arc::clone(self),
            number: inner.check,
            wanted: if inner.trouble.is_some_and(KeyTrouble::is_about_money) {
                CheckKind::Generate
            } else {
                CheckKind::ListModels
            },
            recheck,
        })
    }

    fn judge(&self, check: &KeyCheck, verdict: Option<Result<(), KeyTrouble>>, now: Moment) {
        let mut inner = self.inner.lock();
        if inner.check != check.number {
            return;
        }
        inner.check = 0;
        match verdict {
            None => {}
            Some(Ok(())) => self.clear(&mut inner, now),
            Some(Err(trouble)) => {
                if !self.is_quarantined() {
                    inner.since = now;
                }
                inner.trouble = Some(trouble);
                inner.next_check = now + check.recheck;
                self.state.store(QUARANTINED, Ordering::Release);
            }
        }
    }
}

/// A place on a suspect key, given back when dropped.
pub(super) struct Ticket(Arc<KeyGate>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.out.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The only check of a key that is in flight. Dropping it unjudged (the provider could not be
/// reached, the gateway drains) leaves the key as it was, and another check may be made.
#[must_use = "dropping a check leaves the key as it was"]
pub struct KeyCheck {
    gate: Arc<KeyGate>,
    number: u64,
    wanted: CheckKind,
    recheck: Duration,
}

impl KeyCheck {
    /// What kind of request tells.
    #[must_use]
    pub fn wanted(&self) -> CheckKind {
        self.wanted
    }

    /// The provider accepted the key: suspicion and quarantine end.
    pub fn passed(self, now: Moment) {
        self.gate.judge(&self, Some(Ok(())), now);
    }

    /// The provider refused the key: it is quarantined, and due again after the re-check time.
    pub fn failed(self, trouble: KeyTrouble, now: Moment) {
        self.gate.judge(&self, Some(Err(trouble)), now);
    }
}

impl Drop for KeyCheck {
    fn drop(&mut self) {
        // A judged check's number is gone from the gate: this does nothing then.
        self.gate.judge(self, None, Moment::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECHECK: Duration = Duration::from_secs(60);

    fn at(secs: u64) -> Moment {
        Moment::from_millis(secs * 1_000)
    }

    fn gate() -> Arc<KeyGate> {
        Arc::new(KeyGate::default())
    }

    #[test]
    fn an_odd_answer_alone_never_quarantines() {
        let gate = gate();
        for n in 0..100 {
            gate.suspect(KeyTrouble::Invalid, at(n));
            assert_ne!(gate.state.load(Ordering::Relaxed), QUARANTINED);
        }
        gate.claim_check(false, RECHECK, at(100)).unwrap().passed(at(100));
        assert_eq!(gate.state(), KeyState::Good);
    }

    #[test]
    fn our_own_check_quarantines_and_re_admits_after_the_recheck_time() {
        let gate = gate();
        assert!(gate.suspect(KeyTrouble::Invalid, at(1)));
        gate.claim_check(false, RECHECK, at(1)).unwrap().failed(KeyTrouble::Invalid, at(2));
        assert_eq!(gate.state(), KeyState::Quarantined { since: at(2), trouble: KeyTrouble::Invalid });
        assert!(gate.claim_check(false, RECHECK, at(61)).is_none());
        gate.claim_check(false, RECHECK, at(62)).unwrap().failed(KeyTrouble::Invalid, at(63));
        assert!(matches!(gate.state(), KeyState::Quarantined { since, .. } if since == at(2)));
        gate.claim_check(false, RECHECK, at(123)).unwrap().passed(at(124));
        assert_eq!(gate.state(), KeyState::Good);
    }

    #[test]
    fn one_check_runs_at_a_time_and_a_dropped_one_can_be_made_again() {
        let gate = gate();
        gate.suspect(KeyTrouble::Billing, at(1));
        let check = gate.claim_check(false, RECHECK, at(1)).unwrap();
        assert!(gate.claim_check(false, RECHECK, at(1)).is_none());
        drop(check);
        assert_eq!(gate.state(), KeyState::Suspect(KeyTrouble::Billing));
        assert!(gate.claim_check(false, RECHECK, at(1)).is_some());
    }

    #[test]
    fn what_is_about_money_is_checked_with_a_generation() {
        for trouble in [KeyTrouble::SpendCap, KeyTrouble::Billing] {
            let gate = gate();
            gate.suspect(KeyTrouble::Invalid, at(1));
            gate.suspect(trouble, at(1));
            assert_eq!(gate.claim_check(false, RECHECK, at(1)).unwrap().wanted(), CheckKind::Generate);
        }
    }

    #[test]
    fn few_requests_are_out_on_a_suspect_key() {
        let gate = gate();
        let tickets: Vec<_> = (0..10).filter_map(|_| gate.ticket()).collect();
        assert_eq!(tickets.len(), SUSPECT_IN_FLIGHT as usize);
        assert!(!gate.has_room());
        drop(tickets);
        assert!(gate.has_room());
    }

    #[test]
    fn a_success_clears_only_the_suspicion_that_came_before_it() {
        let gate = gate();
        gate.suspect(KeyTrouble::Invalid, at(5));
        gate.proven(at(4), at(6));
        assert_eq!(gate.state(), KeyState::Suspect(KeyTrouble::Invalid));
        gate.proven(at(5), at(6));
        assert_eq!(gate.state(), KeyState::Good);
    }

    #[test]
    fn a_caller_cannot_keep_a_proven_key_under_suspicion() {
        let gate = gate();
        gate.suspect(KeyTrouble::Invalid, at(1));
        gate.claim_check(false, RECHECK, at(1)).unwrap().passed(at(2));
        assert!(!gate.suspect(KeyTrouble::Invalid, at(11)));
        assert!(gate.is_good());
        assert!(gate.suspect(KeyTrouble::Invalid, at(12)));
    }

    #[test]
    fn a_check_that_an_operator_overruled_decides_nothing() {
        let gate = gate();
        gate.suspect(KeyTrouble::Invalid, at(1));
        let check = gate.claim_check(false, RECHECK, at(1)).unwrap();
        gate.readmit(at(2));
        check.failed(KeyTrouble::Invalid, at(3));
        assert_eq!(gate.state(), KeyState::Good);
    }

    #[test]
    fn a_key_can_be_checked_before_anything_speaks_against_it() {
        let gate = gate();
        assert!(gate.claim_check(false, RECHECK, at(1)).is_none());
        gate.claim_check(true, RECHECK, at(1)).unwrap().failed(KeyTrouble::Invalid, at(1));
        assert!(gate.is_quarantined());
    }
}
