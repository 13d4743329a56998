//! Budgets that hold: whatever runs in parallel, nobody spends more than was allowed.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use warmkey::{
    sim::{Sim, SimConfig},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Setup, sim, sim_with, within};

const ANN: &str = "wk-ann-0123456789abcdef012345";
const BOB: &str = "wk-bob-0123456789abcdef012345";

/// One slice of a stream: a cent.
const SLICE: u64 = 10_000_000;
const DOLLAR: u64 = 1_000_000_000;

/// A budget's spending, as the ledger has it.
fn spent(gateway: &Gateway, counter: &str) -> u64 {
    gateway.ledger_number(&format!("SELECT sum(amount) FROM balances WHERE counter LIKE '{counter}'"))
}

/// An ask of so many tokens of output, at most `most`.
fn says(ask: Ask, dialect: Dialect, output: u64, most: Option<u64>) -> Ask {
    let text = format!("go on [sim:output_tokens={output}]");
    ask.with(|body| {
        match dialect {
            Dialect::Anthropic | Dialect::OpenAiChat => {
                body["messages"] = json!([{"role": "user", "content": text}]);
            }
            Dialect::OpenAiResponses => body["input"] = json!(text),
        }
        let field = match dialect {
            Dialect::Anthropic | Dialect::OpenAiChat => "max_tokens",
            Dialect::OpenAiResponses => "max_output_tokens",
        };
        if let Some(most) = most {
            body[field] = json!(most);
        }
    })
}

fn as_ann(gateway: &Gateway, dialect: Dialect) -> Ask {
    gateway.ask(dialect).header("x-api-key", ANN)
}

/// A budget's no: 429 that nobody repeats.
#[track_caller]
fn assert_spent(reply: Reply, dialect: Dialect, words: &[&str]) {
    let reply = reply.assert_error(dialect, 429);
    assert_eq!(
        (reply.header("x-should-retry"), reply.header("retry-after")),
        ("false", ""),
        "{}",
        reply.text()
    );
    let error = &reply.json()["error"];
    for word in words {
        assert!(error["message"].as_str().expect("a message").contains(word), "`{word}` is not in: {error}");
    }
    match dialect {
        Dialect::Anthropic => assert_eq!(error["details"]["error_code"], "budget_exceeded"),
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            assert_eq!(
                (&error["code"], &error["reason"]),
                (&json!("insufficient_quota"), &json!("budget_exceeded"))
            );
        }
    }
}

/// The provider has seen the end of everything, and so has the ledger.
async fn settled(sim: &Sim, gateway: &Gateway, requests: u64) -> u64 {
    gateway.receipts(requests).await;
    within("every answer is over", sim.wait_for(|seen| seen.iter().all(|request| request.done))).await;
    sim.stats().total().cost.0
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_parallel_streams_stay_within_a_dollar() {
    const STREAMS: u64 = 200;
    // Together they want more than six dollars.
    let sim = sim_with(|config: &mut SimConfig| {
        config.tokens_per_second = 60.0;
        config.accounts.iter_mut().for_each(|account| *account = account.clone().limits(0, 0, 0));
    })
    .await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", ANN, "budgets = [{ usd = 1, per = \"day\" }]")
        .start()
        .await;
    sim.reset();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let ask =
            says(as_ann(&gateway, Dialect::Anthropic), Dialect::Anthropic, 2_000, Some(4_000)).stream(true);
        streams.spawn(async move { ask.send().await });
    }
    let replies = streams.join_all().await;
    let billed = settled(&sim, &gateway, STREAMS).await;
    let known = spent(&gateway, "b/key:ann/usd/day/%");
    println!("{STREAMS} streams on a dollar: billed {billed}, booked {known} nano-dollars");
    assert!(known <= DOLLAR + STREAMS * SLICE, "{known} booked");
    assert!(billed <= DOLLAR + STREAMS * SLICE, "{billed} billed");
    assert!(billed >= DOLLAR / 2, "it tests nothing: {billed}");
    assert_eq!(gateway.ledger_number("SELECT sum(billed) FROM receipts"), known);
    let (mut cut, mut denied) = (0, 0);
    for reply in &replies {
        if reply.status == 429 {
            denied += 1;
            continue;
        }
        let events = reply.events();
        if events.last().is_some_and(|last| last["error"]["details"]["error_code"] == "budget_exceeded") {
            reply.assert_ends_in_error(Dialect::Anthropic);
            cut += 1;
        }
    }
    println!("{denied} were denied, {cut} closed in the middle");
    assert!(cut > 50, "{cut} streams were closed");
    assert_spent(
        says(as_ann(&gateway, Dialect::Anthropic), Dialect::Anthropic, 2_000, Some(4_000)).send().await,
        Dialect::Anthropic,
        &["$1.00 a day", "your key"],
    );
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_closed_between_two_events_in_every_dialect() {
    for dialect in Dialect::ALL {
        let sim = sim_with(|config| config.tokens_per_second = 400.0).await;
        let gateway = Setup::over(&sim)
            .caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.03, per = \"total\" }]")
            .start()
            .await;
        sim.reset();
        let reply = says(as_ann(&gateway, dialect), dialect, 8_000, Some(20_000)).stream(true).send().await;
        let last = reply.assert_ends_in_error(dialect);
        let said = last.to_string();
        assert!(said.contains("budget_exceeded") && said.contains("$0.03"), "{said}");
        let billed = settled(&sim, &gateway, 1).await;
        assert!((20_000_000..=30_000_000 + SLICE).contains(&billed), "{dialect}: {billed}");
        let row = "SELECT count(*) FROM receipts WHERE outcome = 'interrupted' AND reason = 'budget_exceeded' AND blame = 'caller'";
        assert_eq!(gateway.ledger_number(row), 1, "{}", gateway.log());
        let seen = sim.seen();
        assert!(seen.last().expect("a request").cancelled, "the provider was told at once");
        let denials = gateway.metric("limit_denials_total", &["limit=\"usd_total\"", "level=\"key\""]).await;
        assert!(denials >= 1.0, "{denials}");
        gateway.assert_all_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_one_piece_stay_within_what_they_reserve() {
    const REQUESTS: u64 = 60;
    for dialect in Dialect::ALL {
        let sim = sim_with(|config| config.ttft = Duration::from_millis(200)).await;
        let gateway = Setup::over(&sim)
            .caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.2, per = \"hour\" }]")
            .start()
            .await;
        sim.reset();
        // What the client allows is reserved: there is no overshoot at all.
        let mut requests = JoinSet::new();
        for _ in 0..REQUESTS {
            let ask = says(as_ann(&gateway, dialect), dialect, 500, Some(500));
            requests.spawn(async move { ask.send().await });
        }
        let replies = requests.join_all().await;
        let billed = settled(&sim, &gateway, REQUESTS).await;
        assert!(billed <= DOLLAR / 5, "{dialect}: {billed}");
        assert!(billed >= DOLLAR / 10, "{dialect}: it tests nothing: {billed}");
        assert_eq!(spent(&gateway, "b/key:ann/usd/hour/%"), billed, "{dialect}");
        let denied = replies.into_iter().filter(|reply| reply.status == 429).count();
        assert!(denied > 5, "{dialect}: {denied} denied");
        let no = says(as_ann(&gateway, dialect), dialect, 5_000, Some(20_000)).send().await;
        assert_spent(no, dialect, &["$0.20 an hour"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overshoot_of_an_answer_in_one_piece_is_what_it_is_longer_than_likely() {
    const REQUESTS: u64 = 20;
    let dialect = Dialect::OpenAiChat;
    let sim = sim_with(|config| config.ttft = Duration::from_millis(300)).await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.1, per = \"total\" }]")
        .start()
        .await;
    sim.reset();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        // Twice the likely 1,024 tokens are reserved, three thousand come.
        let ask = says(as_ann(&gateway, dialect), dialect, 3_000, None);
        requests.spawn(async move { ask.send().await });
    }
    let replies = requests.join_all().await;
    let served = replies.iter().filter(|reply| reply.status == 200).count() as u64;
    let billed = settled(&sim, &gateway, REQUESTS).await;
    let each = billed / served;
    let reserved = each * 2_048 / 3_000;
    let overshoot = served * (each - reserved + each / 50);
    assert!(served >= 1 && billed <= DOLLAR / 10 + overshoot, "{billed} for {served}");
    let flagged = gateway.ledger_number("SELECT count(*) FROM receipts WHERE overshoot = 1");
    assert_eq!(flagged, served, "each is marked");
    let no = says(as_ann(&gateway, dialect), dialect, 3_000, None).send().await;
    assert_spent(no, dialect, &["$0.10 in all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_teams_tags_and_models_have_budgets_of_their_own() {
    let dialect = Dialect::Anthropic;
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", ANN, "team = \"search\"\ntags = [\"env=ci\"]\nsession_budgets = [{ usd = 0.02 }]")
        .caller_with("bob", "acme", BOB, "team = \"search\"\nbudgets = [{ tokens = 600, per = \"day\" }]")
        .more(
            "[[organisation]]\nname = \"acme\"\n\
             [[team]]\nname = \"search\"\norganisation = \"acme\"\nbudgets = [{ usd = 0.08, per = \"day\" }]\n\
             [[tag]]\nname = \"env=ci\"\nbudgets = [{ usd = 0.06, per = \"month\" }]\n",
        )
        .start()
        .await;
    let said = |session: &str| says(as_ann(&gateway, dialect), dialect, 1_000, Some(1_000)).session(session);
    // $0.015 and a little each.
    said("one").send().await.assert_ok();
    assert_spent(said("one").send().await, dialect, &["$0.02 in all", "session"]);
    for session in ["two", "three"] {
        said(session).send().await.assert_ok();
    }
    assert_spent(said("four").send().await, dialect, &["$0.06 a month", "tag `env=ci`"]);
    let bob = |output, most| says(gateway.ask(dialect).header("x-api-key", BOB), dialect, output, Some(most));
    bob(500, 500).send().await.assert_ok();
    assert_spent(bob(500, 500).send().await, dialect, &["600 tokens a day", "your key"]);
    gateway.receipts(7).await;
    let team = spent(&gateway, "b/team:acme/search/usd/day/%");
    assert_eq!(team, gateway.ledger_number("SELECT sum(billed) FROM receipts"), "the team pays for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_price_nothing_is_let_through_on_a_budget_in_dollars() {
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", ANN, "budgets = [{ usd = 1, per = \"day\" }]")
        .more("[[model]]\nname = \"text-embedding-3-small\"\nprovider = \"openai\"\n")
        .start()
        .await;
    let embed = json!({"model": "text-embedding-3-small", "input": "hello"});
    let no = Ask::new(gateway.url("/v1/embeddings"), embed.clone()).header("x-api-key", ANN).send().await;
    assert_spent(no, Dialect::OpenAiChat, &["no price is known"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_budget_is_spent_is_left_alone() {
    let dialect = Dialect::Anthropic;
    let sim = sim().await;
    let mut setup = Setup::over(&sim).accounts(1).variable("KEY_POOR", "key-8");
    setup = setup.more(
        "[[endpoint]]\nname = \"poor\"\nprovider = \"anthropic\"\nkey = { env = \"KEY_POOR\" }\nweight = 50\nbudgets = [{ usd = 0.01, per = \"month\" }]\n",
    );
    let gateway = setup.start().await;
    sim.reset();
    let mut served = std::collections::BTreeMap::new();
    for n in 0..12 {
        let ask = says(gateway.ask(dialect), dialect, 100, Some(100)).session(&format!("s{n}"));
        let reply = ask.send().await.assert_ok();
        *served.entry(reply.endpoint().to_owned()).or_insert(0) += 1;
    }
    gateway.receipts(12).await;
    let poor = spent(&gateway, "b/endpoint:poor/usd/month/%");
    assert!(poor > 0 && poor <= DOLLAR / 100, "{poor} {served:?}");
    assert!(served["a1"] >= 1, "the other account serves the rest: {served:?}");
    // A bit more, until less than a hundredth of it is left or nothing fits.
    let status = gateway.status().await;
    let state = Gateway::endpoint_in(&status, "poor")["state"].as_str().expect("a state").to_owned();
    assert!(["ready", "spent"].contains(&state.as_str()), "{state}");
    assert_eq!(gateway.ledger_number("SELECT count(*) FROM receipts WHERE outcome <> 'ok'"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_account_is_spent_the_operator_is_named_and_not_the_caller() {
    let dialect = Dialect::Anthropic;
    let sim = sim().await;
    // Less than one request costs.
    let gateway = Setup::over(&sim).provider("budgets = [{ usd = 0.001, per = \"month\" }]").start().await;
    let no = says(gateway.ask(dialect), dialect, 1_000, Some(1_000)).send().await.assert_error(dialect, 503);
    assert_eq!(no.header("x-warmkey-reason"), "accounts_spent");
    assert!(no.text().contains("operator"), "{}", no.text());
    assert!(sim.stats().total().requests == 0, "nothing was sent");
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_budget_warns_people_and_lets_pass() {
    let dialect = Dialect::Anthropic;
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook?secret=1", listener.local_addr().expect("an address"));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        let mut refused = false;
        while let Ok((stream, _)) = listener.accept().await {
            // The first message is refused once, and comes again.
            let status = if std::mem::replace(&mut refused, true) { 200 } else { 500 };
            let kept = Arc::clone(&kept);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let body = request.into_body().collect().await.expect("a body").to_bytes();
                    if status == 200 {
                        kept.lock().push(serde_json::from_slice(&body).expect("JSON"));
                    }
                    http::Response::builder().status(status).body(Full::new(bytes::Bytes::new()))
                }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            tokio::spawn(served);
        }
    });
    let sim = sim().await;
    let mut setup = Setup::over(&sim)
        .caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.02, per = \"day\", soft = true }]")
        .more("[alerts]\nwebhook = { env = \"HOOK\" }\n");
    setup = setup.variable("HOOK", &url);
    let gateway = setup.start().await;
    for _ in 0..4 {
        says(as_ann(&gateway, dialect), dialect, 500, Some(500)).send().await.assert_ok();
    }
    gateway.logged("a budget is spent").await;
    within("the webhook hears", async {
        while heard.lock().len() < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let percents: Vec<u64> = heard.lock().iter().filter_map(|alert| alert["percent"].as_u64()).collect();
    assert_eq!(percents, [50, 80, 100], "once each, in order");
    assert!(heard.lock().iter().all(|alert| alert["name"] == "ann" && alert["soft"] == true));
    for percent in ["50", "80", "100"] {
        let told = gateway.metric("budget_alerts_total", &[&format!("percent=\"{percent}\"")]).await;
        assert!((told - 1.0).abs() < 1e-9, "{percent}: {told}");
    }
    assert!(!gateway.log().contains("secret=1"), "the URL is a secret");
    gateway.receipts(4).await;
    assert!(gateway.ledger_number("SELECT count(*) FROM receipts WHERE over_soft_budget = 1") >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_begins_with_what_was_spent() {
    let dialect = Dialect::Anthropic;
    let sim = sim().await;
    let setup =
        Setup::over(&sim).caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.02, per = \"total\" }]");
    let (text, env, dir) = (setup.text(), setup.env(), setup.dir().to_owned());
    let mut gateway = Gateway::run(&text, &dir, &env).await;
    says(as_ann(&gateway, dialect), dialect, 1_000, Some(1_000)).send().await.assert_ok();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    let gateway = Gateway::run(&text, &dir, &env).await;
    let no = says(as_ann(&gateway, dialect), dialect, 1_000, Some(1_000)).send().await;
    assert_spent(no, dialect, &["$0.02 in all"]);
    assert!(!gateway.log().contains("died"), "it ended as it should");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_does_not_give_a_budget_a_second_time() {
    const STREAMS: u64 = 40;
    let sim = sim_with(|config| config.tokens_per_second = 100.0).await;
    let setup =
        Setup::over(&sim).caller_with("ann", "acme", ANN, "budgets = [{ usd = 0.6, per = \"total\" }]");
    let (text, env, dir) = (setup.text(), setup.env(), setup.dir().to_owned());
    let mut gateway = Gateway::run(&text, &dir, &env).await;
    sim.reset();
    let start = |gateway: &Gateway, streams: &mut JoinSet<()>| {
        for _ in 0..STREAMS {
            let ask = says(as_ann(gateway, Dialect::Anthropic), Dialect::Anthropic, 3_000, Some(6_000))
                .stream(true);
            streams.spawn(async move {
                // Cut off with its gateway, or closed by its budget.
                if let Ok(stream) = ask.try_open().await {
                    stream.rest().await;
                }
            });
        }
    };
    let mut before = JoinSet::new();
    start(&gateway, &mut before);
    within("tokens flow", async {
        while gateway.metric("live_output_tokens", &[]).await < 4_000.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    gateway.signal("KILL");
    gateway.ended().await;
    before.join_all().await;
    let gateway = Gateway::run(&text, &dir, &env).await;
    let mut after = JoinSet::new();
    start(&gateway, &mut after);
    after.join_all().await;
    let billed = settled(&sim, &gateway, 2 * STREAMS).await;
    let known = spent(&gateway, "b/key:ann/usd/total/%");
    println!("killed in the middle: billed {billed}, booked {known} nano-dollars of {}", DOLLAR * 6 / 10);
    assert!(billed <= DOLLAR * 6 / 10 + STREAMS * SLICE, "{billed} billed");
    assert!(known <= DOLLAR * 6 / 10 + STREAMS * SLICE, "{known} booked");
    assert!(gateway.ledger_number("SELECT count(*) FROM receipts WHERE crashed = 1") >= STREAMS / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_given_at_noon_knows_the_morning() {
    let dialect = Dialect::Anthropic;
    let sim = sim().await;
    let setup = Setup::over(&sim).caller("ann", "acme", ANN);
    let (text, env, dir) = (setup.text(), setup.env(), setup.dir().to_owned());
    let gateway = Gateway::run(&text, &dir, &env).await;
    says(as_ann(&gateway, dialect), dialect, 1_000, Some(1_000)).send().await.assert_ok();
    gateway.receipts(1).await;
    // $0.015 were spent; a cent is given, and by then gone.
    let more =
        text.replace("name = \"ann\"\n", "name = \"ann\"\nbudgets = [{ usd = 0.02, per = \"total\" }]\n");
    assert_ne!(text, more);
    std::fs::write(&gateway.config, more).expect("a file");
    gateway.signal("HUP");
    gateway.logged("begin with what was spent before").await;
    let no = says(as_ann(&gateway, dialect), dialect, 1_000, Some(1_000)).send().await;
    assert_spent(no, dialect, &["$0.02 in all"]);
}
