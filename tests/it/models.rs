//! Models: what is offered, what a name leads to, and under which paths.

use http::Method;
use serde_json::{Value, json};
use warmkey::types::Dialect;

use crate::harness::{Ask, Gateway, Reply, Setup, get, path, sim};

fn look(gateway: &Gateway, at: &str) -> Ask {
    Ask::new(gateway.url(at), json!({})).method(Method::GET).raw("")
}

/// The shape of a list: its ids, and whether it is Anthropic's.
fn listed(reply: Reply) -> (Vec<String>, bool) {
    let list = reply.assert_ok().json();
    let data = list["data"].as_array().expect("a list");
    let ids = data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect();
    let anthropic = list["has_more"] == json!(false) && list.get("object").is_none();
    for model in data {
        let kind = if anthropic { &model["type"] } else { &model["object"] };
        assert_eq!(kind, "model", "{model}");
        let when = if anthropic { model["created_at"].is_string() } else { model["created"].is_i64() };
        assert!(when, "{model}");
    }
    (ids, anthropic)
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_in_the_callers_shape() {
    let sim = sim().await;
    let glob = "[[model]]\nname = \"claude-*\"\nprovider = \"anthropic\"\n";
    let gateway = Setup::over(&sim).more(glob).start().await;
    let version = |ask: Ask| ask.header("anthropic-version", "2023-06-01");
    let (claude, gpt) = (vec!["claude-sonnet-4-6".to_owned()], vec!["gpt-5.6".to_owned()]);
    let both = [claude.clone(), gpt.clone()].concat();
    for at in ["/v1/models", "/models", "/v1/models?limit=100"] {
        assert_eq!(listed(version(look(&gateway, at)).send().await), (both.clone(), true), "{at}");
        assert_eq!(listed(look(&gateway, at).send().await), (both.clone(), false), "{at}");
    }
    assert_eq!(listed(look(&gateway, "/anthropic/v1/models").send().await), (claude, true));
    let prefixed = version(look(&gateway, "/openai/v1/models"));
    assert_eq!(listed(prefixed.send().await), (gpt, false), "the path says more than a header");

    let one = look(&gateway, "/v1/models/gpt-5.6").send().await.assert_ok().json();
    assert_eq!((one["id"].clone(), one["object"].clone()), (json!("gpt-5.6"), json!("model")));
    let one = version(look(&gateway, "/v1/models/claude-sonnet-4-6")).send().await.assert_ok().json();
    assert_eq!((one["id"].clone(), one["type"].clone()), (json!("claude-sonnet-4-6"), json!("model")));
    look(&gateway, "/v1/models/nobody").send().await.assert_error(Dialect::OpenAiChat, 404);
    version(look(&gateway, "/v1/models/nobody")).send().await.assert_error(Dialect::Anthropic, 404);
    // The list is ours: no provider was asked for it.
    let lists = sim.seen().iter().filter(|seen| seen.path == "/v1/models").count();
    assert_eq!(lists, 16, "one check of each key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_carries_the_prices_that_this_caller_pays() {
    let sim = sim().await;
    let marked = "[[caller]]\nname = \"marked\"\ntoken = \"wk-marked-0123456789abcdef\"\nmarkup = 1.5\n";
    let more = "[[model]]\nname = \"mine\"\nupstream = \"claude-sonnet-4-6\"\nprovider = \"anthropic\"\n\
                [[model]]\nname = \"unheard-of\"\nprovider = \"anthropic\"\n";
    let setup = Setup::over(&sim).more(more).more(marked);
    let gateway = setup.caller("plain", "default", "wk-plain-0123456789abcdef").start().await;
    let one = async |id: &str, token: &str| {
        let ask = look(&gateway, &format!("/v1/models/{id}")).header("x-api-key", token);
        let ask = if id.starts_with("gpt") { ask } else { ask.header("anthropic-version", "2023-06-01") };
        ask.send().await.assert_ok().json()["pricing"].clone()
    };
    let sonnet = json!({"unit": "usd_per_million_tokens", "input": 3.0, "cached_read": 0.3, "write_5m": 3.75,
                        "write_1h": 6.0, "output": 15.0});
    assert_eq!(one("claude-sonnet-4-6", "wk-plain-0123456789abcdef").await, sonnet);
    assert_eq!(one("mine", "wk-plain-0123456789abcdef").await, sonnet, "priced as the provider's model");
    assert_eq!(one("unheard-of", "wk-plain-0123456789abcdef").await, Value::Null);
    let marked = one("claude-sonnet-4-6", "wk-marked-0123456789abcdef").await;
    assert_eq!((&marked["write_5m"], &marked["output"]), (&json!(5.625), &json!(22.5)));
    let long = &one("gpt-5.6", "wk-plain-0123456789abcdef").await["above"][0];
    assert_eq!((&long["input_tokens"], &long["input"]), (&json!(272_000), &json!(8.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_and_other_methods_are_not() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for at in ["/", "/healthz", "/anthropic", "/openai/"] {
        let head = look(&gateway, at).method(Method::HEAD).send().await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "HEAD {at}");
        get(&gateway.url(at)).await.assert_ok();
    }
    for (method, at) in [
        (Method::GET, "/v1/messages"),
        (Method::PUT, "/v1/chat/completions"),
        (Method::DELETE, "/v1/models"),
        (Method::POST, "/healthz"),
    ] {
        let reply = look(&gateway, at).method(method.clone()).send().await;
        assert_eq!(reply.status, 405, "{method} {at}: {}", reply.text());
    }
    for at in ["/v2/messages", "/v1/nothing", "/messages", "/v1/files", "/favicon.ico"] {
        look(&gateway, at).send().await.assert_error(Dialect::OpenAiChat, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_have_paths_with_and_without_version_and_prefix() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    for dialect in Dialect::ALL {
        let ask =
            |at: &str| Ask::new(gateway.url(at), serde_json::from_slice(&gateway.ask(dialect).body).unwrap());
        let plain = path(dialect);
        let (own, other) = match dialect {
            Dialect::Anthropic => ("/anthropic", "/openai"),
            Dialect::OpenAiChat | Dialect::OpenAiResponses => ("/openai", "/anthropic"),
        };
        ask(&format!("{plain}?beta=true")).send().await.assert_ok();
        ask(&format!("{own}{plain}")).send().await.assert_ok();
        ask(&format!("{other}{plain}")).send().await.assert_error(dialect, 404);
        if dialect != Dialect::Anthropic {
            ask(plain.trim_start_matches("/v1")).send().await.assert_ok();
            ask(&format!("{own}{}", plain.trim_start_matches("/v1"))).send().await.assert_ok();
        }
    }
    for seen in sim.seen() {
        assert!(Dialect::ALL.iter().any(|dialect| path(*dialect) == seen.path), "{}", seen.path);
    }
    assert_eq!(sim.seen().iter().filter(|seen| seen.query == "beta=true").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_the_model_that_it_means() {
    let sim = sim().await;
    let more = r#"
[[model]]
name = "fast"
endpoints = ["a*"]
upstream = "claude-haiku-4-5"

[[model]]
name = "claude-*"
endpoints = ["a1"]

[[model]]
name = "claude-opus-*"
endpoints = ["a2"]

[[model]]
name = "gpt-5.4"
endpoints = ["o3"]

[[model]]
name = "gpt-5.4-mini"
endpoints = ["o4"]
"#;
    let gateway = Setup::over(&sim).more(more).start().await;
    let ask = async |dialect: Dialect, model: &str| {
        gateway.ask(dialect).with(|body| body["model"] = json!(model)).send().await
    };
    for (dialect, asked, upstream, endpoint) in [
        (Dialect::Anthropic, "fast", "claude-haiku-4-5", ""),
        (Dialect::Anthropic, "claude-haiku-4-5", "claude-haiku-4-5", "a1"),
        (Dialect::Anthropic, "claude-opus-4-8", "claude-opus-4-8", "a2"),
        (Dialect::Anthropic, "claude-sonnet-4-6-20260115", "claude-sonnet-4-6-20260115", ""),
        (Dialect::OpenAiChat, "gpt-5.4-2026-01-15", "gpt-5.4-2026-01-15", "o3"),
        (Dialect::OpenAiChat, "gpt-5.4-mini-2026-01-15", "gpt-5.4-mini-2026-01-15", "o4"),
        (Dialect::OpenAiResponses, "gpt-5.4", "gpt-5.4", "o3"),
    ] {
        sim.reset();
        let reply = ask(dialect, asked).await.assert_ok();
        assert!(endpoint.is_empty() || reply.endpoint() == endpoint, "{asked} at {}", reply.endpoint());
        assert_eq!(sim.seen()[0].model, upstream, "{asked}");
        // Prices go by the longest prefix too.
        gateway.at_rest().await;
        assert_eq!(gateway.metric("price_missing_total", &[]).await, 0.0, "{asked}");
    }
    // Labels are what the configuration says.
    assert_eq!(gateway.metric("requests_total", &["model=\"claude-sonnet-4-6\""]).await, 1.0);
    assert_eq!(gateway.metric("requests_total", &["model=\"gpt-5.4-mini\""]).await, 1.0);
    for (dialect, asked) in [
        (Dialect::OpenAiChat, "gpt-9"),
        (Dialect::Anthropic, "Claude"),
        (Dialect::OpenAiChat, "gpt-5.4-maxi"),
    ] {
        ask(dialect, asked).await.assert_error(dialect, 404);
    }
    for (dialect, asked) in [(Dialect::OpenAiChat, "claude-opus-4-8"), (Dialect::Anthropic, "gpt-5.4")] {
        let spoken = if dialect == Dialect::Anthropic { "openai-chat" } else { "anthropic" };
        assert_eq!(ask(dialect, asked).await.assert_ok().header("x-warmkey-translated"), spoken, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unlisted_models_pass_where_their_provider_lets_them() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).provider("unlisted = \"pass\"").start().await;
    for (dialect, model) in [(Dialect::Anthropic, "claude-opus-5"), (Dialect::OpenAiChat, "gpt-5-mini")] {
        let ask = gateway.ask(dialect).with(|body| body["model"] = json!(model));
        ask.send().await.assert_ok();
        // What the provider does not know either, it says itself.
        let ask = gateway.ask(dialect).with(|body| body["model"] = json!("made-up"));
        assert_eq!(ask.send().await.status, 404);
    }
    gateway.assert_all_ready().await;
    assert_eq!(
        gateway.metric("requests_total", &["model=\"unlisted\""]).await,
        4.0,
        "a closed set of labels"
    );
    let list: Value = get(&gateway.url("/v1/models")).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_calls_are_answered_and_bend_nothing() {
    let sim = sim().await;
    let embed = "[[model]]\nname = \"text-embedding-3-small\"\nprovider = \"openai\"\n";
    let gateway = Setup::over(&sim).more(embed).start().await;
    let count = serde_json::from_slice(&gateway.ask(Dialect::Anthropic).body).unwrap();
    let count = Ask::new(gateway.url("/v1/messages/count_tokens?beta=true"), count);
    assert!(count.send().await.assert_ok().json()["input_tokens"].is_u64());
    let body = json!({"model": "text-embedding-3-small", "input": "hello"});
    for at in ["/v1/embeddings", "/embeddings", "/openai/v1/embeddings"] {
        let reply = Ask::new(gateway.url(at), body.clone()).send().await.assert_ok();
        assert_eq!(reply.json()["object"], "list");
    }
    let old = json!({"model": "gpt-5.6", "prompt": "hello", "stream": true});
    let reply = Ask::new(gateway.url("/v1/completions"), old).send().await.assert_ok();
    assert_eq!(reply.events().last(), Some(&json!("[DONE]")));
    // A limit on counting or embedding says nothing of messages.
    sim.script(warmkey::sim::Fault::Status { status: 429 }.on_path("/v1/messages/count_tokens").always());
    sim.script(warmkey::sim::Fault::Status { status: 429 }.on_path("/v1/embeddings").always());
    assert_eq!(count.send().await.status, 429);
    assert_eq!(Ask::new(gateway.url("/v1/embeddings"), body).send().await.status, 429);
    sim.reset();
    for dialect in Dialect::ALL {
        for _ in 0..8 {
            gateway.ask(dialect).send().await.assert_ok();
        }
    }
    // All of them at their first try, in every organisation.
    let seen = sim.seen();
    assert_eq!(seen.len(), 24);
    for organisation in ["one", "two", "three"] {
        assert!(seen.iter().any(|request| request.organization == organisation), "{organisation} is spared");
    }
}
