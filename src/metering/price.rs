//! What models cost.
//!
//! A model is found by its exact name, else without what dates it. Nothing else is guessed: a near
//! name is another model at another price (`gpt-5.6` is no `gpt-5`, `gpt-5.4-mini` no `gpt-5.4`), and a
//! missing price is a metric, never a zero.

use ahash::AHashMap;

use crate::types::{NanoUsd, Rates, Usage};

/// Rates for long prompts: they hold for the *whole* request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriceTier {
    /// All input tokens, cached or not, must be more than this.
    pub above_input_tokens: u64,
    /// The rates then.
    pub rates: Rates,
}

/// The price of one model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PriceEntry {
    /// Its name as the provider knows it, without a date.
    pub model: String,
    /// Its rates, in nano-dollars per million tokens.
    pub rates: Rates,
    /// Its rates for long prompts, in any order.
    pub tiers: Vec<PriceTier>,
}

#[derive(Clone, Debug)]
struct Price {
    rates: Rates,
    /// Highest first.
    tiers: Vec<PriceTier>,
}

/// Prices by model.
#[derive(Clone, Debug, Default)]
pub struct PriceList {
    prices: AHashMap<String, Price>,
}

impl PriceList {
    /// A list of these entries; a later one replaces an earlier one of the same model, so that a file
    /// of corrections can follow the one we ship.
    #[must_use]
    pub fn new(entries: Vec<PriceEntry>) -> Self {
        let prices = entries.into_iter().map(|entry| {
            let mut tiers = entry.tiers;
            tiers.sort_by_key(|tier| std::cmp::Reverse(tier.above_input_tokens));
            (entry.model, Price { rates: entry.rates, tiers })
        });
        Self { prices: prices.collect() }
    }

    /// The rates of a request to `model` with so many input tokens, cached or not.
    #[must_use]
    pub fn rates(&self, model: &str, total_input: u64) -> Option<Rates> {
        let price = self.find(model)?;
        let tier = price.tiers.iter().find(|tier| total_input > tier.above_input_tokens);
        Some(tier.map_or(price.rates, |tier| tier.rates))
    }

    /// What `usage` of `model` costs; `None` when nobody has said.
    #[must_use]
    pub fn charge(&self, model: &str, usage: &Usage) -> Option<NanoUsd> {
        Some(self.rates(model, usage.total_input())?.charge(usage))
    }

    /// All rates of `model`, each with the input tokens above which it holds, from 0 up; empty when
    /// nobody has said.
    #[must_use]
    pub fn tiers(&self, model: &str) -> Vec<(u64, Rates)> {
        let Some(price) = self.find(model) else { return Vec::new() };
        let tiers = price.tiers.iter().rev().map(|tier| (tier.above_input_tokens, tier.rates));
        std::iter::once((0, price.rates)).chain(tiers).collect()
    }

    /// How many models have a price.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// Whether no model has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    fn find(&self, model: &str) -> Option<&Price> {
        self.prices.get(model).or_else(|| {
            let ends = model.char_indices().rev().filter(|(_, c)| matches!(c, '-' | '@' | ':'));
            ends.map(|(at, _)| model.split_at(at))
                .filter(|(_, suffix)| only_dates(suffix))
                .find_map(|(base, _)| self.prices.get(base))
        })
    }
}

/// Whether a suffix, separator in front, says only *which build* of a model: a date (`-20260115`,
/// `-2026-01-15`, `-0613`), `-latest`, or Bedrock's version (`-v1:0`), or several of them.
fn only_dates(suffix: &str) -> bool {
    let Some(rest) = suffix.strip_prefix(['-', '@', ':']) else { return false };
    let parts: Vec<&str> = rest.split(['-', '@', ':']).collect();
    let digits = |part: &str, lengths: &[usize]| {
        lengths.contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit())
    };
    let mut parts = parts.as_slice();
    while let Some((&first, more)) = parts.split_first() {
        parts = match (first, more) {
            // A year, a month and a day.
            (year, [month, day, rest @ ..])
                if digits(year, &[4]) && digits(month, &[2]) && digits(day, &[2]) =>
            {
                rest
            }
            (date, rest) if digits(date, &[4, 6, 8]) => rest,
            ("latest" | "default", rest) => rest,
            (version, [revision, rest @ ..])
                if version.strip_prefix('v').is_some_and(|n| digits(n, &[1, 2]))
                    && digits(revision, &[1, 2]) =>
            {
                rest
            }
            (version, rest) if version.strip_prefix('v').is_some_and(|n| digits(n, &[1, 2])) => rest,
            _ => return false,
        };
    }
    true
}
