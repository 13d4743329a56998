//! The only reader of the wall clock.
//!
//! Everything below `proxy` takes `now` as an argument, so that it can be tested and simulated in
//! virtual time. A [`Moment`] is monotonic; [`UnixTime`] is for people, receipts and headers.

use std::{
    ops::{Add, Sub},
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point on the process's monotonic clock, in nanoseconds since its start.
///
/// An integer and not `std::time::Instant`, so that state machines can publish it in an atomic and
/// virtual time can begin at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// A moment `nanos` nanoseconds after the start of the clock.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A moment `millis` milliseconds after the start of the clock.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start of the clock.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How long until `later`; zero when it has passed.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds and nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub Duration);

impl UnixTime {
    /// Reads RFC 3339 with its zone, such as `2027-01-31T00:00:00Z`; nothing before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        let seconds = u64::try_from(stamp.as_second()).ok()?;
        let nanos = u32::try_from(stamp.subsec_nanosecond()).ok()?;
        Some(Self(Duration::new(seconds, nanos)))
    }

    /// Whole milliseconds since 1970.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// RFC 3339 in UTC, to the second.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let seconds = i64::try_from(self.0.as_secs()).ok();
        let stamp = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        stamp.unwrap_or(jiff::Timestamp::MAX).to_string()
    }
}

static START: LazyLock<Instant> = LazyLock::new(start);

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the monotonic clock")]
fn start() -> Instant {
    Instant::now()
}

/// The present moment. The clock reads one hour at its first use, so that subtraction has room.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the monotonic clock")]
pub fn now() -> Moment {
    let start = *START;
    let spent = Instant::now().saturating_duration_since(start);
    Moment::from_millis(3_600_000) + spent
}

/// The present time of day.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn unix_now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_with_its_zone_only() {
        let at = UnixTime::parse("2027-01-31T01:00:00+01:00").unwrap();
        assert_eq!(at.rfc3339(), "2027-01-31T00:00:00Z");
        assert_eq!(UnixTime::parse(&at.rfc3339()), Some(at));
        for text in ["", "2027-01-31", "2027-01-31T00:00:00", "1969-12-31T23:59:59Z", "now"] {
            assert_eq!(UnixTime::parse(text), None, "{text}");
        }
        assert_eq!(UnixTime(Duration::MAX).rfc3339().get(..4), Some("9999"));
    }
}
