//! Google's dialect over a socket.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use warmkey::sim::{Fault, RetryHint};

use crate::harness::{Caller, start};

const WHOLE: &str = "/v1beta/models/gemini-3.8-flash:generateContent";
const STREAM: &str = "/v1beta/models/gemini-3.8-flash:streamGenerateContent";
const SSE: &str = "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse";

fn ask(text: &str) -> Value {
    json!({
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "tools": [{"functionDeclarations": [{"name": "read", "parametersJsonSchema": {"type": "object"}}]}],
    })
}

#[tokio::test]
async fn a_key_may_come_in_three_places() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    assert_eq!(client.post(WHOLE, &ask("hi")).await.status, 200, "a bearer");
    for (query, header) in [("?key=key-a", "x-none"), ("", "x-goog-api-key")] {
        let request = Request::post(format!("{}{WHOLE}{query}", client.base))
            .header(header, "key-a")
            .body(Full::new(Bytes::from(ask("hi").to_string())))
            .expect("a request");
        assert_eq!(client.inner.request(request).await.expect("an answer").status(), 200, "{header}");
    }
    let stranger = Caller::of(&sim, "nobody").post(WHOLE, &ask("hi")).await;
    assert_eq!(stranger.status, 400);
    assert_eq!(stranger.json()["error"]["details"][0]["reason"], "API_KEY_INVALID");
}

#[tokio::test]
async fn both_streams_say_what_the_whole_answer_does() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let text = |chunks: &[Value]| -> String {
        let part = |chunk: &Value| {
            chunk["candidates"][0]["content"]["parts"][0]["text"].as_str().expect("a text").to_owned()
        };
        chunks.iter().map(part).collect()
    };
    let whole = client.post(WHOLE, &ask("hi")).await.json();
    let events = client.post(SSE, &ask("hi")).await;
    assert_eq!(events.header("content-type"), "text/event-stream; charset=utf-8");
    let array = client.post(STREAM, &ask("hi")).await;
    assert_eq!(array.header("content-type"), "application/json");
    let array: Vec<Value> = serde_json::from_slice(&array.body).expect("an array");
    assert_eq!(text(&events.events()), text(std::slice::from_ref(&whole)));
    assert_eq!(text(&array), text(std::slice::from_ref(&whole)));
    let usage = &whole["usageMetadata"];
    assert_eq!(array.last().expect("a chunk")["usageMetadata"], *usage);
    let seen = sim.wait_for(|seen| seen.len() == 3 && seen.iter().all(|request| request.done)).await;
    assert!(seen.iter().all(|request| usage["candidatesTokenCount"] == request.usage.output));
}

#[tokio::test]
async fn a_long_prompt_is_read_from_the_cache_the_second_time() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let cached = async |bytes: usize| {
        let mut read = Value::Null;
        for _ in 0..2 {
            let heard = client.post(WHOLE, &ask(&"x".repeat(bytes))).await.json();
            read = heard["usageMetadata"]["cachedContentTokenCount"].clone();
        }
        read
    };
    assert_eq!(cached(12_000).await, Value::Null, "shorter than what Gemini 3 caches");
    assert!(cached(40_000).await.as_u64().expect("a count") > 9_000);
}

#[tokio::test]
async fn a_tool_round_needs_its_signature() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let mut body = ask("[sim:tool=read]");
    let said = client.post(WHOLE, &body).await.json();
    let mut turn = said["candidates"][0]["content"].clone();
    let call = turn["parts"][0]["functionCall"].clone();
    let result = json!({"functionResponse": {"id": call["id"], "name": "read", "response": {"output": "x"}}});
    let contents = body["contents"].as_array_mut().expect("contents");
    contents.push(turn.clone());
    contents.push(json!({"role": "user", "parts": [result]}));
    let answered = client.post(SSE, &body).await;
    assert_eq!(answered.events().last().expect("a chunk")["candidates"][0]["finishReason"], "STOP");
    turn["parts"][0].as_object_mut().expect("a part").remove("thoughtSignature");
    body["contents"][1] = turn;
    let refused = client.post(SSE, &body).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["status"]),
        (400, &json!("INVALID_ARGUMENT"))
    );
}

#[tokio::test]
async fn a_429_says_its_wait_in_the_body() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    sim.script(Fault::RateLimited { hint: RetryHint::RetryAfter(7) });
    let heard = client.post(SSE, &ask("hi")).await;
    assert_eq!((heard.status.as_u16(), heard.header("retry-after")), (429, ""));
    let error = &heard.json()["error"];
    assert_eq!(
        (&error["status"], &error["details"][0]["retryDelay"]),
        (&json!("RESOURCE_EXHAUSTED"), &json!("7s"))
    );
    sim.script(Fault::RateLimited { hint: RetryHint::None });
    assert!(client.post(SSE, &ask("hi")).await.json()["error"].get("details").is_none());
}

#[tokio::test]
async fn a_stream_fails_as_scripted() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    for path in [SSE, STREAM] {
        sim.script(Fault::ErrorAfter { events: 2 });
        let heard = client.post(path, &ask("hi")).await;
        assert!(!heard.broken && heard.text().contains("UNAVAILABLE"), "{path}");
        if path == STREAM {
            let chunks: Vec<Value> = serde_json::from_slice(&heard.body).expect("an array");
            assert_eq!(chunks.len(), 3);
        }
        sim.script(Fault::TruncateAfter { events: 2 });
        let heard = client.post(path, &ask("hi")).await;
        assert!(!heard.broken && !heard.text().contains("finishReason"), "{path}");
        sim.script(Fault::ResetAfter { events: 1 });
        let response = client.open(Method::POST, path, Bytes::from(ask("hi").to_string())).await;
        assert!(response.expect("a header").collect().await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn tokens_texts_and_models_are_served_beside() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let whole = json!({"generateContentRequest": {
        "model": "models/gemini-3.8-flash", "contents": ask("hi there")["contents"],
        "systemInstruction": {"parts": [{"text": "be good"}]},
    }});
    let counted = client.post("/v1beta/models/gemini-3.8-flash:countTokens", &whole).await.json();
    let alone = json!({"contents": ask("hi there")["contents"]});
    let fewer = client.post("/v1beta/models/gemini-3.8-flash:countTokens", &alone).await.json();
    assert!(counted["totalTokens"].as_u64() > fewer["totalTokens"].as_u64());
    let request = |text: &str| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 3});
    let batch = json!({"requests": [request("a"), request("b")]});
    let vectors = client.post("/v1beta/models/gemini-embedding-001:batchEmbedContents", &batch).await.json();
    assert_eq!(vectors["embeddings"][1]["values"].as_array().expect("a vector").len(), 3);
    let models = client.get("/v1beta/models").await.json();
    assert!(
        models["models"].as_array().expect("a list").iter().any(|m| m["name"] == "models/gemini-2.5-flash")
    );
    assert_eq!(client.get("/v1beta/models/gemini-9").await.json()["error"]["status"], "NOT_FOUND");
}
