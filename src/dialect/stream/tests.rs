use proptest::prelude::*;

use super::*;
use crate::{
    dialect::signal::{DeltaKind, StopKind},
    types::ReportedUsage,
};

/// Signals as text, so that they outlive what they borrow.
fn noted(seen: &mut Vec<String>) -> impl FnMut(Signal<'_>) {
    |signal| {
        seen.push(match signal {
            Signal::Delta { kind, raw } => format!("{kind:?} {}", String::from_utf8_lossy(raw)),
            // Said beside everything else; they have a test of their own.
            Signal::Model(_) | Signal::Tier(_) => return,
            Signal::Started { .. }
            | Signal::Lifecycle
            | Signal::ToolCall { .. }
            | Signal::Usage(_)
            | Signal::Stop(_)
            | Signal::Terminal
            | Signal::Error(_) => format!("{signal:?}"),
        });
    }
}

/// Long enough for every event of these tests but those that are to be too long.
const SHORT: usize = 16 << 10;

/// A reader for which an event is too long sooner.
fn short(operation: Operation, hide: bool) -> StreamReader {
    let mut reader = StreamReader::new(operation, hide);
    reader.hold.most = SHORT;
    reader
}

/// Signals, bytes forwarded, completeness.
fn read(operation: Operation, hide: bool, chunks: &[&[u8]]) -> (Vec<String>, Vec<u8>, bool) {
    let mut reader = short(operation, hide);
    let (mut seen, mut forwarded) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let chunk = Bytes::copy_from_slice(chunk);
        match reader.push(&chunk, &mut noted(&mut seen)) {
            Passed::Whole => forwarded.extend_from_slice(&chunk),
            Passed::Pieces(pieces) => pieces.iter().for_each(|piece| forwarded.extend_from_slice(piece)),
        }
    }
    let end = reader.end(&mut noted(&mut seen));
    forwarded.extend_from_slice(&end.held);
    (seen, forwarded, end.complete)
}

const DELTA: &str =
    r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"hi \"é\""},"finish_reason":null}],"usage":null}"#;
const USAGE: &str = r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
const STOP: &str = r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn the_usage_chunk_is_hidden_and_nothing_else() {
    let stream = format!("data: {DELTA}\n\ndata: {STOP}\n\ndata: {USAGE}\n\ndata: [DONE]\n\n");
    let kept = format!("data: {DELTA}\n\ndata: {STOP}\n\ndata: [DONE]\n\n");
    let (seen, forwarded, complete) = read(Operation::ChatCompletions, true, &[stream.as_bytes()]);
    assert_eq!(String::from_utf8(forwarded).unwrap(), kept);
    assert!(complete && seen.iter().any(|signal| signal.starts_with("Usage")));
    let (_, forwarded, _) = read(Operation::ChatCompletions, false, &[stream.as_bytes()]);
    assert_eq!(forwarded, stream.as_bytes());
}

#[test]
fn a_chunk_that_ends_an_event_is_not_copied() {
    for hide in [false, true] {
        let mut reader = StreamReader::new(Operation::ChatCompletions, hide);
        let chunk = Bytes::from(format!("data: {DELTA}\n\n"));
        assert_eq!(reader.push(&chunk, &mut |_| {}), Passed::Whole);
        let half = chunk.slice(..20);
        assert_eq!(reader.push(&half, &mut |_| {}), Passed::Pieces(Vec::new()));
        assert!(reader.at_boundary());
    }
}

#[test]
fn only_whole_events_are_forwarded() {
    let stream = format!("data: {DELTA}\n\nevent: x\r\ndata: {STOP}\r\n\r\n: note\r\rdata: {DELTA}\n\n");
    let stream = stream.as_bytes();
    let ending = ["}\n\n", "}\r\n\r", "}\r\n\r\n", "note\r\r"];
    let ends: Vec<usize> = (1..=stream.len())
        .filter(|&end| ending.iter().any(|ending| stream[..end].ends_with(ending.as_bytes())))
        .collect();
    assert_eq!(ends.len(), 5);
    for hide in [false, true] {
        for cut in 1..stream.len() {
            let mut reader = StreamReader::new(Operation::ChatCompletions, hide);
            let head = Bytes::copy_from_slice(&stream[..cut]);
            let forwarded = match reader.push(&head, &mut |_| {}) {
                Passed::Whole => head.to_vec(),
                Passed::Pieces(pieces) => pieces.concat(),
            };
            let whole = ends.iter().rev().find(|&&end| end <= cut).copied().unwrap_or(0);
            assert_eq!(forwarded, &stream[..whole], "cut at {cut}");
            assert!(reader.at_boundary());
            assert_eq!(reader.end(&mut |_| {}).held, &stream[whole..cut], "cut at {cut}");
        }
    }
}

#[test]
fn what_is_too_long_to_be_held_goes_on_at_once() {
    for hide in [false, true] {
        let mut reader = short(Operation::ChatCompletions, hide);
        let chunk = Bytes::from(format!("data: {{\"x\":\"{}", "y".repeat(SHORT)));
        assert_eq!(reader.push(&chunk, &mut |_| {}), Passed::Whole);
        assert!(!reader.at_boundary());
        let rest = Bytes::from_static(b"\"}\n\n");
        assert_eq!(reader.push(&rest, &mut |_| {}), Passed::Whole);
        assert!(reader.at_boundary());
    }
}

#[test]
fn a_stream_is_complete_after_a_stop_reason_or_its_terminal_event_only() {
    let complete = |text: &str| read(Operation::ChatCompletions, true, &[text.as_bytes()]).2;
    assert!(!complete(""));
    assert!(!complete(&format!("data: {DELTA}\n\n")));
    assert!(complete(&format!("data: {DELTA}\n\ndata: {STOP}\n\n")));
    assert!(complete(&format!("data: {DELTA}\n\ndata: [DONE]")));
    let other = DELTA.replace(r#""index":0"#, r#""index":1"#);
    assert!(!complete(&format!("data: {other}\n\ndata: {STOP}\n\n")), "a choice has not stopped");
}

fn whole(operation: Operation, body: &str) -> Vec<String> {
    let mut seen = Vec::new();
    read_whole(operation, body.as_bytes(), &mut noted(&mut seen));
    seen
}

fn usage(input: u64, output: Option<u64>) -> String {
    format!("{:?}", Signal::Usage(ReportedUsage { input: Some(input), output, ..ReportedUsage::default() }))
}

#[test]
fn a_whole_answer_tells_what_a_stream_tells() {
    let started = |id: &str| format!("{:?}", Signal::Started { id: id.to_owned() });
    let called = |id: &str| format!("{:?}", Signal::ToolCall { id: id.to_owned() });
    let stopped = |stop: StopKind| format!("{:?}", Signal::Stop(stop));
    let text = |kind: DeltaKind, text: &str| format!("{kind:?} {text}");
    let terminal = "Terminal".to_owned();
    assert_eq!(
        whole(
            Operation::Messages,
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"hm"},
               {"type":"text","text":"a\nb"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"x":1}}],
               "stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4}}"#
        ),
        [
            started("msg_1"),
            text(DeltaKind::Thinking, "hm"),
            text(DeltaKind::Text, r"a\nb"),
            called("toolu_1"),
            text(DeltaKind::ToolArguments, r#"{"x":1}"#),
            usage(3, Some(4)),
            stopped(StopKind::ToolUse),
            terminal.clone(),
        ]
    );
    assert_eq!(
        whole(
            Operation::ChatCompletions,
            r#"{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":
               [{"id":"call_1","function":{"name":"f","arguments":"{\"x\":1}"}}]},"finish_reason":"tool_calls"}],
               "usage":{"prompt_tokens":3,"completion_tokens":4}}"#
        ),
        [
            started("c1"),
            text(DeltaKind::Text, "hi"),
            called("call_1"),
            text(DeltaKind::ToolArguments, r#"{\"x\":1}"#),
            stopped(StopKind::ToolUse),
            usage(3, Some(4)),
            terminal.clone(),
        ]
    );
    assert_eq!(
        whole(
            Operation::Responses,
            r#"{"id":"resp_1","status":"completed","error":null,"output":[
               {"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},
               {"type":"message","content":[{"type":"output_text","text":"hi"}]},
               {"type":"function_call","call_id":"call_1","arguments":"{}"}],
               "usage":{"input_tokens":3,"output_tokens":4}}"#
        ),
        [
            started("resp_1"),
            text(DeltaKind::Thinking, "hm"),
            text(DeltaKind::Text, "hi"),
            called("call_1"),
            text(DeltaKind::ToolArguments, "{}"),
            usage(3, Some(4)),
            stopped(StopKind::ToolUse),
            terminal.clone(),
        ]
    );
    assert_eq!(
        whole(
            Operation::Embeddings,
            r#"{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3}}"#
        ),
        [usage(3, None), terminal.clone()]
    );
    assert_eq!(
        whole(Operation::Completions, r#"{"choices":[{"text":"hi","index":0,"finish_reason":"length"}]}"#),
        [text(DeltaKind::Text, "hi"), stopped(StopKind::Length), terminal.clone()]
    );
    assert_eq!(whole(Operation::CountTokens, r#"{"input_tokens":9}"#), [terminal]);
}

#[test]
fn an_answer_that_breaks_off_or_fails_has_no_end() {
    for (operation, body) in [
        (Operation::Messages, r#"{"id":"msg_1","content":[{"type":"text","text":"a"#),
        (Operation::Messages, r#"{"type":"error","error":{"type":"api_error"}}"#),
        (Operation::ChatCompletions, r#"{"error":{"message":"m"}}"#),
        (Operation::Responses, r#"{"id":"resp_1","status":"queued"}"#),
        (Operation::Responses, r#"{"id":"resp_1","status":"failed","error":{"code":"server_error"}}"#),
        (Operation::ChatCompletions, "<html>"),
    ] {
        let seen = whole(operation, body);
        assert!(!seen.contains(&"Terminal".to_owned()), "{seen:?}");
        let failed = seen.iter().any(|signal| signal.starts_with("Error"));
        assert_eq!(failed, body.contains("error"), "{seen:?}");
    }
}

fn an_event() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        format!("data: {DELTA}"),
        format!("data:{STOP}"),
        format!("data: {USAGE}"),
        "data: [DONE]".to_owned(),
        ": comment".to_owned(),
        "event: ping\ndata: {\"type\": \"ping\"}".to_owned(),
        "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":1}}".to_owned(),
        "data: {\"error\":{\"message\":\"m\",\"code\":5}}".to_owned(),
        "data: not json".to_owned(),
        String::new(),
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}".to_owned(),
        "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"delta\":\"x\"}".to_owned(),
        format!("data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":1}},\"pad\":\"{}\"}}", "p".repeat(SHORT)),
    ])
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_it_tells_and_forwards_the_same(
        events in proptest::collection::vec(an_event(), 0..12),
        end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..24),
        hide in any::<bool>(),
        unterminated in any::<bool>(),
        operation in proptest::sample::select(vec![
            Operation::Messages, Operation::ChatCompletions, Operation::Responses]),
    ) {
        let mut text: String = events.iter().flat_map(|event| [event.as_str(), "\n\n"]).collect();
        if unterminated {
            text.truncate(text.trim_end().len());
        }
        let text = text.replace('\n', end);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let chunks: Vec<&[u8]> = places.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]).collect();
        let cut = read(operation, hide, &chunks);
        let uncut = read(operation, hide, &[text.as_bytes()]);
        prop_assert_eq!(&cut.0, &uncut.0);
        prop_assert_eq!(String::from_utf8_lossy(&cut.1), String::from_utf8_lossy(&uncut.1));
        prop_assert_eq!(cut.2, uncut.2);
        if !hide {
            prop_assert_eq!(cut.1, text.as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        for operation in [Operation::Messages, Operation::ChatCompletions, Operation::Responses] {
            for hide in [false, true] {
                read(operation, hide, &chunks);
            }
            for chunk in &chunks {
                read_whole(operation, chunk, &mut |_| {});
                let _fault = crate::dialect::read_fault(chunk);
            }
        }
    }
}

#[test]
fn who_served_and_on_which_tier_is_told_in_every_dialect() {
    let told = |operation, whole: &str, stream: &str| {
        for streamed in [false, true] {
            let mut told = Vec::new();
            let mut see = |signal: Signal<'_>| match signal {
                Signal::Model(name) => told.push(format!("model {name}")),
                Signal::Tier(name) => told.push(format!("tier {name}")),
                Signal::Started { .. }
                | Signal::Lifecycle
                | Signal::Delta { .. }
                | Signal::ToolCall { .. }
                | Signal::Usage(_)
                | Signal::Stop(_)
                | Signal::Terminal
                | Signal::Error(_) => {}
            };
            if streamed {
                let mut reader = StreamReader::new(operation, false);
                reader.push(&Bytes::copy_from_slice(stream.as_bytes()), &mut see);
                let _ = reader.end(&mut see);
            } else {
                read_whole(operation, whole.as_bytes(), &mut see);
            }
            assert!(told.iter().filter(|one| *one == "model m-1").count() == 1, "{operation:?} {told:?}");
            assert_eq!(told.last().map(String::as_str), Some("tier priority"), "{operation:?} {told:?}");
        }
    };
    told(
        Operation::Messages,
        r#"{"type":"message","id":"msg_1","model":"m-1","content":[],"stop_reason":"end_turn","usage":{"output_tokens":1,"service_tier":"priority"}}"#,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m-1\",\"usage\":{\"input_tokens\":3,\"service_tier\":\"priority\"}}}\n\n",
    );
    told(
        Operation::ChatCompletions,
        r#"{"id":"c1","model":"m-1","service_tier":"priority","choices":[],"usage":null}"#,
        "data: {\"id\":\"c1\",\"model\":\"m-1\",\"service_tier\":null,\"choices\":[]}\n\ndata: {\"id\":\"c1\",\"model\":\"m-1\",\"service_tier\":\"priority\",\"choices\":[]}\n\n",
    );
    told(
        Operation::Responses,
        r#"{"id":"resp_1","model":"m-1","status":"completed","service_tier":"priority","output":[]}"#,
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"m-1\",\"service_tier\":\"auto\"}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"model\":\"m-1\",\"service_tier\":\"priority\"}}\n\n",
    );
}
