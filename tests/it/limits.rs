//! Limits: each kind says no in the caller's own dialect, names itself, and says when to come back.

use std::time::Duration;

use serde_json::json;
use warmkey::types::Dialect;

use crate::harness::{Ask, Gateway, Reply, Setup, sim, sim_with};

const TOKEN: &str = "wk-limits-0123456789abcdef0123";
const OTHER: &str = "wk-others-0123456789abcdef0123";

fn ask(gateway: &Gateway, dialect: Dialect) -> Ask {
    gateway.ask(dialect).header("authorization", &format!("Bearer {TOKEN}"))
}

async fn limited(limits: &str) -> (warmkey::sim::Sim, Gateway) {
    let sim = sim().await;
    let lines = format!("limits = {{ {limits} }}");
    let gateway = Setup::over(&sim).caller_with("ann", "acme", TOKEN, &lines).start().await;
    (sim, gateway)
}

/// A limit's no: 429 in the dialect, an integer `retry-after` of at most a minute, and words that name it.
#[track_caller]
fn assert_limited(reply: Reply, dialect: Dialect, words: &[&str]) -> Reply {
    let reply = reply.assert_error(dialect, 429);
    let seconds: u64 = reply.header("retry-after").parse().expect("an integer");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(reply.header("x-should-retry"), "", "it is worth trying again");
    assert_eq!(reply.header("x-warmkey-reason"), "limit_reached");
    let error = &reply.json()["error"];
    let message = error["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    match dialect {
        Dialect::Anthropic => {
            assert_eq!(error["type"], "rate_limit_error");
            assert_eq!(error["details"]["error_code"], "limit_reached");
        }
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            assert_eq!(
                (&error["type"], &error["code"]),
                (&json!("rate_limit_error"), &json!("rate_limit_exceeded"))
            );
        }
    }
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_a_minute_are_counted_and_told_in_every_dialect() {
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let (sim, gateway) = limited("rpm = 2").await;
            sim.reset();
            let first = ask(&gateway, dialect).stream(stream).send().await.assert_ok();
            let told = |reply: &Reply, end: &str| match dialect {
                Dialect::Anthropic => reply.header(&format!("anthropic-ratelimit-requests-{end}")).to_owned(),
                Dialect::OpenAiChat | Dialect::OpenAiResponses => {
                    reply.header(&format!("x-ratelimit-{end}-requests")).to_owned()
                }
            };
            assert_eq!((told(&first, "limit"), told(&first, "remaining")), ("2".into(), "1".into()));
            ask(&gateway, dialect).stream(stream).send().await.assert_ok();
            let no = ask(&gateway, dialect).stream(stream).send().await;
            let no = assert_limited(no, dialect, &["2 requests a minute", "your key"]);
            assert_eq!((told(&no, "limit"), told(&no, "remaining")), ("2".into(), "0".into()));
            let reset = told(&no, "reset");
            match dialect {
                Dialect::Anthropic => assert!(reset.parse::<jiff::Timestamp>().is_ok(), "{reset}"),
                Dialect::OpenAiChat | Dialect::OpenAiResponses => assert!(reset.ends_with('s'), "{reset}"),
            }
            assert_eq!(sim.stats().total().requests, 2, "the provider is not asked");
            gateway.receipts(3).await;
            let denials = gateway.metric("limit_denials_total", &["level=\"key\"", "limit=\"rpm\""]).await;
            assert!((denials - 1.0).abs() < 1e-9, "{denials}");
            let denied =
                "SELECT count(*) FROM receipts WHERE outcome = 'denied' AND reason = 'limit_reached'";
            assert_eq!(gateway.ledger_number(denied), 1);
            gateway.assert_all_ready().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_own_figures_are_replaced_by_the_callers() {
    let (_sim, gateway) = limited("rpm = 100").await;
    let reply = ask(&gateway, Dialect::Anthropic).send().await.assert_ok();
    let figures: Vec<_> =
        reply.headers.keys().map(|name| name.as_str()).filter(|name| name.contains("ratelimit")).collect();
    assert_eq!(figures.len(), 3, "{figures:?}");
    // Who has no limits here hears what the provider says.
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let reply = gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    assert!(reply.headers.contains_key("anthropic-ratelimit-input-tokens-limit"), "{:?}", reply.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_a_minute_are_counted_as_reserved_and_corrected() {
    let counter = std::cell::Cell::new(0);
    let said = |gateway: &Gateway, dialect: Dialect| {
        // Each begins in its own way: what is read from a cache does not count.
        counter.set(counter.get() + 1);
        let prompt = format!("{} {}", counter.get(), "word ".repeat(1_600));
        ask(gateway, dialect).with(|body| match dialect {
            Dialect::Anthropic | Dialect::OpenAiChat => {
                body["messages"] =
                    json!([{"role": "user", "content": format!("{prompt}[sim:output_tokens=20]")}]);
                body["max_tokens"] = json!(100);
            }
            Dialect::OpenAiResponses => {
                body["input"] = json!(format!("{prompt}[sim:output_tokens=20]"));
                body["max_output_tokens"] = json!(100);
            }
        })
    };
    for dialect in Dialect::ALL {
        // About 2,000 tokens each: a second one fits, a third does not.
        let (_sim, gateway) = limited("itpm = 5_000").await;
        for _ in 0..2 {
            said(&gateway, dialect).send().await.assert_ok();
        }
        assert_limited(said(&gateway, dialect).send().await, dialect, &["5000 input tokens a minute"]);
        let (_sim, gateway) = limited("tpm = 5_000").await;
        for _ in 0..2 {
            said(&gateway, dialect).send().await.assert_ok();
        }
        assert_limited(said(&gateway, dialect).send().await, dialect, &["5000 tokens a minute"]);
        // A hundred tokens of output are reserved, twenty come.
        let (_sim, gateway) = limited("otpm = 150").await;
        for _ in 0..3 {
            said(&gateway, dialect).send().await.assert_ok();
        }
        assert_limited(said(&gateway, dialect).send().await, dialect, &["150 output tokens a minute"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_fit_is_told_so() {
    let (_sim, gateway) = limited("itpm = 100").await;
    let large = ask(&gateway, Dialect::Anthropic)
        .with(|body| body["messages"] = json!([{"role": "user", "content": "word ".repeat(2_000)}]));
    let no = large.send().await.assert_error(Dialect::Anthropic, 429);
    assert_eq!((no.header("retry-after"), no.header("x-should-retry")), ("", "false"));
    assert!(no.text().contains("100 input tokens a minute"), "{}", no.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_counted_until_they_end() {
    for dialect in Dialect::ALL {
        let (sim, gateway) = limited("concurrent = 2").await;
        let lockstep = sim.lockstep();
        let (one, two) = (ask(&gateway, dialect).stream(true), ask(&gateway, dialect).stream(true));
        let (one, two) =
            (tokio::spawn(async move { one.send().await }), tokio::spawn(async move { two.send().await }));
        gateway
            .until("both are under way", |status| {
                let endpoints = status["endpoints"].as_array().expect("a list");
                endpoints.iter().map(|endpoint| endpoint["in_flight"].as_u64().unwrap_or(0)).sum::<u64>() == 2
            })
            .await;
        let no = ask(&gateway, dialect).send().await;
        assert_limited(no, dialect, &["2 requests at once", "your key"]);
        drop(lockstep);
        one.await.expect("no panic").assert_ok();
        two.await.expect("no panic").assert_ok();
        gateway.at_rest().await;
        ask(&gateway, dialect).send().await.assert_ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_their_turns_are_counted() {
    let (_sim, gateway) = limited("sessions = 2").await;
    let said = |session: &str| ask(&gateway, Dialect::Anthropic).session(session);
    for session in ["one", "two", "one", "two"] {
        said(session).send().await.assert_ok();
    }
    assert_limited(said("three").send().await, Dialect::Anthropic, &["2 sessions at once"]);
    let (_sim, gateway) = limited("turns = 2").await;
    let said = |session: &str| ask(&gateway, Dialect::Anthropic).session(session);
    for session in ["one", "two", "one", "two"] {
        said(session).send().await.assert_ok();
    }
    let no = said("one").send().await.assert_error(Dialect::Anthropic, 429);
    assert!(no.text().contains("2 turns"), "{}", no.text());
    assert_eq!((no.header("retry-after"), no.header("x-should-retry")), ("", "false"), "it never helps");
    said("three").send().await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_level_must_admit_and_the_one_in_the_way_is_named() {
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", TOKEN, "team = \"search\"\nlimits = { rpm = 100 }")
        .caller_with("bob", "acme", OTHER, "limits = { rpm = 100 }")
        .more("[[organisation]]\nname = \"acme\"\nlimits = { rpm = 5 }\n[[team]]\nname = \"search\"\norganisation = \"acme\"\nlimits = { rpm = 2 }\n")
        .start()
        .await;
    let as_bob = || gateway.ask(Dialect::Anthropic).header("x-api-key", OTHER);
    for _ in 0..2 {
        ask(&gateway, Dialect::Anthropic).send().await.assert_ok();
    }
    let no = ask(&gateway, Dialect::Anthropic).send().await;
    assert_limited(no, Dialect::Anthropic, &["2 requests a minute", "team `acme/search`"]);
    for _ in 0..3 {
        as_bob().send().await.assert_ok();
    }
    assert_limited(
        as_bob().send().await,
        Dialect::Anthropic,
        &["5 requests a minute", "organisation `acme`"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_tokens_and_stored_objects_count_as_requests() {
    let (_sim, gateway) = limited("rpm = 3").await;
    let made = ask(&gateway, Dialect::OpenAiResponses).send().await.assert_ok();
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let look = || {
        let url = gateway.url(&format!("/v1/responses/{id}"));
        Ask::new(url, json!(null)).method(http::Method::GET).raw("").header("x-api-key", TOKEN)
    };
    look().send().await.assert_ok();
    let count = ask(&gateway, Dialect::Anthropic).to(gateway.url("/v1/messages/count_tokens"));
    count.send().await.assert_ok();
    assert_limited(look().send().await, Dialect::OpenAiResponses, &["3 requests a minute"]);
    // What is not worth a receipt is not worth a limit.
    Ask::new(gateway.url("/v1/models"), json!(null))
        .method(http::Method::GET)
        .raw("")
        .header("x-api-key", TOKEN)
        .send()
        .await
        .assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_use_one_region_is_served_there_and_nowhere_else() {
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", TOKEN, "regions = [\"eu\"]")
        .caller_with("bob", "acme", OTHER, "regions = [\"eu\"]\nproviders = [\"openai\"]")
        .accounts(7)
        .variable("KEY_EU", "key-8")
        .more("[[endpoint]]\nname = \"eu\"\nprovider = \"anthropic\"\nregion = \"eu\"\nkey = { env = \"KEY_EU\" }\n")
        .start()
        .await;
    for n in 0..10 {
        let reply = ask(&gateway, Dialect::Anthropic).session(&format!("s{n}")).send().await.assert_ok();
        assert_eq!(reply.endpoint(), "eu");
    }
    // No account of OpenAI's is there at all.
    let no = ask(&gateway, Dialect::OpenAiChat).send().await.assert_error(Dialect::OpenAiChat, 403);
    assert!(no.text().contains("region"), "{}", no.text());
    let no = gateway.ask(Dialect::Anthropic).header("x-api-key", OTHER).send().await;
    no.assert_error(Dialect::Anthropic, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_caller_waits_behind_whoever_is_interactive() {
    // A minute of three seconds lets 60,000 tokens through.
    let account = warmkey::sim::Account::new("key-1", "one", "ws-1").limits(100_000, 60_000, 0);
    let sim = sim_with(|config| (config.accounts, config.compress) = (vec![account], 20.0)).await;
    let gateway = Setup::over(&sim)
        .caller_with("batch", "batch", TOKEN, "priority = \"batch\"")
        .caller("ann", "ann", OTHER)
        .provider(&warmkey::replay::Knobs::of(1, 20.0).provider)
        .more("[routing]\nwait_max = \"30s\"\n")
        .start()
        .await;
    let said = |token: &str, name: &str| {
        let words = format!("{name} says; ").repeat(12_000 / name.len());
        gateway
            .ask(Dialect::Anthropic)
            .header("x-api-key", token)
            .session(&format!("session-{name}"))
            .with(|body| body["messages"] = json!([{"role": "user", "content": words}]))
    };
    // The limits are known from the first answer on.
    said(OTHER, "first").send().await.assert_ok();
    let mut jobs = tokio::task::JoinSet::new();
    for n in 0..60 {
        let job = said(TOKEN, &format!("job-{n:03}"));
        jobs.spawn(async move { job.send().await });
    }
    gateway.until("jobs wait", |status| status["waiting"].as_u64().is_some_and(|n| n >= 30)).await;
    said(OTHER, "interactive").send().await.assert_ok();
    let waiting = gateway.status().await["waiting"].as_u64().expect("a number");
    assert!(waiting >= 15, "{waiting} jobs are left: it went before them");
    let statuses: Vec<u16> = jobs.join_all().await.iter().map(|reply| reply.status.as_u16()).collect();
    assert!(
        statuses.iter().filter(|status| **status == 200).count() >= 15,
        "batch does not starve: {statuses:?}"
    );
    tokio::time::timeout(Duration::from_secs(30), gateway.at_rest()).await.expect("at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_through_counts_as_a_request_and_not_past_a_budget() {
    const ALLOWED: &str = r#"passthrough = ["POST /v1/files", "* /v1/files/*", "POST /v1/batches"]"#;
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with("ann", "acme", TOKEN, "limits = { rpm = 3 }")
        .caller_with("bob", "acme", OTHER, "budgets = [{ usd = 5, per = \"day\" }]")
        .provider(ALLOWED)
        .start()
        .await;
    let upload = |token: &str| {
        let form = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n--x--\r\n";
        Ask::new(gateway.url("/openai/v1/files"), json!(null))
            .raw(form)
            .header("content-type", "multipart/form-data; boundary=x")
            .header("x-api-key", token)
    };
    let batch = |token: &str, file: &str| {
        let body = json!({"input_file_id": file, "endpoint": "/v1/responses", "completion_window": "24h"});
        Ask::new(gateway.url("/openai/v1/batches"), body).header("x-api-key", token)
    };
    let file = |reply: Reply| reply.assert_ok().json()["id"].as_str().expect("an id").to_owned();
    let hers = file(upload(TOKEN).send().await);
    // The simulated provider knows no batches, and that is its answer.
    batch(TOKEN, &hers).send().await.assert_error(Dialect::OpenAiChat, 404);
    let look = |token: &str, file: &str| {
        let url = gateway.url(&format!("/openai/v1/files/{file}"));
        Ask::new(url, json!(null)).method(http::Method::GET).raw("").header("x-api-key", token)
    };
    look(TOKEN, &hers).send().await.assert_ok();
    for no in [look(TOKEN, &hers).send().await, upload(TOKEN).send().await, batch(TOKEN, &hers).send().await]
    {
        assert_limited(no, Dialect::OpenAiChat, &["3 requests a minute"]);
    }
    // Uploads and looks are free; what a batch will cost nobody knows.
    let his = file(upload(OTHER).send().await);
    look(OTHER, &his).send().await.assert_ok();
    let no = batch(OTHER, &his).send().await.assert_error(Dialect::OpenAiChat, 429);
    assert_eq!((no.header("x-should-retry"), no.header("retry-after")), ("false", ""));
    gateway.receipts(9).await;
    gateway.assert_no_panic();
}
