//! `warmkey ledger report`: one bill over all providers.

use std::{io::Write, process::ExitCode};

use serde_json::json;

use super::{Source, Time, dollars, time_text};
use crate::{
    clock::UnixTime,
    store::ledger::{By, Line},
};

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    time: Time,
    /// What it is broken down by
    #[arg(long, value_enum, default_value = "key")]
    by: Dimension,
    /// Show so many lines, the dearest (of days the latest); the total counts all
    #[arg(long, value_name = "N", default_value_t = 100)]
    top: u32,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Dimension {
    Organisation,
    Team,
    Key,
    /// A request counts once for each of its tags, so lines may come to more than the total
    Tag,
    Model,
    Provider,
    Endpoint,
    Session,
    Day,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    Table,
    Json,
}

impl Dimension {
    const fn by(self) -> (By, &'static str) {
        match self {
            Self::Organisation => (By::Organisation, "organisation"),
            Self::Team => (By::Team, "team"),
            Self::Key => (By::Key, "key"),
            Self::Tag => (By::Tag, "tag"),
            Self::Model => (By::Model, "model"),
            Self::Provider => (By::Provider, "provider"),
            Self::Endpoint => (By::Endpoint, "endpoint"),
            Self::Session => (By::Session, "session"),
            Self::Day => (By::Day, "day"),
        }
    }
}

pub(super) fn run(args: &Args, now: UnixTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let between = args.time.between(now)?;
    let (by, label) = args.by.by();
    let (lines, total) = args.source.open()?.report(by, between, args.top)?;
    match args.format {
        Format::Table => out.write_all(table(label, &lines, &total).as_bytes())?,
        Format::Json => {
            let millis = |at: UnixTime| u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX);
            let report = json!({
                "since": time_text(millis(between.0)),
                "until": time_text(millis(between.1)),
                "by": label,
                "lines": lines.iter().map(object).collect::<Vec<_>>(),
                "total": object(&total),
            });
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn object(line: &Line) -> serde_json::Value {
    json!({
        "name": line.name,
        "requests": line.requests,
        "ok": line.ok,
        "input": line.input,
        "cached_read": line.cached_read,
        "cache_write": line.cache_write,
        "output": line.output,
        "hit_rate": line.hit_rate(),
        "charge_nano_usd": line.charge,
        "charge_usd": dollars(line.charge),
        "billed_nano_usd": line.billed,
        "billed_usd": dollars(line.billed),
        "unpriced": line.unpriced,
        "estimated": line.estimated,
    })
}

fn table(label: &str, lines: &[Line], total: &Line) -> String {
    let head = [label, "requests", "ok", "input", "cached", "written", "output", "hits", "dollars", "billed"];
    let mut rows: Vec<[String; 10]> = vec![head.map(str::to_owned)];
    rows.extend(lines.iter().map(|line| cells(line.name.as_deref().unwrap_or("(none)"), line)));
    rows.push(cells("total", total));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut at = String::new();
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, figures to the right.
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if n == 0 { ("", padding.as_str()) } else { (padding.as_str(), "") };
            at.push_str(&format!("{before}{cell}{after}  "));
        }
        text.push_str(at.trim_end());
        text.push('\n');
    }
    if total.unpriced > 0 {
        let n = total.unpriced;
        text.push_str(&format!(
            "{n} requests have tokens and no known price: dollars lack them (`warmkey prices import`)\n"
        ));
    }
    if total.estimated > 0 {
        text.push_str(&format!("{} requests are our estimate: the provider never told\n", total.estimated));
    }
    text
}

fn cells(name: &str, line: &Line) -> [String; 10] {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let hits = line.hit_rate().map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let figure = |figure: u64| figure.to_string();
    [
        name,
        figure(line.requests),
        figure(line.ok),
        figure(line.input),
        figure(line.cached_read),
        figure(line.cache_write),
        figure(line.output),
        hits,
        money(line.charge),
        money(line.billed),
    ]
}

/// Dollars to a hundredth of a cent, rounded half-up.
fn money(nanos: u64) -> String {
    let units = nanos.saturating_add(50_000) / 100_000;
    format!("${}.{:04}", units / 10_000, units % 10_000)
}
