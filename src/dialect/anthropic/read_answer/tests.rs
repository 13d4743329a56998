use proptest::prelude::*;

use super::*;
use crate::{dialect::neutral::Collector, types::ProviderDialect};

/// Events by their data, as one reader shows them.
fn read(events: &[&str]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut reader = AnswerReader::new(Maker::of("anthropic"));
    for data in events {
        let frame = Frame { kind: "", is_exception: false, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| shown.push(say(&event)));
    }
    reader.end(&mut |event| shown.push(say(&event)));
    shown
}

/// An event in few words.
fn say(event: &Event<'_>) -> String {
    match event {
        Event::Start { id, model } => {
            let text =
                |text: &Option<Escaped<'_>>| text.as_ref().map_or("-".to_owned(), |t| t.raw().to_owned());
            format!("start {} {}", text(id), text(model))
        }
        Event::Open { block, kind: BlockKind::ToolCall { id, name, .. } } => {
            format!("{block} call {} {}", id.raw(), name.raw())
        }
        Event::Open { block, kind } => format!("{block} open {kind:?}"),
        Event::Delta { block, text } => format!("{block} + {}", text.raw()),
        Event::Sealed { block, carrier } => {
            assert_eq!(carrier.seal.dialect, ProviderDialect::Anthropic);
            format!("{block} sealed {}{}", carrier.seal.id, carrier.seal.data)
        }
        Event::Citation { block, citation } => format!("{block} cites {}", citation.as_str()),
        Event::Close { block } => format!("{block} close"),
        Event::Usage(usage) => format!(
            "usage {:?} {:?} {:?} {:?} {:?}",
            usage.input, usage.cached_read, usage.write_5m, usage.write_1h, usage.output
        ),
        Event::Tier(tier) => format!("tier {}", tier.raw()),
        Event::Stop(stop) => format!("stop {:?}", stop.reason),
        Event::End => "end".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::Error(fault) => format!("error {}", fault.kind),
    }
}

fn check(events: &[&str], expected: &[&str]) {
    assert_eq!(read(events), expected);
}

use crate::dialect::neutral::BlockKind;

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"usage":{"input_tokens":3,"cache_creation_input_tokens":9,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":5},"output_tokens":1,"service_tier":"standard"}}}"#;
const STARTED: [&str; 3] =
    ["start msg_1 claude", "tier standard", "usage Some(3) Some(7) Some(4) Some(5) Some(1)"];
const STOP: &str = r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":20}}"#;
const OVER: &str = r#"{"type":"message_stop"}"#;

#[test]
fn a_stream_with_thinking_text_and_a_call_is_read() {
    check(
        &[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type": "ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h\"m"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Er=="}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"Em=="}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
            r#"{"type":"content_block_stop","index":3}"#,
            r#"{"type":"something_new"}"#,
            STOP,
            OVER,
            OVER,
        ],
        &[
            STARTED.as_slice(),
            &[
                "0 open Thinking",
                "ping",
                r#"0 + h\"m"#,
                "0 sealed Er==",
                "0 close",
                "1 open Thinking",
                "1 sealed redacted_thinkingEm==",
                "1 close",
                "2 call toolu_1 f",
                r#"2 + {\"a\":1}"#,
                "2 close",
                "usage None None None None Some(20)",
                "stop ToolUse",
                "end",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_stream_may_end_without_its_terminal_event_but_not_without_a_reason() {
    check(
        &[START, STOP],
        &[STARTED.as_slice(), &["usage None None None None Some(20)", "stop ToolUse", "end"]].concat(),
    );
    check(&[START], &STARTED);
}

#[test]
fn what_a_strange_host_says_does_no_harm() {
    let text = r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"hi"}}"#;
    let call =
        r#"{"type":"content_block_delta","index":8,"delta":{"type":"input_json_delta","partial_json":"{"}}"#;
    let huge = r#"{"type":"content_block_delta","index":99999999999999999999999,"delta":{"type":"text_delta","text":"x"}}"#;
    // A block that was never opened opens by its text; of a call nobody knows the tool.
    check(
        &[text, call, text, huge, OVER],
        &["0 open Text", "0 + hi", "0 + hi", "1 open Text", "1 + x", "0 close", "1 close", "end"],
    );
    check(&["{\"type\":\"ping\"", text], &["error api_error"]);
    check(
        &[
            "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\nb\"}}",
        ],
        &["error api_error"],
    );
    check(
        &[r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, text],
        &["error overloaded_error"],
    );
    // Opened again without an end; arguments that came with the start.
    let open = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"q":1}}}"#;
    check(&[open, open], &["0 call a f", r#"0 + {\"q\":1}"#, "0 close", "1 call a f"]);
    let mut many = Vec::new();
    for index in 0..100 {
        many.push(format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"text","text":""}}}}"#
        ));
    }
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let shown = read(&many);
    assert_eq!((shown.len(), shown.last().unwrap().as_str()), (MOST_OPEN + 1, "error api_error"));
}

#[test]
fn a_whole_answer_is_read_as_a_stream_of_it_would_be() {
    let body = r#"{"content":[{"type":"thinking","thinking":"hm","signature":"Er=="},
        {"type":"text","text":"so","citations":[{"type":"char_location"}]},
        {"type":"tool_use","id":"toolu_1","name":"f","input":{"a": [1]}}],
        "id":"msg_1","model":"claude","role":"assistant","type":"message","stop_reason":"tool_use",
        "stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":5}}"#;
    let mut shown = Vec::new();
    read_answer(body.as_bytes(), Maker::of("anthropic"), &mut |event| shown.push(say(&event))).unwrap();
    assert_eq!(
        shown,
        [
            "start msg_1 claude",
            "0 open Thinking",
            "0 + hm",
            "0 sealed Er==",
            "0 close",
            "1 open Text",
            "1 + so",
            r#"1 cites {"type":"char_location"}"#,
            "1 close",
            "2 call toolu_1 f",
            r#"2 + {\"a\": [1]}"#,
            "2 close",
            "usage Some(3) None None None Some(5)",
            "stop ToolUse",
            "end",
        ]
    );
    let mut error = Vec::new();
    let body = br#"{"type":"error","error":{"type":"api_error","message":"m"}}"#;
    read_answer(body, Maker::of("anthropic"), &mut |event| error.push(say(&event))).unwrap();
    assert_eq!(error, ["error api_error"]);
    for bad in ["", "{}", "[]", "{\"content\":1}", "{\"content\":[]} x"] {
        assert!(read_answer(bad.as_bytes(), Maker::of("a"), &mut |_| {}).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_event_makes_it_panic(
        kind in proptest::sample::select(&["message_start", "content_block_start", "content_block_delta",
            "content_block_stop", "message_delta", "message_stop", "error"][..]),
        index in any::<i64>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        value in proptest::sample::select(&["1", "null", "{}", "[]", "\"x\"", "{\"type\":\"text\",\"text\":1}",
            "{\"type\":\"tool_use\",\"input\":[]}"][..]),
    ) {
        let mut reader = AnswerReader::new(Maker::of("a"));
        let mut collector = Collector::default();
        let event = format!(
            r#"{{"type":"{kind}","index":{index},"delta":{value},"content_block":{value},"message":{value},"usage":{value}}}"#
        );
        for data in [event.as_bytes(), &bytes, START.as_bytes(), event.as_bytes()] {
            let frame = Frame { kind: "", is_exception: false, data };
            reader.frame(&frame, &mut |event| collector.event(event));
        }
        reader.end(&mut |event| collector.event(event));
        let _whole = read_answer(&bytes, Maker::of("a"), &mut |_| {});
    }
}
