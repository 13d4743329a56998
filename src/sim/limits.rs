//! The provider's limits: token buckets, refilled continuously.
//!
//! Owns the levels of each (organisation, model class). Anthropic has three buckets: requests, input
//! tokens (cache reads do *not* count), output tokens (taken as they are produced, so a level may sink
//! below zero). OpenAI has two: requests and all tokens, cached ones included.

use std::time::Duration;

use crate::clock::Moment;

/// A bucket that holds one minute's worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// A minute's worth; 0 is unlimited.
    limit: u64,
    /// May be negative: output is taken as it is produced.
    level: f64,
    at: Moment,
}

/// What a bucket shows in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until it is full again.
    pub(super) full_in: Duration,
}

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    pub(super) fn new(limit: u64, now: Moment) -> Self {
        Self { limit, level: limit as f64, at: now }
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    fn refill(&mut self, now: Moment) {
        let limit = self.limit as f64;
        self.level = (self.level + now.since(self.at).as_secs_f64() * limit / 60.0).min(limit);
        self.at = self.at.max(now);
    }

    /// How long until `amount` is there; zero when it is. `None`: it never will be.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub(super) fn wait_for(&mut self, amount: u64, now: Moment) -> Option<Duration> {
        if self.limit == 0 {
            return Some(Duration::ZERO);
        }
        if amount > self.limit {
            return None;
        }
        self.refill(now);
        let missing = amount as f64 - self.level;
        // A hair of rounding must not turn into a refusal.
        if missing <= 1e-6 {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_secs_f64(missing * 60.0 / self.limit as f64))
    }

    /// Takes `amount`, whether it is there or not.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub(super) fn take(&mut self, amount: u64, now: Moment) {
        if self.limit > 0 {
            self.refill(now);
            self.level -= amount as f64;
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped to 0..=limit"
    )]
    pub(super) fn read(&mut self, now: Moment) -> Reading {
        self.refill(now);
        let limit = self.limit as f64;
        let missing = (limit - self.level).max(0.0);
        let full_in =
            if self.limit == 0 { Duration::ZERO } else { Duration::from_secs_f64(missing * 60.0 / limit) };
        Reading { limit: self.limit, remaining: self.level.clamp(0.0, limit) as u64, full_in }
    }
}

/// The limits of one organisation for one class of models.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) requests: Bucket,
    pub(super) input: Bucket,
    pub(super) output: Bucket,
}

/// Why a provider did not take a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Come back after this.
    Wait {
        /// `requests`, `input tokens`, `output tokens`.
        what: &'static str,
        /// Virtual time.
        span: Duration,
    },
    /// The request alone is larger than the limit.
    Never {
        /// The limit in question.
        limit: u64,
    },
    /// The whole provider has too much to do: 529 (Anthropic), 503 (OpenAI).
    Overloaded,
    /// The account cannot be reached.
    Unavailable,
}

impl Refused {
    /// What `retry-after` says, where it is said: whole seconds, rounded up.
    #[must_use]
    pub const fn retry_after(self) -> Option<u64> {
        match self {
            Self::Wait { span, .. } => Some(seconds_up(span)),
            Self::Never { .. } | Self::Overloaded | Self::Unavailable => None,
        }
    }
}

/// Whole seconds, at least one.
pub(super) const fn seconds_up(span: Duration) -> u64 {
    let seconds = span.as_secs() + (span.subsec_nanos() > 0) as u64;
    if seconds == 0 { 1 } else { seconds }
}

impl Limits {
    pub(super) fn new(rpm: u64, input: u64, output: u64, now: Moment) -> Self {
        Self {
            requests: Bucket::new(rpm, now),
            input: Bucket::new(input, now),
            output: Bucket::new(output, now),
        }
    }

    /// Lets a request with so many counted input tokens in, or says why not. A refused request takes
    /// nothing.
    pub(super) fn admit(&mut self, input: u64, now: Moment) -> Result<(), Refused> {
        let never = Refused::Never { limit: self.input.limit };
        let waits = [
            ("requests", self.requests.wait_for(1, now)),
            ("input tokens", self.input.wait_for(input, now)),
            ("output tokens", self.output.wait_for(1, now)),
        ];
        let mut worst: Option<(&'static str, Duration)> = None;
        for (what, wait) in waits {
            let span = wait.ok_or(never)?;
            if !span.is_zero() && worst.is_none_or(|(_, longest)| span > longest) {
                worst = Some((what, span));
            }
        }
        if let Some((what, span)) = worst {
            return Err(Refused::Wait { what, span });
        }
        self.requests.take(1, now);
        self.input.take(input, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Moment = Moment::from_millis(1_000);

    #[test]
    fn a_spent_bucket_refills_continuously() {
        let mut limits = Limits::new(60, 0, 0, T0);
        for _ in 0..60 {
            limits.admit(0, T0).unwrap();
        }
        let refused = Refused::Wait { what: "requests", span: Duration::from_secs(1) };
        assert_eq!(limits.admit(0, T0), Err(refused));
        assert_eq!(limits.admit(0, T0 + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_refused_request_takes_nothing_from_any_bucket() {
        let mut limits = Limits::new(10, 1_000, 0, T0);
        limits.admit(900, T0).unwrap();
        assert!(limits.admit(200, T0).is_err());
        assert_eq!(limits.requests.read(T0).remaining, 9);
        assert_eq!(limits.input.read(T0).remaining, 100);
    }

    #[test]
    fn a_request_larger_than_the_whole_limit_is_told_that_waiting_is_useless() {
        let mut limits = Limits::new(10, 1_000, 0, T0);
        assert_eq!(limits.admit(1_001, T0), Err(Refused::Never { limit: 1_000 }));
    }

    #[test]
    fn output_is_taken_as_it_is_produced_and_may_sink_below_zero() {
        let mut limits = Limits::new(10, 0, 600, T0);
        limits.output.take(700, T0);
        assert_eq!(limits.output.read(T0).remaining, 0);
        let Err(Refused::Wait { what, span }) = limits.admit(5, T0) else { panic!("was let in") };
        assert_eq!((what, span), ("output tokens", Duration::from_millis(10_100)));
    }

    #[test]
    fn the_reset_is_the_time_of_full_replenishment() {
        let mut limits = Limits::new(60, 0, 0, T0);
        limits.admit(0, T0).unwrap();
        limits.admit(0, T0).unwrap();
        assert_eq!(limits.requests.read(T0).full_in, Duration::from_secs(2));
    }

    #[test]
    fn zero_is_unlimited() {
        let mut limits = Limits::new(0, 0, 0, T0);
        for _ in 0..1_000 {
            limits.admit(1 << 40, T0).unwrap();
        }
    }
}
