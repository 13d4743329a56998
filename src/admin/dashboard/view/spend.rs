//! `spend`: one bill over all providers, from the ledger's file of this gateway.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Body, Fault, Query, json, ledger};
use crate::{
    clock::{self, Moment, UnixTime},
    live::Live,
    store::ledger::{Between, By, Line},
    types::NanoUsd,
};

/// Without a beginning.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What came just now counts, whoever's clock is a little ahead.
const AHEAD: Duration = Duration::from_secs(60);
/// Lines, unless asked for otherwise.
const TOP: u64 = 100;
/// And at most.
const MOST: u64 = 1_000;

#[derive(Serialize)]
struct Bill {
    /// Other gateways keep ledgers of their own, also where all are copied to one Postgres.
    of: &'static str,
    by: &'static str,
    since_unix: f64,
    until_unix: f64,
    lines: Vec<Sum>,
    total: Sum,
}

#[derive(Serialize)]
struct Sum {
    name: Option<String>,
    requests: u64,
    ok: u64,
    input: u64,
    cached_read: u64,
    cache_write: u64,
    output: u64,
    hit_rate: Option<f64>,
    usd: f64,
    billed_usd: f64,
    unpriced: u64,
    estimated: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Question {
    by: By,
    since: Option<f64>,
    until: Option<f64>,
    top: u32,
}

pub(super) async fn answer(live: &Arc<Live>, query: &str, now: Moment) -> Body {
    let question = read(query)?;
    let between = question.between(clock::unix_now())?;
    let find = async {
        let Question { by, top, .. } = question;
        let (lines, total) = ledger::ask(live, move |file| file.report(by, between, top)).await?;
        json(&Bill {
            of: "this gateway",
            by: by.label(),
            since_unix: between.0.0.as_secs_f64(),
            until_unix: between.1.0.as_secs_f64(),
            lines: lines.into_iter().map(Sum::of).collect(),
            total: Sum::of(total),
        })
    };
    live.asked.once(&format!("spend {question:?}"), now, find).await.map(|body| body.to_vec())
}

fn read(query: &str) -> Result<Question, Fault> {
    let params = Query::read(query, &["by", "since_unix", "until_unix", "top"])?;
    // By session there is the list of sessions.
    let ways: Vec<_> = By::ALL.iter().filter(|by| **by != By::Session).map(|by| (by.label(), *by)).collect();
    Ok(Question {
        by: params.word("by", &ways)?.unwrap_or(By::Key),
        since: params.seconds("since_unix")?,
        until: params.seconds("until_unix")?,
        top: u32::try_from(params.whole("top", 1..=MOST)?.unwrap_or(TOP)).unwrap_or(u32::MAX),
    })
}

impl Question {
    fn between(&self, now: UnixTime) -> Result<Between, Fault> {
        let at = |seconds: f64| UnixTime(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let until = self.until.map_or(UnixTime(now.0 + AHEAD), at);
        let since = self.since.map_or(UnixTime(until.0.min(now.0).saturating_sub(WEEK)), at);
        if since >= until {
            return Err(Fault::bad("`since_unix` is not before `until_unix`: there is nothing between them"));
        }
        Ok((since, until))
    }
}

impl Sum {
    fn of(line: Line) -> Self {
        Self {
            hit_rate: line.hit_rate(),
            name: line.name,
            requests: line.requests,
            ok: line.ok,
            input: line.input,
            cached_read: line.cached_read,
            cache_write: line.cache_write,
            output: line.output,
            usd: NanoUsd(line.charge).as_usd(),
            billed_usd: NanoUsd(line.billed).as_usd(),
            unpriced: line.unpriced,
            estimated: line.estimated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(Duration::from_secs(1_795_262_400));

    #[test]
    fn a_bill_is_of_the_last_week_unless_asked_for_otherwise() {
        let question = read("").unwrap();
        assert_eq!((question.by, question.top), (By::Key, 100));
        let (since, until) = question.between(NOW).unwrap();
        assert_eq!((NOW.0 - since.0, until.0 - NOW.0), (WEEK, AHEAD));
        let (since, until) =
            read("by=day&since_unix=10&until_unix=20.5&top=5").unwrap().between(NOW).unwrap();
        assert_eq!((since.as_millis(), until.as_millis()), (10_000, 20_500));
        // The week before what is the end.
        let (since, until) = read("until_unix=1000000").unwrap().between(NOW).unwrap();
        assert_eq!(until.0 - since.0, WEEK);
    }

    #[test]
    fn a_bill_of_nothing_is_refused() {
        assert!(read("since_unix=20&until_unix=20").unwrap().between(NOW).is_err());
        assert!(read("since_unix=99999999999").unwrap().between(NOW).is_err());
        for bad in ["by=session", "top=0", "top=1001", "since=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
