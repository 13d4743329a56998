//! The models on offer, each with its cache rules and its prices.
//!
//! The numbers are written down here a second time on purpose: the gateway reads `conf/prices.toml`,
//! and a wrong figure there must not agree with a wrong figure here (providers: price table).

use crate::types::{NanoUsd, Usage};

/// The stand-in tokenizer: four bytes are a token, a rest counts as one.
#[must_use]
pub const fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Which company's rules a model follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Maker {
    Anthropic,
    OpenAi,
    Aws,
    Google,
}

/// How prompts of a model are cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CacheRule {
    /// Anthropic: written at breakpoints, read up to 20 positions back; this is the smallest prefix.
    Marked { min: u64 },
    /// OpenAI up to GPT-5.5: automatic from 1,024 tokens in steps of 128; writes are free.
    Stepped,
    /// OpenAI from GPT-5.6: written at implicit and explicit breakpoints, for 30 minutes, at a price.
    Written,
}

/// One model on offer.
#[derive(Debug)]
pub struct Model {
    /// Its id; dated ids (`<id>-20260101`) mean the same.
    pub(super) id: &'static str,
    pub(super) maker: Maker,
    /// Models of one class share an organisation's limits.
    pub(super) class: &'static str,
    pub(super) cache: CacheRule,
    price: Price,
}

/// Thousandths of a dollar per million tokens, which is also nano-dollars per token.
#[derive(Debug)]
struct Price {
    input: u64,
    read: u64,
    write_short: u64,
    write_long: u64,
    output: u64,
    /// Prompts above so many tokens pay double for input and one and a half for output.
    long_above: u64,
}

impl Model {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// What `usage` costs, rounded half-up once.
    ///
    /// Computed per token in tenths of nano-dollars, because the cheapest read ($0.01 per million) is
    /// 10 nano-dollars and a tier may halve it.
    #[must_use]
    pub fn bill(&self, usage: &Usage) -> NanoUsd {
        let price = &self.price;
        let all_input =
            [usage.input, usage.cached_read, usage.write_5m, usage.write_1h].iter().copied().sum::<u64>();
        let (input_tenths, output_tenths) = if all_input > price.long_above { (20, 15) } else { (10, 10) };
        let mut input = 0_u64;
        for (count, each) in [
            (usage.input, price.input),
            (usage.cached_read, price.read),
            (usage.write_5m, price.write_short),
            (usage.write_1h, price.write_long),
        ] {
            input = input.saturating_add(count.saturating_mul(each));
        }
        let output = usage.output.saturating_mul(price.output);
        let tenths = input.saturating_mul(input_tenths).saturating_add(output.saturating_mul(output_tenths));
        NanoUsd(tenths.saturating_add(5) / 10)
    }
}

/// Finds a model by its id, or by a dated form of it (`-2026...`, `-latest`).
#[must_use]
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == name).or_else(|| {
        MODELS.iter().find(|model| {
            name.strip_prefix(model.id)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest == "latest" || rest.starts_with("20"))
        })
    })
}

/// All models of a maker, for `GET /v1/models`.
pub(super) fn of(maker: Maker) -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(move |model| model.maker == maker)
}

const NEVER: u64 = u64::MAX;

const fn claude(id: &'static str, class: &'static str, min: u64, price: [u64; 5]) -> Model {
    let [input, read, write_short, write_long, output] = price;
    Model {
        id,
        maker: Maker::Anthropic,
        class,
        cache: CacheRule::Marked { min },
        price: Price { input, read, write_short, write_long, output, long_above: NEVER },
    }
}

const fn gpt(id: &'static str, cache: CacheRule, long_above: u64, price: [u64; 5]) -> Model {
    let [input, read, write_short, write_long, output] = price;
    Model {
        id,
        maker: Maker::OpenAi,
        class: id,
        cache,
        price: Price { input, read, write_short, write_long, output, long_above },
    }
}

/// A model at AWS, by its id there without a version.
const fn aws(id: &'static str, min: u64, price: [u64; 5]) -> Model {
    let [input, read, write_short, write_long, output] = price;
    Model {
        id,
        maker: Maker::Aws,
        class: id,
        cache: CacheRule::Marked { min },
        price: Price { input, read, write_short, write_long, output, long_above: NEVER },
    }
}

const fn gemini(id: &'static str, long_above: u64, price: [u64; 3]) -> Model {
    let [input, read, output] = price;
    Model {
        id,
        maker: Maker::Google,
        class: id,
        cache: CacheRule::Stepped,
        price: Price { input, read, write_short: input, write_long: input, output, long_above },
    }
}

/// $ per million tokens in thousandths: input, cache read, short write, long write, output.
const MODELS: &[Model] = &[
    claude("claude-sonnet-4-6", "sonnet-4", 1_024, [3_000, 300, 3_750, 6_000, 15_000]),
    claude("claude-haiku-4-5", "haiku-4", 4_096, [1_000, 100, 1_250, 2_000, 5_000]),
    claude("claude-opus-4-8", "opus-4", 1_024, [5_000, 500, 6_250, 10_000, 25_000]),
    claude("claude-opus-5", "opus-5", 512, [5_000, 500, 6_250, 10_000, 25_000]),
    claude("claude-sonnet-5", "sonnet-5", 1_024, [2_000, 200, 2_500, 4_000, 10_000]),
    claude("claude-sonnet-5-5", "sonnet-5", 512, [2_000, 100, 2_500, 4_000, 10_000]),
    gpt("gpt-5.6", CacheRule::Written, 272_000, [4_000, 400, 5_000, 10_000, 20_000]),
    gpt("gpt-5.6-sol", CacheRule::Written, 272_000, [4_000, 400, 5_000, 10_000, 20_000]),
    gpt("gpt-5.5", CacheRule::Stepped, 272_000, [5_000, 500, 5_000, 5_000, 30_000]),
    gpt("gpt-5.4", CacheRule::Stepped, NEVER, [2_500, 250, 2_500, 2_500, 15_000]),
    gpt("gpt-5.4-mini", CacheRule::Stepped, NEVER, [750, 75, 750, 750, 4_500]),
    gpt("gpt-5.3-codex", CacheRule::Stepped, NEVER, [1_750, 175, 1_750, 1_750, 14_000]),
    gpt("gpt-5-mini", CacheRule::Stepped, NEVER, [250, 25, 250, 250, 2_000]),
    gpt("text-embedding-3-small", CacheRule::Stepped, NEVER, [20, 20, 20, 20, 0]),
    aws("us.anthropic.claude-sonnet-4-6", 1_024, [3_300, 330, 4_125, 6_600, 16_500]),
    aws("us.anthropic.claude-haiku-4-5", 4_096, [1_100, 110, 1_375, 2_200, 5_500]),
    aws("anthropic.claude-opus-5-5", 512, [4_000, 200, 5_000, 8_000, 20_000]),
    aws("us.amazon.nova-pro", 1_024, [800, 200, 800, 800, 3_200]),
    aws("amazon.titan-embed-text", NEVER, [20, 20, 20, 20, 0]),
    aws("cohere.embed-english", NEVER, [100, 100, 100, 100, 0]),
    gemini("gemini-3.1-pro-preview", 200_000, [2_000, 200, 12_000]),
    gemini("gemini-3.8-flash", NEVER, [750, 75, 3_750]),
    gemini("gemini-2.5-pro", 200_000, [1_250, 125, 10_000]),
    gemini("gemini-2.5-flash", NEVER, [300, 30, 2_500]),
    gemini("gemini-embedding-001", NEVER, [150, 150, 0]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_id_is_the_same_model_and_another_model_is_not() {
        assert_eq!(find("claude-haiku-4-5-20251001").map(|m| m.id), Some("claude-haiku-4-5"));
        assert_eq!(find("gpt-5.4-mini").map(|m| m.id), Some("gpt-5.4-mini"));
        assert!(find("gpt-5.4-maxi").is_none());
        assert!(find("gpt-9").is_none());
    }

    #[test]
    fn each_kind_of_token_costs_its_listed_price() {
        let usage = Usage {
            input: 1_000,
            cached_read: 1_000,
            write_5m: 1_000,
            write_1h: 1_000,
            output: 1_000,
            reasoning: 9,
        };
        let sonnet = find("claude-sonnet-4-6").unwrap();
        assert_eq!(sonnet.bill(&usage), NanoUsd(1_000 * (3_000 + 300 + 3_750 + 6_000 + 15_000)));
    }

    #[test]
    fn a_long_context_is_dearer_as_a_whole() {
        let gpt = find("gpt-5.6").unwrap();
        let long = Usage { input: 272_001, output: 10, ..Usage::default() };
        assert_eq!(gpt.bill(&long), NanoUsd(272_001 * 8_000 + 10 * 30_000));
    }

    #[test]
    fn four_bytes_are_a_token_and_a_rest_counts_as_one() {
        assert_eq!((tokens(0), tokens(1), tokens(4), tokens(5)), (0, 1, 1, 2));
    }
}
