use proptest::prelude::*;

use super::*;
use crate::dialect::neutral::BlockKind;

/// An event as a line.
fn line(event: &Event<'_>) -> String {
    match event {
        Event::Start { id, model } => {
            let or =
                |text: &Option<Escaped<'_>>| text.as_ref().map_or("-".to_owned(), |t| t.raw().to_owned());
            format!("start {} {}", or(id), or(model))
        }
        Event::Open { block, kind } => match kind {
            BlockKind::ToolCall { id, name, carrier, custom } => {
                let own = carrier.as_ref().map(|carrier| format!(" own {}", carrier.seal.data));
                let custom = if *custom { " custom" } else { "" };
                format!("open {block} call {} {}{custom}{}", id.raw(), name.raw(), own.unwrap_or_default())
            }
            BlockKind::Text | BlockKind::Thinking | BlockKind::Refusal => format!("open {block} {kind:?}"),
        },
        Event::Delta { block, text } => format!("delta {block} {}", text.raw()),
        Event::Sealed { block, carrier } => format!("sealed {block} {}", carrier.seal.data),
        Event::Citation { block, citation } => format!("cited {block} {}", citation.as_str()),
        Event::Close { block } => format!("close {block}"),
        Event::Usage(usage) => {
            let figures = [usage.input, usage.cached_read, usage.output, usage.reasoning];
            format!("usage {:?}", figures.map(|figure| figure.unwrap_or(0)))
        }
        Event::Tier(tier) => format!("tier {}", tier.raw()),
        Event::Stop(stop) => format!("stop {:?}{}", stop.reason, {
            stop.sequence.as_ref().map(|text| format!(" {}", text.raw())).unwrap_or_default()
        }),
        Event::End => "end".into(),
        Event::Ping => "ping".into(),
        Event::Error(fault) => format!("error {} {}", fault.kind, fault.code),
    }
}

fn stream(frames: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = AnswerReader::new(Maker::of("host"));
    for data in frames {
        let frame = Frame { kind: "", is_exception: false, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| lines.push(line(&event)));
    }
    reader.end(&mut |event| lines.push(line(&event)));
    lines
}

/// Deltas and a `finish_reason`, as chunks of one answer.
fn deltas(deltas: &[&str], finish: &str) -> Vec<String> {
    let mut frames: Vec<String> = deltas
        .iter()
        .map(|delta| format!(r#"{{"id":"a","choices":[{{"index":0,"delta":{delta}}}]}}"#))
        .collect();
    frames.push(format!(r#"{{"id":"a","choices":[{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}]}}"#));
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let mut lines = stream(&frames);
    assert_eq!(lines.remove(0), "start a -");
    lines
}

#[test]
fn text_comes_in_one_block_and_usage_before_the_stop() {
    let frames = [
        r#"{"id":"c1","model":"m","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"a\n"}}]}"#,
        "",
        r#"{"choices":[{"delta":{"content":"b"},"index":0,"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        "[DONE]",
        r#"{"choices":[{"index":0,"delta":{"content":"behind"}}]}"#,
        "[DONE]",
    ];
    assert_eq!(
        stream(&frames),
        [
            "start c1 m",
            "tier default",
            "open 0 Text",
            r"delta 0 a\n",
            "ping",
            "delta 0 b",
            "close 0",
            "usage [6, 4, 2, 0]",
            "stop EndTurn",
            "end"
        ]
    );
}

#[test]
fn a_host_need_not_say_that_it_is_done() {
    assert_eq!(
        deltas(&[r#"{"content":"a"}"#], "length"),
        ["open 0 Text", "delta 0 a", "close 0", "stop MaxTokens", "end"]
    );
    // But one that breaks off has not stopped.
    assert_eq!(
        stream(&[r#"{"id":"a","choices":[{"index":0,"delta":{"content":"a"}}]}"#]),
        ["start a -", "open 0 Text", "delta 0 a"]
    );
    // And one that is done has, whatever else it leaves out.
    assert_eq!(
        stream(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#, "[DONE]"]),
        ["start - -", "open 0 Text", "delta 0 a", "close 0", "stop EndTurn", "end"]
    );
}

#[test]
fn thinking_is_sealed_with_its_name() {
    let thought = |name: &str| {
        vec![
            "open 0 Thinking".to_owned(),
            "delta 0 hm".into(),
            format!("sealed 0 {name}"),
            "close 0".into(),
            "open 1 Text".into(),
            "delta 1 a".into(),
            "close 1".into(),
            "stop EndTurn".into(),
            "end".into(),
        ]
    };
    for (name, delta) in [
        ("reasoning_content", r#"{"content":null,"reasoning_content":"hm"}"#),
        ("reasoning", r#"{"reasoning":"hm","reasoning_details":[{"text":"hm"}]}"#),
        ("reasoning_content", r#"{"reasoning":"hm","reasoning_content":"hm"}"#),
        ("thinking", r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#),
    ] {
        assert_eq!(deltas(&[delta, r#"{"content":"a"}"#], "stop"), thought(name), "{delta}");
    }
}

#[test]
fn calls_one_behind_another_are_blocks_one_behind_another() {
    assert_eq!(
        deltas(
            &[
                r#"{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":\"}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"\"}"}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"y","function":{"name":"g","arguments":"{}"}}]}"#,
            ],
            "tool_calls"
        ),
        [
            "open 0 call x f",
            r#"delta 0 {\"a\":\"}"#,
            r#"delta 0 \"}"#,
            "close 0",
            "open 1 call y g",
            "delta 1 {}",
            "close 1",
            "stop ToolUse",
            "end"
        ]
    );
}

#[test]
fn calls_may_interleave() {
    assert_eq!(
        deltas(
            &[
                r#"{"tool_calls":[{"index":7,"id":"x","function":{"name":"f","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"index":18446744073709551615,"id":"y","function":{"name":"g","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"index":7,"function":{"arguments":"}"}},{"index":18446744073709551615,"function":{"arguments":"}"}}]}"#,
            ],
            "stop"
        ),
        [
            "open 0 call x f",
            "delta 0 {",
            "open 1 call y g",
            "delta 1 {",
            "delta 0 }",
            "delta 1 }",
            "close 0",
            "close 1",
            "stop ToolUse",
            "end"
        ]
    );
}

#[test]
fn hosts_count_calls_in_their_own_ways() {
    let two = |x: &str, y: &str| {
        vec![
            format!("open 0 call {x} f"),
            "delta 0 {}".into(),
            "close 0".into(),
            format!("open 1 call {y} g"),
            "delta 1 {}".into(),
            "close 1".into(),
            "stop ToolUse".into(),
            "end".into(),
        ]
    };
    // Every one number 0.
    let zero = [
        r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"y","function":{"name":"g","arguments":"{}"}}]}"#,
    ];
    assert_eq!(deltas(&zero, "tool_calls"), two("x", "y"));
    // No number; and all at once.
    let none = [concat!(
        r#"{"tool_calls":[{"id":"x","function":{"name":"f","arguments":{}}},"#,
        r#"{"id":"y","function":{"name":"g","arguments":"{}"}}]}"#
    )];
    assert_eq!(deltas(&none, "tool_calls"), two("x", "y"));
    // Neither number nor id.
    let bare = [
        r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}"#,
    ];
    assert_eq!(deltas(&bare, "stop"), two("call_0_a", "call_1_a"));
    // Id and name in every piece.
    let repeated = [
        r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"}"}}]}"#,
    ];
    assert_eq!(
        deltas(&repeated, "stop"),
        ["open 0 call x f", "delta 0 {", "delta 0 }", "close 0", "stop ToolUse", "end"]
    );
    // The older form, a free-form call, and what Google's Chat wants back.
    assert_eq!(
        deltas(&[r#"{"function_call":{"name":"f","arguments":"{}"}}"#], "function_call"),
        ["open 0 call call_0_a f", "delta 0 {}", "close 0", "stop ToolUse", "end"]
    );
    assert_eq!(
        deltas(&[r#"{"tool_calls":[{"index":0,"id":"x","custom":{"name":"f","input":"{"}}]}"#], "tool_calls"),
        ["open 0 call x f custom", "delta 0 {", "close 0", "stop ToolUse", "end"]
    );
    let signed =
        r#"{"tool_calls":[{"id":"x","extra_content":{"g":1},"function":{"name":"f","arguments":"{}"}}]}"#;
    assert_eq!(deltas(&[signed], "stop").first().unwrap(), r#"open 0 call x f own {"g":1}"#);
}

#[test]
fn refusals_citations_and_stops_are_told() {
    assert_eq!(
        deltas(&[r#"{"refusal":"no"}"#], "stop"),
        ["open 0 Refusal", "delta 0 no", "close 0", "stop Refusal", "end"]
    );
    assert_eq!(
        deltas(&[r#"{"annotations":[{"type":"url_citation"}],"content":"a"}"#], "content_filter"),
        ["open 0 Text", "delta 0 a", r#"cited 0 {"type":"url_citation"}"#, "close 0", "stop Refusal", "end"]
    );
    let stopped = r#"{"id":"a","choices":[{"delta":{},"finish_reason":"stop","stop_reason":"END"}]}"#;
    assert_eq!(stream(&[stopped]), ["start a -", "stop StopSequence END", "end"]);
    let by_token = r#"{"id":"a","choices":[{"delta":{},"finish_reason":"stop","stop_reason":128009}]}"#;
    assert_eq!(stream(&[by_token]), ["start a -", "stop EndTurn", "end"]);
    assert_eq!(deltas(&[], "abort"), ["stop Other", "end"]);
    assert_eq!(deltas(&[], "model_length"), ["stop ContextWindow", "end"]);
}

#[test]
fn usage_is_found_wherever_it_stands() {
    for chunk in [
        r#"{"id":"a","choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":4,"completion_tokens":1}}"#,
        r#"{"id":"a","choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":1}}]}"#,
        r#"{"id":"a","choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":1}}}"#,
    ] {
        assert_eq!(
            stream(&[chunk, "[DONE]"]),
            ["start a -", "usage [5, 4, 1, 0]", "stop EndTurn", "end"],
            "{chunk}"
        );
    }
}

#[test]
fn errors_are_last() {
    let begun = r#"{"id":"a","choices":[{"delta":{"content":"a"}}]}"#;
    for (bad, expected) in [
        (
            r#"{"error":{"type":"server_error","code":"overloaded","message":"m"}}"#,
            "error server_error overloaded",
        ),
        (r#"{"id":"a","choices":[{"delta":{},"finish_reason":"error","error":{"code":502}}]}"#, "error  502"),
        (r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#, "error server_error error"),
        (
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            "error BadRequestError 400",
        ),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}}]}"#,
            "error api_error ",
        ),
        (r#"{"choices":[{"delta":"#, "error api_error "),
    ] {
        let lines = stream(&[begun, bad, begun, "[DONE]"]);
        assert_eq!(lines, ["start a -", "open 0 Text", "delta 0 a", expected], "{bad}");
    }
    assert_eq!(stream(&["[DONE]"]), ["error api_error "]);
    let mut reader = AnswerReader::new(Maker::of("host"));
    let data = b"{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}";
    let mut lines = Vec::new();
    let frame = Frame { kind: "", is_exception: false, data };
    reader.frame(&frame, &mut |event| lines.push(line(&event)));
    assert_eq!(lines, ["error api_error "]);
}

#[test]
fn azures_first_chunk_is_no_start_and_other_choices_are_nobodys() {
    assert_eq!(
        stream(&[
            r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{}]}"#,
            r#"{"id":"a","model":"m","choices":[{"index":1,"delta":{"content":"x"}},{"delta":{"content":"a"},"index":0}]}"#,
        ]),
        ["start a m", "open 0 Text", "delta 0 a"]
    );
}

#[test]
fn more_calls_than_any_model_makes_are_an_error() {
    let frames: Vec<String> = (0..2_000)
        .map(|n| {
            format!(r#"{{"id":"a","choices":[{{"delta":{{"tool_calls":[{{"index":{n},"id":"c{n}","function":{{"name":"f"}}}}]}}}}]}}"#)
        })
        .collect();
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let lines = stream(&frames);
    assert_eq!(lines.last().map(String::as_str), Some("error api_error "));
    assert_eq!(lines.len(), 1 + 1_024 + 1);
}

fn whole(body: &str) -> Vec<String> {
    let mut lines = Vec::new();
    read_answer(body.as_bytes(), Maker::of("host"), &mut |event| lines.push(line(&event))).unwrap();
    lines
}

#[test]
fn a_whole_answer_shows_what_its_stream_would() {
    let message = concat!(
        r#"{"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}],"#,
        r#""content":"b","reasoning_content":"a","role":"assistant","refusal":null,"annotations":[]}"#
    );
    let usage =
        r#"{"prompt_tokens":3,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":1}}"#;
    let body = format!(
        r#"{{"id":"c","model":"m","usage":{usage},"choices":[{{"index":0,"message":{message},"finish_reason":"tool_calls"}}]}}"#
    );
    let expected = [
        "start c m",
        "open 0 Thinking",
        "delta 0 a",
        "sealed 0 reasoning_content",
        "close 0",
        "open 1 Text",
        "delta 1 b",
        "close 1",
        "open 2 call x f",
        r#"delta 2 {\"a\":1}"#,
        "close 2",
        "usage [3, 0, 2, 1]",
        "stop ToolUse",
        "end",
    ];
    assert_eq!(whole(&body), expected);
    let chunk = body.replace("\"message\"", "\"delta\"");
    assert_eq!(stream(&[&chunk]), expected);
    assert_eq!(whole(r#"{"error":{"type":"t","message":"m"}}"#), ["error t "]);
    let nothing = read_answer(b"{\"id\":\"x\"}", Maker::of("host"), &mut |_| {});
    assert_eq!(nothing.unwrap_err().field, "choices");
}

proptest! {
    #[test]
    fn any_bytes_are_events_or_an_error(frames in proptest::collection::vec(
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "\\{\"choices\":\\[\\{\"delta\":\\{\"(content|reasoning|tool_calls)\":[\\[\\]{}\",:a0]{0,20}".prop_map(String::into_bytes),
        ], 0..6)
    ) {
        let mut reader = AnswerReader::new(Maker::of("host"));
        let mut errors = 0;
        for data in &frames {
            let frame = Frame { kind: "", is_exception: false, data };
            reader.frame(&frame, &mut |event| errors += usize::from(matches!(event, Event::Error(_))));
        }
        reader.end(&mut |event| errors += usize::from(matches!(event, Event::Error(_))));
        prop_assert!(errors <= 1);
    }
}
