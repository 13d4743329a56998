//! A price list in our form.

use std::fmt::Write as _;

use super::compare::fields;
use crate::{
    config::PriceRow,
    types::{NanoUsd, Rates},
};

/// The text of a list; `source` is named at its top.
pub(super) fn toml(rows: &[PriceRow], source: &str) -> String {
    let source: String = source.chars().filter(|c| !c.is_control()).collect();
    let mut text = format!(
        "# What models cost, in US dollars per million tokens: imported from `{source}`, LiteLLM's price list.\n\
         # `warmkey prices import` replaces this file; put corrections of your own elsewhere.\n\nprice = [\n"
    );
    for row in rows {
        let _ = write!(text, "    {{ model = {}, {}", quoted(&row.model), members(&row.rates));
        if !row.tiers.is_empty() {
            let tiers: Vec<String> = row
                .tiers
                .iter()
                .map(|(above, rates)| format!("{{ input_tokens = {above}, {} }}", members(rates)))
                .collect();
            let _ = write!(text, ", above = [{}]", tiers.join(", "));
        }
        text.push_str(" },\n");
    }
    text + "]\n"
}

fn members(rates: &Rates) -> String {
    fields(rates).map(|(name, nano)| format!("{name} = {}", NanoUsd(nano).dollars())).join(", ")
}

/// Names are plain characters; two of them mean something between quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}
