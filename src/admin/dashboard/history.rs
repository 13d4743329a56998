//! What happened, in columns of equal length: of the last minutes from memory, of days from the ledger.

use serde::Serialize;

use crate::types::{Counts, NanoUsd};

/// A place in every column for each step, the first first.
#[derive(Serialize, Default)]
pub(super) struct History {
    /// How long a step is.
    step_s: u64,
    at_unix: Vec<f64>,
    requests: Vec<u64>,
    failed: Vec<u64>,
    throttled: Vec<u64>,
    input: Vec<u64>,
    cached_read: Vec<u64>,
    written: Vec<u64>,
    output: Vec<u64>,
    usd: Vec<f64>,
    /// All of it so far; the others are what the step came to. Not known of what is in the ledger.
    saved_usd: Option<Vec<f64>>,
}

impl History {
    /// Without a step yet.
    pub(super) fn of_steps(step_s: u64) -> Self {
        Self { step_s, ..Self::default() }
    }

    /// One step more.
    pub(super) fn push(&mut self, at_unix: f64, counts: &Counts) {
        self.at_unix.push(at_unix);
        self.requests.push(counts.requests);
        self.failed.push(counts.failed);
        self.throttled.push(counts.throttled);
        self.input.push(counts.input);
        self.cached_read.push(counts.cached_read);
        self.written.push(counts.written);
        self.output.push(counts.output);
        self.usd.push(NanoUsd(counts.nano_usd).as_usd());
    }

    /// What was saved by the end of each step.
    pub(super) fn with_saved(self, saved_usd: Vec<f64>) -> Self {
        Self { saved_usd: Some(saved_usd), ..self }
    }
}
