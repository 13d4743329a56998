//! What it costs to send a request somewhere, in dollars.
//!
//! `J = money + delay + crowding + penalties`: what the prompt costs there (the warm part at the read
//! price, the rest at the write price), what the agent's time costs until its first token, and, for
//! prompts that are cold there, what the room is worth to the sessions that are warm already.
//! (The reference study varied the weights by factors of fifty without changing costs by 1.5 %, so
//! they need no tuning; without the crowding term tails of waits grow ninefold.)

use std::time::Duration;

use crate::types::Rates;

/// What the terms weigh.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// Dollars a second of an agent's time: 0.004 is 14 $/h.
    pub delay: f64,
    /// Dollars for a cold prompt at an account that is half utilised.
    pub crowding: f64,
    /// Dollars that staying where the session was last is worth: a tie-break.
    pub home: f64,
    /// Dollars for one more session at an account that has its share of them already.
    pub share: f64,
    /// Dollars for moving a session whose signed thinking the next account may drop or refuse.
    pub thinking: f64,
    /// Dollars that a refusal costs beyond the wait that it asks for.
    pub refusal: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { delay: 0.004, crowding: 0.02, home: 0.002, share: 1.0, thinking: 0.05, refusal: 0.3 }
    }
}

/// Uncached tokens that a provider reads a second, for the guess at a first token's delay.
pub(super) const PREFILL_PER_SECOND: f64 = 12_000.0;
/// A cold prompt of so many tokens and more pays the crowding term in full; half of it a quarter.
const ROOM: f64 = 10_000.0;
/// Dollars for an account that has refused the session's signed thinking: only when there is none else.
const REFUSED: f64 = 10.0;
/// Beyond this an account counts as full, and the term grows no further: at 98 % it would outweigh
/// everything else, and keep accounts idle that are open.
const FULL: f64 = 0.9;

/// What a prompt's tokens cost, in dollars a token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Price {
    /// Read from the cache.
    pub read: f64,
    /// Written to it, or not cached at all.
    pub fresh: f64,
}

impl Price {
    /// The price of a prompt that leaves marks (`marked`), long-lived ones (`long`), or none.
    #[must_use]
    pub fn of(rates: &Rates, marked: bool, long: bool) -> Self {
        let write = match (marked, long) {
            (false, _) => rates.input,
            (true, true) => rates.write_1h.max(rates.input),
            (true, false) => rates.write_5m.max(rates.input),
        };
        Self { read: per_token(rates.cached_read), fresh: per_token(write) }
    }

    /// What a token costs more when it is not warm.
    #[must_use]
    pub fn premium(&self) -> f64 {
        (self.fresh - self.read).max(0.0)
    }
}

/// Where a model has no price, its accounts still differ by what is warm there: Sonnet's list price
/// sets the scale against which waiting is weighed.
pub const USUAL_RATES: Rates = Rates {
    input: 3_000_000_000,
    cached_read: 300_000_000,
    write_5m: 3_750_000_000,
    write_1h: 6_000_000_000,
    output: 15_000_000_000,
};

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52 nano-dollars")]
fn per_token(nano_per_million: u64) -> f64 {
    nano_per_million as f64 / 1e15
}

/// The terms of one candidate, in dollars.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Terms {
    /// The prompt.
    pub money: f64,
    /// The agent's time.
    pub delay: f64,
    /// The room that it takes from others.
    pub crowding: f64,
    /// Everything else; less than nothing for the home.
    pub other: f64,
}

impl Terms {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.money + self.delay + self.crowding + self.other
    }
}

/// What is known of one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Tokens that can be read there.
    pub(super) warm: u32,
    /// Tokens of the prompt.
    pub(super) tokens: u32,
    /// Until it may start there.
    pub(super) wait: Duration,
    /// How full the account is, 0 to 1.
    pub(super) utilisation: f64,
    /// The session was there last.
    pub(super) is_home: bool,
    /// The session would come to an account that has its share of them already.
    pub(super) over_share: bool,
    /// Signed thinking would be lost.
    pub(super) loses_thinking: bool,
    /// It has been refused there already.
    pub(super) refuses_thinking: bool,
}

impl Facts {
    /// More than half of the prompt must be paid in full.
    pub(super) const fn is_cold(&self) -> bool {
        self.warm <= self.tokens / 2
    }

    /// Tokens to be paid in full.
    pub(super) const fn fresh(&self) -> u32 {
        self.tokens.saturating_sub(self.warm)
    }

    /// What it costs to go there.
    pub(super) fn weigh(&self, price: &Price, weights: &Weights) -> Terms {
        let fresh = f64::from(self.fresh());
        let money = price.read * f64::from(self.warm.min(self.tokens)) + price.fresh * fresh;
        let delay = weights.delay * (self.wait.as_secs_f64() + fresh / PREFILL_PER_SECOND);
        let rho = self.utilisation.clamp(0.0, FULL);
        // What takes hardly any room crowds nobody out.
        let room = (fresh / ROOM).min(1.0).powi(2);
        let crowding =
            if self.is_cold() { weights.crowding * room * (rho / (1.0 - rho)).powi(2) } else { 0.0 };
        let mut other = 0.0;
        if self.is_home {
            other -= weights.home;
        }
        if self.over_share {
            other += weights.share;
        }
        if self.loses_thinking {
            other += weights.thinking;
        }
        if self.refuses_thinking {
            other += REFUSED;
        }
        Terms { money, delay, crowding, other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM: Facts = Facts {
        warm: 100_000,
        tokens: 104_000,
        wait: Duration::ZERO,
        utilisation: 0.0,
        is_home: false,
        over_share: false,
        loses_thinking: false,
        refuses_thinking: false,
    };

    fn cost(facts: &Facts) -> f64 {
        facts.weigh(&Price::of(&USUAL_RATES, true, false), &Weights::default()).total()
    }

    #[test]
    fn ten_seconds_of_waiting_are_cheaper_than_a_large_context_and_dearer_than_a_small_one() {
        let waiting = Facts { wait: Duration::from_secs(10), ..WARM };
        assert!(cost(&waiting) < cost(&Facts { warm: 0, ..WARM }));
        let small = Facts { warm: 4_000, tokens: 4_500, ..WARM };
        assert!(cost(&Facts { wait: Duration::from_secs(10), ..small }) > cost(&Facts { warm: 0, ..small }));
    }

    #[test]
    fn a_full_account_takes_in_no_strangers_and_keeps_its_own() {
        let full = |facts: Facts| Facts { utilisation: 1.0, ..facts };
        assert!((cost(&full(WARM)) - cost(&WARM)).abs() < 1e-12, "its own");
        let stranger = Facts { warm: 0, ..WARM };
        assert!(cost(&full(stranger)) > cost(&stranger) + 1.0);
    }

    #[test]
    fn home_breaks_a_tie_and_no_more() {
        let home = Facts { is_home: true, ..WARM };
        assert!(cost(&home) < cost(&WARM));
        assert!(cost(&Facts { warm: 90_000, ..home }) > cost(&WARM));
    }

    #[test]
    fn what_is_not_written_costs_the_plain_price() {
        let marked = Price::of(&USUAL_RATES, true, false);
        let plain = Price::of(&USUAL_RATES, false, false);
        assert!(plain.fresh < marked.fresh && marked.fresh < Price::of(&USUAL_RATES, true, true).fresh);
        assert!((marked.premium() - 3.45e-6).abs() < 1e-12);
    }
}
