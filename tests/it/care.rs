//! What is put into requests for the cache's sake, and what it is worth.

use std::time::Duration;

use serde_json::{Value, json};
use warmkey::{sim::Sim, types::Dialect};

use crate::{
    harness::{Ask, Gateway, Reply, Setup, sim},
    wire::{Fixed, Script, sha256},
};

const SHORT: &str = r#""cache_control":{"type":"ephemeral"}"#;

/// A gateway with more lines (inline tables) at the provider of one dialect, and whole sections.
pub struct Careful {
    pub gateway: Gateway,
    _setup: Setup,
}

pub async fn careful(setup: Setup, dialect: &str, lines: &str) -> Careful {
    let mark = format!("dialect = \"{dialect}\"\n");
    let text = setup.text().replace(&mark, &format!("{mark}{lines}\n"));
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    Careful { gateway, _setup: setup }
}

/// Prompts above the smallest that is cached.
pub fn long(text: &str) -> String {
    format!("{text} {}", "The quick brown fox jumps over the lazy dog. ".repeat(150))
}

/// A turn of an agent that knows nothing of caches, written as it would write it.
fn turn(history: &[String]) -> String {
    let message = |(n, text): (usize, &String)| {
        let role = if n % 2 == 0 { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}", "content": {}}}"#, json!(text))
    };
    let messages: Vec<String> = history.iter().enumerate().map(message).collect();
    let system = json!(long("Be kind. \"cache_control\": {} \u{1f600}"));
    format!(
        r#"{{ "model":"claude-sonnet-4-6","max_tokens":64,
  "tools":[{{"name":"look","input_schema":{{"type":"object"}}}}],"system":{system},"messages":[{}]}}"#,
        messages.join(" , ")
    )
}

/// Plays five turns; the share of the last four turns' input that came from the cache.
async fn play(sim: &Sim, gateway: &Gateway) -> f64 {
    sim.reset();
    let mut history = Vec::new();
    for n in 0..5 {
        history.push(long(&format!("Question {n}.")));
        let ask = Ask::new(gateway.url("/v1/messages"), Value::Null).session("careful").raw(turn(&history));
        let reply = ask.send().await.assert_ok().json();
        history.push(reply["content"][0]["text"].as_str().expect("an answer").to_owned());
    }
    sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    let seen = sim.seen();
    assert_eq!(seen.len(), 5);
    let (mut cached, mut all) = (0, 0);
    for request in &seen[1..] {
        cached += request.usage.cached_read;
        all += request.usage.total_input();
    }
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let share = cached as f64 / all as f64;
    share
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_markers_reads_from_the_cache_once_they_are_put_in() {
    let sim = sim().await;
    let plain = Setup::over(&sim).start().await;
    let without = play(&sim, &plain).await;
    assert!(without < 0.001, "{without}");
    let careful = careful(Setup::over(&sim), "anthropic", "care = { markers = true }").await;
    let with = play(&sim, &careful.gateway).await;
    assert!(with > 0.6, "{with}");
    let status = careful.gateway.at_rest().await;
    assert_eq!(careful.gateway.count("cache_care_total", &["kind=\"markers\""]).await, 5, "{status}");
    careful.gateway.logged("care=\"markers=3\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_up_is_what_came_but_for_the_members_that_were_put_in() {
    let sim = sim().await;
    let careful = careful(Setup::over(&sim), "anthropic", "care = { markers = true }").await;
    let gateway = &careful.gateway;
    let send = |body: String| Ask::new(gateway.url("/v1/messages"), Value::Null).session("bytes").raw(body);
    let texts = ["a \u{e9} \"}],\"", "{\"type\":\"text\"}", "c"].map(str::to_owned);
    let came = turn(&texts);
    let reply = send(came.clone()).send().await.assert_ok();
    assert_eq!(reply.header("x-warmkey-care"), "markers=3");
    let system = json!(long("Be kind. \"cache_control\": {} \u{1f600}")).to_string();
    let listed = |text: &str| format!(r#"[{{"type":"text","text":{text},{SHORT}}}]"#);
    let mut expected = came.replace(&system, &listed(&system));
    for text in [&texts[0], &texts[2]] {
        let text = json!(text).to_string();
        expected =
            expected.replace(&format!("\"content\": {text}"), &format!("\"content\": {}", listed(&text)));
    }
    assert_eq!(sim.seen().pop().expect("a request").body_sha256, sha256(expected.as_bytes()));

    // Counting is no generating, and whoever sets markers is left alone.
    let count = Ask::new(gateway.url("/v1/messages/count_tokens"), Value::Null).raw(came.clone());
    let reply = count.send().await.assert_ok();
    assert_eq!(reply.header("x-warmkey-care"), "");
    assert_eq!(sim.seen().pop().expect("a request").body_sha256, sha256(came.as_bytes()));
    let own = expected.replace(SHORT, r#""cache_control":{ "type":"ephemeral" }"#);
    send(own.clone()).send().await.assert_ok();
    assert_eq!(sim.seen().pop().expect("a request").body_sha256, sha256(own.as_bytes()));
    gateway.assert_no_panic();
}

/// A turn with a marker of the client's own.
fn marked(gateway: &Gateway) -> Ask {
    let body = json!({
        "model": "claude-sonnet-4-6", "max_tokens": 64,
        "system": [{"type": "text", "text": long("Be brief."), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hello"}],
    });
    Ask::new(gateway.url("/v1/messages"), body).session("pauses")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_life_is_written_for_the_callers_and_models_that_want_it() {
    let sim = sim().await;
    let callers = |sim: &Sim| {
        Setup::over(sim).caller("ann", "t", "token-of-ann-0123456789").caller(
            "bob",
            "t",
            "token-of-bob-0123456789",
        )
    };
    let long_writes = |sim: &Sim| sim.stats().total().usage.write_1h;
    let send = async |gateway: &Gateway, who: &str| -> Reply {
        sim.reset();
        let ask = marked(gateway).header("x-api-key", &format!("token-of-{who}-0123456789"));
        let reply = ask.send().await.assert_ok();
        sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
        reply
    };
    // A caller's.
    let setup = callers(&sim);
    let text = setup.text().replace("name = \"ann\"\n", "name = \"ann\"\ncache_ttl = \"1h\"\n");
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let reply = send(&gateway, "ann").await;
    assert_eq!(reply.header("x-warmkey-care"), "ttl_1h=1");
    assert!(long_writes(&sim) > 1_000, "{:?}", sim.stats().total());
    assert_eq!(reply.json()["usage"]["cache_creation"]["ephemeral_1h_input_tokens"], long_writes(&sim));
    gateway.at_rest().await;
    assert_eq!(gateway.count("tokens_total", &["kind=\"write_1h\""]).await, long_writes(&sim));
    // It lives through a pause that ends a short one.
    sim.advance(Duration::from_secs(1_800));
    let again = marked(&gateway).header("x-api-key", "token-of-ann-0123456789").send().await.assert_ok();
    assert!(again.json()["usage"]["cache_read_input_tokens"].as_u64() > Some(1_000));
    let reply = send(&gateway, "bob").await;
    assert_eq!(reply.header("x-warmkey-care"), "");
    assert_eq!(long_writes(&sim), 0);
    // A model's, but for a caller that wants to be left alone.
    let setup = callers(&sim);
    let text = setup
        .text()
        .replace("name = \"claude-sonnet-4-6\"\n", "name = \"claude-sonnet-4-6\"\ncache_ttl = \"1h\"\n")
        .replace("name = \"bob\"\n", "name = \"bob\"\ncache_ttl = \"asked\"\n");
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    send(&gateway, "ann").await;
    assert!(long_writes(&sim) > 1_000);
    send(&gateway, "bob").await;
    assert_eq!(long_writes(&sim), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_gets_one_cache_key_and_other_sessions_others() {
    let sim = sim().await;
    let careful = careful(Setup::over(&sim), "openai", "care = { cache_key = true }").await;
    let gateway = &careful.gateway;
    let mut keys = Vec::new();
    for (dialect, session) in [
        (Dialect::OpenAiChat, "one"),
        (Dialect::OpenAiChat, "one"),
        (Dialect::OpenAiChat, "two"),
        (Dialect::OpenAiResponses, "three"),
    ] {
        let ask = gateway.ask(dialect).session(session);
        let reply = ask.send().await.assert_ok();
        assert_eq!(reply.header("x-warmkey-care"), "cache_key");
        let came = String::from_utf8(ask.body.to_vec()).expect("text");
        let seen = sim.seen().pop().expect("a request");
        // `{"prompt_cache_key":"wk-<32 hex>",` in front of everything that came.
        assert_eq!(seen.body_len, came.len() + r#""prompt_cache_key":"","#.len() + 35);
        keys.push(seen.body_sha256);
        let own = gateway.ask(dialect).session(session).with(|body| body["prompt_cache_key"] = json!("own"));
        assert_eq!(own.send().await.assert_ok().header("x-warmkey-care"), "");
        assert_eq!(sim.seen().pop().expect("a request").body_sha256, sha256(&own.body));
    }
    assert_eq!(keys[0], keys[1], "the same session, the same words: the same bytes");
    assert_ne!(keys[0], keys[2], "another session");
    // Without a session there is nothing to name, and embeddings know no such member.
    let embed = json!({"model": "gpt-5.6", "input": "x"});
    let reply = Ask::new(gateway.url("/v1/embeddings"), embed).send().await;
    assert_eq!(reply.header("x-warmkey-care"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_the_members_gets_the_request_without_them() {
    let fixed = Fixed::start().await;
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"system: cache_control: Extra inputs"}}"#;
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        error.len()
    );
    fixed.says(Script::Pieces(vec![head.into(), error.into()]));
    let setup = Setup::at(&fixed.base_url(), vec!["key-1".to_owned()]);
    let careful = careful(setup, "anthropic", "care = { markers = true }").await;
    let came = turn(&["hello".to_owned()]);
    let ask = Ask::new(careful.gateway.url("/v1/messages"), Value::Null).raw(came.clone());
    let reply = ask.send().await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (400, error), "its last word is passed on");
    assert_eq!(reply.header("x-warmkey-care"), "");
    let bodies = fixed.bodies();
    assert_eq!(bodies.len(), 2);
    assert_ne!(bodies[0], came.as_bytes());
    assert_eq!(bodies[1], came.as_bytes());
    careful.gateway.logged("cache care refused; sent without").await;
}

/// Lines that keep sessions warm at a provider whose cache lives for eight seconds of ours: a twentieth of it is to spare.
fn keeping(more: &str) -> String {
    format!("cache = {{ short = \"8s\" }}\nkeep_alive = {{ min_tokens = 1000, max_pings = 2{more} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resting_session_is_kept_warm_and_finds_its_prompt_after_its_life() {
    let sim = sim().await;
    let careful = careful(Setup::over(&sim).accounts(1), "anthropic", &keeping(", enabled = true")).await;
    let gateway = &careful.gateway;
    sim.reset();
    let ask =
        marked(gateway).stream(true).header("idempotency-key", "once").header("anthropic-beta", "some-beta");
    ask.send().await.assert_ok();
    for pings in 1..=2 {
        sim.wait_for(|seen| seen.len() > pings && seen.iter().all(|request| request.done)).await;
        sim.advance(Duration::from_secs(160));
    }
    let again = marked(gateway).send().await.assert_ok().json();
    let cached = again["usage"]["cache_read_input_tokens"].as_u64().expect("a count");
    assert!(cached > 1_000, "320 s after it was written: {again}");
    let seen = sim.seen();
    assert_eq!(seen.len(), 4, "{seen:#?}");
    let body = String::from_utf8(ask.body.to_vec()).expect("text");
    let warming = body.replace(r#""max_tokens":64"#, r#""max_tokens":0"#).replace("true", "false");
    for ping in &seen[1..3] {
        assert_eq!((ping.status, ping.usage.output, ping.usage.write_5m), (200, 0, 0), "{ping:?}");
        assert!(ping.usage.cached_read > 1_000, "{ping:?}");
        assert_eq!(ping.body_sha256, sha256(warming.as_bytes()));
        assert_eq!((ping.header("anthropic-beta"), ping.header("idempotency-key")), ("some-beta", ""));
        assert_eq!(ping.key, seen[0].key);
    }
    // They are billed, and nobody mistakes them for somebody's requests.
    gateway.at_rest().await;
    gateway.booked("ok", 2).await;
    assert_eq!(gateway.count("cache_care_total", &["kind=\"keep_alive\""]).await, 2);
    let read: u64 = seen[1..3].iter().map(|ping| ping.usage.total_input()).sum();
    assert_eq!(gateway.count("tokens_total", &["kind=\"keep_alive\""]).await, read);
    assert_eq!(gateway.nano_dollars(&[]).await, sim.stats().total().cost.0);
    assert!(gateway.metric("keep_alive_cost_usd_total", &[]).await > 0.0);
    gateway.logged("care=\"keep_alive\"").await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_warm_is_nobodys_limit_and_the_providers_budget() {
    const ANN: &str = "wk-ann-0123456789abcdef012345";
    let sim = sim().await;
    let lines = keeping(", enabled = true") + "\nbudgets = [{ usd = 10, per = \"month\" }]";
    let setup = Setup::over(&sim).accounts(1).caller_with(
        "ann",
        "acme",
        ANN,
        "limits = { rpm = 1 }\nbudgets = [{ usd = 10, per = \"month\" }]",
    );
    let careful = careful(setup, "anthropic", &lines).await;
    let gateway = &careful.gateway;
    sim.reset();
    marked(gateway).header("x-api-key", ANN).send().await.assert_ok();
    sim.wait_for(|seen| seen.len() > 1 && seen.iter().all(|request| request.done)).await;
    // Her one request of the minute is used up, and the session is kept warm all the same.
    gateway.receipts(2).await;
    let number = |sql: &str| gateway.ledger_number(sql);
    let kept = "SELECT sum(charge) FROM receipts WHERE keep_alive = 1";
    assert!(number(kept) > 0, "{}", gateway.log());
    let balance = |whose: &str| {
        number(&format!("SELECT sum(amount) FROM balances WHERE counter LIKE 'b/{whose}/usd/%'"))
    };
    assert_eq!(balance("provider:anthropic"), sim.stats().total().cost.0);
    assert_eq!(balance("key:ann"), sim.stats().total().cost.0 - number(kept));
}

/// Waits until no prompt is kept any longer, or until some are.
async fn kept(gateway: &Gateway, some: bool) {
    crate::harness::within("prompts are kept or let go", async {
        while (gateway.metric("kept_bytes", &[]).await > 0.0) != some {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_warm_ends_with_the_budget() {
    let sim = sim().await;
    // A read costs about 0.0005 dollars: enough for one.
    let lines = keeping(", enabled = true, budget_usd = 0.0008");
    let careful = careful(Setup::over(&sim).accounts(1), "anthropic", &lines).await;
    sim.reset();
    marked(&careful.gateway).send().await.assert_ok();
    kept(&careful.gateway, true).await;
    sim.wait_for(|seen| seen.len() > 1).await;
    kept(&careful.gateway, false).await;
    careful.gateway.at_rest().await;
    assert_eq!(sim.seen().len(), 2, "{:#?}", sim.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_only_where_that_is_wanted_and_possible() {
    let sim = sim().await;
    let setup = Setup::over(&sim).accounts(1).caller("ann", "t", "token-of-ann-0123456789").caller(
        "bob",
        "t",
        "token-of-bob-0123456789",
    );
    let mark = "dialect = \"anthropic\"\n";
    let text = setup
        .text()
        .replace(mark, &format!("{mark}{}\n", keeping("")))
        .replace("name = \"ann\"\n", "name = \"ann\"\nkeep_alive = true\n");
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let ask = |who: &str| marked(&gateway).header("x-api-key", &format!("token-of-{who}-0123456789"));
    let thinking = |body: &mut Value| {
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        body["max_tokens"] = json!(2048);
    };
    for not in [
        ask("bob"),
        ask("ann").with(thinking),
        ask("ann").header("x-claude-code-session-id", "s-1").header("x-claude-code-agent-id", "a-1"),
        ask("ann").header("x-claude-code-request-class", "compaction"),
        ask("ann").with(|body| body["system"][0]["text"] = json!("short")),
        ask("ann").with(|body| body["system"][0]["cache_control"]["ttl"] = json!("1h")),
        ask("ann").with(|body| body["system"] = json!(long("no marker"))),
    ] {
        not.send().await.assert_ok();
        gateway.at_rest().await;
        let bytes = gateway.count("kept_bytes", &[]).await;
        assert_eq!(bytes, 0, "{}", String::from_utf8_lossy(&not.body));
    }
    ask("ann").send().await.assert_ok();
    kept(&gateway, true).await;
    let before = sim.seen().len();
    sim.wait_for(|seen| seen.len() > before).await;
    // Whoever goes on is not kept any longer, but for what it says now.
    ask("ann").with(thinking).send().await.assert_ok();
    kept(&gateway, false).await;
}
