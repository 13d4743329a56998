use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    dialect::{
        neutral::{Collector, Json, Maker, Seal, StopReason, split_tool_id},
        openai_chat::seals::Load,
    },
    types::{Dialect, ProviderDialect},
};

fn asked(include_usage: bool) -> Asked {
    Asked {
        origin: Dialect::OpenAiChat,
        stream: true,
        include_usage,
        model: "asked \"model\"".into(),
        id: "0123".into(),
        created: 1_763_000_000,
        echo: Vec::new(),
    }
}

fn stream(include_usage: bool, events: &[Event<'_>]) -> String {
    let mut writer = AnswerWriter::new(asked(include_usage));
    let mut out = Vec::new();
    for event in events {
        writer.event(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// The chunks' JSON; what is none as a string.
fn chunks(include_usage: bool, events: &[Event<'_>]) -> Vec<Value> {
    let written = stream(include_usage, events);
    let of = |event: &str| match event.strip_prefix("data: ").map(serde_json::from_str) {
        Some(Ok(value)) => value,
        Some(Err(_)) | None => Value::from(event),
    };
    written.split_terminator("\n\n").map(of).collect()
}

/// The deltas of the chunks' choices.
fn deltas(events: &[Event<'_>]) -> Vec<Value> {
    chunks(false, events).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect()
}

fn whole(events: &[Event<'_>]) -> Value {
    let mut collector = Collector::default();
    for event in events {
        collector.event(event.clone());
    }
    serde_json::from_slice(&write_answer(&collector.finish(), &asked(false))).unwrap()
}

fn start() -> Event<'static> {
    Event::Start { id: Some(Escaped::plain("msg_1")), model: Some(Escaped::plain("claude")) }
}

fn delta(block: u32, text: &str) -> Event<'_> {
    Event::Delta { block, text: Escaped::plain(text) }
}

fn call(block: u32, id: &str, carrier: Option<Carrier>) -> Event<'_> {
    let kind =
        BlockKind::ToolCall { id: Escaped::plain(id), name: Escaped::plain("f"), carrier, custom: false };
    Event::Open { block, kind }
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop(Stop { reason, sequence: None })
}

fn carrier(data: &str) -> Carrier {
    let seal = Seal {
        dialect: ProviderDialect::Anthropic,
        id: String::new(),
        text: String::new(),
        data: data.into(),
    };
    Carrier { maker: Maker::of("p"), seal }
}

#[test]
fn a_stream_is_written_to_the_byte() {
    let events = [
        start(),
        Event::Ping,
        Event::Open { block: 0, kind: BlockKind::Text },
        delta(0, r"a\n"),
        Event::Close { block: 0 },
        Event::Usage(ReportedUsage {
            input: Some(5),
            cached_read: Some(3),
            write_5m: Some(2),
            output: Some(4),
            reasoning: Some(1),
            ..ReportedUsage::default()
        }),
        Event::Tier(Escaped::plain("standard")),
        stop(StopReason::EndTurn),
        Event::End,
        delta(0, "behind"),
    ];
    let head = r#"data: {"id":"chatcmpl-0123","object":"chat.completion.chunk","created":1763000000,"model":"claude","choices":["#;
    assert_eq!(
        stream(true, &events),
        [
            head,
            r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            "\n\n: ping\n\n",
            head,
            r#"{"index":0,"delta":{"content":"a\n"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            "\n\n",
            head,
            r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null,"service_tier":"default"}"#,
            "\n\n",
            head,
            r#"],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"#,
            r#""prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2,"audio_tokens":0},"#,
            r#""completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"#,
            r#""service_tier":"default"}"#,
            "\n\ndata: [DONE]\n\n",
        ]
        .concat()
    );
    let without = chunks(false, &events);
    assert_eq!(without.len(), 5);
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(without.last(), Some(&json!("data: [DONE]")));
}

#[test]
fn a_provider_that_names_no_model_answers_for_the_one_asked() {
    let chunks = chunks(false, &[Event::Start { id: None, model: None }]);
    assert_eq!(chunks.first().unwrap()["model"], "asked \"model\"");
    assert_eq!(whole(&[stop(StopReason::EndTurn), Event::End])["model"], "asked \"model\"");
}

#[test]
fn calls_are_counted_and_filled_by_index() {
    let events = [
        call(3, "x", None),
        delta(3, r#"{\"a\":"#),
        call(5, "y", None),
        delta(3, "1}"),
        Event::Close { block: 3 },
        // Nothing came for the second, which is an empty object.
        Event::Close { block: 5 },
        // Nobody opened it.
        delta(9, "x"),
        stop(StopReason::ToolUse),
    ];
    let open = |index: u32, id: &str| json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": { "name": "f", "arguments": "" } }] });
    let more = |index: u32, text: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] });
    assert_eq!(
        deltas(&events),
        [open(0, "x"), more(0, r#"{"a":"#), open(1, "y"), more(0, "1}"), more(1, "{}"), json!({})]
    );
    let message = whole(&events)["choices"][0]["message"].clone();
    assert_eq!(
        message,
        json!({
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [
                { "id": "x", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
                { "id": "y", "type": "function", "function": { "name": "f", "arguments": "{}" } },
            ],
        })
    );
}

#[test]
fn thoughts_stand_apart_and_travel_behind_the_next_call() {
    let mut elsewhere = carrier("sig2");
    elsewhere.seal.text = "of its own".into();
    let own = Carrier {
        maker: Maker::of("g"),
        seal: Seal { dialect: ProviderDialect::Gemini, ..carrier("own").seal },
    };
    let events = [
        start(),
        Event::Open { block: 0, kind: BlockKind::Thinking },
        delta(0, "so "),
        delta(0, r#"\"so\""#),
        Event::Sealed { block: 0, carrier: carrier("sig1") },
        Event::Close { block: 0 },
        Event::Open { block: 1, kind: BlockKind::Thinking },
        Event::Sealed { block: 1, carrier: elsewhere },
        Event::Close { block: 1 },
        Event::Open { block: 2, kind: BlockKind::Thinking },
        delta(2, "unsealed"),
        Event::Close { block: 2 },
        Event::Open { block: 3, kind: BlockKind::Text },
        // No thinking: it seals nothing.
        Event::Sealed { block: 3, carrier: carrier("stray") },
        Event::Close { block: 3 },
        call(4, "x", Some(own.clone())),
        call(5, "y", None),
        stop(StopReason::ToolUse),
        Event::End,
    ];
    let thinking = |text: &str, data: &str| {
        let mut carrier = carrier(data);
        carrier.seal.text = text.into();
        carrier
    };
    let expected = Load {
        own: Some(own),
        thinking: vec![thinking("so \"so\"", "sig1"), thinking("of its own", "sig2")],
    };
    let streamed = deltas(&events);
    let whole = whole(&events)["choices"][0]["message"].clone();
    assert_eq!(whole["reasoning_content"], "so \"so\"\n\nunsealed");
    let thought: String = streamed.iter().filter_map(|delta| delta["reasoning_content"].as_str()).collect();
    assert_eq!(thought, "so \"so\"\n\nunsealed");
    for id in [&streamed[4]["tool_calls"][0]["id"], &whole["tool_calls"][0]["id"]] {
        let id = Escaped::plain(id.as_str().unwrap());
        assert!(id.raw().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let (own, found) = split_tool_id(id);
        assert_eq!((own.raw(), found.map(Load::unpack).as_ref()), ("x", Some(&expected)));
    }
    assert_eq!(whole["tool_calls"][1]["id"], "y");
}

#[test]
fn too_much_thinking_goes_without_its_seal() {
    let long = "x".repeat(700_000);
    let events = [
        start(),
        Event::Open { block: 0, kind: BlockKind::Thinking },
        delta(0, &long),
        delta(0, &long),
        Event::Sealed { block: 0, carrier: carrier("sig") },
        Event::Close { block: 0 },
        call(1, "x", None),
    ];
    assert_eq!(deltas(&events).last().unwrap()["tool_calls"][0]["id"], "x");
}

#[test]
fn every_end_has_its_word() {
    for (reason, alone, with_call, with_refusal) in [
        (StopReason::EndTurn, "stop", "tool_calls", "stop"),
        (StopReason::StopSequence, "stop", "stop", "stop"),
        (StopReason::ToolUse, "tool_calls", "tool_calls", "tool_calls"),
        (StopReason::MaxTokens, "length", "length", "length"),
        (StopReason::ContextWindow, "length", "length", "length"),
        (StopReason::Refusal, "content_filter", "content_filter", "stop"),
        (StopReason::Pause, "stop", "stop", "stop"),
        (StopReason::Other, "stop", "stop", "stop"),
    ] {
        let refusal = [Event::Open { block: 0, kind: BlockKind::Refusal }, delta(0, "no")];
        for (before, expected) in
            [(vec![], alone), (vec![call(0, "x", None)], with_call), (refusal.to_vec(), with_refusal)]
        {
            let events: Vec<Event<'_>> = before.into_iter().chain([stop(reason), Event::End]).collect();
            let streamed = chunks(false, &events);
            let last = streamed.get(streamed.len() - 2).unwrap();
            assert_eq!(last["choices"][0]["finish_reason"], expected);
            assert_eq!(whole(&events)["choices"][0]["finish_reason"], expected);
        }
    }
}

#[test]
fn citations_of_pages_are_annotations() {
    let nested = json!({ "type": "url_citation", "url_citation": { "start_index": 0, "end_index": 4, "title": "t", "url": "u" } });
    for (citation, expected) in [
        (nested.to_string(), vec![nested.clone()]),
        (
            r#"{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":4}"#.into(),
            vec![nested],
        ),
        (r#"{"type":"char_location","cited_text":"x"}"#.to_owned(), vec![]),
    ] {
        let events = [
            Event::Open { block: 0, kind: BlockKind::Text },
            Event::Citation { block: 0, citation: Json::written(&citation) },
        ];
        let streamed: Vec<Value> = deltas(&events);
        let streamed: Vec<Value> = streamed.iter().map(|delta| delta["annotations"][0].clone()).collect();
        assert_eq!(streamed, expected);
        assert_eq!(whole(&events)["choices"][0]["message"]["annotations"], Value::from(expected));
    }
}

#[test]
fn an_error_is_said_once_and_last() {
    let fault = UpstreamFault {
        kind: "overloaded_error".into(),
        message: "busy \"now\"".into(),
        ..UpstreamFault::default()
    };
    let events = [start(), Event::Error(fault.clone()), Event::Error(fault), Event::End];
    let chunks = chunks(true, &events);
    assert_eq!(chunks.len(), 2);
    assert_eq!(
        chunks[1],
        json!({ "error": { "message": "busy \"now\"", "type": "overloaded_error", "param": null, "code": null } })
    );
}

#[test]
fn free_form_calls_keep_their_form() {
    let kind = BlockKind::ToolCall {
        id: Escaped::plain("x"),
        name: Escaped::plain("f"),
        carrier: None,
        custom: true,
    };
    let events = [Event::Open { block: 0, kind }, delta(0, "a b"), Event::Close { block: 0 }];
    assert_eq!(
        deltas(&events),
        [
            json!({ "tool_calls": [{ "index": 0, "id": "x", "type": "custom", "custom": { "name": "f", "input": "" } }] }),
            json!({ "tool_calls": [{ "index": 0, "custom": { "input": "a b" } }] }),
        ]
    );
    assert_eq!(
        whole(&events)["choices"][0]["message"]["tool_calls"][0],
        json!({ "id": "x", "type": "custom", "custom": { "name": "f", "input": "a b" } })
    );
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let block = 0_u32..4;
    prop_oneof![
        Just(start()),
        block.clone().prop_map(|block| Event::Open { block, kind: BlockKind::Text }),
        block.clone().prop_map(|block| Event::Open { block, kind: BlockKind::Thinking }),
        block.clone().prop_map(|block| call(block, "x", None)),
        (block.clone(), "[a-z]{0,4}")
            .prop_map(|(block, text)| Event::Delta { block, text: Escaped::of(&text) }),
        block.clone().prop_map(|block| Event::Sealed { block, carrier: carrier("sig") }),
        block.prop_map(|block| Event::Close { block }),
        Just(Event::Ping),
        Just(stop(StopReason::EndTurn)),
        Just(Event::End),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_is_written_as_whole_events(events in proptest::collection::vec(any_event(), 0..30)) {
        let written = stream(true, &events);
        prop_assert!(written.is_empty() || written.ends_with("\n\n"));
        for event in written.split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap_or("[DONE]");
            prop_assert!(event == ": ping" || data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok());
        }
    }
}
