//! Streams, objects, the control surface, fleets.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use warmkey::{
    sim::{
        Sim, SimConfig,
        agents::{Fleet, Identity, Way, Workload, compare},
    },
    types::Dialect,
};

use crate::harness::{Caller, DIALECTS, ask, config, path_of, start};

#[tokio::test]
async fn usage_of_a_stream_equals_usage_of_the_whole_answer() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
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
    let client = Caller::of(&sim, "key-a");
    let heard = client.post("/v1/chat/completions", &ask(Dialect::OpenAiChat, "hi", true)).await;
    assert!(heard.text().ends_with("data: [DONE]\n\n"));
    assert!(heard.events().iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(heard.events().last().expect("a chunk")["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn lockstep_lets_out_exactly_what_was_released() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
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
async fn objects_belong_to_their_account() {
    let sim = start().await;
    let (mine, theirs) = (Caller::of(&sim, "key-a"), Caller::of(&sim, "key-d"));
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
    let client = Caller::of(&sim, "key-a");
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
    let client = Caller::of(&sim, "key-a");
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
    Caller::of(&sim, "key-a").post("/v1/messages", &ask(Dialect::Anthropic, "hi", false)).await;
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

#[tokio::test]
async fn a_conversation_grows_with_every_response() {
    let sim = start().await;
    let (mine, theirs) = (Caller::of(&sim, "key-a"), Caller::of(&sim, "key-d"));
    let id = mine.post("/v1/conversations", &json!({})).await.json()["id"].clone();
    let mut body = ask(Dialect::OpenAiResponses, "go on", false);
    body["conversation"] = id;
    assert_eq!(theirs.post("/v1/responses", &body).await.status, 404);
    let mut last = 0;
    for _ in 0..3 {
        let answer = mine.post("/v1/responses", &body).await.json();
        let input = answer["usage"]["input_tokens"].as_u64().expect("a count");
        assert!(input > last, "{input}");
        last = input;
    }
}

#[tokio::test]
async fn the_smaller_calls_answer_in_their_own_shapes() {
    let sim = start().await;
    let client = Caller::of(&sim, "key-a");
    let message = ask(Dialect::Anthropic, "hello there", false);
    let counted = client.post("/v1/messages/count_tokens", &message).await.json();
    let billed = client.post("/v1/messages", &message).await.json();
    assert_eq!(counted["input_tokens"], billed["usage"]["input_tokens"]);

    let body = json!({"model": "text-embedding-3-small", "input": ["one", "two"]});
    let embedded = client.post("/v1/embeddings", &body).await.json();
    assert_eq!(embedded["data"].as_array().map(Vec::len), Some(2));

    let body = json!({"model": "gpt-5.4", "prompt": "say [sim:output_tokens=9]"});
    let completed = client.post("/v1/completions", &body).await.json();
    assert_eq!(
        (&completed["object"], &completed["usage"]["completion_tokens"]),
        (&json!("text_completion"), &json!(9))
    );

    let models = client.get("/v1/models").await.json();
    assert!(models["data"].as_array().is_some_and(|all| all.iter().any(|model| model["id"] == "gpt-5.6")));
    assert_eq!(client.get("/v1/models/gpt-5.6").await.json()["id"], "gpt-5.6");
    assert_eq!(client.get("/v1/models/gpt-0").await.status, 404);
    assert_eq!(client.get("/v1/nothing").await.status, 404);
}

#[tokio::test]
async fn a_fleet_can_be_stopped_between_turns_and_sent_elsewhere() {
    let (first, second) = (start().await, start().await);
    let way = |sim: &Sim| Way::Gateway { base_url: sim.base_url(), token: "key-a".to_owned() };
    let workload =
        Workload { agents: 3, tool_rounds: 0, ..Workload::new(way(&first), Dialect::OpenAiChat, "gpt-5.6") };
    let mut fleet = Fleet::new(&workload);
    fleet.go(2).await;
    fleet.redirect(&way(&second));
    fleet.go(1).await;
    let run = fleet.end();
    assert!(run.failures().is_empty());
    assert_eq!((first.seen().len(), second.seen().len(), run.exchanges.len()), (6, 3, 9));
    assert_eq!(run.exchanges.last().map(|exchange| exchange.turn), Some(2));
}
