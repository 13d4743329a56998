//! `warmkey ledger export|report`: from the ledger's file, also while the gateway runs.

mod export;
mod report;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    clock::{self, UnixTime},
    config::{self, parse_duration},
    store::ledger::{Between, LedgerFile},
};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Every receipt of some time, as CSV or one JSON object a line
    Export(export::Args),
    /// One bill over all providers: requests, tokens, hit rate, dollars
    Report(report::Args),
}

/// Which ledger.
#[derive(clap::Args, Clone, Debug)]
struct Source {
    /// The ledger's file
    #[arg(long, value_name = "FILE", env = "WARMKEY_LEDGER", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The gateway's configuration, which names the file
    #[arg(long, short, value_name = "FILE", env = "WARMKEY_CONFIG")]
    config: Option<PathBuf>,
}

/// From when until when.
#[derive(clap::Args, Clone, Debug)]
struct Time {
    /// From then on: how long ago (`24h`, `30d`), a day (`2026-11-01`, UTC) or a time (`2026-11-01T08:00:00Z`)
    #[arg(long, value_name = "WHEN", value_parser = when, default_value = "24h")]
    since: When,
    /// Before then; the present if left out
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<When>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Ago(Duration),
    At(UnixTime),
}

fn when(text: &str) -> Result<When, String> {
    if let Some(span) = parse_duration(text) {
        return Ok(When::Ago(span));
    }
    let day = text.parse::<jiff::civil::Date>().ok();
    let day = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|day| day.timestamp());
    // A day is also the beginning of a time, so the longer form is tried first.
    let time = text.parse::<jiff::Timestamp>().ok().or(day);
    let millis = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    millis.map(|millis| When::At(UnixTime(Duration::from_millis(millis)))).ok_or_else(|| {
        "write how long ago (`24h`, `30d`), a day (`2026-11-01`) or a time (`2026-11-01T08:00:00Z`)"
            .to_owned()
    })
}

impl Time {
    fn between(&self, now: UnixTime) -> anyhow::Result<Between> {
        let at = |when: When| match when {
            When::Ago(span) => UnixTime(now.0.saturating_sub(span)),
            When::At(at) => at,
        };
        // What came just now counts, whoever's clock is a little ahead.
        let end = UnixTime(now.0 + Duration::from_secs(60));
        let (since, until) = (at(self.since), self.until.map_or(end, at));
        if since >= until {
            bail!("`--since` is not before `--until`: there is nothing between them");
        }
        Ok((since, until))
    }
}

impl Source {
    fn open(&self) -> anyhow::Result<LedgerFile> {
        let file = match (&self.file, &self.config) {
            (Some(file), _) => file.clone(),
            (None, Some(path)) => {
                let loaded = config::load(path, &config::ThisHost);
                let config = loaded.map_err(|faults| {
                    anyhow::anyhow!("{faults}\nthe configuration has faults; name the ledger with `--file`")
                })?;
                let ledger = config.ledger.with_context(|| {
                    format!("{}: the ledger is switched off (`ledger.enabled`)", path.display())
                })?;
                ledger.params.file
            }
            (None, None) => {
                bail!("name the ledger with `--file`, or the gateway's configuration with `--config`")
            }
        };
        Ok(LedgerFile::open(&file)?)
    }
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let now = clock::unix_now();
    match command {
        Command::Export(args) => export::run(args, now, out),
        Command::Report(args) => report::run(args, now, out),
    }
}

/// Nano-dollars as exact dollars: `1.234567890`.
fn dollars(nanos: u64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Milliseconds since 1970 as people write it.
fn time_text(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

#[cfg(test)]
mod tests;
