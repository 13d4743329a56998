use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    dialect::{
        neutral::{Carrier, Collector, Maker, Seal, Stop, split_tool_id},
        signal::UpstreamFault,
        translate::{Framing, StreamTranslator, translate_answer},
    },
    types::{Dialect, ProviderDialect},
};

fn asked() -> Asked {
    Asked {
        origin: Dialect::Anthropic,
        stream: true,
        include_usage: false,
        model: "gpt-5".into(),
        id: "abc".into(),
        created: 0,
        echo: Vec::new(),
    }
}

/// The data of the events of a stream, each checked to be named like its type.
fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"));
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"].as_str().unwrap());
            data
        })
        .collect()
}

fn write(shown: &[Event<'_>]) -> Vec<Value> {
    let (mut writer, mut out) = (AnswerWriter::new(asked()), Vec::new());
    for event in shown {
        writer.event(event, &mut out);
    }
    events(&out)
}

/// The same answer, not streamed.
fn whole(shown: &[Event<'_>]) -> Value {
    let mut collector = Collector::default();
    shown.iter().for_each(|event| collector.event(event.clone()));
    serde_json::from_slice(&write_answer(&collector.finish(), &asked())).unwrap()
}

/// Puts a stream together as the official SDK does (anthropic 2.12.0, `lib/streaming/_messages.py`).
fn accumulate(stream: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut arguments: Vec<String> = Vec::new();
    for event in stream {
        let index = usize::try_from(event["index"].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), index, "{stream:?}");
                content.push(event["content_block"].clone());
                arguments.push(String::new());
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                let delta = &event["delta"];
                let add = |block: &mut Value, to: &str, from: &str| {
                    let text = format!("{}{}", block[to].as_str().unwrap(), delta[from].as_str().unwrap());
                    block[to] = text.into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add(block, "text", "text"),
                    "thinking_delta" => add(block, "thinking", "thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => arguments[index] += delta["partial_json"].as_str().unwrap(),
                    "citations_delta" => block["citations"] = json!([delta["citation"]]),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                if !arguments[index].is_empty() {
                    message["content"][index]["input"] = serde_json::from_str(&arguments[index]).unwrap();
                }
            }
            "message_delta" => {
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                for (key, value) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" | "ping" => {}
            other => panic!("{other}"),
        }
    }
    message
}

fn plain(text: &'static str) -> Escaped<'static> {
    Escaped::plain(text)
}

fn carrier() -> Carrier {
    let seal =
        Seal { dialect: ProviderDialect::Gemini, id: String::new(), text: String::new(), data: "s".into() };
    Carrier { maker: Maker::of("google"), seal }
}

fn tool(block: u32, id: &'static str, carrier: Option<Carrier>, custom: bool) -> Event<'static> {
    Event::Open { block, kind: BlockKind::ToolCall { id: plain(id), name: plain("f"), carrier, custom } }
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop(Stop { reason, sequence: None })
}

const fn delta(block: u32, text: &'static str) -> Event<'static> {
    Event::Delta { block, text: Escaped::plain(text) }
}

fn start() -> Event<'static> {
    Event::Start { id: None, model: None }
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let citation = Json::written("{\"type\":\n\"char_location\",\"cited_text\":\"x\"}");
    let usage = ReportedUsage {
        input: Some(5),
        cached_read: Some(7),
        write_5m: Some(1),
        output: Some(9),
        reasoning: Some(2),
        ..ReportedUsage::default()
    };
    let shown = [
        start(),
        Event::Open { block: 0, kind: BlockKind::Thinking },
        delta(0, r"h\nm"),
        Event::Sealed { block: 0, carrier: carrier() },
        Event::Close { block: 0 },
        Event::Open { block: 1, kind: BlockKind::Thinking },
        Event::Sealed { block: 1, carrier: carrier() },
        Event::Close { block: 1 },
        // Never filled: it never was.
        Event::Open { block: 2, kind: BlockKind::Text },
        Event::Close { block: 2 },
        Event::Open { block: 3, kind: BlockKind::Text },
        delta(3, "so"),
        Event::Citation { block: 3, citation },
        Event::Citation { block: 3, citation: Json::written(r#"{"type":"url_citation"}"#) },
        Event::Close { block: 3 },
        // Two calls, written by turns.
        tool(4, "call_1", Some(carrier()), false),
        tool(5, "call_2", None, false),
        delta(4, r#"{\"a\":"#),
        delta(5, r#"{\"b\":[]}"#),
        delta(4, "1}"),
        Event::Close { block: 4 },
        Event::Close { block: 5 },
        tool(6, "call_3", None, true),
        delta(6, r#"say \"hi\"\n"#),
        Event::Close { block: 6 },
        stop(StopReason::EndTurn),
        Event::Usage(usage),
        Event::End,
    ];
    let streamed = accumulate(&write(&shown));
    let mut answer = whole(&shown);
    assert_eq!(streamed["stop_reason"], "tool_use");
    assert_eq!(streamed["content"][5]["input"], json!({"input": "say \"hi\"\n"}));
    let id = streamed["content"][3]["id"].as_str().unwrap();
    assert_eq!(split_tool_id(Escaped::plain(id)).1, Some(carrier()));
    assert_eq!(streamed["content"][1]["type"], "redacted_thinking");
    // The last event of a stream has no place for the split of what was written.
    answer["usage"]["cache_creation"] = streamed["usage"]["cache_creation"].clone();
    assert_eq!(streamed, answer);
    assert_eq!(streamed["usage"]["cache_creation_input_tokens"], 1);
    assert_eq!((&streamed["id"], &streamed["model"]), (&json!("msg_abc"), &json!("gpt-5")));
}

#[test]
fn the_start_waits_for_the_figures_of_its_own_event_and_no_longer() {
    let (mut writer, mut out) = (AnswerWriter::new(asked()), Vec::new());
    writer.event(&start(), &mut out);
    writer.event(&Event::Usage(ReportedUsage { input: Some(3), ..ReportedUsage::default() }), &mut out);
    writer.event(&Event::Tier(plain("standard")), &mut out);
    assert!(out.is_empty());
    writer.settle(&mut out);
    let usage = &events(&out)[0]["message"]["usage"];
    assert_eq!((&usage["input_tokens"], &usage["service_tier"]), (&json!(3), &json!("standard")));
}

#[test]
fn reasons_are_said_in_anthropics_words() {
    let check = |events: &[Event<'_>], expected: &str| {
        let shown: Vec<_> =
            std::iter::once(start()).chain(events.iter().cloned()).chain([Event::End]).collect();
        assert_eq!(accumulate(&write(&shown))["stop_reason"], expected, "{events:?}");
        assert_eq!(whole(&shown)["stop_reason"], expected, "{events:?}");
    };
    check(&[], "end_turn");
    check(&[stop(StopReason::ToolUse)], "end_turn");
    check(&[tool(0, "a", None, false), stop(StopReason::EndTurn)], "tool_use");
    check(&[tool(0, "a", None, false), stop(StopReason::MaxTokens)], "max_tokens");
    let refusal = Event::Open { block: 0, kind: BlockKind::Refusal };
    check(&[refusal, delta(0, "no"), stop(StopReason::EndTurn)], "refusal");
    check(&[stop(StopReason::ContextWindow)], "model_context_window_exceeded");
    check(&[stop(StopReason::Pause)], "pause_turn");
    check(&[stop(StopReason::StopSequence)], "stop_sequence");
}

#[test]
fn an_error_is_the_last_event() {
    let fault = UpstreamFault {
        kind: "server_error".into(),
        message: "it\nbroke".into(),
        ..UpstreamFault::default()
    };
    let shown = write(&[start(), delta(9, "nowhere"), Event::Error(fault), Event::Ping, Event::End]);
    let last = shown.last().unwrap();
    assert_eq!(last["error"], json!({"type": "api_error", "message": "it\nbroke"}));
    assert_eq!(shown.len(), 2);
}

/// A stream of the provider's own, as it comes to a client of its own dialect.
fn translate(stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let maker = Maker::of("anthropic");
    let mut translator = StreamTranslator::new(ProviderDialect::Anthropic, maker, Framing::Sse, asked());
    let (mut out, mut from) = (Vec::new(), 0);
    for cut in cuts.iter().copied().chain([stream.len()]) {
        let cut = cut.clamp(from, stream.len());
        out.extend_from_slice(&translator.push(&stream[from..cut], &mut |_| {}));
        from = cut;
    }
    let end = translator.end(&mut |_| {});
    out.extend_from_slice(&end.held);
    out
}

#[test]
fn every_fixture_is_translated_into_whole_events() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/translate/anthropic/stream");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let out = translate(&std::fs::read(&path).unwrap(), &[]);
        let last = events(&out).pop().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let kind = match name {
            "truncated" => "content_block_delta",
            name if name.starts_with("error") => "error",
            _ => "message_stop",
        };
        assert_eq!(last["type"], kind, "{name}");
    }
}

const STREAM: &str =
    include_str!("../../../../tests/golden/translate/anthropic/stream/thinking-and-tools.txt");

#[test]
fn a_stream_of_anthropics_own_keeps_its_meaning() {
    let mut translated = accumulate(&events(&translate(STREAM.as_bytes(), &[])));
    let mut expected = accumulate(&events(STREAM.as_bytes()));
    for message in [&mut translated, &mut expected] {
        for block in message["content"].as_array_mut().unwrap() {
            if let Some(sealed) = ["signature", "data"].into_iter().find(|name| block.get(name).is_some()) {
                let packed = block[sealed].take();
                let packed = packed.as_str().unwrap();
                let unpacked = Carrier::unpack(packed).map_or(packed.to_owned(), |carrier| carrier.seal.data);
                block[sealed] = unpacked.into();
            }
        }
        let figures = message["usage"].as_object_mut().unwrap();
        figures.retain(|name, _| name.ends_with("tokens"));
        message.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    assert_eq!(translated, expected);
}

#[test]
fn a_whole_answer_of_anthropics_own_keeps_its_meaning() {
    let body = include_bytes!("../../../../tests/golden/translate/anthropic/whole/tools.json");
    let maker = Maker::of("anthropic");
    let out = translate_answer(ProviderDialect::Anthropic, maker, &asked(), body, &mut |_| {}).unwrap();
    let (out, body): (Value, Value) =
        (serde_json::from_slice(&out).unwrap(), serde_json::from_slice(body).unwrap());
    for name in ["id", "model", "role", "type", "content", "stop_reason", "stop_sequence"] {
        assert_eq!(out[name], body[name], "{name}");
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_bytes(mut cuts in proptest::collection::vec(0..STREAM.len(), 0..20)) {
        cuts.sort_unstable();
        prop_assert_eq!(translate(STREAM.as_bytes(), &cuts), translate(STREAM.as_bytes(), &[]));
    }
}

#[test]
fn every_byte_alone_gives_the_same_bytes() {
    let cuts: Vec<usize> = (0..STREAM.len()).collect();
    assert_eq!(translate(STREAM.as_bytes(), &cuts), translate(STREAM.as_bytes(), &[]));
}
