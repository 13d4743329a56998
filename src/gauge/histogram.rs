//! Percentiles of times in a fixed number of buckets.
//!
//! Of our own, because forty lines do it: buckets three hundredths apart are off by half of that, which is
//! little beside how far two runs differ.

use std::time::Duration;

/// The end of the first bucket.
const LEAST: f64 = 100e-6;
/// From one bucket's end to the next one's.
const STEP: f64 = 1.03;
/// Up to ten minutes; what is longer falls into the last one.
const BUCKETS: usize = 530;

/// Times, counted.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    least: f64,
    most: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, least: f64::INFINITY, most: 0.0 }
    }
}

impl Histogram {
    /// One more.
    pub(super) fn add(&mut self, span: Duration) {
        let seconds = span.as_secs_f64();
        if let Some(count) = self.counts.get_mut(bucket(seconds)) {
            *count += 1;
            self.total += 1;
        }
        self.least = self.least.min(seconds);
        self.most = self.most.max(seconds);
    }

    /// The time that this part of them (0 to 1) does not exceed, in seconds; `None` of nothing.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank: between 1 and the number of entries"
    )]
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = ((self.total as f64 * part).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let power = i32::try_from(at).unwrap_or(i32::MAX);
        Some((LEAST * STEP.powi(power) / STEP.sqrt()).clamp(self.least, self.most))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn bucket(seconds: f64) -> usize {
    ((seconds.max(LEAST) / LEAST).log(STEP).ceil() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_two_hundredths() {
        let mut times = Histogram::default();
        (1..=10_000_u64).for_each(|n| times.add(Duration::from_millis(n)));
        for (part, truth) in [(0.5, 5.0), (0.9, 9.0), (0.99, 9.9), (1.0, 10.0)] {
            let found = times.quantile(part).unwrap();
            assert!((found / truth - 1.0).abs() < 0.02, "{part}: {found}");
        }
    }

    #[test]
    fn odd_times_have_a_place() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let mut times = Histogram::default();
        times.add(Duration::ZERO);
        assert_eq!(times.quantile(0.99), Some(0.0));
        times.add(Duration::from_secs(86_400));
        assert!(times.quantile(1.0).unwrap() > 500.0);
        let mut one = Histogram::default();
        one.add(Duration::from_millis(250));
        assert_eq!(one.quantile(0.5), Some(0.25), "one entry is itself");
    }
}
