//! What the gateway counts is what the provider billed.

use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, Sim, SimConfig},
    types::{Dialect, Usage},
};

use crate::harness::{Ask, Gateway, Setup, sim, sim_with};

/// Something that must never be shown.
const CANARY: &str = "canary-of-a-prompt-8d1f";

/// A prompt long enough to be cached, with words that steer the answer.
fn long(text: &str) -> String {
    format!("{text} {}", "The quick brown fox jumps over the lazy dog. ".repeat(150))
}

/// Waits until everything is booked on both sides, and compares them to the token and the dollar.
pub async fn assert_books_agree(what: &str, sim: &Sim, gateway: &Gateway) {
    gateway.at_rest().await;
    sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    let billed = sim.stats().total();
    for (kind, tokens) in billed.usage.by_kind() {
        let counted = gateway.count("tokens_total", &[&format!("kind=\"{kind}\"")]).await;
        assert_eq!(counted, tokens, "{what}: {kind}\n{billed:?}\n{}", gateway.log());
    }
    let nanos = gateway.nano_dollars(&[]).await;
    assert_eq!(nanos, billed.cost.0, "{what}: {billed:?}");
    assert!(billed.cost.0 > 0 || billed.usage == Usage::default(), "{what}: billed nothing");
    assert_eq!(gateway.metric("price_missing_total", &[]).await, 0.0, "{what}");
}

/// A conversation of two turns with tools, a cached prefix, thought, and two calls at once.
fn turn(dialect: Dialect, text: &str, long_ttl: bool) -> Value {
    let schema = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    let model = crate::harness::model(dialect);
    match dialect {
        Dialect::Anthropic => {
            let marker = if long_ttl {
                json!({"type": "ephemeral", "ttl": "1h"})
            } else {
                json!({"type": "ephemeral"})
            };
            json!({
                "model": model, "max_tokens": 4_096, "thinking": {"type": "enabled", "budget_tokens": 1_024},
                "system": [{"type": "text", "text": long("Be brief."), "cache_control": marker}],
                "tools": [{"name": "look", "description": "Looks.", "input_schema": schema}],
                "messages": [{"role": "user", "content": text}],
            })
        }
        Dialect::OpenAiChat => json!({
            "model": model, "reasoning_effort": "high",
            "tools": [{"type": "function", "function": {"name": "look", "parameters": schema}}],
            "messages": [{"role": "system", "content": long("Be brief.")}, {"role": "user", "content": text}],
        }),
        Dialect::OpenAiResponses => json!({
            "model": model, "reasoning": {"effort": "high"}, "instructions": long("Be brief."),
            "tools": [{"type": "function", "name": "look", "parameters": schema}], "input": text,
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_and_every_cent_is_what_the_provider_billed() {
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let sim = sim().await;
            let gateway = Setup::over(&sim).start().await;
            sim.reset();
            let ask = |text: &str, long_ttl: bool| {
                let body = turn(dialect, text, long_ttl);
                Ask::new(gateway.url(crate::harness::path(dialect)), body).session("books").stream(stream)
            };
            let calls =
                "[sim:tool=look][sim:parallel_tools=3][sim:argument_tokens=40][sim:thinking_tokens=77]";
            ask("first [sim:output_tokens=200][sim:thinking_tokens=50]", true).send().await.assert_ok();
            ask("first [sim:output_tokens=200][sim:thinking_tokens=50]", true).send().await.assert_ok();
            ask(calls, false).send().await.assert_ok();
            let plain = gateway.ask(dialect).stream(stream);
            plain.send().await.assert_ok();
            let what = format!("{dialect}, stream {stream}");
            assert_books_agree(&what, &sim, &gateway).await;
            let usage = sim.stats().total().usage;
            assert!(usage.cached_read > 0 && usage.output > 300, "{what} tests too little: {usage:?}");
            match dialect {
                Dialect::Anthropic => assert!(usage.write_1h > 0, "{what}: {usage:?}"),
                Dialect::OpenAiChat | Dialect::OpenAiResponses => {
                    assert!(usage.reasoning > 0, "{what}: {usage:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_completions_are_billed_and_counting_is_free() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    for stream in [false, true] {
        let old = json!({"model": "gpt-5.6", "prompt": "hello [sim:output_tokens=33]", "stream": stream});
        let reply = Ask::new(gateway.url("/v1/completions"), old).send().await.assert_ok();
        assert!(!stream || !reply.text().contains("usage"), "nobody asked for it: {}", reply.text());
    }
    let mut count = gateway.ask(Dialect::Anthropic);
    count = Ask::new(gateway.url("/v1/messages/count_tokens"), serde_json::from_slice(&count.body).unwrap());
    assert!(count.send().await.assert_ok().json()["input_tokens"].as_u64().unwrap() > 0);
    assert_books_agree("small calls", &sim, &gateway).await;
    assert_eq!(gateway.metric("usage_estimated_total", &[]).await, 0.0);
}

/// A model that no price list of ours knows.
const EMBEDDING: &str = "[[model]]\nname = \"text-embedding-3-small\"\nprovider = \"openai\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_counted_raises_an_alarm_and_is_never_free() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).more(EMBEDDING).start().await;
    sim.reset();
    let embed = json!({"model": "text-embedding-3-small", "input": ["one", "two words", long("three")]});
    Ask::new(gateway.url("/v1/embeddings"), embed).send().await.assert_ok();
    gateway.at_rest().await;
    let model = "model=\"text-embedding-3-small\"";
    assert_eq!(gateway.metric("price_missing_total", &[model]).await, 1.0);
    assert_eq!(
        gateway.metric("tokens_total", &["kind=\"input\""]).await,
        sim.stats().total().usage.input as f64
    );
    assert_eq!(gateway.metric("cost_usd_total", &[model]).await, 0.0);
    let line = request_line(&gateway);
    assert!(!line.contains("usd="), "no price is not a price of nothing: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_of_ones_own_is_taken() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let list = setup.dir().join("own.toml");
    let row = "[[price]]\nmodel = \"text-embedding-3-small\"\ninput = 0.02\noutput = 0\n";
    std::fs::write(&list, row).unwrap();
    let gateway = setup.more(EMBEDDING).more("[metering]\nprices = \"own.toml\"").start().await;
    sim.reset();
    let embed = json!({"model": "text-embedding-3-small", "input": ["one", "two words", long("three")]});
    Ask::new(gateway.url("/v1/embeddings"), embed).send().await.assert_ok();
    assert_books_agree("embeddings", &sim, &gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_chunk_is_seen_by_those_who_asked_for_it_only() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    let chat = gateway.ask(Dialect::OpenAiChat).stream(true);
    let with =
        |include: bool| chat.clone().with(|body| body["stream_options"] = json!({"include_usage": include}));
    for (ask, visible) in [(chat.clone(), false), (with(false), false), (with(true), true)] {
        let events = ask.send().await.assert_ok().events();
        let usage = events.iter().any(|event| event["usage"].is_object());
        let empty = events.iter().any(|event| event["choices"].as_array().is_some_and(Vec::is_empty));
        assert_eq!((usage, empty), (visible, visible), "{events:?}");
        assert_eq!(events.last(), Some(&json!("[DONE]")));
    }
    assert_books_agree("chat", &sim, &gateway).await;
    // A provider that does not know the option is asked without, and still metered, as well as can be.
    sim.script(Fault::StreamOptionsUnknown.always());
    let reply = chat.send().await.assert_ok();
    assert!(reply.events().len() > 2);
    gateway.at_rest().await;
    assert_eq!(gateway.metric("usage_estimated_total", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_stream_is_charged_its_estimate() {
    for dialect in Dialect::ALL {
        let sim = sim().await;
        let gateway = Setup::over(&sim).start().await;
        sim.script(Fault::ResetAfter { events: 40 });
        let ask = gateway.ask(dialect).stream(true);
        let text = json!(format!("{} [sim:output_tokens=400]", long("go on")));
        let reply = ask.with(|body| match dialect {
            Dialect::OpenAiResponses => body["input"] = text,
            Dialect::Anthropic | Dialect::OpenAiChat => body["messages"][0]["content"] = text,
        });
        let reply = reply.send().await;
        assert_eq!(reply.status, 200);
        gateway.at_rest().await;
        assert_eq!(gateway.metric("requests_total", &["outcome=\"interrupted\""]).await, 1.0, "{dialect}");
        assert_eq!(gateway.metric("usage_estimated_total", &[]).await, 1.0, "{dialect}");
        let output = gateway.metric("tokens_total", &["kind=\"output\""]).await;
        assert!((10.0..400.0).contains(&output), "{dialect}: {output} tokens of output");
        assert!(gateway.metric("cost_usd_total", &[]).await > 0.0, "{dialect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_count_rises_with_the_stream_and_falls_back_to_nothing() {
    for dialect in Dialect::ALL {
        let sim = sim().await;
        let gateway = Setup::over(&sim).start().await;
        let steps = sim.lockstep();
        let ask = gateway.ask(dialect).stream(true).with(|body| {
            let text = json!("hello [sim:output_tokens=2000]");
            match dialect {
                Dialect::OpenAiResponses => body["input"] = text,
                Dialect::Anthropic | Dialect::OpenAiChat => body["messages"][0]["content"] = text,
            }
        });
        let reading = tokio::spawn(async move { ask.open().await.rest().await });
        let mut before = 0;
        for _ in 0..3 {
            steps.release(30);
            let more = |status: &Value| status["live_output_tokens"].as_i64().unwrap() > before;
            let status = gateway.until("the live count rises", more).await;
            before = status["live_output_tokens"].as_i64().unwrap();
            assert!(before <= 2_300, "{dialect}: {before} tokens of 2,000");
        }
        assert!(gateway.metric("live_output_tokens", &[]).await > 0.0);
        drop(steps);
        reading.await.unwrap().assert_ok();
        gateway.at_rest().await;
        assert_eq!(gateway.metric("live_output_tokens", &[]).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_answers_and_keys_are_nowhere_to_be_seen() {
    let accounts = ["sk-canary-one-77aa", "sk-canary-two-77aa"];
    let sim = sim_with(|config: &mut SimConfig| {
        config.accounts = accounts.iter().map(|key| warmkey::sim::Account::new(key, "org", "ws")).collect();
    })
    .await;
    let token = "wk-canary-token-77aa-0123456789";
    let setup = Setup::over(&sim).caller("team", "acme", token);
    let gateway = setup.server("[server.log]\nlevel = \"trace\"").start().await;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            for fault in [None, Some(Fault::KeyRejected), Some(Fault::ServerError), Some(Fault::ErrorFirst)] {
                if let Some(fault) = fault {
                    sim.script(fault);
                }
                let ask =
                    gateway.ask(dialect).stream(stream).header("authorization", &format!("Bearer {token}"));
                let ask = ask.session(CANARY).header("user-agent", CANARY).with(|body| match dialect {
                    Dialect::OpenAiResponses => body["input"] = json!(CANARY),
                    Dialect::Anthropic | Dialect::OpenAiChat => {
                        body["messages"][0]["content"] = json!(CANARY);
                    }
                });
                let _ = ask.send().await;
            }
        }
    }
    // Broken ones too: a parser's complaint likes to quote.
    let broken = gateway.ask(Dialect::Anthropic).header("x-api-key", token);
    broken.clone().raw(format!("{{\"model\": \"{CANARY}\", \"messages\": {CANARY}}}")).send().await;
    broken.raw(format!("{{\"{CANARY}\": 1,")).send().await;
    gateway.at_rest().await;
    let shown = [gateway.log(), gateway.metrics().await, gateway.status().await.to_string()];
    for (place, text) in ["the log", "the metrics", "the status"].iter().zip(&shown) {
        for secret in [CANARY, "canary-one", "canary-two", "canary-token"] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{place} shows `{secret}`: {}", line.unwrap());
        }
    }
    let line = request_line(&gateway);
    for field in [
        "request_id=",
        "caller=",
        "tenant=",
        "dialect=",
        "gen_ai.request.model=",
        "endpoint=",
        "session=",
        "id_source=",
        "affinity=",
        "why=",
        "status=",
        "outcome=",
        "attempts=",
        "streamed=",
        "gen_ai.usage.input_tokens=",
        "cached_read=",
        "cache_write=",
        "gen_ai.usage.output_tokens=",
        "usd=",
        "request_bytes=",
        "response_bytes=",
        "total_ms=",
        "waited_ms=",
        "overhead_ms=",
    ] {
        assert!(line.contains(field), "no `{field}` in {line}");
    }
}

/// The log line of the last request that went well.
fn request_line(gateway: &Gateway) -> String {
    let log = gateway.log();
    let mut lines =
        log.lines().filter(|line| line.contains("request_id=") && line.contains("outcome=\"ok\""));
    lines.next_back().unwrap_or_else(|| panic!("no request in\n{log}")).to_owned()
}
