use proptest::prelude::*;

use super::*;
use crate::dialect::{
    gemini::JsonArray,
    neutral::{Collector, split_tool_id, with_carrier},
    sse::Splitter,
};

/// The events of a stream of these chunks, each as a short line.
fn shown(chunks: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = AnswerReader::new(Maker::of("google"));
    for chunk in chunks {
        let frame = Frame { kind: "", is_exception: false, data: chunk.as_bytes() };
        reader.frame(&frame, &mut |event| lines.push(line(&event)));
    }
    reader.end(&mut |event| lines.push(line(&event)));
    lines
}

fn line(event: &Event<'_>) -> String {
    match event {
        Event::Start { id, model } => {
            let word = |word: &Option<Escaped<'_>>| word.as_ref().map_or("-", Escaped::raw).to_owned();
            format!("start {} {}", word(id), word(model))
        }
        Event::Open { block, kind } => match kind {
            BlockKind::Text => format!("{block} text"),
            BlockKind::Thinking => format!("{block} thinking"),
            BlockKind::Refusal => format!("{block} refusal"),
            BlockKind::ToolCall { id, name, carrier, .. } => {
                let seal = carrier.as_ref().map_or("-", |carrier| carrier.seal.data.as_str());
                format!("{block} call {} {} {seal}", id.raw(), name.raw())
            }
        },
        Event::Delta { block, text } => format!("{block} + {}", text.raw()),
        Event::Sealed { block, carrier } => format!("{block} sealed {}", carrier.seal.data),
        Event::Citation { block, citation } => format!("{block} cites {}", citation.as_str()),
        Event::Close { block } => format!("{block} ."),
        Event::Usage(usage) => format!(
            "usage {:?} {:?} {:?} {:?}",
            usage.input, usage.cached_read, usage.output, usage.reasoning
        ),
        Event::Tier(tier) => format!("tier {}", tier.raw()),
        Event::Stop(stop) => format!("stop {:?}", stop.reason),
        Event::End => "end".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::Error(fault) => format!("error {} {} {}", fault.kind, fault.code, fault.message),
    }
}

fn chunk(parts: &str, rest: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}}{rest}}}],"responseId":"r1"}}"#
    )
}

const STOP: &str = r#","finishReason":"STOP""#;

#[test]
fn text_comes_in_one_block_and_ends_with_the_stream() {
    let first = r#"{"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":30,"cachedContentTokenCount":10},"modelVersion":"gemini-3.8-flash","responseId":"r1"}"#;
    let last = r#"{"candidates":[{"content":{"parts":[{"text":"lo\n"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":30,"candidatesTokenCount":5,"thoughtsTokenCount":7,"toolUsePromptTokenCount":2,"totalTokenCount":44,"trafficType":"ON_DEMAND_FLEX"}}"#;
    assert_eq!(
        shown(&[first, last]),
        [
            "start r1 gemini-3.8-flash",
            "usage Some(20) Some(10) None None",
            "0 text",
            "0 + Hel",
            "usage Some(32) Some(0) Some(12) Some(7)",
            "tier flex",
            r"0 + lo\n",
            "0 .",
            "stop EndTurn",
            "end"
        ]
    );
}

#[test]
fn thoughts_calls_and_signatures_are_blocks_of_their_own() {
    let parts = r#"{"text":"hm","thought":true},{"text":"ah","thought":true,"thoughtSignature":"dGg="},{"functionCall":{"name":"read","args":{"p":"a\"b"},"id":"fc-1"},"thoughtSignature":"c2ln"},{"functionCall":{"name":"list","id":"fc-2"}},{"text":"done","thoughtSignature":"eA=="}"#;
    assert_eq!(
        shown(&[&chunk(parts, STOP)]),
        [
            "start r1 -",
            "0 thinking",
            "0 + hm",
            "0 + ah",
            "0 sealed dGg=",
            "0 .",
            "1 call fc-1 read c2ln",
            r#"1 + {\"p\":\"a\\\"b\"}"#,
            "1 .",
            "2 call fc-2 list -",
            "2 + {}",
            "2 .",
            "3 text",
            "3 + done",
            "3 .",
            "stop ToolUse",
            "end"
        ]
    );
}

fn made_up_ids(response: &str, parts: &str) -> Vec<String> {
    let chunk = format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}}}}],{response}}}"#);
    let lines = shown(&[&chunk]);
    lines
        .iter()
        .filter_map(|line| line.split(" call ").nth(1)?.split(' ').next().map(str::to_owned))
        .collect()
}

#[test]
fn calls_without_ids_get_stable_ones_that_differ() {
    let same = r#"{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"f","args":{}}}"#;
    let ids = made_up_ids(r#""responseId":"r1""#, same);
    assert_eq!(ids, made_up_ids(r#""responseId":"r1""#, same));
    assert_ne!(ids[0], ids[1]);
    assert!(ids[0].starts_with("call_1_") && ids[0].len() == 23, "{ids:?}");
    assert_ne!(ids, made_up_ids(r#""responseId":"r2""#, same), "another turn");
    let grown = |prompt| made_up_ids(&format!(r#""usageMetadata":{{"promptTokenCount":{prompt}}}"#), same);
    assert_ne!(grown(10), grown(20), "another turn of a host that says no id");
    let odd = made_up_ids(r#""responseId":"r1""#, r#"{"functionCall":{"name":"f","id":"a b/ü"}}"#);
    assert!(odd[0].starts_with("call_1_"), "{odd:?}");
}

#[test]
fn every_finish_reason_means_something() {
    for (reason, expected) in [
        ("STOP", "stop EndTurn"),
        ("MAX_TOKENS", "stop MaxTokens"),
        ("CONTINUATION", "stop MaxTokens"),
        ("SAFETY", "stop Refusal"),
        ("RECITATION", "stop Refusal"),
        ("PROHIBITED_CONTENT", "stop Refusal"),
        ("OTHER", "stop Other"),
        ("TOO_MANY_TOOL_CALLS", "stop Other"),
        ("SOMETHING_NEW", "stop Other"),
        (
            "MALFORMED_FUNCTION_CALL",
            "error api_error malformed_function_call The model's answer ended with MALFORMED_FUNCTION_CALL.",
        ),
    ] {
        let lines = shown(&[&chunk("", &format!(r#","finishReason":"{reason}""#))]);
        assert_eq!(lines[1], expected, "{reason}");
    }
    let said = shown(&[&chunk("", r#","finishReason":"MISSING_THOUGHT_SIGNATURE","finishMessage":"so""#)]);
    assert_eq!(said[1], "error invalid_request_error missing_thought_signature so");
}

#[test]
fn a_blocked_prompt_is_a_refusal_in_words() {
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4},"modelVersion":"m"}"#;
    assert_eq!(
        shown(&[blocked]),
        [
            "start - m",
            "usage Some(4) Some(0) None None",
            "0 refusal",
            "0 + The prompt was blocked (PROHIBITED_CONTENT).",
            "0 .",
            "stop Refusal",
            "end"
        ]
    );
}

#[test]
fn sources_are_cited_while_the_text_is_open() {
    let rest =
        r#","groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"x":1},"finishReason":"STOP""#;
    let lines = shown(&[&chunk(r#"{"text":"a"}"#, rest)]);
    assert_eq!(lines[3..5], [r#"0 cites {"web":{"uri":"u"}}"#, "0 ."]);
}

#[test]
fn errors_end_it() {
    let error =
        r#"{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}"#;
    let lines = shown(&[&chunk(r#"{"text":"a"}"#, ""), error, &chunk(r#"{"text":"b"}"#, STOP)]);
    assert_eq!(lines[3..], ["error rate_limit_error RESOURCE_EXHAUSTED Resource has been exhausted"]);
    let picture = chunk(r#"{"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"text":"b"}"#, STOP);
    let lines = shown(&[&picture]);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("error invalid_request_error unsupported_output"), "{lines:?}");
    for bad in ["{", "[]", "nonsense", r#"{"candidates":[{"content":{"parts":[{"text":1"#] {
        let lines = shown(&[bad, &chunk(r#"{"text":"a"}"#, STOP)]);
        assert!(
            lines[0].starts_with("error api_error malformed_event") && lines.len() == 1,
            "{bad}: {lines:?}"
        );
    }
    let mut errors = 0;
    let frame = Frame { kind: "", is_exception: false, data: b"{\"responseId\":\"\xff\"}" };
    AnswerReader::new(Maker::of("x")).frame(&frame, &mut |event| {
        errors += u32::from(matches!(event, Event::Error(_)));
    });
    assert_eq!(errors, 1, "what is no UTF-8 is an error");
}

#[test]
fn a_stream_that_breaks_off_is_not_complete() {
    let lines = shown(&[&chunk(r#"{"text":"a"}"#, "")]);
    assert_eq!(lines.last().unwrap(), "0 + a");
}

#[test]
fn a_whole_answer_is_read_as_a_stream_of_it() {
    let body = chunk(r#"{"functionCall":{"name":"f","args":{"a":[1]}},"thoughtSignature":"c2ln"}"#, STOP);
    let mut collector = Collector::default();
    read_answer(body.as_bytes(), Maker::of("google"), &mut |event| collector.event(event)).unwrap();
    let answer = collector.finish();
    assert!(answer.complete);
    assert_eq!(answer.blocks[0].arguments().unwrap().as_str(), r#"{"a":[1]}"#);
    let BlockKind::ToolCall { id, carrier: Some(carrier), .. } = &answer.blocks[0].kind else { panic!() };
    let (own, found) = split_tool_id(with_carrier(id, carrier));
    assert_eq!((&own, found.as_ref()), (id, Some(carrier)));
    assert!(read_answer(b"{", Maker::of("google"), &mut |_| {}).is_err());
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/translate/gemini/replayed");

/// The events of a recorded stream that comes in two chunks.
fn replayed(stream: &[u8], is_array: bool, cut: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = AnswerReader::new(Maker::of("google"));
    let (a, b) = stream.split_at(cut);
    let mut frame = |data: &[u8]| {
        let frame = Frame { kind: "", is_exception: false, data };
        reader.frame(&frame, &mut |event| lines.push(line(&event)));
    };
    if is_array {
        let mut array = JsonArray::default();
        array.push(a, &mut |element| frame(element.data)).unwrap();
        array.push(b, &mut |element| frame(element.data)).unwrap();
        array.finish().unwrap();
    } else {
        let mut splitter = Splitter::default();
        splitter.push(a, |event| frame(event.data));
        splitter.push(b, |event| frame(event.data));
        splitter.finish(|event| frame(event.data));
    }
    reader.end(&mut |event| lines.push(line(&event)));
    lines
}

#[test]
fn recorded_streams_say_the_same_however_they_are_cut() {
    let mut arrays = 0;
    for entry in std::fs::read_dir(format!("{GOLDEN}/stream")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let (stream, is_array) = (std::fs::read(&path).unwrap(), name.ends_with(".array.json"));
        let whole = replayed(&stream, is_array, 0);
        let last = whole.last().unwrap();
        assert!(last == "end" || last.starts_with("error "), "{name}: {last}");
        // Every cut of a long one would take its time.
        for cut in (0..stream.len()).step_by(stream.len() / 200 + 1) {
            assert_eq!(replayed(&stream, is_array, cut), whole, "{name} cut at {cut}");
        }
        if let Some(twin) = name.strip_suffix(".array.json") {
            arrays += 1;
            // Arguments stay as they stand, white space and all: only how much is said can be compared.
            let twin = std::fs::read(format!("{twin}.txt")).unwrap();
            assert_eq!(replayed(&twin, false, 0).len(), whole.len(), "{name}");
        }
    }
    assert_eq!(arrays, 3, "the recordings are there");
}

#[test]
fn recorded_answers_are_read_whole() {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("{GOLDEN}/whole")).unwrap() {
        let path = entry.unwrap().path();
        let mut collector = Collector::default();
        let body = std::fs::read(&path).unwrap();
        read_answer(&body, Maker::of("google"), &mut |event| collector.event(event)).unwrap();
        let answer = collector.finish();
        assert!(answer.complete && answer.error.is_none() && !answer.blocks.is_empty(), "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 6);
}

proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..400,
    ) {
        let whole = chunk(r#"{"text":"a","thought":true},{"functionCall":{"name":"f","args":{}}}"#, STOP);
        let mut reader = AnswerReader::new(Maker::of("google"));
        for data in [bytes.as_slice(), whole.get(..cut).unwrap_or(&whole).as_bytes()] {
            reader.frame(&Frame { kind: "", is_exception: false, data }, &mut |_| {});
        }
        reader.end(&mut |_| {});
    }
}
