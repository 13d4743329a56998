//! `warmkey gauge`: agents are driven at endpoints, and what was seen is told.
//!
//! Owns the words, the question for the cap, the progress on standard error, and what Ctrl-C does. What is
//! sent and what it means is `gauge`'s.

mod cost;
mod key;
mod logs;
mod progress;

#[cfg(test)]
mod tests;

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::watch;

use self::progress::Progress;
use crate::{
    config::{self, Host, ThisHost, parse_duration},
    gauge::{self, Conduct, Ended, Plan, Report, Run, Seen, Shape, Source, Stopped, Tally, Via},
    metering::PriceList,
    types::{Dialect, ModelName, NanoUsd},
};

/// Shown below the options.
const MORE: &str = "\
Keys are read from the environment and never printed: from the variable that an endpoint is written with \
(`NAME=URL`), or that --key-env names; else from ANTHROPIC_API_KEY at api.anthropic.com, from OPENAI_API_KEY at \
api.openai.com, and from WARMKEY_TOKEN anywhere else. A provider's key goes to no other host unless it is named.

What is sent: per agent a system prompt and tools that the fleet shares (3,000 tokens), a context of its own (4,000), \
then turns and tool results, some hundred to some thousand tokens each, with cache_control marks as Claude Code sets \
them. Sessions are named by the headers of each dialect's usual client, and by prompt_cache_key. The first agent is \
answered once before the others start. 429s, 5xx and broken connections are tried again twice, as SDKs do; each try \
counts.

Endpoints are measured one after the other, each with the same plan. A nonce in front of every prompt keeps them \
from warming each other's caches, and each run from finding the last one's. --pace 1 takes minutes and shows whether \
caches live as long as people pause; --pace 0 takes seconds, hits limits sooner, and says nothing about lifetimes.

Before every request the most that it can cost is set aside: what was not sent before at a token a byte, all at the \
dearest rate, and all of --max-tokens. It is settled to what was reported, and charged as set aside where nothing is. \
So --spend is not exceeded, and some of it may be left over.

--json prints one object a line for each endpoint, with hit_rate, hit_rate_by_turn, cost_per_1k_turns, turns, errors, \
status_429, ttft_p50_s, diagnosis [{kind, sentence}] and more. Ctrl-C ends the run and gives the report so far; twice \
quits. Exit status: 0; 1 under --fail-below; 2 when it could not run.";

/// An endpoint, or what was recorded.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Command {
    #[command(subcommand)]
    recorded: Option<Recorded>,
    #[command(flatten)]
    drive: Option<Args>,
}

#[derive(clap::Subcommand, Debug)]
enum Recorded {
    /// The same diagnosis from recorded traffic: session logs, request logs, traces, receipts
    Logs(logs::Args),
}

#[derive(clap::Args, Debug)]
#[command(after_long_help = MORE, after_help = "More: --help")]
struct Args {
    /// The endpoint's base URL, with or without `/v1`; `NAME=URL` takes its key from the variable NAME
    #[arg(value_name = "URL")]
    url: String,
    /// Another endpoint to compare with the first; may be repeated
    #[arg(long, value_name = "URL")]
    against: Vec<String>,
    /// The variable that holds the first endpoint's key
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// What is spoken (default: `anthropic` for a model with `claude` in its name, and without `--model`; else `chat`)
    #[arg(long)]
    dialect: Option<Spoken>,
    /// The model that is asked for (default: `claude-sonnet-4-6`, or `gpt-5.6`)
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The most that may be spent at each endpoint, in dollars; asked for on a terminal
    #[arg(long, value_name = "USD", value_parser = dollars)]
    spend: Option<NanoUsd>,
    /// The model whose price counts, where that of `--model` is not known
    #[arg(long, value_name = "MODEL")]
    price_like: Option<String>,
    /// A price list of your own beside the built-in one
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Agents side by side
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    agents: u32,
    /// User turns of each; every turn has none to three tool rounds, and every third agent a sub-agent
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    turns: u32,
    /// Pauses between turns and tool calls: 1 as in life (half a minute, two seconds), 0 none
    #[arg(long, value_name = "X", default_value = "1", value_parser = pace)]
    pace: f64,
    /// Output tokens of each answer at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=100_000))]
    max_tokens: u32,
    /// How often one prompt is sent before the fleet, to count the caches behind the endpoint
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    probe: u32,
    /// Name no session, in headers or bodies
    #[arg(long)]
    no_ids: bool,
    /// A request that takes longer is given up
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = time)]
    timeout: Duration,
    /// Where chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object for each endpoint
    #[arg(long)]
    json: bool,
    /// Write a report with plots to this file, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with 1 when an endpoint's hit rate is below so many percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_below: Option<f64>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Spoken {
    /// Anthropic's Messages
    Anthropic,
    /// OpenAI's Chat Completions
    Chat,
    /// OpenAI's Responses
    Responses,
}

fn dollars(text: &str) -> Result<NanoUsd, String> {
    let money = NanoUsd::parse(text.trim().trim_start_matches('$'), crate::types::MOST_DOLLARS);
    money.filter(|money| money.0 > 0).ok_or_else(|| "write dollars, such as `2.50`".to_owned())
}

fn pace(text: &str) -> Result<f64, String> {
    number(text, 100.0).ok_or_else(|| "write a number from 0 to 100".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    number(text.trim_end_matches('%'), 100.0).ok_or_else(|| "write a number from 0 to 100".to_owned())
}

fn number(text: &str, most: f64) -> Option<f64> {
    text.parse().ok().filter(|number| (0.0..=most).contains(number))
}

fn time(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).filter(|span| !span.is_zero() && *span <= Duration::from_secs(3_600));
    span.ok_or_else(|| "write a time up to an hour, such as `30s` or `5m`".to_owned())
}

impl Args {
    fn dialect(&self) -> Dialect {
        match (self.dialect, &self.model) {
            (Some(Spoken::Anthropic), _) => Dialect::Anthropic,
            (Some(Spoken::Chat), _) => Dialect::OpenAiChat,
            (Some(Spoken::Responses), _) => Dialect::OpenAiResponses,
            (None, Some(model)) if !model.contains("claude") => Dialect::OpenAiChat,
            (None, _) => Dialect::Anthropic,
        }
    }

    fn conduct(&self) -> Conduct {
        let dialect = self.dialect();
        let usual = if dialect == Dialect::Anthropic { "claude-sonnet-4-6" } else { "gpt-5.6" };
        Conduct {
            dialect,
            model: self.model.clone().unwrap_or_else(|| usual.to_owned()),
            max_tokens: self.max_tokens,
            ids: !self.no_ids,
            probes: self.probe,
            timeout: self.timeout,
        }
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let (agents, turns) = (usize::try_from(self.agents)?, usize::try_from(self.turns)?);
        Ok(Plan::new(&Shape { agents, turns, pace: self.pace, seed: self.seed }))
    }
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match (&command.recorded, &command.drive) {
        (Some(Recorded::Logs(args)), _) => logs::run(args, out),
        (None, Some(args)) => drive(args, out),
        (None, None) => bail!("name an endpoint: `warmkey gauge URL`"),
    }
}

fn drive(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let host: &dyn Host = &ThisHost;
    let conduct = args.conduct();
    let prices = Arc::new(config::price_list(&config::prices(args.prices.as_deref(), host)?));
    let tariff = cost::tariff(args.price_like.as_deref(), &conduct.model, &prices)?;
    let first = key::target(&args.url, args.key_env.as_deref(), host)?;
    let others = args.against.iter().map(|url| key::target(url, None, host));
    let targets = std::iter::once(Ok(first)).chain(others).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(file) = &args.html {
        // Better now than after the money was spent.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("cannot write `{}`; name another file with `--html`", file.display()))?;
    }
    let plan = args.plan()?;
    let estimate = gauge::estimate(&plan, &conduct, &tariff);
    let spend = match args.spend {
        Some(spend) => spend,
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => cost::ask(&estimate)?,
        None => bail!(
            "{}\npass the most that may be spent at each endpoint: `--spend USD`",
            cost::words(&estimate)
        ),
    };
    let runs = targets.into_iter().map(|target| Run::new(target, &conduct, &tariff, spend));
    let runs = runs.collect::<Result<Vec<_>, _>>().map_err(|sentence| anyhow!(sentence))?;
    let measuring = Measuring { args, conduct: &conduct, plan: &plan, prices: &prices };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let reports = runtime.block_on(measuring.all(&runs, out))?;
    if !args.json {
        write!(out, "{}", gauge::text(&reports))?;
    }
    if let Some(file) = &args.html {
        std::fs::write(file, gauge::html(&reports))
            .with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    let enough = |report: &Report| {
        args.fail_below.is_none_or(|least| report.hit_rate().is_some_and(|rate| rate * 100.0 >= least))
    };
    Ok(if reports.iter().all(enough) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What holds for all endpoints.
struct Measuring<'m> {
    args: &'m Args,
    conduct: &'m Conduct,
    plan: &'m Plan,
    prices: &'m Arc<PriceList>,
}

impl Measuring<'_> {
    /// Checks all endpoints, then measures one after the other.
    async fn all(&self, runs: &[Run], out: &mut dyn Write) -> anyhow::Result<Vec<Report>> {
        let stop = interrupts();
        for run in runs {
            match run.check(stop.clone()).await {
                Ok(true) => {}
                Ok(false) => bail!("interrupted before anything was measured"),
                Err(sentence) => bail!("{sentence}"),
            }
        }
        let mut reports: Vec<Report> = Vec::new();
        for run in runs {
            if *stop.borrow() {
                let _ = writeln!(io::stderr(), "not measured: {}", run.target().name());
                continue;
            }
            let report = self.one(run, reports.first(), stop.clone()).await?;
            if self.args.json {
                writeln!(out, "{}", serde_json::to_string(&report)?)?;
                out.flush()?;
            }
            reports.push(report);
        }
        Ok(reports)
    }

    async fn one(
        &self,
        run: &Run,
        beside: Option<&Report>,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Report> {
        let source = Source {
            name: run.target().name().to_owned(),
            via: Via::Driven,
            dialect: Some(self.conduct.dialect),
            model: Some(ModelName::from(self.conduct.model.as_str())),
            priced_as: self.args.price_like.as_deref().map(ModelName::from),
        };
        let mut tally = Tally::new(source, Arc::clone(self.prices));
        let whole = self.plan.requests() + usize::try_from(self.conduct.probes)?;
        let mut progress = Progress::new(run.target().name(), whole);
        let ended = run
            .go(self.plan, stop, &mut |seen| {
                let observed = match seen {
                    Seen::Probe(observed) => {
                        tally.probed(observed);
                        observed
                    }
                    Seen::Fleet(observed) => {
                        tally.note(observed);
                        observed
                    }
                };
                progress.step(observed.usage, run.cap().spent());
            })
            .await;
        progress.clear();
        let ended = ended.map_err(|sentence| anyhow!(sentence))?;
        let mut report = tally.finish(beside);
        report.spent_usd = Some(run.cap().spent().as_usd());
        report.stopped = match ended {
            Ended::Done => None,
            Ended::Spent => Some(Stopped::Budget { cap_usd: run.cap().limit().as_usd() }),
            Ended::Interrupted => Some(Stopped::Interrupted),
            Ended::Failing => Some(Stopped::Failing),
        };
        Ok(report)
    }
}

/// Turns true at the first Ctrl-C. The second one quits.
fn interrupts() -> watch::Receiver<bool> {
    let (asked, stop) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be heard: then it ends us as it always did.
            return std::future::pending::<()>().await;
        }
        asked.send_replace(true);
        let _ = tokio::signal::ctrl_c().await;
        quit();
    });
    stop
}

#[expect(
    clippy::disallowed_methods,
    reason = "asked for twice; a report that nobody reads may be in the way"
)]
fn quit() {
    std::process::exit(130);
}
