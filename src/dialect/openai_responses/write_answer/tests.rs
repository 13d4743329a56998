use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::neutral::{Collector, Maker, Seal, Stop};
use crate::types::{Dialect, ProviderDialect, ReportedUsage};

fn asked(echo: Vec<(&'static str, String)>) -> Asked {
    Asked {
        origin: Dialect::OpenAiResponses,
        stream: true,
        include_usage: false,
        model: "claude".to_owned(),
        id: "abc".to_owned(),
        created: 7,
        echo,
    }
}

fn open(block: u32, kind: BlockKind<'static>) -> Event<'static> {
    Event::Open { block, kind }
}

fn delta(block: u32, text: &'static str) -> Event<'static> {
    Event::Delta { block, text: Escaped::plain(text) }
}

const fn close(block: u32) -> Event<'static> {
    Event::Close { block }
}

const fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop(Stop { reason, sequence: None })
}

fn call(name: &'static str, custom: bool) -> BlockKind<'static> {
    BlockKind::ToolCall { id: Escaped::plain("toolu_1"), name: Escaped::plain(name), carrier: None, custom }
}

fn start() -> Event<'static> {
    Event::Start { id: Some(Escaped::plain("msg_x")), model: Some(Escaped::plain("claude-5")) }
}

/// The events of a stream; that each is well-formed is checked on the way.
fn stream(events: &[Event<'_>], asked: Asked) -> Vec<Value> {
    let mut writer = AnswerWriter::new(asked);
    let mut out = Vec::new();
    for event in events {
        writer.event(event, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let mut found = Vec::new();
    for event in text.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"].as_str().unwrap());
        assert_eq!(data["sequence_number"], found.len());
        found.push(data);
    }
    let last = found.len().checked_sub(1).map(|last| last as u64);
    assert_eq!(writer.last_sequence(), last);
    found
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

fn whole(events: Vec<Event<'_>>, asked: &Asked) -> Value {
    let mut collector = Collector::default();
    for event in events {
        collector.event(event);
    }
    serde_json::from_slice(&write_answer(&collector.finish(), asked)).unwrap()
}

fn carrier() -> Carrier {
    let seal = Seal {
        dialect: ProviderDialect::Anthropic,
        id: String::new(),
        text: String::new(),
        data: "sig".into(),
    };
    Carrier { maker: Maker::of("anthropic"), seal }
}

fn conversation() -> Vec<Event<'static>> {
    let usage = ReportedUsage {
        input: Some(10),
        cached_read: Some(5),
        write_5m: Some(2),
        write_1h: None,
        output: Some(4),
        reasoning: Some(1),
    };
    vec![
        start(),
        open(0, BlockKind::Thinking),
        delta(0, "hm"),
        Event::Sealed { block: 0, carrier: carrier() },
        close(0),
        open(1, BlockKind::Text),
        delta(1, r"so\n"),
        close(1),
        open(2, call("f", false)),
        delta(2, r#"{\"a\":"#),
        delta(2, "1}"),
        close(2),
        Event::Usage(usage),
        stop(StopReason::ToolUse),
        Event::End,
    ]
}

#[test]
fn every_item_is_opened_filled_and_done_and_the_end_repeats_it() {
    let events = stream(&conversation(), asked(vec![]));
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let response = &events.last().unwrap()["response"];
    let output = json!([
        {"id": "rs_abc_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
         "encrypted_content": carrier().pack().raw()},
        {"id": "msg_abc_1", "type": "message", "status": "completed", "role": "assistant",
         "content": [{"type": "output_text", "text": "so\n", "annotations": [], "logprobs": []}]},
        {"id": "fc_abc_2", "type": "function_call", "status": "completed", "call_id": "toolu_1", "name": "f",
         "arguments": "{\"a\":1}"},
    ]);
    assert_eq!(response["output"], output);
    let done: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"].clone())
        .collect();
    assert_eq!(Value::from(done), output);
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 17, "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
            "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 21})
    );
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_abc"), &json!("claude-5")));
    assert_eq!(whole(conversation(), &asked(vec![])), *response);
    // The items that are added say nothing yet.
    assert_eq!(events[8]["item"]["content"], json!([]));
    assert_eq!(events[14]["item"]["arguments"], "");
}

#[test]
fn texts_in_a_row_are_one_message() {
    let cite = |text: &'static str| Event::Citation { block: 1, citation: Json::written(text) };
    let events = vec![
        start(),
        open(0, BlockKind::Text),
        delta(0, "ab"),
        close(0),
        open(1, BlockKind::Text),
        delta(1, "c\\u00e9"),
        cite("{\"type\":\"web_search_result_location\",\n\"url\":\"https://a\",\"title\":\"A\"}"),
        cite(r#"{"type":"char_location","document_index":0}"#),
        close(1),
        stop(StopReason::EndTurn),
        Event::End,
    ];
    let found = stream(&events, asked(vec![]));
    let response = &found.last().unwrap()["response"];
    assert_eq!(
        response["output"],
        json!([{"id": "msg_abc_0", "type": "message", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "abcé", "logprobs": [], "annotations": [
                {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://a", "title": "A"}]}]}])
    );
    assert_eq!(names(&found).iter().filter(|name| **name == "output_text.annotation.added").count(), 1);
    assert_eq!(whole(events, &asked(vec![])), *response);
}

#[test]
fn the_end_says_how_it_ended() {
    for (events, status, details, item) in [
        (
            vec![stop(StopReason::MaxTokens)],
            "incomplete",
            json!({"reason": "max_output_tokens"}),
            "incomplete",
        ),
        (vec![stop(StopReason::Refusal)], "incomplete", json!({"reason": "content_filter"}), "completed"),
        (vec![stop(StopReason::StopSequence)], "completed", Value::Null, "completed"),
        (vec![], "completed", Value::Null, "completed"),
    ] {
        let mut all = vec![start(), open(0, call("f", false)), delta(0, r#"{\"a"#), close(0)];
        all.extend(events);
        all.push(Event::End);
        let found = stream(&all, asked(vec![]));
        let last = found.last().unwrap();
        assert_eq!(last["type"], format!("response.{status}"));
        let response = &last["response"];
        assert_eq!((&response["status"], &response["incomplete_details"]), (&json!(status), &details));
        assert_eq!(response["output"][0]["status"], item);
    }
    let refused = [
        start(),
        open(0, BlockKind::Refusal),
        delta(0, "no"),
        close(0),
        stop(StopReason::Refusal),
        Event::End,
    ];
    let found = stream(&refused, asked(vec![]));
    let response = &found.last().unwrap()["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
}

#[test]
fn an_error_fails_the_response() {
    let fault =
        |kind: &str| UpstreamFault { kind: kind.into(), message: "m\n".into(), ..UpstreamFault::default() };
    for (kind, code) in [
        ("overloaded_error", "server_error"),
        ("rate_limit_error", "rate_limit_exceeded"),
        ("throttlingException", "rate_limit_exceeded"),
        ("invalid_request_error", "invalid_prompt"),
    ] {
        let events =
            [start(), open(0, BlockKind::Text), delta(0, "x"), Event::Error(fault(kind)), Event::End];
        let found = stream(&events, asked(vec![]));
        let last = found.last().unwrap();
        assert_eq!(last["type"], "response.failed");
        assert_eq!(last["response"]["error"], json!({"code": code, "message": "m\n"}), "{kind}");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], "x");
    }
    let first = stream(&[Event::Error(fault("api_error"))], asked(vec![]));
    assert_eq!(names(&first), ["created", "in_progress", "failed"]);
}

#[test]
fn free_form_tools_get_free_text_again() {
    let tools = r#"[{"type":"function","name":"f"},
        {"type":"custom","name":"patch"}]"#;
    let echo = || vec![("tools", tools.to_owned()), ("temperature", "0.5".to_owned())];
    let events = vec![
        start(),
        open(0, call("patch", false)),
        delta(0, r#"{\"input\": \"a\\nb"#),
        delta(0, r#"\"}"#),
        close(0),
        open(1, call("raw", true)),
        delta(1, "free"),
        close(1),
        stop(StopReason::ToolUse),
        Event::End,
    ];
    let found = stream(&events, asked(echo()));
    let response = &found.last().unwrap()["response"];
    assert_eq!(response["output"][0]["type"], "custom_tool_call");
    assert_eq!(response["output"][0]["input"], "a\nb");
    assert_eq!(response["output"][1]["input"], "free");
    assert_eq!((&response["temperature"], &response["tools"][1]["name"]), (&json!(0.5), &json!("patch")));
    let said: Vec<&Value> = found
        .iter()
        .filter(|event| event["type"] == "response.custom_tool_call_input.delta")
        .map(|event| &event["delta"])
        .collect();
    assert_eq!(said, [&json!("a\nb"), &json!("free")]);
    assert_eq!(whole(events, &asked(echo())), *response);
}

#[test]
fn calls_at_once_and_calls_without_arguments_are_told_apart() {
    let events = [
        start(),
        open(0, call("f", false)),
        open(1, call("g", false)),
        delta(0, "{"),
        delta(1, "{}"),
        delta(0, "}"),
        stop(StopReason::ToolUse),
        close(0),
        close(1),
        open(2, call("h", false)),
        close(2),
        Event::Ping,
        Event::End,
    ];
    let found = stream(&events, asked(vec![]));
    let output = found.last().unwrap()["response"]["output"].as_array().unwrap().clone();
    let arguments: Vec<&Value> = output.iter().map(|item| &item["arguments"]).collect();
    assert_eq!(arguments, [&json!("{}"), &json!("{}"), &json!("{}")]);
}

#[test]
fn a_call_brings_its_makers_seal_behind_its_id() {
    let kind = BlockKind::ToolCall {
        id: Escaped::plain("c1"),
        name: Escaped::plain("f"),
        carrier: Some(carrier()),
        custom: false,
    };
    let found =
        stream(&[start(), open(0, kind), close(0), stop(StopReason::ToolUse), Event::End], asked(vec![]));
    let id = found.last().unwrap()["response"]["output"][0]["call_id"].as_str().unwrap().to_owned();
    let (own, found) = crate::dialect::neutral::split_tool_id(Escaped::plain(&id));
    assert_eq!((own.raw(), found), ("c1", Some(carrier())));
}

#[test]
fn an_answer_without_end_is_cut() {
    let mut writer = AnswerWriter::new(asked(vec![]));
    let mut out = Vec::new();
    writer.event(&start(), &mut out);
    writer.event(&open(0, BlockKind::Text), &mut out);
    let long = "x".repeat(1 << 20);
    for _ in 0..20 {
        out.clear();
        writer.event(&Event::Delta { block: 0, text: Escaped::plain(&long) }, &mut out);
        if writer.over {
            break;
        }
    }
    assert!(out.starts_with(b"event: response.failed\n"));
    out.clear();
    writer.event(&Event::End, &mut out);
    assert_eq!(out, b"");
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let block = 0_u32..4;
    prop_oneof![
        Just(start()),
        block.clone().prop_map(|block| open(block, BlockKind::Text)),
        block.clone().prop_map(|block| open(block, BlockKind::Thinking)),
        block.clone().prop_map(|block| open(block, call("f", false))),
        block.clone().prop_map(|block| open(block, BlockKind::Refusal)),
        block.clone().prop_map(|block| delta(block, r"x\n")),
        block.clone().prop_map(|block| Event::Sealed { block, carrier: carrier() }),
        block.prop_map(close),
        Just(stop(StopReason::EndTurn)),
        Just(Event::Ping),
    ]
}

proptest! {
    /// Whatever a reader shows, every item that is added is done once, and the end repeats what was
    /// said in the deltas.
    #[test]
    fn streams_are_sound(events in proptest::collection::vec(any_event(), 0..40)) {
        let events: Vec<_> = events.into_iter().chain([Event::End]).collect();
        let found = stream(&events, asked(vec![]));
        let of = |kind: &str| found.iter().filter(|event| event["type"] == kind).count();
        let last = found.last().unwrap();
        prop_assert_eq!(&last["type"], "response.completed");
        let output = last["response"]["output"].as_array().unwrap();
        prop_assert_eq!(of("response.output_item.added"), output.len());
        prop_assert_eq!(of("response.output_item.done"), output.len());
        for (index, item) in output.iter().enumerate() {
            let said: String = found
                .iter()
                .filter(|event| event["output_index"] == index)
                .filter_map(|event| event["delta"].as_str())
                .collect();
            let whole = match item["type"].as_str().unwrap() {
                "message" => item["content"][0]["text"].as_str().or(item["content"][0]["refusal"].as_str()),
                "reasoning" => Some(item["summary"][0]["text"].as_str().unwrap_or_default()),
                _ => item["arguments"].as_str(),
            };
            prop_assert_eq!(whole, Some(said.as_str()));
        }
    }
}
