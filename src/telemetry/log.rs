//! One voice: `tracing`, with Pingora's `log` records bridged into it.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogParams {
    /// A filter such as `info` or `warmkey=debug,warn`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// Starts the log; called once. A filter that cannot be read falls back to `info` and says so.
pub fn start_log(params: &LogParams) {
    // Pingora reports every client that leaves as an error; the request's own line says it better.
    let quiet = "pingora_proxy=off,pingora_core=error,h2=error,hyper=error,rustls=error";
    let text = format!("{},{quiet}", params.filter);
    let (filter, fault) = match EnvFilter::try_new(&text) {
        Ok(filter) => (filter, None),
        Err(fault) => (EnvFilter::new(format!("info,{quiet}")), Some(fault)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start (two gateways in one process) keeps the first one's settings.
    let started = match params.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(fault)) = (started, fault) {
        tracing::warn!(filter = %params.filter, %fault, "log filter not understood, using `info`");
    }
}
