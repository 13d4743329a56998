//! `warmkey gauge logs`: the same diagnosis, of traffic that was recorded.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};

use crate::{
    config::{self, ThisHost},
    gauge::{self, Report},
    types::ModelName,
};

/// Shown below the options.
const MORE: &str = "\
What is understood, told by what stands in a file and not by its name; gzip is unpacked:

  Claude Code     session logs, ~/.claude/projects/*/*.jsonl: each answer is counted once, sub-agents are
                  conversations of their own
  request logs    of SDKs and gateways, one JSON object a line with a request's body and its answer:
                  body      the line itself with `messages`, or `request`, `body`, `kwargs`, `input`, ...
                  answer    `response`, `output`, `completion`, `result`, ...: an object, a stream's text, or chunks
                  usage     in the answer, or `usage`; by Anthropic's or OpenAI's names
                  when      `timestamp`, `time`, `created_at`, `startTime`, ...: RFC 3339 or a number since 1970
                  session   `session_id`, `conversation_id`, `thread_id`, ..., also in `metadata` or `headers`; without
                            one, conversations are told by their prompts
                  account   `anthropic-organization-id` and the like in `response_headers`, or `model_id`, `deployment`
                  With bodies it is told where and why prompts change, and whether `cache_control` is there.
  traces          warmkey's `[trace] file`: no usage is in them, so they say what a cache could have read
  receipts        warmkey ledger export --format jsonl

Of a folder all *.jsonl and *.ndjson are read, also packed (.gz) or rotated (.1), subfolders included, in the order \
of their first lines' times. Lines that cannot be read are counted and left out; so are lines over 64 MiB. Nothing is kept \
of prompts but hashes, nothing is sent anywhere, and memory does not grow with the files.

Each path is a report of its own; the first is what the others are compared with. Exit status: 0; 1 under \
--fail-below; 2 when nothing could be read.";

#[derive(clap::Args, Debug)]
#[command(after_long_help = MORE, after_help = "What is understood: --help")]
pub(super) struct Args {
    /// Files, or folders of files
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The model whose prices count, whatever was asked for
    #[arg(long, value_name = "MODEL")]
    price_like: Option<String>,
    /// A price list of your own beside the built-in one
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print one JSON object for each path
    #[arg(long)]
    json: bool,
    /// Write a report with plots to this file, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 1 when a path's hit rate is below so many percent
    #[arg(long, value_name = "PERCENT", value_parser = super::percent)]
    fail_below: Option<f64>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let prices = Arc::new(config::price_list(&config::prices(args.prices.as_deref(), &ThisHost)?));
    let mut reports: Vec<Report> = Vec::new();
    for path in &args.paths {
        let like = args.price_like.as_deref().map(ModelName::from);
        let report = gauge::read_logs(path, like, Arc::clone(&prices), reports.first(), &mut tell);
        clear();
        let report = report.with_context(|| format!("cannot read `{}`", path.display()))?;
        if report.requests == 0 {
            bail!("{}", nothing(&report));
        }
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        }
        reports.push(report);
    }
    if !args.json {
        write!(out, "{}", gauge::text(&reports))?;
    }
    if let Some(file) = &args.html {
        std::fs::write(file, gauge::html(&reports))
            .with_context(|| format!("cannot write `{}`; name another file with `--html`", file.display()))?;
    }
    let enough = |report: &Report| {
        args.fail_below.is_none_or(|least| report.hit_rate().is_some_and(|rate| rate * 100.0 >= least))
    };
    Ok(if reports.iter().all(enough) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why there is no report.
fn nothing(report: &Report) -> String {
    let name = &report.endpoint;
    let Some(read) = &report.read else { return format!("{name}: nothing was read") };
    let seen = if read.files == 0 {
        "no *.jsonl in it".to_owned()
    } else if read.lines == 0 {
        "it is empty".to_owned()
    } else {
        let fault = read.first_fault.as_ref().map_or_else(String::new, |fault| format!("; {fault}"));
        format!("{} lines, and no request in a format that is understood{fault}", read.lines)
    };
    format!("{name}: {seen}\n`warmkey gauge logs --help` says which formats are read")
}

/// How far it is, for whoever watches a terminal.
fn tell(bytes: u64) {
    if io::stderr().is_terminal() {
        // Nobody to tell is no reason to stop.
        let _ = write!(io::stderr(), "\rread {} MB", bytes >> 20);
    }
}

fn clear() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}
