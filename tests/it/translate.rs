//! Any client on any provider: whole and streamed answers, tools over turns, what is lost, what fails,
//! and what it costs.

use http::Method;
use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, Sim, aws_secret},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Reply, Setup, path, sim},
    metering::assert_books_agree,
};

/// A model of every provider dialect of the simulated provider, as [`everywhere`] offers them.
const MODELS: [(&str, Option<Dialect>); 6] = [
    ("claude-sonnet-4-6", Some(Dialect::Anthropic)),
    ("gpt-5.6", Some(Dialect::OpenAiChat)),
    ("by-responses", Some(Dialect::OpenAiResponses)),
    ("gemini-3.8-flash", None),
    ("by-converse", None),
    ("by-invoke", None),
];

/// Every client with every model that does not speak its dialect.
fn foreign() -> impl Iterator<Item = (Dialect, &'static str)> {
    let spoken = |client: Dialect, model: &str, dialect: Option<Dialect>| {
        // OpenAI's own host speaks both of its dialects.
        dialect == Some(client) || (model == "gpt-5.6" && client != Dialect::Anthropic)
    };
    Dialect::ALL.into_iter().flat_map(move |client| {
        let models = MODELS.into_iter().filter(move |(model, dialect)| !spoken(client, model, *dialect));
        models.map(move |(model, _)| (client, model))
    })
}

/// Hosts of every dialect, all of them the simulated provider.
fn everywhere(sim: &Sim) -> Setup {
    let base = sim.base_url();
    let key = sim.config().accounts[0].key.clone();
    let aws = "{ aws_access_key_id = { env = \"KEY_1\" }, aws_secret_access_key = { env = \"AWS_SECRET\" } }";
    let plain = "{ env = \"KEY_1\" }";
    let host = |name: &str, lines: &str, key: &str, model: &str, upstream: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\n{lines}\n[[endpoint]]\nname = \"{name}-1\"\nprovider = \"{name}\"\n\
             key = {key}\n[[model]]\nname = \"{model}\"\nprovider = \"{name}\"\nupstream = \"{upstream}\"\n"
        )
    };
    let claude = "us.anthropic.claude-sonnet-4-6";
    let bedrock =
        |dialect: &str| format!("dialect = \"{dialect}\"\nregion = \"us-east-1\"\nbase_url = \"{base}\"");
    let responses = format!("dialect = \"openai\"\nspeaks = [\"openai-responses\"]\nbase_url = \"{base}\"");
    let gemini = format!("dialect = \"gemini\"\nbase_url = \"{base}/v1beta\"");
    Setup::over(sim)
        .variable("AWS_SECRET", &aws_secret(&key))
        .more(&host("by-id", &responses, plain, "by-responses", "gpt-5.6"))
        .more(&host("google", &gemini, plain, "gemini-3.8-flash", "gemini-3.8-flash"))
        .more(&host("converse", &bedrock("bedrock"), aws, "by-converse", claude))
        .more(&host("invoke", &bedrock("bedrock-claude"), aws, "by-invoke", claude))
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]})
}

/// A first turn with a tool at hand.
fn first(dialect: Dialect, model: &str, text: &str) -> Value {
    match dialect {
        Dialect::Anthropic => json!({
            "model": model, "max_tokens": 4_096, "system": "Be brief.",
            "tools": [{"name": "look", "description": "Looks.", "input_schema": schema()}],
            "messages": [{"role": "user", "content": text}],
        }),
        Dialect::OpenAiChat => json!({
            "model": model,
            "tools": [{"type": "function", "function": {"name": "look", "parameters": schema()}}],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        }),
        Dialect::OpenAiResponses => json!({
            "model": model, "instructions": "Be brief.", "store": false,
            "tools": [{"type": "function", "name": "look", "parameters": schema()}],
            "input": [{"role": "user", "content": text}],
        }),
    }
}

fn ask(gateway: &Gateway, dialect: Dialect, body: &Value) -> Ask {
    Ask::new(gateway.url(path(dialect)), body.clone())
}

/// Text and tool calls (id, name, arguments) of an answer, whole or streamed.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    calls: Vec<(String, String, Value)>,
    usage: Value,
    stop: String,
}

fn said(dialect: Dialect, reply: &Reply) -> Said {
    let is_stream = reply.header("content-type").starts_with("text/event-stream");
    match (dialect, is_stream) {
        (Dialect::Anthropic, false) => said_by_message(&reply.json()),
        (Dialect::Anthropic, true) => said_by_message(&message_of(&reply.events())),
        (Dialect::OpenAiChat, false) => {
            let body = reply.json();
            said_by_chat(&body["choices"][0]["message"], &body["choices"][0]["finish_reason"], &body["usage"])
        }
        (Dialect::OpenAiChat, true) => {
            let (message, stop, usage) = chat_of(&reply.events());
            said_by_chat(&message, &stop, &usage)
        }
        (Dialect::OpenAiResponses, false) => said_by_response(&reply.json()),
        (Dialect::OpenAiResponses, true) => {
            let events = reply.events();
            for (n, event) in events.iter().enumerate() {
                assert_eq!(event["sequence_number"], n, "{event}");
            }
            said_by_response(&events.last().expect("events")["response"])
        }
    }
}

fn said_by_message(message: &Value) -> Said {
    let blocks = message["content"].as_array().expect("blocks");
    let text = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
    let calls = calls.map(|call| (string(&call["id"]), string(&call["name"]), call["input"].clone()));
    Said {
        text,
        calls: calls.collect(),
        usage: message["usage"].clone(),
        stop: string(&message["stop_reason"]),
    }
}

/// A message as its events build it up.
fn message_of(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut arguments = std::collections::BTreeMap::<u64, String>::new();
    for event in events {
        let index = event["index"].as_u64().unwrap_or_default();
        let at = usize::try_from(index).expect("small");
        match event["type"].as_str().expect("a type") {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().expect("a list");
                assert_eq!(blocks.len(), at, "blocks come in order");
                blocks.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = &mut message["content"][at];
                match event["delta"]["type"].as_str().expect("a type") {
                    "text_delta" => {
                        block["text"] = json!(string(&block["text"]) + &string(&event["delta"]["text"]));
                    }
                    "input_json_delta" => arguments
                        .entry(index)
                        .or_default()
                        .push_str(event["delta"]["partial_json"].as_str().expect("text")),
                    _ => {}
                }
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                for (name, value) in event["usage"].as_object().expect("usage") {
                    message["usage"][name] = value.clone();
                }
            }
            _ => {}
        }
    }
    for (at, text) in arguments {
        let parsed = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        message["content"][usize::try_from(at).expect("small")]["input"] = parsed;
    }
    assert_eq!(events.last().expect("events")["type"], "message_stop");
    message
}

fn said_by_chat(message: &Value, stop: &Value, usage: &Value) -> Said {
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let calls = calls.iter().map(|call| {
        let arguments = string(&call["function"]["arguments"]);
        let parsed = serde_json::from_str(&arguments).unwrap_or_else(|_| panic!("{arguments}"));
        (string(&call["id"]), string(&call["function"]["name"]), parsed)
    });
    Said {
        text: message["content"].as_str().unwrap_or_default().to_owned(),
        calls: calls.collect(),
        usage: usage.clone(),
        stop: string(stop),
    }
}

fn chat_of(events: &[Value]) -> (Value, Value, Value) {
    let (mut message, mut stop, mut usage) =
        (json!({"content": "", "tool_calls": []}), Value::Null, Value::Null);
    assert_eq!(events.last().expect("events"), "[DONE]");
    for event in events {
        if event["usage"].is_object() {
            usage = event["usage"].clone();
        }
        let Some(choice) = event["choices"].get(0) else { continue };
        if let Some(text) = choice["delta"]["content"].as_str() {
            message["content"] = json!(string(&message["content"]) + text);
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let calls = message["tool_calls"].as_array_mut().expect("a list");
            let at = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
            if at == calls.len() {
                calls.push(call.clone());
            } else {
                let more = string(&call["function"]["arguments"]);
                let known = &mut calls[at]["function"]["arguments"];
                *known = json!(string(known) + &more);
            }
        }
        if choice["finish_reason"].is_string() {
            stop = choice["finish_reason"].clone();
        }
    }
    (message, stop, usage)
}

fn said_by_response(response: &Value) -> Said {
    let mut said =
        Said { usage: response["usage"].clone(), stop: string(&response["status"]), ..Said::default() };
    for item in response["output"].as_array().unwrap_or_else(|| panic!("{response}")) {
        match item["type"].as_str().expect("a type") {
            "message" => {
                for part in item["content"].as_array().expect("parts") {
                    said.text.push_str(part["text"].as_str().unwrap_or_default());
                }
            }
            "function_call" => said.calls.push((
                string(&item["call_id"]),
                string(&item["name"]),
                serde_json::from_str(item["arguments"].as_str().expect("text")).expect("JSON"),
            )),
            _ => {}
        }
    }
    said
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The next turn: the answer, its tools' results, and a word.
fn next(dialect: Dialect, body: &mut Value, said: &Said, text: &str) {
    match dialect {
        Dialect::Anthropic => {
            let mut blocks = Vec::new();
            if !said.text.is_empty() {
                blocks.push(json!({"type": "text", "text": said.text}));
            }
            blocks.extend(said.calls.iter().map(
                |(id, name, input)| json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            ));
            let mut results: Vec<Value> = said
                .calls
                .iter()
                .map(|(id, ..)| json!({"type": "tool_result", "tool_use_id": id, "content": "found"}))
                .collect();
            results.push(json!({"type": "text", "text": text}));
            let messages = body["messages"].as_array_mut().expect("a list");
            messages.push(json!({"role": "assistant", "content": blocks}));
            messages.push(json!({"role": "user", "content": results}));
        }
        Dialect::OpenAiChat => {
            let calls: Vec<Value> = said
                .calls
                .iter()
                .map(|(id, name, arguments)| {
                    json!({"id": id, "type": "function",
                        "function": {"name": name, "arguments": arguments.to_string()}})
                })
                .collect();
            let mut answer = json!({"role": "assistant", "content": said.text});
            if !calls.is_empty() {
                answer["tool_calls"] = json!(calls);
            }
            let messages = body["messages"].as_array_mut().expect("a list");
            messages.push(answer);
            for (id, ..) in &said.calls {
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": "found"}));
            }
            messages.push(json!({"role": "user", "content": text}));
        }
        Dialect::OpenAiResponses => {
            let input = body["input"].as_array_mut().expect("a list");
            if !said.text.is_empty() {
                input.push(json!({"type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": said.text}]}));
            }
            for (id, name, arguments) in &said.calls {
                input.push(json!({"type": "function_call", "call_id": id, "name": name,
                    "arguments": arguments.to_string()}));
            }
            for (id, ..) in &said.calls {
                input.push(json!({"type": "function_call_output", "call_id": id, "output": "found"}));
            }
            input.push(json!({"role": "user", "content": text}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_with_tools_runs_over_turns_and_is_billed_to_the_token() {
    for (dialect, model) in foreign() {
        for stream in [false, true] {
            let what = format!("{dialect} on {model}, stream {stream}");
            let sim = sim().await;
            let gateway = everywhere(&sim).start().await;
            sim.reset();
            let mut body = first(dialect, model, "[sim:tool=look][sim:parallel_tools=2] find it");
            if stream && dialect == Dialect::OpenAiChat {
                body["stream_options"] = json!({"include_usage": true});
            }
            let mut session = String::new();
            for turn in 0..3 {
                let reply = ask(&gateway, dialect, &body).stream(stream).send().await.assert_ok();
                let said = said(dialect, &reply);
                if turn == 0 {
                    assert_eq!(said.calls.len(), 2, "{what}: {said:?}");
                    assert_ne!(said.calls[0].0, said.calls[1].0, "{what}");
                    assert!(said.calls.iter().all(|(_, name, input)| name == "look" && input.is_object()));
                }
                let read =
                    ["input_tokens", "prompt_tokens"].iter().find_map(|name| said.usage[name].as_u64());
                assert!(read.is_some_and(|tokens| tokens > 0), "{what}: {said:?}");
                // Found again by the ids of its calls, without any header.
                if turn > 0 {
                    assert_eq!(reply.header("x-warmkey-session"), session, "{what}, turn {turn}");
                }
                reply.header("x-warmkey-session").clone_into(&mut session);
                next(dialect, &mut body, &said, "[sim:output_tokens=20] and now?");
            }
            assert_books_agree(&what, &sim, &gateway).await;
            let to = gateway.metric("translated_total", &[&format!("from=\"{dialect}\"")]).await;
            assert!((to - 3.0).abs() < 0.5, "{what}: {to}");
            gateway.assert_no_panic();
        }
    }
}

/// The provider caches what the native client would have it cache.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_turns_keep_their_prefix_warm_in_other_words() {
    async fn share(sim: &Sim, gateway: &Gateway, dialect: Dialect, model: &str) -> f64 {
        sim.reset();
        let long = "The quick brown fox jumps over the lazy dog. ".repeat(400);
        let mut body = first(dialect, model, &format!("[sim:tool=look] {long}"));
        for turn in 0..20 {
            let word = if turn % 2 == 0 { "[sim:tool=look] again" } else { "go on [sim:output_tokens=30]" };
            if dialect == Dialect::Anthropic {
                body["cache_control"] = json!({"type": "ephemeral"});
            }
            let reply = ask(gateway, dialect, &body).send().await.assert_ok();
            next(dialect, &mut body, &said(dialect, &reply), word);
        }
        gateway.at_rest().await;
        let usage = sim.stats().total().usage;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let share = usage.cached_read as f64 / usage.total_input() as f64;
        share
    }
    let sim = sim().await;
    let gateway = everywhere(&sim).start().await;
    // What a client of the provider's own dialect reads; AWS's Claude caches like Anthropic's own, and
    // Google's by itself like OpenAI's.
    let claude = share(&sim, &gateway, Dialect::Anthropic, "claude-sonnet-4-6").await;
    let gpt = share(&sim, &gateway, Dialect::OpenAiChat, "gpt-5.6").await;
    assert!(claude > 0.8 && gpt > 0.8, "it tests too little: {claude:.3}, {gpt:.3}");
    for (dialect, model) in foreign() {
        let own =
            if matches!(model, "claude-sonnet-4-6" | "by-converse" | "by-invoke") { claude } else { gpt };
        let translated = share(&sim, &gateway, dialect, model).await;
        assert!(translated > own - 0.02, "{dialect} on {model}: {translated:.3} of {own:.3}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_words_is_refused_by_name_or_dropped_and_said() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let chat = |change: Value| {
        let mut body = first(Dialect::OpenAiChat, "claude-sonnet-4-6", "hello");
        for (name, value) in change.as_object().expect("members") {
            body[name] = value.clone();
        }
        ask(&gateway, Dialect::OpenAiChat, &body)
    };
    sim.reset();
    for (member, value) in
        [("n", json!(3)), ("logit_bias", json!({"50256": -100})), ("logprobs", json!(true))]
    {
        let reply = chat(json!({ member: value })).send().await.assert_error(Dialect::OpenAiChat, 400);
        let message = string(&reply.json()["error"]["message"]);
        assert!(message.contains(&format!("`{member}`")), "{message}");
        assert!(!message.contains("50256"), "{message}");
    }
    assert!(sim.seen().is_empty(), "nothing of it went up");
    gateway.booked("denied", 3).await;
    let reply = chat(json!({"metadata": {"a": "b"}, "store": true})).send().await.assert_ok();
    assert!(reply.header("x-warmkey-dropped").contains("metadata"), "{:?}", reply.headers);
    let reply = chat(json!({})).send().await.assert_ok();
    assert_eq!(reply.header("x-warmkey-dropped"), "");
    assert!(
        gateway.metric("dropped_members_total", &["from=\"openai-chat\"", "to=\"anthropic\""]).await > 0.5
    );

    let lax = Setup::over(&sim).provider("on_loss = \"drop\"").start().await;
    let mut body = first(Dialect::OpenAiChat, "claude-sonnet-4-6", "hello");
    body["n"] = json!(2);
    let reply = ask(&lax, Dialect::OpenAiChat, &body).send().await.assert_ok();
    assert_eq!(reply.header("x-warmkey-dropped"), "n");
    let strict = Setup::over(&sim).provider("on_loss = \"refuse\"").start().await;
    body = first(Dialect::OpenAiChat, "claude-sonnet-4-6", "hello");
    body["metadata"] = json!({"a": "b"});
    ask(&strict, Dialect::OpenAiChat, &body).send().await.assert_error(Dialect::OpenAiChat, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_get_an_error_in_the_callers_dialect() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for (dialect, body) in [
        (
            Dialect::Anthropic,
            json!({"model": "gpt-5.6", "max_tokens": 9, "messages": [{"role": "king", "content": "x"}]}),
        ),
        (
            Dialect::Anthropic,
            json!({"model": "gpt-5.6", "max_tokens": 9, "messages": [
            {"role": "user", "content": [{"type": "hologram", "data": "x"}]}]}),
        ),
        (
            Dialect::OpenAiChat,
            json!({"model": "claude-sonnet-4-6", "messages": [{"role": "tool", "content": "x"}]}),
        ),
        (
            Dialect::OpenAiChat,
            json!({"model": "claude-sonnet-4-6", "messages": [{"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"arguments": "{}"}}]}]}),
        ),
        (
            Dialect::OpenAiResponses,
            json!({"model": "claude-sonnet-4-6", "input": [{"type": "item_reference", "id": "x"}]}),
        ),
        (
            Dialect::OpenAiResponses,
            json!({"model": "claude-sonnet-4-6", "input": "x", "previous_response_id": "resp_1"}),
        ),
    ] {
        let reply = ask(&gateway, dialect, &body).send().await.assert_error(dialect, 400);
        let message = string(&reply.json()["error"]["message"]);
        assert!(message.contains('`'), "it names the member: {message}");
    }
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_in_the_clients_words() {
    for (dialect, model) in foreign() {
        let sim = sim().await;
        let gateway = everywhere(&sim).accounts(1).start().await;
        let body = first(dialect, model, "hello [sim:output_tokens=200]");
        sim.script(Fault::Status { status: 422 });
        ask(&gateway, dialect, &body).send().await.assert_error(dialect, 400);
        for (n, fault) in
            [Fault::TruncateAfter { events: 12 }, Fault::ErrorAfter { events: 12 }].into_iter().enumerate()
        {
            sim.script(fault);
            let reply = ask(&gateway, dialect, &body).stream(true).send().await;
            assert_eq!(reply.status, 200);
            let events = reply.events();
            let is_error = |event: &Value| {
                event["type"] == "error" || event["error"].is_object() || event["type"] == "response.failed"
            };
            assert!(is_error(events.last().expect("events")), "{dialect}: {events:?}");
            assert_eq!(events.iter().filter(|event| is_error(event)).count(), 1, "{dialect}: once");
            gateway.booked("interrupted", u32::try_from(n).expect("small") + 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_may_be_served_in_two_dialects_and_falls_back_from_one_to_the_other() {
    let sim = sim().await;
    let mixed = "[[model]]\nname = \"mixed\"\nendpoints = [\"a1\", \"o1\"]\n\
                 upstream = { anthropic = \"claude-sonnet-4-6\", openai = \"gpt-5.6\" }\n";
    let gateway = Setup::over(&sim).more(mixed).start().await;
    for dialect in Dialect::ALL {
        let mut served = std::collections::BTreeSet::new();
        for n in 0..12 {
            let body = first(dialect, "mixed", &format!("hello {n}"));
            let reply = ask(&gateway, dialect, &body).session(&format!("mixed-{dialect}-{n}")).send().await;
            served.insert(reply.assert_ok().endpoint().to_owned());
        }
        assert!(!served.is_empty(), "{served:?}");
        let body = first(dialect, "mixed", "fails");
        sim.script(Fault::ServerError);
        let asked = sim.seen().len();
        let reply = ask(&gateway, dialect, &body).session("mixed-fails").send().await.assert_ok();
        let tried: std::collections::BTreeSet<_> =
            sim.seen().iter().skip(asked).map(|seen| seen.path.clone()).collect();
        assert_eq!(tried.len(), 2, "one dialect, then the other: {tried:?}");
        let said = said(dialect, &reply);
        assert!(!said.text.is_empty(), "{said:?}");
    }
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_for_any_model_and_an_estimate_says_so() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let count = |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "word ".repeat(400)}]});
        Ask::new(gateway.url("/v1/messages/count_tokens"), body)
    };
    let own = count("claude-sonnet-4-6").send().await.assert_ok();
    assert_eq!(own.header("x-warmkey-estimated"), "");
    let estimate = count("gpt-5.6").send().await.assert_ok();
    assert_eq!(estimate.header("x-warmkey-estimated"), "input_tokens");
    let (own, estimate) = (&own.json()["input_tokens"], &estimate.json()["input_tokens"]);
    let (own, estimate) = (own.as_f64().expect("a number"), estimate.as_f64().expect("a number"));
    assert!(estimate > own * 0.5 && estimate < own * 2.0, "{estimate} for {own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_ends_a_translated_stream_in_the_clients_words() {
    let sim = sim().await;
    let caller = "budgets = [{ usd = 0.05, per = \"total\" }]";
    let gateway =
        Setup::over(&sim).caller_with("tight", "t", "wk-tight-0123456789abcdef", caller).start().await;
    let body = first(Dialect::OpenAiChat, "claude-sonnet-4-6", "hello [sim:output_tokens=8000]");
    let reply = ask(&gateway, Dialect::OpenAiChat, &body)
        .header("authorization", "Bearer wk-tight-0123456789abcdef")
        .stream(true)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = reply.events();
    let last = events.last().expect("events");
    assert_eq!(last["error"]["reason"], "budget_exceeded", "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_words_for_it_gets_no_other_dialects_headers() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let body = first(Dialect::OpenAiChat, "claude-sonnet-4-6", "hello");
    let reply = ask(&gateway, Dialect::OpenAiChat, &body).send().await.assert_ok();
    assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("anthropic-")), "{:?}", reply.headers);
    let seen = sim.seen();
    let up = seen.iter().rev().find(|seen| seen.method == Method::POST).expect("it went up");
    assert_eq!(up.path, "/v1/messages");
}

/// Codex edits files with a tool that takes free text.
#[tokio::test(flavor = "multi_thread")]
async fn a_free_form_tool_works_where_tools_take_json() {
    let sim = sim().await;
    let gateway = everywhere(&sim).start().await;
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: \"***\""});
    for model in ["claude-sonnet-4-6", "gemini-3.8-flash", "by-converse", "by-invoke"] {
        for stream in [false, true] {
            let body = json!({"model": model, "input": [{"role": "user", "content": "[sim:tool=patch] mend it"}],
                "tools": [{"type": "custom", "name": "patch", "description": "Edits.", "format": grammar}]});
            let reply =
                ask(&gateway, Dialect::OpenAiResponses, &body).stream(stream).send().await.assert_ok();
            assert_eq!(reply.header("x-warmkey-dropped"), "tools[0].format", "{model}");
            let response = if stream {
                reply.events().last().expect("events")["response"].clone()
            } else {
                reply.json()
            };
            let output = response["output"].as_array().expect("items");
            let call = output.iter().find(|item| item["type"] == "custom_tool_call");
            let call = call.unwrap_or_else(|| panic!("{model}: {response:#}"));
            assert_eq!(call["name"], "patch");
            if model.starts_with("gemini") {
                // The simulated model does not follow the schema, and signs the arguments that it wrote.
                continue;
            }
            let mut next = body.clone();
            let input = next["input"].as_array_mut().expect("a list");
            input.push(call.clone());
            input.push(
                json!({"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "done"}),
            );
            ask(&gateway, Dialect::OpenAiResponses, &next).send().await.assert_ok();
        }
    }
}
