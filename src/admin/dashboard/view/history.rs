//! `history?hours=..`: what became of requests over hours and days, from the ledger.

use std::{sync::Arc, time::Duration};

use super::{super::history::History, Body, Fault, Query, json, ledger};
use crate::{
    clock::{self, Moment, UnixTime},
    live::Live,
    store::ledger::Step,
    types::Counts,
};

const HOUR: u64 = 3_600;

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
        json(&history(first, count, step, &steps))
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

/// Steps without a receipt are zeros.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
fn history(first: u64, count: u64, step: u64, found: &[Step]) -> History {
    let mut history = History::of_steps(step);
    let mut found = found.iter().peekable();
    for at in (0..count).map(|n| first + n * step) {
        while found.next_if(|step| step.at < at).is_some() {}
        let counts = found.next_if(|step| step.at == at).map_or_else(Counts::default, |step| step.counts);
        history.push(at as f64, &counts);
    }
    history
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
            Step { at: 60, counts: Counts { requests: 9, ..Counts::default() } },
            Step { at: 240, counts: Counts { requests: 2, nano_usd: 1_500_000_000, ..Counts::default() } },
        ];
        let history = serde_json::to_value(history(120, 4, 60, &found)).unwrap();
        assert_eq!(history["step_s"], 60);
        assert_eq!(history["at_unix"], serde_json::json!([120.0, 180.0, 240.0, 300.0]));
        assert_eq!(history["requests"], serde_json::json!([0, 0, 2, 0]));
        assert_eq!(history["usd"], serde_json::json!([0.0, 0.0, 1.5, 0.0]));
        assert_eq!(history["output"], serde_json::json!([0, 0, 0, 0]));
        assert_eq!(history["saved_usd"], serde_json::Value::Null, "the ledger does not know");
    }
}
