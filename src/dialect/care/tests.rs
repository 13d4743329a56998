use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::{ScanLimits, apply, scan};

const ADD: MarkerCare = MarkerCare { add: true, long: false };
const LONG: MarkerCare = MarkerCare { add: false, long: true };
const BOTH: MarkerCare = MarkerCare { add: true, long: true };
const SHORT: &str = r#""cache_control":{"type":"ephemeral"}"#;
const HOUR: &str = r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#;

fn view(operation: Operation, body: &str) -> RequestView {
    scan(operation, body.as_bytes(), &ScanLimits::default()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn applied(body: &str, splices: &[Splice]) -> String {
    String::from_utf8(apply(&Bytes::copy_from_slice(body.as_bytes()), splices).to_vec()).unwrap()
}

fn cared(body: &str, care: MarkerCare) -> String {
    applied(body, &view(Operation::Messages, body).plan_markers(care).splices)
}

#[test]
fn a_conversation_without_markers_gets_three() {
    let body = r#"{"model":"m","max_tokens":9,"tools":[{"name":"f"}],"system":"be kind","messages":[
        {"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}]}"#;
    let expected = format!(
        r#"{{"model":"m","max_tokens":9,"tools":[{{"name":"f"}}],"system":[{{"type":"text","text":"be kind",{SHORT}}}],"messages":[
        {{"role":"user","content":[{{"type":"text","text":"one",{SHORT}}}]}},{{"role":"assistant","content":"two"}},{{"role":"user","content":[{{"type":"text","text":"three",{SHORT}}}]}}]}}"#
    );
    assert_eq!(cared(body, ADD), expected);
    let plan = view(Operation::Messages, body).plan_markers(ADD);
    assert_eq!(plan.marks, [1, 2, 4].map(|block| (block, TtlAsked::Short)));
    assert_eq!((plan.added, plan.lengthened, plan.ttl), (3, 0, TtlAsked::Short));
}

#[test]
fn blocks_take_a_marker_where_their_kind_lets_them() {
    let body = r#"{"model":"m","tools":[{"name":"f" },{"name":"g","defer_loading":true}],"messages":[
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r" },{"type":"text","text":" "}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"}]},
        {"role":"user","content":[{"text":"last","type":"text"}]}]}"#;
    let expected = format!(
        r#"{{"model":"m","tools":[{{"name":"f" ,{SHORT}}},{{"name":"g","defer_loading":true}}],"messages":[
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":"r" ,{SHORT}}},{{"type":"text","text":" "}}]}},
        {{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"s"}}]}},
        {{"role":"user","content":[{{"text":"last",{SHORT},"type":"text"}}]}}]}}"#
    );
    assert_eq!(cared(body, ADD), expected);
}

#[test]
fn nothing_is_put_in_where_it_cannot_stand() {
    for (why, body) in [
        ("no block", r#"{"model":"m","messages":[]}"#),
        ("empty text", r#"{"model":"m","system":"","messages":[]}"#),
        ("blank text", r#"{"model":"m","system":"\n \t","messages":[]}"#),
        (
            "the member is there",
            r#"{"model":"m","system":[{"type":"text","text":"s","cache_control":null}]}"#,
        ),
        ("an unknown kind", r#"{"model":"m","system":[{"type":"novel","text":"s"}]}"#),
        (
            "attribution",
            r#"{"model":"m","system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1;"}]}"#,
        ),
        (
            "the client knows what it does",
            r#"{"model":"m","system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"x"}]}"#,
        ),
        (
            "a marker that we do not understand",
            r#"{"model":"m","system":"s","messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"novel"}}]}]}"#,
        ),
        ("one question, nothing shared", r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#),
        (
            "a system message",
            r#"{"model":"m","messages":[{"role":"system","content":"x"},{"role":"assistant","content":"y"},{"role":"system","content":"z"}]}"#,
        ),
    ] {
        assert_eq!(cared(body, ADD), body, "{why}");
    }
    let body = r#"{"model":"m","system":"s"}"#;
    let counted = view(Operation::CountTokens, body).plan_markers(BOTH);
    assert!(counted.splices.is_empty() && counted.marks.is_empty());
}

#[test]
fn a_marker_on_the_last_block_alone_is_joined_by_others_that_live_as_long() {
    for (theirs, ours) in [(SHORT, SHORT), (HOUR, HOUR)] {
        let body = |system: &str, first: &str| {
            format!(
                r#"{{"model":"m","system":[{{"type":"text","text":"s"{system}}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"a"{first}}}]}},{{"role":"assistant","content":"b"}},{{"role":"user","content":[{{"type":"text","text":"c",{theirs}}}]}}]}}"#
            )
        };
        let ours = format!(",{ours}");
        assert_eq!(cared(&body("", ""), ADD), body(&ours, &ours));
    }
}

#[test]
fn with_an_automatic_marker_the_end_is_left_to_it() {
    let body = |more: &str, auto: &str| {
        format!(
            r#"{{"model":"m",{auto},"system":[{{"type":"text","text":"s"{more}}}],"messages":[{{"role":"user","content":"a"}}]}}"#
        )
    };
    assert_eq!(cared(&body("", SHORT), ADD), body(&format!(",{SHORT}"), SHORT));
    assert_eq!(cared(&body("", HOUR), ADD), body(&format!(",{HOUR}"), HOUR));
}

#[test]
fn the_long_life_is_asked_for_by_every_marker_or_by_none() {
    let body = |a: &str, b: &str, c: &str| {
        format!(
            r#"{{"model":"m","cache_control":{a},"tools":[{{"name":"f","cache_control": {b}}}],"messages":[{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"r","cache_control":{c}}}]}}]}}]}}"#
        )
    };
    let hour = r#"{"ttl":"1h","type":"ephemeral"}"#;
    let before = body(
        r#"{"type":"ephemeral"}"#,
        r#"{ "type":"ephemeral", "ttl" : "5m" }"#,
        r#"{"ttl":null,"type":"ephemeral"}"#,
    );
    let after = body(hour, r#"{ "type":"ephemeral", "ttl" : "1h" }"#, hour);
    assert_eq!(cared(&before, LONG), after);
    assert_eq!(cared(&after, LONG), after);
    let plan = view(Operation::Messages, &before).plan_markers(LONG);
    assert_eq!((plan.lengthened, plan.added, plan.ttl), (3, 0, TtlAsked::Long));
    assert_eq!(plan.marks, [(0, TtlAsked::Long), (1, TtlAsked::Long)]);
    for odd in [
        r#"{"type":"ephemeral","ttl":"7m"}"#,
        r#"{"type":"ephemeral","t\u0074l":"5m"}"#,
        r#"{"ttl":"5m"}"#,
        "true",
    ] {
        let body = body(r#"{"type":"ephemeral"}"#, odd, r#"{"type":"ephemeral"}"#);
        assert_eq!(cared(&body, LONG), body, "{odd}");
    }
    let without = r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#;
    assert_eq!(view(Operation::Messages, without).plan_markers(LONG).ttl, TtlAsked::None);
}

#[test]
fn a_cache_key_is_put_in_where_the_client_names_none() {
    let with = |operation, body: &str| {
        let splice = view(operation, body).splice_cache_key(body.as_bytes(), "wk-1");
        splice.map(|splice| applied(body, &[splice]))
    };
    for operation in [Operation::ChatCompletions, Operation::Responses] {
        let put = r#"{"prompt_cache_key":"wk-1", "model":"m"}"#;
        assert_eq!(with(operation, r#"{ "model":"m"}"#).as_deref(), Some(put));
        let put = r#"{"model":"m","prompt_cache_key": "wk-1"}"#;
        assert_eq!(with(operation, r#"{"model":"m","prompt_cache_key": null}"#).as_deref(), Some(put));
        assert_eq!(with(operation, r#"{"model":"m","prompt_cache_key":"own"}"#), None);
        assert_eq!(with(operation, r#"{"model":"m","prompt_cache_key":""}"#), None);
    }
    assert_eq!(with(Operation::Messages, r#"{"model":"m"}"#), None);
    assert_eq!(with(Operation::Embeddings, r#"{"model":"m"}"#), None);
}

#[test]
fn a_request_becomes_one_that_only_warms_unless_it_wants_an_answer() {
    let body = |more: &str| format!(r#"{{"model":"m","max_tokens": 1e3,"stream":true{more},"messages":[]}}"#);
    let warming =
        |body: &str| view(Operation::Messages, body).prewarm.map(|prewarm| applied(body, &prewarm.splices()));
    for more in [
        "",
        r#","thinking":{"type":"adaptive"}"#,
        r#","tool_choice":{"type":"auto"}"#,
        r#","output_config":{"effort":"low"}"#,
    ] {
        let expected = body(more).replace("1e3", "0").replace("true", "false");
        assert_eq!(warming(&body(more)), Some(expected), "{more}");
    }
    for more in [
        r#","thinking":{"type":"enabled","budget_tokens":1024}"#,
        r#","tool_choice":{"type":"any"}"#,
        r#","tool_choice":{"name":"f","type":"tool"}"#,
        r#","output_config":{"format":{"type":"json_schema"}}"#,
        r#","thinking":7"#,
    ] {
        assert_eq!(warming(&body(more)), None, "{more}");
    }
    assert_eq!(warming(r#"{"model":"m"}"#), None);
    assert_eq!(view(Operation::ChatCompletions, &body("")).prewarm, None);
}

/// The request as a provider reads it: bare strings are lists of one text, markers are no content.
fn content(body: &str) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("cache_control");
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    fn listed(value: &mut Value) {
        if let Value::String(text) = value {
            *value = json!([{"type": "text", "text": text}]);
        }
    }
    let mut value: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    if let Some(system) = value.get_mut("system") {
        listed(system);
    }
    for message in value["messages"].as_array_mut().into_iter().flatten() {
        listed(&mut message["content"]);
    }
    strip(&mut value);
    value
}

fn markers(value: &Value) -> Vec<bool> {
    let mut found = Vec::new();
    let mut of = |holder: &Value| {
        if let Some(control) = holder.get("cache_control").filter(|control| !control.is_null()) {
            found.push(control["ttl"] == "1h");
        }
    };
    for part in ["tools", "system"] {
        value[part].as_array().into_iter().flatten().for_each(&mut of);
    }
    for message in value["messages"].as_array().into_iter().flatten() {
        message["content"].as_array().into_iter().flatten().for_each(&mut of);
    }
    of(value);
    found
}

/// Text that looks like JSON, like a marker, like nothing, with escapes of every sort.
fn a_text() -> impl Strategy<Value = String> {
    let raw = proptest::sample::select(vec![
        r#""hello""#,
        r#""""#,
        r#"" ""#,
        r#""\n""#,
        r#""\"cache_control\":{\"type\":\"ephemeral\"}""#,
        r#""}],\"messages\":[{""#,
        r#""\u00e9\ud83d\ude00 \\""#,
        r#""caf\u0065 é""#,
        r#""{\"type\":\"text\",\"text\":\"hello\"}""#,
    ]);
    raw.prop_map(str::to_owned)
}

fn a_marker() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "",
        "",
        "",
        r#", "cache_control": {"type":"ephemeral"}"#,
        r#","cache_control":{"type":"ephemeral","ttl":"5m"}"#,
        r#","cache_control":{ "ttl":"1h","type":"ephemeral" }"#,
        r#","cache_control":null"#,
    ])
}

fn a_block() -> impl Strategy<Value = String> {
    (a_text(), a_marker(), 0_u8..6).prop_map(|(text, marker, kind)| match kind {
        0 | 1 => format!(r#"{{"type":"text","text":{text}{marker}}}"#),
        2 => format!(r#"{{ "text" : {text} , "type" : "text" {marker} }}"#),
        3 => format!(r#"{{"type":"tool_result","tool_use_id":"t","content":{text}{marker}}}"#),
        4 => format!(r#"{{"type":"thinking","thinking":{text},"signature":"s"}}"#),
        _ => format!(r#"{{"type":"text","text":{text},"citations":[]{marker}}}"#),
    })
}

fn a_content() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => a_text(),
        3 => proptest::collection::vec(a_block(), 0..4).prop_map(|blocks| format!("[ {} ]", blocks.join(" , "))),
    ]
}

fn a_body() -> impl Strategy<Value = String> {
    let tools = proptest::collection::vec(
        a_marker().prop_map(|marker| format!(r#"{{"name":"f","input_schema":{{}}{marker}}}"#)),
        0..3,
    );
    let messages = proptest::collection::vec(a_content(), 0..6).prop_map(|contents| {
        let message = |(n, content): (usize, &String)| {
            let role = if n % 2 == 0 { "user" } else { "assistant" };
            format!("{{\"role\":\"{role}\",\n\"content\": {content}}}")
        };
        contents.iter().enumerate().map(message).collect::<Vec<_>>().join(",\n ")
    });
    let top = proptest::sample::select(vec!["", r#","cache_control":{"type":"ephemeral"}"#]);
    (tools, proptest::option::of(a_content()), messages, top, any::<bool>()).prop_map(
        |(tools, system, messages, top, tools_last)| {
            let system = system.map_or_else(String::new, |system| format!(r#","system":{system}"#));
            let tools = format!(r#","tools":[{}]"#, tools.join(","));
            let (front, back) = if tools_last { (String::new(), tools) } else { (tools, String::new()) };
            format!(r#"{{"model":"m","max_tokens":5{front}{system},"messages":[{messages}]{top}{back} }}"#)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever the body and the care: only markers differ, no more than four stand there, a longer
    /// life stands in front of a shorter one, and what the plan says is what a scan then finds.
    #[test]
    fn care_changes_markers_and_nothing_else(body in a_body(), add in any::<bool>(), long in any::<bool>()) {
        let before = view(Operation::Messages, &body);
        let plan = before.plan_markers(MarkerCare { add, long });
        let out = applied(&body, &plan.splices);
        prop_assert_eq!(content(&out), content(&body));
        let (was, is) = (markers(&serde_json::from_str(&body).unwrap()), markers(&serde_json::from_str(&out).unwrap()));
        let held = |marks: &[bool]| marks.len() <= MOST && marks.is_sorted_by_key(|long| !long);
        if held(&was) {
            prop_assert!(held(&is), "{out}");
        }
        let after = view(Operation::Messages, &out);
        let hashed = |body: &str, view: &RequestView| -> Vec<String> {
            let text = |block: &Block| {
                let end = block.span.end..block.span.end;
                let marker = block.marker.clone().unwrap_or(end);
                body[block.span.start..marker.start].to_owned() + &body[marker.end..block.span.end]
            };
            view.blocks.iter().map(text).collect()
        };
        prop_assert_eq!(hashed(&body, &before), hashed(&out, &after), "fingerprints stay");
        if plan.splices.is_empty() {
            prop_assert_eq!(&out, &body);
        }
        let again = after.plan_markers(MarkerCare::default());
        if usize::from(after.markers) <= RequestView::MARKS {
            prop_assert_eq!(again.marks, plan.marks);
            prop_assert_eq!(again.ttl, plan.ttl);
        }
        if long && add {
            prop_assert_eq!(after.plan_markers(LONG).splices.len(), 0, "what is long stays as it is");
        }
    }

    /// A conversation that goes on is told in the same words: what the markers stood on in the turn
    /// before has the same bytes again once they have moved on.
    #[test]
    fn a_history_is_told_in_the_same_words_turn_after_turn(
        texts in proptest::collection::vec(a_text(), 3..9),
    ) {
        let body = |turns: usize| {
            let message = |(n, text): (usize, &String)| {
                let role = if n % 2 == 0 { "user" } else { "assistant" };
                format!(r#"{{"role":"{role}","content":{text}}}"#)
            };
            let messages: Vec<String> = texts.iter().take(turns).enumerate().map(message).collect();
            format!(r#"{{"model":"m","system":"be kind","messages":[{}]}}"#, messages.join(","))
        };
        for turns in 1..texts.len() {
            let (now, then) = (body(turns), body(turns + 1));
            prop_assert_eq!(content(&cared(&now, ADD)), content(&now));
            let first = |body: &str| content(body)["messages"].as_array().unwrap()[..turns].to_vec();
            prop_assert_eq!(first(&cared(&now, ADD)), first(&cared(&then, ADD)));
        }
    }
}
