//! Money, in integers only: sums do not depend on their order, and a bill can be recomputed.

use std::{fmt, ops::AddAssign};

use super::Usage;

/// Billionths of a US dollar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Hash)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Dollars, for people and for metrics; not for arithmetic.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a display value; exact up to 9 million dollars")]
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl NanoUsd {
    /// Reads dollars as people write them: `3.75` is 3,750,000,000, exactly; nothing above `most`
    /// dollars.
    #[must_use]
    pub fn parse(text: &str, most: u64) -> Option<Self> {
        const DECIMALS: usize = 9;
        const DOLLAR: u64 = 1_000_000_000;
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > DECIMALS {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let part: u64 = format!("{part:0<DECIMALS$}").parse().ok()?;
        let nano = whole.checked_mul(DOLLAR)?.checked_add(part)?;
        (nano <= most.saturating_mul(DOLLAR)).then_some(Self(nano))
    }

    /// With a markup in thousandths, rounded down: 1,000 is none.
    #[must_use]
    pub fn marked_up(self, markup: u32) -> Self {
        let marked = u128::from(self.0) * u128::from(markup) / 1_000;
        Self(u64::try_from(marked).unwrap_or(u64::MAX))
    }

    /// Writes what [`Self::parse`] reads, without needless zeros: also a number of JSON or TOML.
    #[must_use]
    pub fn dollars(self) -> String {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// A number of JSON as plain decimal text, its point `shift` places to the right: `3e-06` shifted by 6
/// is `3`. Exact, because it moves digits and calculates nothing. `None` for what is no such number, is
/// negative, or is absurdly long.
#[must_use]
pub fn plain_decimal(text: &str, shift: i32) -> Option<String> {
    const LONGEST: i32 = 60;
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !numeric(whole) || !numeric(part) || text.len() > 60 {
        return None;
    }
    let all = format!("{whole}{part}");
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(shift)?;
    if !(-LONGEST..=LONGEST).contains(&point) {
        return None;
    }
    let length = i32::try_from(all.len()).ok()?;
    // Zeros on either side, so that the point stands among digits.
    let before = usize::try_from(1 - point).unwrap_or(0);
    let after = usize::try_from(point - length).unwrap_or(0);
    let padded = format!("{}{all}{}", "0".repeat(before), "0".repeat(after));
    let (whole, part) = padded.split_at_checked(usize::try_from(point.max(1)).ok()?)?;
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") })
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// What a model's tokens cost, in nano-dollars per *million* tokens ($3 per million = 3e9).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rates {
    /// For [`Usage::input`].
    pub input: u64,
    /// For [`Usage::cached_read`].
    pub cached_read: u64,
    /// For [`Usage::write_5m`].
    pub write_5m: u64,
    /// For [`Usage::write_1h`].
    pub write_1h: u64,
    /// For [`Usage::output`].
    pub output: u64,
}

impl Rates {
    /// The charge of `usage`, rounded half-up once.
    #[must_use]
    pub fn charge(&self, usage: &Usage) -> NanoUsd {
        const PER: u128 = 1_000_000;
        let sum = [
            (usage.input, self.input),
            (usage.cached_read, self.cached_read),
            (usage.write_5m, self.write_5m),
            (usage.write_1h, self.write_1h),
            (usage.output, self.output),
        ]
        .iter()
        .map(|&(tokens, rate)| u128::from(tokens) * u128::from(rate))
        .fold(0_u128, u128::saturating_add);
        NanoUsd(u64::try_from(sum.saturating_add(PER / 2) / PER).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONNET: Rates = Rates {
        input: 3_000_000_000,
        cached_read: 300_000_000,
        write_5m: 3_750_000_000,
        write_1h: 6_000_000_000,
        output: 15_000_000_000,
    };

    #[test]
    fn a_million_tokens_cost_the_listed_price() {
        let usage = Usage { input: 1_000_000, ..Usage::default() };
        assert_eq!(SONNET.charge(&usage), NanoUsd(3_000_000_000));
    }

    #[test]
    fn dollars_are_read_without_rounding_and_written_back() {
        for (text, nano) in
            [("3.75", 3_750_000_000), ("0.075", 75_000_000), ("10", 10_000_000_000), ("0.000000001", 1)]
        {
            assert_eq!(NanoUsd::parse(text, 1_000_000), Some(NanoUsd(nano)), "{text}");
            assert_eq!(NanoUsd(nano).dollars(), text);
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000000001", "inf", "99999999", "1000000.1"] {
            assert_eq!(NanoUsd::parse(text, 1_000_000), None, "{text}");
        }
    }

    #[test]
    fn the_point_moves_and_no_digit_changes() {
        for (text, shift, plain) in [
            ("3e-06", 6, "3"),
            ("3.75e-06", 6, "3.75"),
            ("0.0000003", 6, "0.3"),
            ("1E-9", 0, "0.000000001"),
            ("0", 6, "0"),
            ("12.50", 0, "12.5"),
            ("5e3", 0, "5000"),
            ("1.5e-05", 6, "15"),
            ("100", -2, "1"),
        ] {
            assert_eq!(plain_decimal(text, shift).as_deref(), Some(plain), "{text} by {shift}");
        }
        for text in
            ["", "-1", "e5", ".5", "1e", "1e999999999999", "1e99", "0x1", "1.2.3", "NaN", "1e-2147483648"]
        {
            assert_eq!(plain_decimal(text, 6), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_point_panic(text in "[0-9.eE+-]{0,30}", shift in -100_i32..100) {
            let _ = plain_decimal(&text, shift);
        }

        #[test]
        fn what_dollars_writes_is_read_back(nano in 0_u64..1_000_000_000_000_000) {
            let text = NanoUsd(nano).dollars();
            proptest::prop_assert_eq!(NanoUsd::parse(&text, 1_000_000), Some(NanoUsd(nano)));
            proptest::prop_assert_eq!(plain_decimal(&text, 0), Some(text));
        }
    }

    #[test]
    fn rounding_is_half_up_and_happens_once() {
        let rates = Rates { input: 500_000, output: 499_999, ..Rates::default() };
        assert_eq!(rates.charge(&Usage { input: 1, ..Usage::default() }), NanoUsd(1));
        assert_eq!(rates.charge(&Usage { output: 1, ..Usage::default() }), NanoUsd(0));
        // Two halves that would each round up make one whole together.
        assert_eq!(rates.charge(&Usage { input: 2, ..Usage::default() }), NanoUsd(1));
    }

    #[test]
    fn absurd_counts_saturate_instead_of_wrapping() {
        let usage = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        assert_eq!(SONNET.charge(&usage), NanoUsd(u64::MAX));
    }
}
