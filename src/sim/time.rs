//! Virtual time: real time, run faster, and moved on by hand.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::{self, Moment, UnixTime};

/// The provider's clock.
#[derive(Debug)]
pub(super) struct Time {
    began: Moment,
    factor: f64,
    ahead_nanos: AtomicU64,
}

impl Time {
    /// A clock that runs `factor` times faster than the real one.
    pub(super) fn new(factor: f64) -> Self {
        let factor = if factor.is_finite() && factor > 0.0 { factor } else { 1.0 };
        Self { began: clock::now(), factor, ahead_nanos: AtomicU64::new(0) }
    }

    /// How many times faster than real time this runs.
    pub(super) const fn factor(&self) -> f64 {
        self.factor
    }

    /// The present, in virtual time.
    pub(super) fn now(&self) -> Moment {
        let real = clock::now().since(self.began);
        self.began
            + real.mul_f64(self.factor)
            + Duration::from_nanos(self.ahead_nanos.load(Ordering::Acquire))
    }

    /// Jumps ahead by so much virtual time.
    pub(super) fn advance(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.ahead_nanos.fetch_add(nanos, Ordering::AcqRel);
    }

    /// How much real time a virtual span takes.
    pub(super) fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.factor)
    }
}

/// The time of day after a span, for headers: RFC 3339, whole seconds, rounded up.
pub(super) fn rfc3339(now: UnixTime, span: Duration) -> String {
    let at = now.0.saturating_add(span);
    let seconds = at.as_secs() + u64::from(at.subsec_nanos() > 0);
    let stamp = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    stamp.map(|stamp| stamp.to_string()).unwrap_or_default()
}

/// Whole seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    clock::unix_now().0.as_secs()
}

/// A span as Go writes it: `6m0s`, `1.5s`, `20ms`, `0s`.
pub(super) fn go_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = if rest.is_multiple_of(1_000) {
        format!("{}s", rest / 1_000)
    } else {
        let decimals = format!("{:03}", rest % 1_000);
        format!("{}.{}s", rest / 1_000, decimals.trim_end_matches('0'))
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_go_writes_them() {
        let of = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(of(0), "0s");
        assert_eq!(of(20), "20ms");
        assert_eq!(of(1_000), "1s");
        assert_eq!(of(1_500), "1.5s");
        assert_eq!(of(360_000), "6m0s");
        assert_eq!(of(3_661_000), "1h1m1s");
    }

    #[test]
    fn resets_are_rounded_up_to_the_second() {
        assert_eq!(
            rfc3339(UnixTime(Duration::from_millis(1_500)), Duration::from_secs(1)),
            "1970-01-01T00:00:03Z"
        );
    }

    #[test]
    fn advancing_moves_only_virtual_time() {
        let time = Time::new(1.0);
        let before = time.now();
        time.advance(Duration::from_secs(300));
        assert!(time.now().since(before) >= Duration::from_secs(300));
        assert_eq!(time.real(Duration::from_secs(4)), Duration::from_secs(4));
        assert_eq!(Time::new(4.0).real(Duration::from_secs(4)), Duration::from_secs(1));
        assert_eq!(Time::new(0.0).real(Duration::from_secs(4)), Duration::from_secs(4));
    }
}
