//! What a level may use: limits by the minute, budgets by the period.
//!
//! Levels are organisation (= tenant), team, key and session; all of them must admit a request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// Limits of one level. What is absent is not limited.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in any 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens in any 60 s, input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Input tokens in any 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub itpm: Option<u64>,
    /// Output tokens in any 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otpm: Option<u64>,
    /// Whether input read from the provider's cache counts in `tpm` and `itpm`. Not counted unless
    /// asked for, as Anthropic does it: a warm session costs its provider little.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub count_cached: bool,
    /// Requests under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
    /// Sessions that have said something within [`SESSION_ACTIVE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Turns of one session, over its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
}

/// A session counts as one of a level's concurrent sessions for so long after its last request.
pub const SESSION_ACTIVE: Duration = Duration::from_secs(300);

/// What a budget is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nano-dollars.
    Usd,
    /// Tokens, input and output, cached ones too.
    Tokens,
}

/// Over what a budget runs. Periods begin in UTC: the hour, midnight, Monday, the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour of the clock.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month of the calendar.
    Month,
    /// All time.
    Total,
}

/// One budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Budget {
    /// What it is in.
    pub unit: Unit,
    /// How much: nano-dollars or tokens, by `unit`. Never 0: whoever may spend nothing is disabled.
    pub amount: u64,
    /// Over what.
    pub per: Period,
    /// It warns and lets pass.
    pub soft: bool,
}

/// Limits and budgets of one level.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Allowance {
    /// By the minute.
    pub limits: Limits,
    /// By the period.
    pub budgets: Vec<Budget>,
    /// What each of its sessions may spend.
    pub session_budgets: Vec<Budget>,
}

/// Who goes first where several wait for one account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Nobody waits: goes when no interactive request does.
    Batch,
}

/// One period of a budget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// Its first second, since 1970; 0 for all time.
    pub from: u64,
    /// The first second that no longer belongs to it; `u64::MAX` for all time.
    pub until: u64,
}

impl Period {
    /// Every period, for tables and tests.
    pub const ALL: &[Self] = &[Self::Hour, Self::Day, Self::Week, Self::Month, Self::Total];

    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The one that `now` lies in.
    #[must_use]
    pub fn at(self, now: UnixTime) -> Span {
        const HOUR: u64 = 3_600;
        const DAY: u64 = 24 * HOUR;
        const WEEK: u64 = 7 * DAY;
        let now = now.0.as_secs();
        let fixed = |length: u64, offset: u64| {
            let from = (now + offset) / length * length;
            Span { from: from.saturating_sub(offset), until: from + length - offset }
        };
        match self {
            Self::Hour => fixed(HOUR, 0),
            Self::Day => fixed(DAY, 0),
            // 1 January 1970 was a Thursday: three days after a Monday.
            Self::Week => fixed(WEEK, 3 * DAY),
            Self::Month => {
                let (year, month) = civil_month(now / DAY);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                Span { from: days_before(year, month) * DAY, until: days_before(next.0, next.1) * DAY }
            }
            Self::Total => Span { from: 0, until: u64::MAX },
        }
    }
}

impl Unit {
    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
        }
    }
}

/// Year and month of a day since 1970, in the Gregorian calendar.
fn civil_month(day: u64) -> (u64, u64) {
    let mut year = 1970 + day / 366;
    while days_before(year + 1, 1) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_before(year, month + 1) <= day {
        month += 1;
    }
    (year, month)
}

/// Days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    const CUMULATED: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let in_year = usize::try_from(month - 1).ok().and_then(|at| CUMULATED.get(at)).copied().unwrap_or(0);
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + in_year + u64::from(is_leap && month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixTime {
        let stamp: jiff::Timestamp = text.parse().expect("a timestamp");
        UnixTime(Duration::from_secs(u64::try_from(stamp.as_second()).expect("after 1970")))
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        for (period, now, from, until) in [
            (Period::Hour, "2026-11-21T19:41:05Z", "2026-11-21T19:00:00Z", "2026-11-21T20:00:00Z"),
            (Period::Day, "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
            (Period::Week, "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Period::Week, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Period::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Period::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2100-02-28T12:00:00Z", "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"),
        ] {
            let span = period.at(at(now));
            assert_eq!(span.from, at(from).0.as_secs(), "{period:?} at {now} begins");
            assert_eq!(span.until, at(until).0.as_secs(), "{period:?} at {now} ends");
        }
    }

    #[test]
    fn every_second_lies_in_its_own_period_and_periods_join() {
        for day in 0..60_000_u64 {
            let now = UnixTime(Duration::from_secs(day * 86_400 + day % 86_400));
            for &period in Period::ALL {
                let span = period.at(now);
                assert!(span.from <= now.0.as_secs() && now.0.as_secs() < span.until, "{period:?} {day}");
                if period != Period::Total {
                    let next = period.at(UnixTime(Duration::from_secs(span.until)));
                    assert_eq!(next.from, span.until, "{period:?} {day}");
                }
            }
        }
    }
}
