//! `warmkey prices import FILE`: LiteLLM's price list, in our form.
//!
//! Owns what is told of the difference, and the file that is written. What LiteLLM's members mean is
//! `litellm`'s. A file is replaced as a whole, and only by one that the gateway can read.

mod compare;
mod litellm;
mod write;

#[cfg(test)]
mod tests;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::{
    config::{self, Host, PriceRow},
    upstream::glob,
};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Read LiteLLM's `model_prices_and_context_window.json`, show what changes, write our price list
    Import(Import),
}

#[derive(clap::Args, Debug)]
pub(super) struct Import {
    /// LiteLLM's list
    file: PathBuf,
    /// Where the result goes; name it in `[metering] prices`
    #[arg(long, value_name = "FILE", default_value = "prices.toml")]
    out: PathBuf,
    /// Only models of this name or glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// The configuration whose prices are in force; without one, the built-in list and `--out`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the difference and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Show every new model, not only the first twenty
    #[arg(long)]
    all: bool,
}

pub(super) fn run(command: &Command, host: &dyn Host, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Command::Import(import) = command;
    let name = import.file.display();
    let text = fs::read_to_string(&import.file).with_context(|| format!("cannot read `{name}`"))?;
    let is_wanted = |model: &str| import.only.is_empty() || import.only.iter().any(|only| glob(only, model));
    let read = litellm::read(&text, is_wanted).with_context(|| format!("cannot import `{name}`"))?;
    if read.rows.is_empty() {
        read.tell_skipped(out)?;
        bail!(
            "no model of `{name}` has a price that can be used{}",
            if import.only.is_empty() { "" } else { "; is `--only` right?" }
        );
    }
    let (in_force, own) = in_force(import, host)?;
    compare::tell(&in_force, &own, &read.rows, is_wanted, import.all, out)?;
    read.tell_skipped(out)?;
    if import.dry_run {
        writeln!(out, "nothing was written: --dry-run")?;
        return Ok(ExitCode::SUCCESS);
    }
    replace(&import.out, &write::toml(&read.rows, &name.to_string()), host)?;
    writeln!(out, "{} models written to {}", read.rows.len(), import.out.display())?;
    if import.config.is_none() {
        writeln!(out, "put `prices = \"{}\"` under `[metering]` for them to hold", import.out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The prices in force, and those of them that the file to be written holds by now.
fn in_force(import: &Import, host: &dyn Host) -> anyhow::Result<(Vec<PriceRow>, Vec<PriceRow>)> {
    let own = if import.out.exists() {
        config::read_prices(&import.out, host).with_context(|| {
            format!("{} is there and is no price list; name another `--out`", import.out.display())
        })?
    } else {
        Vec::new()
    };
    let in_force = match &import.config {
        Some(file) => config::load(file, host)?.prices,
        None => {
            let mut rows = config::demo(host)?.prices;
            rows.retain(|row| own.iter().all(|mine| mine.model != row.model));
            rows.extend(own.iter().cloned());
            rows
        }
    };
    Ok((in_force, own))
}

/// Writes beside, reads it as the gateway will, and only then puts it in place.
fn replace(file: &Path, text: &str, host: &dyn Host) -> anyhow::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, text).with_context(|| format!("cannot write `{}`", beside.display()))?;
    let checked = config::read_prices(&beside, host).context("the result is no price list: please report it");
    let placed = checked.and_then(|_| {
        fs::rename(&beside, file).with_context(|| format!("cannot replace `{}`", file.display()))
    });
    if placed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    placed
}
