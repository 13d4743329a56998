//! What event streams are sent: each kind is made once a beat, for all who watch, and not at all for nobody.

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{super::status, history::History, view};
use crate::{
    clock::{self, Moment, UnixTime},
    live::{Live, Step},
    types::Counts,
};

/// Above so many endpoints the accounts are sent every [`SELDOM`] beats only.
const MANY: usize = 200;
const SELDOM: u64 = 5;
/// Beats from one nudge about sessions to the next.
const NUDGE: u64 = 2;
/// Steps of a minute.
const MINUTE: usize = 60;

/// The frames of this beat, each made by whoever needs it first. The others wait without holding a thread.
#[derive(Default)]
pub(super) struct Frames {
    now: Made,
    accounts: Made,
    sessions: Made,
}

#[derive(Default)]
struct Made(Mutex<Option<(u64, Bytes)>>);

impl Made {
    /// The frame of `beat`, or an earlier one that is good for `every` so many beats.
    async fn get(&self, beat: u64, every: u64, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut last = self.0.lock().await;
        match &*last {
            Some((made, frame)) if *made >= beat - beat % every => frame.clone(),
            _ => last.insert((beat, make())).1.clone(),
        }
    }
}

impl Frames {
    pub(super) async fn now(&self, live: &Live, beat: u64) -> Bytes {
        self.now.get(beat, 1, || event("now", &now(live, clock::now(), clock::unix_now()))).await
    }

    /// Endpoints and their limits.
    pub(super) async fn accounts(&self, live: &Live, beat: u64) -> Bytes {
        let make = || event("accounts", &view::accounts::frame(live, clock::now()));
        self.accounts.get(beat, accounts_every(live), make).await
    }

    pub(super) async fn sessions(&self, live: &Live, beat: u64) -> Bytes {
        let known = || live.snapshot.load().policy.sessions().len();
        self.sessions.get(beat, NUDGE, || event("sessions", &Known { known: known() })).await
    }
}

/// Beats from one frame of accounts to the next.
pub(super) fn accounts_every(live: &Live) -> u64 {
    if live.snapshot.load().pool.endpoints().len() > MANY { SELDOM } else { 1 }
}

/// Beats from one frame of sessions to the next.
pub(super) const fn sessions_every() -> u64 {
    NUDGE
}

/// One event. JSON holds no line break of its own, so it is one line of data.
pub(super) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let mut frame = format!("event: {name}\ndata: ").into_bytes();
    if serde_json::to_writer(&mut frame, data).is_err() {
        return Bytes::new();
    }
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

#[derive(Serialize)]
struct Known {
    known: usize,
}

/// What happens now.
#[derive(Serialize)]
struct Now {
    at_unix: f64,
    requests_per_s: f64,
    failed_per_s: f64,
    throttled_per_s: f64,
    input_tokens_per_s: f64,
    output_tokens_per_s: f64,
    usd_per_s: f64,
    /// Of the last minute.
    hit_rate: Option<f64>,
    /// Since the start.
    hit_rate_total: Option<f64>,
    spent_usd: f64,
    round_robin_usd: f64,
    saved_usd: f64,
    in_flight: i64,
    waiting: usize,
    live_output_tokens: i64,
    sessions_known: usize,
    warm_prefixes: usize,
    draining: bool,
    degraded: Vec<String>,
}

fn now(live: &Live, now: Moment, at: UnixTime) -> Now {
    let snapshot = live.snapshot.load();
    let memory = snapshot.policy.memory();
    let savings = memory.savings.so_far();
    let minute = live.pulse.steps(MINUTE);
    let last = minute.last();
    let rate = |of: fn(&Counts) -> u64| last.map_or(0.0, |step| step.per_second(of(&step.counts)));
    Now {
        at_unix: at.0.as_secs_f64(),
        requests_per_s: rate(|counts| counts.requests),
        failed_per_s: rate(|counts| counts.failed),
        throttled_per_s: rate(|counts| counts.throttled),
        input_tokens_per_s: rate(Counts::total_input),
        output_tokens_per_s: rate(|counts| counts.output),
        usd_per_s: rate(|counts| counts.nano_usd) / 1e9,
        hit_rate: hit_rate(&minute),
        hit_rate_total: live.pulse.total().hit_rate(),
        spent_usd: savings.spent,
        round_robin_usd: savings.round_robin,
        saved_usd: savings.saved(),
        in_flight: live.flights.running(),
        waiting: snapshot.policy.waiters().count(),
        live_output_tokens: live.flights.live_output(),
        sessions_known: snapshot.policy.sessions().len(),
        warm_prefixes: memory.warm.len(),
        draining: live.flights.is_draining(),
        degraded: status::troubles(live, now),
    }
}

fn hit_rate(steps: &[Step]) -> Option<f64> {
    let sum = steps.iter().fold(Counts::default(), |sum, step| Counts {
        input: sum.input + step.counts.input,
        cached_read: sum.cached_read + step.counts.cached_read,
        written: sum.written + step.counts.written,
        ..sum
    });
    sum.hit_rate()
}

/// The last minutes, a step a second.
pub(super) fn history(steps: &[Step]) -> History {
    let mut history = History::of_steps(1);
    for step in steps {
        history.push(step.at.0.as_secs_f64(), &step.counts);
    }
    history.with_saved(steps.iter().map(|step| step.saved_usd).collect())
}
