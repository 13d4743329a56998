//! Exemplars: of each bucket of a histogram, the last traced request that fell into it.
//!
//! A fixed array beside the histogram. Only traced requests write, and a scrape reads, so a short mutex for
//! all of them is enough.

use parking_lot::Mutex;
use pingora_prometheus::prometheus::Histogram;

use super::otlp::TraceId;
use crate::clock::UnixTime;

/// One request that a bucket counts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Exemplar {
    /// Its trace.
    pub(super) trace: TraceId,
    /// What was observed, in the histogram's unit.
    pub(super) value: f64,
    /// When.
    pub(super) at: UnixTime,
}

/// A histogram, and exemplars of its buckets.
pub(super) struct Exemplified {
    histogram: Histogram,
    bounds: &'static [f64],
    /// One for each bound, and one for what is above.
    last: Mutex<Box<[Option<Exemplar>]>>,
}

impl Exemplified {
    pub(super) fn new(histogram: Histogram, bounds: &'static [f64]) -> Self {
        let last = Mutex::new(vec![None; bounds.len() + 1].into());
        Self { histogram, bounds, last }
    }

    pub(super) fn observe(&self, value: f64, traced: Option<(TraceId, UnixTime)>) {
        self.histogram.observe(value);
        if let Some((trace, at)) = traced {
            let bucket = self.bounds.partition_point(|bound| *bound < value);
            if let Some(place) = self.last.lock().get_mut(bucket) {
                *place = Some(Exemplar { trace, value, at });
            }
        }
    }

    /// By bucket, in the order of their bounds; the last is without one.
    pub(super) fn last(&self) -> Box<[Option<Exemplar>]> {
        self.last.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pingora_prometheus::prometheus::HistogramOpts;

    use super::*;

    #[test]
    fn the_last_traced_value_of_each_bucket_is_kept() {
        const BOUNDS: &[f64] = &[0.1, 1.0];
        let opts = HistogramOpts::new("x", "x").buckets(BOUNDS.to_vec());
        let kept = Exemplified::new(Histogram::with_opts(opts).unwrap(), BOUNDS);
        let at = UnixTime(Duration::from_secs(7));
        let (one, two) = (TraceId::mint(), TraceId::mint());
        kept.observe(0.1, Some((one, at)));
        kept.observe(0.05, Some((two, at)));
        kept.observe(0.5, None);
        kept.observe(5.0, Some((one, at)));
        let traces =
            kept.last().iter().map(|last| last.map(|last| (last.trace, last.value))).collect::<Vec<_>>();
        assert_eq!(traces, [Some((two, 0.05)), None, Some((one, 5.0))]);
    }
}
