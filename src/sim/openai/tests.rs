use serde_json::{Value, json};

use super::*;
use crate::{
    sim::{
        answer::{Answer, fresh_id},
        anthropic::Ground,
        frame::Frame,
        prompt::Ask,
        wants::Directives,
    },
    types::Usage,
};

fn parsed(body: &Value) -> Json {
    Json::parse(body.to_string().as_bytes()).unwrap()
}

fn read(body: &Value) -> Result<Ask, Refusal> {
    let account = Account::new("k", "o", "w");
    let directives = Directives::default();
    let ground = Ground { account: &account, directives: &directives, tool_rounds: 0 };
    let json = parsed(body);
    if body.get("messages").is_some() {
        chat_ask(&json, ground)
    } else {
        responses_ask(&json, &input_items(&json)?, ground)
    }
}

fn chat(text: &str) -> Value {
    json!({
        "model": "gpt-5.6", "stream": true, "stream_options": {"include_usage": true},
        "tools": [{"type": "function", "function": {"name": "lookup", "parameters": {}}}],
        "messages": [{"role": "system", "content": "be good"}, {"role": "user", "content": text}],
    })
}

fn responses(text: &str) -> Value {
    json!({
        "model": "gpt-5.6", "stream": true, "instructions": "be good",
        "tools": [{"type": "function", "name": "lookup", "parameters": {}}], "input": text,
    })
}

fn said(ask: &Ask) -> (Answer, Usage) {
    let said = Answer::to(ask, 7, fresh_id());
    let usage = Usage {
        input: 9,
        cached_read: 5,
        write_5m: 2,
        output: said.tokens(),
        reasoning: said.thinking_tokens(),
        ..Usage::default()
    };
    (said, usage)
}

fn data_of(frames: &[Frame]) -> Vec<Value> {
    assert!(frames.windows(2).all(|pair| pair[0].output <= pair[1].output), "produced tokens only grow");
    let read = |frame: &Frame| {
        let text = std::str::from_utf8(&frame.bytes).unwrap();
        let data = text.split_once("data: ").unwrap().1.strip_suffix("\n\n").unwrap();
        (data != "[DONE]").then(|| serde_json::from_str(data).unwrap())
    };
    frames.iter().filter_map(read).collect()
}

fn chunks(text: &str) -> Vec<Value> {
    let ask = read(&chat(text)).unwrap();
    let (said, usage) = said(&ask);
    let frames = chat_stream(&said, ask.model, "gpt-5.6", &usage, 1, ask.include_usage);
    assert_eq!(&frames.last().unwrap().bytes[..], b"data: [DONE]\n\n");
    data_of(&frames)
}

#[test]
fn a_chat_stream_begins_with_a_role_and_ends_with_reason_usage_and_done() {
    let chunks = chunks("[sim:output_tokens=20]");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let (usage, rest) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        (&usage["usage"]["prompt_tokens"], &usage["usage"]["completion_tokens"]),
        (&json!(16), &json!(20))
    );
    assert_eq!(usage["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(usage["usage"]["prompt_tokens_details"]["cache_write_tokens"], 2);
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(rest.iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
}

#[test]
fn chat_tool_calls_name_themselves_once_and_pour_their_arguments() {
    let chunks = chunks("[sim:tool=lookup][sim:parallel_tools=2]");
    let calls = |index: u64| {
        chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
            .filter(move |call| call["index"] == index)
    };
    for index in [0, 1] {
        assert_eq!(calls(index).filter(|call| call["id"].is_string()).count(), 1);
        let arguments: String =
            calls(index).filter_map(|call| call["function"]["arguments"].as_str()).collect();
        assert!(serde_json::from_str::<Value>(&arguments).unwrap()["limit"].is_u64());
    }
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
}

fn response_events(body: &Value) -> Vec<Value> {
    let ask = read(body).unwrap();
    let (said, usage) = said(&ask);
    let shape = Shape::of(&parsed(body), ask.model, "gpt-5.6", 1);
    let events = data_of(&responses_stream(&said, &shape, &usage));
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n, "numbered without a gap");
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[test]
fn a_response_has_the_full_sequence_of_events() {
    let mut body = responses("[sim:output_tokens=20][sim:thinking_tokens=8]");
    body["include"] = json!(["reasoning.encrypted_content"]);
    let events = response_events(&body);
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&events), expected);
    let done = &events.last().unwrap()["response"];
    assert_eq!((&done["status"], &done["usage"]["total_tokens"]), (&json!("completed"), &json!(16 + 28)));
    assert_eq!(done["usage"]["output_tokens_details"]["reasoning_tokens"], 8);
    assert!(done["output"][0]["encrypted_content"].is_string());
    assert_eq!(done["output"][1]["content"][0]["type"], "output_text");
}

#[test]
fn response_tool_calls_pour_their_arguments_and_end_as_items() {
    let events = response_events(&responses("[sim:tool=lookup]"));
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(kinds(&events), expected);
    let poured: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let item = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(item["arguments"], poured);
    assert!(item["call_id"].as_str().unwrap().starts_with("call_"));
}

#[test]
fn a_capped_response_is_incomplete() {
    let mut body = responses("[sim:output_tokens=50]");
    body["max_output_tokens"] = 16.into();
    let events = response_events(&body);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

#[test]
fn rounds_are_runs_of_calls_since_the_last_user_message() {
    let mut body = responses("x");
    let call = json!({"type": "function_call", "call_id": "c", "name": "lookup", "arguments": "{}"});
    let result = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
    let user = json!({"role": "user", "content": "[sim:tool_rounds=2]"});
    body["input"] = json!([user, call, call, result, result]);
    assert_eq!(read(&body).unwrap().wants.calls.len(), 1, "two calls made together are one round");
    body["input"].as_array_mut().unwrap().extend([call, result]);
    assert_eq!(read(&body).unwrap().wants.calls.len(), 0);
}

#[test]
fn newer_models_mark_the_end_unless_told_otherwise() {
    let marks = |body: &Value| -> Vec<bool> {
        read(body).unwrap().chain.positions.iter().map(|position| position.mark.is_some()).collect()
    };
    let mut body = chat("hi");
    assert_eq!(marks(&body), [false, false, true]);
    body["prompt_cache_options"] = json!({"mode": "explicit"});
    assert_eq!(marks(&body), [false, false, false]);
    body["messages"][1]["content"] = json!([
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {}}, {"type": "text", "text": "b"},
    ]);
    assert_eq!(marks(&body), [false, false, false, true, false]);
    body["model"] = "gpt-5.4".into();
    body["prompt_cache_options"] = Value::Null;
    assert_eq!(read(&body).unwrap_err().status, 400, "an older model knows no breakpoints");
}

#[test]
fn a_cache_key_and_an_organisation_choose_the_cache() {
    let first = |body: &Value| read(body).unwrap().chain.positions[0].hash;
    let (plain, mut keyed) = (chat("hi"), chat("hi"));
    keyed["prompt_cache_key"] = "s1".into();
    assert_ne!(first(&plain), first(&keyed));
    assert_eq!(first(&keyed), first(&keyed));
}

#[test]
fn odd_requests_get_a_400_and_unknown_models_a_404() {
    for body in [
        json!({"messages": [{"role": "user", "content": "x"}]}),
        json!({"model": "gpt-5.6", "messages": []}),
        json!({"model": "gpt-5.6", "messages": [{"role": "robot"}]}),
        json!({"model": "gpt-5.6", "messages": [{"role": "user"}], "stream_options": {}}),
        json!({"model": "gpt-5.6", "input": 7}),
        json!({"model": "gpt-5.6"}),
    ] {
        assert_eq!(read(&body).unwrap_err().status, 400, "{body}");
    }
    assert_eq!(read(&json!({"model": "claude-sonnet-4-6", "input": "x"})).unwrap_err().status, 404);
}
