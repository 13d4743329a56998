//! Clients that leave, at every moment at which one can: the provider is told, and everything that
//! the request held is given back.

use tokio::task::JoinHandle;
use warmkey::{
    sim::{Fault, RetryHint, SeenRequest, Sim},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Reply, Setup, body, path, sim, within},
    wire::{Fixed, STREAM, Script, Wire, chunk, head},
};

/// Sends a request in the background; dropping the handle's task is the client leaving.
fn sending(ask: Ask) -> JoinHandle<Reply> {
    tokio::spawn(async move { ask.send().await })
}

async fn leave(client: JoinHandle<Reply>) {
    client.abort();
    assert!(client.await.expect_err("it was cut off").is_cancelled());
}

fn posts(seen: &[SeenRequest]) -> impl Iterator<Item = &SeenRequest> {
    seen.iter().filter(|request| request.method == "POST")
}

/// Waits until the provider has seen so many calls.
async fn called(sim: &Sim, times: usize) -> Vec<SeenRequest> {
    within("the provider is called", sim.wait_for(|seen| posts(seen).count() >= times)).await
}

/// Waits until the provider knows of so many calls that nobody waits for any more.
async fn cancelled(sim: &Sim, times: usize) -> Vec<SeenRequest> {
    let enough = |seen: &[SeenRequest]| posts(seen).filter(|request| request.cancelled).count() >= times;
    within("the provider is cancelled", sim.wait_for(enough)).await
}

async fn assert_sound(gateway: &Gateway) {
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_cancels_the_provider() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let mut left = 0;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            for http2 in [false, true] {
                sim.script(Fault::HangBeforeHeader);
                let client = sending(gateway.ask(dialect).stream(stream).http2(http2));
                left += 1;
                called(&sim, left).await;
                leave(client).await;
                let seen = cancelled(&sim, left).await;
                assert_eq!(posts(&seen).count(), left, "nobody is asked in its place");
                gateway.booked("cancelled", u32::try_from(left).expect("small")).await;
            }
        }
    }
    assert_sound(&gateway).await;
    assert!(gateway.metric("tokens_total", &["kind=\"output\""]).await < 0.5, "nothing was produced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_held_stream_cancels_the_provider() {
    let sim = sim().await;
    let gateway =
        Setup::over(&sim).more("[server.hold]\ndefault = \"30s\"\nresponses = \"60s\"").start().await;
    for (n, dialect) in Dialect::ALL.into_iter().enumerate() {
        // One lifecycle event, which the gateway holds.
        sim.script(Fault::StallAfter { events: 1 });
        let client = sending(gateway.ask(dialect).stream(true));
        let sent = |seen: &[SeenRequest]| {
            posts(seen).count() == n + 1 && seen.last().is_some_and(|request| request.events_sent == 1)
        };
        within("an event is on its way", sim.wait_for(sent)).await;
        leave(client).await;
        cancelled(&sim, n + 1).await;
    }
    gateway.booked("cancelled", 3).await;
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_waits_for_its_account_gives_its_place_back() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).provider("routing = \"pinned\"").start().await;
    for (n, http2) in [false, true].into_iter().enumerate() {
        let ask = gateway.ask(Dialect::Anthropic).session(&format!("w{n}")).http2(http2);
        let home = ask.send().await.assert_ok().endpoint().to_owned();
        let before = posts(&sim.seen()).count();
        sim.script(Fault::RateLimited { hint: RetryHint::RetryAfter(8) });
        let client = sending(ask.with(|body| {
            let turns = body["messages"].as_array_mut().expect("a list");
            turns.push(serde_json::json!({"role": "assistant", "content": "hello"}));
            turns.push(serde_json::json!({"role": "user", "content": "go on"}));
        }));
        gateway.until("it waits", |status| status["waiting"] == 1).await;
        leave(client).await;
        let status = gateway.until("its place is free", |status| status["waiting"] == 0).await;
        assert!(status["endpoints"].as_array().expect("a list").iter().any(|e| e["name"] == home.as_str()));
        gateway.at_rest().await;
        assert_eq!(posts(&sim.seen()).count(), before + 1, "nobody is asked for a client that has left");
        gateway.booked("cancelled", u32::try_from(n + 1).expect("small")).await;
    }
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_mid_stream_pays_for_what_was_said() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let output = || gateway.metric("tokens_total", &["kind=\"output\""]);
    let mut left = 0;
    for dialect in Dialect::ALL {
        for http2 in [false, true] {
            let text = "[sim:output_tokens=400]";
            let ask = Ask::new(gateway.url(path(dialect)), body(dialect, text)).stream(true).http2(http2);
            let before = output().await;
            let lockstep = sim.lockstep();
            lockstep.release(20);
            let mut stream = ask.open().await;
            stream.read_until(|text| text.matches("\n\n").count() >= 20).await;
            let live = gateway.status().await["live_output_tokens"].as_f64().expect("a number");
            assert!(live > 0.0);
            drop(stream);
            left += 1;
            let seen = cancelled(&sim, left).await;
            let seen = posts(&seen).last().expect("a call");
            // It was cancelled while it waited for the next event's release.
            assert_eq!(seen.events_sent, 20, "{dialect}, HTTP/2: {http2}");
            gateway.booked("cancelled", u32::try_from(left).expect("small")).await;
            let paid = output().await - before;
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let billed = seen.usage.output as f64;
            assert!(paid > 0.0 && paid <= 2.0 * billed.max(20.0), "{dialect}: {paid} for {billed}");
            drop(lockstep);
        }
    }
    let estimated = gateway.metric("usage_estimated_total", &[]).await;
    assert!((estimated - f64::from(u32::try_from(left).expect("small"))).abs() < 0.5, "{estimated}");
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_on_the_last_event_has_got_it_all() {
    let fixed = Fixed::start().await;
    let gateway = Setup::at(&fixed.base_url(), vec!["fixed".to_owned()]).start().await;
    let last = [
        (
            Dialect::Anthropic,
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        (
            Dialect::OpenAiChat,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ),
        (
            Dialect::OpenAiResponses,
            "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":0,\"delta\":\"x\"}\n\ndata: {\"type\":\"response.completed\",\"sequence_number\":1,\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":9}}}\n\n",
        ),
    ];
    for (n, (dialect, events)) in last.into_iter().enumerate() {
        // The provider has said everything, and is slow to hang up.
        fixed.says(Script::Silence(vec![STREAM.into(), chunk(events)]));
        for http2 in [false, true] {
            let mut stream = gateway.ask(dialect).stream(true).http2(http2).open().await;
            stream.read_until(|text| text.len() >= events.len()).await;
            drop(stream);
            let so_far = u32::try_from(2 * n + 1 + usize::from(http2)).expect("small");
            fixed.was_left(so_far).await;
            gateway.booked("ok", so_far).await;
        }
    }
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_after_its_answer_was_served() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            // The connection is dropped with the reply.
            gateway.ask(dialect).stream(stream).send().await.assert_ok();
        }
    }
    gateway.booked("ok", 6).await;
    assert!(gateway.metric("requests_total", &["outcome=\"cancelled\""]).await < 0.5);
    assert_sound(&gateway).await;
}

/// A stream that never ends, in large events.
fn endless() -> Script {
    let event = format!(
        "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}}}\n\n",
        "word ".repeat(12_000)
    );
    Script::Endless(vec![STREAM.into(), chunk(&event)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_cut_off() {
    let fixed = Fixed::start().await;
    let gateway =
        Setup::at(&fixed.base_url(), vec!["fixed".to_owned()]).server("write_timeout = \"1s\"").start().await;
    fixed.says(endless());
    // HTTP/1.1: the socket's buffers fill up.
    let body = serde_json::to_vec(&body(Dialect::Anthropic, "talk")).expect("JSON");
    let mut streamed = body.clone();
    streamed.splice(1..1, *b"\"stream\":true,");
    let mut narrow = Wire::connect_narrow(gateway.data).await;
    narrow.say(head("/v1/messages", streamed.len())).await;
    narrow.say(&streamed).await;
    fixed.was_left(1).await;
    gateway.booked("cancelled", 1).await;
    // HTTP/2: the stream's window is not opened again.
    let stream = gateway.ask(Dialect::Anthropic).raw(streamed).http2(true).open().await;
    fixed.was_left(2).await;
    gateway.booked("cancelled", 2).await;
    assert!(gateway.log().contains("client_stalled"), "{}", gateway.log());
    assert!(gateway.metric("tokens_total", &["kind=\"output\""]).await > 1_000.0, "what was said is charged");
    assert_sound(&gateway).await;
    drop((stream, narrow));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_within_its_upload_never_reaches_a_provider() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let half = "{\"model\":\"claude-sonnet-4-6\",\"max_tokens\":";
    let chunked = "POST /v1/messages HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let piece = format!("{:x}\r\n{half}\r\n", half.len());
    let beginnings = [
        vec![head("/v1/messages", 1_000)],
        vec![head("/v1/messages", 1_000), half.to_owned()],
        vec![head("/v1/messages", 5_000_000), half.repeat(20_000)],
        vec![chunked.to_owned(), piece.clone()],
        // In the middle of a chunk, and of a chunk's size.
        vec![chunked.to_owned(), piece[..20].to_owned()],
        vec![chunked.to_owned(), piece + "f"],
    ];
    for (n, parts) in beginnings.iter().enumerate() {
        let mut wire = Wire::connect(gateway.data).await;
        for part in parts {
            wire.say(part).await;
        }
        gateway.until("the upload is under way", |status| status["requests_in_flight"] == 1).await;
        drop(wire);
        gateway.booked("cancelled", u32::try_from(n + 1).expect("small")).await;
    }
    assert_eq!(posts(&sim.seen()).count(), 0);
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_body_goes_up_cancels_the_provider() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.script(Fault::SlowRead { bytes_per_second: 10_000 });
    let text = "x".repeat(20_000_000);
    let client = sending(Ask::new(gateway.url("/v1/messages"), body(Dialect::Anthropic, &text)));
    let under_way = |seen: &[SeenRequest]| posts(seen).any(|request| request.body_len > 0);
    within("the upload begins", sim.wait_for(under_way)).await;
    let status = gateway.status().await;
    assert!(status["buffered_bytes"].as_u64().expect("a number") >= 20_000_000, "{status:#}");
    leave(client).await;
    gateway.booked("cancelled", 1).await;
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_client_leaves_is_given_to_the_next() {
    let sim = sim().await;
    let cooling = "retry_budget_percent = 100\n[provider.cooling]\nallowed_fails = 1\nbase = \"100ms\"\nmax = \"100ms\"";
    let gateway = Setup::over(&sim).accounts(1).provider(cooling).start().await;
    for (n, stream) in [false, true].into_iter().enumerate() {
        sim.script(Fault::ServerError);
        let refused = gateway.ask(Dialect::Anthropic).send().await;
        assert_eq!(refused.status, 500, "{}", refused.text());
        // `a1` and `o1` share a host, which fails for both.
        gateway.until("a trial is due", |status| status["endpoints"][0]["state"] == "probing").await;
        // The trial hangs, and whoever waits for it leaves.
        sim.script(if stream { Fault::StallAfter { events: 0 } } else { Fault::HangBeforeHeader });
        let before = posts(&sim.seen()).count();
        let client = sending(gateway.ask(Dialect::Anthropic).stream(stream));
        called(&sim, before + 1).await;
        leave(client).await;
        gateway.booked("cancelled", u32::try_from(n + 1).expect("small")).await;
        // The next one is the trial.
        gateway.ask(Dialect::Anthropic).stream(stream).send().await.assert_ok();
    }
    assert_sound(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_that_leave_at_once_leave_nothing_behind() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let lockstep = sim.lockstep();
    let clients: Vec<_> = (0..100)
        .map(|n| {
            let dialect = Dialect::ALL[n % 3];
            // So long that none of them ends with what is released here.
            let ask = Ask::new(gateway.url(path(dialect)), body(dialect, "[sim:output_tokens=4000]"));
            sending(ask.session(&format!("many-{n}")).stream(true).http2(n % 2 == 0))
        })
        .collect();
    called(&sim, 100).await;
    lockstep.release(250);
    for client in clients {
        leave(client).await;
    }
    cancelled(&sim, 1).await;
    gateway.at_rest().await;
    let all = |seen: &[SeenRequest]| posts(seen).all(|request| request.done);
    within("the provider is at rest", sim.wait_for(all)).await;
    drop(lockstep);
    let booked = gateway.metric("requests_total", &[]).await;
    assert!((booked - 100.0).abs() < 0.5, "{booked} of 100 requests were booked");
    assert_sound(&gateway).await;
    // And it still serves.
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
}
