//! What is worth keeping of a rate domain over a restart, and worth telling other replicas: plain
//! values without a clock. No keys, no prompt text.

use serde::{Deserialize, Serialize};

/// One rate domain.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainFacts {
    /// Its name.
    pub domain: String,
    /// Its endpoints.
    pub endpoints: Vec<String>,
    /// The classes of models of which something is known.
    pub classes: Vec<ClassFacts>,
}

/// The limits of one class of models.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassFacts {
    /// The class.
    pub class: String,
    /// Milliseconds until it re-opens after a 429; 0 when it is open.
    pub open_in_ms: u64,
    /// Counted input per window, averaged.
    pub ewma: u64,
    /// Its limits, as far as they are known.
    pub limits: Vec<LimitFacts>,
}

/// One limit.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitFacts {
    /// `requests`, `tokens`, `input_tokens`, `output_tokens`.
    pub kind: String,
    /// The limit, per window.
    pub limit: u64,
    /// The provider itself named it; otherwise it is configured, which the reader may be otherwise.
    pub told: bool,
    /// What is left; output may be overdrawn.
    pub level: i64,
}
