use proptest::prelude::*;

use super::*;
use crate::{
    dialect::view::{Block, HardPin, PinKind, TtlAsked},
    types::Section,
};

fn view(operation: Operation, body: &str) -> RequestView {
    scan(operation, body.as_bytes(), &ScanLimits::default()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn error(operation: Operation, body: &[u8]) -> ScanError {
    scan(operation, body, &ScanLimits::default()).expect_err("an error")
}

/// What a fingerprint hashes of a block.
fn hashed(body: &str, block: &Block) -> String {
    let marker = block.marker.clone().unwrap_or(block.span.end..block.span.end);
    format!("{}{}", &body[block.span.start..marker.start], &body[marker.end..block.span.end])
}

fn blocks(body: &str, view: &RequestView) -> Vec<(Section, bool, bool, String)> {
    let row = |b: &Block| (b.section, b.opens_message, b.marker.is_some(), hashed(body, b));
    view.blocks.iter().map(row).collect()
}

fn row(section: Section, opens: bool, marked: bool, text: &str) -> (Section, bool, bool, String) {
    (section, opens, marked, text.to_owned())
}

#[test]
fn an_anthropic_body_is_seen_whole_and_in_caching_order() {
    use Section::{Assistant, System, Tools, User};
    let body = r#"{"messages":[
        {"content":"hi","role":"user"},
        {"role":"system","content":"be brief"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"yes"},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"image","source":{"type":"file","file_id":"file_7"}}],"cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"go on","cache_control":{"type":"ephemeral"}}]}],
        "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1;"},{"type":"text","text":"You","cache_control":{"type":"ephemeral"}}],
        "tools":[{"name":"f"},{"cache_control":{"type":"ephemeral"},"name":"g"}],
        "metadata":{"user_id":"u_session_1"},"container":{"id":"cont_1"},
        "model":"claude-x","stream":true,"max_tokens":1e2}"#;
    let view = view(Operation::Messages, body);
    assert_eq!(
        blocks(body, &view),
        [
            row(Tools, false, false, r#"{"name":"f"}"#),
            row(Tools, false, true, r#"{"name":"g"}"#),
            row(System, false, false, r#""x-anthropic-billing-header: cc_version=1;""#),
            row(System, false, true, r#""You""#),
            row(User, true, false, r#""hi""#),
            row(User, true, false, r#""be brief""#),
            row(Assistant, true, false, r#"{"type":"thinking","thinking":"hm"}"#),
            row(Assistant, false, false, r#""yes""#),
            row(Assistant, false, false, r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"#),
            row(
                User,
                true,
                true,
                r#"{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"image","source":{"type":"file","file_id":"file_7"}}]}"#
            ),
            row(User, false, true, r#""go on""#),
        ]
    );
    let attribution: Vec<usize> =
        view.blocks.iter().enumerate().filter(|(_, b)| b.attribution).map(|(n, _)| n).collect();
    assert_eq!(attribution, [2]);
    assert_eq!(
        (view.model.value.as_str(), view.stream, view.max_output_tokens),
        ("claude-x", true, Some(100))
    );
    assert_eq!(view.ids.user_id.as_deref(), Some("u_session_1"));
    assert_eq!(view.ttl, TtlAsked::Long);
    assert!(view.has_history);
    assert_eq!(view.tool_result_ids, ["toolu_1"]);
    assert_eq!(view.last_reply.iter().map(|s| &body[s.clone()]).collect::<Vec<_>>(), ["yes"]);
    let pin = |kind, id: &str| HardPin { kind, id: id.to_owned() };
    assert_eq!(view.pins, [pin(PinKind::File, "file_7"), pin(PinKind::Container, "cont_1")]);
}

#[test]
fn a_chat_body_is_seen_whole() {
    use Section::{Assistant, System, Tools, User};
    let body = r#"{"model":"gpt","stream":true,"stream_options":{"include_usage":false},"prompt_cache_key":"k","max_tokens":5,"max_completion_tokens":7,
        "metadata":{"session_id":"s1"},"tools":[{"type":"function"}],"messages":[
        {"role":"developer","content":"sys"},
        {"role":"user","content":[{"type":"text","text":"look"},{"type":"file","file":{"file_id":"file_1"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"call_1"},{"id":"call_2"}]},
        {"role":"tool","tool_call_id":"call_1","content":"one"},
        {"role":"tool","tool_call_id":"call_2","content":"two"},
        {"role":"assistant","content":"done"},
        {"role":"system","content":"late"},
        {"role":"user","content":"thanks"}]}"#;
    let view = view(Operation::ChatCompletions, body);
    assert_eq!(
        blocks(body, &view),
        [
            row(Tools, false, false, r#"{"type":"function"}"#),
            row(System, true, false, r#""sys""#),
            row(User, true, false, r#""look""#),
            row(User, false, false, r#"{"type":"file","file":{"file_id":"file_1"}}"#),
            row(Assistant, true, false, r#"{"id":"call_1"}"#),
            row(Assistant, false, false, r#"{"id":"call_2"}"#),
            row(User, true, false, r#""one""#),
            row(User, true, false, r#""two""#),
            row(Assistant, true, false, r#""done""#),
            row(User, true, false, r#""late""#),
            row(User, true, false, r#""thanks""#),
        ]
    );
    assert!(!view.includes_usage);
    assert_eq!(&body[view.stream_options.unwrap()], r#"{"include_usage":false}"#);
    assert_eq!(view.max_output_tokens, Some(7));
    assert_eq!(view.ids.prompt_cache_key.as_deref(), Some("k"));
    assert_eq!(view.ids.metadata_session_id.as_deref(), Some("s1"));
    assert_eq!(view.tool_result_ids, ["call_1", "call_2"]);
    assert_eq!(view.last_reply.iter().map(|s| &body[s.clone()]).collect::<Vec<_>>(), ["done"]);
    assert_eq!(view.pins, [HardPin { kind: PinKind::File, id: "file_1".to_owned() }]);
}

#[test]
fn a_responses_body_is_seen_whole() {
    use Section::{Assistant, System, User};
    let body = r#"{"model":"gpt","instructions":"sys","previous_response_id":"resp_1","conversation":{"id":"conv_1"},"background":true,
        "prompt_cache_retention":"24h","max_output_tokens":1.0e+2,"input":[
        {"type":"message","role":"developer","content":"dev"},
        {"role":"user","content":[{"type":"input_text","text":"q"},{"type":"input_image","file_id":"file_1"}]},
        {"type":"reasoning","encrypted_content":"gAAA","summary":[]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},
        {"type":"function_call","call_id":"call_1","arguments":"{}"},
        {"type":"function_call_output","call_id":"call_1","output":"r1"},
        {"type":"custom_tool_call_output","call_id":"call_2","output":"r2"}]}"#;
    let view = view(Operation::Responses, body);
    let sections: Vec<Section> = view.blocks.iter().map(|block| block.section).collect();
    assert_eq!(sections, [System, System, User, Assistant, Assistant, Assistant, User, User]);
    assert!(view.blocks.iter().skip(1).all(|block| block.opens_message));
    assert!(view.background && view.encrypted_content && view.has_history);
    assert_eq!(view.ttl, TtlAsked::Long);
    assert_eq!(view.max_output_tokens, Some(100));
    assert_eq!(view.tool_result_ids, ["call_1", "call_2"]);
    assert_eq!(view.last_reply.iter().map(|s| &body[s.clone()]).collect::<Vec<_>>(), ["a"]);
    let pins: Vec<(PinKind, &str)> = view.pins.iter().map(|pin| (pin.kind, pin.id.as_str())).collect();
    assert_eq!(
        pins,
        [(PinKind::Response, "resp_1"), (PinKind::Conversation, "conv_1"), (PinKind::File, "file_1")]
    );
}

#[test]
fn the_small_operations_are_read_for_what_they_have() {
    let text = r#"{"model":"e","input":["a","b"],"messages":7}"#;
    assert!(view(Operation::Embeddings, text).blocks.is_empty());
    let text = r#"{"model":"e","prompt":"once upon","stream":true}"#;
    assert_eq!(
        blocks(text, &view(Operation::Completions, text)),
        [row(Section::User, true, false, r#""once upon""#)]
    );
    let text = r#"{"model":"e","input":"hello"}"#;
    assert_eq!(
        blocks(text, &view(Operation::Responses, text)),
        [row(Section::User, true, false, r#""hello""#)]
    );
}

#[test]
fn a_marker_for_the_whole_request_stands_on_its_last_block() {
    let body = r#"{"model":"m","cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
    let view = view(Operation::Messages, body);
    let marked: Vec<bool> = view.blocks.iter().map(|block| block.marker.is_some()).collect();
    assert_eq!((marked, view.ttl), (vec![false, true], TtlAsked::Short));
    assert_eq!(hashed(body, &view.blocks[1]), r#""b""#);
}

#[test]
fn a_string_and_its_marked_text_block_are_the_same_prompt() {
    let string = r#"{"model":"m","messages":[{"role":"user","content":"a\n\u00e9"}]}"#;
    let block = r#"{"model":"m","messages":[{"role":"user","content":[{"cache_control":{"type":"ephemeral"},"text":"a\n\u00e9","type":"text"}]}]}"#;
    let text = |body: &str| hashed(body, &view(Operation::Messages, body).blocks[0]);
    assert_eq!(text(string), text(block));
    let cited =
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","citations":[]}]}]}"#;
    assert_eq!(text(cited), r#"{"type":"text","text":"a","citations":[]}"#);
}

#[test]
fn a_repeated_member_that_we_read_is_refused_however_it_is_spelt() {
    for (body, field) in [
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (r#"{"model":"a","stream":true,"\u0073tream":false}"#, "stream"),
        (r#"{"model":"a","messages":[],"messages":[]}"#, "messages"),
        (r#"{"model":"a","metadata":{"user_id":"a","user\u005fid":"b"}}"#, "metadata.user_id"),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}"#,
            "stream_options.include_usage",
        ),
    ] {
        assert_eq!(error(Operation::ChatCompletions, body.as_bytes()).field, Some(field), "{body}");
    }
    assert_eq!(view(Operation::Messages, r#"{"mod\u0065l":"\u0061","x":1,"x":2}"#).model.value.as_str(), "a");
}

#[test]
fn a_wrong_type_names_its_field() {
    for (operation, body, field) in [
        (Operation::Messages, r"{}", "model"),
        (Operation::Messages, r#"{"model":7}"#, "model"),
        (Operation::Messages, r#"{"model":null}"#, "model"),
        (Operation::Messages, r#"{"model":""}"#, "model"),
        (Operation::Messages, r#"{"model":"\ud800"}"#, "model"),
        (Operation::Messages, r#"{"model":"m","stream":"yes"}"#, "stream"),
        (Operation::Messages, r#"{"model":"m","messages":{}}"#, "messages"),
        (Operation::Messages, r#"{"model":"m","messages":[1]}"#, "messages"),
        (Operation::Messages, r#"{"model":"m","tools":{}}"#, "tools"),
        (Operation::ChatCompletions, r#"{"model":"m","stream_options":[]}"#, "stream_options"),
        (Operation::Responses, r#"{"model":"m","input":7}"#, "input"),
        (Operation::Responses, r#"{"model":"m","previous_response_id":7}"#, "previous_response_id"),
    ] {
        let error = error(operation, body.as_bytes());
        assert_eq!(error.field, Some(field), "{body}");
        assert!(error.message.contains(field), "{error}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let deep = format!(r#"{{"model":"m","x":{}}}"#, "[".repeat(500));
    let bodies: [&[u8]; 22] = [
        b"",
        b"  ",
        b"null",
        b"[]",
        b"\"model\"",
        b"{",
        b"{\"model\":\"m\"",
        b"{\"model\":\"m",
        b"{\"model\" \"m\"}",
        b"{\"model\":\"m\",}",
        b"{\"model\":\"m\"}}",
        b"{\"model\":\"m\"} x",
        b"{\"model\":\"m\"}{\"model\":\"n\"}",
        b"{\"model\":\"m\",\"x\":[}}",
        b"{\"model\":\"m\",\"x\":01}",
        b"{\"model\":\"m\" \"x\":1}",
        b"{\"model\":\"m\",\"messages\":[{} {}]}",
        b"{model:\"m\"}",
        b"{\"model\":\"m\",\\\"x\":1}",
        b"\xef\xbb\xbf{\"model\":\"m\"}",
        b"{\"model\":\"m\",\"x\":\"\xff\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        error(Operation::Messages, body);
    }
}

#[test]
fn odd_json_passes_unread() {
    for body in [
        " \r\n\t{ \"model\" : \"m\" , \"messages\" : [ { \"role\" : \"user\" , \"content\" : [ ] } ] } \n",
        r#"{"model":"m","temperature":1.0e+2,"seed":-0,"n":123456789012345678901234567890}"#,
        r#"{"model":"m","max_tokens":99999999999999999999999999,"messages":[{"role":"user","content":"\ud83d"}]}"#,
        r#"{"model":"m","max_tokens":-1,"x":{"a":1,"a":2,"a":{"a":3}}}"#,
        "{\"model\":\"m\",\"x\":\"tab\there\"}\n",
        r#"{"model":"m","stream":null,"stream_options":null,"metadata":null,"messages":[{"content":null}],"tools":null,"system":null}"#,
    ] {
        for operation in [Operation::Messages, Operation::ChatCompletions] {
            view(operation, body);
        }
    }
    let huge = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#,
        r#"\"\n"#.repeat(1 << 20)
    );
    assert_eq!(view(Operation::Messages, &huge).blocks[0].span.len(), (4 << 20) + 2);
    let absurd = view(Operation::Messages, r#"{"model":"m","max_tokens":1e400}"#);
    assert_eq!(absurd.max_output_tokens, None);
}

#[test]
fn nesting_and_blocks_are_bounded() {
    let nested = |levels: usize| {
        format!(r#"{{"model":"m","tools":[{{"a":{}{}}}]}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    view(Operation::Messages, &nested(125));
    error(Operation::Messages, nested(126).as_bytes());
    let many = format!(r#"{{"model":"m","messages":[{{"content":[{}1]}}]}}"#, "1,".repeat(10));
    let limits = ScanLimits { max_blocks: 10, ..ScanLimits::default() };
    assert!(scan(Operation::Messages, many.as_bytes(), &limits).is_err());
}

#[test]
fn only_the_newest_tool_results_are_remembered() {
    let results: Vec<String> =
        (0..100).map(|n| format!(r#"{{"role":"tool","tool_call_id":"call_{n}","content":""}}"#)).collect();
    let body = format!(r#"{{"model":"m","messages":[{}]}}"#, results.join(","));
    let ids = view(Operation::ChatCompletions, &body).tool_result_ids;
    assert_eq!((ids.len(), ids[0].as_str(), ids[63].as_str()), (64, "call_36", "call_99"));
}

#[test]
fn breakpoints_are_counted_wherever_they_stand() {
    const C: &str = r#""cache_control":{"type":"ephemeral"}"#;
    let body = format!(
        r#"{{"model":"m","tools":[{{"name":"f",{C}}}],"system":[{{"type":"text","text":"s","cache_control":null}}],"messages":[
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"r",{C}}}]}},
        {{"type":"text","text":"x",{C}}}]}}],{C}}}"#
    );
    let seen = view(Operation::Messages, &body);
    assert_eq!((seen.markers, seen.auto_marker), (3, true));
    let plain = view(Operation::Messages, r#"{"model":"m"}"#);
    assert_eq!((plain.markers, plain.auto_marker), (0, false));
}

/// Members of a block, with the white space that stands around them.
fn a_block() -> impl Strategy<Value = (Vec<String>, [&'static str; 4])> {
    let member = prop_oneof![
        Just(r#""type":"text""#.to_owned()),
        Just(r#""text" : "a \"quoted\", {text}\\""#.to_owned()),
        Just(r#""text":"""#.to_owned()),
        Just(r#""type":"image""#.to_owned()),
        Just(r#""source":{"type":"base64","data":"AA=="}"#.to_owned()),
        Just(r#""citations":[{"a":[1,2]}]"#.to_owned()),
        Just(r#""n":1.0e+2"#.to_owned()),
    ];
    let space = || proptest::sample::select(vec!["", " ", "\n  ", "\r\n\t"]);
    (proptest::collection::vec(member, 1..6), [space(), space(), space(), space()])
}

proptest! {
    #[test]
    fn a_marker_anywhere_in_a_block_leaves_no_trace(
        (members, space) in a_block(), place in 0_usize..6, ttl in any::<bool>(), operation in
            proptest::sample::select(vec![Operation::Messages, Operation::ChatCompletions])
    ) {
        let body = |members: &[String]| {
            let [open, before, after, close] = space;
            let block = format!("{{{open}{}{close}}}", members.join(&format!("{before},{after}")));
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{block}]}}],"tools":[{block}]}}"#)
        };
        let marker = if ttl {
            r#""cache_control": {"type":"ephemeral", "ttl":"1h"}"#
        } else {
            r#""cache_control":{"type":"ephemeral"}"#
        };
        let mut marked = members.clone();
        marked.insert(place.min(members.len()), marker.to_owned());
        let (without, with) = (body(&members), body(&marked));
        let (plain, seen) = (view(operation, &without), view(operation, &with));
        prop_assert!(seen.blocks.iter().all(|block| block.marker.is_some()));
        for (a, b) in plain.blocks.iter().zip(&seen.blocks) {
            prop_assert_eq!(hashed(&without, a), hashed(&with, b));
        }
    }

    #[test]
    fn no_bytes_make_the_scan_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"model\":\"m\"", "\"messages\":[", "\"content\":", "1", "null",
            "\"role\":\"assistant\"", "\"tool_calls\":[", "\"cache_control\":", "\"stream_options\":{", "\"input\":[",
            "\"type\":\"text\"", "\"text\":\"t\"", "\"source\":{", "\"file_id\":\"f\"", " ", "é",
        ]), 0..40),
    ) {
        let text = pieces.concat();
        for operation in [Operation::Messages, Operation::ChatCompletions, Operation::Responses, Operation::Completions] {
            let _ = scan(operation, &bytes, &ScanLimits::default());
            let _ = scan(operation, text.as_bytes(), &ScanLimits::default());
        }
    }

    /// What we accept at the levels we walk, any parser accepts, and it finds the same model.
    #[test]
    fn an_accepted_body_means_the_same_to_a_parser(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", ",", ":", "\"model\"", "\"m\"", "\"mod\\u0065l\"", "\"stream\"", "true", "1", " ", "\"x\"", "[]", "{}",
        ]), 0..12),
    ) {
        let body = format!("{{{}}}", pieces.concat());
        if let Ok(view) = scan(Operation::Messages, body.as_bytes(), &ScanLimits::default()) {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(value["model"].as_str(), Some(view.model.value.as_str()));
            prop_assert_eq!(value["stream"].as_bool().unwrap_or(false), view.stream);
        }
    }
}
