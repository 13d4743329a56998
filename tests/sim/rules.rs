//! Caches, limits, and who is who.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;
use warmkey::{
    sim::{Account, Sim, SimConfig},
    types::Dialect,
};

use crate::harness::{Caller, ask, long, read_of, start};

#[tokio::test]
async fn keys_of_one_workspace_share_a_cache_and_others_do_not() {
    let sim = start().await;
    let say = async |key: &str| read_of(&Caller::of(&sim, key).post("/v1/messages", &long("hi")).await);
    assert_eq!(say("key-a").await, 0);
    assert!(say("key-a").await > 2_000);
    assert!(say("key-b").await > 2_000, "the same workspace");
    assert_eq!(say("key-c").await, 0, "another workspace of the same organisation");
    assert_eq!(say("key-d").await, 0, "another organisation");
}

#[tokio::test]
async fn a_cache_outlives_its_five_minutes_only_when_it_is_read() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    assert_eq!(read_of(&client.post("/v1/messages", &long("hi")).await), 0);
    sim.advance(Duration::from_secs(290));
    assert!(read_of(&client.post("/v1/messages", &long("hi")).await) > 0);
    sim.advance(Duration::from_secs(290));
    assert!(read_of(&client.post("/v1/messages", &long("hi")).await) > 0);
    sim.advance(Duration::from_secs(301));
    assert_eq!(read_of(&client.post("/v1/messages", &long("hi")).await), 0);
}

#[tokio::test]
async fn a_cache_is_visible_only_after_the_first_byte_of_its_writers_answer() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let lockstep = sim.lockstep();
    let mut streamed = long("hi");
    streamed["stream"] = true.into();
    let mut writer =
        client.open(Method::POST, "/v1/messages", Bytes::from(streamed.to_string())).await.expect("a header");
    assert_eq!(read_of(&client.post("/v1/messages", &long("one")).await), 0, "no byte yet");
    sim.reset();
    lockstep.release(1);
    writer.body_mut().frame().await.expect("an event").expect("sound");
    assert!(read_of(&client.post("/v1/messages", &long("two")).await) > 0);
}

#[tokio::test]
async fn openai_caches_per_organisation_and_newer_models_report_writes() {
    let sim = start().await;
    let body = json!({"model": "gpt-5.6", "messages": [
        {"role": "system", "content": "s".repeat(9_000)}, {"role": "user", "content": "hi"},
    ]});
    let say = async |key: &str| {
        let heard = Caller::of(&sim, key).post("/v1/chat/completions", &body).await;
        let details = heard.json()["usage"]["prompt_tokens_details"].clone();
        (
            details["cached_tokens"].as_u64().expect("a count"),
            details["cache_write_tokens"].as_u64().expect("a count"),
        )
    };
    let (read, written) = say("key-a").await;
    assert_eq!(read, 0);
    assert!(written > 2_000);
    assert_eq!(say("key-c").await, (written, 0), "another project, same organisation");
    assert_eq!(say("key-d").await, (0, written), "another organisation");
}

#[tokio::test]
async fn older_openai_models_cache_in_steps_of_128_and_refuse_the_newer_fields() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let mut body = json!({"model": "gpt-5.4", "input": "x".repeat(7_000)});
    client.post("/v1/responses", &body).await;
    let heard = client.post("/v1/responses", &body).await.json();
    let read = heard["usage"]["input_tokens_details"]["cached_tokens"].as_u64().expect("a count");
    assert!(read >= 1_024 && read % 128 == 0, "{read}");
    body["prompt_cache_options"] = json!({"mode": "implicit"});
    assert_eq!(client.post("/v1/responses", &body).await.status, 400);
}

#[tokio::test]
async fn authenticated_answers_name_organisation_and_workspace_and_unknown_keys_get_401() {
    let sim = start().await;
    let heard = Caller::of(&sim, "key-c").post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await;
    assert_eq!(
        (heard.header("anthropic-organization-id"), heard.header("anthropic-workspace-id")),
        ("org-1", "ws-2")
    );
    assert!(heard.header("request-id").starts_with("req_"));
    assert_eq!(heard.header("anthropic-ratelimit-requests-remaining"), "999");
    assert_eq!(heard.header("anthropic-ratelimit-input-tokens-remaining"), "2000000", "rounded to 1,000");
    assert!(heard.header("anthropic-ratelimit-tokens-reset").ends_with('Z'));

    let heard =
        Caller::of(&sim, "key-d").post("/v1/chat/completions", &ask(Dialect::OpenAiChat, "hi", false)).await;
    assert_eq!((heard.header("openai-organization"), heard.header("openai-project")), ("org-2", "ws-3"));
    assert_eq!(heard.header("x-ratelimit-remaining-requests"), "999");
    assert_eq!(heard.header("x-ratelimit-limit-tokens"), "2000000");

    let stranger = Caller::of(&sim, "nobody");
    let heard = stranger.post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await;
    assert_eq!(
        (heard.status.as_u16(), heard.json()["error"]["type"].clone()),
        (401, json!("authentication_error"))
    );
    let heard = stranger.post("/v1/responses", &ask(Dialect::OpenAiResponses, "hi", false)).await;
    assert_eq!(
        (heard.status.as_u16(), heard.json()["error"]["code"].clone()),
        (401, json!("invalid_api_key"))
    );
}

#[tokio::test]
async fn limits_belong_to_the_organisation_and_class_and_refill() {
    let accounts = vec![
        Account::new("a", "o", "w").limits(2, 0, 0),
        Account::new("b", "o", "v"),
        Account::new("c", "p", "w"),
    ];
    let sim = Sim::start(SimConfig { accounts, ..SimConfig::default() }).await.expect("a provider");
    let say = async |key: &str, model: &str| {
        let mut body = ask(Dialect::Anthropic, "hi", false);
        body["model"] = model.into();
        Caller::of(&sim, key).post("/v1/messages", &body).await
    };
    assert_eq!(say("a", "claude-sonnet-4-6").await.status, 200);
    assert_eq!(say("b", "claude-sonnet-4-6").await.status, 200);
    let refused = say("a", "claude-sonnet-4-6").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "30"));
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), "0");
    assert_eq!(say("a", "claude-haiku-4-5").await.status, 200, "another class");
    assert_eq!(say("c", "claude-sonnet-4-6").await.status, 200, "another organisation");
    sim.advance(Duration::from_secs(31));
    assert_eq!(say("a", "claude-sonnet-4-6").await.status, 200);
}

#[tokio::test]
async fn cached_reads_spare_anthropics_limit_but_not_openais() {
    let accounts = vec![Account::new("a", "o", "w").limits(0, 4_500, 0)];
    let sim = Sim::start(SimConfig { accounts, ..SimConfig::default() }).await.expect("a provider");
    let client = Caller::of(&sim, "a");
    for _ in 0..10 {
        assert_eq!(client.post("/v1/messages", &long("hi")).await.status, 200);
    }
    let body = json!({"model": "gpt-5.6", "input": "x".repeat(8_000)});
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    assert_eq!(client.post("/v1/responses", &body).await.status, 200);
    let refused = client.post("/v1/responses", &body).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["error"]["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
}
