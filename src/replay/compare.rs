//! Several policies on one scenario and seed: run on two threads, set against the oracle, and held
//! against what the study found, so that a figure is only shown beside a sound model.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::{outcome::Outcome, policy::Policy, scenario::Conditions, trace::Trace};

/// How many runs go on at a time.
const THREADS: usize = 2;

/// One policy's run beside the oracle's.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which policy.
    pub policy: Policy,
    /// What came of it.
    pub outcome: Outcome,
    /// Its cost over the oracle's.
    pub cost_ratio: f64,
    /// How unevenly the accounts were used.
    pub spread: f64,
}

/// All policies' runs on one scenario and seed.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// In the order asked for; the oracle is always among them.
    pub rows: Vec<Row>,
    /// In which respects the model is not that of the study: then no figure counts.
    pub invalid: Vec<String>,
}

/// Runs `policies`, and the oracle in any case. `tell` is called for each request that is done.
#[must_use]
pub fn compare(
    scenario: &str,
    (trace, conditions): (&Trace, &Conditions),
    seed: u64,
    policies: &[Policy],
    tell: &(dyn Fn() + Sync),
) -> Comparison {
    let mut wanted: Vec<Policy> = Vec::new();
    for policy in policies.iter().copied().chain([Policy::Oracle5m]) {
        if !wanted.contains(&policy) {
            wanted.push(policy);
        }
    }
    let outcomes = run_all(&wanted, trace, conditions, seed, tell);
    let oracle = wanted.iter().zip(&outcomes).find(|(policy, _)| **policy == Policy::Oracle5m);
    let base = oracle.map_or(0.0, |(_, outcome)| outcome.cost.as_usd());
    let limits: Vec<u64> = conditions.accounts.iter().map(|account| account.itpm).collect();
    let rows: Vec<Row> = wanted
        .into_iter()
        .zip(outcomes)
        .map(|(policy, outcome)| Row {
            policy,
            cost_ratio: if base > 0.0 { outcome.cost.as_usd() / base } else { 1.0 },
            spread: if policy.is_bound() { 0.0 } else { outcome.spread(&limits) },
            outcome,
        })
        .collect();
    let invalid = faults(scenario, &rows);
    Comparison { scenario: scenario.to_owned(), seed, rows, invalid }
}

fn run_all(
    policies: &[Policy],
    trace: &Trace,
    conditions: &Conditions,
    seed: u64,
    tell: &(dyn Fn() + Sync),
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Outcome>> = policies.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(policies.len()) {
            scope.spawn(|| {
                while let Some((policy, slot)) = {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    policies.get(n).zip(done.get(n))
                } {
                    *slot.lock() = policy.run(trace, conditions, seed, tell);
                }
            });
        }
    });
    done.into_iter().map(Mutex::into_inner).collect()
}

/// A band that a baseline must lie in for the model to be that of the study (routing, section 2).
struct Band {
    scenario: &'static str,
    policy: Policy,
    what: &'static str,
    of: fn(&Row) -> f64,
    from: f64,
    to: f64,
}

const fn ratio(row: &Row) -> f64 {
    row.cost_ratio
}

#[expect(clippy::cast_precision_loss, reason = "a count of events")]
const fn storms(row: &Row) -> f64 {
    row.outcome.client_429 as f64
}

fn hits(row: &Row) -> f64 {
    row.outcome.hit_rate()
}

const BANDS: &[Band] = &[
    Band {
        scenario: "team50",
        policy: Policy::RoundRobin,
        what: "cost ratio",
        of: ratio,
        from: 3.3,
        to: 4.2,
    },
    Band {
        scenario: "team50",
        policy: Policy::Compulsory,
        what: "cost ratio",
        of: ratio,
        from: 0.85,
        to: 0.93,
    },
    Band { scenario: "team50", policy: Policy::Oracle5m, what: "hit rate", of: hits, from: 0.92, to: 0.95 },
    Band { scenario: "tight100", policy: Policy::Oracle5m, what: "hit rate", of: hits, from: 0.92, to: 0.95 },
    Band {
        scenario: "tight100",
        policy: Policy::Rendezvous,
        what: "cost ratio",
        of: ratio,
        from: 2.0,
        to: f64::INFINITY,
    },
    Band {
        scenario: "tight100",
        policy: Policy::Rendezvous,
        what: "client 429s",
        of: storms,
        from: 10_000.0,
        to: f64::INFINITY,
    },
];

fn faults(scenario: &str, rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        if row.outcome.unfinished {
            faults.push(format!("{} did not come to its end", row.policy.label()));
        }
        for band in BANDS.iter().filter(|band| band.scenario == scenario && band.policy == row.policy) {
            let value = (band.of)(row);
            if !(band.from..=band.to).contains(&value) {
                let policy = row.policy.label();
                let (what, from, to) = (band.what, band.from, band.to);
                faults.push(format!("{policy}: {what} {value:.3} is not within {from} to {to}"));
            }
        }
    }
    faults
}
