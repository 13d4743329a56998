//! What an operator does: endpoints by hand, checks, settings of clients, other gateways' files,
//! metrics, the admin listener, reloads.

use std::{collections::BTreeMap, path::Path, process::Output};

use serde_json::json;
use tokio::process::Command;
use warmkey::{
    sim::{Door, Fault},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Setup, get, sim, within};

/// Runs a command of the binary.
async fn warmkey(args: &[&str], env: &BTreeMap<String, String>) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_warmkey")).args(args).envs(env).kill_on_drop(true).output();
    within("a command", run).await.expect("the binary")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs `warmkey endpoint ...` against a gateway, which must go well.
async fn endpoint(gateway: &Gateway, args: &[&str]) -> String {
    let admin = format!("http://{}", gateway.admin);
    let args: Vec<&str> = ["endpoint"].iter().chain(args).copied().chain(["--admin", &admin]).collect();
    let output = warmkey(&args, &BTreeMap::new()).await;
    assert!(output.status.success(), "{args:?}: {}", out(&output));
    out(&output)
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("a file");
    file.to_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_drained_readmitted_and_rested_by_hand() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let list = endpoint(&gateway, &["list"]).await;
    for n in 1..=8 {
        assert!(list.contains(&format!("a{n} ")) && list.contains(&format!("o{n} ")), "{list}");
    }
    let turn = async || gateway.ask(Dialect::Anthropic).session("moving").send().await.assert_ok();
    let home = turn().await.endpoint().to_owned();
    endpoint(&gateway, &["drain", &home]).await;
    assert!(endpoint(&gateway, &["list"]).await.contains("drain"));
    let moved = turn().await;
    assert_ne!(moved.endpoint(), home);
    assert_eq!((moved.affinity(), moved.header("x-warmkey-reason")), ("moved", "withdrawn"));
    // It stays where it is warm now.
    assert_eq!(turn().await.endpoint(), moved.endpoint());
    sim.reset();
    for n in 0..40 {
        let reply = gateway.ask(Dialect::Anthropic).session(&format!("new-{n}")).send().await.assert_ok();
        assert_ne!(reply.endpoint(), home, "it drains");
    }
    endpoint(&gateway, &["readmit", &home]).await;
    gateway.assert_all_ready().await;
    let again = async |n: usize| gateway.ask(Dialect::Anthropic).session(&format!("again-{n}")).send().await;
    let mut back = false;
    for n in 0..60 {
        back |= again(n).await.endpoint() == home;
    }
    assert!(back, "it is in again, and gets its share");
    // With and without a time, in any unit.
    for args in [vec!["cool", "a1"], vec!["cool", "a1", "--for", "1m30s"], vec!["cool", "a1", "--for", "45s"]]
    {
        endpoint(&gateway, &args).await;
        let status = gateway.status().await;
        let a1 = status["endpoints"].as_array().unwrap().iter().find(|e| e["name"] == "a1").unwrap();
        assert_eq!(a1["state"], "cooling", "{a1}");
        endpoint(&gateway, &["readmit", "a1"]).await;
    }
    let admin = format!("http://{}", gateway.admin);
    let unknown = warmkey(&["endpoint", "drain", "nobody", "--admin", &admin], &BTreeMap::new()).await;
    assert!(!unknown.status.success() && out(&unknown).contains("nobody"), "{}", out(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_everything_and_asks_providers_when_told() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let (env, dir) = (setup.env(), setup.dir());
    let good = write(dir, "good.toml", &setup.text());
    let output = warmkey(&["check", &good], &env).await;
    assert!(output.status.success(), "{}", out(&output));
    let output = warmkey(&["check", "--live", &good], &env).await;
    assert!(output.status.success(), "{}", out(&output));
    assert!(out(&output).contains("8 keys = 3 organisations: 3 limits, not 8"), "{}", out(&output));
    sim.script(Fault::KeyRejected.on_key("key-4").everywhere().always());
    let output = warmkey(&["check", "--live", &good], &env).await;
    assert!(!output.status.success() && out(&output).contains("a4: refused"), "{}", out(&output));
    assert!(!out(&output).contains("key-4"), "{}", out(&output));
    let bad = setup
        .text()
        .replace("dialect = \"anthropic\"", "dialect = \"klingon\"")
        .replace("listen =", "lissen =");
    let bad = write(dir, "bad.toml", &bad);
    let output = warmkey(&["check", &bad], &env).await;
    assert_eq!(output.status.code(), Some(1));
    for part in ["lissen", "did you mean", "klingon", "bad.toml:2"] {
        assert!(out(&output).contains(part), "no `{part}`: {}", out(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_their_settings_and_the_call_is_tried() {
    let sim = sim().await;
    let token = "wk-ann-0123456789abcdef0123";
    let gateway = Setup::over(&sim).caller("ann", "acme", token).start().await;
    let url = gateway.url("");
    let env: BTreeMap<String, String> = [("WARMKEY_TOKEN".to_owned(), token.to_owned())].into();
    for (client, model) in [
        ("claude-code", "claude-sonnet-4-6"),
        ("codex", "gpt-5.6"),
        ("opencode", "gpt-5.6"),
        ("openai", "gpt-5.6"),
    ] {
        let list = warmkey(&["connect", client, "--url", &url], &env).await;
        assert!(list.status.success() && out(&list).contains(&url), "{client}: {}", out(&list));
        let call = warmkey(&["connect", client, "--url", &url, "--model", model], &env).await;
        assert!(call.status.success(), "{client}: {}", out(&call));
        assert!(out(&call).contains(&format!("`{model}` answered")), "{client}: {}", out(&call));
        assert!(!out(&call).contains(token), "{client} shows the token");
        let wrong = warmkey(&["connect", client, "--url", &url], &BTreeMap::new()).await;
        assert!(!wrong.status.success(), "{client} without a token: {}", out(&wrong));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateways_file_becomes_one_that_serves() {
    let sim = sim().await;
    let yaml = format!(
        "model_list:\n\
         - model_name: claude-sonnet-4-6\n  litellm_params:\n    model: anthropic/claude-sonnet-4-6\n    \
         api_base: {base}\n    api_key: os.environ/KEY_1\n\
         - model_name: claude-sonnet-4-6\n  litellm_params:\n    model: anthropic/claude-sonnet-4-6\n    \
         api_base: {base}\n    api_key: os.environ/KEY_4\n\
         - model_name: gpt\n  litellm_params:\n    model: openai/gpt-5.6\n    api_base: {base}/v1\n    \
         api_key: os.environ/KEY_7\n    rpm: 100\n",
        base = sim.base_url()
    );
    let setup = Setup::over(&sim);
    let file = write(setup.dir(), "litellm.yaml", &yaml);
    let imported = warmkey(&["import", "litellm", &file], &BTreeMap::new()).await;
    assert!(imported.status.success(), "{}", out(&imported));
    let text = String::from_utf8(imported.stdout).unwrap();
    let file = write(setup.dir(), "imported.toml", &text);
    let env = setup.env();
    let checked = warmkey(&["check", &file], &env).await;
    assert!(checked.status.success(), "{}\n{text}", out(&checked));
    let listeners = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    let text = if text.contains("[server]\n") {
        text.replacen("[server]\n", &format!("[server]\n{listeners}"), 1)
    } else {
        format!("[server]\n{listeners}{text}")
    };
    let gateway = Gateway::run(&text, setup.dir(), &env).await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    let gpt = gateway.ask(Dialect::OpenAiChat).with(|body| body["model"] = json!("gpt"));
    gpt.send().await.assert_ok();
    assert_eq!(sim.seen().last().unwrap().key, "key-7");
    assert_eq!(sim.seen().last().unwrap().model, "gpt-5.6");
}

fn admin(gateway: &Gateway, path: &str, token: &str) -> Ask {
    let ask = Ask::new(format!("http://127.0.0.1:{}{path}", gateway.admin.port()), json!({}));
    let ask = ask.method(http::Method::GET).raw("");
    if token.is_empty() { ask } else { ask.header("authorization", &format!("Bearer {token}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_the_admin_listener_asks_for_its_token() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let file = write(setup.dir(), "admin-token", "admin-secret-one-0123456789\n");
    let text = setup.text().replacen("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"", 1);
    let with_token =
        text.replacen("[server]\n", &format!("[server]\nadmin_token = {{ file = {file:?} }}\n"), 1);
    for (text, token) in [(text, ""), (with_token, "admin-secret-one-0123456789")] {
        let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
        for open in ["/livez", "/readyz", "/metrics"] {
            admin(&gateway, open, "").send().await.assert_ok();
        }
        for guarded in ["/status", "/endpoints/a1/drain"] {
            for wrong in ["", "admin-secret-two", token.trim_end_matches('9')] {
                let reply = admin(&gateway, guarded, wrong).method(method_of(guarded)).send().await;
                assert_eq!(reply.status, 401, "{guarded} with `{wrong}`: {}", reply.text());
            }
        }
        if !token.is_empty() {
            admin(&gateway, "/status", token).send().await.assert_ok();
            admin(&gateway, "/endpoints/a1/drain", token).method(http::Method::POST).send().await.assert_ok();
        }
    }
}

fn method_of(path: &str) -> http::Method {
    if path == "/status" { http::Method::GET } else { http::Method::POST }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_a_web_page_gets_nothing_done() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let drain = admin(&gateway, "/endpoints/a1/drain", "").method(http::Method::POST);
    assert_eq!(drain.clone().header("origin", "http://evil.example").send().await.status, 403);
    assert_eq!(drain.clone().header("host", "evil.example").send().await.status, 401);
    assert_eq!(drain.clone().method(http::Method::GET).send().await.status, 405);
    gateway.assert_all_ready().await;
    drain.send().await.assert_ok();
}

/// Every family that the issue promises to those who script against it.
const FAMILIES: &[(&str, &[&str])] = &[
    ("requests_total", &["dialect", "model", "outcome"]),
    ("attempts_total", &["endpoint", "outcome"]),
    ("tokens_total", &["kind"]),
    ("cost_usd_total", &["model"]),
    ("time_to_first_token_seconds_bucket", &[]),
    ("inter_token_seconds_bucket", &[]),
    ("overhead_seconds_bucket", &[]),
    ("request_seconds_bucket", &["outcome"]),
    ("affinity_total", &["result", "reason"]),
    ("endpoint_state", &["endpoint", "state"]),
    ("domain_open_seconds", &["domain"]),
    ("domain_headroom", &["kind"]),
    ("domain_utilisation", &["domain", "class"]),
    ("domain_waiting", &["domain", "class"]),
    ("requests_in_flight", &[]),
    ("live_output_tokens", &[]),
    ("buffered_bytes", &[]),
    ("waiting", &[]),
    ("price_missing_total", &["model"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_is_there_with_its_labels() {
    let sim = sim().await;
    let embed = "[[model]]\nname = \"text-embedding-3-small\"\nprovider = \"openai\"\n";
    let gateway = Setup::over(&sim).more(embed).start().await;
    for dialect in Dialect::ALL {
        gateway.ask(dialect).stream(true).send().await.assert_ok();
    }
    let embed = json!({"model": "text-embedding-3-small", "input": "a thing without a price"});
    Ask::new(gateway.url("/v1/embeddings"), embed).send().await.assert_ok();
    gateway.at_rest().await;
    let metrics = gateway.metrics().await;
    for (name, labels) in FAMILIES {
        let line = metrics.lines().find(|line| {
            line.strip_prefix("warmkey_")
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|r| r.starts_with(['{', ' ']))
        });
        let line = line.unwrap_or_else(|| panic!("no `{name}` in\n{metrics}"));
        for label in *labels {
            assert!(line.contains(&format!("{label}=\"")), "no `{label}` in {line}");
        }
    }
    let known = |line: &str| ["warmkey_", "#", "process_"].iter().any(|start| line.starts_with(start));
    assert!(metrics.lines().all(known), "a family without our prefix:\n{metrics}");
}

fn explained(reply: &Reply) -> Vec<&str> {
    let names = reply.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("x-warmkey-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_can_be_switched_off() {
    let sim = sim().await;
    let on = Setup::over(&sim).start().await;
    let off = Setup::over(&sim).server("explain = false").start().await;
    for dialect in Dialect::ALL {
        let reply = on.ask(dialect).send().await.assert_ok();
        for name in ["request-id", "endpoint", "session", "affinity"] {
            assert!(!reply.header(&format!("x-warmkey-{name}")).is_empty(), "{name}");
        }
        let reply = off.ask(dialect).send().await.assert_ok();
        let left: Vec<&str> =
            explained(&reply).into_iter().filter(|name| *name != "x-warmkey-request-id").collect();
        assert_eq!(left, Vec::<&str>::new());
        let refused = off.ask(dialect).with(|body| body["model"] = json!("nobody")).send().await;
        let left: Vec<&str> =
            explained(&refused).into_iter().filter(|name| *name != "x-warmkey-request-id").collect();
        assert_eq!(left, Vec::<&str>::new(), "also when it says no");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_secrets_again_and_a_bad_file_changes_nothing() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let key = write(setup.dir(), "a1.key", "key-1\n");
    let text = setup.text().replacen("key = { env = \"KEY_1\" }", &format!("key = {{ file = {key:?} }}"), 1);
    let text = text.replacen("[server]\n", "[server]\nwatch = false\n", 1);
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let pinned =
        text.replace("provider = \"anthropic\"\n\n[[provider]]", "endpoints = [\"a1\"]\n\n[[provider]]");
    assert_ne!(pinned, text);
    // All to one endpoint, whose key is another one now.
    std::fs::write(&key, "key-8\n").unwrap();
    std::fs::write(&gateway.config, &pinned).unwrap();
    gateway.signal("HUP");
    reloaded(&gateway, "ok").await;
    let reply = gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    assert_eq!(reply.endpoint(), "a1");
    assert_eq!(sim.seen().last().unwrap().key, "key-8");
    // A file with faults is refused, says why, and everything is as before.
    std::fs::write(&gateway.config, pinned.replace("[[model]]", "[[modell]]")).unwrap();
    gateway.signal("HUP");
    reloaded(&gateway, "refused").await;
    assert!(gateway.log().contains("modell"), "{}", gateway.log());
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
}

/// Waits until settings were read again, with this result.
async fn reloaded(gateway: &Gateway, result: &str) {
    let label = format!("result=\"{result}\"");
    let read = async {
        while gateway.metric("reloads_total", &[&label]).await < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    within("the settings are read again", read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_hosted_engine_is_asked_how_it_is() {
    let (one, two) = (sim().await, sim().await);
    let mut text = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n".to_owned();
    for (name, sim) in [("one", &one), ("two", &two)] {
        text += &format!(
            "[[provider]]\nname = \"{name}\"\ndialect = \"openai\"\nbase_url = \"{}\"\nhealth_path = \"/health\"\n\
             health_every = \"1s\"\n[[endpoint]]\nname = \"engine-{name}\"\nprovider = \"{name}\"\nkey = {{ env = \"KEY\" }}\n",
            sim.base_url()
        );
    }
    text += "[[model]]\nname = \"gpt-5.6\"\nendpoints = [\"engine-*\"]\n";
    let dir = tempfile::tempdir().unwrap();
    let env = [("KEY".to_owned(), "key-1".to_owned())].into();
    let gateway = Gateway::run(&text, dir.path(), &env).await;
    gateway
        .until("both are ready", |status| {
            status["endpoints"].as_array().unwrap().iter().all(|e| e["state"] == "ready")
        })
        .await;
    // Overloaded: the other replica at once (`overload` is "move" for engines with a health path).
    one.script(Fault::Overloaded.always());
    for n in 0..6 {
        let reply = gateway.ask(Dialect::OpenAiChat).session(&format!("busy-{n}")).send().await.assert_ok();
        assert_eq!(reply.endpoint(), "engine-two");
    }
    one.clear_faults();
    two.door(Door::Refuse).await.unwrap();
    let down = |status: &serde_json::Value| {
        status["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["name"] == "engine-two" && e["state"] != "ready")
    };
    gateway.until("the engine is found down", down).await;
    two.door(Door::Open).await.unwrap();
    gateway.until("the engine is found well again", |status| !down(status)).await;
    get(&gateway.url("/healthz")).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_reload_brings_is_checked_before_it_is_trusted() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).accounts(2).start().await;
    let text = std::fs::read_to_string(&gateway.config).expect("a file")
        + "\n[[endpoint]]\nname = \"stranger\"\nprovider = \"anthropic\"\nkey = \"nobody-knows-this-key\"\n";
    std::fs::write(&gateway.config, text).expect("a file");
    gateway.signal("HUP");
    let is_out = |status: &serde_json::Value| {
        let endpoints = status["endpoints"].as_array().expect("a list");
        endpoints.iter().any(|e| e["name"] == "stranger" && e["state"] == "quarantined")
            && endpoints.iter().all(|e| e["name"] == "stranger" || e["state"] == "ready")
    };
    gateway.until("the new key is quarantined, and no other", is_out).await;
    for _ in 0..20 {
        gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    }
    assert!(sim.seen().iter().all(|seen| seen.method == "GET" || seen.status == 200), "no caller met it");
}
