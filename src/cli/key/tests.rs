use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::cli::testing::serve;

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn command(words: &[&str]) -> Result<Command, String> {
    let line = Line::try_parse_from([&["key"], words].concat());
    line.map(|line| line.command).map_err(|error| error.to_string())
}

/// What a command wrote, and how it went.
async fn ran(words: &[&str]) -> (String, String, Result<ExitCode, String>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let done = run(&command(words).unwrap(), &mut out, &mut err).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(out), text(err), done.map_err(|error| format!("{error:#}")))
}

#[tokio::test]
async fn a_key_lives_in_a_file_from_its_making_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    let file = file.to_str().unwrap();
    let (out, err, done) =
        ran(&["create", "ci", "--tag", "env=ci", "--limit", "rpm=60", "--budget", "5/day", "--file", file])
            .await;
    done.unwrap();
    let token = out.trim_end();
    assert_eq!(out.lines().count(), 1, "nothing but the token goes to standard output: {out}");
    assert_eq!(crate::live::well_formed(token.as_bytes()), Some(true));
    assert!(err.contains("`ci`") && err.contains("shown this once") && !err.contains(token), "{err}");

    let (out, _, done) = ran(&["list", "--file", file]).await;
    done.unwrap();
    let rows: Vec<&str> = out.lines().collect();
    assert!(rows[0].starts_with("ID ") && rows.len() == 2, "{out}");
    for shown in ["ci", "active", "env=ci", "rpm=60", "$5/day", &token[..8]] {
        assert!(rows[1].contains(shown), "{shown} in {out}");
    }
    assert!(!out.contains(token));

    let (out, _, done) = ran(&["rotate", "ci", "--grace", "1h", "--file", file, "--json"]).await;
    done.unwrap();
    let rotated: Value = serde_json::from_str(&out).unwrap();
    assert!(
        rotated["token"].as_str().is_some_and(|fresh| fresh != token)
            && rotated["old_token_until"].is_string()
    );

    let (out, err, done) = ran(&["disable", "ci", "--file", file]).await;
    done.unwrap();
    assert!(out.is_empty() && err.ends_with("(`ci`) is disabled\n"), "{out}{err}");
    ran(&[
        "set",
        "ci",
        "--limit",
        "rpm=none",
        "--limit",
        "tpm=1_000",
        "--rename",
        "build",
        "--clear",
        "tags",
        "--file",
        file,
    ])
    .await
    .2
    .unwrap();
    let (out, _, _) = ran(&["show", "build", "--file", file]).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&shown["limits"], &shown["state"], shown.get("tags")),
        (&json!({"tpm": 1_000}), &json!("disabled"), None)
    );
    ran(&["enable", "build", "--file", file]).await.2.unwrap();
    ran(&["revoke", "build", "--file", file]).await.2.unwrap();
    let (out, _, _) = ran(&["list", "--file", file]).await;
    assert_eq!(out.lines().count(), 1, "{out}");
    let (_, _, done) = ran(&["show", "build", "--file", file]).await;
    assert_eq!(done, Err("there is no key `build`".to_owned()));
}

#[tokio::test]
async fn a_gateway_is_asked_in_the_apis_words_and_its_refusals_are_told() {
    let canned = serve(201, r#"{"id":"k_1","name":"ci","token":"wk-secret"}"#).await;
    let (out, err, done) = ran(&[
        "create",
        "ci",
        "--budget",
        "0.50/hour,soft",
        "--budget",
        "tokens=1_000/month",
        "--session-budget",
        "2",
        "--expires",
        "2999-01-31T00:00:00Z",
        "--priority",
        "batch",
        "--admin",
        &canned.url,
    ])
    .await;
    done.unwrap();
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("wk-secret\n", "key k_1 (`ci`) is made; its token is shown this once:\n")
    );
    let request = canned.request().await;
    assert!(request.starts_with("POST /api/keys HTTP/1.1\r\n"), "{request}");
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let wanted = json!({
        "name": "ci", "expires": "2999-01-31T00:00:00Z", "priority": "batch",
        "budgets": [{"usd": "0.50", "per": "hour", "soft": true}, {"tokens": 1_000, "per": "month"}],
        "session_budgets": [{"usd": "2", "per": "total"}],
    });
    assert_eq!(body, wanted);

    let refusal =
        r#"{"error":{"code":"bad_request","what":"not a tag","where":"tags[0]","remedy":"write less"}}"#;
    let canned = serve(400, refusal).await;
    let (out, _, done) = ran(&["create", "ci", "--tag", "a b", "--admin", &canned.url]).await;
    assert_eq!((out.as_str(), done), ("", Err("`tags[0]`: not a tag; write less".to_owned())));
}

#[test]
fn slips_on_the_command_line_are_told_before_anybody_is_asked() {
    for (words, told) in [
        (&["create", "a", "--budget", "5"][..], "write what it is for"),
        (&["create", "a", "--budget", "5/year"], "a period is"),
        (&["create", "a", "--budget", "tokens=x/day"], "write tokens as in"),
        (&["create", "a", "--limit", "rpm"], "write it as in `rpm=60`"),
        (&["create", "a", "--limit", "rpm=-1"], "write it as in `rpm=60`"),
        (&["create", "a", "--expires", "tomorrow"], "write a point in time"),
        (&["rotate", "a", "--grace", "31d"], "write a time from 0s to 30d"),
        (&["create", "a", "--priority", "urgent"], "interactive"),
        (&["create"], "<NAME>"),
    ] {
        let said = command(words).err().unwrap_or_else(|| panic!("{words:?} passed"));
        assert!(said.contains(told), "{words:?}: {said}");
    }
}
