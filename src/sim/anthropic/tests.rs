use serde_json::{Value, json};

use super::*;
use crate::{
    sim::{
        answer::{Answer, fresh_id},
        json::Json,
        params::Account,
        prompt::Ask,
        refusal::Refusal,
        wants::Directives,
    },
    types::Usage,
};

pub(super) fn read(body: &Value) -> Result<Ask, Refusal> {
    let account = Account::new("k", "o", "w");
    let directives = Directives::default();
    let ground = Ground { account: &account, directives: &directives, tool_rounds: 0 };
    ask(&Json::parse(body.to_string().as_bytes()).unwrap(), ground)
}

pub(super) fn base() -> Value {
    json!({
        "model": "claude-sonnet-4-6", "max_tokens": 500,
        "tools": [{"name": "lookup", "input_schema": {"type": "object"}}],
        "system": [{"type": "text", "text": "be good"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    })
}

pub(super) fn hashes(body: &Value) -> Vec<u64> {
    read(body).unwrap().chain.positions.iter().map(|position| position.hash).collect()
}

fn refused(body: &Value) -> String {
    let refusal = read(body).unwrap_err();
    assert_eq!(refusal.status, 400);
    refusal.message
}

pub(super) fn control(ttl: &str) -> Value {
    json!({"type": "ephemeral", "ttl": ttl})
}

#[test]
fn a_moving_marker_does_not_change_the_prompt() {
    let mut marked = base();
    marked["messages"][0]["content"][0]["cache_control"] = json!({"type": "ephemeral"});
    assert_eq!(hashes(&base()), hashes(&marked));
    assert!(read(&marked).unwrap().chain.positions[2].mark.is_some());
}

#[test]
fn a_string_is_one_text_block() {
    let mut plain = base();
    plain["messages"][0]["content"] = "hi".into();
    plain["system"] = "be good".into();
    assert_eq!(hashes(&base()), hashes(&plain));
}

#[test]
fn the_attribution_block_is_stripped_when_it_stands_first() {
    let mut attributed = base();
    attributed["system"] = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=abcde;"},
        {"type": "text", "text": "be good"},
    ]);
    assert_eq!(hashes(&base()), hashes(&attributed));
}

#[test]
fn tools_come_first_then_system_then_messages() {
    let (before, mut changed) = (hashes(&base()), base());
    changed["system"][0]["text"] = "be better".into();
    let after = hashes(&changed);
    assert_eq!(before[0], after[0], "tools stay");
    assert!(before[1] != after[1] && before[2] != after[2]);
    changed = base();
    changed["tools"][0]["description"] = "new".into();
    assert!(hashes(&changed).iter().zip(&before).all(|(a, b)| a != b), "everything changes");
}

#[test]
fn tool_choice_thinking_and_images_invalidate_messages_only() {
    let before = hashes(&base());
    let mut chosen = base();
    chosen["tool_choice"] = json!({"type": "auto"});
    let mut thinking = base();
    thinking["thinking"] = json!({"type": "enabled", "budget_tokens": 1_024});
    let mut image = base();
    image["messages"][0]["content"] =
        json!([{"type": "text", "text": "hi"}, {"type": "image", "source": {}}]);
    for changed in [chosen, thinking, image] {
        let after = hashes(&changed);
        assert_eq!(before[..2], after[..2]);
        assert_ne!(before[2], after[2]);
    }
}

#[test]
fn the_key_order_inside_tool_input_matters() {
    let with = |input: &str| {
        let body = format!(
            r#"{{"model":"claude-sonnet-4-6","max_tokens":5,"messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"n","input":{input}}}]}}]}}"#
        );
        let account = Account::new("k", "o", "w");
        let ground = Ground { account: &account, directives: &Directives::default(), tool_rounds: 0 };
        ask(&Json::parse(body.as_bytes()).unwrap(), ground).unwrap().chain.positions[0].hash
    };
    assert_eq!(with(r#"{"a":1,"b":2}"#), with(r#"{ "a": 1, "b": 2 }"#));
    assert_ne!(with(r#"{"a":1,"b":2}"#), with(r#"{"b":2,"a":1}"#));
}

#[test]
fn a_fifth_breakpoint_is_refused() {
    let mut body = base();
    let block =
        |n: usize| json!({"type": "text", "text": n.to_string(), "cache_control": {"type": "ephemeral"}});
    body["messages"][0]["content"] = (0..4).map(block).collect();
    assert!(read(&body).is_ok());
    body["cache_control"] = json!({"type": "ephemeral"});
    assert!(read(&body).is_ok(), "the last block is marked already: no more than that");
    body["messages"][0]["content"] = (0..5).map(block).collect();
    assert!(refused(&body).contains("maximum of 4"));
}

#[test]
fn the_automatic_breakpoint_is_the_last_block_and_takes_a_slot() {
    let mut body = base();
    body["cache_control"] = json!({"type": "ephemeral"});
    let marks = read(&body).unwrap().chain.positions.iter().map(|p| p.mark.is_some()).collect::<Vec<_>>();
    assert_eq!(marks, [false, false, true]);
    body["messages"][0]["content"][0]["cache_control"] = control("1h");
    assert!(refused(&body).contains("different ttl"));
}

#[test]
fn an_hour_must_come_before_five_minutes() {
    let mut body = base();
    body["system"][0]["cache_control"] = control("1h");
    body["messages"][0]["content"][0]["cache_control"] = control("5m");
    assert!(read(&body).is_ok());
    body["system"][0]["cache_control"] = control("5m");
    body["messages"][0]["content"][0]["cache_control"] = control("1h");
    assert!(refused(&body).contains("must not come after"));
    body["messages"][0]["content"][0]["cache_control"] = control("2h");
    assert!(refused(&body).contains("'5m' or '1h'"));
}

#[test]
fn thinking_and_empty_text_cannot_be_marked() {
    let mut body = base();
    body["messages"][0]["content"] = json!([{"type": "text", "text": "", "cache_control": control("5m")}]);
    assert!(refused(&body).contains("empty text"));
    body["messages"][0]["content"] =
        json!([{"type": "thinking", "thinking": "x", "cache_control": control("5m")}]);
    assert!(refused(&body).contains("thinking blocks"));
}

#[test]
fn a_prewarm_is_refused_where_it_makes_no_sense() {
    let mut body = base();
    body["max_tokens"] = 0.into();
    assert!(read(&body).is_ok());
    body["stream"] = true.into();
    assert!(refused(&body).contains("max_tokens: 0"));
}

#[test]
fn odd_requests_get_a_400_and_unknown_models_a_404() {
    for body in [
        json!([]),
        json!({"model": 3}),
        json!({"model": "claude-sonnet-4-6"}),
        json!({"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": []}),
        json!({"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": [{"role": "robot", "content": "x"}]}),
        json!({"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": [{"role": "user", "content": 7}]}),
        json!({"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": [{"role": "user", "content": [7]}]}),
        json!({"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": "x"}),
    ] {
        assert_eq!(read(&body).unwrap_err().status, 400, "{body}");
    }
    assert_eq!(read(&json!({"model": "claude-nothing"})).unwrap_err().status, 404);
    assert_eq!(read(&json!({"model": "gpt-5.6"})).unwrap_err().status, 404);
}

#[test]
fn rounds_are_counted_since_the_last_user_text() {
    let mut body = base();
    body["messages"] = json!([{"role": "user", "content": "go [sim:tool=lookup] [sim:tool_rounds=2]"}]);
    let round = [
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "lookup", "input": {}}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}),
    ];
    for expected in [1, 1, 0] {
        assert_eq!(read(&body).unwrap().wants.calls.len(), expected);
        body["messages"].as_array_mut().unwrap().extend(round.clone());
    }
}

/// The events of an answer to `text`, with the tokens each had produced.
fn events(text: &str) -> Vec<(Value, u64)> {
    let mut body = base();
    body["messages"][0]["content"] = text.into();
    let ask = read(&body).unwrap();
    let said = Answer::to(&ask, 7, fresh_id());
    let usage =
        Usage { input: 9, cached_read: 5, write_5m: 2, write_1h: 1, output: said.tokens(), reasoning: 0 };
    let frames = stream(&said, "claude-sonnet-4-6", &usage);
    let read = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).unwrap();
        let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    frames.iter().map(|frame| (read(&frame.bytes), frame.output)).collect()
}

fn kinds(events: &[(Value, u64)]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|(event, _)| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[test]
fn a_thinking_message_has_the_real_sequence_of_events() {
    let events = events("[sim:thinking_tokens=12][sim:output_tokens=30]");
    let block = ["content_block_delta", "content_block_stop"];
    let expected = [
        &["message_start", "content_block_start", "ping"][..],
        &block,
        &["content_block_start"],
        &block,
        &["message_delta", "message_stop"],
    ];
    assert_eq!(kinds(&events), expected.concat());
    assert!(events.windows(2).all(|pair| pair[0].1 <= pair[1].1), "produced tokens only grow");
    let start = &events[0].0["message"]["usage"];
    assert_eq!((&start["input_tokens"], &start["cache_read_input_tokens"]), (&json!(9), &json!(5)));
    assert_eq!(start["cache_creation_input_tokens"], 3);
    assert_eq!(start["cache_creation"]["ephemeral_1h_input_tokens"], 1);
    let delta = &events[events.len() - 2].0;
    assert_eq!(
        (&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]),
        (&json!("end_turn"), &json!(42))
    );
    assert_eq!(delta["usage"]["cache_read_input_tokens"], 5, "cumulative figures repeat");
}

#[test]
fn parallel_tool_calls_stream_as_partial_json() {
    let events = events("[sim:tool=lookup][sim:parallel_tools=2]");
    let mut ids = Vec::new();
    for index in [0, 1] {
        let of = |kind: &'static str| {
            events
                .iter()
                .map(|(event, _)| event)
                .filter(move |event| event["type"] == kind && event["index"] == index)
        };
        let start = of("content_block_start").next().unwrap();
        assert_eq!(
            (&start["content_block"]["type"], &start["content_block"]["input"]),
            (&json!("tool_use"), &json!({}))
        );
        ids.push(start["content_block"]["id"].clone());
        let json: String =
            of("content_block_delta").filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert!(serde_json::from_str::<Value>(&json).unwrap()["query"].is_string());
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(events[events.len() - 2].0["delta"]["stop_reason"], "tool_use");
}

#[test]
fn the_callers_cap_ends_an_answer() {
    let mut body = base();
    body["max_tokens"] = 10.into();
    body["messages"][0]["content"] = "[sim:output_tokens=99]".into();
    let ask = read(&body).unwrap();
    let said = Answer::to(&ask, 1, fresh_id());
    let message = whole(&said, "m", &Usage { output: said.tokens(), ..Usage::default() });
    assert_eq!(
        (&message["stop_reason"], &message["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(10))
    );
}

#[test]
fn same_seed_and_conversation_give_the_same_words_under_another_id() {
    let ask = read(&base()).unwrap();
    let (one, two) = (Answer::to(&ask, 5, fresh_id()), Answer::to(&ask, 5, fresh_id()));
    assert_eq!(one.text, two.text);
    assert_ne!(one.id, two.id);
    assert_ne!(one.text, Answer::to(&ask, 6, fresh_id()).text);
}
