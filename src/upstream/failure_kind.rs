//! What can go wrong at an endpoint, and what booking it did.

use std::time::Duration;

use super::{classify::RateLimit, key::KeyTrouble};
use crate::{clock::Moment, types::AttemptOutcome};

/// Why a try at an endpoint failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection.
    Connect,
    /// No first byte in time, or silence before content.
    Timeout,
    /// The connection broke before content.
    Broken,
    /// A pooled connection that the provider had closed already: no penalty.
    Stale,
    /// A 5xx other than overload, or an error event in place of content.
    ServerError,
    /// 529, 503: no capacity.
    Overloaded {
        /// For how long to stay away, if it was said.
        retry_after: Option<Duration>,
    },
    /// A 429.
    RateLimited {
        /// What it said.
        limit: RateLimit,
        /// Another rate domain has refused this very request with a 429 before: then it is the
        /// request, and nothing more is cooled.
        refused_elsewhere: bool,
    },
    /// Something speaks against the key.
    Key(KeyTrouble),
    /// The key may not use this model.
    ModelBarred,
}

impl Failure {
    /// How receipts and metrics call it.
    #[must_use]
    pub const fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Connect => AttemptOutcome::ConnectError,
            Self::Timeout => AttemptOutcome::Timeout,
            Self::Broken => AttemptOutcome::Broken,
            Self::Stale => AttemptOutcome::Stale,
            Self::ServerError => AttemptOutcome::ServerError,
            Self::Overloaded { .. } => AttemptOutcome::Overloaded,
            Self::RateLimited { .. } => AttemptOutcome::RateLimited,
            Self::Key(_) | Self::ModelBarred => AttemptOutcome::Unauthorized,
        }
    }
}

/// What booking a failure did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Effect {
    /// The rate domain cools until then.
    pub cooled_until: Option<Moment>,
    /// It cools for longer than `cooling.warn_above`: an operator should hear of it.
    pub long: bool,
    /// The failure domain was opened by this.
    pub opened: bool,
    /// The key is suspect and no check is running: claim one and make it.
    pub check_key: bool,
    /// The model is barred at this endpoint until then.
    pub barred_until: Option<Moment>,
    /// It is the caller's own doing: nothing was booked.
    pub callers_own: bool,
}
