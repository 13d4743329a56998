use proptest::prelude::*;

use super::*;
use crate::dialect::neutral::{
    CacheMark, Carrier, Maker, MediaKind, OnLoss, Part, Role, Seal, Seals, Source, ToolChoice, ToolKind,
    with_carrier,
};
use crate::types::ProviderDialect;

fn read(body: &str) -> (Request<'_>, Vec<String>) {
    let mut losses = Losses::default();
    let request =
        read_request(body.as_bytes(), &mut losses).unwrap_or_else(|fault| panic!("{body}: {fault:?}"));
    let dropped = losses.settle(OnLoss::Drop).unwrap();
    (request, dropped.into_iter().map(|field| field.to_string()).collect())
}

/// The parts of a single message's content.
fn parts(content: &str, see: impl FnOnce(&[Part<'_>], &[String])) {
    let body =
        format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":{content}}}]}}"#);
    let (request, dropped) = read(&body);
    see(&request.messages[0].parts, &dropped);
}

fn check_malformed(body: &str, field: &str) {
    let fault = read_request(body.as_bytes(), &mut Losses::default()).unwrap_err();
    assert_eq!(fault.field, field, "{body}: {}", fault.what);
}

#[test]
fn a_conversation_is_read_in_any_order_of_members() {
    let (request, dropped) = read(
        r#"{"messages":[
            {"content":"hi","role":"user"},
            {"role":"system","content":"be short"},
            {"role":"assistant","content":[{"text":"let me see","type":"text"},
                {"type":"tool_use","id":"toolu_1","name":"ls","input":{"p": "."}}]},
            {"role":"user","content":[{"content":[{"type":"text","text":"a b"}],"is_error":true,
                "tool_use_id":"toolu_1","type":"tool_result"}]}],
          "stream":true,"max_tokens":5,"model":"claude-opus-5"}"#,
    );
    assert!(dropped.is_empty(), "{dropped:?}");
    assert!(request.stream);
    assert_eq!(request.max_output, Some(5));
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::System, Role::Assistant, Role::User]);
    let Content::ToolCall { arguments, .. } = &request.messages[2].parts[1].content else { panic!() };
    assert_eq!(arguments.as_str(), r#"{"p": "."}"#);
    let Content::ToolResult { id, is_error: true, parts } = &request.messages[3].parts[0].content else {
        panic!()
    };
    assert_eq!((id.raw(), parts.len()), ("toolu_1", 1));
}

#[test]
fn claude_codes_attribution_is_taken_off() {
    let (request, dropped) = read(
        r#"{"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=ab;"},
            {"type":"text","text":"You are","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[]}"#,
    );
    assert_eq!(request.system.len(), 1);
    assert_eq!(request.system[0].mark, Some(CacheMark::Long));
    assert!(dropped.is_empty());
}

#[test]
fn settings_are_read() {
    let (request, dropped) = read(
        r#"{"messages":[],"temperature":0.5,"top_k":3,"stop_sequences":["a\n"],"service_tier":"auto",
            "metadata":{"user_id":"{\"session\":1}"},"thinking":{"type":"adaptive"},
            "output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}},
            "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
            "context_management":null,"mcp_servers":[],"container":null,"top_p":null}"#,
    );
    assert!(dropped.is_empty(), "{dropped:?}");
    assert_eq!(request.sampling.temperature.unwrap().as_str(), "0.5");
    assert_eq!(request.sampling.stop[0].raw(), r"a\n");
    assert!(request.sampling.top_p.is_none() && request.tier.is_none());
    assert_eq!(request.user.unwrap().decode(), r#"{"session":1}"#);
    let reasoning = request.reasoning.unwrap();
    assert_eq!(reasoning.effort, Effort::Adaptive(Some(Escaped::plain("high"))));
    assert_eq!(reasoning.summary, Some(Escaped::plain("auto")));
    assert_eq!(request.tool_choice, Some(ToolChoice::Named(Escaped::plain("f"))));
    assert_eq!(request.parallel_tools, Some(false));
    assert!(request.format.is_some());
}

#[test]
fn thinking_and_effort_are_read_together() {
    let effort = |members: &str| {
        let body = format!(r#"{{"messages":[],{members}}}"#);
        let (request, dropped) = read(&body);
        let reasoning = request.reasoning.unwrap();
        (format!("{:?}", reasoning.effort), reasoning.summary.is_some(), dropped)
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(effort(r#""thinking":{"type":"disabled"}"#), ("Off".to_owned(), false, none.clone()));
    let budget = effort(r#""thinking":{"type":"enabled","budget_tokens":2000}"#);
    assert_eq!(budget, ("Budget(2000)".to_owned(), true, none.clone()));
    assert!(!effort(r#""thinking":{"type":"adaptive","display":"omitted"}"#).1);
    assert!(effort(r#""output_config":{"effort":"max"}"#).0.starts_with("Level("));
    let both = effort(r#""thinking":{"type":"enabled","budget_tokens":9},"output_config":{"effort":"max"}"#);
    assert_eq!(both.2, ["output_config.effort"]);
}

#[test]
fn media_are_read() {
    parts(
        r#"[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
            {"type":"document","title":"t","citations":{"enabled":true},"source":{"type":"url","url":"https://x/y"}},
            {"type":"document","source":{"type":"content","content":"words"}}]"#,
        |parts, dropped| {
            assert!(dropped.is_empty(), "{dropped:?}");
            let Content::Media(image) = &parts[0].content else { panic!() };
            assert!(image.kind == MediaKind::Image && matches!(image.source, Source::Base64 { .. }));
            let Content::Media(document) = &parts[1].content else { panic!() };
            assert!(document.citations && document.name.is_some());
            let Content::Media(words) = &parts[2].content else { panic!() };
            assert!(matches!(&words.source, Source::Text(text) if text.raw() == "words"));
        },
    );
}

#[test]
fn what_was_sealed_elsewhere_is_unpacked() {
    let seal =
        Seal { dialect: ProviderDialect::Gemini, id: String::new(), text: String::new(), data: "s".into() };
    let carrier = Carrier { maker: Maker::of("google"), seal };
    let id = with_carrier(&Escaped::plain("call_1"), &carrier);
    let content = format!(
        r#"[{{"type":"thinking","thinking":"t","signature":"{packed}"}},
            {{"type":"redacted_thinking","data":"{packed}"}},
            {{"type":"thinking","thinking":"t","signature":"ErcBCkgIARAB=="}},
            {{"type":"redacted_thinking","data":"EmwKAhgB"}},
            {{"type":"thinking","thinking":"t","signature":""}},
            {{"type":"tool_use","id":"{id}","name":"f","input":{{}}}},
            {{"type":"tool_result","tool_use_id":"{id}","content":"x"}}]"#,
        packed = carrier.pack().raw(),
        id = id.raw(),
    );
    parts(&content, |parts, _| {
        let seal = |at: usize| {
            let Content::Thinking { seal, .. } = &parts[at].content else { panic!("{:?}", parts[at]) };
            seal.clone()
        };
        assert!(matches!(seal(0), Seals::Carried(found) if found == carrier));
        assert!(matches!(seal(1), Seals::Carried(found) if found == carrier));
        assert!(matches!(seal(2), Seals::Native(_)));
        assert!(matches!(seal(3), Seals::Redacted(_)));
        assert!(matches!(seal(4), Seals::None));
        let Content::ToolCall { id, carrier: Some(found), .. } = &parts[5].content else { panic!() };
        assert_eq!((id.raw(), found), ("call_1", &carrier));
        assert!(matches!(&parts[6].content, Content::ToolResult { id, .. } if id.raw() == "call_1"));
    });
}

#[test]
fn a_mark_within_a_result_is_the_results() {
    parts(
        r#"[{"type":"tool_result","tool_use_id":"a","content":[
            {"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]"#,
        |parts, _| assert_eq!(parts[0].mark, Some(CacheMark::Short)),
    );
}

#[test]
fn what_has_no_place_is_written_down() {
    parts(
        r#"[{"type":"text","text":"a","cache_control":{"type":"ephemeral","scope":"global"}},
            {"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"x"}]},
            {"type":"document","context":"c","source":{"type":"text","media_type":"text/plain","data":"d"}},
            {"type":"text","text":"b","citations":[{"type":"char_location"}]},
            {"type":"tool_use","id":"i","name":"n","input":{},"caller":{"type":"direct"}}]"#,
        |parts, dropped| {
            let expected = [
                "messages[0].content[0].cache_control.scope",
                "messages[0].content[1]",
                "messages[0].content[2].context",
                "messages[0].content[3].citations",
            ];
            assert_eq!(dropped, expected);
            assert_eq!(parts.len(), 4);
        },
    );
    let (request, dropped) = read(
        r#"{"messages":[],"context_management":{"edits":[{}]},"container":"c","colour":1,"speed":"standard",
            "tools":[{"type":"web_search_20250305","name":"web_search","max_uses":2},
                     {"name":"f","input_schema":{"type":"object"},"strict":true,"defer_loading":true}]}"#,
    );
    assert_eq!(dropped, ["context_management", "container", "colour", "tools[1].defer_loading"]);
    let ToolKind::Hosted { kind, definition } = &request.tools[0].kind else { panic!() };
    assert_eq!(kind.raw(), "web_search_20250305");
    assert!(definition.as_str().contains("max_uses"));
    assert_eq!(request.tools[1].strict, Some(true));
}

#[test]
fn what_is_malformed_is_named() {
    for (body, field) in [
        ("[]", ""),
        ("{}", "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":[1]}"#, "messages[0]"),
        (r#"{"messages":[{"role":"tool","content":""}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":"user"}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":1}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#, "messages[0].content[0].text"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":1}]}]}"#,
            "messages[0].content[0].text",
        ),
        (r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#, "messages[0].content[0].type"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":"a"}]}]}"#,
            "messages[0].content[0].tool_use_id",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url"}}]}]}"#,
            "messages[0].content[0].source.url",
        ),
        (r#"{"messages":[],"system":[{"type":"image","source":{"type":"url","url":"u"}}]}"#, "system"),
        (r#"{"messages":[],"max_tokens":-1}"#, "max_tokens"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[],"temperature":"warm"}"#, "temperature"),
        (r#"{"messages":[],"stop_sequences":[1]}"#, "stop_sequences"),
        (r#"{"messages":[],"thinking":{"type":"enabled"}}"#, "thinking.budget_tokens"),
        (r#"{"messages":[],"tool_choice":{"type":"tool"}}"#, "tool_choice.name"),
        (r#"{"messages":[],"tools":[{"name":"f"}]}"#, "tools[0].input_schema"),
        (r#"{"messages":[],"tools":[{"input_schema":{}}]}"#, "tools[0].name"),
        (
            r#"{"messages":[],"output_config":{"format":{"type":"json_schema"}}}"#,
            "output_config.format.schema",
        ),
        (r#"{"messages":[]} x"#, ""),
    ] {
        check_malformed(body, field);
    }
}

#[test]
fn every_fixture_is_read_and_only_claude_codes_own_wishes_are_lost() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/translate/anthropic/read");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let body = std::fs::read_to_string(&path).unwrap();
        let (request, dropped) = read(&body);
        assert!(!request.messages.is_empty(), "{path:?}");
        let expected: &[&str] =
            if path.ends_with("claude-code.json") { &["context_management"] } else { &[] };
        assert_eq!(dropped, expected, "{path:?}");
        count += 1;
    }
    assert!(count > 20);
}

/// Pieces that make bodies which are nearly right.
const PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"messages\"",
    "\"content\"",
    "\"type\"",
    "\"text\"",
    "\"tool_result\"",
    "\"source\"",
    "\"role\"",
    "\"user\"",
    "null",
    "1",
    "\"\\u00e9\"",
    "\"system\"",
    "\"tools\"",
    "\"\\q\"",
];

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60),
    ) {
        let mut losses = Losses::default();
        let _any = read_request(&bytes, &mut losses);
        let _nearly = read_request(pieces.concat().as_bytes(), &mut losses);
        let _inside = read_request(format!("{{\"messages\":[{}", pieces.concat()).as_bytes(), &mut losses);
    }
}
