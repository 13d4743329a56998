use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::{
    anthropic::read_request,
    neutral::{
        At, Carrier, Effort, Format, Json, Maker, Media, MediaKind, Message, OnLoss, Reasoning, Seal, Seals,
        Source, Tool, ToolChoice, ToolKind,
    },
    translate::Quirks,
};

const OPUS: &str = "claude-opus-5";
const OLD: &str = "claude-sonnet-4-5-20250929";

fn write(request: &Request<'_>, dialect: ProviderDialect, model: &str) -> (Value, Vec<String>) {
    let (quirks, mut losses) = (Quirks::default(), Losses::default());
    let maker = Maker::of("anthropic");
    let target = Target { dialect, maker, model, quirks: &quirks, on_loss: OnLoss::Drop };
    let body = write_request(request, &target, &mut losses);
    let dropped = losses.settle(OnLoss::Drop).unwrap().into_iter().map(|field| field.to_string()).collect();
    (serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&body))), dropped)
}

fn to_anthropic(request: &Request<'_>) -> (Value, Vec<String>) {
    write(request, ProviderDialect::Anthropic, OPUS)
}

fn part(content: Content<'static>) -> Part<'static> {
    Part { at: At::Content(0, 0), content, mark: None }
}

fn text(words: &'static str) -> Part<'static> {
    part(Content::Text(Escaped::plain(words)))
}

fn call(id: &'static str) -> Part<'static> {
    let (id, name) = (Escaped::plain(id), Escaped::plain("f"));
    part(Content::ToolCall { id, name, arguments: Json::written(r#"{"a":1}"#), carrier: None })
}

fn result(id: &'static str, parts: Vec<Part<'static>>) -> Part<'static> {
    part(Content::ToolResult { id: Escaped::plain(id), is_error: false, parts })
}

fn message(role: Role, parts: Vec<Part<'static>>) -> Message<'static> {
    Message { role, name: None, parts }
}

fn chat(messages: Vec<Message<'static>>) -> Request<'static> {
    let mut request = Request::new(Dialect::OpenAiChat);
    request.messages = messages;
    request
}

fn tool() -> Tool<'static> {
    Tool {
        at: At::Tool(0),
        name: Escaped::plain("f"),
        description: Some(Escaped::plain("does")),
        kind: ToolKind::Function(None),
        strict: None,
        mark: None,
    }
}

#[test]
fn a_client_that_marks_nothing_gets_a_cache() {
    let mut request =
        chat(vec![message(Role::System, vec![text("sys")]), message(Role::User, vec![text("hi")])]);
    let (body, dropped) = to_anthropic(&request);
    assert!(dropped.is_empty());
    assert_eq!(
        body,
        json!({"model": OPUS, "max_tokens": 32000, "cache_control": {"type": "ephemeral"},
            "system": [{"type": "text", "text": "sys"}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
    );
    request.cache.long = true;
    assert_eq!(to_anthropic(&request).0["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    request.cache.long = false;
    request.stream = true;
    let (body, _) = write(&request, ProviderDialect::BedrockClaude, "anthropic.claude-opus-5-v1:0");
    let mark = json!({"type": "ephemeral"});
    assert_eq!(
        body,
        json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 32000,
            "system": [{"type": "text", "text": "sys", "cache_control": mark}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}]})
    );
}

#[test]
fn marks_are_the_clients_where_it_sets_some_and_never_more_than_four() {
    let mut parts: Vec<_> = (0..6).map(|_| text("x")).collect();
    for (index, part) in parts.iter_mut().enumerate() {
        part.mark = Some(CacheMark::Short);
        part.at = At::Content(0, u32::try_from(index).unwrap());
    }
    let (body, dropped) = to_anthropic(&chat(vec![message(Role::User, parts)]));
    assert!(body.get("cache_control").is_none());
    let marked: Vec<bool> = body["messages"][0]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block.get("cache_control").is_some())
        .collect();
    assert_eq!(marked, [false, false, true, true, true, true]);
    assert_eq!(dropped, ["messages[0].content[0].cache_control", "messages[0].content[1].cache_control"]);
}

#[test]
fn results_stand_first_behind_their_calls() {
    let request = chat(vec![
        message(Role::User, vec![text("go")]),
        message(Role::Assistant, vec![text("so"), call("a.1")]),
        message(Role::Assistant, vec![call("b")]),
        message(Role::System, vec![text("note")]),
        message(Role::User, vec![text("wait")]),
        message(Role::User, vec![result("a.1", vec![text("one"), text("")])]),
        message(Role::User, vec![result("b", vec![])]),
    ]);
    let (body, _) = to_anthropic(&request);
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "system", "user"]);
    let results = messages[2]["content"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    let id = results[0]["tool_use_id"].as_str().unwrap();
    assert_eq!(id, messages[1]["content"][1]["id"].as_str().unwrap());
    assert!(!id.contains('.'));
    assert_eq!(results[0]["content"], json!([{"type": "text", "text": "one"}]));
    assert_eq!(results[1]["tool_use_id"], "b");
}

#[test]
fn an_old_model_knows_no_system_messages() {
    let request = chat(vec![
        message(Role::User, vec![text("hi")]),
        message(Role::Assistant, vec![text("ho")]),
        message(Role::System, vec![text("note")]),
    ]);
    let (body, dropped) = write(&request, ProviderDialect::Anthropic, OLD);
    assert_eq!(body["messages"][2]["role"], "user");
    assert_eq!(dropped, ["messages[0].role"]);
}

#[test]
fn effort_is_said_in_words_of_the_models_age() {
    let check = |effort: Effort<'static>, model: &str, thinking: Value, level: Value| {
        let mut request = chat(vec![message(Role::User, vec![text("hi")])]);
        request.reasoning = Some(Reasoning { effort: effort.clone(), summary: None });
        let (body, dropped) = write(&request, ProviderDialect::Anthropic, model);
        assert!(dropped.is_empty(), "{dropped:?}");
        assert_eq!(
            (&body["thinking"], &body["output_config"]["effort"]),
            (&thinking, &level),
            "{effort:?} {model}"
        );
    };
    let level = |level| Effort::Level(Escaped::plain(level));
    check(level("high"), OPUS, json!({"type": "adaptive"}), json!("high"));
    check(level("minimal"), OPUS, json!({"type": "adaptive"}), json!("low"));
    check(level("none"), OPUS, json!({"type": "disabled"}), Value::Null);
    check(level("xhigh"), "claude-opus-4-6", json!({"type": "adaptive"}), json!("high"));
    check(level("high"), OLD, json!({"type": "enabled", "budget_tokens": 16_384}), Value::Null);
    check(Effort::Budget(500), OLD, json!({"type": "enabled", "budget_tokens": 1_024}), Value::Null);
    check(Effort::Budget(500), OPUS, json!({"type": "adaptive"}), json!("low"));
    check(Effort::Budget(99_999), OLD, json!({"type": "enabled", "budget_tokens": 24_000}), Value::Null);
    check(Effort::Off, OLD, json!({"type": "disabled"}), Value::Null);
}

#[test]
fn thinking_that_cannot_be_had_is_left_out() {
    let base = || {
        let mut request = chat(vec![
            message(Role::User, vec![text("go")]),
            message(Role::Assistant, vec![call("a")]),
            message(Role::User, vec![result("a", vec![])]),
        ]);
        request.reasoning = Some(Reasoning { effort: Effort::Level(Escaped::plain("low")), summary: None });
        request.tools.push(tool());
        request
    };
    let (body, dropped) = write(&base(), ProviderDialect::Anthropic, OLD);
    assert!(body.get("thinking").is_none() && dropped == ["reasoning_effort"]);
    let mut forced = base();
    forced.tool_choice = Some(ToolChoice::Any);
    let (body, dropped) = to_anthropic(&forced);
    assert!(body.get("thinking").is_none() && dropped == ["reasoning_effort"]);
    assert_eq!(body["tool_choice"], json!({"type": "any"}));
    let mut short = base();
    short.messages.truncate(1);
    short.max_output = Some(100);
    assert!(write(&short, ProviderDialect::Anthropic, OLD).0.get("thinking").is_none());
}

#[test]
fn what_claude_has_no_words_for_is_written_down() {
    let mut request = chat(vec![message(Role::User, vec![text("hi")])]);
    request.sampling.temperature = Some(Json::written("1.5"));
    request.sampling.top_p = Some(Json::written("1"));
    request.sampling.frequency_penalty = Some(Json::written("0.5"));
    request.sampling.presence_penalty = Some(Json::written("0"));
    request.sampling.choices = Some(2);
    request.sampling.seed = Some(Json::written("7"));
    request.sampling.stop = vec![Escaped::plain(r"\n"), Escaped::plain("END")];
    request.format = Some(Format::JsonObject);
    request.tier = Some(Escaped::plain("flex"));
    let (body, mut dropped) = write(&request, ProviderDialect::Anthropic, OLD);
    dropped.sort();
    let expected =
        ["frequency_penalty", "n", "response_format", "seed", "service_tier", "stop", "temperature"];
    assert_eq!(dropped, expected);
    assert_eq!(body["stop_sequences"], json!(["END"]));
    request.sampling.temperature = Some(Json::written("0.2"));
    assert_eq!(write(&request, ProviderDialect::Anthropic, OLD).0["temperature"], json!(0.2));
    assert!(to_anthropic(&request).1.contains(&"temperature".to_owned()));
}

#[test]
fn tools_get_the_schema_that_anthropic_wants() {
    let schema = |schema: Option<&'static str>| {
        let mut request = chat(vec![]);
        let kind = ToolKind::Function(schema.map(Json::written));
        request.tools.push(Tool { kind, strict: Some(true), ..tool() });
        to_anthropic(&request).0["tools"][0].clone()
    };
    let empty = json!({"type": "object", "properties": {}});
    assert_eq!(
        schema(None),
        json!({"name": "f", "description": "does", "input_schema": empty, "strict": true})
    );
    assert_eq!(schema(Some("{ }"))["input_schema"], json!({"type": "object"}));
    let bare = schema(Some(r#" {"properties":{"a":{"type":"string"}}}"#));
    assert_eq!(bare["input_schema"]["type"], "object");
    assert_eq!(bare["input_schema"]["properties"]["a"]["type"], "string");
    let mut request = chat(vec![]);
    let kind = ToolKind::Hosted { kind: Escaped::plain("web_search"), definition: Json::written("{}") };
    request.tools.push(Tool { kind, ..tool() });
    request.tool_choice = Some(ToolChoice::Any);
    let (body, dropped) = to_anthropic(&request);
    assert!(body.get("tools").is_none() && body.get("tool_choice").is_none());
    assert_eq!(dropped, ["tools[0]", "tool_choice"]);
    let mut request = chat(vec![]);
    request.tools.push(tool());
    request.parallel_tools = Some(false);
    let choice = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(to_anthropic(&request).0["tool_choice"], choice);
}

#[test]
fn media_are_written() {
    let check = |kind: MediaKind, source: Source<'static>, dialect, expected: Value| {
        let media = Media { kind, source, name: None, detail: None, citations: false };
        let request = chat(vec![message(Role::User, vec![text("a"), part(Content::Media(media))])]);
        let (body, dropped) = write(&request, dialect, OPUS);
        let mut block = body["messages"][0]["content"][1].clone();
        if let Some(block) = block.as_object_mut() {
            block.remove("cache_control");
        }
        assert_eq!(block, expected);
        assert_eq!(dropped.is_empty(), expected != Value::Null, "{dropped:?}");
    };
    let base64 = |media_type, data| {
        let (media_type, data) = (Escaped::plain(media_type), Escaped::plain(data));
        Source::Base64 { media_type, data }
    };
    let url = || Source::Url(Escaped::plain("https://x/y.png"));
    let (here, aws) = (ProviderDialect::Anthropic, ProviderDialect::BedrockClaude);
    let picture = json!({"type": "image", "source":
        {"type": "base64", "media_type": "image/jpeg", "data": "AA=="}});
    check(MediaKind::Image, base64("image/jpg", "AA=="), here, picture);
    let linked = json!({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}});
    check(MediaKind::Image, url(), here, linked);
    check(MediaKind::Image, url(), aws, Value::Null);
    check(MediaKind::Image, base64("image/tiff", "AA=="), here, Value::Null);
    let plain = json!({"type": "document", "source":
        {"type": "text", "media_type": "text/plain", "data": "hé\n"}});
    check(MediaKind::Document, base64("text/markdown", "aMOpCg=="), here, plain);
    check(MediaKind::Document, base64("text/markdown", "!"), here, Value::Null);
    check(MediaKind::Document, base64("application/zip", "AA=="), here, Value::Null);
    check(MediaKind::Audio, base64("audio/wav", "AA=="), here, Value::Null);
    check(MediaKind::Image, Source::File(Escaped::plain("file-1")), here, Value::Null);
}

#[test]
fn thinking_goes_back_to_who_sealed_it_alone() {
    let carried = |maker: &str, id: &str, dialect| {
        let seal = Seal { dialect, id: id.to_owned(), text: "why".to_owned(), data: "sig==".to_owned() };
        let carrier = Carrier { maker: Maker::of(maker), seal };
        let thinking = Content::Thinking { text: Escaped::default(), seal: Seals::Carried(carrier) };
        let request = chat(vec![message(Role::Assistant, vec![part(thinking), text("so")])]);
        let (body, dropped) = to_anthropic(&request);
        assert!(dropped.is_empty());
        let content = body["messages"][0]["content"].as_array().unwrap().clone();
        content[..content.len() - 1].to_vec()
    };
    let own = ProviderDialect::Anthropic;
    assert_eq!(
        carried("anthropic", "", own),
        [json!({"type": "thinking", "thinking": "why", "signature": "sig=="})]
    );
    let redacted = carried("anthropic", "redacted_thinking", own);
    assert_eq!(redacted, [json!({"type": "redacted_thinking", "data": "sig=="})]);
    assert!(carried("google", "", own).is_empty());
    assert!(carried("anthropic", "", ProviderDialect::Gemini).is_empty());
}

/// A body of Anthropic's own, as it goes to Claude on Bedrock.
fn check_native(body: &Value, expected: &Value) {
    let text = body.to_string();
    let mut losses = Losses::default();
    let request = read_request(text.as_bytes(), &mut losses).unwrap();
    assert!(losses.clone().settle(OnLoss::Refuse).is_ok(), "{losses:?}");
    let (written, dropped) = write(&request, ProviderDialect::BedrockClaude, "anthropic.claude-opus-4-6-v1");
    assert_eq!(&written, expected, "{dropped:?}");
}

#[test]
fn a_body_of_anthropics_own_stays_what_it_was() {
    let mut body = json!({
        "model": "claude-opus-4-6", "max_tokens": 2000, "stream": true, "temperature": 1,
        "thinking": {"type": "enabled", "budget_tokens": 1500},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "stop_sequences": ["\n\nHuman:"],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "tools": [
            {"name": "f", "description": "d", "input_schema": {"type": "object"},
                "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "bash_20250124", "name": "bash"}],
        "system": [{"type": "text", "text": "sys", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
                    "title": "t", "citations": {"enabled": true}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "Erc="},
                {"type": "redacted_thinking", "data": "Emw="},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"q": "é\n\"x\""}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true,
                    "content": [{"type": "text", "text": "no"}], "cache_control": {"type": "ephemeral"}}]}]
    });
    let given = body.clone();
    let members = body.as_object_mut().unwrap();
    members.remove("model");
    members.remove("stream");
    members.insert("anthropic_version".into(), json!("bedrock-2023-05-31"));
    check_native(&given, &body);
}

fn block() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-zé\"\\\\]{1,12}".prop_map(|text| json!({"type": "text", "text": text})),
        "[A-Za-z0-9+/]{4}".prop_map(|data| json!({"type": "image", "source":
            {"type": "base64", "media_type": "image/png", "data": data}})),
        ("[a-z]{1,5}", "[a-z\n]{1,9}")
            .prop_map(|(id, text)| json!({"type": "tool_result", "tool_use_id": id,
            "content": [{"type": "text", "text": format!("x{text}")}]})),
    ]
}

fn answer() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{1,12}".prop_map(|text| json!({"type": "text", "text": text})),
        ("[a-z]{1,5}", "[a-zé\"]{0,9}")
            .prop_map(|(id, text)| json!({"type": "tool_use", "id": id, "name": "f", "input": {"q": text}})),
        "[A-Za-z0-9]{4}".prop_map(|sig| json!({"type": "thinking", "thinking": "t", "signature": sig})),
    ]
}

proptest! {
    /// What both can say stays, but for results, which move to the front of their message.
    #[test]
    fn a_conversation_comes_out_as_it_went_in(
        turns in proptest::collection::vec(
            (proptest::collection::vec(block(), 1..4), proptest::collection::vec(answer(), 1..4)), 1..5),
    ) {
        let mut messages = Vec::new();
        for (mut user, assistant) in turns {
            user.sort_by_key(|block| block["type"] != "tool_result");
            messages.push(json!({"role": "user", "content": user}));
            messages.push(json!({"role": "assistant", "content": assistant}));
        }
        let body = json!({"max_tokens": 9, "messages": messages});
        let mut expected = body.clone();
        expected["anthropic_version"] = json!("bedrock-2023-05-31");
        check_native(&body, &expected);
    }

    /// A longer history begins with the same bytes.
    #[test]
    fn a_longer_history_begins_alike(lens in proptest::collection::vec(1..9_usize, 2..8)) {
        let request = |turns: usize| {
            let mut request = chat(vec![]);
            for (turn, len) in lens.iter().take(turns).enumerate() {
                let words = "abcdefghi".get(..*len).unwrap();
                request.messages.push(message(Role::User, vec![text(words)]));
                request.messages.push(message(Role::Assistant, vec![text(words), call("t")]));
                request.messages.push(message(Role::User, vec![result("t", vec![text(words)])]));
                let _ = turn;
            }
            request
        };
        let bytes = |request: &Request<'_>| {
            let quirks = Quirks::default();
            let target = Target { dialect: ProviderDialect::Anthropic, maker: Maker::of("a"), model: OPUS,
                quirks: &quirks, on_loss: OnLoss::Drop };
            write_request(request, &target, &mut Losses::default())
        };
        let (short, long) = (bytes(&request(lens.len() - 1)), bytes(&request(lens.len())));
        // All but what closes the last message, the list and the body.
        prop_assert_eq!(&short[..short.len() - 4], &long[..short.len() - 4]);
    }
}
