//! What a run may cost, told and asked for.

use std::{
    io::{self, BufRead as _, Write as _},
    sync::Arc,
};

use anyhow::{anyhow, bail};

use crate::{
    gauge::{Estimate, Tariff},
    metering::PriceList,
    types::NanoUsd,
};

/// The price of the model, or of the one that costs the same.
pub(super) fn tariff(like: Option<&str>, model: &str, prices: &Arc<PriceList>) -> anyhow::Result<Tariff> {
    let priced = like.unwrap_or(model);
    Tariff::new(priced, prices).ok_or_else(|| {
        anyhow!(
            "the price of `{priced}` is not known, so that no cap could hold\nname a model that costs the same with `--price-like MODEL`, or a price list with `--prices FILE`"
        )
    })
}

/// What is going to be sent.
pub(super) fn words(estimate: &Estimate) -> String {
    format!(
        "this sends about {} requests with {} tokens of prompts to each endpoint: at most about ${} at list prices, when \
         nothing is cached and all of it counts at the dearest rate; a fraction of that when it is",
        estimate.requests,
        rounded(estimate.input),
        cents(estimate.most)
    )
}

/// Asks on the terminal for the cap.
pub(super) fn ask(estimate: &Estimate) -> anyhow::Result<NanoUsd> {
    let mut terminal = io::stderr().lock();
    writeln!(terminal, "{}.", words(estimate))?;
    for _ in 0..3 {
        write!(terminal, "Spend up to how many dollars at each endpoint? ")?;
        terminal.flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        match super::dollars(&line) {
            Ok(spend) => return Ok(spend),
            Err(why) => writeln!(terminal, "{why}")?,
        }
    }
    bail!("nothing was sent")
}

/// Rounded up, so that it is not less than it says.
fn cents(money: NanoUsd) -> String {
    let cents = money.0.div_ceil(10_000_000);
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn rounded(tokens: u64) -> String {
    match tokens {
        0..10_000 => tokens.to_string(),
        10_000..1_000_000 => format!("{} thousand", tokens / 1_000),
        _ => format!("{}.{} million", tokens / 1_000_000, tokens % 1_000_000 / 100_000),
    }
}
