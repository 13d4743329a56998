//! `warmkey ledger export`: receipts as they are in the file, with times and dollars as people write them.

use std::{
    borrow::Cow,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serializer as _;
use serde_json::Value;

use super::{Source, Time, dollars, time_text};
use crate::{
    clock::UnixTime,
    store::ledger::{Between, LedgerFile, Rating, Row},
};

/// Columns that hold JSON.
const LISTS: [&str; 3] = ["tags", "attempts", "charged"];

/// Receipts read at once.
const PAGE: u32 = 1_000;

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    time: Time,
    /// How they are written
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    /// A table with a line of names; texts that a spreadsheet would take for formulas begin with `'`
    Csv,
    /// One JSON object a line
    Jsonl,
}

pub(super) fn run(args: &Args, now: UnixTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let between = args.time.between(now)?;
    let ledger = args.source.open()?;
    match args.format {
        Format::Csv => csv(&ledger, between, out)?,
        Format::Jsonl => each(&ledger, between, |row, rating| {
            let told = serde_json::Serializer::new(&mut *out).collect_map(fields(row, rating, true));
            // As the plain error that it is: a reader that left is no fault.
            told.map_err(io::Error::from)?;
            Ok(out.write_all(b"\n")?)
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn each(
    ledger: &LedgerFile,
    between: Between,
    mut give: impl FnMut(&Row, Option<&Rating>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(mut after) = ledger.before_first(between)? else { return Ok(()) };
    loop {
        let rows = ledger.page(after, between, PAGE)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let ratings = ledger.feedback(first.seq, last.seq)?;
        for row in &rows {
            give(row, ratings.get(&row.id))?;
        }
        after = last.seq;
    }
}

fn csv(ledger: &LedgerFile, between: Between, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    // Also where there is nothing to write: whoever reads it knows the columns.
    table.write_record(fields(&Row::default(), None, false).iter().map(|(name, _)| *name)).map_err(plain)?;
    each(ledger, between, |row, rating| {
        let cells = fields(row, rating, false);
        table.write_record(cells.iter().map(|(_, cell)| cell_text(cell).into_owned())).map_err(plain)
    })?;
    Ok(table.flush()?)
}

/// An error of the output as the plain error that it is: a reader that left is no fault.
fn plain(error: csv::Error) -> anyhow::Error {
    let text = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error.into() } else { anyhow::anyhow!(text) }
}

/// A receipt's columns in order; `nested`: lists as lists, and not as the texts in the file.
fn fields(row: &Row, rating: Option<&Rating>, nested: bool) -> Vec<(&'static str, Value)> {
    let mut object = serde_json::to_value(row).unwrap_or_default();
    let mut fields: Vec<_> = Row::names()
        .map(|name| (name, object.get_mut(name).map(Value::take).unwrap_or_default()))
        .map(|(name, value)| {
            let text = value.as_str().filter(|_| nested && LISTS.contains(&name));
            (name, text.and_then(list).unwrap_or(value))
        })
        .collect();
    let usd = |nanos: Option<u64>| nanos.map_or(Value::Null, |nanos| Value::String(dollars(nanos)));
    fields.push(("time", Value::String(time_text(row.at))));
    fields.push(("charge_usd", usd(row.charge)));
    fields.push(("billed_usd", usd(row.billed)));
    let labels = rating.map_or("[]", |rating| rating.labels.as_str());
    fields.push(("score", rating.and_then(|rating| rating.score).map_or(Value::Null, Value::from)));
    fields.push(("labels", if nested { list(labels) } else { None }.unwrap_or_else(|| labels.into())));
    fields
}

fn list(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn cell_text(cell: &Value) -> Cow<'_, str> {
    match cell {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => harmless(text),
        Value::Bool(true) => Cow::Borrowed("1"),
        Value::Bool(false) => Cow::Borrowed("0"),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(cell.to_string()),
    }
}

/// A text that no spreadsheet takes for a formula, whoever chose the name.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
