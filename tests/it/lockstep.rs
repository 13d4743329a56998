//! The provider sends event n+1 only after the client has acknowledged n: nothing is buffered and
//! nothing waits, in any dialect, metered or not.

use std::time::Duration;

use serde_json::{Value, json};
use warmkey::{sim::Sim, types::Dialect};

use crate::harness::{Ask, Gateway, Setup, Stream, path, sim};

/// Well below the time for which lifecycle events may be held in these tests.
const PROMPT: Duration = Duration::from_secs(15);

fn ask(gateway: &Gateway, dialect: Dialect, usage: bool) -> Ask {
    let ask = gateway.ask(dialect).stream(true);
    if usage && dialect == Dialect::OpenAiChat {
        return ask.with(|body| body["stream_options"] = json!({"include_usage": true}));
    }
    ask
}

/// The events of the same answer, from the provider itself.
async fn events(sim: &Sim, ask: &Ask, dialect: Dialect) -> Vec<Value> {
    let url = format!("{}{}", sim.base_url(), path(dialect));
    let key = &sim.config().accounts[0].key;
    let asked = Ask::new(url, Value::Null).header("authorization", &format!("Bearer {key}"));
    asked.raw(ask.body.clone()).send().await.assert_ok().events()
}

/// The model itself has said something.
fn is_content(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or("");
    let chat = event["choices"][0]["delta"]["content"].as_str().unwrap_or("");
    kind == "content_block_delta" || kind == "response.output_text.delta" || !chat.is_empty()
}

fn is_usage_chunk(event: &Value) -> bool {
    event["choices"].as_array().is_some_and(Vec::is_empty) && event["usage"].is_object()
}

/// Counts the whole events of a stream's text.
fn count(text: &str) -> usize {
    text.matches("\n\n").count()
}

async fn acknowledge(stream: &mut Stream, events: usize, what: &str) {
    let reading = stream.read_until(|text| count(text) >= events);
    assert!(tokio::time::timeout(PROMPT, reading).await.is_ok(), "{what}: event {events} is held back");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_reaches_the_client_before_the_next_one_is_sent() {
    let sim = sim().await;
    // Without a hold even the first event goes out by itself.
    let gateway = Setup::over(&sim).more("[server.hold]\ndefault = \"0s\"\nresponses = \"0s\"").start().await;
    for dialect in Dialect::ALL {
        for http2 in [false, true] {
            let ask = ask(&gateway, dialect, true).http2(http2);
            let all = events(&sim, &ask, dialect).await;
            let what = format!("{dialect}, HTTP/2: {http2}");
            let lockstep = sim.lockstep();
            lockstep.release(1);
            let mut stream = ask.open().await;
            for n in 1..=all.len() {
                acknowledge(&mut stream, n, &what).await;
                assert_eq!(sim.seen().pop().expect("seen").events_sent, n as u64, "{what}");
                if n == all.len() / 2 {
                    let live = gateway.status().await["live_output_tokens"].as_i64().expect("a number");
                    assert!(live > 0, "{what}: tokens are counted while the stream runs");
                }
                lockstep.release(1);
            }
            let reply = stream.rest().await.assert_ok();
            assert_eq!(reply.events().len(), all.len(), "{what}");
        }
    }
    gateway.assert_all_ready().await;
    gateway.booked("ok", 6).await;
    let estimated = gateway.metric("usage_estimated_total", &[]).await;
    assert!(estimated < 0.5, "the provider's own figures were read: {estimated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_word_takes_what_was_held_before_it_along() {
    let sim = sim().await;
    // Longer than anybody waits here: only content can open the way.
    let gateway =
        Setup::over(&sim).more("[server.hold]\ndefault = \"30s\"\nresponses = \"60s\"").start().await;
    for dialect in Dialect::ALL {
        for http2 in [false, true] {
            let ask = ask(&gateway, dialect, true).http2(http2);
            let all = events(&sim, &ask, dialect).await;
            let first = 1 + all.iter().position(is_content).expect("content");
            let what = format!("{dialect}, HTTP/2: {http2}");
            let lockstep = sim.lockstep();
            lockstep.release(first as u64);
            let opening = tokio::time::timeout(PROMPT, ask.open()).await;
            let mut stream = opening.unwrap_or_else(|_| panic!("{what}: the first word is held back"));
            for n in first..=all.len() {
                acknowledge(&mut stream, n, &what).await;
                lockstep.release(1);
            }
            stream.rest().await.assert_ok();
        }
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_the_usage_chunk_delays_nothing_but_that_chunk() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).more("[server.hold]\ndefault = \"0s\"").start().await;
    for http2 in [false, true] {
        let told = ask(&gateway, Dialect::OpenAiChat, true);
        let all = events(&sim, &told, Dialect::OpenAiChat).await;
        let hidden = all.iter().position(is_usage_chunk).expect("a usage chunk");
        let lockstep = sim.lockstep();
        lockstep.release(1);
        let mut stream = ask(&gateway, Dialect::OpenAiChat, false).http2(http2).open().await;
        for n in 1..=all.len() {
            let visible = n - usize::from(n > hidden);
            acknowledge(&mut stream, visible, "chat without usage").await;
            lockstep.release(1);
        }
        let reply = stream.rest().await.assert_ok();
        assert_eq!(reply.events().len(), all.len() - 1);
        assert!(!reply.events().iter().any(is_usage_chunk), "{}", reply.text());
    }
    gateway.booked("ok", 2).await;
    assert!(gateway.metric("usage_estimated_total", &[]).await < 0.5);
}
