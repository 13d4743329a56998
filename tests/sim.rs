//! The simulated provider over real sockets: what a gateway's tests rely on.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use warmkey::{
    sim::{
        Account, Door, Fault, RetryHint, Rule, Sim, SimConfig,
        agents::{Identity, Way, Workload, compare},
    },
    types::Dialect,
};

/// Three dialects: path and a short streaming body.
const DIALECTS: [Dialect; 3] = Dialect::ALL;

struct Client1 {
    inner: Client<HttpConnector, Full<Bytes>>,
    base: String,
    key: String,
}

struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// The body broke off.
    broken: bool,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("an event of JSON"))
            .collect()
    }
}

impl Client1 {
    fn of(sim: &Sim, key: &str) -> Self {
        Self::with(sim, key, false)
    }

    fn with(sim: &Sim, key: &str, http2: bool) -> Self {
        let inner = Client::builder(TokioExecutor::new())
            .http2_only(http2)
            .retry_canceled_requests(false)
            .build_http();
        Self { inner, base: sim.base_url(), key: key.to_owned() }
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, String> {
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        if path.starts_with("/v1/messages") {
            builder = builder.header("anthropic-version", "2023-06-01");
        }
        let request = builder.body(Full::new(body)).expect("a request");
        self.inner.request(request).await.map_err(|e| format!("{e:?}"))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Heard, String> {
        let response = self.open(method, path, body).await?;
        let (head, mut incoming) = response.into_parts();
        let (mut whole, mut broken) = (Vec::new(), false);
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => whole.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
                Err(_) => broken = true,
            }
        }
        Ok(Heard { status: head.status, headers: head.headers, body: whole.into(), broken })
    }

    async fn post(&self, path: &str, body: &Value) -> Heard {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Heard {
        self.send(Method::GET, path, Bytes::new()).await.expect("an answer")
    }
}

fn config() -> SimConfig {
    SimConfig {
        accounts: vec![
            Account::new("key-a", "org-1", "ws-1"),
            Account::new("key-b", "org-1", "ws-1"),
            Account::new("key-c", "org-1", "ws-2"),
            Account::new("key-d", "org-2", "ws-3"),
        ],
        ..SimConfig::default()
    }
}

async fn start() -> Sim {
    Sim::start(config()).await.expect("a provider")
}

fn path_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "/v1/messages",
        Dialect::OpenAiChat => "/v1/chat/completions",
        Dialect::OpenAiResponses => "/v1/responses",
    }
}

fn ask(dialect: Dialect, text: &str, stream: bool) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "model": "claude-sonnet-4-6", "max_tokens": 1_000, "stream": stream,
            "messages": [{"role": "user", "content": text}],
        }),
        Dialect::OpenAiChat => json!({
            "model": "gpt-5.6", "stream": stream, "messages": [{"role": "user", "content": text}],
        }),
        Dialect::OpenAiResponses => json!({"model": "gpt-5.6", "stream": stream, "input": text}),
    }
}

/// A long prompt with a breakpoint at its end.
fn long(text: &str) -> Value {
    json!({
        "model": "claude-sonnet-4-6", "max_tokens": 1_000,
        "system": [{"type": "text", "text": "s".repeat(8_000), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": text}],
    })
}

fn read_of(heard: &Heard) -> u64 {
    heard.json()["usage"]["cache_read_input_tokens"].as_u64().expect("usage")
}

#[tokio::test]
async fn keys_of_one_workspace_share_a_cache_and_others_do_not() {
    let sim = start().await;
    let say = async |key: &str| read_of(&Client1::of(&sim, key).post("/v1/messages", &long("hi")).await);
    assert_eq!(say("key-a").await, 0);
    assert!(say("key-a").await > 2_000);
    assert!(say("key-b").await > 2_000, "the same workspace");
    assert_eq!(say("key-c").await, 0, "another workspace of the same organisation");
    assert_eq!(say("key-d").await, 0, "another organisation");
}

#[tokio::test]
async fn a_cache_outlives_its_five_minutes_only_when_it_is_read() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
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
    let client = Client1::of(&sim, "key-a");
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
        let heard = Client1::of(&sim, key).post("/v1/chat/completions", &body).await;
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
    let client = Client1::of(&sim, "key-a");
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
    let heard = Client1::of(&sim, "key-c").post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await;
    assert_eq!(
        (heard.header("anthropic-organization-id"), heard.header("anthropic-workspace-id")),
        ("org-1", "ws-2")
    );
    assert!(heard.header("request-id").starts_with("req_"));
    assert_eq!(heard.header("anthropic-ratelimit-requests-remaining"), "999");
    assert_eq!(heard.header("anthropic-ratelimit-input-tokens-remaining"), "2000000", "rounded to 1,000");
    assert!(heard.header("anthropic-ratelimit-tokens-reset").ends_with('Z'));

    let heard =
        Client1::of(&sim, "key-d").post("/v1/chat/completions", &ask(Dialect::OpenAiChat, "hi", false)).await;
    assert_eq!((heard.header("openai-organization"), heard.header("openai-project")), ("org-2", "ws-3"));
    assert_eq!(heard.header("x-ratelimit-remaining-requests"), "999");
    assert_eq!(heard.header("x-ratelimit-limit-tokens"), "2000000");

    let stranger = Client1::of(&sim, "nobody");
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
        Client1::of(&sim, key).post("/v1/messages", &body).await
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
    let client = Client1::of(&sim, "a");
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

#[tokio::test]
async fn usage_of_a_stream_equals_usage_of_the_whole_answer() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
    for dialect in DIALECTS {
        let text = "count [sim:output_tokens=77]";
        let whole = client.post(path_of(dialect), &ask(dialect, text, false)).await.json();
        let mut body = ask(dialect, text, true);
        if dialect == Dialect::OpenAiChat {
            body["stream_options"] = json!({"include_usage": true});
        }
        let events = client.post(path_of(dialect), &body).await.events();
        let streamed = match dialect {
            Dialect::Anthropic => {
                let delta = events.iter().find(|event| event["type"] == "message_delta").expect("a delta");
                delta["usage"]["output_tokens"].clone()
            }
            Dialect::OpenAiChat => events.last().expect("a chunk")["usage"]["completion_tokens"].clone(),
            Dialect::OpenAiResponses => {
                events.last().expect("an event")["response"]["usage"]["output_tokens"].clone()
            }
        };
        assert_eq!(streamed, 77, "{dialect}");
        let key = if dialect == Dialect::OpenAiChat { "completion_tokens" } else { "output_tokens" };
        assert_eq!(whole["usage"][key], 77, "{dialect}");
    }
    let seen = sim.wait_for(|seen| seen.len() == 6 && seen.iter().all(|request| request.done)).await;
    assert!(
        seen.iter().all(|request| request.usage.output == 77 && !request.cancelled && request.cost.0 > 0)
    );
}

#[tokio::test]
async fn chat_sends_usage_only_when_asked() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
    let heard = client.post("/v1/chat/completions", &ask(Dialect::OpenAiChat, "hi", true)).await;
    assert!(heard.text().ends_with("data: [DONE]\n\n"));
    assert!(heard.events().iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(heard.events().last().expect("a chunk")["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn lockstep_lets_out_exactly_what_was_released() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
    for dialect in DIALECTS {
        let lockstep = sim.lockstep();
        sim.reset();
        let body = ask(dialect, "hi [sim:output_tokens=20]", true);
        let response = client.open(Method::POST, path_of(dialect), Bytes::from(body.to_string())).await;
        let mut response = response.expect("a header");
        for n in 1..=3 {
            lockstep.release(1);
            let frame = response.body_mut().frame().await.expect("an event").expect("sound");
            let text = frame.into_data().expect("data");
            assert_eq!(text.windows(2).filter(|pair| pair == b"\n\n").count(), 1, "{dialect}: one event");
            assert_eq!(sim.seen()[0].events_sent, n, "{dialect}: nothing runs ahead");
        }
        drop(response);
        let seen = sim.wait_for(|seen| seen[0].done).await;
        assert!(seen[0].cancelled, "{dialect}: the client left");
    }
}

#[tokio::test]
async fn every_refusal_has_its_status_and_envelope() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
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
    let client = Client1::of(&sim, "key-a");
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
            let client = Client1::with(&sim, "key-a", http2);
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
    let client = Client1::of(&sim, "key-a");
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
    let client = Client1::of(&sim, "key-a");
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
    let client = Client1::of(&sim, "key-a");
    let body = Bytes::from(ask(Dialect::Anthropic, "hi [sim:output_tokens=40]", true).to_string());
    sim.script(Fault::HangBeforeHeader);
    let hanging = tokio::spawn({
        let (body, client) = (body.clone(), Client1::of(&sim, "key-a"));
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
            let client = Client1::with(&sim, "key-a", http2);
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
    let client = Client1::of(&sim, "key-a");
    sim.script(Fault::Stale);
    let body = ask(Dialect::Anthropic, "hi", false);
    assert_eq!(client.post("/v1/messages", &body).await.status, 200);
    let again = client.open(Method::POST, "/v1/messages", Bytes::from(body.to_string())).await;
    assert!(again.is_err(), "the reused connection is dead");
    assert_eq!(client.post("/v1/messages", &body).await.status, 200, "a new one is not");
    assert_eq!(sim.seen().len(), 2, "the lost request was never seen");
}

#[tokio::test]
async fn the_door_can_be_shut_and_opened_again_on_the_same_port() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
    let body = ask(Dialect::Anthropic, "hi", false);
    assert_eq!(client.post("/v1/messages", &body).await.status, 200);
    sim.door(Door::Refuse).await.expect("shut");
    assert!(TcpStream::connect(sim.addr()).is_err());
    sim.door(Door::Slam).await.expect("slamming");
    let mut slammed = TcpStream::connect(sim.addr()).expect("accepted");
    assert!(matches!(slammed.read(&mut [0; 8]), Ok(0) | Err(_)));
    sim.door(Door::Open).await.expect("open");
    assert_eq!(Client1::of(&sim, "key-a").post("/v1/messages", &body).await.status, 200);
}

#[tokio::test]
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
    let client = Client1::of(&sim, "key-a");
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
    assert_eq!(Client1::of(&sim, "key-a").get("/v1/models").await.status, 401);
    let heard = Client1::of(&sim, "key-b").get("/v1/models").await;
    assert_eq!((heard.status.as_u16(), heard.json()["object"].clone()), (200, json!("list")));
    sim.clear_faults();
    assert_eq!(Client1::of(&sim, "key-a").get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn objects_belong_to_their_account() {
    let sim = start().await;
    let (mine, theirs) = (Client1::of(&sim, "key-a"), Client1::of(&sim, "key-d"));
    let first = mine.post("/v1/responses", &ask(Dialect::OpenAiResponses, "hi", false)).await.json();
    let id = first["id"].as_str().expect("an id");
    let mut next = ask(Dialect::OpenAiResponses, "go on", true);
    next["previous_response_id"] = id.into();
    let heard = theirs.post("/v1/responses", &next).await;
    assert_eq!(
        (heard.status.as_u16(), heard.json()["error"]["code"].clone()),
        (400, json!("previous_response_not_found"))
    );
    let continued = mine.post("/v1/responses", &next).await.events();
    let usage = &continued.last().expect("an event")["response"]["usage"];
    assert!(
        usage["input_tokens"].as_u64() > first["usage"]["input_tokens"].as_u64(),
        "it counts what it continues"
    );
    assert_eq!(theirs.get(&format!("/v1/responses/{id}")).await.status, 404);
    assert_eq!(mine.get(&format!("/v1/responses/{id}")).await.json()["output"], first["output"]);
    let deleted =
        mine.send(Method::DELETE, &format!("/v1/responses/{id}"), Bytes::new()).await.expect("an answer");
    assert_eq!(deleted.json()["deleted"], true);
    assert_eq!(mine.get(&format!("/v1/responses/{id}")).await.status, 404);

    let file =
        mine.send(Method::POST, "/v1/files", Bytes::from_static(b"abc")).await.expect("an answer").json();
    let path = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    assert_eq!(theirs.get(&path).await.status, 404);
    assert_eq!(mine.get(&path).await.json()["bytes"], 3);
}

#[tokio::test]
async fn a_background_response_is_fetched_when_its_time_has_come() {
    let config = SimConfig { ttft: Duration::from_secs(60), ..config() };
    let sim = Sim::start(config).await.expect("a provider");
    let client = Client1::of(&sim, "key-a");
    let mut body = ask(Dialect::OpenAiResponses, "hi", false);
    body["background"] = true.into();
    let queued = client.post("/v1/responses", &body).await.json();
    assert_eq!((queued["status"].clone(), queued["usage"].clone()), (json!("queued"), Value::Null));
    let path = format!("/v1/responses/{}", queued["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await.json()["status"], "in_progress");
    sim.advance(Duration::from_secs(61));
    let done = client.get(&path).await.json();
    assert_eq!(done["status"], "completed");
    assert!(done["usage"]["output_tokens"].as_u64() > Some(0));
    let other = client.post("/v1/responses", &body).await.json();
    let cancel = format!("/v1/responses/{}/cancel", other["id"].as_str().expect("an id"));
    assert_eq!(client.post(&cancel, &json!({})).await.json()["status"], "cancelled");
}

#[tokio::test]
async fn the_control_surface_scripts_and_shows() {
    let sim = start().await;
    let client = Client1::of(&sim, "key-a");
    let rule = json!({"fault": "rate_limited", "hint": {"retry_after": 5}, "key": "key-a"});
    assert_eq!(client.post("/_sim/faults", &rule).await.status, 200);
    assert_eq!(client.post("/_sim/faults", &json!({"fault": "nonsense"})).await.status, 400);
    let body = ask(Dialect::Anthropic, "hi", false);
    assert_eq!(client.post("/v1/messages", &body).await.header("retry-after"), "5");
    assert_eq!(client.post("/v1/messages", &body).await.status, 200);
    sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    let log = client.get("/_sim/log").await.json();
    assert_eq!((log[0]["status"].clone(), log[1]["status"].clone()), (json!(429), json!(200)));
    assert_eq!(log[0]["body_sha256"], log[1]["body_sha256"]);
    let stats = client.get("/_sim/stats").await.json();
    assert_eq!((stats["total"]["requests"].clone(), stats["total"]["refused"].clone()), (json!(1), json!(1)));
    assert_eq!(stats["organizations"].as_array().map(Vec::len), Some(2));
    client.post("/_sim/reset", &json!({})).await;
    assert!(sim.seen().is_empty());
    assert_eq!(client.get("/health").await.status, 200);
}

#[tokio::test]
async fn keys_do_not_show_in_the_record_of_headers() {
    let sim = start().await;
    Client1::of(&sim, "key-a").post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await;
    assert!(!format!("{:?}", sim.seen()[0].headers).contains("key-a"));
}

#[tokio::test]
async fn a_fleet_that_stays_put_pays_less_than_round_robin() {
    for (dialect, model) in [
        (Dialect::Anthropic, "claude-sonnet-4-6"),
        (Dialect::OpenAiChat, "gpt-5.6"),
        (Dialect::OpenAiResponses, "gpt-5.4"),
    ] {
        for identity in [Identity::Header, Identity::SameOpener] {
            let sim = start().await;
            let way = Way::Gateway { base_url: sim.base_url(), token: "key-a".to_owned() };
            let fleet = Workload { agents: 4, turns: 4, identity, ..Workload::new(way, dialect, model) };
            let compared = compare(&sim, &fleet).await;
            for side in [&compared.gateway, &compared.round_robin] {
                assert_eq!(side.run.exchanges.len(), 4 * 4 * 2, "{dialect}: a tool round in each turn");
                assert!(side.run.failures().is_empty(), "{dialect}: {:?}", side.run.failures());
                assert_eq!(side.run.usage(), side.books.usage, "{dialect}: both sides count the same");
            }
            let (stayed, moved) = (&compared.gateway.books, &compared.round_robin.books);
            assert!(stayed.cost < moved.cost, "{dialect}: {} {}", stayed.cost, moved.cost);
            assert!(stayed.hit_share() > 0.7, "{dialect}: {}", stayed.hit_share());
            assert!(compared.lines()[0].contains("failed 0"));
        }
    }
}
