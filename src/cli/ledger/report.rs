//! `warmkey ledger report`: one bill over all providers.

use std::{io::Write, process::ExitCode};

use clap::builder::PossibleValue;
use serde_json::json;

use super::{Source, Time, dollars, time_text};
use crate::{
    clock::UnixTime,
    store::ledger::{By, Line},
    types::with_figures,
};

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    time: Time,
    /// What it is broken down by
    #[arg(long, value_enum, default_value = "key")]
    by: By,
    /// Show so many lines, the dearest (of days the latest); the total counts all
    #[arg(long, value_name = "N", default_value_t = 100)]
    top: u32,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    Table,
    Json,
}

impl clap::ValueEnum for By {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.label());
        Some(if *self == Self::Tag {
            value.help("A request counts once for each of its tags, so lines may come to more than the total")
        } else {
            value
        })
    }
}

pub(super) fn run(args: &Args, now: UnixTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let between = args.time.between(now)?;
    let label = args.by.label();
    let (lines, total) = args.source.open()?.report(args.by, between, args.top)?;
    match args.format {
        Format::Table => out.write_all(table(label, &lines, &total).as_bytes())?,
        Format::Json => {
            let report = json!({
                "since": time_text(between.0.as_millis()),
                "until": time_text(between.1.as_millis()),
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
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| cells(line.name.as_deref().unwrap_or("(none)"), line)));
    rows.push(cells("total", total));
    let mut text = with_figures(&rows);
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

fn cells(name: &str, line: &Line) -> Vec<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let hits = line.hit_rate().map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let figure = |figure: u64| figure.to_string();
    vec![
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
