mod thinking;

use super::*;
use crate::dialect::{
    OnLoss, Quirks,
    bedrock::REDACTED,
    neutral::{
        At, CacheMark, Carrier, Content, Effort, Escaped, Format, Json, Media, MediaKind, Message, Reasoning,
        Role, Seal, Seals, Source, Tool, ToolChoice, ToolKind,
    },
};

const SONNET: &str = "us.anthropic.claude-sonnet-4-6";
const OLD: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-pro-v1:0";
const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";

fn part(at: u32, content: Content<'static>) -> Part<'static> {
    Part { at: At::Content(at, 0), content, mark: None }
}

fn text(at: u32, text: &str) -> Part<'static> {
    part(at, Content::Text(Escaped::of(text)))
}

fn says(role: Role, parts: Vec<Part<'static>>) -> Message<'static> {
    Message { role, name: None, parts }
}

fn call(at: u32, id: &'static str) -> Part<'static> {
    part(
        at,
        Content::ToolCall {
            id: Escaped::plain(id),
            name: Escaped::plain("read"),
            arguments: Json::written(r#"{"path":"a"}"#),
            carrier: None,
        },
    )
}

fn result(at: u32, id: &'static str, is_error: bool, parts: Vec<Part<'static>>) -> Part<'static> {
    part(at, Content::ToolResult { id: Escaped::plain(id), is_error, parts })
}

fn tool(name: &'static str) -> Tool<'static> {
    Tool {
        at: At::Tool(0),
        name: Escaped::plain(name),
        description: Some(Escaped::plain("Reads")),
        kind: ToolKind::Function(Some(Json::written(r#"{"type":"object"}"#))),
        strict: None,
        mark: None,
    }
}

fn media(kind: MediaKind, source: Source<'static>) -> Content<'static> {
    Content::Media(Media { kind, source, name: None, detail: None, citations: false })
}

fn base64(media_type: &'static str) -> Source<'static> {
    Source::Base64 { media_type: Escaped::plain(media_type), data: Escaped::plain("AAAA") }
}

fn hi() -> Request<'static> {
    let mut request = Request::new(Dialect::OpenAiChat);
    request.messages.push(says(Role::User, vec![text(0, "Hi")]));
    request
}

/// The body, and what was lost.
fn written(request: &Request<'_>, model: &str) -> (String, Vec<String>) {
    let quirks = Quirks::default();
    let maker = Maker::of("aws");
    let target =
        Target { dialect: ProviderDialect::Bedrock, maker, model, quirks: &quirks, on_loss: OnLoss::Drop };
    let mut losses = Losses::default();
    let body = String::from_utf8(write_request(request, &target, &mut losses)).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    let lost = losses.settle(OnLoss::Drop).unwrap();
    (body, lost.into_iter().map(std::borrow::Cow::into_owned).collect())
}

/// As [`written`], where nothing is lost.
fn body(request: &Request<'_>, model: &str) -> String {
    let (body, lost) = written(request, model);
    assert!(lost.is_empty(), "{lost:?}");
    body
}

#[test]
fn a_conversation_with_tools_is_written() {
    let mut request = hi();
    request.system.push(text(0, "Be brief."));
    request.messages.push(says(Role::Assistant, vec![text(1, "\n"), call(1, "call_1"), call(1, "call|2")]));
    request.messages.push(says(Role::User, vec![result(2, "call_1", false, vec![text(2, "A")])]));
    let picture = part(3, media(MediaKind::Image, base64("image/png")));
    request.messages.push(says(Role::User, vec![result(3, "call|2", true, vec![text(3, "no"), picture])]));
    request.tools.push(tool("read"));
    request.tool_choice = Some(ToolChoice::Any);
    request.max_output = Some(100);
    request.sampling.temperature = Some(Json::written("0.5"));
    request.sampling.stop.push(Escaped::plain("END"));
    request.tier = Some(Escaped::plain("flex"));
    request.user = Some(Escaped::plain("u-1"));
    let point = r#"{"cachePoint":{"type":"default"}}"#;
    let hash = fit_of("call|2");
    let expected = [
        r#"{"system":[{"text":"Be brief."},"#,
        point,
        r#"],"toolConfig":{"tools":[{"toolSpec":{"name":"read","description":"Reads","inputSchema":{"json":{"type":"object"}}}},"#,
        point,
        r#"],"toolChoice":{"any":{}}},"inferenceConfig":{"maxTokens":100,"temperature":0.5,"stopSequences":["END"]},"#,
        r#""additionalModelResponseFieldPaths":["/stop_sequence","/delta/stop_sequence"],"#,
        r#""serviceTier":{"type":"flex"},"requestMetadata":{"user_id":"u-1"},"#,
        r#""messages":[{"role":"user","content":[{"text":"Hi"},"#,
        point,
        r#"]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_1","name":"read","input":{"path":"a"}}},"#,
        &format!(r#"{{"toolUse":{{"toolUseId":"{hash}","name":"read","input":{{"path":"a"}}}}}}]}},"#),
        r#"{"role":"user","content":[{"toolResult":{"toolUseId":"call_1","content":[{"text":"A"}]}},"#,
        &format!(r#"{{"toolResult":{{"toolUseId":"{hash}","content":[{{"text":"no"}},"#),
        r#"{"image":{"format":"png","source":{"bytes":"AAAA"}}}],"status":"error"}},"#,
        point,
        r"]}]}",
    ]
    .concat();
    assert_eq!(body(&request, SONNET), expected);
}

fn fit_of(id: &'static str) -> String {
    crate::dialect::neutral::fit(&Escaped::plain(id), 64, true).raw().to_owned()
}

#[test]
fn the_next_turn_begins_like_this_one() {
    let mut request = hi();
    let first = body(&request, LLAMA);
    request.messages.push(says(Role::Assistant, vec![text(1, "Hello")]));
    request.messages.push(says(Role::User, vec![text(2, "So?")]));
    let second = body(&request, LLAMA);
    assert!(second.starts_with(first.strip_suffix("]}").unwrap()), "{first}\n{second}");
    // And where points move, the one of the last turn is still there.
    let second = body(&request, SONNET);
    let point = r#"{"cachePoint":{"type":"default"}}]}"#;
    assert_eq!(second.matches(point).count(), 2, "{second}");
}

#[test]
fn points_are_where_the_client_wants_them_or_where_they_help() {
    let mut request = hi();
    request.tools.push(tool("read"));
    request.system.push(text(0, "Be brief."));
    assert_eq!(body(&request, NOVA).matches("cachePoint").count(), 2, "not behind Nova's tools");
    assert_eq!(body(&request, LLAMA).matches("cachePoint").count(), 0);
    request.cache.long = true;
    assert_eq!(body(&request, SONNET).matches(r#""ttl":"1h""#).count(), 3);
    assert_eq!(written(&request, NOVA).1, ["prompt_cache_retention"]);
    request.cache.long = false;
    request.system[0].mark = Some(CacheMark::Long);
    request.origin = Dialect::Anthropic;
    let marked = body(&request, SONNET);
    assert_eq!(marked.matches("cachePoint").count(), 1, "{marked}");
    assert!(marked.contains(r#""ttl":"1h""#));
    assert_eq!(written(&request, NOVA).1, ["messages[0].content[0].cache_control.ttl"]);
    assert_eq!(written(&request, LLAMA).1, ["messages[0].content[0].cache_control"]);
}

#[test]
fn turns_alternate_and_begin_with_the_user() {
    let mut request = Request::new(Dialect::OpenAiChat);
    for (at, role, words) in [
        (0, Role::Assistant, "Welcome"),
        (1, Role::User, " \n\t"),
        (2, Role::Assistant, "!"),
        (3, Role::User, "a"),
        (4, Role::System, "b"),
        (5, Role::User, "c"),
    ] {
        request.messages.push(says(role, vec![text(at, words)]));
    }
    let (body, lost) = written(&request, LLAMA);
    assert_eq!(
        body,
        r#"{"messages":[{"role":"user","content":[{"text":"."}]},{"role":"assistant","content":[{"text":"Welcome"},{"text":"!"}]},{"role":"user","content":[{"text":"a"},{"text":"b"},{"text":"c"}]}]}"#
    );
    assert_eq!(lost, ["messages[4].role"]);
    let (body, lost) = written(&request, "anthropic.claude-opus-4-8-v1:0");
    assert!(body.contains(r#"{"role":"system","content":[{"text":"b"}]}"#), "{body}");
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn files_are_written_or_named() {
    let mut request = hi();
    request.messages[0].parts = vec![
        part(0, media(MediaKind::Document, base64("application/pdf"))),
        part(0, media(MediaKind::Document, Source::Text(Escaped::of("a\n")))),
        part(0, media(MediaKind::Audio, base64("audio/wav"))),
    ];
    assert_eq!(
        body(&request, LLAMA),
        r#"{"messages":[{"role":"user","content":[{"text":"."},{"document":{"format":"pdf","name":"document","source":{"bytes":"AAAA"}}},{"document":{"format":"txt","name":"document (2)","source":{"bytes":"YQo="}}},{"audio":{"format":"wav","source":{"bytes":"AAAA"}}}]}]}"#
    );
    for source in [
        Source::Url(Escaped::plain("https://x/y.png")),
        Source::File(Escaped::plain("f")),
        base64("image/tiff"),
    ] {
        request.messages[0].parts = vec![text(0, "see"), part(0, media(MediaKind::Image, source))];
        assert_eq!(written(&request, LLAMA).1, ["messages[0].content[0]"]);
    }
}

#[test]
fn tools_are_left_out_only_where_nothing_refers_to_them() {
    let mut request = hi();
    request.tools.push(tool("read"));
    request.tool_choice = Some(ToolChoice::None);
    assert!(!body(&request, LLAMA).contains("toolConfig"));
    request.messages.push(says(Role::Assistant, vec![call(1, "c")]));
    request.messages.push(says(Role::User, vec![result(2, "c", false, Vec::new())]));
    let (with_tools, lost) = written(&request, LLAMA);
    assert!(with_tools.contains(r#""name":"read""#) && !with_tools.contains("toolChoice"));
    assert_eq!(lost, ["tool_choice"]);
    request.tools.clear();
    request.tool_choice = None;
    assert!(body(&request, LLAMA).contains(r#""name":"unavailable""#));
}

#[test]
fn tools_that_cannot_be_are_named() {
    for (change, field) in [
        (ToolKind::Custom(None), "tools[0]"),
        (
            ToolKind::Hosted { kind: Escaped::plain("web_search"), definition: Json::written("{}") },
            "tools[0]",
        ),
    ] {
        let mut request = hi();
        request.tools.push(Tool { kind: change, ..tool("x") });
        assert_eq!(written(&request, SONNET).1, [field]);
    }
    let mut request = hi();
    request.tools.push(Tool { name: Escaped::of(&"x".repeat(65)), ..tool("x") });
    assert_eq!(written(&request, SONNET).1, ["tools[0].name"]);
}

#[test]
fn a_call_that_is_left_out_takes_its_result_along() {
    let mut request = hi();
    let mut free = call(1, "c");
    if let Content::ToolCall { arguments, .. } = &mut free.content {
        *arguments = Json::written("\"print(1)\"");
    }
    request.messages.push(says(Role::Assistant, vec![free, call(1, "d")]));
    let results = vec![result(2, "c", false, Vec::new()), result(2, "d", false, Vec::new())];
    request.messages.push(says(Role::User, results));
    let (body, lost) = written(&request, LLAMA);
    assert!(
        !body.contains(r#""toolUseId":"c""#) && body.matches(r#""toolUseId":"d""#).count() == 2,
        "{body}"
    );
    assert_eq!(lost, ["messages[1].content[0]"]);
}

#[test]
fn one_call_at_a_time_is_said_to_claude_only() {
    let mut request = hi();
    request.tools.push(tool("read"));
    request.parallel_tools = Some(false);
    request.tool_choice = Some(ToolChoice::Named(Escaped::plain("read")));
    let claude = body(&request, SONNET);
    assert!(!claude.contains("toolChoice"));
    assert!(claude.contains(r#""additionalModelRequestFields":{"tool_choice":{"type":"tool","name":"read","disable_parallel_tool_use":true}}"#));
    let (nova, lost) = written(&request, NOVA);
    assert!(nova.contains(r#""toolChoice":{"tool":{"name":"read"}}"#), "{nova}");
    assert_eq!(lost, ["parallel_tool_calls"]);
}

#[test]
fn structured_output_is_a_schema_as_text() {
    let mut request = hi();
    request.format = Some(Format::Schema {
        name: Some(Escaped::plain("answer")),
        description: None,
        schema: Json::written(r#"{"type":"object"}"#),
        strict: Some(true),
    });
    assert!(body(&request, OLD).contains(
        r#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"answer"}}}}"#
    ));
    request.format = Some(Format::JsonObject);
    assert_eq!(written(&request, OLD).1, ["response_format"]);
}

#[test]
fn what_cannot_be_asked_for_is_named() {
    let mut request = hi();
    request.origin = Dialect::OpenAiResponses;
    request.sampling.temperature = Some(Json::written("1.5"));
    request.sampling.top_k = Some(Json::written("5"));
    request.sampling.seed = Some(Json::written("1"));
    request.sampling.frequency_penalty = Some(Json::written("0.0"));
    request.sampling.presence_penalty = Some(Json::written("0.1"));
    request.sampling.logprobs = Some(3);
    request.sampling.choices = Some(1);
    request.max_output = Some(0);
    request.user = Some(Escaped::of("{\"a\":1}"));
    request.tier = Some(Escaped::plain("scale"));
    let (_, lost) = written(&request, LLAMA);
    assert_eq!(
        lost,
        [
            "presence_penalty",
            "top_logprobs",
            "seed",
            "max_output_tokens",
            "temperature",
            "top_k",
            "service_tier",
            "user"
        ]
    );
    request = hi();
    request.sampling.temperature = Some(Json::written("1"));
    request.sampling.top_p = Some(Json::written("0.9"));
    assert_eq!(written(&request, "anthropic.claude-opus-4-8-v1:0").1, ["top_p"]);
    request.sampling.top_k = Some(Json::written("5"));
    assert!(
        body(&request, NOVA).contains(r#""additionalModelRequestFields":{"inferenceConfig":{"topK":5}}"#)
    );
}

#[test]
fn counting_wraps_the_same() {
    let quirks = Quirks::default();
    let mut target = Target {
        dialect: ProviderDialect::Bedrock,
        maker: Maker::of("aws"),
        model: LLAMA,
        quirks: &quirks,
        on_loss: OnLoss::Drop,
    };
    let (path, body) = write_count(&hi(), &target, &mut Losses::default());
    assert_eq!(path, "/model/meta.llama3-3-70b-instruct-v1%3A0/count-tokens");
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}}}"#
    );
    target.dialect = ProviderDialect::BedrockClaude;
    let (_, body) = write_count(&hi(), &target, &mut Losses::default());
    assert!(body.starts_with(br#"{"input":{"invokeModel":{"body":""#));
}
