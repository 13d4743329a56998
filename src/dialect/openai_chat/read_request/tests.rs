use proptest::prelude::*;

use super::*;
use crate::{
    dialect::neutral::{
        At, CacheMark, Carrier, Content, Effort, Format, Maker, OnLoss, Role, Seal, Seals, Source,
        ToolChoice, ToolKind, with_carrier,
    },
    types::ProviderDialect,
};

/// Reads a body with these members beside one message; gives the losses, too.
fn with<T>(members: &str, see: impl FnOnce(&Request<'_>) -> T) -> (T, Vec<String>) {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#);
    read(&body, see)
}

fn read<T>(body: &str, see: impl FnOnce(&Request<'_>) -> T) -> (T, Vec<String>) {
    let mut losses = Losses::default();
    let request = read_request(body.as_bytes(), &mut losses).unwrap();
    let lost = losses.settle(OnLoss::Drop).unwrap();
    (see(&request), lost.into_iter().map(std::borrow::Cow::into_owned).collect())
}

fn lost(members: &str) -> Vec<String> {
    with(members, |_| ()).1
}

fn meaning(members: &str) -> Option<String> {
    let body = format!(r#"{{"model":"m","messages":[],{members}}}"#);
    let mut losses = Losses::default();
    read_request(body.as_bytes(), &mut losses).unwrap();
    losses.settle(OnLoss::DropHints).err().map(|refused| refused.field)
}

fn malformed(body: &str) -> String {
    read_request(body.as_bytes(), &mut Losses::default()).unwrap_err().field
}

/// The conversation, a line a part.
fn outline(messages: &str) -> Vec<String> {
    let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
    read(&body, |request| {
        let system = request.system.iter().map(|part| format!("S {}", one(&part.content)));
        let parts = request.messages.iter().flat_map(|message| {
            let role = match message.role {
                Role::User => "u",
                Role::Assistant => "a",
                Role::System => "s",
            };
            message.parts.iter().map(move |part| format!("{role} {}", one(&part.content)))
        });
        system.chain(parts).collect()
    })
    .0
}

fn one(content: &Content<'_>) -> String {
    match content {
        Content::Text(text) => format!("text {}", text.raw()),
        Content::Refusal(text) => format!("refusal {}", text.raw()),
        Content::Thinking { text, seal: Seals::None } => format!("thinking {}", text.raw()),
        Content::Thinking { text, .. } => format!("sealed {}", text.raw()),
        Content::ToolCall { id, name, arguments, carrier } => {
            let own = if carrier.is_some() { " own" } else { "" };
            format!("call {} {} {}{own}", id.raw(), name.raw(), arguments.as_str())
        }
        Content::ToolResult { id, parts, .. } => {
            let parts: Vec<String> = parts.iter().map(|part| one(&part.content)).collect();
            format!("result {} [{}]", id.raw(), parts.join(","))
        }
        Content::Media(media) => match &media.source {
            Source::Base64 { media_type, data } => {
                format!("{:?} {} {}", media.kind, media_type.raw(), data.raw())
            }
            Source::Url(url) => format!("{:?} {}", media.kind, url.raw()),
            Source::File(id) => format!("{:?} file {}", media.kind, id.raw()),
            Source::Text(text) => format!("{:?} text {}", media.kind, text.raw()),
        },
    }
}

#[test]
fn roles_find_their_place() {
    assert_eq!(
        outline(
            r#"[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},
            {"role":"user","content":"c"},{"content":"d","role":"system"},
            {"role":"assistant","content":null,"refusal":"no"}]"#
        ),
        ["S text a", "S text b", "u text c", "s text d", "a refusal no"]
    );
}

#[test]
fn results_of_one_turn_stand_together() {
    let messages = r#"[{"role":"assistant","content":"","tool_calls":[
        {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
        {"index":1,"id":"c2","type":"function","function":{"arguments":"","name":"g"}},
        {"id":"c3","type":"custom","custom":{"name":"h","input":"x\ny"}}]},
        {"role":"tool","tool_call_id":"c1","content":"1"},
        {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"2"}]}]"#;
    assert_eq!(
        outline(messages),
        [
            r#"a call c1 f {"a":1}"#,
            "a call c2 g {}",
            r#"a call c3 h "x\ny""#,
            "u result c1 [text 1]",
            "u result c2 [text 2]"
        ]
    );
    let body = format!(r#"{{"messages":{messages}}}"#);
    assert_eq!(read(&body, |request| request.messages.len()).0, 2);
}

#[test]
fn arguments_that_are_no_object_stay_readable() {
    let call = r#"[{"role":"assistant","tool_calls":[
        {"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]}]"#;
    assert_eq!(outline(call), [r#"a call c f {"invalid_json":"{\"a\":"}"#]);
}

#[test]
fn the_older_form_of_calls_is_understood_in_a_history() {
    assert_eq!(
        outline(
            r#"[{"role":"user","content":"q"},
            {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
            {"role":"function","name":"f","content":"r"}]"#
        ),
        ["u text q", "a call call_1 f {}", "u result call_1 [text r]"]
    );
}

#[test]
fn media_are_told_apart() {
    assert_eq!(
        outline(
            r#"[{"role":"user","content":[
            {"type":"image_url","image_url":{"url":"data:image\/png;base64,AA\/=","detail":"auto"}},
            {"type":"image_url","image_url":"https://x/y.png"},
            {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}},
            {"type":"file","file":{"file_data":"JVBE"}},
            {"type":"file","file":{"file_id":"file-1"}},
            {"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}]}]"#
        ),
        [
            r"u Image image/png AA\/=",
            "u Image https://x/y.png",
            "u Document application/pdf JVBE",
            "u Document application/pdf JVBE",
            "u Document file file-1",
            "u Audio audio/wav UklG"
        ]
    );
}

#[test]
fn thinking_comes_first_and_from_the_id() {
    assert_eq!(
        outline(
            r#"[{"role":"assistant","content":"b","reasoning":"a","reasoning_content":"a"},
            {"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},
                {"type":"text","text":"b"}]}]"#
        ),
        ["a thinking a", "a text b", "a thinking t", "a text b"]
    );
    let seal = |dialect| Seal { dialect, id: String::new(), text: "so \"so\"".into(), data: "sig".into() };
    for (dialect, expected) in [
        (ProviderDialect::Anthropic, vec![r#"a sealed so \"so\""#, "a call c f {}", "u result c []"]),
        (ProviderDialect::Gemini, vec!["a call c f {} own", "u result c []"]),
    ] {
        let carrier = Carrier { maker: Maker::of("p"), seal: seal(dialect) };
        let id = with_carrier(&Escaped::plain("c"), &carrier);
        let id = id.raw();
        let messages = format!(
            r#"[{{"role":"assistant","tool_calls":[
            {{"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},
            {{"role":"tool","tool_call_id":"{id}","content":[]}}]"#
        );
        assert_eq!(outline(&messages), expected);
    }
}

#[test]
fn settings_are_read() {
    let (_, lost) = with(
        r#""max_tokens":5,"max_completion_tokens":6,"stop":"x","temperature":0.50,"top_k":3,"seed":7,
        "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,"stream":true,
        "stream_options":{"include_usage":true},"reasoning_effort":"high","user":"u",
        "prompt_cache_key":"k","prompt_cache_retention":"24h","service_tier":"flex","verbosity":"low",
        "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},
        "tools":[{"type":"function","function":{"name":"f","parameters":{"a":1}},"cache_control":{"type":"ephemeral","ttl":"1h"}},
            {"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"d"}}}},
            {"type":"web_search"}]"#,
        |request| {
            assert_eq!(request.max_output, Some(6));
            assert_eq!(request.sampling.stop, [Escaped::plain("x")]);
            assert_eq!(request.sampling.temperature.as_ref().unwrap().as_str(), "0.50");
            assert_eq!(request.tool_choice, Some(ToolChoice::Named(Escaped::plain("f"))));
            assert_eq!(request.parallel_tools, Some(false));
            assert!(request.stream && request.include_usage && request.cache.long);
            let effort = &request.reasoning.as_ref().unwrap().effort;
            assert_eq!(*effort, Effort::Level(Escaped::plain("high")));
            assert_eq!(request.user, Some(Escaped::plain("u")));
            assert!(matches!(&request.format, Some(Format::Schema { strict: Some(true), .. })));
            let [f, c, hosted] = request.tools.as_slice() else { panic!("three tools") };
            assert!(matches!(&f.kind, ToolKind::Function(Some(schema)) if schema.as_str() == r#"{"a":1}"#));
            assert_eq!((f.mark, f.at), (Some(CacheMark::Long), At::Tool(0)));
            let grammar = r#"{"type":"grammar","syntax":"lark","definition":"d"}"#;
            assert!(matches!(&c.kind, ToolKind::Custom(Some(format)) if format.as_str() == grammar));
            let ToolKind::Hosted { kind, definition } = &hosted.kind else { panic!("hosted") };
            assert_eq!((kind.raw(), definition.as_str()), ("web_search", r#"{"type":"web_search"}"#));
        },
    );
    assert_eq!(lost, [""; 0]);
}

#[test]
fn thinking_is_asked_for_in_the_hosts_ways() {
    for (members, expected) in [
        (r#""reasoning_effort":"none""#, Effort::Off),
        (r#""reasoning":{"effort":"low"}"#, Effort::Level(Escaped::plain("low"))),
        (r#""reasoning":{"max_tokens":2000}"#, Effort::Budget(2_000)),
        (r#""reasoning":{"enabled":true}"#, Effort::Adaptive(None)),
        (r#""thinking":{"type":"disabled"}"#, Effort::Off),
        (r#""thinking":{"type":"enabled","budget_tokens":9}"#, Effort::Budget(9)),
    ] {
        let (effort, lost) = with(members, |request| {
            let owned = match &request.reasoning.as_ref().unwrap().effort {
                Effort::Level(level) => Effort::Level(level.clone().into_owned()),
                Effort::Budget(tokens) => Effort::Budget(*tokens),
                Effort::Adaptive(_) => Effort::Adaptive(None),
                Effort::Off => Effort::Off,
            };
            (owned, ())
        });
        assert_eq!((effort.0, lost), (expected, vec![]), "{members}");
    }
}

#[test]
fn defaults_are_no_loss() {
    let defaults = r#""n":1,"stream":false,"logprobs":false,"top_logprobs":null,"store":false,"metadata":{},
        "logit_bias":{},"frequency_penalty":0,"presence_penalty":0.0,"modalities":["text"],"stop":null,
        "service_tier":"auto","audio":null,"functions":[],"response_format":{"type":"text"},"tools":[],
        "prediction":null,"user":null,"reasoning_effort":null,"prompt_cache_options":{"mode":"implicit","ttl":"30m"}"#;
    let (tier, lost) = with(defaults, |request| request.tier.is_some() || request.format.is_some());
    assert_eq!((tier, lost), (false, vec![]));
}

#[test]
fn what_is_not_translated_is_written_down() {
    assert_eq!(lost(r#""metadata":{"a":"b"},"store":true"#), ["metadata", "store"]);
    for (members, field) in [
        (r#""n":2"#, "n"),
        (r#""logprobs":true"#, "logprobs"),
        (r#""audio":{"voice":"x"}"#, "audio"),
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""web_search_options":{"search_context_size":"low"}"#, "web_search_options"),
        (r#""functions":[{"name":"f"}]"#, "functions"),
        (r#""min_p":0.1"#, "min_p"),
        (r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto"}}"#, "tool_choice"),
        (r#""response_format":{"type":"grammar","grammar":"g"}"#, "response_format"),
    ] {
        assert_eq!(meaning(members).as_deref(), Some(field), "{members}");
    }
    assert_eq!(meaning(r#""metadata":{"a":"b"}"#), None);
    let body = r#"{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"u"}}]},
        {"role":"assistant","content":"x","audio":{"id":"a"},"annotations":[{"type":"url_citation"}]}]}"#;
    assert_eq!(read(body, |_| ()).1, ["messages[0].content[0]", "messages[1].audio"]);
}

#[test]
fn the_wrong_type_is_named() {
    for (body, field) in [
        ("{}", "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":[1]}"#, "messages[0]"),
        (r#"{"messages":[{"role":"robot"}]}"#, "messages[0].role"),
        (r#"{"messages":[{"content":"x"}]}"#, "messages[0].role"),
        (r#"{"messages":[{"role":"user","content":5}]}"#, "messages[0].content"),
        (r#"{"messages":[{"role":"user","content":[5]}]}"#, "messages[0].content[0]"),
        (r#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#, "messages[0].content[0].type"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
            "messages[0].content[0].image_url",
        ),
        (r#"{"messages":[{"role":"tool","content":"x"}]}"#, "messages[0].tool_call_id"),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}]}"#,
            "messages[0].tool_calls[0].function",
        ),
        (r#"{"messages":[],"max_tokens":"5"}"#, "max_tokens"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[],"temperature":true}"#, "temperature"),
        (r#"{"messages":[],"tools":[{"type":"function","function":{}}]}"#, "tools[0].function.name"),
        (r#"{"messages":[],"tool_choice":"maybe"}"#, "tool_choice"),
        (r#"{"messages":[]"#, ""),
        (r#"{"messages":[]} x"#, ""),
    ] {
        assert_eq!(malformed(body), field, "{body}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(cut in 0_usize..700, at in 0_usize..700, byte: u8) {
        let mut body = br#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[
            {"type":"text","text":"a\u00e9","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":
            {"url":"data:image/png;base64,AA"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c-wk1-x",
            "type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c",
            "content":"r"}],"tools":[{"type":"x"}],"stop":["a"],"thinking":{"type":"enabled"},"logit_bias":{"1":2}}"#
            .to_vec();
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        body.truncate(body.len().max(cut) - cut.min(body.len()) / 2);
        let _either = read_request(&body, &mut Losses::default());
    }

    #[test]
    fn any_bytes_are_an_error_or_a_request(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _either = read_request(&body, &mut Losses::default());
    }
}
