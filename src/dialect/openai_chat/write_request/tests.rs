use super::*;
use crate::{
    dialect::{
        neutral::{
            At, CacheMark, Carrier, Effort, Escaped, Format, Json, Maker, Media, MediaKind, Message, OnLoss,
            Reasoning, Role, Seal, Seals, Tool, ToolChoice,
        },
        openai_chat::read_request,
        translate::{MaxTokensName, Quirks, ReasoningField},
    },
    types::ProviderDialect,
};

fn maker() -> Maker {
    Maker::of("host")
}

fn written(request: &Request<'_>, quirks: &Quirks) -> (String, Vec<String>) {
    let target = Target {
        dialect: ProviderDialect::OpenAiChat,
        maker: maker(),
        model: "gpt",
        quirks,
        on_loss: OnLoss::Drop,
    };
    let mut losses = Losses::default();
    let body = String::from_utf8(write_request(request, &target, &mut losses)).unwrap();
    serde_json::from_str::<serde_json::Value>(&body).unwrap();
    let lost = losses.settle(OnLoss::Drop).unwrap();
    (body, lost.into_iter().map(std::borrow::Cow::into_owned).collect())
}

/// What a host is sent that knows nothing but the common core.
fn plain() -> Quirks {
    Quirks {
        max_tokens: MaxTokensName::MaxTokens,
        developer_role: false,
        usage_option: false,
        strict_tools: false,
        parallel_tool_calls: false,
        json_schema: false,
        required_is_any: true,
        nine_letter_ids: true,
        reasoning: ReasoningField::None,
        random_seed: true,
        prompt_cache_key: false,
        cache_control: false,
        images: false,
        files: false,
        hints: false,
        affinity: None,
        api_version: None,
    }
}

/// Reads a Chat body and writes it again.
fn again(body: &str, quirks: &Quirks) -> (String, Vec<String>) {
    let request = read_request(body.as_bytes(), &mut Losses::default()).unwrap();
    written(&request, quirks)
}

fn part(content: Content<'_>) -> Part<'_> {
    Part { at: At::Content(0, 0), content, mark: None }
}

fn text(text: &str) -> Part<'_> {
    part(Content::Text(Escaped::plain(text)))
}

fn message<'a>(role: Role, parts: Vec<Part<'a>>) -> Message<'a> {
    Message { role, name: None, parts }
}

fn call(id: &str) -> Part<'_> {
    part(Content::ToolCall {
        id: Escaped::plain(id),
        name: Escaped::plain("f"),
        arguments: Json::written(r#"{"a":"b"}"#),
        carrier: None,
    })
}

fn result<'a>(id: &'a str, parts: Vec<Part<'a>>) -> Part<'a> {
    part(Content::ToolResult { id: Escaped::plain(id), is_error: false, parts })
}

fn picture() -> Part<'static> {
    part(Content::Media(Media {
        kind: MediaKind::Image,
        source: Source::Base64 { media_type: Escaped::plain("image/png"), data: Escaped::plain("AA==") },
        name: None,
        detail: None,
        citations: false,
    }))
}

fn claude() -> Request<'static> {
    Request::new(Dialect::Anthropic)
}

/// The messages as written, `{"model":"gpt","messages":` and what stands behind them cut off.
fn messages(request: &Request<'_>, quirks: &Quirks) -> String {
    let (body, _) = written(request, quirks);
    let body = body.strip_prefix(r#"{"model":"gpt","messages":"#).unwrap();
    body.strip_suffix('}').unwrap().to_owned()
}

#[test]
fn what_was_read_is_written_the_same() {
    let body = concat!(
        r#"{"model":"gpt","messages":[{"role":"system","content":"s"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},"#,
        r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}},"#,
        r#"{"type":"input_audio","input_audio":{"data":"UklG","format":"mp3"}}]},"#,
        r#"{"role":"assistant","content":"b","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\n\\\"\"}"}},"#,
        r#"{"id":"c2","type":"custom","custom":{"name":"g","input":"x\ny"}}]},"#,
        r#"{"role":"tool","tool_call_id":"c1","content":"1"},{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"2"},{"type":"text","text":"3"}]},"#,
        r#"{"role":"system","content":"now"},{"role":"assistant","content":null,"refusal":"no"},{"role":"user","name":"ann","content":"why"}],"#,
        r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},"#,
        r#"{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"definition":"x","syntax":"regex"}}}}],"#,
        r#""tool_choice":{"type":"custom","custom":{"name":"g"}},"parallel_tool_calls":false,"#,
        r#""stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9,"reasoning_effort":"low","#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"a":1},"strict":true}},"#,
        r#""temperature":0.5,"top_p":0.9,"frequency_penalty":1,"presence_penalty":1,"logit_bias":{"1":2},"seed":7,"stop":["x","y"],"#,
        r#""prompt_cache_key":"k","prompt_cache_retention":"24h","user":"u","service_tier":"flex","verbosity":"low"}"#,
    );
    assert_eq!(again(body, &Quirks::default()), (body.to_owned(), vec![]));
}

#[test]
fn a_plain_host_gets_the_core_and_the_rest_is_written_down() {
    let (body, lost) = again(
        concat!(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},"#,
            r#"{"type":"image_url","image_url":{"url":"https://x/y"}}]},{"role":"assistant","content":"","tool_calls":"#,
            r#"[{"id":"call_12345","type":"function","function":{"name":"f","arguments":"{}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"call_12345","content":"1"}],"#,
            r#""tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"custom","custom":{"name":"c"}}],"#,
            r#""tool_choice":"required","parallel_tool_calls":false,"stream":true,"max_tokens":9,"reasoning_effort":"low","seed":3,"#,
            r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"user":"u","service_tier":"flex","#,
            r#""prompt_cache_key":"k","verbosity":"low","top_k":4}"#
        ),
        &plain(),
    );
    let id = crate::dialect::neutral::fit(&Escaped::plain("call_12345"), 9, false);
    let id = id.raw();
    assert_eq!(
        body,
        format!(
            concat!(
                r#"{{"model":"gpt","messages":[{{"role":"user","content":"a\n\nb"}},{{"role":"assistant","content":null,"#,
                r#""tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},"#,
                r#"{{"role":"tool","tool_call_id":"{id}","content":"1"}}],"#,
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","properties":{{}}}}}}}}],"#,
                r#""tool_choice":"any","stream":true,"max_tokens":9,"response_format":{{"type":"json_object"}},"random_seed":3}}"#
            ),
            id = id
        )
    );
    assert_eq!(
        lost,
        [
            "messages[0].content[2]",
            "tools[1]",
            "tools[0].strict",
            "parallel_tool_calls",
            "reasoning_effort",
            "response_format",
            "top_k",
            "prompt_cache_key",
            "safety_identifier",
            "service_tier",
            "verbosity"
        ]
    );
}

#[test]
fn results_stand_behind_their_calls_and_pictures_behind_them() {
    let mut request = claude();
    request.messages = vec![
        message(Role::Assistant, vec![text("t"), call("a")]),
        message(Role::Assistant, vec![call("b")]),
        message(Role::User, vec![text("first"), result("a", vec![text("1"), picture()])]),
        message(Role::System, vec![text("note")]),
        message(Role::User, vec![result("b", vec![picture()])]),
    ];
    assert_eq!(
        messages(&request, &Quirks::default()),
        concat!(
            r#"[{"role":"assistant","content":"t","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":\"b\"}"}},"#,
            r#"{"id":"b","type":"function","function":{"name":"f","arguments":"{\"a\":\"b\"}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"a","content":"1"},"#,
            r#"{"role":"tool","tool_call_id":"b","content":"The result follows in the next message."},"#,
            r#"{"role":"user","content":[{"type":"text","text":"From the result of tool call a:"},"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},"#,
            r#"{"type":"text","text":"From the result of tool call b:"},"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]},"#,
            r#"{"role":"user","content":"first"},{"role":"system","content":"note"}]"#
        )
    );
}

#[test]
fn a_failed_tool_says_so() {
    let mut request = claude();
    let failed = |parts| part(Content::ToolResult { id: Escaped::plain("a"), is_error: true, parts });
    request.messages = vec![message(Role::User, vec![failed(vec![]), failed(vec![text("no such file")])])];
    let (body, lost) = written(&request, &Quirks::default());
    assert!(body.contains(r#""content":"The tool failed."},"#), "{body}");
    assert!(body.contains(r#""content":"no such file"}"#), "{body}");
    assert_eq!(lost, ["messages[0].content[0].is_error"]);
}

#[test]
fn thinking_goes_home_under_its_name_and_nowhere_else() {
    let sealed = |provider: &str, dialect, data: &str| {
        let seal = Seal { dialect, id: String::new(), text: String::new(), data: data.into() };
        let carrier = Carrier { maker: Maker::of(provider), seal };
        part(Content::Thinking { text: Escaped::plain("hm"), seal: Seals::Carried(carrier) })
    };
    let chat = ProviderDialect::OpenAiChat;
    for (thinking, expected) in [
        (sealed("host", chat, "reasoning_content"), r#""content":"x","reasoning_content":"hm"}"#),
        (sealed("host", chat, "reasoning"), r#""content":"x","reasoning":"hm"}"#),
        (
            sealed("host", chat, "thinking"),
            concat!(
                r#""content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},"#,
                r#"{"type":"text","text":"x"}]}"#
            ),
        ),
        (sealed("host", chat, "content"), r#""content":"x"}"#),
        (sealed("another", chat, "reasoning"), r#""content":"x"}"#),
        (sealed("host", ProviderDialect::Anthropic, "reasoning"), r#""content":"x"}"#),
        (
            part(Content::Thinking {
                text: Escaped::plain("hm"),
                seal: Seals::Native(Escaped::plain("reasoning")),
            }),
            r#""content":"x"}"#,
        ),
    ] {
        let mut request = claude();
        request.messages = vec![message(Role::Assistant, vec![thinking, text("x")])];
        let (body, lost) = written(&request, &Quirks::default());
        assert_eq!(body, format!(r#"{{"model":"gpt","messages":[{{"role":"assistant",{expected}]}}"#));
        assert_eq!(lost, [""; 0]);
    }
}

#[test]
fn what_a_call_brought_goes_back_with_it() {
    let carrier = |data: &str| {
        let seal = Seal {
            dialect: ProviderDialect::OpenAiChat,
            id: String::new(),
            text: String::new(),
            data: data.into(),
        };
        Some(Carrier { maker: maker(), seal })
    };
    for (data, expected) in
        [(r#"{"google":{}}"#, r#","extra_content":{"google":{}}}]"#), (r#"{"a":1},"b":{"#, r#""}}]"#)]
    {
        let mut request = claude();
        let mut called = call("a");
        if let Content::ToolCall { carrier: own, .. } = &mut called.content {
            *own = carrier(data);
        }
        request.messages = vec![message(Role::Assistant, vec![called])];
        let body = messages(&request, &Quirks::default());
        assert!(body.ends_with(&format!("{expected}}}]")), "{body}");
    }
}

#[test]
fn effort_is_asked_for_in_the_hosts_way() {
    for (field, effort, expected, lost) in [
        (ReasoningField::Effort, Effort::Budget(9_000), r#","reasoning_effort":"high"}"#, 0),
        (ReasoningField::Effort, Effort::Off, r#","reasoning_effort":"none"}"#, 0),
        (ReasoningField::Object, Effort::Budget(9_000), r#","reasoning":{"max_tokens":9000}}"#, 0),
        (ReasoningField::Object, Effort::Off, r#","reasoning":{"enabled":false}}"#, 0),
        (ReasoningField::Object, Effort::Adaptive(None), r#","reasoning":{"enabled":true}}"#, 0),
        (ReasoningField::Switch, Effort::Off, r#","thinking":{"type":"disabled"}}"#, 0),
        (ReasoningField::Switch, Effort::Budget(1), r#","thinking":{"type":"enabled"}}"#, 1),
        (ReasoningField::None, Effort::Off, r#""messages":[]}"#, 0),
        (ReasoningField::None, Effort::Adaptive(None), r#""messages":[]}"#, 1),
    ] {
        let mut request = claude();
        request.reasoning = Some(Reasoning { effort, summary: None });
        let quirks = Quirks { reasoning: field, ..Quirks::default() };
        let (body, dropped) = written(&request, &quirks);
        assert!(body.ends_with(expected), "{body}");
        assert_eq!(dropped, vec!["thinking"; lost]);
    }
}

#[test]
fn marks_are_written_where_they_are_understood() {
    let mut request = claude();
    let mut marked = text("s");
    marked.mark = Some(CacheMark::Long);
    request.system = vec![marked];
    let (body, lost) = written(&request, &Quirks { cache_control: true, ..Quirks::default() });
    assert_eq!(
        body,
        concat!(
            r#"{"model":"gpt","messages":[{"role":"system","content":[{"type":"text","text":"s","#,
            r#""cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#
        )
    );
    assert_eq!(lost, [""; 0]);
    let (body, lost) = written(&request, &Quirks { developer_role: true, ..Quirks::default() });
    assert_eq!(body, r#"{"model":"gpt","messages":[{"role":"developer","content":"s"}]}"#);
    assert_eq!(lost, ["cache_control"]);
}

#[test]
fn losses_speak_the_origins_words() {
    let mut request = claude();
    request.tools = vec![Tool {
        at: At::Tool(0),
        name: Escaped::plain("web_search"),
        description: None,
        kind: ToolKind::Hosted {
            kind: Escaped::plain("web_search_20250305"),
            definition: Json::written("{}"),
        },
        strict: None,
        mark: None,
    }];
    request.tool_choice = Some(ToolChoice::Any);
    request.parallel_tools = Some(false);
    request.user = Some(Escaped::plain("u"));
    request.sampling.stop = ["a", "b", "c", "d", "e"].map(Escaped::plain).to_vec();
    request.format =
        Some(Format::Schema { name: None, description: None, schema: Json::written("{}"), strict: None });
    let quirks = Quirks { json_schema: false, ..Quirks::default() };
    assert_eq!(
        written(&request, &quirks).1,
        ["tools[0]", "tool_choice", "output_config.format", "stop_sequences"]
    );
    assert_eq!(
        written(&request, &plain()).1,
        ["tools[0]", "tool_choice", "output_config.format", "metadata.user_id"]
    );
}

#[test]
fn a_long_user_is_made_to_fit_the_same_each_time() {
    let mut request = claude();
    let long = format!("{{\\\"session_id\\\":\\\"{}\\\"}}", "x".repeat(64));
    request.user = Some(Escaped::plain(&long));
    let (body, lost) = written(&request, &Quirks::default());
    let user = body.split(r#""user":""#).nth(1).unwrap().trim_end_matches("\"}");
    assert_eq!((user.len(), lost), (32, vec![]));
    assert_eq!(written(&request, &Quirks::default()).0, body);
}

/// A conversation of `turns` turns, each with two calls, their results and a picture.
fn conversation(turns: usize) -> String {
    let mut request = claude();
    request.system = vec![text("s")];
    let ids: Vec<[String; 2]> = (0..turns).map(|n| [format!("toolu_{n}a"), format!("toolu_{n}b")]).collect();
    request.messages.push(message(Role::User, vec![text("go"), text("on")]));
    for [a, b] in &ids {
        request.messages.push(message(Role::Assistant, vec![text("so"), call(a), call(b)]));
        let results = vec![result(a, vec![text("1"), picture()]), result(b, vec![]), text("more")];
        request.messages.push(message(Role::User, results));
    }
    messages(&request, &Quirks::default())
}

#[test]
fn a_longer_conversation_begins_like_a_shorter_one() {
    for turns in 0..20 {
        let shorter = conversation(turns);
        let longer = conversation(turns + 1);
        assert!(longer.starts_with(shorter.strip_suffix(']').unwrap()), "{turns}");
    }
}
