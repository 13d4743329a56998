//! `[metering]`, and the price lists: the one in the binary and the operator's own.
//!
//! Prices are written in dollars per million tokens, as providers publish them, and read as decimal
//! text: no rate passes through floating point.

use std::{fs, path::Path};

use toml::{Spanned, de::DeValue};

use super::{
    Host, PriceRow,
    fault::Fault,
    read::{Reader, Section},
    value::number_text,
};
use crate::types::{NanoUsd, Rates};

/// `conf/prices.toml`, as built in.
const BUILT_IN: &str = include_str!("../../conf/prices.toml");

/// What no million tokens cost.
const MAX_DOLLARS: u64 = 1_000_000;

const REMEDY: &str = "write dollars per million tokens, such as `3.75`, with at most nine decimals";

/// Reads `[metering]` and every price list that it names.
pub(super) fn read(metering: &Section<'_>) -> Vec<PriceRow> {
    let host = metering.reader().host;
    let mut rows = match built_in(host) {
        Ok(rows) => rows,
        Err(faults) => {
            metering.reader().adopt(faults);
            Vec::new()
        }
    };
    let Some(path) = metering.path("prices") else { return rows };
    metering.reader().depends_on(path.value.clone());
    let own = match fs::read_to_string(&path.value) {
        Ok(text) => list(&text, &path.value, host),
        Err(error) => {
            let what = format!("cannot read `{}`: {error}", path.value.display());
            metering.fault_at(&path, &what, "name a price list that the gateway's user may read");
            return rows;
        }
    };
    match own {
        Ok(own) => {
            rows.retain(|row| own.iter().all(|mine| mine.model != row.model));
            rows.extend(own);
        }
        Err(faults) => metering.reader().adopt(faults),
    }
    rows
}

/// The list in the binary.
pub(super) fn built_in(host: &dyn Host) -> Result<Vec<PriceRow>, Vec<Fault>> {
    list(BUILT_IN, Path::new("conf/prices.toml"), host)
}

/// Whether a file is a price list by itself, and no configuration.
pub(super) fn is_list(text: &str) -> bool {
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("price") && table.keys().all(|key| key == "price"))
}

/// Reads one list.
pub(super) fn list(text: &str, file: &Path, host: &dyn Host) -> Result<Vec<PriceRow>, Vec<Fault>> {
    let reader = Reader::new(file, text, host);
    let table = reader.parse().map_err(|faults| faults.0)?;
    let rows = {
        let root = reader.root(table.get_ref());
        let mut rows: Vec<PriceRow> = Vec::new();
        root.tables("price", |price| {
            let Some(row) = row(price) else { return };
            if rows.iter().any(|other| other.model == row.model) {
                price.fault("model", &format!("`{}` is priced twice", row.model), "remove one of them");
            }
            rows.push(row);
        });
        root.refuse_unknown();
        rows
    };
    let found = reader.finish();
    if found.faults.is_empty() { Ok(rows) } else { Err(found.faults) }
}

fn row(price: &Section<'_>) -> Option<PriceRow> {
    let model = price.required("model", "write the name that the provider uses");
    let rates = rates(price, None);
    let mut tiers: Vec<(u64, Rates)> = Vec::new();
    price.tables("above", |tier| {
        let tokens = tier.whole("input_tokens", 0_u64, 1..=100_000_000);
        if tokens == 0 {
            tier.fault(
                "input_tokens",
                "missing",
                "write the number of input tokens above which these prices hold",
            );
        }
        if tiers.last().is_some_and(|(below, _)| *below >= tokens) {
            tier.fault(
                "input_tokens",
                "not above the tier before",
                "write tiers from the lowest to the highest",
            );
        }
        tiers.push((tokens, self::rates(tier, Some(&rates))));
    });
    Some(PriceRow { model: model?.value, rates, tiers })
}

/// What a row leaves out costs what it cost below the tier; in the first row, what providers charge
/// where they list no price of their own: cache reads and writes as plain input.
fn rates(price: &Section<'_>, below: Option<&Rates>) -> Rates {
    let input = required_rate(price, "input", below.map(|rates| rates.input));
    let output = required_rate(price, "output", below.map(|rates| rates.output));
    let cached_read = rate(price, "cached_read").unwrap_or(below.map_or(input, |rates| rates.cached_read));
    let write_5m = rate(price, "write_5m").unwrap_or(below.map_or(input, |rates| rates.write_5m));
    let write_1h = rate(price, "write_1h").unwrap_or(below.map_or(write_5m, |rates| rates.write_1h));
    Rates { input, cached_read, write_5m, write_1h, output }
}

fn required_rate(price: &Section<'_>, key: &'static str, below: Option<u64>) -> u64 {
    if price.get(key).is_none() && below.is_none() {
        price.fault(key, "missing", REMEDY);
    }
    rate(price, key).or(below).unwrap_or(0)
}

/// Nano-dollars per million tokens.
fn rate(price: &Section<'_>, key: &'static str) -> Option<u64> {
    let value: &Spanned<DeValue<'_>> = price.get(key)?;
    let text = value.get_ref().as_str().or_else(|| number_text(value.get_ref()));
    let Some(text) = text else {
        price.wrong_type(key, value, "a price", REMEDY);
        return None;
    };
    let nano = NanoUsd::parse(text, MAX_DOLLARS).map(|nano| nano.0);
    if nano.is_none() {
        price.fault(key, &format!("`{}` is not a price", text.escape_debug()), REMEDY);
    }
    nano
}
