//! A place at an endpoint, held for one try. Whatever happens to the try, dropping the slot gives
//! everything back: the in-flight count, the trial, the place on a suspect key.
//!
//! The proxy reports what became of the try: [`Slot::answered`], [`Slot::refused`] or
//! [`Slot::failed`]. Only this slot can judge the trial that it owns.

use std::sync::{Arc, atomic::Ordering};

use super::{
    bucket::float,
    classify::{RateLimit, Verdict},
    endpoint::Endpoint,
    failure::Trial,
    failure_kind::{Effect, Failure},
    gauge::{Debit, Gauge},
    headroom::{self, Lies},
    key::{KeyTrouble, Ticket},
    lane::Lane,
    params::Overload,
    rate::RateGate,
};
use http::HeaderMap;

use crate::{
    clock::{Moment, UnixTime},
    types::Usage,
};

/// One request in flight at an endpoint.
#[must_use = "dropping a slot gives the place back"]
pub struct Slot {
    endpoint: Arc<Endpoint>,
    lane: Lane,
    started: Moment,
    trial: Option<Trial>,
    /// Held for its drop: it frees the place on a suspect key.
    ticket: Option<Ticket>,
    /// What it took of the limits, and at which gate.
    debit: Option<(Arc<RateGate>, Debit)>,
    /// Failures in a row that our answer ended, in case it turns out a failure.
    row_ended: u32,
    repeated: bool,
    answered: bool,
}

impl Slot {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        lane: Lane,
        (trial, ticket): (Option<Trial>, Option<Ticket>),
        debit: Option<(Arc<RateGate>, Debit)>,
        started: Moment,
    ) -> Self {
        endpoint.tally.in_flight.fetch_add(1, Ordering::AcqRel);
        endpoint.tally.served.fetch_add(1, Ordering::Relaxed);
        Self { endpoint, lane, started, trial, ticket, debit, row_ended: 0, repeated: false, answered: false }
    }

    /// Where.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// When it was taken.
    #[must_use]
    pub fn started(&self) -> Moment {
        self.started
    }

    /// Its answer decides whether the failure domain is well again.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.trial.as_ref().is_some_and(Trial::decides)
    }

    /// This very request has got a 5xx elsewhere before: its further ones are not counted, so that
    /// one poisonous request cannot make up a row of failures by itself.
    pub fn repeats_a_failure(&mut self) {
        self.repeated = true;
    }

    /// The head of a good answer arrived.
    pub fn answered(&mut self, now: Moment) {
        self.answered = true;
        self.settle(|gauge, debit| gauge.answered(debit));
        self.host_lives(now);
        if self.lane.generates() && !self.endpoint.caller_pays() {
            self.endpoint.key_gate.proven(self.started, now);
        }
        self.ticket = None;
    }

    /// The provider refused the request for its own sake (400, 404, 413 ..): the host is well, and
    /// nothing more is known of the key.
    pub fn refused(&mut self, now: Moment) {
        if !self.answered {
            self.settle(|gauge, debit| gauge.refund(true, debit, now));
        }
        self.host_lives(now);
    }

    /// Books what an answer's head means. `refused_elsewhere`: another rate domain has refused this
    /// very request with a 429 before.
    pub fn judged(&mut self, verdict: &Verdict, refused_elsewhere: bool, now: Moment) -> Effect {
        match verdict.failure(refused_elsewhere) {
            Some(failure) => self.failed(&failure, now),
            None if *verdict == Verdict::Answered => {
                self.answered(now);
                Effect::default()
            }
            None => {
                self.refused(now);
                Effect { callers_own: true, ..Effect::default() }
            }
        }
    }

    /// Books a failure; also after [`Self::answered`], when the answer turned out to be none.
    pub fn failed(&mut self, failure: &Failure, now: Moment) -> Effect {
        self.not_admitted(failure, now);
        match *failure {
            Failure::Connect | Failure::Timeout | Failure::Broken => self.host_failed(false, now),
            // Paths that nobody else uses say nothing of the calls that everybody makes.
            Failure::ServerError => self.host_failed(self.repeated || self.lane == Lane::PASSTHROUGH, now),
            Failure::Overloaded { .. } => match self.endpoint.provider.params.overload {
                // It is alive and all its accounts are as busy: taking it out would help nobody.
                Overload::Stay => {
                    self.host_lives(now);
                    Effect::default()
                }
                Overload::Move => self.host_failed(false, now),
            },
            Failure::Stale => Effect::default(),
            Failure::RateLimited { limit, refused_elsewhere } => {
                self.host_lives(now);
                self.rate_limited(&limit, refused_elsewhere, now)
            }
            Failure::Key(trouble) => {
                self.host_lives(now);
                self.key_refused(trouble, now)
            }
            Failure::ModelBarred => {
                self.host_lives(now);
                if self.endpoint.caller_pays() {
                    return Effect { callers_own: true, ..Effect::default() };
                }
                let until = now + self.endpoint.provider.params.cooling.recheck;
                self.endpoint.bars.bar(self.lane.model(), until, now);
                Effect { barred_until: Some(until), ..Effect::default() }
            }
        }
    }

    /// Takes over what the head of its answer says of the limits. `wall` is the time of day, for
    /// headers that name one. Returns what of it made no sense, and was left out.
    pub fn note_headroom(&mut self, headers: &HeaderMap, wall: UnixTime, now: Moment) -> Lies {
        let Some((gate, debit)) = &mut self.debit else { return Lies::default() };
        let (told, lies) = headroom::read(headers, wall, |kind| gate.gauge(|gauge| gauge.limit(kind)));
        if !told.is_empty() {
            gate.gauge(|gauge| told.iter().for_each(|said| gauge.tell(said, debit, now)));
        }
        lies
    }

    /// What the provider counted: corrects the estimate. Totals, not increments, so it may be said
    /// again and again: the input as soon as it is known, the output at the end.
    pub fn used(&mut self, usage: &Usage, now: Moment) {
        let Some((gate, debit)) = &mut self.debit else { return };
        let total = usage.total_input();
        let counted = if self.endpoint.provider.params.limits.cached_reads_count {
            total
        } else {
            total.saturating_sub(usage.cached_read)
        };
        // No request is without input: nothing was said of it yet.
        let input = (total > 0).then(|| float(counted));
        gate.gauge(|gauge| gauge.used(input, float(usage.output), debit, now));
    }

    /// Works on what it took, under the lock of the limits.
    fn settle(&mut self, work: impl FnOnce(&mut Gauge, &mut Debit)) {
        if let Some((gate, debit)) = &mut self.debit {
            gate.gauge(|gauge| work(gauge, debit));
        }
    }

    /// The provider did not let it in: what was booked comes back.
    fn not_admitted(&mut self, failure: &Failure, now: Moment) {
        match *failure {
            Failure::Connect
            | Failure::Stale
            | Failure::Overloaded { .. }
            | Failure::ServerError
            | Failure::Key(_)
            | Failure::ModelBarred => {
                if !self.answered {
                    self.settle(|gauge, debit| gauge.refund(false, debit, now));
                }
            }
            Failure::RateLimited { limit, refused_elsewhere } => {
                let blameless = limit.request_exceeds_limit || refused_elsewhere;
                self.settle(|gauge, debit| {
                    gauge.refund(false, debit, now);
                    if !blameless {
                        gauge.refused(limit.kind, debit, now);
                    }
                });
            }
            // It may have been let in before it was lost.
            Failure::Timeout | Failure::Broken => self.settle(|gauge, debit| gauge.closed(debit)),
        }
    }

    fn host_lives(&mut self, now: Moment) {
        match self.trial.take() {
            Some(trial) => trial.passed(now),
            None => self.row_ended = self.row_ended.max(self.endpoint.failure.answered(self.started)),
        }
    }

    fn host_failed(&mut self, repeated: bool, now: Moment) -> Effect {
        let cooling = &self.endpoint.provider.params.cooling;
        let opened = match self.trial.take() {
            Some(trial) => trial.failed(cooling, now),
            None if repeated => false,
            None => self.endpoint.failure.failed(self.row_ended, self.started, cooling, now),
        };
        Effect { opened, ..Effect::default() }
    }

    fn rate_limited(&self, limit: &RateLimit, refused_elsewhere: bool, now: Moment) -> Effect {
        if limit.request_exceeds_limit || refused_elsewhere || self.endpoint.caller_pays() {
            return Effect { callers_own: true, ..Effect::default() };
        }
        let cooling = &self.endpoint.provider.params.cooling;
        let wait = limit.retry_after.unwrap_or(cooling.default_429);
        let domain = self.endpoint.membership.rate.load();
        let cooled_until = domain.gate_or_new(self.lane).map(|gate| gate.cool(now + wait));
        Effect { cooled_until, long: wait > cooling.warn_above, ..Effect::default() }
    }

    fn key_refused(&self, trouble: KeyTrouble, now: Moment) -> Effect {
        if self.endpoint.caller_pays() {
            return Effect { callers_own: true, ..Effect::default() };
        }
        Effect { check_key: self.endpoint.key_gate.suspect(trouble, now), ..Effect::default() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.settle(|gauge, debit| gauge.closed(debit));
        self.endpoint.tally.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
