//! When a provider says that we may come back. Pure parsing, no decision.
//!
//! In this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date), else the reset time of
//! the buckets that are empty: RFC 3339 at Anthropic, a Go duration (`6m0s`, `20ms`) at OpenAI.
//! A reset is when the bucket is *full* again, so it errs on the late side; it is only asked when
//! nothing better was said. Nonsense is skipped and reported as such, never guessed at.

use std::time::Duration;

use http::HeaderMap;

use super::headroom::{Bucket, buckets};
use crate::clock::UnixTime;

/// Nobody means more than this (providers: enforced spend limits end with the month).
const LONGEST: Duration = Duration::from_secs(32 * 24 * 3600);

/// What the headers said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// How long to stay away.
    pub(super) wait: Option<Duration>,
    /// A header that should have said it could not be understood.
    pub(super) garbage: bool,
}

/// Reads `headers`, received at `now`.
pub(super) fn read(headers: &HeaderMap, now: UnixTime) -> Said {
    let mut garbage = false;
    let mut direct = |name: &str, parse: fn(&str, UnixTime) -> Option<Duration>| {
        let value = headers.get(name)?;
        let wait = value.to_str().ok().and_then(|text| parse(text.trim(), now));
        garbage |= wait.is_none();
        wait.map(|wait| wait.min(LONGEST))
    };
    let said = direct("retry-after-ms", |text, _| millis(text));
    if let Some(wait) = said.or_else(|| direct("retry-after", seconds_or_date)) {
        return Said { wait: Some(wait), garbage };
    }
    let mut wait = None;
    for bucket in buckets(headers).filter(|bucket| bucket.remaining == Some(0)) {
        match bucket.reset.map(|text| reset(text, now)) {
            Some(Some(span)) => wait = wait.max(Some(span.min(LONGEST))),
            Some(None) => garbage = true,
            None => {}
        }
    }
    Said { wait, garbage }
}

/// The first bucket that is empty.
pub(super) fn exhausted(headers: &HeaderMap) -> Option<Bucket<'_>> {
    buckets(headers).find(|bucket| bucket.remaining == Some(0))
}

fn millis(text: &str) -> Option<Duration> {
    span(text, 1e-3)
}

fn seconds_or_date(text: &str, now: UnixTime) -> Option<Duration> {
    span(text, 1.0).or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(until(date.timestamp(), now))
    })
}

fn reset(text: &str, now: UnixTime) -> Option<Duration> {
    let text = text.trim();
    go_duration(text).or_else(|| Some(until(text.parse().ok()?, now)))
}

/// A full bucket's reset is the time of the answer, in whole seconds, and an answer may be slow.
const PAST: Duration = Duration::from_secs(60);
/// Limits that headers tell of are per minute.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Whether a bucket's reset is a time that can be meant: not over for long, nor hours away. `None`:
/// it is no time.
pub(super) fn is_sane(text: &str, now: UnixTime) -> Option<bool> {
    let text = text.trim();
    if let Some(span) = go_duration(text) {
        return Some(span <= AHEAD);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    let at = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    Some(at + PAST >= now.0 && at <= now.0 + AHEAD)
}

/// A plain non-negative number of `unit` seconds.
fn span(text: &str, unit: f64) -> Option<Duration> {
    if text.len() > 24 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let seconds = text.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).ok()
}

fn until(at: jiff::Timestamp, now: UnixTime) -> Duration {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
    Duration::new(seconds, nanos).saturating_sub(now.0)
}

/// Reads what Go prints for a duration: numbers with `h`, `m`, `s`, `ms`, `us`, `ns`, summed up.
fn go_duration(text: &str) -> Option<Duration> {
    if text.is_empty() || text.len() > 48 {
        return None;
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    Duration::try_from_secs_f64(sum.min(LONGEST.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21T12:00:00Z
    const NOW: UnixTime = UnixTime(Duration::from_secs(1_795_262_400));

    fn said(pairs: &[(&str, &str)]) -> Said {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        read(&headers, NOW)
    }

    fn wait(pairs: &[(&str, &str)]) -> Option<Duration> {
        said(pairs).wait
    }

    #[test]
    fn milliseconds_come_first_then_seconds_then_dates() {
        let ms = Duration::from_millis;
        assert_eq!(wait(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(ms(1_500)));
        assert_eq!(wait(&[("retry-after", "9")]), Some(ms(9_000)));
        assert_eq!(wait(&[("retry-after", "0.25")]), Some(ms(250)));
        assert_eq!(wait(&[("retry-after", "0")]), Some(ms(0)));
        assert_eq!(wait(&[("retry-after", "Sat, 21 Nov 2026 12:00:30 GMT")]), Some(ms(30_000)));
        assert_eq!(wait(&[("retry-after", "Sat, 21 Nov 2026 11:00:00 GMT")]), Some(ms(0)), "it has passed");
    }

    #[test]
    fn the_empty_buckets_reset_counts_where_nothing_else_was_said() {
        assert_eq!(
            wait(&[
                ("anthropic-ratelimit-requests-remaining", "12"),
                ("anthropic-ratelimit-requests-reset", "2026-11-21T13:00:00Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-21T12:00:07Z"),
            ]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            wait(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")]),
            Some(Duration::from_secs(360))
        );
        assert_eq!(
            wait(&[("x-ratelimit-remaining-tokens", "5"), ("x-ratelimit-reset-tokens", "6m0s")]),
            None
        );
    }

    #[test]
    fn go_durations_are_sums() {
        for (text, millis) in
            [("1s", 1_000), ("6m0s", 360_000), ("20ms", 20), ("1h2m3.5s", 3_723_500), ("1.5h", 5_400_000)]
        {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1", "1x", "-1s", "1s ", "1m1", "1..2s", "١s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn nonsense_is_skipped_and_reported() {
        for text in ["", "-1", "soon", "NaN", "inf", "1e9", "1,5", "99999999999999999999999999"] {
            let said = said(&[("retry-after", text)]);
            assert_eq!(said, Said { wait: None, garbage: true }, "{text}");
        }
        let said = said(&[("retry-after-ms", "x"), ("retry-after", "3")]);
        assert_eq!(said, Said { wait: Some(Duration::from_secs(3)), garbage: true });
    }

    #[test]
    fn absurd_times_are_clamped() {
        assert_eq!(wait(&[("retry-after", "99999999999")]), Some(LONGEST));
        assert_eq!(wait(&[("retry-after", "Thu, 31 Dec 9998 23:59:59 GMT")]), Some(LONGEST));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_exceeds_the_clamp(text in "[ -~]{0,64}") {
            for name in ["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens",
                         "anthropic-ratelimit-requests-reset"] {
                let said = said(&[(name, &text), ("x-ratelimit-remaining-tokens", "0"),
                                  ("anthropic-ratelimit-requests-remaining", "0")]);
                prop_assert!(said.wait.is_none_or(|wait| wait <= LONGEST));
            }
        }

        #[test]
        fn durations_that_go_prints_are_read(h in 0u64..100, m in 0u64..60, s in 0u64..60, ms in 0u64..1000) {
            let read = go_duration(&format!("{h}h{m}m{s}s{ms}ms")).unwrap();
            let want = Duration::from_millis(((h * 60 + m) * 60 + s) * 1000 + ms);
            prop_assert!(read.abs_diff(want.min(LONGEST)) < Duration::from_millis(1));
        }
    }
}
