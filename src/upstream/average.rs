//! How much goes through per window: exponentially averaged, with the window as time constant.

use std::time::Duration;

use crate::clock::Moment;

/// Counted input per window, averaged with the window as time constant.
#[derive(Clone, Copy, Default)]
pub(super) struct Average {
    pub(super) value: f64,
    pub(super) at: Moment,
}

impl Average {
    pub(super) fn read(&self, window: Duration, now: Moment) -> f64 {
        let age = now.since(self.at);
        if age.is_zero() {
            self.value
        } else {
            self.value * (-age.as_secs_f64() / window.as_secs_f64()).exp()
        }
    }

    pub(super) fn add(&mut self, amount: f64, window: Duration, now: Moment) {
        self.value = (self.read(window, now) + amount).max(0.0);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_read_as_what_a_window_takes() {
        let window = Duration::from_secs(60);
        let mut average = Average::default();
        for second in 0..600 {
            average.add(1_000.0, window, Moment::from_millis(second * 1_000));
        }
        let read = average.read(window, Moment::from_millis(600_000));
        assert!((read - 60_000.0).abs() < 1_000.0, "{read}");
        // It fades, and a correction cannot make it negative.
        assert!(average.read(window, Moment::from_millis(1_200_000)) < 10.0);
        average.add(-1e9, window, Moment::from_millis(600_000));
        assert!(average.read(window, Moment::ZERO).abs() < 1e-9);
    }
}
