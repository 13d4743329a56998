//! `history?hours=..`: what became of requests over hours and days, from the ledger.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Body, Fault, Query, json, ledger};
use crate::{
    clock::{self, Moment, UnixTime},
    live::Live,
    store::ledger::Step,
    types::NanoUsd,
};

const HOUR: u64 = 3_600;

/// Columns of equal length: a step each, the first first.
#[derive(Serialize, Default)]
struct History {
    step_s: u64,
    /// When each begins.
    at_unix: Vec<u64>,
    requests: Vec<u64>,
    failed: Vec<u64>,
    throttled: Vec<u64>,
    input: Vec<u64>,
    cached_read: Vec<u64>,
    written: Vec<u64>,
    output: Vec<u64>,
    usd: Vec<f64>,
    /// What staying warm saved is not in the ledger.
    saved_usd: Option<Vec<f64>>,
}

pub(super) async fn answer(live: &Arc<Live>, query: &str, now: Moment) -> Body {
    let hours = Query::read(query, &["hours"])?.whole("hours", 1..=720)?;
    let Some(hours) = hours else {
        return Err(Fault::bad("`history` takes `minutes` from 1 to 15, or `hours` from 1 to 720"));
    };
    let find = async {
        let (first, count, step) = grid(hours, clock::unix_now());
        let last = first + count * step;
        let between = (at(first), at(last));
        let steps = ledger::ask(live, move |file| file.timeline(between, Duration::from_secs(step))).await?;
        json(&History::of(first, count, step, &steps))
    };
    live.asked.once(&format!("history {hours}"), now, find).await.map(|body| body.to_vec())
}

const fn at(seconds: u64) -> UnixTime {
    UnixTime(Duration::from_secs(seconds))
}

/// The first second, the number of steps and their length: the last one holds the present.
fn grid(hours: u64, now: UnixTime) -> (u64, u64, u64) {
    let step = match hours {
        ..=6 => 60,
        7..=24 => 300,
        25.. => HOUR,
    };
    let count = (hours * HOUR).div_ceil(step);
    let last = now.0.as_secs() / step;
    let first = (last + 1).saturating_sub(count);
    (first * step, count, step)
}

impl History {
    /// Steps without a receipt are zeros.
    fn of(first: u64, count: u64, step: u64, found: &[Step]) -> Self {
        let mut history = Self { step_s: step, ..Self::default() };
        let mut found = found.iter().peekable();
        for at in (0..count).map(|n| first + n * step) {
            while found.next_if(|step| step.at < at).is_some() {}
            let counts = found.next_if(|step| step.at == at).copied().unwrap_or_default();
            history.at_unix.push(at);
            history.requests.push(counts.requests);
            history.failed.push(counts.failed);
            history.throttled.push(counts.throttled);
            history.input.push(counts.input);
            history.cached_read.push(counts.cached_read);
            history.written.push(counts.written);
            history.output.push(counts.output);
            history.usd.push(NanoUsd(counts.charge).as_usd());
        }
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_with_the_time_and_the_last_one_holds_the_present() {
        let now = at(1_795_262_417);
        for (hours, step, count) in
            [(1, 60, 60), (6, 60, 360), (7, 300, 84), (24, 300, 288), (25, 3_600, 25), (720, 3_600, 720)]
        {
            let (first, n, length) = grid(hours, now);
            assert_eq!((length, n), (step, count), "{hours} h");
            let last = first + (n - 1) * length;
            assert!(
                first.is_multiple_of(length) && (last..last + length).contains(&now.0.as_secs()),
                "{hours} h"
            );
        }
    }

    #[test]
    fn steps_without_a_receipt_are_zeros() {
        let found = [
            Step { at: 60, requests: 9, ..Step::default() },
            Step { at: 240, requests: 2, charge: 1_500_000_000, ..Step::default() },
        ];
        let history = History::of(120, 4, 60, &found);
        assert_eq!(history.at_unix, [120, 180, 240, 300]);
        assert_eq!(history.requests, [0, 0, 2, 0]);
        assert_eq!(history.usd, [0.0, 0.0, 1.5, 0.0]);
        assert_eq!(history.output.len(), 4);
    }
}
