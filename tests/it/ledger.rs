//! The ledger: every request leaves one receipt, and together they are the provider's bill.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, Sim},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Setup, model, sim, sim_with, within};

const ANN: &str = "wk-ann-0123456789abcdef012345";
const BOB: &str = "wk-bob-0123456789abcdef012345";

/// Compares the ledger to the provider's books, to the token and the nano-dollar.
async fn assert_ledger_is_the_bill(what: &str, sim: &Sim, gateway: &Gateway) {
    sim.wait_for(|seen| seen.iter().all(|request| request.done)).await;
    let billed = sim.stats().total();
    for (kind, tokens) in billed.usage.by_kind() {
        let counted = gateway.ledger_number(&format!("SELECT sum({kind}) FROM receipts"));
        assert_eq!(counted, tokens, "{what}: {kind}\n{billed:?}\n{}", gateway.log());
    }
    assert_eq!(gateway.ledger_number("SELECT sum(charge) FROM receipts"), billed.cost.0, "{what}");
    assert!(billed.cost.0 > 0, "{what}: billed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_leaves_one_receipt_and_together_they_are_the_bill() {
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller_with(
            "ann",
            "acme",
            ANN,
            "team = \"search\"\ntags = [\"env=ci\"]\nmarkup = 1.5\nmodels = [\"claude-*\", \"gpt-5.6\"]",
        )
        .more("[[organisation]]\nname = \"acme\"\n[[team]]\nname = \"search\"\norganisation = \"acme\"\n")
        .start()
        .await;
    sim.reset();
    let ask = |dialect| gateway.ask(dialect).header("x-api-key", ANN).session("books");
    let mut requests = 0;
    let mut ids = Vec::new();
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            for _ in 0..3 {
                let reply = ask(dialect).stream(stream).send().await.assert_ok();
                ids.push(reply.header("x-warmkey-request-id").to_owned());
                requests += 1;
            }
        }
        // The first try fails and is billed for nothing.
        sim.script(Fault::ServerError.times(1));
        ask(dialect).send().await.assert_ok();
        // Denied by us, and refused by the provider.
        ask(dialect)
            .with(|body| body["model"] = json!("nobody-knows-it"))
            .send()
            .await
            .assert_error(dialect, 404);
        gateway.ask(dialect).send().await.assert_error(dialect, 401);
        sim.script(Fault::Status { status: 422 }.times(1));
        ask(dialect).send().await.assert_error(dialect, 422);
        requests += 4;
    }
    ask(Dialect::Anthropic).to(gateway.url("/v1/messages/count_tokens")).send().await.assert_ok();
    requests += 1;
    gateway.receipts(requests).await;
    assert_ledger_is_the_bill("a mixed day", &sim, &gateway).await;
    for id in ids {
        let sql = format!(
            "SELECT count(*) FROM receipts WHERE id = '{id}' AND outcome = 'ok' AND status = 200 AND caller = 'ann'
             AND organisation = 'acme' AND team = 'search' AND tags = '[\"env=ci\"]' AND length(session) = 32
             AND billed = charge * 3 / 2 AND endpoint IS NOT NULL AND provider IS NOT NULL AND estimated = 0"
        );
        assert_eq!(gateway.ledger_number(&sql), 1, "{id}");
    }
    for (reason, count) in [("unknown_model", 3), ("unauthenticated", 3)] {
        let sql = format!("SELECT count(*) FROM receipts WHERE outcome = 'denied' AND reason = '{reason}'");
        assert_eq!(gateway.ledger_number(&sql), count, "{reason}");
    }
    assert_eq!(gateway.ledger_number("SELECT count(*) FROM receipts WHERE outcome = 'refused'"), 3);
    assert_eq!(gateway.ledger_number("SELECT count(*) FROM open_requests"), 0);
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_and_streams_that_break_leave_their_receipts_too() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let mut requests = 0;
    for dialect in Dialect::ALL {
        sim.script(Fault::CloseAfter { events: 8 }.times(1));
        gateway.ask(dialect).stream(true).send().await;
        sim.script(Fault::StallAfter { events: 8 }.times(1));
        let mut left = gateway.ask(dialect).stream(true).open().await;
        left.next().await;
        drop(left);
        requests += 2;
    }
    gateway.receipts(requests).await;
    for outcome in ["interrupted", "cancelled"] {
        let sql = format!(
            "SELECT count(*) FROM receipts WHERE outcome = '{outcome}' AND estimated = 1 AND charge > 0"
        );
        assert_eq!(gateway.ledger_number(&sql), 3, "{outcome}\n{}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_joins_the_receipt_of_ones_own_tenant() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).caller("ann", "acme", ANN).caller("bob", "other", BOB).start().await;
    let reply = gateway.ask(Dialect::Anthropic).header("x-api-key", ANN).send().await.assert_ok();
    let id = reply.header("x-warmkey-request-id").to_owned();
    let say = |token: &str, prefix: &str, body: Value| {
        let url = gateway.url(&format!("{prefix}/v1/feedback"));
        Ask::new(url, body).header("x-api-key", token)
    };
    let good = json!({"request_id": id, "score": 0.75, "label": "helpful"});
    say(BOB, "", good.clone()).send().await.assert_error(Dialect::OpenAiChat, 404);
    say(ANN, "", json!({"request_id": "wk_00000000000000000000000000000000", "score": 1}))
        .send()
        .await
        .assert_error(Dialect::OpenAiChat, 404);
    say(ANN, "", json!({"request_id": id})).send().await.assert_error(Dialect::OpenAiChat, 400);
    say("wk-nobody", "", good.clone()).send().await.assert_error(Dialect::OpenAiChat, 401);
    for prefix in ["", "/anthropic", "/openai"] {
        let reply = say(ANN, prefix, good.clone()).send().await.assert_ok();
        assert_eq!(reply.json(), json!({"recorded": true}), "{prefix}");
    }
    let joined = format!(
        "SELECT count(*) FROM feedback JOIN receipts ON receipts.id = feedback.request
         WHERE receipts.id = '{id}' AND score = 0.75 AND label = 'helpful' AND feedback.caller = 'ann'"
    );
    assert_eq!(gateway.ledger_number(&joined), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_the_gateway_was_killed_is_known_and_charged() {
    const STREAMS: u64 = 20;
    let sim = sim_with(|config| config.tokens_per_second = 100.0).await;
    let setup =
        Setup::over(&sim).caller_with("ann", "acme", ANN, "budgets = [{ usd = 100, per = \"total\" }]");
    let (text, env, dir): (String, BTreeMap<_, _>, PathBuf) =
        (setup.text(), setup.env(), setup.dir().to_owned());
    let mut gateway = Gateway::run(&text, &dir, &env).await;
    let ask = |gateway: &Gateway| {
        gateway.ask(Dialect::Anthropic).header("x-api-key", ANN).with(|body| {
            body["model"] = json!(model(Dialect::Anthropic));
            body["max_tokens"] = json!(8_000);
            body["messages"] = json!([{"role": "user", "content": "go on [sim:output_tokens=5000]"}]);
        })
    };
    // One that is over, and its charge is known.
    let done = ask(&gateway).with(|body| {
        body["messages"] = json!([{"role": "user", "content": "short [sim:output_tokens=5]"}]);
    });
    done.send().await.assert_ok();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = ask(&gateway).stream(true).open().await;
        stream.read_until(|text| text.contains("content_block_delta")).await;
        streams.push(stream);
    }
    assert_eq!(gateway.ledger_number("SELECT count(*) FROM open_requests"), STREAMS, "before a byte went up");
    gateway.signal("KILL");
    gateway.ended().await;
    drop(streams);
    within("the provider sees them go", sim.wait_for(|seen| seen.iter().all(|request| request.done))).await;
    let billed = sim.stats().total().cost.0;
    let gateway = Gateway::run(&text, &dir, &env).await;
    let log = gateway.logged("the gateway before this one died").await;
    assert!(log.contains("requests=20"), "{log}");
    gateway.receipts(STREAMS + 1).await;
    assert_eq!(gateway.ledger_number("SELECT count(*) FROM open_requests"), 0);
    let crashed = "SELECT count(*) FROM receipts WHERE outcome = 'crashed' AND crashed = 1 AND charge > 0";
    assert_eq!(gateway.ledger_number(crashed), STREAMS);
    let (charged, balance) = (
        gateway.ledger_number("SELECT sum(charge) FROM receipts"),
        gateway.ledger_number("SELECT sum(amount) FROM balances WHERE counter LIKE 'b/key:ann/usd/%'"),
    );
    // What a stream holds is at most a slice and a half ahead of what has come.
    let slack = STREAMS * 20_000_000;
    assert!((billed..=billed + slack).contains(&charged), "{charged} charged, {billed} billed");
    assert!((billed..=billed + slack).contains(&balance), "{balance} of the budget, {billed} billed");
    // And the next one starts from there.
    ask(&gateway).with(|body| body["max_tokens"] = json!(5)).send().await.assert_ok();
    gateway.receipts(STREAMS + 2).await;
    let after =
        gateway.ledger_number("SELECT sum(amount) FROM balances WHERE counter LIKE 'b/key:ann/usd/%'");
    assert!(after > balance, "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledgers_state_is_told() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    gateway.receipts(1).await;
    let status = gateway.status().await;
    assert_eq!((&status["ledger"]["dropped"], &status["ledger"]["failing_for_s"]), (&json!(0), &Value::Null));
    assert_eq!(status["degraded"], json!([]));
    assert!((gateway.metric("ledger_written", &[]).await - 1.0).abs() < 1e-9);
    let ready = crate::harness::get(&format!("http://{}/readyz", gateway.admin)).await;
    assert_eq!((ready.status.as_u16(), ready.text().as_str()), (200, "ready\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_requests_are_served() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).more("[ledger]\nenabled = false\n").start().await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    assert_eq!(gateway.status().await["ledger"], Value::Null);
    assert!(!gateway.config.with_file_name("warmkey-ledger.db").exists());
}
