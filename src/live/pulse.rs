//! What happens per second: for the dashboard's rates and its last quarter of an hour.
//!
//! Requests are counted once, when they are settled; a sample of the counts is taken once a second, and the
//! difference of two samples is a second's worth. Output counts while it flows, so that tokens per second
//! are honest during long answers. Bound: [`KEPT`] steps of some hundred bytes.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    clock::{Moment, UnixTime},
    types::{AttemptOutcome, Counts, Outcome, Receipt},
};

/// Steps kept: a quarter of an hour.
pub const KEPT: usize = 900;

/// What happened between two samples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// When it ended.
    pub at: UnixTime,
    /// How long it was: a second, or more where the machine was busy.
    pub span: Duration,
    /// What was counted in it.
    pub counts: Counts,
    /// What staying warm had saved by its end, in dollars; an extrapolation, so it may shrink.
    pub saved_usd: f64,
}

impl Step {
    /// So many of something in this step, by the second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn per_second(&self, count: u64) -> f64 {
        let seconds = self.span.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
struct Sample {
    now: Moment,
    counts: Counts,
}

#[derive(Default)]
struct Past {
    last: Option<Sample>,
    steps: VecDeque<Step>,
}

/// The gateway's pulse.
pub struct Pulse {
    requests: AtomicU64,
    failed: AtomicU64,
    throttled: AtomicU64,
    input: AtomicU64,
    cached_read: AtomicU64,
    written: AtomicU64,
    output: AtomicU64,
    nano_usd: AtomicU64,
    past: Mutex<Past>,
    beats: watch::Sender<u64>,
}

impl Default for Pulse {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            requests: zero(),
            failed: zero(),
            throttled: zero(),
            input: zero(),
            cached_read: zero(),
            written: zero(),
            output: zero(),
            nano_usd: zero(),
            past: Mutex::default(),
            beats: watch::Sender::new(0),
        }
    }
}

impl Pulse {
    /// A request is over: a few additions.
    pub fn book(&self, receipt: &Receipt) {
        let add = |count: &AtomicU64, more: u64| {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        };
        add(&self.nano_usd, receipt.charge.map_or(0, |charge| charge.0));
        if receipt.care.keep_alive {
            // No caller's request.
            return;
        }
        let usage = &receipt.usage;
        let throttled = |outcome: AttemptOutcome| outcome == AttemptOutcome::RateLimited;
        let throttled = receipt.attempts.iter().filter(|attempt| throttled(attempt.outcome)).count();
        add(&self.requests, 1);
        add(&self.failed, u64::from(!matches!(receipt.outcome, Outcome::Ok | Outcome::Cancelled)));
        add(&self.throttled, throttled as u64);
        add(&self.input, usage.input);
        add(&self.cached_read, usage.cached_read);
        add(&self.written, usage.write_5m.saturating_add(usage.write_1h));
        add(&self.output, usage.output);
    }

    /// Everything since the start.
    #[must_use]
    pub fn total(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            requests: read(&self.requests),
            failed: read(&self.failed),
            throttled: read(&self.throttled),
            input: read(&self.input),
            cached_read: read(&self.cached_read),
            written: read(&self.written),
            output: read(&self.output),
            nano_usd: read(&self.nano_usd),
        }
    }

    /// Takes a sample. `live_output`: tokens of the answers that run; `saved_usd`: all that was saved.
    ///
    /// An answer's own count takes the place of its estimate when it ends. Where the estimate was higher,
    /// the next steps show less, never less than nothing.
    pub fn sample(&self, live_output: u64, saved_usd: f64, now: Moment, at: UnixTime) {
        let mut counts = self.total();
        counts.output = counts.output.saturating_add(live_output);
        let mut past = self.past.lock();
        if let Some(last) = past.last {
            counts.output = counts.output.max(last.counts.output);
            let step = Step { at, span: now.since(last.now), counts: counts.since(&last.counts), saved_usd };
            if past.steps.len() >= KEPT {
                past.steps.pop_front();
            }
            past.steps.push_back(step);
        }
        past.last = Some(Sample { now, counts });
        drop(past);
        self.beats.send_modify(|beat| *beat = beat.wrapping_add(1));
    }

    /// The number of samples so far, to wait for the next one.
    #[must_use]
    pub fn beats(&self) -> watch::Receiver<u64> {
        self.beats.subscribe()
    }

    /// The last steps, `most` at most, oldest first.
    #[must_use]
    pub fn steps(&self, most: usize) -> Vec<Step> {
        let past = self.past.lock();
        let skip = past.steps.len().saturating_sub(most);
        past.steps.iter().skip(skip).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> (Moment, UnixTime) {
        (Moment::from_millis(second * 1_000), UnixTime(Duration::from_secs(1_000 + second)))
    }

    fn sample(pulse: &Pulse, live_output: u64, second: u64) {
        let (now, at) = at(second);
        pulse.sample(live_output, 0.0, now, at);
    }

    #[test]
    fn a_step_is_the_difference_of_two_samples() {
        let pulse = Pulse::default();
        pulse.requests.store(7, Ordering::Relaxed);
        sample(&pulse, 0, 0);
        assert_eq!(pulse.steps(KEPT), [], "one sample is no span of time");
        pulse.requests.store(17, Ordering::Relaxed);
        pulse.cached_read.store(30, Ordering::Relaxed);
        pulse.input.store(10, Ordering::Relaxed);
        sample(&pulse, 0, 2);
        let steps = pulse.steps(KEPT);
        let [step] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((step.counts.requests, step.span.as_secs(), step.at), (10, 2, at(2).1));
        assert!((step.per_second(step.counts.requests) - 5.0).abs() < 1e-9);
        assert_eq!(step.counts.hit_rate(), Some(0.75));
        sample(&pulse, 0, 3);
        assert_eq!(pulse.steps(1)[0].counts, Counts::default());
        assert_eq!(pulse.steps(1)[0].counts.hit_rate(), None);
    }

    #[test]
    fn output_counts_while_it_flows_and_never_twice() {
        let pulse = Pulse::default();
        sample(&pulse, 0, 0);
        sample(&pulse, 40, 1);
        sample(&pulse, 100, 2);
        // It ends at 90 where 100 were estimated; another one writes 5, then 20.
        pulse.output.store(90, Ordering::Relaxed);
        sample(&pulse, 5, 3);
        sample(&pulse, 20, 4);
        let output: Vec<u64> = pulse.steps(KEPT).iter().map(|step| step.counts.output).collect();
        assert_eq!(output, [40, 60, 0, 10]);
        assert_eq!(output.iter().sum::<u64>(), 110);
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_everybody_hears_the_beat() {
        let pulse = Pulse::default();
        let beats = pulse.beats();
        for second in 0..2_000 {
            sample(&pulse, 0, second);
        }
        let steps = pulse.steps(usize::MAX);
        assert_eq!((steps.len(), steps[0].at, steps[KEPT - 1].at), (KEPT, at(1_100).1, at(1_999).1));
        assert_eq!(pulse.steps(60).len(), 60);
        assert!(beats.has_changed().unwrap());
        assert_eq!(*beats.borrow(), 2_000);
    }
}
