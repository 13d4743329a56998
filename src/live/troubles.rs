//! What went wrong at each endpoint lately, for people: runs of failed tries.
//!
//! Fed once a request, when it is settled; where every try was good nothing is locked or looked up.
//! Bounds: endpoints of the configuration in force, eight runs of each.

use std::{collections::VecDeque, time::Duration};

use ahash::AHashMap;
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    clock::UnixTime,
    types::{AttemptOutcome, AttemptRecord, EndpointName},
};

/// Runs of each endpoint.
const LAST: usize = 8;

/// Equal failures further apart than this are two runs.
const APART: Duration = Duration::from_secs(300);

/// Equal failures, one after the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    outcome: AttemptOutcome,
    status: Option<u16>,
    last: UnixTime,
    count: u64,
}

/// A run as people see it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TroubleView {
    /// When it happened last, to about the time of a try: seconds since 1970.
    pub at_unix: f64,
    /// How the tries ended.
    pub outcome: &'static str,
    /// The provider's status, where it sent one.
    pub status: Option<u16>,
    /// How often, without another failure in between.
    pub count: u64,
}

/// The last runs of failed tries of every endpoint.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<AHashMap<EndpointName, VecDeque<Run>>>);

/// Whether it says anything of the endpoint: a client that leaves does not, nor a bad request.
const fn is_trouble(outcome: AttemptOutcome) -> bool {
    match outcome {
        AttemptOutcome::RateLimited
        | AttemptOutcome::Overloaded
        | AttemptOutcome::ServerError
        | AttemptOutcome::Unauthorized
        | AttemptOutcome::ConnectError
        | AttemptOutcome::Timeout
        | AttemptOutcome::Broken
        | AttemptOutcome::Interrupted => true,
        AttemptOutcome::Ok | AttemptOutcome::Refused | AttemptOutcome::Stale | AttemptOutcome::Cancelled => {
            false
        }
    }
}

impl Troubles {
    /// A request whose tries began at about `since` is over. `known`: the endpoint is configured, by the
    /// settings that are in force when this is called.
    pub fn note(&self, attempts: &[AttemptRecord], since: UnixTime, known: impl Fn(&EndpointName) -> bool) {
        let mut at = since.0;
        for attempt in attempts {
            at += attempt.spent;
            if !is_trouble(attempt.outcome) {
                continue;
            }
            let mut all = self.0.lock();
            // Asked under the lock: what a reload takes away does not come back behind it.
            if !known(&attempt.endpoint) {
                continue;
            }
            let runs = all.entry(attempt.endpoint.clone()).or_default();
            add(runs, attempt, UnixTime(at));
        }
    }

    /// Forgets the endpoints that are no longer configured.
    pub fn keep(&self, known: impl Fn(&EndpointName) -> bool) {
        self.0.lock().retain(|endpoint, _| known(endpoint));
    }

    /// The runs of every endpoint that has any, the latest first.
    #[must_use]
    pub fn views(&self) -> AHashMap<EndpointName, Vec<TroubleView>> {
        let all = self.0.lock();
        all.iter()
            .map(|(endpoint, runs)| (endpoint.clone(), runs.iter().rev().map(Run::view).collect()))
            .collect()
    }
}

fn add(runs: &mut VecDeque<Run>, attempt: &AttemptRecord, at: UnixTime) {
    if let Some(run) = runs.back_mut()
        && (run.outcome, run.status) == (attempt.outcome, attempt.status)
        && at.0.saturating_sub(run.last.0) < APART
    {
        run.count += 1;
        run.last = run.last.max(at);
        return;
    }
    if runs.len() >= LAST {
        runs.pop_front();
    }
    runs.push_back(Run { outcome: attempt.outcome, status: attempt.status, last: at, count: 1 });
}

impl Run {
    fn view(&self) -> TroubleView {
        TroubleView {
            at_unix: self.last.0.as_secs_f64(),
            outcome: self.outcome.label(),
            status: self.status,
            count: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(endpoint: &str, outcome: AttemptOutcome, status: Option<u16>) -> AttemptRecord {
        let spent = Duration::from_secs(1);
        AttemptRecord { endpoint: endpoint.into(), outcome, status, ambiguous: false, spent }
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime(Duration::from_secs(seconds))
    }

    #[test]
    fn equal_failures_are_one_run_until_another_one_or_a_long_peace() {
        let troubles = Troubles::default();
        let limited = || attempt("a", AttemptOutcome::RateLimited, Some(429));
        let good = attempt("b", AttemptOutcome::Ok, Some(200));
        for n in 0..5 {
            troubles.note(&[limited(), good.clone()], at(100 + n), |_| true);
        }
        troubles.note(&[attempt("a", AttemptOutcome::ServerError, Some(500))], at(110), |_| true);
        troubles.note(&[limited()], at(111), |_| true);
        troubles.note(&[limited()], at(111 + 301), |_| true);
        let views = troubles.views();
        assert_eq!(views.len(), 1, "a good try is none");
        let runs: Vec<_> =
            views[&EndpointName::from("a")].iter().map(|run| (run.at_unix, run.status, run.count)).collect();
        assert_eq!(
            runs,
            [(413.0, Some(429), 1), (112.0, Some(429), 1), (111.0, Some(500), 1), (105.0, Some(429), 5)]
        );
    }

    #[test]
    fn what_a_caller_did_is_not_the_endpoints_trouble() {
        let troubles = Troubles::default();
        for outcome in
            [AttemptOutcome::Ok, AttemptOutcome::Refused, AttemptOutcome::Cancelled, AttemptOutcome::Stale]
        {
            troubles.note(&[attempt("a", outcome, Some(400))], at(1), |_| true);
        }
        assert!(troubles.views().is_empty());
    }

    #[test]
    fn runs_and_endpoints_are_bounded() {
        let troubles = Troubles::default();
        for n in 0..100 {
            let status = Some(500 + n % 2);
            troubles.note(&[attempt("a", AttemptOutcome::ServerError, status)], at(n.into()), |_| true);
            let gone = attempt(&format!("gone-{n}"), AttemptOutcome::Timeout, None);
            troubles.note(&[gone], at(n.into()), |name| name.as_str() == "a");
        }
        let views = troubles.views();
        assert_eq!((views.len(), views[&EndpointName::from("a")].len()), (1, LAST));
        troubles.keep(|_| false);
        assert!(troubles.views().is_empty());
    }
}
