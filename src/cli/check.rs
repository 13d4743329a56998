//! `warmkey check FILE`: every fault at once.

use std::{collections::BTreeSet, io::Write, path::PathBuf, process::ExitCode};

use crate::{
    config::{self, Config, Host},
    server::LiveReport,
    upstream::{Credentials, ProviderParams},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The file to check; without one, the built-in demo
    file: Option<PathBuf>,
    /// Ask each provider with each key as well: free, and shows which keys share limits
    #[arg(long)]
    live: bool,
}

/// Asks each provider with each key: [`crate::server::live_check`], or a test's stand-in.
type Live = fn(&Config) -> anyhow::Result<LiveReport>;

pub(super) fn run(
    args: &Args,
    host: &dyn Host,
    live: Option<Live>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.file {
        let told = match config::load_prices(file, host) {
            Ok(None) => None,
            Ok(Some(models)) => {
                writeln!(out, "{}: ok: prices of {}", file.display(), counted(models, "model"))?;
                Some(ExitCode::SUCCESS)
            }
            Err(faults) => {
                writeln!(out, "{faults}\n{}: {}", file.display(), counted(faults.0.len(), "fault"))?;
                Some(ExitCode::FAILURE)
            }
        };
        if let Some(code) = told {
            return Ok(code);
        }
    }
    let (name, loaded) = match &args.file {
        Some(file) => (file.display().to_string(), config::load(file, host)),
        None => ("the built-in demo".to_owned(), config::demo(host)),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(faults) => {
            writeln!(out, "{faults}")?;
            writeln!(out, "{name}: {}", counted(faults.0.len(), "fault"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    for note in &config.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out, "{name}: ok: {}", summary(&config))?;
    for provider in &config.providers {
        writeln!(out, "  {}", described(provider, &config))?;
    }
    if !args.live {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(live) = live else { anyhow::bail!("this build cannot ask providers; run it without `--live`") };
    let report = live(&config)?;
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(config: &Config) -> String {
    let domains: BTreeSet<_> =
        config.endpoints.iter().filter_map(|endpoint| endpoint.rate_domain.as_ref()).collect();
    let learned = config.endpoints.iter().filter(|endpoint| endpoint.rate_domain.is_none()).count();
    let mut text = format!(
        "{}, {}, {}, {}",
        counted(config.providers.len(), "provider"),
        counted(config.endpoints.len(), "endpoint"),
        counted(config.models.len(), "model"),
        counted(config.callers.len(), "caller"),
    );
    if !domains.is_empty() {
        text.push_str(&format!("; {} named", counted(domains.len(), "rate domain")));
    }
    if learned > 0 {
        text.push_str(&format!("; {} to be learned", counted(learned, "rate domain")));
    }
    text
}

/// `bedrock: bedrock at bedrock-runtime.eu-west-1.amazonaws.com; auth sigv4, the instance's AWS role`
fn described(provider: &ProviderParams, config: &Config) -> String {
    let speaks: Vec<&str> = provider.speaks.iter().map(|dialect| dialect.label()).collect();
    let auth = match provider.credentials {
        Credentials::Caller => "the caller's own credential".to_owned(),
        Credentials::Gateway => {
            let own = config.endpoints.iter().filter(|endpoint| endpoint.provider == provider.name);
            let kinds: BTreeSet<&str> = own
                .map(|endpoint| match (&endpoint.grant, &endpoint.key) {
                    (Some(grant), _) => grant.label(),
                    (None, Some(_)) => "a key",
                    (None, None) => "no key",
                })
                .collect();
            let kinds: Vec<&str> = kinds.into_iter().collect();
            format!(
                "auth {}, {}",
                provider.auth.label(),
                if kinds.is_empty() { "no endpoint".to_owned() } else { kinds.join(" or ") }
            )
        }
    };
    format!("{}: {} at {}{}; {auth}", provider.name, speaks.join(", "), provider.host, provider.base_path)
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bare;

    impl Host for Bare {
        fn var(&self, _: &str) -> Option<String> {
            None
        }

        fn memory(&self) -> u64 {
            8 << 30
        }
    }

    fn check(file: Option<&str>, live: Option<Live>) -> (String, bool) {
        let args = Args { file: file.map(PathBuf::from), live: live.is_some() };
        let mut out = Vec::new();
        let code = run(&args, &Bare, live, &mut out).expect("it runs");
        (String::from_utf8(out).expect("text"), code == ExitCode::SUCCESS)
    }

    #[test]
    fn a_sound_file_is_summed_up_in_a_line() {
        let (text, ok) = check(None, None);
        assert!(ok);
        assert_eq!(
            text,
            "the built-in demo: ok: 2 providers, 16 endpoints, 2 models, 0 callers; 3 rate domains named\n\
             \x20 anthropic: anthropic at 127.0.0.1; auth x-api-key, a key\n\
             \x20 openai: openai-chat, openai-responses at 127.0.0.1; auth bearer, a key\n"
        );
    }

    #[test]
    fn a_faulty_file_fails_and_is_told_of_whole() {
        let (text, ok) = check(Some("conf/minimal.toml"), None);
        assert!(!ok);
        assert_eq!(
            text,
            "conf/minimal.toml:7: `endpoint[1].key`: environment variable `ANTHROPIC_API_KEY` is not set; \
             set it (`export ANTHROPIC_API_KEY=...`), or name another place\n\
             conf/minimal.toml: 1 fault\n"
        );
    }

    #[test]
    fn a_live_check_that_fails_fails_the_command() {
        let dead: Live = |config| {
            Ok(LiveReport { lines: vec![format!("{} keys, one is dead", config.endpoints.len())], ok: false })
        };
        let (text, ok) = check(None, Some(dead));
        assert!(!ok && text.ends_with("16 keys, one is dead\n"), "{text}");
    }
}
