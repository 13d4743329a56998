//! The commands; nothing else prints.
//!
//! Owns the words on the command line and the text of answers. Not here: what a command does beyond
//! asking and telling. A command writes to the `out` it is given and returns how it went; only
//! [`main`] knows the terminal.

mod check;
mod connect;
mod endpoint;
mod gauge;
mod http;
mod import;
mod key;
mod ledger;
mod prices;
mod replay;
mod serve;
mod sim;

use std::{
    convert::Infallible,
    io::{self, ErrorKind, Write},
    process::ExitCode,
    str::FromStr,
};

use clap::{Parser, Subcommand};

use crate::types::Secret;

/// The edge gateway for fleets of LLM agents.
#[derive(Parser, Debug)]
#[command(name = "warmkey", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway; without a file, a demo that needs no key
    Serve(serve::Args),
    /// Run the simulated provider by itself, or drive agents at a gateway
    Sim(sim::Args),
    /// Compare ways to choose accounts in virtual time, on simulated agents or a recorded trace
    Replay(replay::Args),
    /// Measure how warm any endpoint keeps prompts: drives agents at it, and says what is wrong
    Gauge(Box<gauge::Command>),
    /// Check a configuration: every fault at once, with line and remedy
    Check(check::Args),
    /// List endpoints of a running gateway, or take one out and in
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// Make, list, change, rotate and revoke keys
    #[command(subcommand)]
    Key(Box<key::Command>),
    /// What models cost: take over another gateway's list
    #[command(subcommand)]
    Prices(prices::Command),
    /// Print a client's settings for this gateway, and make one test call
    Connect(connect::Args),
    /// Turn another gateway's configuration into ours
    #[command(subcommand)]
    Import(import::Command),
    /// What was spent: every receipt, or one bill
    #[command(subcommand)]
    Ledger(ledger::Command),
}

/// Reads the command line, runs the command, and says how it went.
///
/// 0: well. 1: it ran and the answer is no, such as a faulty configuration. 2: it could not run.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Help and version are asked for, and go to standard output.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let out = &mut io::stdout().lock();
    let result = match cli.command {
        Command::Serve(args) => serve::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::Gauge(args) => gauge::run(&args, out),
        Command::Sim(args) => asynchronous(sim::run(&args, out)),
        Command::Check(args) => {
            check::run(&args, &crate::config::ThisHost, Some(crate::server::live_check), out)
        }
        Command::Endpoint(command) => asynchronous(endpoint::run(&command, out)),
        Command::Key(command) => asynchronous(key::run(&command, out, &mut io::stderr().lock())),
        Command::Prices(command) => prices::run(&command, &crate::config::ThisHost, out),
        Command::Connect(args) => asynchronous(connect::run(&args, out)),
        Command::Import(command) => import::run(&command, out),
        Command::Ledger(command) => ledger::run(&command, out),
    };
    match result.and_then(|code| out.flush().map(|()| code).map_err(Into::into)) {
        Ok(code) => code,
        // `warmkey ... | head` is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "warmkey: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Runs a command that talks to a gateway.
fn asynchronous(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// A token from the command line or the environment: never in `Debug` output.
///
/// Any text will do here: clap quotes what it refuses, and this must not be quoted.
#[derive(Clone, Debug)]
struct Token(Secret);

impl Token {
    /// The text, if there is any.
    fn text(token: Option<&Self>) -> Option<&str> {
        token.map(|token| token.0.expose()).filter(|text| !text.is_empty())
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text.trim().to_owned())))
    }
}

/// The first line of an answer, cut to what fits a terminal.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_is_never_quoted() {
        let cli =
            Cli::try_parse_from(["warmkey", "connect", "openai", "--key", "se cret"]).expect("any text");
        assert!(!format!("{cli:?}").contains("se cret"));
        let empty: Token = " ".parse().expect("any text");
        assert_eq!(Token::text(Some(&empty)), None, "an empty variable is no token");
    }
}
