//! What changes when one list of prices takes another's place.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    config::PriceRow,
    types::{NanoUsd, Rates},
};

/// New models shown, unless all are asked for.
const SHOWN: usize = 20;

/// Tells what is new, what changes, and what goes. `own`: those in force that the file to be replaced
/// holds.
pub(super) fn tell(
    in_force: &[PriceRow],
    own: &[PriceRow],
    read: &[PriceRow],
    is_wanted: impl Fn(&str) -> bool,
    all: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let before: BTreeMap<&str, &PriceRow> = in_force.iter().map(|row| (row.model.as_str(), row)).collect();
    let after: BTreeMap<&str, &PriceRow> = read.iter().map(|row| (row.model.as_str(), row)).collect();
    let (mut new, mut same) = (0, 0);
    for (model, row) in &after {
        match before.get(model) {
            None => {
                new += 1;
                if all || new <= SHOWN {
                    writeln!(out, "new      {model}: {}", shown(&row.rates))?;
                }
            }
            Some(known) if (known.rates, &known.tiers) == (row.rates, &row.tiers) => same += 1,
            Some(known) => writeln!(out, "changed  {model}: {}", changes(known, row))?,
        }
    }
    if !all && new > SHOWN {
        writeln!(out, "... and {} more that are new; `--all` shows them", new - SHOWN)?;
    }
    for row in own.iter().filter(|row| !after.contains_key(row.model.as_str())) {
        writeln!(out, "gone     {}: it stood in the file that is replaced", row.model)?;
    }
    let own: Vec<&str> = own.iter().map(|row| row.model.as_str()).collect();
    let kept = before.keys().filter(|model| is_wanted(model) && !after.contains_key(*model));
    let kept: Vec<&str> = kept.copied().filter(|model| !own.contains(model)).collect();
    if !kept.is_empty() {
        writeln!(out, "{} models are not in the list and keep their price: {}", kept.len(), kept.join(", "))?;
    }
    writeln!(out, "{new} new, {} changed, {same} as before", after.len() - new - same)
}

fn shown(rates: &Rates) -> String {
    fields(rates).map(|(name, nano)| format!("{name} {}", NanoUsd(nano).dollars())).join(", ")
}

fn changes(known: &PriceRow, row: &PriceRow) -> String {
    let change = |before: &Rates, after: &Rates| {
        let pairs =
            fields(before).into_iter().zip(fields(after)).filter(|(before, after)| before.1 != after.1);
        let words = pairs.map(|((name, before), (_, after))| {
            format!("{name} {} -> {}", NanoUsd(before).dollars(), NanoUsd(after).dollars())
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let mut parts = vec![change(&known.rates, &row.rates)];
    for (above, rates) in &row.tiers {
        parts.push(match known.tiers.iter().find(|(tokens, _)| tokens == above) {
            Some((_, before)) if before == rates => String::new(),
            Some((_, before)) => format!("above {above} tokens {}", change(before, rates)),
            None => format!("above {above} tokens now {}", shown(rates)),
        });
    }
    for (above, _) in
        known.tiers.iter().filter(|(above, _)| row.tiers.iter().all(|(tokens, _)| tokens != above))
    {
        parts.push(format!("above {above} tokens no other price any more"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

/// The rates by their names in our files.
pub(super) fn fields(rates: &Rates) -> [(&'static str, u64); 5] {
    [
        ("input", rates.input),
        ("cached_read", rates.cached_read),
        ("write_5m", rates.write_5m),
        ("write_1h", rates.write_1h),
        ("output", rates.output),
    ]
}
