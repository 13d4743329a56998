use serde_json::{Value, json};

use super::*;
use crate::dialect::{
    neutral::{
        At, CacheMark, Carrier, Effort, Escaped, Json, Maker, Media, MediaKind, Message, OnLoss, Reasoning,
        Role, Seal, Seals, Tool, ToolChoice, ToolKind, fit,
    },
    openai_responses::read_request,
    translate::{Quirks, ReasoningField},
};
use crate::types::{Dialect, ProviderDialect};

fn target<'a>(quirks: &'a Quirks, model: &'a str) -> Target<'a> {
    Target {
        dialect: ProviderDialect::OpenAiResponses,
        maker: Maker::of("openai"),
        model,
        quirks,
        on_loss: OnLoss::DropHints,
    }
}

fn written(request: &Request<'_>, quirks: &Quirks) -> (Value, Vec<String>) {
    let mut losses = Losses::default();
    let body = write_request(request, &target(quirks, "gpt-5"), &mut losses);
    let lost = losses.settle(OnLoss::Drop).unwrap().into_iter().map(|lost| lost.into_owned()).collect();
    (serde_json::from_slice(&body).unwrap(), lost)
}

fn check(request: &Request<'_>, member: &str, expected: &Value, lost: &[&str]) {
    let (body, found) = written(request, &Quirks::default());
    assert_eq!(body.get(member).unwrap_or(&Value::Null), expected);
    assert_eq!(found, lost);
}

fn text(text: &'static str) -> Part<'static> {
    part(Content::Text(Escaped::plain(text)))
}

fn part(content: Content<'static>) -> Part<'static> {
    Part { at: At::Content(0, 0), content, mark: None }
}

fn said(role: Role, parts: Vec<Part<'static>>) -> Message<'static> {
    Message { role, name: None, parts }
}

fn asked(origin: Dialect, messages: Vec<Message<'static>>) -> Request<'static> {
    Request { messages, ..Request::new(origin) }
}

fn call(id: &'static str, carrier: Option<Carrier>) -> Part<'static> {
    part(Content::ToolCall {
        id: Escaped::plain(id),
        name: Escaped::plain("f"),
        arguments: Json::written(r#"{"a":"\n"}"#),
        carrier,
    })
}

fn sealed(maker: &str, dialect: ProviderDialect) -> Carrier {
    let seal = Seal { dialect, id: "rs_1".into(), text: String::new(), data: "gAAA".into() };
    Carrier { maker: Maker::of(maker), seal }
}

fn thinking(carrier: Carrier) -> Part<'static> {
    part(Content::Thinking { text: Escaped::plain("hm"), seal: Seals::Carried(carrier) })
}

#[test]
fn a_body_in_the_own_dialect_stays_what_it_says() {
    let body = json!({
        "model": "gpt-5",
        "tools": [
            {"type": "function", "name": "f", "description": "d\n", "parameters": {"type": "object"}, "strict": true},
            {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "custom", "name": "c"},
        "parallel_tool_calls": false,
        "instructions": "You \"code\".",
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
                {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,aGk="},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            ]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "content": "well"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\": \"é\\n\"}"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "c", "input": "a\nb"},
            {"type": "function_call_output", "call_id": "call_1", "output": "x"},
            {"type": "custom_tool_call_output", "call_id": "call_2",
             "output": [{"type": "input_text", "text": "y"}, {"type": "input_image", "detail": "auto", "image_url": "https://a/b"}]},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "calm"}]},
        ],
        "max_output_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "xhigh", "summary": "detailed"},
        "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "u",
        "service_tier": "flex",
        "store": false,
        "stream": true,
    });
    let bytes = body.to_string();
    let mut losses = Losses::default();
    let request = read_request(bytes.as_bytes(), &mut losses).unwrap();
    let (again, lost) = written(&request, &Quirks::default());
    assert_eq!(again, body);
    assert_eq!((lost, losses.settle(OnLoss::Refuse)), (vec![], Ok(vec![])));
}

#[test]
fn what_the_target_sealed_stands_in_front_of_what_followed_it() {
    let own = || sealed("openai", ProviderDialect::OpenAiResponses);
    let reasoning = json!({"type": "reasoning", "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"});
    let bare = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"});
    let called =
        json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":\"\\n\"}"});
    for (parts, expected) in [
        (vec![thinking(own()), call("c", None)], json!([reasoning, called])),
        (vec![call("c", Some(own()))], json!([bare, called])),
        // Behind the id, and restored by the reader as well: once.
        (vec![thinking(own()), call("c", Some(own()))], json!([reasoning, called])),
        // Another maker's, or none of this dialect's.
        (vec![thinking(sealed("azure", ProviderDialect::OpenAiResponses)), call("c", None)], json!([called])),
        (vec![call("c", Some(sealed("openai", ProviderDialect::Gemini)))], json!([called])),
        // Nothing followed it.
        (vec![call("c", None), thinking(own())], json!([called])),
    ] {
        let messages = vec![said(Role::Assistant, parts), said(Role::User, vec![])];
        let mut request = asked(Dialect::OpenAiChat, messages);
        request.messages.pop();
        check(&request, "input", &expected, &[]);
    }
    let native = Content::Thinking { text: Escaped::plain("hm"), seal: Seals::Native(Escaped::plain("sig")) };
    let request = asked(Dialect::Anthropic, vec![said(Role::Assistant, vec![part(native), call("c", None)])]);
    check(&request, "input", &json!([called]), &[]);
}

#[test]
fn results_are_items_and_errors_are_hints() {
    let result = |id: &'static str, is_error, parts| {
        part(Content::ToolResult { id: Escaped::plain(id), is_error, parts })
    };
    let picture = Content::Media(Media {
        kind: MediaKind::Image,
        source: Source::Base64 { media_type: Escaped::plain("image/png"), data: Escaped::plain("aGk=") },
        name: None,
        detail: None,
        citations: false,
    });
    let parts = vec![
        result("toolu_1", true, vec![text("no")]),
        result("t:2", false, vec![part(picture)]),
        result("3", false, vec![]),
        text("go on"),
    ];
    let expected = json!([
        {"type": "function_call_output", "call_id": "toolu_1", "output": "no"},
        {"type": "function_call_output", "call_id": fit(&Escaped::plain("t:2"), 64, true).raw(),
         "output": [{"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="}]},
        {"type": "function_call_output", "call_id": "3", "output": ""},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]},
    ]);
    let request = asked(Dialect::Anthropic, vec![said(Role::User, parts)]);
    check(&request, "input", &expected, &["messages[0].content[0].is_error"]);
}

#[test]
fn another_dialects_wishes_are_said_or_written_down() {
    let mut request = asked(Dialect::Anthropic, vec![said(Role::User, vec![text("x")])]);
    request.messages[0].parts[0].mark = Some(CacheMark::Short);
    request.max_output = Some(1);
    request.sampling.top_k = Some(Json::written("5"));
    request.sampling.stop = vec![Escaped::plain("END")];
    request.user = Some(Escaped::of(&"u".repeat(100)));
    request.tier = Some(Escaped::plain("standard_only"));
    request.reasoning = Some(Reasoning { effort: Effort::Budget(10_000), summary: None });
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
    let (body, lost) = written(&request, &Quirks::default());
    let expected =
        ["tools[0]", "messages[0].content[0].cache_control", "max_tokens", "top_k", "stop_sequences"];
    assert_eq!(lost, expected);
    assert_eq!(body["max_output_tokens"], 16);
    assert_eq!(body["service_tier"], "default");
    assert_eq!(body["reasoning"], json!({"effort": "high"}));
    assert_eq!(body["safety_identifier"].as_str().unwrap().len(), 32);
    assert_eq!((body.get("tools"), body.get("tool_choice")), (None, None));
}

#[test]
fn functions_of_other_dialects_are_not_made_strict() {
    let mut request = asked(Dialect::OpenAiChat, vec![]);
    let tool = |kind| Tool {
        at: At::Tool(0),
        name: Escaped::plain("f"),
        description: None,
        kind,
        strict: None,
        mark: None,
    };
    let chats = r#"{"type":"grammar","grammar":{"definition":"x","syntax":"lark"}}"#;
    request.tools = vec![tool(ToolKind::Function(None)), tool(ToolKind::Custom(Some(Json::written(chats))))];
    let expected = json!([
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
        {"type": "custom", "name": "f", "format": {"type": "grammar", "definition": "x", "syntax": "lark"}},
    ]);
    check(&request, "tools", &expected, &[]);
}

#[test]
fn several_instructions_stay_several() {
    let mut request = asked(Dialect::Anthropic, vec![]);
    request.system = vec![text("a"), text("b")];
    let expected = json!([{"type": "message", "role": "system",
        "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}]);
    check(&request, "input", &expected, &[]);
    let (body, _) = written(&request, &Quirks { developer_role: true, ..Quirks::default() });
    assert_eq!(body["input"][0]["role"], "developer");
}

#[test]
fn a_model_that_cannot_think_is_not_asked_for_a_seal() {
    let request = asked(Dialect::Anthropic, vec![]);
    let quirks = Quirks::default();
    for (model, asks) in [("gpt-4o-mini", false), ("openai/gpt-4.1", false), ("gpt-5", true), ("o3", true)] {
        let body = write_request(&request, &target(&quirks, model), &mut Losses::default());
        assert_eq!(String::from_utf8(body).unwrap().contains("encrypted_content"), asks, "{model}");
    }
    let (body, _) = written(&request, &Quirks { reasoning: ReasoningField::None, ..Quirks::default() });
    assert_eq!(body.get("include"), None);
}

#[test]
fn media_that_cannot_be_said_are_named() {
    let media = |kind, source| Media {
        kind,
        source,
        name: Some(Escaped::plain("T")),
        detail: None,
        citations: false,
    };
    let id = Escaped::plain("file_1");
    for (media, expected, lost) in [
        (media(MediaKind::Audio, Source::Url(id.clone())), json!([]), vec!["messages[0].content[0]"]),
        (media(MediaKind::Document, Source::File(id)), json!([]), vec!["messages[0].content[0]"]),
        (
            media(MediaKind::Document, Source::Text(Escaped::plain("words"))),
            json!([{"type": "input_text", "text": "T\n\nwords"}]),
            vec![],
        ),
        (
            media(MediaKind::Document, Source::Url(Escaped::plain("https://a/b.pdf"))),
            json!([{"type": "input_file", "file_url": "https://a/b.pdf"}]),
            vec![],
        ),
    ] {
        let request = asked(Dialect::Anthropic, vec![said(Role::User, vec![part(Content::Media(media))])]);
        let (body, found) = written(&request, &Quirks::default());
        assert_eq!(
            (&body["input"][0]["content"], found),
            (&expected, lost.iter().map(ToString::to_string).collect())
        );
    }
}
