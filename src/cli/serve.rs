//! `warmkey serve`: runs the gateway.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::server::{self, Started};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The configuration; without one, a demo against a simulated provider
    #[arg(long, short, value_name = "FILE", env = "WARMKEY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let demo = args.config.is_none();
    server::serve(args.config.as_deref(), |started| {
        // Somebody who closed our standard output still wants the gateway.
        let _ = tell(started, demo, out);
    })?;
    Ok(ExitCode::SUCCESS)
}

fn tell(started: &Started<'_>, demo: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let scheme = if started.tls { "https" } else { "http" };
    for note in &started.notes {
        writeln!(out, "note: {note}")?;
    }
    for address in started.data {
        writeln!(out, "gateway   {scheme}://{address}")?;
    }
    writeln!(out, "admin     http://{}", started.admin)?;
    if let Some(sim) = started.sim {
        writeln!(out, "provider  http://{sim} (simulated: never bills, needs no key)")?;
    }
    writeln!(out, "models    {} over {} endpoints", started.models.join(", "), started.endpoints)?;
    if demo && let Some(address) = started.data.first() {
        writeln!(out, "\nTry it:")?;
        writeln!(out, "  curl -sN {scheme}://{address}/v1/messages -H 'content-type: application/json' \\")?;
        writeln!(
            out,
            "    -d '{{\"model\":\"claude-sonnet-4-6\",\"max_tokens\":200,\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
        )?;
        writeln!(out, "  warmkey sim --drive {scheme}://{address}      # fifty agents, staying put")?;
        writeln!(
            out,
            "  http://{}/ in a browser              # what is warm, throttled, spent, saved",
            started.admin
        )?;
    }
    out.flush()
}
