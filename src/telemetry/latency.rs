//! Histograms of time, in seconds.

use pingora_prometheus::prometheus::Histogram;

use super::{
    exemplars::{Exemplar, Exemplified},
    family::Family,
    otlp::TraceId,
};
use crate::types::{Outcome, Receipt};

/// From a cached answer to a slow reasoning model.
const LONG: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Whole answers: the longest run for an hour.
const WHOLE: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
/// Waiting on purpose, which is bounded.
const WAIT: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];
/// The gaps between tokens.
const GAP: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Our own work.
const SHORT: &[f64] =
    &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];

const REQUEST: &str = "request_seconds";
const FIRST_TOKEN: &str = "time_to_first_token_seconds";
const OVERHEAD: &str = "overhead_seconds";
const WAITED: &str = "wait_seconds";

/// How long things take.
pub struct Latency {
    /// One for each outcome, in their order.
    request: Vec<Exemplified>,
    first_token: Exemplified,
    overhead: Exemplified,
    wait: Exemplified,
    inter_token: Histogram,
}

impl Latency {
    pub(super) fn register(r: Family<'_>) -> Self {
        let kept = |name, help, bounds| Exemplified::new(r.histogram(name, help, bounds), bounds);
        let request = r.histograms(REQUEST, "From head to last byte, by outcome.", WHOLE, &["outcome"]);
        let of = |outcome: &Outcome| Exemplified::new(request.with_label_values(&[outcome.label()]), WHOLE);
        Self {
            request: Outcome::ALL.iter().map(of).collect(),
            first_token: kept(FIRST_TOKEN, "From head to first content.", LONG),
            overhead: kept(OVERHEAD, "Our own time before the provider is called.", SHORT),
            wait: kept(WAITED, "Waiting for an account, of requests that waited.", WAIT),
            inter_token: r.histogram("inter_token_seconds", "Between two pieces of content.", GAP),
        }
    }

    pub(super) fn book(&self, r: &Receipt, trace: Option<TraceId>) {
        let traced = trace.map(|trace| (trace, crate::clock::UnixTime(r.at.0 + r.timings.total)));
        if let Some(request) = self.request.get(place(r.outcome)) {
            request.observe(r.timings.total.as_secs_f64(), traced);
        }
        if !r.timings.waited.is_zero() {
            self.wait.observe(r.timings.waited.as_secs_f64(), traced);
        }
        if let Some(first) = r.timings.first_token {
            self.first_token.observe(first.as_secs_f64(), traced);
        }
        // Without a call there is nothing that it was in front of.
        if !r.attempts.is_empty() {
            self.overhead.observe(r.timings.overhead.as_secs_f64(), traced);
        }
    }

    /// A gap between two pieces of content.
    pub fn gap(&self, seconds: f64) {
        self.inter_token.observe(seconds);
    }

    /// Exemplars of a family's series, by the value of its label; none where it has none.
    pub(super) fn exemplars(&self, family: &str, label: Option<&str>) -> Option<Box<[Option<Exemplar>]>> {
        let of = match family.strip_prefix("warmkey_")? {
            REQUEST => {
                let outcome = Outcome::ALL.iter().find(|outcome| Some(outcome.label()) == label)?;
                self.request.get(place(*outcome))?
            }
            FIRST_TOKEN => &self.first_token,
            OVERHEAD => &self.overhead,
            WAITED => &self.wait,
            _ => return None,
        };
        Some(of.last())
    }
}

fn place(outcome: Outcome) -> usize {
    Outcome::ALL.iter().position(|each| *each == outcome).unwrap_or(usize::MAX)
}
