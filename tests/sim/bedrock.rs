//! AWS Bedrock: frames, usage, refusals. (Signatures: beside the code, against botocore's.)

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use warmkey::sim::{Fault, RetryHint};

use crate::harness::{Caller, Heard, start};

const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6/converse";
const STREAM: &str = "/model/us.anthropic.claude-sonnet-4-6/converse-stream";
const INVOKE: &str = "/model/us.anthropic.claude-sonnet-4-6/invoke-with-response-stream";

/// A long prompt with a cache point at its end.
fn long(text: &str) -> Value {
    json!({
        "system": [{"text": "s".repeat(8_000)}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [{"text": text}]}],
    })
}

/// Types and payloads of a stream's messages; the lengths must add up.
fn messages(heard: &Heard) -> Vec<(String, Value)> {
    let mut rest = &heard.body[..];
    let mut all = Vec::new();
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize;
    while !rest.is_empty() {
        let (message, after) = rest.split_at(number(&rest[..4]));
        let head = 12 + number(&message[4..8]);
        let name = String::from_utf8_lossy(&message[12..head]);
        // The first header says which; its value follows a type and two bytes of length.
        let len = usize::from(message[12]);
        let value = 12 + 1 + len + 3;
        let end = value + usize::from(message[value - 1]);
        assert!(name.contains("-type"), "{name}");
        let kind = String::from_utf8_lossy(&message[value..end]).into_owned();
        let payload = serde_json::from_slice(&message[head..message.len() - 4]).expect("JSON");
        all.push((kind, payload));
        rest = after;
    }
    all
}

#[tokio::test]
async fn the_second_request_reads_what_the_first_wrote_in_the_whole_account() {
    let sim = start().await;
    let first = Caller::of(&sim, "key-a").post(CONVERSE, &long("a")).await.json();
    let usage = &first["usage"];
    assert!(usage["cacheWriteInputTokens"].as_u64().expect("a figure") >= 2_000, "{usage}");
    assert_eq!(usage["cacheDetails"][0]["ttl"], "5m");
    // Another workspace of the same organisation: one AWS account.
    let second = Caller::of(&sim, "key-c").post(CONVERSE, &long("b")).await.json();
    assert_eq!(second["usage"]["cacheReadInputTokens"], usage["cacheWriteInputTokens"]);
    let other = Caller::of(&sim, "key-d").post(CONVERSE, &long("b")).await.json();
    assert_eq!(other["usage"]["cacheReadInputTokens"], 0);
}

#[tokio::test]
async fn a_stream_is_made_of_frames_and_ends_with_its_usage() {
    let sim = start().await;
    let heard = Caller::of(&sim, "key-a").post(STREAM, &long("[sim:thinking]")).await;
    assert_eq!(heard.header("content-type"), "application/vnd.amazon.eventstream");
    let all = messages(&heard);
    assert_eq!(all.first().map(|(kind, _)| kind.as_str()), Some("messageStart"));
    assert!(all.iter().any(|(_, data)| data["delta"]["reasoningContent"]["signature"].is_string()));
    let (kind, last) = all.last().expect("a message");
    assert_eq!(kind, "metadata");
    assert_eq!(last["usage"]["outputTokens"], sim.seen()[0].usage.output);
}

#[tokio::test]
async fn claude_is_invoked_with_anthropics_bodies() {
    let sim = start().await;
    let caller = Caller::of(&sim, "key-a");
    let mut body = json!({
        "anthropic_version": "bedrock-2023-05-31", "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hi"}],
    });
    let all = messages(&caller.post(INVOKE, &body).await);
    let event = |n: usize| -> Value {
        let bytes = STANDARD.decode(all[n].1["bytes"].as_str().expect("bytes")).expect("base64");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(event(0)["type"], "message_start");
    let last = event(all.len() - 1);
    assert!(last["amazon-bedrock-invocationMetrics"]["outputTokenCount"].as_u64() > Some(0), "{last}");
    body["model"] = "x".into();
    assert_eq!(caller.post(INVOKE, &body).await.status, 400);
}

#[tokio::test]
async fn refusals_are_aws_and_say_no_time() {
    let sim = start().await;
    sim.script(Fault::RateLimited { hint: RetryHint::RetryAfter(9) });
    let caller = Caller::of(&sim, "key-a");
    let heard = caller.post(CONVERSE, &long("a")).await;
    assert_eq!((heard.status.as_u16(), heard.header("x-amzn-errortype")), (429, "ThrottlingException"));
    assert!(heard.json()["message"].is_string());
    assert_eq!(heard.header("retry-after"), "");
    sim.script(Fault::Overloaded);
    let heard = caller.post(CONVERSE, &long("a")).await;
    assert_eq!(
        (heard.status.as_u16(), heard.header("x-amzn-errortype")),
        (503, "ServiceUnavailableException")
    );
    let heard = Caller::of(&sim, "nobody").post(CONVERSE, &long("a")).await;
    assert_eq!(
        (heard.status.as_u16(), heard.header("x-amzn-errortype")),
        (403, "UnrecognizedClientException")
    );
}

#[tokio::test]
async fn streams_fail_on_command() {
    let sim = start().await;
    let caller = Caller::of(&sim, "key-a");
    sim.script(Fault::ErrorAfter { events: 2 });
    let all = messages(&caller.post(STREAM, &long("a")).await);
    assert_eq!((all.len(), all[2].0.as_str()), (3, "serviceUnavailableException"));
    sim.script(Fault::BadCrc { events: 2 });
    let broken = caller.post(STREAM, &long("a")).await;
    assert_eq!(messages(&broken).len(), 3);
}

#[tokio::test]
async fn tokens_are_counted_and_texts_embedded() {
    let sim = start().await;
    let caller = Caller::of(&sim, "key-a");
    let path = "/model/us.anthropic.claude-sonnet-4-6/count-tokens";
    let counted = caller.post(path, &json!({"input": {"converse": long("a")}})).await.json();
    assert!(counted["inputTokens"].as_u64() > Some(2_000), "{counted}");
    let titan = "/model/amazon.titan-embed-text-v2%3A0/invoke";
    let embedded = caller.post(titan, &json!({"inputText": "some text"})).await.json();
    assert_eq!(embedded["inputTextTokenCount"], 3);
    assert!(embedded["embedding"].as_array().is_some_and(|vector| !vector.is_empty()));
    let cohere = "/model/cohere.embed-english-v3/invoke";
    let body = json!({"texts": ["a", "b"], "input_type": "search_document"});
    assert_eq!(caller.post(cohere, &body).await.json()["embeddings"].as_array().map(Vec::len), Some(2));
}
