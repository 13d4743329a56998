use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dialect::neutral::{BlockKind, Collector};

/// Every event in a line of its own.
fn line(event: &Event<'_>) -> String {
    match event {
        Event::Start { id, model } => {
            let word = |text: &Option<crate::dialect::neutral::Escaped<'_>>| {
                text.as_ref().map(|text| text.raw().to_owned()).unwrap_or_default()
            };
            format!("start {} {}", word(id), word(model))
        }
        Event::Open { block, kind } => match kind {
            BlockKind::Text => format!("open {block} text"),
            BlockKind::Thinking => format!("open {block} thinking"),
            BlockKind::Refusal => format!("open {block} refusal"),
            BlockKind::ToolCall { id, name, custom, .. } => {
                format!("open {block} call {} {} {custom}", id.raw(), name.raw())
            }
        },
        Event::Delta { block, text } => format!("{block} {}", text.raw()),
        Event::Sealed { block, carrier } => {
            format!("{block} sealed {} {}", carrier.seal.id, carrier.seal.data)
        }
        Event::Citation { block, citation } => format!("{block} cites {}", citation.as_str()),
        Event::Close { block } => format!("close {block}"),
        Event::Usage(usage) => format!("usage {:?} {:?} {:?}", usage.input, usage.cached_read, usage.output),
        Event::Tier(tier) => format!("tier {}", tier.raw()),
        Event::Stop(stop) => format!("stop {:?}", stop.reason),
        Event::End => "end".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::Error(fault) => format!("error {} {} {}", fault.kind, fault.code, fault.message),
    }
}

fn stream(events: &[serde_json::Value]) -> Vec<String> {
    let mut reader = AnswerReader::new(Maker::of("openai"));
    let mut lines = Vec::new();
    for event in events {
        let data = event.to_string();
        let frame = Frame { kind: "", is_exception: false, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| lines.push(line(&event)));
    }
    reader.end(&mut |event| lines.push(line(&event)));
    lines.retain(|line| line != "ping");
    lines
}

fn whole(body: &serde_json::Value) -> Vec<String> {
    let mut lines = Vec::new();
    read_answer(body.to_string().as_bytes(), Maker::of("openai"), &mut |event| lines.push(line(&event)))
        .unwrap();
    lines
}

fn output() -> serde_json::Value {
    json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"},
         {"type": "summary_text", "text": "b"}], "encrypted_content": "gAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
         {"type": "output_text", "text": "so\n", "annotations": [{"type": "url_citation", "url": "u"}]}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "p", "input": "+x"},
    ])
}

fn ended(status: &str) -> serde_json::Value {
    json!({"id": "resp_1", "model": "gpt-5", "status": status, "output": output(), "service_tier": "default",
        "error": null, "incomplete_details": null,
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3,
                  "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 13}})
}

const SAID: [&str; 19] = [
    "open 0 thinking",
    "0 a",
    r"0 \n\n",
    "0 b",
    "0 sealed rs_1 gAAA",
    "close 0",
    "open 1 text",
    r"1 so\n",
    r#"1 cites {"type":"url_citation","url":"u"}"#,
    "close 1",
    "open 2 call call_1 f false",
    r#"2 {\"a\":1}"#,
    "close 2",
    "open 3 call call_2 p true",
    "3 +x",
    "close 3",
    "tier default",
    "usage Some(6) Some(4) Some(3)",
    "stop ToolUse",
];

fn deltas() -> Vec<serde_json::Value> {
    let items = output();
    vec![
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "status": "in_progress", "output": []}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1", "summary": []}}),
        json!({"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"}),
        json!({"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "a"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "b"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": items[0]}),
        json!({"type": "response.web_search_call.searching", "output_index": 1}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": items[1]}),
        json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "message", "content": []}}),
        json!({"type": "response.content_part.added", "output_index": 2, "content_index": 0}),
        json!({"type": "response.output_text.delta", "output_index": 2, "content_index": 0, "delta": "so\n"}),
        json!({"type": "response.output_text.annotation.added", "output_index": 2, "content_index": 0,
               "annotation": {"type": "url_citation", "url": "u"}}),
        json!({"type": "response.output_text.done", "output_index": 2, "content_index": 0, "text": "so\n"}),
        json!({"type": "response.content_part.done", "output_index": 2, "content_index": 0}),
        json!({"type": "response.output_item.done", "output_index": 2, "item": items[2]}),
        json!({"type": "response.output_item.added", "output_index": 3, "item": {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "{\"a\":1}"}),
        json!({"type": "response.function_call_arguments.done", "output_index": 3, "arguments": "{\"a\":1}"}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": items[3]}),
        json!({"type": "response.output_item.added", "output_index": 4, "item": {"type": "custom_tool_call", "call_id": "call_2", "name": "p", "input": ""}}),
        json!({"type": "response.custom_tool_call_input.done", "output_index": 4, "input": "+x"}),
        json!({"type": "response.output_item.done", "output_index": 4, "item": items[4]}),
        json!({"type": "response.completed", "response": ended("completed")}),
    ]
}

#[test]
fn a_stream_a_whole_answer_and_a_stream_of_nothing_but_ends_say_the_same() {
    let expected = |head: &[&str]| {
        let all = [head, SAID.as_slice(), &["end"]].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let start = "start resp_1 gpt-5";
    assert_eq!(stream(&deltas()), expected(&[start]));
    let dones: Vec<_> = deltas()
        .into_iter()
        .filter(|event| {
            let kind = event["type"].as_str().unwrap();
            kind.contains("output_item.done") || kind == "response.created" || kind == "response.completed"
        })
        .collect();
    assert_eq!(stream(&dones), expected(&[start]));
    let mut once = whole(&ended("completed"));
    once.retain(|line| line != "ping");
    assert_eq!(once, expected(&[start, "tier default"]));
    let last = json!({"type": "response.completed", "response": ended("completed")});
    assert_eq!(stream(&[last]), expected(&[start, "tier default"]));
}

#[test]
fn every_end_has_its_reason() {
    let message = json!([{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]);
    let refusal = json!([{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]);
    for (body, last) in [
        (json!({"status": "completed", "output": message}), "stop EndTurn"),
        (json!({"output": message}), "stop EndTurn"),
        (json!({"status": "completed", "output": refusal}), "stop Refusal"),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": message}),
            "stop MaxTokens",
        ),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}),
            "stop Refusal",
        ),
        (json!({"status": "cancelled", "output": []}), "stop Other"),
    ] {
        let lines = whole(&body);
        assert_eq!(lines[lines.len() - 2..], [last.to_owned(), "end".to_owned()], "{body}");
    }
    assert_eq!(whole(&json!({"id": "resp_1", "status": "queued"})), ["start resp_1 "]);
    let failed = json!({"status": "failed", "error": {"code": "server_error", "message": "oh"}});
    assert_eq!(whole(&failed), ["error  server_error oh"]);
}

#[test]
fn errors_end_it() {
    for (event, expected) in [
        (
            json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}),
            "error  rate_limit_exceeded slow",
        ),
        (
            json!({"type": "error", "error": {"type": "server_error", "message": "m"}}),
            "error server_error  m",
        ),
        (json!({"error": {"type": "server_error", "message": "m"}}), "error server_error  m"),
    ] {
        assert_eq!(stream(&[event.clone(), event]), [expected]);
    }
    let failed = json!({"type": "response.failed", "response": {"id": "r", "error": {"code": "server_error", "message": "m"}}});
    assert_eq!(stream(&[failed]), ["start r ", "error  server_error m"]);
}

#[test]
fn what_cannot_be_read_is_an_error_and_the_last_event() {
    for data in
        [b"{".as_slice(), b"[]", b"{\"type\":\"response.output_text.delta\",\"delta\":\"\xff\"}", b"{} {}"]
    {
        let mut reader = AnswerReader::new(Maker::of("openai"));
        let mut lines = Vec::new();
        for _ in 0..2 {
            let frame = Frame { kind: "", is_exception: false, data };
            reader.frame(&frame, &mut |event| lines.push(line(&event)));
        }
        assert_eq!(lines.iter().filter(|line| line.starts_with("error api_error")).count(), 1, "{lines:?}");
        assert!(lines.last().unwrap().starts_with("error"));
    }
}

#[test]
fn no_provider_makes_us_remember_without_end() {
    let mut reader = AnswerReader::new(Maker::of("openai"));
    let mut errors = 0;
    for index in 0..10_000_u64 {
        let data =
            json!({"type": "response.output_text.delta", "output_index": u64::MAX - index, "delta": "x"});
        let data = data.to_string();
        let frame = Frame { kind: "", is_exception: false, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| errors += usize::from(matches!(event, Event::Error(_))));
    }
    assert_eq!(errors, 1);
}

#[test]
fn a_call_without_an_id_gets_one() {
    let items = json!([{"type": "function_call", "name": "f", "arguments": ""}]);
    let ids = |id: &str| whole(&json!({"id": id, "status": "completed", "output": items}))[1].clone();
    assert!(ids("resp_1").starts_with("open 0 call call_"));
    assert_eq!(ids("resp_1"), ids("resp_1"));
    assert_ne!(ids("resp_1"), ids("resp_2"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut collector = Collector::default();
        let frame = Frame { kind: "", is_exception: false, data: &data };
        AnswerReader::new(Maker::of("openai")).frame(&frame, &mut |event| collector.event(event));
        let _any = read_answer(&data, Maker::of("openai"), &mut |event| collector.event(event));
    }

    /// Blocks are opened once, filled while they are open, and closed, whatever the order of the events.
    #[test]
    fn blocks_are_sound_in_any_order(order in proptest::collection::vec(0_usize..24, 0..60)) {
        let events = deltas();
        let picked: Vec<_> = order.into_iter().map(|at| events[at].clone()).collect();
        let mut open = std::collections::BTreeSet::new();
        let mut next = 0;
        let mut over = false;
        let mut reader = AnswerReader::new(Maker::of("openai"));
        for event in picked {
            let data = event.to_string();
            let frame = Frame { kind: "", is_exception: false, data: data.as_bytes() };
            reader.frame(&frame, &mut |event| {
                assert!(!over, "{event:?}");
                match event {
                    Event::Open { block, .. } => {
                        assert_eq!(block, next);
                        next += 1;
                        open.insert(block);
                    }
                    Event::Delta { block, .. } | Event::Sealed { block, .. } | Event::Citation { block, .. } => {
                        assert!(open.contains(&block));
                    }
                    Event::Close { block } => assert!(open.remove(&block)),
                    Event::End | Event::Error(_) => over = true,
                    Event::Stop(_) => assert!(open.is_empty()),
                    Event::Start { .. } | Event::Usage(_) | Event::Tier(_) | Event::Ping => {}
                }
            });
        }
    }
}
