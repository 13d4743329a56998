//! `warmkey sim`: the simulated provider by itself, or a fleet of agents at a gateway.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use crate::{
    sim::{
        self, Account, SimConfig,
        agents::{self, Identity, Way, Workload},
    },
    types::Dialect,
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the provider listens
    #[arg(long, default_value = "127.0.0.1:9099", conflicts_with = "drive")]
    listen: SocketAddr,
    /// Drive simulated agents at this gateway instead
    #[arg(long, value_name = "URL")]
    drive: Option<String>,
    /// Agents side by side
    #[arg(long, default_value_t = 50, requires = "drive")]
    agents: usize,
    /// Turns of each
    #[arg(long, default_value_t = 20, requires = "drive")]
    turns: usize,
    /// The model to ask for
    #[arg(long, default_value = "claude-sonnet-4-6", requires = "drive")]
    model: String,
    /// Send no session id, so that the conversation must be recognised by its contents
    #[arg(long, requires = "drive")]
    no_ids: bool,
    /// A token of the gateway's, where it asks for one
    #[arg(long, env = "WARMKEY_TOKEN", hide_env_values = true, default_value = "none")]
    token: super::Token,
}

pub(super) async fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.drive {
        Some(url) => drive(args, url, out).await,
        None => provide(args, out).await,
    }
}

async fn provide(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let accounts = (1..=8).map(|n| {
        let organization = ["acme", "birch", "cobalt"][(n - 1) / 3];
        Account::new(&format!("sim-{n}"), organization, &format!("{organization}-{n}"))
    });
    let config = SimConfig { listen: args.listen, accounts: accounts.collect(), ..SimConfig::default() };
    let until = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let mut told = Ok(());
    sim::serve(
        config,
        |sim| {
            told = writeln!(out, "simulated provider on {}, keys sim-1 to sim-8", sim.base_url())
                .and_then(|()| out.flush());
        },
        until,
    )
    .await?;
    told?;
    Ok(ExitCode::SUCCESS)
}

async fn drive(args: &Args, url: &str, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let dialect = if args.model.contains("claude") { Dialect::Anthropic } else { Dialect::OpenAiChat };
    let token = super::Token::text(Some(&args.token)).unwrap_or("none").to_owned();
    let mut workload = Workload::new(Way::Gateway { base_url: url.to_owned(), token }, dialect, &args.model);
    workload.agents = args.agents;
    workload.turns = args.turns;
    workload.fleet = fastrand::u64(..);
    if args.no_ids {
        workload.identity = Identity::Anonymous;
    }
    writeln!(out, "{} agents of {} turns at {url} ...", args.agents, args.turns)?;
    out.flush()?;
    let run = agents::run(&workload).await;
    let (home, later) = run.at_home();
    let usage = run.usage();
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part_of(part, whole) };
    writeln!(out, "requests       {} ({} failed)", run.exchanges.len(), run.failures().len())?;
    writeln!(out, "stayed put     {home} of {later} later requests")?;
    writeln!(out, "cache hits     {:.1} % of input tokens", share(usage.cached_read, usage.total_input()))?;
    let mut homes = std::collections::BTreeMap::<&str, usize>::new();
    for home in run.homes() {
        *homes.entry(home).or_default() += 1;
    }
    for (endpoint, sessions) in homes {
        writeln!(out, "  {endpoint:<24} {sessions} sessions")?;
    }
    Ok(if run.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn part_of(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
