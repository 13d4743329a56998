//! Whether an endpoint can be used, as a value.

use crate::clock::Moment;

/// Whether a request may go to an endpoint now, and if not, until when or why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// Yes.
    Ready,
    /// Yes: as the one trial after failures.
    HalfOpen,
    /// Yes, but something speaks against its key and a check is due: better elsewhere.
    Suspect,
    /// Its key is suspect, and as many requests are out on it as may be.
    SuspectBusy,
    /// Its rate domain re-opens, one start at a time; the next one then.
    Paced {
        /// The next start.
        until: Moment,
    },
    /// Its rate domain (or it alone, by an operator's word) cools until then.
    Cooling {
        /// The deadline.
        until: Moment,
    },
    /// Its rate domain's limits do not leave enough before then, by our own reckoning.
    Short {
        /// When they may.
        until: Moment,
    },
    /// Its failure domain is out until then.
    FailureOpen {
        /// The next trial.
        until: Moment,
    },
    /// Its failure domain is on trial.
    TrialBusy,
    /// It may not serve this model; asked again then.
    Barred {
        /// The next attempt.
        until: Moment,
    },
    /// What may be spent there is spent until then.
    Spent {
        /// The end of the budget's period.
        until: Moment,
    },
    /// Its own health path says no.
    Unhealthy,
    /// Our own check of its key failed.
    Quarantined,
    /// The token that lets it in did not come yet, or has expired and could not be renewed.
    NoToken,
    /// An operator took it out.
    Drained,
}

impl Availability {
    /// A request may go there.
    #[must_use]
    pub const fn usable(self) -> bool {
        matches!(self, Self::Ready | Self::HalfOpen | Self::Suspect)
    }

    /// A request may go there, and nothing speaks against its key.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Ready | Self::HalfOpen)
    }

    /// When a state that is not about limits may end: zero for what is decided within moments.
    #[must_use]
    pub const fn ends(self) -> Option<Moment> {
        match self {
            Self::FailureOpen { until } | Self::Barred { until } | Self::Spent { until } => Some(until),
            Self::TrialBusy | Self::SuspectBusy => Some(Moment::ZERO),
            Self::Ready
            | Self::HalfOpen
            | Self::Suspect
            | Self::Short { .. }
            | Self::Paced { .. }
            | Self::Cooling { .. }
            | Self::Unhealthy
            | Self::Quarantined
            | Self::NoToken
            | Self::Drained => None,
        }
    }

    /// When its limits let the next request start: only for rate limits, the one state that is
    /// worth waiting for.
    #[must_use]
    pub const fn reopens(self) -> Option<Moment> {
        match self {
            Self::Paced { until } | Self::Cooling { until } | Self::Short { until } => Some(until),
            Self::Ready
            | Self::HalfOpen
            | Self::Suspect
            | Self::SuspectBusy
            | Self::FailureOpen { .. }
            | Self::TrialBusy
            | Self::Barred { .. }
            | Self::Spent { .. }
            | Self::Unhealthy
            | Self::Quarantined
            | Self::NoToken
            | Self::Drained => None,
        }
    }
}
