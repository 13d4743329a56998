//! What the dashboard shows of accounts and sessions, over live traffic.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, RetryHint, SimConfig},
    types::Dialect,
};

use crate::{
    forensics::body,
    harness::{Ask, Gateway, Reply, Setup, get, path, sim_with, within},
};

/// A view, whatever it says.
pub async fn ask(gateway: &Gateway, view: &str) -> Reply {
    get(&format!("http://{}/dashboard/api/{view}", gateway.admin)).await
}

pub async fn view(gateway: &Gateway, view: &str) -> Value {
    ask(gateway, view).await.assert_ok().json()
}

/// A view once it is as wanted: some are up to two seconds old.
pub async fn view_until(gateway: &Gateway, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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

pub async fn turn(gateway: &Gateway, session: &str, turn: usize, clock: &str) -> Reply {
    let ask = Ask::new(gateway.url(path(Dialect::Anthropic)), body(Dialect::Anthropic, turn, clock));
    let reply = ask.session(session).send().await.assert_ok();
    // What comes next is compared with what was booked.
    gateway.at_rest().await;
    reply
}

/// No account is limited but by script.
pub fn no_limits(config: &mut SimConfig) {
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
