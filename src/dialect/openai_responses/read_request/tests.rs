use proptest::prelude::*;

use super::*;
use crate::dialect::neutral::{
    CacheMark, Carrier, Effort, Escaped, Format, Maker, MediaKind, OnLoss, Role, Seal, Seals, Source,
    ToolChoice, ToolKind, with_carrier,
};
use crate::types::ProviderDialect;

fn read(body: &str) -> (Request<'_>, Losses) {
    let mut losses = Losses::default();
    let request = read_request(body.as_bytes(), &mut losses).unwrap();
    (request, losses)
}

/// Everything that was written down, hints included.
fn lost(body: &str) -> Vec<String> {
    let (_, losses) = read(body);
    losses.settle(OnLoss::Drop).unwrap().into_iter().map(|lost| lost.into_owned()).collect()
}

fn malformed(body: &str, field: &str) {
    let why = read_request(body.as_bytes(), &mut Losses::default()).unwrap_err();
    assert_eq!(why.field, field, "{body}: {why:?}");
}

fn input(items: &str) -> String {
    format!(r#"{{"model":"m","input":[{items}]}}"#)
}

/// The conversation in one line a part.
fn told(request: &Request<'_>) -> Vec<String> {
    let part = |part: &Part<'_>| match &part.content {
        Content::Text(text) => format!("text {}", text.raw()),
        Content::Media(media) => format!("{:?}", media.kind),
        Content::ToolCall { id, name, arguments, .. } => {
            format!("call {} {} {}", id.raw(), name.raw(), arguments.as_str())
        }
        Content::ToolResult { id, parts, .. } => format!("result {} of {}", id.raw(), parts.len()),
        Content::Thinking { text, seal } => format!("thinking {} {seal:?}", text.raw()),
        Content::Refusal(text) => format!("refusal {}", text.raw()),
    };
    let system = request.system.iter().map(|piece| format!("system: {}", part(piece)));
    let messages = request.messages.iter().map(|message| {
        let parts: Vec<String> = message.parts.iter().map(part).collect();
        format!("{:?}: {}", message.role, parts.join("; "))
    });
    system.chain(messages).collect()
}

#[test]
fn a_turn_of_the_models_is_one_message_and_so_are_its_results() {
    let body = r#"{"input":[
        {"type":"message","role":"developer","content":[{"type":"input_text","text":"be short"}]},
        {"role":"user","content":"look"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant",
         "content":[{"type":"output_text","text":"I \"look\"","annotations":[],"logprobs":[]}]},
        {"id":"fc_1","arguments":"{\"path\":\"a\\n\"}","call_id":"call_1","name":"read","type":"function_call"},
        {"type":"function_call","call_id":"call_2","name":"list","arguments":""},
        {"type":"function_call_output","call_id":"call_1","output":"x"},
        {"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"y"},
         {"type":"input_image","image_url":"data:image/png;base64,aGk=","detail":"low"}]},
        {"role":"user","content":[{"type":"input_text","text":"go on"}]},
        {"role":"developer","content":"stay calm"},
        {"type":"custom_tool_call","call_id":"call_3","name":"patch","input":"*** Begin\n"},
        {"type":"custom_tool_call_output","call_id":"call_3","output":"ok"}
        ],"instructions":"You code."}"#;
    let (request, losses) = read(body);
    assert_eq!(
        told(&request),
        [
            "system: text You code.",
            "system: text be short",
            "User: text look",
            r#"Assistant: thinking a\n\nb None; text I \"look\"; call call_1 read {"path":"a\n"}; call call_2 list {}"#,
            "User: result call_1 of 1; result call_2 of 2",
            "User: text go on",
            "System: text stay calm",
            r#"Assistant: call call_3 patch "*** Begin\n""#,
            "User: result call_3 of 1",
        ]
    );
    assert_eq!(losses.settle(OnLoss::Refuse), Ok(vec![]));
    assert_eq!(request.messages.get(1).unwrap().role, Role::Assistant);
}

#[test]
fn settings_are_understood() {
    let body = r#"{"model":"gpt-5","input":"hi","stream":true,"store":true,"max_output_tokens":100,
        "temperature":0.5,"top_p":1,"parallel_tool_calls":false,"reasoning":{"effort":"high","summary":"auto"},
        "text":{"verbosity":"low","format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
        "prompt_cache_key":"k","prompt_cache_retention":"24h","safety_identifier":"u","user":"older",
        "service_tier":"flex","include":["reasoning.encrypted_content"],"truncation":"disabled",
        "tool_choice":{"type":"function","name":"f"},"metadata":{},"previous_response_id":null,
        "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false,"description":null},
                 {"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"x"}},
                 {"type":"web_search","filters":{"allowed_domains":["a"]}}]}"#;
    let (request, losses) = read(body);
    assert_eq!(losses.settle(OnLoss::Refuse), Ok(vec![]));
    assert!(request.stream && request.cache.long);
    assert_eq!(request.max_output, Some(100));
    assert_eq!(request.sampling.temperature.unwrap().as_str(), "0.5");
    assert_eq!(request.parallel_tools, Some(false));
    assert_eq!(request.reasoning.as_ref().unwrap().effort, Effort::Level(Escaped::plain("high")));
    assert!(matches!(request.format, Some(Format::Schema { strict: Some(true), .. })));
    assert_eq!(request.cache.key.unwrap().raw(), "k");
    assert_eq!(request.user.unwrap().raw(), "u");
    assert_eq!(request.tier.unwrap().raw(), "flex");
    assert_eq!(request.tool_choice, Some(ToolChoice::Named(Escaped::plain("f"))));
    let kinds: Vec<bool> =
        request.tools.iter().map(|tool| matches!(tool.kind, ToolKind::Hosted { .. })).collect();
    assert_eq!(kinds, [false, false, true]);
    let echoed: Vec<&str> = request.echo.iter().map(|(name, _)| *name).collect();
    assert!(echoed.contains(&"tools") && echoed.contains(&"reasoning") && !echoed.contains(&"store"));
    let (tools, text) = request.echo.iter().find(|(name, _)| *name == "max_output_tokens").unwrap();
    assert_eq!((*tools, text.as_str()), ("max_output_tokens", "100"));
}

#[test]
fn what_lives_at_one_provider_changes_the_answer() {
    for (body, field) in [
        (r#"{"previous_response_id":"resp_1"}"#, "previous_response_id"),
        (r#"{"input":"x","conversation":{"id":"conv_1"}}"#, "conversation"),
        (r#"{"prompt":{"id":"pmpt_1"}}"#, "prompt"),
        (r#"{"input":"x","background":true}"#, "background"),
        (r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#, "input[0]"),
        (r#"{"input":[{"id":"msg_1"}]}"#, "input[0]"),
        (r#"{"input":[{"type":"web_search_call","id":"ws_1","status":"completed"}]}"#, "input[0]"),
        (r#"{"input":"x","frobnicate":1}"#, "frobnicate"),
        (r#"{"input":"x","reasoning":{"mode":"pro"}}"#, "reasoning.mode"),
        (r#"{"input":[{"role":"user","content":[{"type":"hologram"}]}]}"#, "input[0].content[0]"),
        (r#"{"input":"x","tools":[{"type":"function","name":"f","async":true}]}"#, "tools[0].async"),
    ] {
        let (_, losses) = read(body);
        assert_eq!(losses.settle(OnLoss::DropHints).unwrap_err().field, field, "{body}");
    }
}

#[test]
fn what_only_hints_may_go() {
    let body = r#"{"input":[{"role":"assistant","phase":"commentary","content":"x"}],"metadata":{"a":"b"},
        "client_metadata":{"x":1},"truncation":"auto","max_tool_calls":3,"include":["file_search_call.results"],
        "stream_options":{"include_obfuscation":false}}"#;
    assert_eq!(
        lost(body),
        ["input[0].phase", "metadata", "client_metadata", "truncation", "max_tool_calls", "include[0]"]
    );
    assert!(read(body).1.settle(OnLoss::DropHints).is_ok());
}

#[test]
fn what_is_of_the_wrong_type_is_named() {
    for (body, field) in [
        ("[]", ""),
        ("{}", "input"),
        (r#"{"input":1}"#, "input"),
        (r#"{"input":["x"]}"#, "input[0]"),
        (r#"{"input":[{"role":"robot","content":"x"}]}"#, "input[0].role"),
        (r#"{"input":[{"role":"user","content":1}]}"#, "input[0].content"),
        (r#"{"input":[{"role":"user","content":["x"]}]}"#, "input[0].content[0]"),
        (r#"{"input":[{"role":"user","content":[{"type":"input_text"}]}]}"#, "input[0].content[0].text"),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":7}]}]}"#,
            "input[0].content[0].text",
        ),
        (r#"{"input":[{"type":"function_call","name":"f","arguments":"{}"}]}"#, "input[0].call_id"),
        (r#"{"input":[{"type":"function_call_output","call_id":"c"}]}"#, "input[0].output"),
        (r#"{"input":"x","max_output_tokens":"7"}"#, "max_output_tokens"),
        (r#"{"input":"x","stream":"yes"}"#, "stream"),
        (r#"{"input":"x","temperature":"hot"}"#, "temperature"),
        (r#"{"input":"x","tools":[{"type":"function"}]}"#, "tools[0].name"),
        (r#"{"input":"x","tools":{}}"#, "tools"),
        (r#"{"input":"x","tool_choice":"perhaps"}"#, "tool_choice"),
        (r#"{"input":"x","text":{"format":{"type":"json_schema"}}}"#, "text.format.schema"),
        (r#"{"input":"x"} x"#, ""),
    ] {
        malformed(body, field);
    }
}

#[test]
fn media_are_taken_apart() {
    for (part, kind, expected) in [
        (r#"{"type":"input_image","image_url":"https://a/b.png"}"#, MediaKind::Image, "Url(https://a/b.png)"),
        (
            r#"{"type":"input_image","image_url":"data:image\/png;base64,a\/b="}"#,
            MediaKind::Image,
            "image/png a/b=",
        ),
        (r#"{"type":"input_image","file_id":"file-1"}"#, MediaKind::Image, "File(file-1)"),
        (
            r#"{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}"#,
            MediaKind::Document,
            "application/pdf JVBERi0=",
        ),
        (
            r#"{"type":"input_file","filename":"a.csv","file_data":"YQ=="}"#,
            MediaKind::Document,
            "text/csv YQ==",
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}"#,
            MediaKind::Audio,
            "audio/wav UklG",
        ),
    ] {
        let body = input(&format!(r#"{{"role":"user","content":[{part}]}}"#));
        let (request, losses) = read(&body);
        assert_eq!(losses.settle(OnLoss::Refuse), Ok(vec![]), "{part}");
        let Content::Media(media) = &request.messages[0].parts[0].content else { panic!("{part}") };
        let source = match &media.source {
            Source::Base64 { media_type, data } => format!("{} {}", media_type.raw(), data.raw()),
            Source::Url(url) => format!("Url({})", url.raw()),
            Source::File(id) => format!("File({})", id.raw()),
            Source::Text(text) => format!("Text({})", text.raw()),
        };
        assert_eq!((media.kind, source.as_str()), (kind, expected), "{part}");
    }
}

#[test]
fn seals_are_unpacked_and_marks_kept() {
    let seal = Seal {
        dialect: ProviderDialect::Anthropic,
        id: String::new(),
        text: String::new(),
        data: "s".into(),
    };
    let carrier = Carrier { maker: Maker::of("a"), seal };
    let id = with_carrier(&Escaped::plain("call_1"), &carrier);
    let body = input(&format!(
        r#"{{"type":"reasoning","summary":[],"encrypted_content":"{}"}},
           {{"type":"reasoning","summary":[],"content":[{{"type":"reasoning_text","text":"clear"}}],"encrypted_content":"gAAA"}},
           {{"type":"function_call","call_id":"{id}","name":"f","arguments":"{{}}"}},
           {{"type":"function_call_output","call_id":"{id}","output":[
             {{"type":"input_text","text":"r","prompt_cache_breakpoint":{{"mode":"explicit","ttl":"12h"}}}}]}}"#,
        carrier.pack().raw(),
        id = id.raw()
    ));
    let (request, _) = read(&body);
    let parts = &request.messages[0].parts;
    assert!(
        matches!(&parts[0].content, Content::Thinking { seal: Seals::Carried(found), .. } if *found == carrier)
    );
    assert!(matches!(&parts[1].content,
        Content::Thinking { seal: Seals::Native(found), text } if found.raw() == "gAAA" && text.raw() == "clear"));
    assert!(matches!(&parts[2].content,
        Content::ToolCall { id, carrier: Some(found), .. } if id.raw() == "call_1" && *found == carrier));
    let result = &request.messages[1].parts[0];
    assert_eq!(result.mark, Some(CacheMark::Long));
    assert!(matches!(&result.content, Content::ToolResult { id, .. } if id.raw() == "call_1"));
}

#[test]
fn arguments_that_are_no_object_do_not_stop_the_conversation() {
    let body = input(r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\": \"b"}"#);
    let (request, _) = read(&body);
    assert_eq!(told(&request), [r#"Assistant: call c f {"invalid_json":"{\"a\": \"b"}"#]);
    assert_eq!(lost(&body), ["input[0].arguments"]);
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = read_request(&body, &mut Losses::default());
    }

    #[test]
    fn no_cut_and_no_change_of_a_byte_makes_it_panic(at in 0_usize..900, byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = include_bytes!("sample.json").to_vec();
        let at = at % body.len();
        if cut { body.truncate(at) } else { body[at] = byte }
        let _any = read_request(&body, &mut Losses::default());
    }
}
