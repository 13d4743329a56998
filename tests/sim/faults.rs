//! Every way to fail, on the wire.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use warmkey::{
    sim::{Door, Fault, RetryHint, Rule},
    types::Dialect,
};

use crate::harness::{Caller, DIALECTS, ask, path_of, start};

#[tokio::test]
async fn every_refusal_has_its_status_and_envelope() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let table = [
        (Fault::RateLimited { hint: RetryHint::RetryAfter(7) }, 429, 429),
        (Fault::ExceedsLimitAlone, 429, 429),
        (Fault::ServerError, 500, 500),
        (Fault::Unavailable, 503, 503),
        (Fault::Overloaded, 529, 503),
        (Fault::GatewayTimeout, 504, 504),
        (Fault::KeyRejected, 401, 401),
        (Fault::BillingRejected, 402, 402),
        (Fault::KeyForbidden, 403, 403),
        (Fault::ModelForbidden, 403, 403),
        (Fault::SpendLimitText, 400, 400),
        (Fault::WorkspaceSpendLimitText, 400, 400),
        (Fault::SpendLimitEnforced, 429, 429),
        (Fault::InsufficientQuota, 429, 429),
        (Fault::Status { status: 418 }, 418, 418),
    ];
    for (fault, anthropic, openai) in table {
        for dialect in DIALECTS {
            sim.script(fault.clone());
            let heard = client.post(path_of(dialect), &ask(dialect, "hi", true)).await;
            let expected = if dialect == Dialect::Anthropic { anthropic } else { openai };
            assert_eq!(heard.status, expected, "{fault:?} {dialect}");
            assert!(heard.json()["error"]["message"].is_string());
            assert_eq!(heard.json()["type"] == "error", dialect == Dialect::Anthropic);
        }
    }
    let seen = sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    assert!(seen.iter().all(|request| request.cost.0 == 0), "an error bills nothing");
}

#[tokio::test]
async fn a_429_announces_its_wait_in_each_way() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let say = async |hint: RetryHint| {
        sim.script(Fault::RateLimited { hint });
        client.post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await
    };
    let heard = say(RetryHint::None).await;
    assert_eq!((heard.header("retry-after"), heard.header("anthropic-ratelimit-requests-reset")), ("", ""));
    assert_eq!(say(RetryHint::RetryAfter(9)).await.header("retry-after"), "9");
    assert_eq!(say(RetryHint::RetryAfterMs(250)).await.header("retry-after-ms"), "250");
    let heard = say(RetryHint::ResetOnly(60)).await;
    assert_eq!(heard.header("retry-after"), "");
    assert_eq!(heard.header("anthropic-ratelimit-requests-remaining"), "0");
    assert!(!heard.header("anthropic-ratelimit-requests-reset").is_empty());
}

#[tokio::test]
async fn a_broken_stream_breaks_after_exactly_the_scripted_events() {
    let sim = start().await;
    for http2 in [false, true] {
        for dialect in DIALECTS {
            let client = Caller::with(&sim, "key-a", http2);
            let faults = [
                (Fault::ResetAfter { events: 3 }, true),
                (Fault::CloseAfter { events: 3 }, true),
                (Fault::TruncateAfter { events: 3 }, false),
            ];
            for (fault, broken) in faults {
                sim.script(fault.clone());
                let heard =
                    client.post(path_of(dialect), &ask(dialect, "hi [sim:output_tokens=40]", true)).await;
                assert_eq!(
                    (heard.events().len(), heard.broken),
                    (3, broken),
                    "{fault:?} {dialect} h2={http2}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_whole_answer_can_break_in_its_middle() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    for dialect in DIALECTS {
        sim.script(Fault::ResetAfter { events: 1 });
        let heard = client.post(path_of(dialect), &ask(dialect, "hi", false)).await;
        assert!(heard.broken && !heard.body.is_empty() && !heard.text().ends_with('}'), "{dialect}");
        sim.script(Fault::TruncateAfter { events: 1 });
        let heard = client.post(path_of(dialect), &ask(dialect, "hi", false)).await;
        assert!(!heard.broken && !heard.text().ends_with('}'), "{dialect}");
    }
}

#[tokio::test]
async fn errors_inside_a_200_come_first_or_after_content() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    for dialect in DIALECTS {
        sim.script(Fault::ErrorFirst);
        let heard = client.post(path_of(dialect), &ask(dialect, "hi", true)).await;
        assert_eq!((heard.status.as_u16(), heard.events().len()), (200, 1), "{dialect}");
        let first = heard.events().remove(0);
        assert!(first["error"].is_object() || first["type"] == "error", "{dialect}: {first}");
        sim.script(Fault::ErrorAfter { events: 5 });
        let heard = client.post(path_of(dialect), &ask(dialect, "hi [sim:output_tokens=40]", true)).await;
        assert_eq!(heard.events().len(), 6, "{dialect}");
        let last = heard.events().pop().expect("an event");
        let failed = last["error"].is_object() || last["type"] == "response.failed";
        assert!(failed, "{dialect}: {last}");
    }
}

#[tokio::test]
async fn a_silent_provider_stays_silent_until_the_client_leaves() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let body = Bytes::from(ask(Dialect::Anthropic, "hi [sim:output_tokens=40]", true).to_string());
    sim.script(Fault::HangBeforeHeader);
    let hanging = tokio::spawn({
        let (body, client) = (body.clone(), Caller::of(&sim, "key-a"));
        async move { client.open(Method::POST, "/v1/messages", body).await.map(|_| ()) }
    });
    sim.wait_for(|seen| seen.iter().any(|request| !request.body_sha256.is_empty())).await;
    hanging.abort();
    let seen = sim.wait_for(|seen| seen[0].done).await;
    assert!(seen[0].cancelled && seen[0].status == 0);

    sim.script(Fault::StallAfter { events: 2 });
    let mut response = client.open(Method::POST, "/v1/messages", body).await.expect("a header");
    for _ in 0..2 {
        response.body_mut().frame().await.expect("an event").expect("sound");
    }
    drop(response);
    let seen = sim.wait_for(|seen| seen.len() == 2 && seen[1].done).await;
    assert!(seen[1].cancelled && seen[1].events_sent == 2);
}

#[tokio::test]
async fn connections_die_in_place_of_an_answer() {
    let sim = start().await;
    let body = || Bytes::from(ask(Dialect::Anthropic, "hi", true).to_string());
    for fault in [Fault::CloseBeforeHeader, Fault::ResetBeforeHeader, Fault::GoAway, Fault::RefusedStream] {
        for http2 in [false, true] {
            sim.script(fault.clone());
            let client = Caller::with(&sim, "key-a", http2);
            let error = client.open(Method::POST, "/v1/messages", body()).await.expect_err("no answer");
            if http2 && fault == Fault::RefusedStream {
                assert!(error.contains("REFUSED_STREAM"), "{error}");
            }
            if http2 && fault == Fault::GoAway {
                assert!(error.contains("GoAway"), "{error}");
            }
            assert_eq!(client.post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_stale_connection_dies_when_it_is_used_again() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    sim.script(Fault::Stale);
    let body = ask(Dialect::Anthropic, "hi", false);
    assert_eq!(client.post("/v1/messages", &body).await.status, 200);
    let again = client.open(Method::POST, "/v1/messages", Bytes::from(body.to_string())).await;
    assert!(again.is_err(), "the reused connection is dead");
    assert_eq!(client.post("/v1/messages", &body).await.status, 200, "a new one is not");
    assert_eq!(sim.seen().len(), 2, "the lost request was never seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_can_be_shut_and_opened_again_on_the_same_port() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let body = ask(Dialect::Anthropic, "hi", false);
    assert_eq!(client.post("/v1/messages", &body).await.status, 200);
    sim.door(Door::Refuse).await.expect("shut");
    assert!(TcpStream::connect(sim.addr()).is_err());
    sim.door(Door::Slam).await.expect("slamming");
    let mut slammed = TcpStream::connect(sim.addr()).expect("accepted");
    assert!(matches!(slammed.read(&mut [0; 8]), Ok(0) | Err(_)));
    sim.door(Door::Open).await.expect("open");
    assert_eq!(Caller::of(&sim, "key-a").post("/v1/messages", &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_comes_while_the_upload_is_under_way() {
    let sim = start().await;
    sim.script(Fault::EarlyAnswer { status: 413, after_bytes: 10 });
    let mut socket = TcpStream::connect(sim.addr()).expect("connected");
    let head =
        "POST /v1/messages HTTP/1.1\r\nhost: sim\r\nx-api-key: key-a\r\ncontent-length: 1000000\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    socket.write_all(&[b'x'; 2_000]).expect("sent");
    let answer = tokio::task::spawn_blocking(move || {
        let mut start = [0; 12];
        socket.read_exact(&mut start).map(|()| start)
    });
    assert_eq!(&answer.await.expect("ran").expect("an answer"), b"HTTP/1.1 413");
}

#[tokio::test]
async fn odd_answers_are_odd_as_scripted() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let body = ask(Dialect::OpenAiChat, "hi", false);
    let say = async |rule: Rule| {
        sim.script(rule);
        client.post("/v1/chat/completions", &body).await
    };
    let heard = say(Fault::HtmlPage { status: 502 }.into()).await;
    assert_eq!((heard.status.as_u16(), heard.header("content-type")), (502, "text/html"));
    assert!(say(Fault::SetCookie.into()).await.header("set-cookie").contains("simulated"));
    let heard = say(Fault::Gzip.into()).await;
    assert_eq!(heard.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&heard.body[..]).read_to_string(&mut text).expect("gzip");
    assert!(serde_json::from_str::<Value>(&text).expect("JSON")["choices"].is_array());
    assert_eq!(say(Fault::GoAwayAfter.into()).await.header("connection"), "close");
    for slow in [
        Fault::SlowHeader { delay_ms: Duration::from_millis(1) },
        Fault::SlowRead { bytes_per_second: 1_000_000 },
    ] {
        let heard = say(slow.into()).await;
        assert_eq!(heard.status, 200);
        assert!(
            sim.seen().last().is_some_and(|seen| seen.fault.as_ref().is_some_and(|f| f.starts_with("Slow")))
        );
    }
    sim.script(Fault::StreamOptionsUnknown);
    let mut streaming = ask(Dialect::OpenAiChat, "hi", true);
    assert_eq!(client.post("/v1/chat/completions", &streaming).await.status, 200, "it carries none");
    streaming["stream_options"] = json!({"include_usage": true});
    let heard = client.post("/v1/chat/completions", &streaming).await;
    assert!(heard.status == 400 && heard.text().contains("stream_options"));
    assert_eq!(client.post("/v1/chat/completions", &streaming).await.status, 200);
}

#[tokio::test]
async fn a_dead_key_fails_the_model_list_too() {
    let sim = start().await;
    sim.script(Fault::KeyRejected.on_key("key-a").everywhere().always());
    assert_eq!(Caller::of(&sim, "key-a").get("/v1/models").await.status, 401);
    let heard = Caller::of(&sim, "key-b").get("/v1/models").await;
    assert_eq!((heard.status.as_u16(), heard.json()["object"].clone()), (200, json!("list")));
    sim.clear_faults();
    assert_eq!(Caller::of(&sim, "key-a").get("/v1/models").await.status, 200);
}
