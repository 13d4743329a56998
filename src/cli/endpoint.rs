//! `warmkey endpoint list|drain|readmit|cool`: through the admin listener of a running gateway.

use std::{fmt::Write as _, io::Write, process::ExitCode, time::Duration};

use anyhow::Context as _;
use http::Method;
use serde_json::Value;

use super::http::{Answer, Gateway, call, gateway};
use crate::config::{duration_text, parse_duration};

const LIMIT: Duration = Duration::from_secs(10);

#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Every endpoint, and how it is
    List {
        #[command(flatten)]
        admin: Admin,
    },
    /// Send it nothing new; what runs may end
    Drain {
        /// The endpoint's name
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Take it in again: ends a drain, a quarantine, a cooling
    Readmit {
        /// The endpoint's name
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Send it nothing for a while
    Cool {
        /// The endpoint's name
        name: String,
        /// For how long
        #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = time)]
        span: Duration,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Admin {
    /// The admin listener
    #[arg(long, value_name = "URL", env = "WARMKEY_ADMIN", default_value = "http://127.0.0.1:9090", value_parser = gateway)]
    admin: Gateway,
    /// Its token; better kept in the environment, where `ps` does not show it
    #[arg(long, value_name = "TOKEN", env = "WARMKEY_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<super::Token>,
}

impl Admin {
    /// Takes another token than the usual variable's.
    pub(super) fn set_token(&mut self, token: &str) {
        self.admin_token = token.parse().ok();
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).filter(|span| !span.is_zero() && *span <= Duration::from_secs(24 * 3600));
    span.ok_or_else(|| "write a time up to 1d, such as `60s` or `1h30m`".to_owned())
}

pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (admin, name, action, done) = match command {
        Command::List { admin } => return list(admin, out).await,
        Command::Drain { name, admin } => (admin, name, "drain".to_owned(), "drains".to_owned()),
        Command::Readmit { name, admin } => (admin, name, "readmit".to_owned(), "is in again".to_owned()),
        Command::Cool { name, span, admin } => {
            let span = duration_text(*span);
            (admin, name, format!("cool?for={span}"), format!("cools for {span}"))
        }
    };
    let path = format!("/endpoints/{}/{action}", escaped(name));
    let answer = ask(admin, Method::POST, &path).await?;
    if answer.status == 404 {
        anyhow::bail!("the gateway has no endpoint `{name}`; `warmkey endpoint list` shows them");
    }
    expect_success(&answer)?;
    writeln!(out, "endpoint `{name}` {done}")?;
    Ok(ExitCode::SUCCESS)
}

async fn list(admin: &Admin, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let answer = ask(admin, Method::GET, "/status").await?;
    expect_success(&answer)?;
    let status: Value =
        serde_json::from_slice(&answer.body).context("`/status` is not JSON; is this the admin listener?")?;
    let endpoints = status.get("endpoints").and_then(Value::as_array);
    let endpoints = endpoints.context("`/status` lists no endpoints; is this the admin listener?")?;
    out.write_all(table(endpoints).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(admin: &Admin, method: Method, path: &str) -> anyhow::Result<Answer> {
    send(admin, method, path, String::new()).await
}

/// One call of the admin listener.
pub(super) async fn send(admin: &Admin, method: Method, path: &str, body: String) -> anyhow::Result<Answer> {
    let bearer = super::Token::text(admin.admin_token.as_ref()).map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let answer = call(&admin.admin, method, path, &headers, body, LIMIT).await;
    answer.map_err(|error| {
        anyhow::anyhow!(
            "{error}; is the gateway running? name its admin listener with `--admin http://HOST:PORT`"
        )
    })
}

fn expect_success(answer: &Answer) -> anyhow::Result<()> {
    match answer.status {
        200..=299 => Ok(()),
        401 | 403 => anyhow::bail!(
            "the admin listener refused the token; set WARMKEY_ADMIN_TOKEN to `server.admin_token`"
        ),
        404 => anyhow::bail!("no such page; is this the admin listener of a warmkey gateway?"),
        status => anyhow::bail!("the admin listener answered {status}: {}", super::first_line(&answer.body)),
    }
}

/// An endpoint's name as one part of a path. Names need no escape; a typing error might.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Columns that `/status` may have, in the order in which people look for them.
const COLUMNS: &[&str] = &[
    "name",
    "provider",
    "state",
    "key_trouble",
    "rate_domain",
    "cache_domain",
    "organisation",
    "in_flight",
    "sessions",
    "served",
];

/// The endpoints as a table of the columns that they have.
fn table(endpoints: &[Value]) -> String {
    let columns: Vec<&str> = COLUMNS
        .iter()
        .copied()
        .filter(|column| {
            endpoints.iter().any(|endpoint| endpoint.get(column).is_some_and(|cell| !cell.is_null()))
        })
        .collect();
    let head = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let mut rows: Vec<Vec<String>> = vec![head];
    for endpoint in endpoints {
        rows.push(columns.iter().map(|column| cell(endpoint.get(column))).collect());
    }
    crate::types::aligned(&rows)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::testing::{Canned, serve};

    fn admin(canned: &Canned, token: Option<&str>) -> Admin {
        Admin {
            admin: gateway(&canned.url).expect("a URL"),
            admin_token: token.map(|token| token.parse().expect("a token")),
        }
    }

    #[test]
    fn endpoints_are_shown_as_a_table_of_what_is_known() {
        let rows = [
            json!({"name": "acme-1", "provider": "anthropic", "state": "ready", "in_flight": 3, "other": {}}),
            json!({"name": "b", "provider": "openai", "state": "quarantined", "key_trouble": "rejected", "in_flight": 0}),
        ];
        assert_eq!(
            table(&rows),
            "NAME    PROVIDER   STATE        KEY TROUBLE  IN FLIGHT\n\
             acme-1  anthropic  ready        -            3\n\
             b       openai     quarantined  rejected     0\n"
        );
    }

    #[tokio::test]
    async fn the_list_is_asked_for_with_the_token() {
        let canned = serve(200, r#"{"endpoints":[{"name":"a","state":"ready"}]}"#).await;
        let mut out = Vec::new();
        run(&Command::List { admin: admin(&canned, Some("wk-admin")) }, &mut out).await.expect("it runs");
        assert_eq!(String::from_utf8(out).expect("text"), "NAME  STATE\na     ready\n");
        let request = canned.request().await;
        assert!(request.starts_with("GET /status HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer wk-admin\r\n"), "{request}");
    }

    #[tokio::test]
    async fn cooling_names_the_endpoint_and_the_time() {
        let canned = serve(200, "{}").await;
        let span = Duration::from_secs(90);
        let mut out = Vec::new();
        let command = Command::Cool { name: "a/../b".into(), span, admin: admin(&canned, None) };
        run(&command, &mut out).await.expect("it runs");
        assert_eq!(String::from_utf8(out).expect("text"), "endpoint `a/../b` cools for 1m30s\n");
        let request = canned.request().await;
        assert!(request.starts_with("POST /endpoints/a%2F..%2Fb/cool?for=1m30s HTTP/1.1\r\n"), "{request}");
    }

    #[tokio::test]
    async fn refusals_say_what_to_do() {
        for (status, told) in [
            (404, "the gateway has no endpoint `x`; `warmkey endpoint list` shows them"),
            (401, "the admin listener refused the token; set WARMKEY_ADMIN_TOKEN to `server.admin_token`"),
            (500, "the admin listener answered 500: oh dear"),
        ] {
            let canned = serve(status, "oh dear\nmore").await;
            let command = Command::Drain { name: "x".into(), admin: admin(&canned, None) };
            let error = run(&command, &mut Vec::new()).await.expect_err("a refusal");
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn times_are_bounded() {
        assert_eq!(time("60s"), Ok(Duration::from_secs(60)));
        assert!(time("0s").is_err() && time("2d").is_err() && time("60").is_err());
    }
}
