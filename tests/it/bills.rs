//! What the dashboard shows of money and settings: the same figures as everywhere else, and no secret.

use std::process::Command;

use serde_json::{Value, json};
use warmkey::{sim::Fault, types::Dialect};

use crate::{
    harness::{Gateway, Setup, sim, sim_with},
    views::{ask, no_limits, turn, view, view_until},
};

const ANN: &str = "wk-ann-0123456789abcdef012345";
const BOB: &str = "wk-bob-0123456789abcdef012345";

/// `warmkey ledger report`, as JSON.
fn report(gateway: &Gateway, by: &str) -> Value {
    let file = gateway.config.with_file_name("warmkey-ledger.db");
    let output = Command::new(env!("CARGO_BIN_EXE_warmkey"))
        .args(["ledger", "report", "--since", "7d", "--format", "json", "--by", by, "--file"])
        .arg(&file)
        .output()
        .expect("the binary");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_what_the_report_says_by_whatever_it_is_asked() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim)
        .more("[[organisation]]\nname = \"acme\"\n[[team]]\nname = \"core\"\norganisation = \"acme\"\n")
        .caller_with("ann", "acme", ANN, "team = \"core\"\ntags = [\"env=ci\", \"app=x:y@z\"]\nmarkup = 1.5")
        .caller("bob", "acme", BOB)
        .start()
        .await;
    for (token, count) in [(ANN, 3), (BOB, 2)] {
        for dialect in Dialect::ALL {
            for _ in 0..count {
                gateway.ask(dialect).header("x-api-key", token).send().await.assert_ok();
            }
        }
    }
    sim.script(Fault::Status { status: 422 }.times(1));
    gateway
        .ask(Dialect::Anthropic)
        .header("x-api-key", ANN)
        .send()
        .await
        .assert_error(Dialect::Anthropic, 422);
    gateway.ask(Dialect::Anthropic).send().await.assert_error(Dialect::Anthropic, 401);
    gateway.receipts(17).await;
    for by in ["organisation", "team", "key", "tag", "model", "provider", "endpoint", "day"] {
        let (shown, told) = (view(&gateway, &format!("spend?by={by}")).await, report(&gateway, by));
        assert_eq!((&shown["of"], &shown["by"]), (&json!("this gateway"), &json!(by)));
        let (lines, wanted) = (shown["lines"].as_array().unwrap(), told["lines"].as_array().unwrap());
        assert_eq!(lines.len(), wanted.len(), "{by}: {shown:#}\n{told:#}");
        let pairs = lines.iter().zip(wanted).chain([(&shown["total"], &told["total"])]);
        for (line, wanted) in pairs {
            for same in [
                "name",
                "requests",
                "ok",
                "input",
                "cached_read",
                "cache_write",
                "output",
                "hit_rate",
                "unpriced",
                "estimated",
            ] {
                assert_eq!(line[same], wanted[same], "{by}: {same}\n{line:#}\n{wanted:#}");
            }
            for (money, nano) in [("usd", "charge_nano_usd"), ("billed_usd", "billed_nano_usd")] {
                let nano = wanted[nano].as_u64().unwrap() as f64;
                assert!((line[money].as_f64().unwrap() * 1e9 - nano).abs() < 0.5, "{by}: {money} {line}");
            }
        }
    }
    let all = view(&gateway, "spend").await;
    assert_eq!((&all["by"], &all["total"]["requests"]), (&json!("key"), &json!(17)));
    assert!(all["total"]["billed_usd"].as_f64() > all["total"]["usd"].as_f64());
    let none = view(&gateway, "spend?until_unix=1000000000").await;
    assert_eq!((&none["total"]["requests"], &none["lines"]), (&json!(0), &json!([])));
    assert_eq!(none["since_unix"], json!(1_000_000_000.0 - 7.0 * 86_400.0));
    for bad in ["by=session", "top=0", "since_unix=5&until_unix=5", "from=1"] {
        assert_eq!(ask(&gateway, &format!("spend?{bad}")).await.status, 400, "{bad}");
    }

    // The same, over time.
    let history = view(&gateway, "history?hours=1").await;
    assert_eq!((&history["step_s"], &history["saved_usd"]), (&json!(60), &Value::Null));
    let sum = |column: &str| -> f64 {
        let column = history[column].as_array().unwrap_or_else(|| panic!("no {column}"));
        assert_eq!(column.len(), 60);
        column.iter().map(|figure| figure.as_f64().unwrap()).sum()
    };
    let total = &all["total"];
    let figure = |name: &str| total[name].as_f64().unwrap();
    assert_eq!((sum("requests"), sum("failed"), sum("throttled")), (17.0, 2.0, 0.0));
    for (column, name) in
        [("input", "input"), ("cached_read", "cached_read"), ("written", "cache_write"), ("output", "output")]
    {
        assert_eq!(sum(column), figure(name), "{column}");
    }
    assert!((sum("usd") - figure("usd")).abs() < 1e-9);
    let at: Vec<f64> = history["at_unix"].as_array().unwrap().iter().map(|at| at.as_f64().unwrap()).collect();
    assert!(at.windows(2).all(|pair| (pair[1] - pair[0] - 60.0).abs() < 1e-6), "{at:?}");
    let days = view(&gateway, "history?hours=720").await;
    assert_eq!((&days["step_s"], days["requests"].as_array().unwrap().len()), (&json!(3_600), 720));
    for bad in ["hours=0", "hours=721", "hours=x", "days=1"] {
        assert_eq!(ask(&gateway, &format!("history?{bad}")).await.status, 400, "{bad}");
    }
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_there_is_no_bill_and_the_rest_is_there() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).more("[ledger]\nenabled = false\n").start().await;
    let reply = turn(&gateway, "s", 0, "").await;
    for gone in ["spend", "history?hours=1"] {
        let reply = ask(&gateway, gone).await;
        let message = reply.json()["error"]["message"].as_str().expect("a sentence").to_owned();
        assert!(reply.status == 404 && message.contains("[ledger]"), "{gone}: {message}");
    }
    let shown = view(&gateway, &format!("sessions/{}", reply.header("x-warmkey-session"))).await;
    assert_eq!((&shown["turns"], &shown["session"]["turns"]), (&json!([]), &json!(1)));
    for nowhere in ["", "nothing", "accounts/x", "%3Cscript%3E"] {
        let reply = ask(&gateway, nowhere).await;
        assert!(
            reply.status == 404 && reply.json()["error"]["message"].is_string(),
            "{nowhere}: {}",
            reply.text()
        );
    }
    assert_eq!(ask(&gateway, "accounts?x=1").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_stand_with_their_figures_the_nearest_to_its_end_first() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim)
        .more(
            "[[organisation]]\nname = \"acme\"\nbudgets = [{ usd = 100, per = \"month\" }]\n\
             [[team]]\nname = \"core\"\norganisation = \"acme\"\nbudgets = [{ tokens = 1_000_000, per = \"day\", soft = true }]\n\
             [[tag]]\nname = \"env=ci\"\nbudgets = [{ usd = 50, per = \"day\" }]\n",
        )
        .caller_with("ann", "acme", ANN, "team = \"core\"\ntags = [\"env=ci\"]\nbudgets = [{ usd = 1, per = \"total\" }]")
        .caller("bob", "acme", BOB)
        .provider("budgets = [{ usd = 1_000, per = \"week\" }]")
        .start()
        .await;
    for _ in 0..3 {
        gateway.ask(Dialect::Anthropic).header("x-api-key", ANN).send().await.assert_ok();
    }
    gateway.receipts(3).await;
    gateway.at_rest().await;
    let shown = view(&gateway, "budgets").await;
    let rows = shown["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &shown["known"]), (6, &json!(6)), "{shown:#}");
    let row = |scope: &str| {
        rows.iter().find(|row| row["scope"] == scope).unwrap_or_else(|| panic!("{scope}: {shown:#}"))
    };
    let spent = gateway.ledger_number("SELECT sum(billed) FROM receipts") as f64 / 1e9;
    for (scope, level, what, limit) in [
        ("key:ann", "key", "usd_total", 1.0),
        ("org:acme", "organisation", "usd_month", 100.0),
        ("tag:env=ci", "tag", "usd_day", 50.0),
        ("provider:anthropic", "provider", "usd_week", 1_000.0),
    ] {
        let row = row(scope);
        assert_eq!(
            (&row["level"], &row["what"], &row["is_money"]),
            (&json!(level), &json!(what), &json!(true))
        );
        assert!((row["spent"].as_f64().unwrap() - spent).abs() < 1e-9, "{row}: {spent}");
        assert!((row["limit"].as_f64().unwrap() - limit).abs() < 1e-9, "{row}");
        assert_eq!(row["used"], row["spent"], "nothing is under way: {row}");
    }
    assert_eq!(row("key:ann")["resets_at"], Value::Null);
    assert!(row("org:acme")["resets_at"].as_str().unwrap().ends_with("01T00:00:00Z"));
    let team = row("team:acme/core");
    let tokens =
        gateway.ledger_number("SELECT sum(input + cached_read + write_5m + write_1h + output) FROM receipts");
    assert_eq!(
        (&team["name"], &team["is_money"], &team["soft"]),
        (&json!("acme/core"), &json!(false), &json!(true))
    );
    assert_eq!(team["spent"], json!(tokens as f64));
    let shares: Vec<f64> =
        rows.iter().map(|row| row["used"].as_f64().unwrap() / row["limit"].as_f64().unwrap()).collect();
    assert!(shares.is_sorted_by(|one, next| one >= next), "{shares:?}");
    assert!(!shown.to_string().contains(ANN));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_show_without_a_secret_and_a_bad_reload_says_why() {
    let sim = sim().await;
    let hook = "https://hooks.example.com/hush-hook-4711";
    let setup = Setup::over(&sim)
        .caller("ann", "acme", ANN)
        .more("[alerts]\nwebhook = { env = \"HOOK\" }\n")
        .variable("HOOK", hook)
        .server("watch = false");
    let (text, env, dir) = (setup.text(), setup.env(), setup.dir().to_owned());
    let gateway = Gateway::run(&text, &dir, &env).await;
    let value = |shown: &Value, knob: &str| -> Vec<String> {
        let sections = shown["sections"].as_array().unwrap().iter();
        let rows = sections.flat_map(|section| section["rows"].as_array().unwrap());
        rows.filter(|row| row["knob"] == knob).map(|row| row["value"].as_str().unwrap().to_owned()).collect()
    };
    let shown = view(&gateway, "configuration").await;
    assert_eq!(shown["file"], json!(gateway.config.to_str().unwrap()));
    assert_eq!(shown["last_reload"], Value::Null);
    assert!(shown["loaded_unix"].as_f64().unwrap() > 1.7e9);
    assert_eq!(value(&shown, "server.drain"), ["5m"]);
    assert_eq!(value(&shown, "alerts.webhook"), ["(secret)"]);
    assert_eq!(value(&shown, "alerts.webhook.env"), ["HOOK"]);
    assert_eq!(value(&shown, "provider.base_url"), [sim.base_url(), sim.base_url()]);
    assert_eq!(value(&shown, "endpoint.key").len(), 16);
    let titles: Vec<_> =
        shown["sections"].as_array().unwrap().iter().map(|s| s["title"].as_str().unwrap()).collect();
    for title in [
        "server",
        "routing",
        "ledger",
        "state",
        "caller ann",
        "provider openai",
        "endpoint a1",
        "model gpt-5.6",
    ] {
        assert!(titles.contains(&title), "{title}: {titles:?}");
    }
    let mut secrets: Vec<String> = env.values().cloned().collect();
    secrets.extend([ANN, hook, "hush", "012345"].map(str::to_owned));
    let hides = |what: &str, shown: &str| {
        for secret in &secrets {
            assert!(
                !shown.contains(&format!("\"{secret}")) && !shown.contains(&format!("{secret}\"")),
                "{what}: {secret}"
            );
            assert!(secret.len() < 8 || !shown.contains(secret.as_str()), "{what}: {secret}");
        }
    };
    for each in ["configuration", "accounts", "budgets", "sessions", "breaks", "spend"] {
        hides(each, &ask(&gateway, each).await.assert_ok().text());
    }

    // A file with faults: the old settings hold, and the faults are told, without what stands in the file.
    let bad = text
        .replacen("[server]\n", "[server]\ndrain = \"hush-4711 minutes\"\nlissen = 1\n", 1)
        .replace("token = { env = \"TOKEN_ANN\" }", "token_sha256 = \"hush-pasted-token-0815\"");
    std::fs::write(&gateway.config, bad).unwrap();
    gateway.signal("HUP");
    let shown = view_until(&gateway, "configuration", |shown| shown["last_reload"].is_object()).await;
    let last = &shown["last_reload"];
    assert_eq!(last["ok"], false);
    let faults: Vec<_> =
        last["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap()).collect();
    assert!(
        faults.iter().any(|fault| fault.contains("lissen") && fault.contains("warmkey.toml:")),
        "{faults:#?}"
    );
    assert!(faults.iter().any(|fault| fault.contains("token_sha256")), "{faults:#?}");
    assert!(!shown.to_string().contains("hush-pasted"), "{shown:#}");
    assert_eq!(value(&shown, "server.drain"), ["5m"], "the old one");

    // What takes a restart says so; the rest is in force.
    let good = text.replacen("[server]\n", "[server]\ndrain = \"7s\"\nthreads = 3\n", 1);
    std::fs::write(&gateway.config, good).unwrap();
    gateway.signal("HUP");
    let shown = view_until(&gateway, "configuration", |shown| shown["last_reload"]["ok"] == true).await;
    assert_eq!(shown["last_reload"]["faults"], json!([]));
    assert_eq!(value(&shown, "server.drain"), ["7s"]);
    assert_eq!(value(&shown, "server.threads"), ["0 (the file says 3: after a restart)"]);
    gateway.assert_no_panic();
}
