//! How long the answers of a model class are: a small histogram that forgets.
//!
//! Buckets grow by a quarter, so that a quantile is off by an eighth at most, which is little beside
//! what it is for: a guess at what an answer may come to.

use super::learned::float;

/// Buckets: 1.25^40 is above seven thousand, and the last ones reach a million tokens.
const BUCKETS: usize = 64;
/// Above so many answers everything is halved: what was long ago fades.
const FULL: u32 = 4_000;
/// Before so many answers nobody trusts the quantile alone.
const FEW: u32 = 100;
/// What an answer is taken for until then, unless longer ones were seen.
const PRIOR: u64 = 1_024;
/// The share of answers that is longer than the guess.
const ABOVE: u32 = 100;

/// The lengths of one class's answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    counts: [u16; BUCKETS],
    total: u32,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Lengths {
    /// One more answer of so many tokens.
    pub(super) fn add(&mut self, tokens: u64) {
        if self.total >= FULL {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|&count| u32::from(count)).sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(tokens)) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// Ninety-nine of a hundred answers are no longer than this.
    pub(super) fn likely(&self) -> u64 {
        let mut above = self.total / ABOVE;
        let mut at = 0;
        for (bucket, &count) in self.counts.iter().enumerate().rev() {
            let count = u32::from(count);
            if count > above {
                at = end(bucket);
                break;
            }
            above -= count;
        }
        if self.total < FEW { at.max(PRIOR) } else { at }
    }
}

/// Where a length belongs: 16 tokens and less are the first bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn bucket(tokens: u64) -> usize {
    let steps = (float(tokens.max(1)) / 16.0).log(1.25).ceil();
    (steps.max(0.0) as usize).min(BUCKETS - 1)
}

/// The longest answer of a bucket.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn end(bucket: usize) -> u64 {
    let steps = i32::try_from(bucket).unwrap_or(i32::MAX);
    (16.0 * 1.25_f64.powi(steps)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answers: impl IntoIterator<Item = u64>) -> Lengths {
        let mut lengths = Lengths::default();
        answers.into_iter().for_each(|tokens| lengths.add(tokens));
        lengths
    }

    #[test]
    fn ninety_nine_of_a_hundred_are_no_longer() {
        let likely = of(1..=1_000).likely();
        assert!((990..=1_250).contains(&likely), "{likely}");
        let rare = of((0..1_000).map(|n| if n % 200 == 0 { 60_000 } else { 300 })).likely();
        assert!((300..=375).contains(&rare), "{rare}: one in two hundred does not count");
    }

    #[test]
    fn a_few_short_answers_promise_nothing() {
        assert_eq!(Lengths::default().likely(), PRIOR);
        assert_eq!(of([20; 50]).likely(), PRIOR);
        assert!(of([5_000]).likely() >= 5_000, "a long one counts at once");
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut lengths = of([50_000; 4_000]);
        (0..40_000).for_each(|_| lengths.add(200));
        assert!(lengths.likely() <= 250, "{}", lengths.likely());
    }

    #[test]
    fn no_length_is_out_of_bounds() {
        for tokens in [0, 1, 16, 17, 1_000_000, u64::MAX] {
            let lengths = of([tokens]);
            assert!(lengths.total == 1 && lengths.likely() >= PRIOR, "{tokens}");
        }
    }
}
