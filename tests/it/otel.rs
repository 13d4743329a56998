//! Traces: what a collector receives, and that none of it costs a request anything.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};
use warmkey::{
    sim::{Fault, RetryHint, Sim},
    types::Dialect,
};

use crate::{
    collector::{Collector, Manner, hex, is_error, of},
    harness::{Ask, Gateway, PATIENCE, Setup, get, sim, within},
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const QUICK: &str = "[provider.cooling]\npace = \"0s\"\nstay_delay = \"10ms\"\n";

async fn start(more: &str) -> (Sim, Collector, Gateway) {
    let (sim, collector) = (sim().await, Collector::start(Manner::Takes).await);
    let gateway = Setup::over(&sim).provider(QUICK).more(&collector.section(more)).start().await;
    (sim, collector, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_turn_leaves_a_tree_of_spans() {
    let (sim, collector, gateway) = start("service_name = \"edge\"\ngzip = true").await;
    let reply = gateway.ask(Dialect::Anthropic).session("one").stream(true).send().await.assert_ok();
    let tree = collector.trace().await;
    tree.assert_sound();
    assert_eq!(tree.names(), ["identify", "admit", "choose", "attempt", "relay"]);
    let root = &tree.root;
    assert_eq!(root.name, "chat claude-sonnet-4-6");
    assert!(root.parent_span_id.is_empty() && !is_error(root));
    let usage = sim.seen().iter().find(|seen| seen.method == "POST").expect("a call").usage;
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("anthropic")),
        ("gen_ai.request.model", json!("claude-sonnet-4-6")),
        ("gen_ai.conversation.id", json!(reply.header("x-warmkey-session"))),
        ("gen_ai.request.stream", json!(true)),
        ("gen_ai.usage.input_tokens", json!(usage.total_input())),
        ("gen_ai.usage.output_tokens", json!(usage.output)),
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(200)),
        ("url.path", json!("/v1/messages")),
        ("error.type", Value::Null),
        ("warmkey.endpoint", json!(reply.endpoint())),
        ("warmkey.affinity", json!("new")),
        ("warmkey.request_id", json!(reply.header("x-warmkey-request-id"))),
    ] {
        assert_eq!(of(root, key), value, "{key}");
    }
    assert!(of(root, "gen_ai.response.time_to_first_chunk").as_f64().is_some_and(|seconds| seconds > 0.0));
    let attempt = tree.all("attempt")[0];
    assert_eq!(attempt.kind(), SpanKind::Client);
    assert_eq!(of(attempt, "server.address"), "127.0.0.1");
    assert_eq!(of(attempt, "server.port"), json!(sim.addr().port()));
    assert_eq!(of(attempt, "warmkey.endpoint"), json!(reply.endpoint()));
    assert!(!is_error(attempt));
    let (headers, body) = collector.got.lock()[0].clone();
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain).expect("gzip");
    assert!(plain.windows(4).any(|bytes| bytes == b"edge"), "service.name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_and_a_fallback_show_where_the_time_went() {
    let (sim, collector, gateway) = start("").await;
    let ask = gateway.ask(Dialect::Anthropic).session("one");
    ask.send().await.assert_ok();
    sim.script(Fault::RateLimited { hint: RetryHint::RetryAfterMs(400) });
    ask.send().await.assert_ok();
    let trees = collector.traces(2).await;
    let waited = trees.iter().find(|tree| !tree.all("wait").is_empty()).expect("one has waited");
    waited.assert_sound();
    let attempts = waited.all("attempt");
    assert_eq!(attempts.len(), 2);
    let (refused, served) = (attempts[0], attempts[1]);
    assert!(is_error(refused) && !is_error(served) && !is_error(&waited.root));
    assert_eq!(of(refused, "http.response.status_code"), 429);
    assert_eq!(of(refused, "error.type"), "429");
    assert_eq!(of(refused, "warmkey.outcome"), "rate_limited");
    assert_eq!(of(served, "http.request.resend_count"), 1);
    let wait = waited.all("wait")[0];
    assert!(wait.end_time_unix_nano - wait.start_time_unix_nano >= 200_000_000, "{wait:?}");

    sim.script(Fault::ResetBeforeHeader);
    let reply = gateway.ask(Dialect::OpenAiChat).session("two").send().await.assert_ok();
    let trees = collector.traces(3).await;
    let moved = trees.last().expect("three");
    moved.assert_sound();
    let attempts = moved.all("attempt");
    assert!(attempts.len() >= 2, "{:?}", moved.names());
    assert!(is_error(attempts[0]));
    assert_eq!(of(attempts[0], "http.response.status_code"), Value::Null);
    assert_eq!(of(attempts[attempts.len() - 1], "warmkey.endpoint"), json!(reply.endpoint()));
    assert_eq!(of(&moved.root, "gen_ai.provider.name"), "openai");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_or_broken_off_says_why() {
    let (sim, collector, gateway) = start("").await;
    let unknown = gateway.ask(Dialect::Anthropic).with(|body| body["model"] = json!("nobody-serves-this"));
    unknown.send().await.assert_error(Dialect::Anthropic, 404);
    let denied = collector.trace().await;
    denied.assert_sound();
    assert_eq!(denied.names(), ["identify"], "no try");
    assert_eq!(denied.root.name, "chat");
    assert_eq!(of(&denied.root, "error.type"), "unknown_model");
    assert!(!is_error(&denied.root), "the client's mistake is no error of a server's");
    assert!(is_error(denied.all("identify")[0]));

    sim.script(Fault::CloseAfter { events: 12 });
    let reply = gateway.ask(Dialect::Anthropic).stream(true).send().await;
    reply.assert_ends_in_error(Dialect::Anthropic);
    let trees = collector.traces(2).await;
    let broken = trees.last().expect("two");
    broken.assert_sound();
    assert_eq!(of(&broken.root, "error.type"), "stream_broken");
    assert!(is_error(&broken.root) && is_error(broken.all("relay")[0]) && is_error(broken.all("attempt")[0]));
    assert_eq!(of(broken.all("attempt")[0], "error.type"), "interrupted");
    let estimated = of(&broken.root, "warmkey.usage_estimated");
    assert!(estimated.is_boolean(), "{estimated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_trace_goes_on_and_its_flag_decides() {
    let (sim, collector, gateway) = start("sample = 0.0").await;
    let ask = gateway.ask(Dialect::Anthropic);
    for header in [&*PARENT.replace("-01", "-00"), "00-nonsense", ""] {
        ask.clone().header("traceparent", header).send().await.assert_ok();
    }
    ask.clone().header("traceparent", PARENT).header("tracestate", "a=1,b=2").send().await.assert_ok();
    let tree = collector.trace().await;
    tree.assert_sound();
    assert_eq!(hex(&tree.root.trace_id), &PARENT[3..35]);
    assert_eq!(hex(&tree.root.parent_span_id), &PARENT[36..52]);
    assert_eq!(tree.root.trace_state, "a=1,b=2");
    for seen in sim.seen() {
        assert_eq!(seen.header("traceparent"), "", "a provider is not told");
        assert_eq!(seen.header("tracestate"), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_of_ones_own_joins_the_trace() {
    let (sim, collector) = (sim().await, Collector::start(Manner::Takes).await);
    let setup = Setup::over(&sim).provider("trace_context = true");
    let gateway = setup.more(&collector.section("sample = 0.0")).start().await;
    let ask = gateway.ask(Dialect::Anthropic);
    ask.clone().header("traceparent", PARENT).header("tracestate", "a=1").send().await.assert_ok();
    let tree = collector.trace().await;
    let told = |n: usize, name: &str| {
        let seen = sim.seen();
        seen.iter().filter(|seen| seen.method == "POST").nth(n).expect("a call").header(name).to_owned()
    };
    let attempt = tree.all("attempt")[0];
    let expected = format!("00-{}-{}-01", hex(&tree.root.trace_id), hex(&attempt.span_id));
    assert_eq!(told(0, "traceparent"), expected);
    assert_eq!(told(0, "tracestate"), "a=1");
    // Unsampled, and it is told so.
    ask.clone().header("traceparent", &PARENT.replace("-01", "-00")).send().await.assert_ok();
    assert_eq!(told(1, "traceparent"), PARENT.replace("-01", "-00"));
    ask.send().await.assert_ok();
    assert!(told(2, "traceparent").ends_with("-00"), "{}", told(2, "traceparent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_a_span() {
    let (sim, collector) = (sim().await, Collector::start(Manner::Takes).await);
    let setup = Setup::over(&sim).caller("team-a", "acme", "token-of-the-caller");
    let headers = "[[otlp.headers]]\nname = \"authorization\"\nvalue = { env = \"COLLECTOR\" }";
    let setup =
        setup.more(&collector.section(headers)).variable("COLLECTOR", "Bearer token-of-the-collector");
    let gateway = setup.start().await;
    for dialect in Dialect::ALL {
        let ask = gateway.ask(dialect).header("authorization", "Bearer token-of-the-caller");
        let ask = ask.with(|body| {
            let words = json!("words-of-the-prompt");
            match dialect {
                Dialect::OpenAiResponses => body["input"] = words,
                Dialect::Anthropic | Dialect::OpenAiChat => body["messages"][0]["content"] = words,
            }
        });
        ask.header("x-session-id", "the-clients-own-session-id").send().await.assert_ok();
    }
    let trees = collector.traces(3).await;
    assert!(trees.iter().all(|tree| of(&tree.root, "warmkey.caller") == "team-a"));
    for (headers, body) in collector.got.lock().iter() {
        assert_eq!(headers["authorization"], "Bearer token-of-the-collector");
        let keys = sim.config().accounts.iter().map(|account| account.key.as_str());
        let secrets =
            keys.chain(["token-of-the", "words-of-the-prompt", "the-clients-own-session-id", "simulated"]);
        for secret in secrets {
            let found = body.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "`{secret}` is in a span");
        }
    }
    gateway.at_rest().await;
}

/// Spans by what became of them.
async fn spans(gateway: &Gateway, result: &str) -> u64 {
    gateway.count("spans_total", &[&format!("result=\"{result}\"")]).await
}

async fn until(gateway: &Gateway, result: &str, least: u64) {
    within("spans are counted", async {
        while spans(gateway, result).await < least {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_delays_nobody_and_what_is_dropped_is_counted() {
    let (sim, collector) = (sim().await, Collector::start(Manner::Hangs).await);
    let gateway = Setup::over(&sim).more(&collector.section("timeout = \"10s\"")).start().await;
    let ask = gateway.ask(Dialect::Anthropic).with(|body| body["model"] = json!("nobody-serves-this"));
    // More than the queue and a batch hold; each is answered at once.
    let began = Instant::now();
    let clients = (0..32).map(|_| {
        let ask = ask.clone();
        tokio::spawn(async move {
            for _ in 0..125 {
                ask.send().await.assert_error(Dialect::Anthropic, 404);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("all answered");
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    until(&gateway, "dropped", 1).await;
    assert_eq!(spans(&gateway, "exported").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_only_spans_and_the_end_waits_for_none() {
    let sim = sim().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let section = format!("[otlp]\nendpoint = \"http://{nobody}/custom/path\"\n");
    let mut gateway = Setup::over(&sim).more(&section).start().await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    gateway.logged("takes no spans").await;
    until(&gateway, "failed", 5).await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    gateway.at_rest().await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_refuses_is_counted_and_not_sent_again() {
    for (manner, exported, failed) in [(Manner::TakesInPart, 5, 1), (Manner::Refuses(400), 0, 6)] {
        let (sim, collector) = (sim().await, Collector::start(manner).await);
        let gateway = Setup::over(&sim).more(&collector.section("")).start().await;
        gateway.ask(Dialect::Anthropic).send().await.assert_ok();
        until(&gateway, "failed", failed).await;
        assert_eq!((spans(&gateway, "exported").await, spans(&gateway, "failed").await), (exported, failed));
        assert_eq!(collector.got.lock().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_end() {
    let (_sim, collector, mut gateway) = start("").await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    gateway.at_rest().await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    collector.trace().await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_there_are_no_traces() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).provider("trace_context = true").start().await;
    gateway.ask(Dialect::Anthropic).header("traceparent", PARENT).send().await.assert_ok();
    let seen = sim.seen();
    let call = seen.iter().find(|seen| seen.method == "POST").expect("a call");
    assert_eq!(call.header("traceparent"), "");
    assert!(
        get(&format!("http://{}/metrics", gateway.admin)).await.text().contains("warmkey_requests_total")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_lead_from_histograms_to_traces() {
    let (sim, collector, gateway) = start("").await;
    let ask = gateway.ask(Dialect::Anthropic).session("one");
    ask.send().await.assert_ok();
    sim.script(Fault::RateLimited { hint: RetryHint::RetryAfterMs(400) });
    ask.send().await.assert_ok();
    let traces = collector.traces(2).await;
    let known: BTreeSet<_> = traces.iter().map(|tree| hex(&tree.root.trace_id)).collect();
    let url = format!("http://{}/metrics", gateway.admin);
    let scrape = Ask::new(url, Value::Null).method(Method::GET).raw("");
    let open = scrape.clone().header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let open = open.send().await.assert_ok();
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = open.text();
    assert!(text.ends_with("\n# EOF\n"));
    for family in ["time_to_first_token_seconds", "overhead_seconds", "wait_seconds", "request_seconds"] {
        let begins = format!("warmkey_{family}_bucket{{");
        let lines = text.lines().filter(|line| line.starts_with(&begins));
        let named: BTreeSet<_> = lines
            .filter_map(|line| line.split_once(" # {trace_id=\"")?.1.split_once('"'))
            .map(|(trace, _)| trace.to_owned())
            .collect();
        assert!(!named.is_empty(), "{family}: no exemplar\n{text}");
        assert!(named.is_subset(&known), "{family}: {named:?} and not {known:?}");
    }
    // The two forms hold the same series; the classic one holds no exemplars.
    let classic = scrape.send().await.assert_ok();
    assert!(classic.header("content-type").starts_with("text/plain"));
    let classic = classic.text();
    assert!(!classic.contains("trace_id") && !classic.contains("# EOF"));
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
    };
    let missing: Vec<_> = names(&classic).difference(&names(&text)).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}
