//! What tokens come to in a budget's money: before, rounded up; afterwards, as they are billed.

use crate::types::{NanoUsd, Rates, Usage};

/// Rates are per so many tokens.
const PER: u128 = 1_000_000;
/// Thousandths: a markup of none.
const PAR: u32 = 1_000;
/// Tokens of a slice where only tokens are counted: fewer would be renewed all the time.
const LEAST_TOKENS: u64 = 256;
/// Tokens of a slice where output costs next to nothing.
const MOST_TOKENS: u64 = 65_536;

/// Prices of one request, and what its key adds to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pricing {
    pub(super) rates: Option<Rates>,
    /// In thousandths.
    pub(super) markup: u32,
}

/// A part of a request, as each kind of counter counts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cost {
    /// Nano-dollars at the provider.
    pub(super) plain: u64,
    /// Nano-dollars for the caller.
    pub(super) billed: u64,
    /// Tokens.
    pub(super) tokens: u64,
}

impl Pricing {
    /// Input of which nobody knows yet how much is cached: all at the price of writing it.
    pub(super) fn unread_input(&self, tokens: u64) -> Cost {
        self.cost(tokens, self.rates.map_or(0, |rates| rates.input.max(rates.write_5m)))
    }

    /// So much output.
    pub(super) fn output(&self, tokens: u64) -> Cost {
        self.cost(tokens, self.rates.map_or(0, |rates| rates.output))
    }

    fn cost(&self, tokens: u64, rate: u64) -> Cost {
        let plain = capped((u128::from(tokens) * u128::from(rate)).div_ceil(PER));
        let billed = capped((u128::from(plain) * u128::from(self.markup)).div_ceil(u128::from(PAR)));
        Cost { plain, billed, tokens }
    }

    /// The input that a provider reported.
    pub(super) fn read_input(&self, usage: &Usage) -> Cost {
        let input = Usage { output: 0, ..*usage };
        let plain = self.rates.map_or_else(NanoUsd::default, |rates| rates.charge(&input));
        self.came_to(plain, usage.total_input())
    }

    /// What a request came to: the charge, or where none was reckoned what its prices say.
    pub(super) fn total(&self, usage: &Usage, charge: Option<NanoUsd>) -> Cost {
        let plain = charge.or_else(|| self.rates.map(|rates| rates.charge(usage))).unwrap_or_default();
        self.came_to(plain, usage.total_input().saturating_add(usage.output))
    }

    /// Billed as `VirtualKey::billed` does it: the ledger and the budget say the same.
    fn came_to(&self, plain: NanoUsd, tokens: u64) -> Cost {
        Cost { plain: plain.0, billed: plain.marked_up(self.markup).0, tokens }
    }

    /// Tokens of output in a slice: they cost `slice` at most, with the markup if it is one; where no
    /// dollars are counted they are [`LEAST_TOKENS`] at least.
    pub(super) fn slice_tokens(&self, slice: NanoUsd, dollars: bool) -> u64 {
        let rate = self.rates.map_or(0, |rates| rates.output);
        let rate = u128::from(rate) * u128::from(self.markup.max(PAR)) / u128::from(PAR);
        let least = if dollars && rate > 0 { 1 } else { LEAST_TOKENS };
        match (u128::from(slice.0) * PER).checked_div(rate) {
            Some(tokens) => capped(tokens).clamp(least, MOST_TOKENS),
            None => LEAST_TOKENS,
        }
    }
}

fn capped(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        input: 3_000_000_000,
        cached_read: 300_000_000,
        write_5m: 3_750_000_000,
        write_1h: 6_000_000_000,
        output: 15_000_000_000,
    };

    #[test]
    fn input_is_reserved_at_the_price_of_writing_it_and_rounded_up() {
        let pricing = Pricing { rates: Some(RATES), markup: 1_500 };
        let cost = pricing.unread_input(1_000);
        assert_eq!(cost, Cost { plain: 3_750_000, billed: 5_625_000, tokens: 1_000 });
        let odd = Pricing { rates: Some(Rates { input: 1, ..Rates::default() }), markup: 1_001 };
        assert_eq!(odd.unread_input(1), Cost { plain: 1, billed: 2, tokens: 1 });
    }

    #[test]
    fn a_slice_costs_no_more_than_it_should_whatever_the_markup() {
        for markup in [500, 1_000, 1_333, 20_000] {
            let pricing = Pricing { rates: Some(RATES), markup };
            let tokens = pricing.slice_tokens(NanoUsd(10_000_000), true);
            let cost = pricing.output(tokens);
            assert!(cost.plain <= 10_000_000 && cost.billed <= 10_000_000, "{markup}: {cost:?}");
            assert!(pricing.output(tokens + 1).plain * u64::from(markup.max(1_000)) / 1_000 >= 10_000_000);
        }
        let tokens = Pricing { rates: Some(RATES), markup: 1_000 }.slice_tokens(NanoUsd(1_000), false);
        assert_eq!(tokens, LEAST_TOKENS);
        assert_eq!(Pricing { rates: None, markup: 1_000 }.slice_tokens(NanoUsd(1_000), true), LEAST_TOKENS);
    }

    #[test]
    fn nothing_overflows() {
        let dear = Rates { input: u64::MAX, cached_read: 0, write_5m: 0, write_1h: 0, output: u64::MAX };
        let pricing = Pricing { rates: Some(dear), markup: u32::MAX };
        assert_eq!(pricing.unread_input(u64::MAX).billed, u64::MAX);
        assert_eq!(pricing.output(u64::MAX).billed, u64::MAX);
        assert_eq!(pricing.slice_tokens(NanoUsd(u64::MAX), true), 1);
        let usage = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        assert_eq!(pricing.total(&usage, None).tokens, u64::MAX);
    }
}
