//! `warmkey gauge`, the real binary, at all kinds of endpoints.

mod bad_endpoints;
mod meddler;
mod money;
mod nginx;
mod pathologies;
mod ways;

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command};
use warmkey::sim::{Account, Sim, SimConfig};

use crate::harness::{sim_with, within};

/// Eight accounts without limits, each in a workspace of its own; agents call tools.
pub async fn unlimited() -> Sim {
    sim_with(without_limits).await
}

pub fn without_limits(config: &mut SimConfig) {
    config.accounts = std::mem::take(&mut config.accounts).into_iter().map(|it| it.limits(0, 0, 0)).collect();
    config.tool_rounds = 2;
}

/// One account of a provider.
pub fn first(sim: &Sim) -> &Account {
    &sim.config().accounts[0]
}

/// A run that has been started: without a terminal, and with no variable but `KEY` and those in `env`.
pub fn start(key: &str, args: &[&str], env: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warmkey"));
    for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "WARMKEY_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command
        .arg("gauge")
        .args(args)
        .env("KEY", key)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary")
}

/// What a run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub async fn of(child: Child) -> Self {
        let output = within("the run ends", child.wait_with_output()).await.expect("an end");
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// The objects of `--json`.
    #[track_caller]
    pub fn reports(&self) -> Vec<Value> {
        let lines = self.out.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap_or_else(|why| panic!("{why}: {}\n{}", self.out, self.err))
    }

    /// The only one of them.
    #[track_caller]
    pub fn report(&self) -> Value {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{}\n{}", self.out, self.err);
        reports.remove(0)
    }
}

/// Runs to the end.
pub async fn gauge(key: &str, args: &[&str]) -> Ran {
    Ran::of(start(key, args, &[])).await
}

/// The kinds of a report's diagnosis.
pub fn kinds(report: &Value) -> Vec<&str> {
    let list = report["diagnosis"].as_array().expect("a list");
    list.iter().map(|found| found["kind"].as_str().expect("a kind")).collect()
}

/// A hit rate in percent.
#[track_caller]
pub fn hits(report: &Value) -> f64 {
    report["hit_rate"].as_f64().unwrap_or_else(|| panic!("no hit rate: {report:#}")) * 100.0
}
