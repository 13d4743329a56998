//! LiteLLM's price list: what its members mean, and what of it has no place here.
//!
//! Prices are per token, as JSON numbers. They are read as text and their point is moved: none passes
//! through floating point here. It did there, so that some have noise behind the ninth decimal of a
//! million tokens' price; that is rounded off, and told.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;

use crate::{
    config::PriceRow,
    types::{NanoUsd, Rates, plain_decimal},
};

/// What no million tokens cost.
const MOST_DOLLARS: u64 = 1_000_000;

/// Names shown of what was skipped for one reason.
const SHOWN: usize = 3;

/// What a list says.
pub(super) struct Read {
    /// By model.
    pub(super) rows: Vec<PriceRow>,
    /// Why models were skipped, and which.
    skipped: BTreeMap<String, Vec<String>>,
    /// Prices whose noise was rounded off.
    rounded: usize,
    /// Members of kept models that have no place here.
    unread: BTreeSet<&'static str>,
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a list; of its models those that are wanted.
pub(super) fn read(text: &str, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Read> {
    let models: BTreeMap<String, &RawValue> = serde_json::from_str(text)
        .context("it is not LiteLLM's price list, which is an object with a member for each model")?;
    let mut read = Read { rows: Vec::new(), skipped: BTreeMap::new(), rounded: 0, unread: BTreeSet::new() };
    let mut is_one = false;
    for (model, raw) in &models {
        let Ok(members) = serde_json::from_str::<Members<'_>>(raw.get()) else {
            read.skip("not an object", model);
            continue;
        };
        is_one |= members.contains_key("litellm_provider");
        if model == "sample_spec" || !is_wanted(model) {
            continue;
        }
        match read.row(model, &members) {
            Ok(row) => read.rows.push(row),
            Err(why) => read.skip(&why, model),
        }
    }
    if !is_one {
        bail!("it is not LiteLLM's price list: no model in it has a `litellm_provider`");
    }
    Ok(read)
}

impl Read {
    fn skip(&mut self, why: &str, model: &str) {
        self.skipped.entry(why.to_owned()).or_default().push(model.to_owned());
    }

    fn row(&mut self, model: &str, members: &Members<'_>) -> Result<PriceRow, String> {
        if !(1..=256).contains(&model.len()) || !model.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its name is no model's name".to_owned());
        }
        let mode = members.get("mode").map_or("\"chat\"", |raw| raw.get()).trim_matches('"');
        if !matches!(mode, "chat" | "completion" | "responses" | "embedding") {
            return Err(format!("mode `{}`", mode.chars().take(40).collect::<String>().escape_debug()));
        }
        if members.contains_key("tiered_pricing") {
            return Err("`tiered_pricing`, which is not read".to_owned());
        }
        let given = self.given(members, "")?;
        let (Some(input), Some(output)) = (given.input, given.output.or((mode == "embedding").then_some(0)))
        else {
            return Err("no price for tokens".to_owned());
        };
        if input == 0 && output == 0 {
            return Err("listed without a price; what is free here must be said by you".to_owned());
        }
        // What providers charge where they list no price of their own: cache reads and writes as
        // plain input.
        let write_5m = given.write_5m.unwrap_or(input);
        let rates = Rates {
            input,
            cached_read: given.cached_read.unwrap_or(input),
            write_5m,
            write_1h: given.write_1h.unwrap_or(write_5m),
            output,
        };
        let mut tiers = Vec::new();
        for thousands in tiers_of(members) {
            let tier = self.given(members, &format!("_above_{thousands}k_tokens"))?;
            tiers.push((thousands * 1_000, above(&given, &rates, &tier)));
        }
        self.note_unread(members);
        Ok(PriceRow { model: model.to_owned(), rates, tiers })
    }

    /// The prices of one tier; of the first one, without a suffix.
    fn given(&mut self, members: &Members<'_>, suffix: &str) -> Result<Given, String> {
        let write = "cache_creation_input_token_cost";
        let long = self.price(members, &format!("{write}_above_1hr{suffix}"))?;
        Ok(Given {
            input: self.price(members, &format!("input_cost_per_token{suffix}"))?,
            output: self.price(members, &format!("output_cost_per_token{suffix}"))?,
            cached_read: self.price(members, &format!("cache_read_input_token_cost{suffix}"))?,
            write_5m: self.price(members, &format!("{write}{suffix}"))?,
            // OpenAI's long life is another one.
            write_1h: match long {
                Some(long) => Some(long),
                None => self.price(members, &format!("{write}_above_12hr{suffix}"))?,
            },
        })
    }

    /// Nano-dollars per million tokens of a price per token.
    fn price(&mut self, members: &Members<'_>, name: &str) -> Result<Option<u64>, String> {
        let Some(raw) = members.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null") else {
            return Ok(None);
        };
        let bad = || format!("`{name}` is no price");
        let plain = plain_decimal(raw, 6).ok_or_else(bad)?;
        let exact = match plain.split_once('.') {
            Some((whole, part)) if part.len() > 9 => {
                self.rounded += 1;
                rounded(whole, part).ok_or_else(bad)?
            }
            Some(_) | None => plain,
        };
        NanoUsd::parse(&exact, MOST_DOLLARS).map(|nano| Some(nano.0)).ok_or_else(bad)
    }

    fn note_unread(&mut self, members: &Members<'_>) {
        for (part, what) in [
            ("_batches", "batch"),
            ("_flex", "flex"),
            ("_priority", "priority"),
            ("audio_token", "audio"),
            ("image_token", "image"),
            ("reasoning_token", "reasoning"),
        ] {
            if members.keys().any(|name| name.contains("cost") && name.contains(part)) {
                self.unread.insert(what);
            }
        }
    }

    /// What was skipped, and why.
    pub(super) fn tell_skipped(&self, out: &mut dyn Write) -> io::Result<()> {
        for (why, models) in &self.skipped {
            let names = models.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if models.len() > SHOWN { ", ..." } else { "" };
            writeln!(out, "skipped {}: {why} ({names}{more})", models.len())?;
        }
        if self.rounded > 0 {
            writeln!(out, "{} prices were rounded to nine decimals: noise of floating point", self.rounded)?;
        }
        if !self.unread.is_empty() {
            let kinds = self.unread.iter().copied().collect::<Vec<_>>().join(", ");
            writeln!(out, "not taken over: prices of other service and content ({kinds})")?;
        }
        Ok(())
    }
}

/// What a list says of one tier.
struct Given {
    input: Option<u64>,
    output: Option<u64>,
    cached_read: Option<u64>,
    write_5m: Option<u64>,
    write_1h: Option<u64>,
}

/// The rates of a tier: what it does not say costs what it cost below, and what was never said apart
/// from input costs what input costs there.
fn above(first: &Given, below: &Rates, tier: &Given) -> Rates {
    let input = tier.input.unwrap_or(below.input);
    let or = |own: Option<u64>, said: Option<u64>, below: u64, usual: u64| {
        own.unwrap_or(if said.is_some() { below } else { usual })
    };
    let write_5m = or(tier.write_5m, first.write_5m, below.write_5m, input);
    Rates {
        input,
        cached_read: or(tier.cached_read, first.cached_read, below.cached_read, input),
        write_5m,
        write_1h: or(tier.write_1h, first.write_1h, below.write_1h, write_5m),
        output: tier.output.unwrap_or(below.output),
    }
}

/// Thousands of input tokens at which other prices begin, ascending.
fn tiers_of(members: &Members<'_>) -> BTreeSet<u64> {
    const OURS: [&str; 4] = [
        "input_cost_per_token_above_",
        "output_cost_per_token_above_",
        "cache_read_input_token_cost_above_",
        "cache_creation_input_token_cost_above_",
    ];
    let tier = |name: &String| {
        let rest = OURS.iter().find_map(|ours| name.strip_prefix(ours))?;
        rest.strip_suffix("k_tokens")?
            .parse::<u64>()
            .ok()
            .filter(|thousands| (1..=100_000).contains(thousands))
    };
    members.keys().filter_map(tier).collect()
}

/// The nearest number of nine decimals.
fn rounded(whole: &str, part: &str) -> Option<String> {
    let (kept, rest) = part.split_at_checked(9)?;
    let up = rest.bytes().next().is_some_and(|digit| digit >= b'5');
    let all: u128 = format!("{whole}{kept}").parse().ok()?;
    let all = format!("{:0>10}", all.checked_add(u128::from(up))?);
    let (whole, part) = all.split_at_checked(all.len() - 9)?;
    Some(format!("{whole}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn noise_is_rounded_to_the_nearest() {
        for (whole, part, told) in [
            ("0", "9499999999", "0.950000000"),
            ("1", "6000000000000001", "1.600000000"),
            ("0", "0000000005", "0.000000001"),
            ("9", "9999999999", "10.000000000"),
            ("12", "0000000001", "12.000000000"),
        ] {
            assert_eq!(rounded(whole, part).as_deref(), Some(told), "{whole}.{part}");
        }
    }
}
