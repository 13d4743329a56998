//! `warmkey key create|list|show|set|rotate|revoke|disable|enable`.
//!
//! Over the admin API of a running gateway, or with `--file` in the store itself, which a gateway that
//! runs notices within two seconds. A token goes to standard output, alone, so that it can be piped
//! into a secret store; everything else goes to standard error.

mod flags;
mod place;

#[cfg(test)]
mod tests;

use std::{io::Write, process::ExitCode};

use serde_json::{Value, json};

use self::{
    flags::{Settings, grace},
    place::Place,
};
use crate::{config::duration_text, types::aligned};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Make a key; prints its token, this once
    Create {
        /// Its name: logs and reports show it
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        at: Where,
    },
    /// Every key
    List {
        /// Only of this organisation
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
        /// Only of this team
        #[arg(long, value_name = "NAME")]
        team: Option<String>,
        /// Only with this tag
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
        #[command(flatten)]
        at: Where,
    },
    /// A key, and where its limits and budgets stand
    Show {
        /// Its id or name
        key: String,
        #[command(flatten)]
        at: Where,
    },
    /// Change a key; what is not named stays
    Set {
        /// Its id or name
        key: String,
        /// A new name
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// Takes a setting back to its default, such as `expires` or `budgets`; may be repeated
        #[arg(long, value_name = "SETTING")]
        clear: Vec<String>,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        at: Where,
    },
    /// Give a key a new token; prints it, this once
    Rotate {
        /// Its id or name
        key: String,
        /// How long the old token is accepted; 0s to 30d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = grace)]
        grace: std::time::Duration,
        #[command(flatten)]
        at: Where,
    },
    /// Take a key back for good
    Revoke {
        /// Its id or name
        key: String,
        #[command(flatten)]
        at: Where,
    },
    /// Refuse a key until it is enabled
    Disable {
        /// Its id or name
        key: String,
        #[command(flatten)]
        at: Where,
    },
    /// Accept a key that was disabled
    Enable {
        /// Its id or name
        key: String,
        #[command(flatten)]
        at: Where,
    },
}

/// Where the keys are, and how answers are written.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Where {
    #[command(flatten)]
    admin: super::endpoint::Admin,
    /// The variable that holds the admin listener's token, if it is another one
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// The ledger's file: without a gateway, or beside it
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    file: Option<std::path::PathBuf>,
    /// The whole answer as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// Runs a command: answers to `out`, words about them to `err`.
pub(super) async fn run(
    command: &Command,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { name, settings, at } => {
            let mut body = settings.body()?;
            body["name"] = json!(name);
            let made = Place::of(at).await?.create(&body).await?;
            token(&made, "made", at, out, err)?;
        }
        Command::List { organisation, team, tag, at } => {
            let filter = [("organisation", organisation), ("team", team), ("tag", tag)];
            let keys = Place::of(at).await?.list(&filter).await?;
            if at.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&json!({"keys": keys}))?)?;
            } else {
                out.write_all(aligned(&rows(&keys)).as_bytes())?;
            }
        }
        Command::Show { key, at } => {
            let shown = Place::of(at).await?.show(key).await?;
            writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        }
        Command::Set { key, rename, clear, settings, at } => {
            let mut body = settings.body()?;
            for setting in clear {
                body[setting.as_str()] = Value::Null;
            }
            if let Some(name) = rename {
                body["name"] = json!(name);
            }
            changed(key, &body, "changed", at, out, err).await?;
        }
        Command::Rotate { key, grace, at } => {
            let place = Place::of(at).await?;
            let id = place.id(key).await?;
            let made = place.rotate(&id, &duration_text(*grace)).await?;
            token(&made, "rotated", at, out, err)?;
        }
        Command::Revoke { key, at } => {
            let place = Place::of(at).await?;
            let id = place.id(key).await?;
            let done = place.revoke(&id).await?;
            told(&done, &format!("key {id} is revoked"), at, out, err)?;
        }
        Command::Disable { key, at } => {
            changed(key, &json!({"disabled": true}), "disabled", at, out, err).await?;
        }
        Command::Enable { key, at } => {
            changed(key, &json!({"disabled": null}), "enabled", at, out, err).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn changed(
    key: &str,
    patch: &Value,
    done: &str,
    at: &Where,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<()> {
    let place = Place::of(at).await?;
    let id = place.id(key).await?;
    let now = place.change(&id, patch).await?;
    told(&now, &format!("key {id} (`{}`) is {done}", text(&now, "name")), at, out, err)
}

fn told(
    answer: &Value,
    words: &str,
    at: &Where,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<()> {
    if at.json {
        writeln!(out, "{}", serde_json::to_string_pretty(answer)?)?;
    } else {
        writeln!(err, "{words}")?;
    }
    Ok(())
}

/// The token alone on standard output; the rest beside it.
fn token(
    made: &Value,
    done: &str,
    at: &Where,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<()> {
    if at.json {
        writeln!(out, "{}", serde_json::to_string_pretty(made)?)?;
        return Ok(());
    }
    let old = made.get("old_token_until").and_then(Value::as_str);
    let old = old.map(|until| format!("; the old one is accepted until {until}")).unwrap_or_default();
    let words = format!("key {} (`{}`) is {done}{old}", text(made, "id"), text(made, "name"));
    writeln!(err, "{words}; its token is shown this once:")?;
    writeln!(out, "{}", text(made, "token"))?;
    Ok(())
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Keys as a table.
fn rows(keys: &[Value]) -> Vec<Vec<String>> {
    let head =
        ["ID", "NAME", "STATE", "ORGANISATION", "TEAM", "TAGS", "EXPIRES", "TOKEN", "LIMITS", "BUDGETS"];
    let mut rows = vec![head.map(ToOwned::to_owned).to_vec()];
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for key in keys {
        let tags = key.get("tags").and_then(Value::as_array).into_iter().flatten();
        let tags: Vec<_> = tags.filter_map(Value::as_str).collect();
        let limits = key.get("limits").and_then(Value::as_object).into_iter().flatten();
        let limits: Vec<_> = limits.map(|(name, value)| format!("{name}={value}")).collect();
        let prefix = text(key, "prefix");
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}...") };
        let cells = [
            text(key, "id").to_owned(),
            text(key, "name").to_owned(),
            text(key, "state").to_owned(),
            text(key, "organisation").to_owned(),
            text(key, "team").to_owned(),
            tags.join(","),
            text(key, "expires").to_owned(),
            prefix,
            limits.join(" "),
            budgets(key).join(" "),
        ];
        rows.push(cells.map(or_dash).to_vec());
    }
    rows
}

/// `$5/day`, `1000000 tokens/month`.
fn budgets(key: &Value) -> Vec<String> {
    let own = key.get("budgets").and_then(Value::as_array).into_iter().flatten();
    let each = key.get("session_budgets").and_then(Value::as_array).into_iter().flatten();
    let shown = |budget: &Value| {
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let amount = match (budget.get("usd"), budget.get("tokens")) {
            (Some(usd), _) => format!("${}", plain(usd)),
            (None, Some(tokens)) => format!("{tokens}tokens"),
            (None, None) => "?".to_owned(),
        };
        let soft = if budget.get("soft") == Some(&json!(true)) { ",soft" } else { "" };
        format!("{amount}/{}{soft}", text(budget, "per"))
    };
    own.map(shown).chain(each.map(|budget| format!("session:{}", shown(budget)))).collect()
}
