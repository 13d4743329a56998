//! The two ends of `make bench`: clients that ask, and a provider that answers, for next to nothing.
//!
//! What is measured sits between them, so both ends must be far cheaper than it: they speak just enough
//! HTTP/1.1 on plain sockets, every answer is made once, and a request is one `write`. `benches/process/run.py`
//! starts the parts, pins them to cores and reads the one JSON line that each run prints.
//!
//! Owned here: traffic, and reading the CPU and memory of the processes in the middle. Not here: what is
//! compared with what, how often, and the verdict.
#![expect(clippy::print_stdout, reason = "its one line of JSON is the result")]
#![expect(clippy::disallowed_methods, reason = "a load generator measures by the wall clock")]

mod client;
mod http;
mod measure;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

/// Traffic for `make bench`.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers as a provider would: JSON, or a stream of events when the body asks for one.
    Upstream {
        #[arg(long)]
        listen: SocketAddr,
        /// Text events in a stream.
        #[arg(long, default_value_t = 20)]
        events: u32,
        /// Milliseconds between two of them; 0 sends a stream in one piece.
        #[arg(long, default_value_t = 0)]
        interval_ms: u64,
    },
    /// Asks again and again on kept-alive connections; with `--rate`, at given times.
    Post {
        #[command(flatten)]
        traffic: Traffic,
        #[arg(long, default_value_t = 32)]
        connections: usize,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Requests a second over all connections; without it, each asks as soon as it was answered.
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Opens many streams, keeps them open, and counts their events.
    Streams {
        #[command(flatten)]
        traffic: Traffic,
        #[arg(long, default_value_t = 1000)]
        streams: usize,
        /// Seconds to measure, once all are open.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
}

/// Where to, what, and whose CPU is being watched.
#[derive(Args)]
struct Traffic {
    #[arg(long)]
    target: SocketAddr,
    /// The request body; `@CONVERSATION@` in it becomes a number of the same length, another on each connection.
    #[arg(long)]
    body: PathBuf,
    /// Processes whose CPU time and resident memory are reported.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
}

/// How long a run may take beyond what was asked for, before it gives up: a hung proxy must not hang CI.
const GRACE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    // One thread: the runner gives both ends one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Cli::parse().command {
            Command::Upstream { listen, events, interval_ms } => {
                upstream::serve(listen, upstream::Script::new(events, Duration::from_millis(interval_ms)))
                    .await
            }
            Command::Post { traffic, connections, seconds, rate } => {
                let requests = client::Requests::load(&traffic.body, traffic.target)?;
                let plan = client::Plan { connections, seconds: duration(seconds)?, rate };
                let run = client::post(traffic.target, requests, &plan, &traffic.pids);
                println!(
                    "{}",
                    tokio::time::timeout(plan.seconds + GRACE, run).await.context("the run hung")??
                );
                Ok(())
            }
            Command::Streams { traffic, streams, seconds } => {
                let requests = client::Requests::load(&traffic.body, traffic.target)?;
                let seconds = duration(seconds)?;
                let run = client::streams(traffic.target, requests, streams, seconds, &traffic.pids);
                println!("{}", tokio::time::timeout(seconds + GRACE, run).await.context("the run hung")??);
                Ok(())
            }
        }
    })
}

fn duration(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("--seconds is not a length of time")
}
