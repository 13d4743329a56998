use proptest::prelude::*;

use super::{super::frames::tests::event, *};
use crate::dialect::{
    bedrock::EventStream,
    neutral::{Event, Maker},
    translate::Frame,
};

/// An event in few words.
fn short(event: &Event<'_>) -> String {
    match event {
        Event::Start { .. } => "start".to_owned(),
        Event::Open { block, kind } => {
            let kind = format!("{kind:?}");
            format!("open {block} {}", kind.replace("Escaped", "").replace('"', ""))
        }
        Event::Delta { block, text } => format!("{block}: {}", text.raw()),
        Event::Sealed { block, carrier } => {
            format!("sealed {block} {}{}", carrier.seal.id, carrier.seal.data)
        }
        Event::Citation { block, citation } => format!("cites {block} {}", citation.as_str()),
        Event::Close { block } => format!("close {block}"),
        Event::Usage(usage) => format!("usage {:?}", usage.settled().by_kind().map(|(_, n)| n)),
        Event::Tier(tier) => format!("tier {}", tier.raw()),
        Event::Stop(stop) => format!("stop {:?} {:?}", stop.reason, stop.sequence.as_ref().map(|s| s.raw())),
        Event::End => "end".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::Error(fault) => format!("error {} {}", fault.kind, fault.message),
    }
}

fn streamed(events: &[(&str, &str)]) -> Vec<String> {
    let mut reader = AnswerReader::new(Maker::of("aws"));
    let mut seen = Vec::new();
    for (kind, data) in events {
        let kind = kind.strip_prefix('!').map_or((*kind, false), |kind| (kind, true));
        let frame = Frame { kind: kind.0, is_exception: kind.1, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| seen.push(short(&event)));
    }
    reader.end(&mut |event| seen.push(short(&event)));
    seen
}

fn whole(body: &str) -> Vec<String> {
    let mut seen = Vec::new();
    read_answer(body.as_bytes(), Maker::of("aws"), &mut |event| seen.push(short(&event))).unwrap();
    seen
}

const STREAM: [(&str, &str); 17] = [
    ("messageStart", r#"{"p":"abc","role":"assistant"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}},"p":"x"}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"Sig="}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
    (
        "contentBlockDelta",
        r#"{"delta":{"reasoningContent":{"redactedContent":"AAEC"}},"contentBlockIndex":1}"#,
    ),
    ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"Hi "}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"\u00fc"}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"citation":{"title":"t"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
    (
        "contentBlockStart",
        r#"{"contentBlockIndex":3,"start":{"toolUse":{"name":"read","toolUseId":"tooluse_1"}}}"#,
    ),
    ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"a\":"}}}"#),
    ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"1}"}}}"#),
    ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
    ("newEvent", r#"{"x":1}"#),
    ("messageStop", r#"{"stopReason":"tool_use"}"#),
    (
        "metadata",
        r#"{"metrics":{"latencyMs":9},"serviceTier":{"type":"flex"},"usage":{"inputTokens":5,"outputTokens":7,
        "totalTokens":42,"cacheReadInputTokens":10,"cacheWriteInputTokens":20,
        "cacheDetails":[{"ttl":"1h","inputTokens":12},{"ttl":"5m","inputTokens":8}]}}"#,
    ),
];

const SHOWN: [&str; 20] = [
    "start",
    "open 0 Thinking",
    "0: Hm",
    "sealed 0 Sig=",
    "close 0",
    "open 1 Thinking",
    "sealed 1 redacted_thinkingAAEC",
    "close 1",
    "open 2 Text",
    "2: Hi ",
    r"2: \u00fc",
    r#"cites 2 {"title":"t"}"#,
    "close 2",
    "open 3 ToolCall { id: (tooluse_1), name: (read), carrier: None, custom: false }",
    r#"3: {\"a\":"#,
    "3: 1}",
    "close 3",
    "usage [5, 10, 8, 12, 7, 0]",
    "tier flex",
    "stop ToolUse None",
];

#[test]
fn a_stream_is_read() {
    let seen = streamed(&STREAM);
    assert_eq!(seen[..20], SHOWN);
    assert_eq!(seen[20..], ["end"]);
}

#[test]
fn a_whole_answer_shows_the_same() {
    let seen = whole(
        r#"{"metrics":{"latencyMs":9},"output":{"message":{"content":[
            {"reasoningContent":{"reasoningText":{"signature":"Sig=","text":"Hm"}}},
            {"reasoningContent":{"redactedContent":"AAEC"}},
            {"citationsContent":{"citations":[{"title":"t"}],"content":[{"text":"Hi "},{"text":"\u00fc"}]}},
            {"toolUse":{"input":{"a":1},"name":"read","toolUseId":"tooluse_1"}}],"role":"assistant"}},
        "serviceTier":{"type":"flex"},"stopReason":"tool_use","usage":{"cacheDetails":[{"inputTokens":12,"ttl":"1h"}],
        "cacheReadInputTokens":10,"cacheWriteInputTokens":20,"inputTokens":5,"outputTokens":7,"totalTokens":42}}"#,
    );
    let mut expected: Vec<String> = SHOWN.iter().map(ToString::to_string).collect();
    expected.splice(14..16, [r#"3: {\"a\":1}"#.to_owned()]);
    expected.push("end".to_owned());
    assert_eq!(seen, expected);
}

#[test]
fn reasons_are_told_apart() {
    for (word, extra, expected) in [
        ("end_turn", "", "stop EndTurn None"),
        ("max_tokens", "", "stop MaxTokens None"),
        ("model_context_window_exceeded", "", "stop ContextWindow None"),
        (
            "stop_sequence",
            r#","additionalModelResponseFields":{"stop_sequence":"END"}"#,
            r#"stop StopSequence Some("END")"#,
        ),
        (
            "stop_sequence",
            r#","additionalModelResponseFields":{"delta":{"stop_sequence":"END"}}"#,
            r#"stop StopSequence Some("END")"#,
        ),
        ("guardrail_intervened", "", "stop Refusal None"),
        ("content_filtered", "", "stop Refusal None"),
        ("malformed_tool_use", "", "stop Other None"),
    ] {
        let data = format!(r#"{{"stopReason":"{word}"{extra}}}"#);
        // Without `metadata`, the clean end is the end.
        assert_eq!(streamed(&[("messageStop", &data)]), ["start", expected, "end"], "{data}");
        let late = streamed(&[
            ("metadata", r#"{"usage":{"inputTokens":1}}"#),
            ("messageStop", &data),
            ("messageStop", "{}"),
        ]);
        assert_eq!(late, ["start", "usage [1, 0, 0, 0, 0, 0]", expected, "end"]);
    }
}

#[test]
fn an_exception_is_the_last_word() {
    let seen = streamed(&[
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
        ("!throttlingException", r#"{"message":"slow down"}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]);
    assert_eq!(seen, ["start", "open 0 Text", "0: a", "error rate_limit_error slow down"]);
    assert_eq!(whole(r#"{"message":"no"}"#), ["error api_error no"]);
}

#[test]
fn what_cannot_be_said_is_an_error_and_not_left_out() {
    for (kind, data) in [
        ("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"image":{"format":"png"}}}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"x","toolUseId":"y","type":"server_tool_use"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"AA"}}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":-1,"delta":{"text":"a"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"!"}}}"#,
        ),
    ] {
        let seen = streamed(&[(kind, data)]);
        assert!(seen.last().is_some_and(|last| last.starts_with("error api_error")), "{data}: {seen:?}");
    }
    let seen =
        whole(r#"{"output":{"message":{"content":[{"text":"a"},{"image":{}}]}},"stopReason":"end_turn"}"#);
    assert!(seen.last().is_some_and(|last| last.starts_with("error api_error")), "{seen:?}");
}

#[test]
fn a_hostile_provider_costs_little() {
    let mut reader = AnswerReader::new(Maker::of("aws"));
    let mut errors = 0;
    for n in 0..10_000_u64 {
        let data = format!(r#"{{"contentBlockIndex":{},"delta":{{"text":"a"}}}}"#, u64::MAX - n);
        let frame = Frame { kind: "contentBlockDelta", is_exception: false, data: data.as_bytes() };
        reader.frame(&frame, &mut |event| errors += usize::from(matches!(event, Event::Error(_))));
    }
    assert_eq!(errors, 1);
}

#[test]
fn any_chunking_shows_the_same() {
    let bytes: Vec<u8> = STREAM.iter().flat_map(|(kind, data)| event(kind, data)).collect();
    let read = |chunks: &[&[u8]]| {
        let (mut frames, mut reader) = (EventStream::default(), AnswerReader::new(Maker::of("aws")));
        let mut seen = Vec::new();
        for chunk in chunks {
            frames
                .push(chunk, &mut |frame| reader.frame(&frame, &mut |event| seen.push(short(&event))))
                .unwrap();
        }
        seen
    };
    let expected = read(&[&bytes]);
    assert_eq!(expected.len(), 21);
    for at in 0..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(read(&[head, tail]), expected);
    }
}

proptest! {
    #[test]
    fn arbitrary_events_never_panic(kind in 0..STREAM.len(), at in 0_usize..200, byte: u8) {
        let (kind, data) = STREAM[kind];
        let mut data = data.as_bytes().to_vec();
        let at = at % data.len();
        data[at] = byte;
        let mut reader = AnswerReader::new(Maker::of("aws"));
        reader.frame(&Frame { kind, is_exception: false, data: &data }, &mut |_| {});
        let _read = read_answer(&data, Maker::of("aws"), &mut |_| {});
    }
}
