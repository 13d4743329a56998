//! Every way to say no.
//!
//! A denial is an ordinary outcome of the product. It knows its status, its label, whose fault it is
//! and when to come back; `reply` writes it in the caller's dialect. Messages say what was wrong and
//! what to do; they never quote a prompt or a secret.

use std::time::Duration;

use crate::{
    quota::Refusal,
    types::{Blame, Reason},
};

/// A no, ready to be written in any dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Denial {
    /// The label.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// When it is worth coming back.
    pub retry_after: Option<Duration>,
    /// The connection cannot be used again (the body was not read).
    pub close: bool,
    /// The methods that are allowed, where another one was used.
    pub allow: Option<String>,
    /// Trying again does not help: clients are told so.
    pub is_final: bool,
    /// The limit or budget that was in the way.
    pub refusal: Option<Box<Refusal>>,
}

/// Claude Code gives up at once above this, so nobody is ever told to wait longer.
pub(crate) const LONGEST_RETRY_AFTER: u64 = 60;

impl Denial {
    /// A no without a time to come back.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            close: false,
            allow: None,
            is_final: false,
            refusal: None,
        }
    }

    /// A no with a time to come back.
    pub(crate) fn retry(reason: Reason, after: Duration, message: impl Into<String>) -> Self {
        Self { retry_after: Some(after), ..Self::new(reason, message) }
    }

    /// A limit or a budget has no room. A fleet must not poll an empty budget all night, so only a
    /// limit says when to come back.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        let reason = if refusal.is_budget() { Reason::BudgetExceeded } else { Reason::LimitReached };
        let message = refusal.message();
        Self {
            retry_after: refusal.retry_after,
            is_final: !refusal.may_retry(),
            refusal: Some(Box::new(refusal)),
            ..Self::new(reason, message)
        }
    }

    /// The same no, given before the body was read.
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        match self.reason {
            Reason::BadRequest | Reason::WrongDialect | Reason::Untranslatable => 400,
            Reason::Unauthenticated => 401,
            Reason::Forbidden => 403,
            Reason::UnknownPath | Reason::UnknownModel | Reason::UnknownObject => 404,
            Reason::MethodNotAllowed => 405,
            Reason::UploadTimeout => 408,
            Reason::OwnerGone => 409,
            Reason::BodyTooLarge => 413,
            Reason::UnsupportedMedia => 415,
            Reason::HeadersTooLarge => 431,
            Reason::RateLimited | Reason::LimitReached | Reason::BudgetExceeded => 429,
            Reason::ClientGone | Reason::ClientStalled => 499,
            Reason::Internal => 500,
            Reason::UpstreamError | Reason::UpstreamUnreachable | Reason::StreamBroken => 502,
            Reason::UpstreamTimeout => 504,
            Reason::KeysUnready
            | Reason::BuffersFull
            | Reason::WaitersFull
            | Reason::NoEndpoint
            | Reason::AccountsSpent
            | Reason::LedgerFull
            | Reason::UpstreamAuth
            | Reason::Draining => 503,
        }
    }

    /// Whole seconds for `retry-after`: at least 1, at most [`LONGEST_RETRY_AFTER`].
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(retry_after_seconds)
    }
}

/// Whose fault a reason is.
pub(crate) const fn blame(reason: Reason) -> Blame {
    match reason {
        Reason::UnknownPath
        | Reason::MethodNotAllowed
        | Reason::Unauthenticated
        | Reason::Forbidden
        | Reason::BadRequest
        | Reason::UnsupportedMedia
        | Reason::HeadersTooLarge
        | Reason::BodyTooLarge
        | Reason::UploadTimeout
        | Reason::UnknownModel
        | Reason::WrongDialect
        | Reason::Untranslatable
        | Reason::UnknownObject
        | Reason::LimitReached
        | Reason::BudgetExceeded
        | Reason::ClientGone
        | Reason::ClientStalled => Blame::Caller,
        Reason::KeysUnready
        | Reason::OwnerGone
        | Reason::BuffersFull
        | Reason::WaitersFull
        | Reason::AccountsSpent
        | Reason::LedgerFull
        | Reason::Draining
        | Reason::Internal => Blame::Gateway,
        Reason::RateLimited
        | Reason::NoEndpoint
        | Reason::UpstreamAuth
        | Reason::UpstreamUnreachable
        | Reason::UpstreamError
        | Reason::UpstreamTimeout
        | Reason::StreamBroken => Blame::Upstream,
    }
}

/// Whole seconds, at least 1 (zero would mean a storm), at most [`LONGEST_RETRY_AFTER`].
pub(crate) fn retry_after_seconds(after: Duration) -> u64 {
    let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    whole.clamp(1, LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds_between_one_and_sixty() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_500, 60), (86_400_000, 60)] {
            let denial = Denial::retry(Reason::RateLimited, Duration::from_millis(millis), "later");
            assert_eq!(denial.retry_after_seconds(), Some(seconds), "{millis} ms");
        }
    }

    #[test]
    fn every_reason_has_an_error_status() {
        for &reason in Reason::ALL {
            assert!((400..600).contains(&Denial::new(reason, "").status()), "{reason}");
        }
    }
}
