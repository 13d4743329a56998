//! What the dashboard shows, over live traffic: the same figures as everywhere else, and no secret.

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, RetryHint, SimConfig},
    types::Dialect,
};

use crate::{
    forensics::body,
    harness::{Ask, Gateway, Reply, Setup, get, path, sim, sim_with, within},
};

const ANN: &str = "wk-ann-0123456789abcdef012345";
const BOB: &str = "wk-bob-0123456789abcdef012345";

/// A view, whatever it says.
async fn ask(gateway: &Gateway, view: &str) -> Reply {
    get(&format!("http://{}/dashboard/api/{view}", gateway.admin)).await
}

async fn view(gateway: &Gateway, view: &str) -> Value {
    ask(gateway, view).await.assert_ok().json()
}

/// A view once it is as wanted: some are up to two seconds old.
async fn view_until(gateway: &Gateway, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    within(what, async {
        loop {
            let shown = view(gateway, what).await;
            if wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
}

fn account<'a>(accounts: &'a Value, name: &str) -> &'a Value {
    let mut all = accounts["endpoints"].as_array().expect("a list").iter();
    all.find(|endpoint| endpoint["name"] == name).expect("an endpoint of this name")
}

fn texts(rows: &Value, field: &str) -> Vec<String> {
    let rows = rows["rows"].as_array().expect("rows").iter();
    rows.map(|row| row[field].as_str().unwrap_or_else(|| panic!("{field} of {row}")).to_owned()).collect()
}

fn figures(rows: &Value, field: &str) -> Vec<f64> {
    let rows = rows["rows"].as_array().expect("rows").iter();
    rows.map(|row| row[field].as_f64().unwrap_or_else(|| panic!("{field} of {row}"))).collect()
}

async fn turn(gateway: &Gateway, session: &str, turn: usize, clock: &str) -> Reply {
    let ask = Ask::new(gateway.url(path(Dialect::Anthropic)), body(Dialect::Anthropic, turn, clock));
    let reply = ask.session(session).send().await.assert_ok();
    // What comes next is compared with what was booked.
    gateway.at_rest().await;
    reply
}

/// No account is limited but by script.
fn no_limits(config: &mut SimConfig) {
    for account in &mut config.accounts {
        (account.rpm, account.itpm, account.otpm) = (0, 0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_cool_and_open_again_and_remember_what_went_wrong() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim).start().await;
    let first = turn(&gateway, "s", 0, "").await;
    let home = first.endpoint().to_owned();
    let shown = view(&gateway, "accounts").await;
    let names: Vec<_> =
        shown["endpoints"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 16);
    assert!(shown["domains"].as_array().unwrap().iter().all(|domain| domain["weight"].is_u64()), "{shown:#}");
    let one = account(&shown, &home);
    assert_eq!(
        (&one["state"], &one["opens_in_s"], &one["errors"]),
        (&json!("ready"), &Value::Null, &json!([]))
    );
    assert_eq!((&one["served"], &one["sessions"]), (&json!(1), &json!(1)), "{one:#}");

    // Its organisation cools: who shares it is out as well, others are not.
    let key = format!("key-{}", &home[1..]);
    let limited = Fault::RateLimited { hint: RetryHint::RetryAfter(40) };
    sim.script(limited.on_key(&key));
    let moved = turn(&gateway, "s", 1, "").await;
    assert_ne!(moved.endpoint(), home);
    let shown = view(&gateway, "accounts").await;
    let one = account(&shown, &home);
    assert_eq!(one["state"], "cooling", "{one:#}");
    let opens = one["opens_in_s"].as_f64().expect("somebody knows");
    assert!((30.0..=40.0).contains(&opens), "{opens}");
    let error = &one["errors"][0];
    assert_eq!(
        (&error["outcome"], &error["status"], &error["count"], one["errors"].as_array().unwrap().len()),
        (&json!("rate_limited"), &json!(429), &json!(1), 1)
    );
    let (at, now) = (error["at_unix"].as_f64().unwrap(), shown["at_unix"].as_f64().unwrap());
    assert!((now - 30.0..now + 1.0).contains(&at), "{at} of {now}");
    let other = account(&shown, moved.endpoint());
    assert_eq!((&other["state"], &other["errors"]), (&json!("ready"), &json!([])));
    let domain =
        shown["domains"].as_array().unwrap().iter().find(|domain| domain["name"] == one["rate_domain"]);
    let classes = domain.expect("its domain")["classes"].as_array().unwrap();
    assert!(classes.iter().any(|class| class["open_in_seconds"].as_f64().unwrap() > 30.0), "{classes:#?}");

    // An operator opens it; what went wrong stays to be read.
    gateway.readmit(&home).await;
    let shown = view(&gateway, "accounts").await;
    let one = account(&shown, &home);
    assert_eq!((&one["state"], &one["opens_in_s"]), (&json!("ready"), &Value::Null));
    assert_eq!(one["errors"][0]["count"], 1);

    // Each other failure is a run of its own; equal ones are counted.
    let now_home = moved.endpoint().to_owned();
    let key = format!("key-{}", &now_home[1..]);
    for n in 0..2 {
        sim.script(Fault::ServerError.on_key(&key));
        turn(&gateway, "s", 2 + n, "").await;
        gateway.readmit(&now_home).await;
    }
    let shown = view(&gateway, "accounts").await;
    let all = shown["endpoints"].as_array().unwrap().iter().flat_map(|e| e["errors"].as_array().unwrap());
    let failed: u64 = all.filter(|run| run["status"] == 500).map(|run| run["count"].as_u64().unwrap()).sum();
    assert!(failed >= 1, "{shown:#}");
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_takes_away_takes_its_troubles_along() {
    let sim = sim_with(no_limits).await;
    let setup = Setup::over(&sim).accounts(2);
    let (text, env, dir) = (setup.text(), setup.env(), setup.dir().to_owned());
    let gateway = Gateway::run(&text, &dir, &env).await;
    sim.script(Fault::ServerError.on_key("key-1").times(20));
    sim.script(Fault::ServerError.on_key("key-2").times(20));
    gateway.ask(Dialect::Anthropic).send().await;
    gateway.at_rest().await;
    let shown = view(&gateway, "accounts").await;
    let errors = |shown: &Value, name: &str| account(shown, name)["errors"].as_array().unwrap().len();
    assert!(errors(&shown, "a1") + errors(&shown, "a2") > 0, "{shown:#}");
    let renamed = text.replace("name = \"a1\"", "name = \"n1\"").replace("name = \"a2\"", "name = \"n2\"");
    std::fs::write(&gateway.config, renamed).unwrap();
    gateway.signal("HUP");
    gateway.logged("settings reloaded").await;
    let shown = view(&gateway, "accounts").await;
    assert_eq!(errors(&shown, "n1") + errors(&shown, "n2"), 0, "they are others");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_sorted_searched_and_paged() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim).start().await;
    // More turns, and more of a prompt, for each next one; every other speaks with another model.
    let mut ids = Vec::new();
    for n in 0..6 {
        let mut last = None;
        for at in 0..=n % 3 {
            let dialect = if n % 2 == 0 { Dialect::Anthropic } else { Dialect::OpenAiChat };
            let ask =
                Ask::new(gateway.url(path(dialect)), body(dialect, at + n, "")).session(&format!("s-{n}"));
            last = Some(ask.send().await.assert_ok());
        }
        ids.push(last.unwrap().header("x-warmkey-session").to_owned());
    }
    gateway.at_rest().await;
    let heat = view(&gateway, "sessions").await;
    assert_eq!((&heat["known"], &heat["matched"], &heat["offset"]), (&json!(6), &json!(6), &json!(0)));
    let mut hottest = ids.clone();
    hottest.reverse();
    assert_eq!(texts(&heat, "session"), hottest, "the last one first");
    for (sort, field) in [
        ("usd", "usd"),
        ("turns", "turns"),
        ("context", "context_tokens"),
        ("hit_rate", "hit_rate"),
        ("moved", "moved"),
        ("idle", "idle_seconds"),
    ] {
        let down = view(&gateway, &format!("sessions?sort={sort}&order=desc")).await;
        let figures_down = figures(&down, field);
        assert!(figures_down.is_sorted_by(|one, next| one >= next), "{sort}: {figures_down:?}");
        let up = view(&gateway, &format!("sessions?sort={sort}&order=asc")).await;
        let figures_up = figures(&up, field);
        assert!(figures_up.is_sorted(), "{sort}: {figures_up:?}");
        let sessions = |shown: &Value| texts(shown, "session").into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sessions(&down), ids.iter().cloned().collect(), "{sort}");
        assert_eq!(sessions(&up), sessions(&down), "{sort}");
    }
    let claude = view(&gateway, "sessions?q=CLAUDE").await;
    assert_eq!((&claude["known"], &claude["matched"]), (&json!(6), &json!(3)));
    assert!(texts(&claude, "model").iter().all(|model| model.starts_with("claude")), "{claude:#}");
    let one = view(&gateway, &format!("sessions?q={}", ids[2])).await;
    assert_eq!(texts(&one, "session"), [ids[2].clone()]);
    let (turns, hits) = (&one["rows"][0]["turns"], one["rows"][0]["hits"].as_f64().unwrap());
    assert!(*turns == json!(3) && hits >= 2.0, "{one:#}");
    assert!((one["rows"][0]["hit_rate"].as_f64().unwrap() - hits / 3.0).abs() < 1e-9);
    let nobody = view(&gateway, "sessions?q=%3Cscript%3E").await;
    assert_eq!(nobody["matched"], 0);
    let mut paged = Vec::new();
    for offset in [0, 2, 4, 6] {
        let page = view(&gateway, &format!("sessions?sort=turns&limit=2&offset={offset}")).await;
        paged.extend(texts(&page, "session"));
    }
    assert_eq!(paged, texts(&view(&gateway, "sessions?sort=turns").await, "session"));
    for (bad, part) in [("sort=name", "`heat`"), ("limit=201", "from 1 to 200"), ("page=1", "no such member")]
    {
        let refused = ask(&gateway, &format!("sessions?{bad}")).await;
        let message = refused.json()["error"]["message"].as_str().expect("a sentence").to_owned();
        assert!(refused.status == 400 && message.contains(part), "{bad}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_tells_its_moves_its_breaks_its_turns_and_its_own() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim).start().await;
    let clock = |n: usize| format!("It is 2026-11-21 10:0{n}:00.");
    let first = turn(&gateway, "told", 0, &clock(0)).await;
    let id = first.header("x-warmkey-session").to_owned();
    turn(&gateway, "told", 1, &clock(1)).await;
    // It is drained away.
    let url = format!("http://{}/endpoints/{}/drain", gateway.admin, first.endpoint());
    Ask::new(url, Value::Null).send().await.assert_ok();
    let moved = turn(&gateway, "told", 2, &clock(1)).await;
    assert_eq!(moved.affinity(), "moved");
    gateway.receipts(3).await;
    let shown = view_until(&gateway, &format!("sessions/{id}"), |shown| {
        shown["turns"].as_array().unwrap().len() == 3
    })
    .await;
    let row = &shown["session"];
    assert_eq!(
        (&row["session"], &row["turns"], &row["moved"]),
        (&json!(id), &json!(3), &json!(1)),
        "{shown:#}"
    );
    assert_eq!(row["endpoint"], moved.endpoint());
    let latest = &shown["turns"][0];
    assert_eq!(
        (&latest["endpoint"], &latest["affinity"], &latest["why"], &latest["outcome"]),
        (&json!(moved.endpoint()), &json!("moved"), &json!("withdrawn"), &json!("ok")),
        "{shown:#}"
    );
    assert_eq!(latest["request"], moved.header("x-warmkey-request-id"));
    assert_eq!(shown["decisions"][0]["why"], "withdrawn");
    let broken = &shown["turns"][1];
    assert_eq!(broken["cache_break"], "timestamp", "{shown:#}");
    assert!(broken["break_usd"].as_f64().unwrap() > 0.0 && broken["break_tokens"].as_u64().unwrap() > 1_000);
    assert!(shown["forensics"].is_object(), "{shown:#}");
    assert_eq!((&shown["parent"], &shown["children"]), (&Value::Null, &json!([])));
    let spent: f64 =
        shown["turns"].as_array().unwrap().iter().map(|turn| turn["usd"].as_f64().unwrap()).sum();
    assert!((spent - row["usd"].as_f64().unwrap()).abs() < 1e-9, "{spent} of {row}");
    for turn in shown["turns"].as_array().unwrap() {
        assert!(turn["total_ms"].as_f64().unwrap() > 0.0 && turn["ttft_ms"].as_f64().is_some(), "{turn}");
    }
    let breaks = view(&gateway, "breaks").await;
    assert_eq!(
        (&breaks["rows"][0]["cause"], &breaks["rows"][0]["session"]),
        (&json!("timestamp"), &json!(id))
    );

    // Sub-agents stand under whoever sent them.
    let agent = async |agent: &str, above: Option<&str>| {
        let body = body(Dialect::Anthropic, 0, agent);
        let mut ask = Ask::new(gateway.url(path(Dialect::Anthropic)), body)
            .header("x-claude-code-session-id", "family");
        if !agent.is_empty() {
            ask = ask.header("x-claude-code-agent-id", agent);
        }
        if let Some(above) = above {
            ask = ask.header("x-claude-code-parent-agent-id", above);
        }
        ask.send().await.assert_ok().header("x-warmkey-session").to_owned()
    };
    let main = agent("", None).await;
    let children = [agent("one", None).await, agent("two", None).await];
    gateway.at_rest().await;
    let shown = view(&gateway, &format!("sessions/{main}")).await;
    let listed: BTreeSet<_> =
        shown["children"].as_array().unwrap().iter().map(|row| row["session"].as_str().unwrap()).collect();
    assert_eq!(listed, children.iter().map(String::as_str).collect(), "{shown:#}");
    let child = view(&gateway, &format!("sessions/{}", children[0])).await;
    assert_eq!(child["parent"]["session"], json!(main), "{child:#}");

    assert_eq!(ask(&gateway, "sessions/0123456789abcdef").await.status, 404);
    for bad in ["sessions/x", "sessions/+123456789abcdef", "sessions/", "sessions/0123456789abcdef0"] {
        assert_eq!(ask(&gateway, bad).await.status, 400, "{bad}");
    }
}

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
    let at: Vec<u64> = history["at_unix"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 60), "{at:?}");
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
