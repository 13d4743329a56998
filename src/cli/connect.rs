//! `warmkey connect CLIENT`: a client's exact settings, and one test call.
//!
//! The token is never printed: settings name the variable `WARMKEY_TOKEN`.

use std::{io::Write, process::ExitCode, time::Duration};

use http::Method;
use serde_json::{Value, json};

use super::http::{Answer, CallError, Gateway, call, gateway};

const LIST_LIMIT: Duration = Duration::from_secs(10);
const ASK_LIMIT: Duration = Duration::from_secs(120);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which client
    client: Client,
    /// Where the gateway listens
    #[arg(long, env = "WARMKEY_URL", default_value = "http://127.0.0.1:8080", value_parser = gateway)]
    url: Gateway,
    /// Your token, if the gateway asks for one; better kept in the environment
    #[arg(long, value_name = "TOKEN", env = "WARMKEY_TOKEN", hide_env_values = true)]
    key: Option<super::Token>,
    /// The model to set; the test call then asks it for one word, which costs next to nothing
    #[arg(long)]
    model: Option<String>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Client {
    /// Claude Code
    ClaudeCode,
    /// Codex CLI
    Codex,
    /// OpenCode
    Opencode,
    /// The OpenAI SDKs, and whatever reads their variables
    Openai,
}

impl Client {
    const fn is_anthropic(self) -> bool {
        matches!(self, Self::ClaudeCode)
    }
}

pub(super) async fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let call = test_call(args).await;
    let offered = call.as_ref().map(models).unwrap_or_default();
    let chosen = args.model.clone().or_else(|| offered.first().cloned());
    write!(out, "{}", settings(args, chosen.as_deref(), &offered))?;
    let (ok, verdict) = verdict(args, &call, &offered);
    writeln!(out, "\n{} {verdict}", if ok { "ok:" } else { "failed:" })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The client's settings, ready to paste.
fn settings(args: &Args, model: Option<&str>, offered: &[String]) -> String {
    let url = args.url.as_str();
    let model = model.unwrap_or("MODEL");
    let token = if super::Token::text(args.key.as_ref()).is_some() {
        "# WARMKEY_TOKEN holds your token.\n"
    } else {
        "# This gateway is asked without a token; clients insist on one, any text will do.\nexport WARMKEY_TOKEN=none\n"
    };
    match args.client {
        Client::ClaudeCode => {
            let pinned = args
                .model
                .as_ref()
                .map_or_else(String::new, |model| format!("export ANTHROPIC_MODEL={}\n", shell(model)));
            format!(
                "{token}export ANTHROPIC_BASE_URL={}\nexport ANTHROPIC_AUTH_TOKEN=\"$WARMKEY_TOKEN\"\nunset ANTHROPIC_API_KEY\n{pinned}",
                shell(url)
            )
        }
        Client::Openai => format!(
            "{token}export OPENAI_BASE_URL={}\nexport OPENAI_API_KEY=\"$WARMKEY_TOKEN\"\n",
            shell(&format!("{url}/v1"))
        ),
        Client::Codex => format!(
            "{token}\n# ~/.codex/config.toml: the first two lines go above any [section]\nmodel = {}\nmodel_provider = \"warmkey\"\n\n\
             [model_providers.warmkey]\nname = \"warmkey\"\nbase_url = {}\nenv_key = \"WARMKEY_TOKEN\"\nwire_api = \"responses\"\n",
            toml::Value::from(model),
            toml::Value::from(format!("{url}/v1")),
        ),
        Client::Opencode => {
            let names =
                if offered.is_empty() { vec![model] } else { offered.iter().map(String::as_str).collect() };
            let names: serde_json::Map<String, Value> =
                names.into_iter().map(|name| (name.to_owned(), json!({ "name": name }))).collect();
            let file = json!({
                "$schema": "https://opencode.ai/config.json",
                "model": format!("warmkey/{model}"),
                "provider": { "warmkey": {
                    "npm": "@ai-sdk/openai-compatible",
                    "name": "warmkey",
                    "options": { "baseURL": format!("{url}/v1"), "apiKey": "{env:WARMKEY_TOKEN}" },
                    "models": names,
                } },
            });
            format!("{token}\n# opencode.json (leave this line out)\n{file:#}\n")
        }
    }
}

/// A word that a shell takes as it is.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:[]@%+=,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

async fn test_call(args: &Args) -> Result<Answer, CallError> {
    let token = super::Token::text(args.key.as_ref()).unwrap_or("none");
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if args.client.is_anthropic() {
        headers.push(("anthropic-version", "2023-06-01"));
    }
    let Some(model) = &args.model else {
        return call(&args.url, Method::GET, "/v1/models", &headers, String::new(), LIST_LIMIT).await;
    };
    let (path, body) = one_word(args.client, model);
    call(&args.url, Method::POST, path, &headers, body.to_string(), ASK_LIMIT).await
}

/// The smallest request that the client's dialect has.
fn one_word(client: Client, model: &str) -> (&'static str, Value) {
    const WORD: &str = "Answer with the word ok.";
    let messages = json!([{ "role": "user", "content": WORD }]);
    match client {
        Client::ClaudeCode => {
            ("/v1/messages", json!({ "model": model, "max_tokens": 16, "messages": messages }))
        }
        Client::Codex => (
            "/v1/responses",
            json!({ "model": model, "max_output_tokens": 16, "store": false, "input": WORD }),
        ),
        Client::Opencode | Client::Openai => (
            "/v1/chat/completions",
            json!({ "model": model, "max_completion_tokens": 16, "messages": messages }),
        ),
    }
}

/// The ids of a model list of either shape; nothing, if it is none.
fn models(answer: &Answer) -> Vec<String> {
    let list: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let data = list.as_ref().and_then(|list| list.get("data")).and_then(Value::as_array);
    let id = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    // A glob is an offer, but no model that one could ask for.
    data.into_iter().flatten().filter_map(id).filter(|id| !id.contains('*')).collect()
}

/// What worked, or what failed and what to do about it.
fn verdict(args: &Args, call: &Result<Answer, CallError>, offered: &[String]) -> (bool, String) {
    let url = args.url.as_str();
    let answer = match call {
        Ok(answer) => answer,
        Err(error @ CallError::Connect { .. }) => {
            return (
                false,
                format!(
                    "{error}\nis the gateway running? start it with `warmkey serve`, or name it with `--url`"
                ),
            );
        }
        Err(CallError::Request(_)) => {
            return (false, "the token holds a character that no header can carry\nset WARMKEY_TOKEN to the token and nothing else".into());
        }
        Err(error @ CallError::Resolve { .. }) => {
            return (false, format!("{error}\nname the gateway with `--url`"));
        }
        Err(error @ CallError::Tls { .. }) => {
            return (
                false,
                format!(
                    "{error}\nif the gateway has a certificate of your own authority, set SSL_CERT_FILE to it"
                ),
            );
        }
        Err(error @ (CallError::Silent { .. } | CallError::Http { .. } | CallError::Answer { .. })) => {
            return (false, format!("{error}\nis it really a gateway that listens at {url}?"));
        }
    };
    let status = answer.status;
    match (status, &args.model) {
        (200, Some(model)) => {
            let at = answer.headers.get("x-warmkey-endpoint").and_then(|name| name.to_str().ok());
            (
                true,
                at.map_or_else(
                    || format!("`{model}` answered"),
                    |at| format!("`{model}` answered, from endpoint `{at}`"),
                ),
            )
        }
        (200, None) if serde_json::from_slice::<Value>(&answer.body).is_err() => {
            (false, format!("{url} answered, but not like a gateway; name another one with `--url`"))
        }
        (200, None) if offered.is_empty() => {
            let dialect = if args.client.is_anthropic() { "anthropic" } else { "openai" };
            (
                true,
                format!(
                    "the gateway answered, but names no model that speaks `{dialect}`; add a `[[model]]`, or ask one with `--model`"
                ),
            )
        }
        (200, None) => (true, format!("the gateway answered; it offers {}", offered.join(", "))),
        (401 | 403, _) => {
            let what = if super::Token::text(args.key.as_ref()).is_some() {
                "refused your token"
            } else {
                "asks for a token"
            };
            (
                false,
                format!(
                    "the gateway {what} ({status})\nset WARMKEY_TOKEN to the token of a `[[caller]]` in its configuration"
                ),
            )
        }
        (404, None) => (false, format!("{url} has no /v1/models; is it a warmkey gateway?")),
        (_, _) => (false, format!("the gateway answered {status}: {}", message(answer))),
    }
}

/// The message of an error in either envelope, else the first line.
fn message(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let text = body.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
    text.map_or_else(|| super::first_line(&answer.body), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Canned, serve};

    const OFFER: &str = r#"{"object":"list","data":[{"id":"gpt-5.6"},{"id":"claude-*"}]}"#;

    fn args(client: Client, url: &str, key: Option<&str>, model: Option<&str>) -> Args {
        Args {
            client,
            url: gateway(url).expect("a URL"),
            key: key.map(|key| key.parse().expect("a token")),
            model: model.map(str::to_owned),
        }
    }

    async fn connect(canned: &Canned, client: Client, model: Option<&str>) -> (String, bool) {
        let mut out = Vec::new();
        let code =
            run(&args(client, &canned.url, Some("wk-secret-token"), model), &mut out).await.expect("it runs");
        let text = String::from_utf8(out).expect("text");
        assert!(!text.contains("wk-secret-token"), "the token was printed: {text}");
        (text.replace(&canned.url, "URL"), code == ExitCode::SUCCESS)
    }

    #[tokio::test]
    async fn claude_code_is_told_its_variables() {
        let canned = serve(200, r#"{"data":[{"type":"model","id":"claude-sonnet-4-6"}]}"#).await;
        let (text, ok) = connect(&canned, Client::ClaudeCode, None).await;
        assert!(ok);
        assert_eq!(
            text,
            "# WARMKEY_TOKEN holds your token.\n\
             export ANTHROPIC_BASE_URL=URL\n\
             export ANTHROPIC_AUTH_TOKEN=\"$WARMKEY_TOKEN\"\n\
             unset ANTHROPIC_API_KEY\n\n\
             ok: the gateway answered; it offers claude-sonnet-4-6\n"
        );
        let request = canned.request().await;
        assert!(request.starts_with("GET /v1/models HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer wk-secret-token\r\n"), "{request}");
        assert!(request.contains("anthropic-version: 2023-06-01\r\n"), "{request}");
    }

    #[tokio::test]
    async fn codex_is_told_to_speak_responses() {
        let (text, ok) = connect(&serve(200, OFFER).await, Client::Codex, None).await;
        assert!(ok);
        let toml: String =
            text.lines().filter(|line| !line.starts_with("ok:")).map(|line| format!("{line}\n")).collect();
        let file: toml::Table = toml.parse().expect("TOML that can be pasted");
        assert_eq!(file["model"].as_str(), Some("gpt-5.6"));
        assert_eq!(file["model_provider"].as_str(), Some("warmkey"));
        let provider = &file["model_providers"]["warmkey"];
        assert_eq!(provider["wire_api"].as_str(), Some("responses"));
        assert_eq!(provider["base_url"].as_str(), Some("URL/v1"));
        assert_eq!(provider["env_key"].as_str(), Some("WARMKEY_TOKEN"));
    }

    #[tokio::test]
    async fn opencode_gets_a_file_of_json() {
        let (text, _) = connect(&serve(200, OFFER).await, Client::Opencode, None).await;
        let from = text.find('{').expect("a brace");
        let to = text.rfind('}').expect("a brace");
        let file: Value = serde_json::from_str(&text[from..=to]).expect("JSON");
        assert_eq!(file["model"], "warmkey/gpt-5.6");
        let provider = &file["provider"]["warmkey"];
        assert_eq!(provider["options"]["baseURL"], "URL/v1");
        assert_eq!(provider["options"]["apiKey"], "{env:WARMKEY_TOKEN}");
        assert_eq!(provider["models"], json!({ "gpt-5.6": { "name": "gpt-5.6" } }));
    }

    #[tokio::test]
    async fn with_a_model_one_word_is_asked_of_it() {
        for (client, path) in [
            (Client::ClaudeCode, "/v1/messages"),
            (Client::Codex, "/v1/responses"),
            (Client::Openai, "/v1/chat/completions"),
        ] {
            let canned = serve(200, "{}").await;
            let (text, ok) = connect(&canned, client, Some("m-1")).await;
            assert!(ok && text.ends_with("ok: `m-1` answered\n"), "{text}");
            let request = canned.request().await;
            assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{request}");
            assert!(request.contains(r#""model":"m-1""#), "{request}");
        }
    }

    #[tokio::test]
    async fn failures_say_what_to_do() {
        for (status, body, told) in [
            (
                401,
                "{}",
                "failed: the gateway refused your token (401)\nset WARMKEY_TOKEN to the token of a `[[caller]]` in its configuration\n",
            ),
            (404, "", "failed: URL has no /v1/models; is it a warmkey gateway?\n"),
            (
                503,
                r#"{"error":{"message":"no endpoint is up"}}"#,
                "failed: the gateway answered 503: no endpoint is up\n",
            ),
            (200, "<html>", "failed: URL answered, but not like a gateway; name another one with `--url`\n"),
        ] {
            let (text, ok) = connect(&serve(status, body).await, Client::Openai, None).await;
            assert!(!ok && text.ends_with(told), "{text}");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_is_not_there_is_told_of() {
        let canned = serve(200, "").await;
        let url = canned.url.clone();
        drop(canned);
        let mut out = Vec::new();
        let code = run(&args(Client::Openai, &url, None, None), &mut out).await.expect("it runs");
        let text = String::from_utf8(out).expect("text");
        assert!(code != ExitCode::SUCCESS);
        assert!(text.contains("export WARMKEY_TOKEN=none\n"), "{text}");
        let told = format!("failed: cannot connect to {url}: ");
        let remedy = "is the gateway running? start it with `warmkey serve`, or name it with `--url`\n";
        assert!(text.contains(&told) && text.ends_with(remedy), "{text}");
    }

    #[test]
    fn a_pasted_version_is_taken_off_the_url() {
        assert_eq!(gateway("http://h:1/v1/").expect("a URL").as_str(), "http://h:1");
        assert!(gateway("h:1").is_err());
        assert_eq!(shell("http://h:1/a b'c"), r"'http://h:1/a b'\''c'");
    }
}
