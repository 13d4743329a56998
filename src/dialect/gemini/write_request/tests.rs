use super::*;
use crate::{
    dialect::{
        Maker, OnLoss, Quirks,
        neutral::{
            At, CacheMark, Carrier, Content, Effort, Format, Json, Media, MediaKind, Message, Part,
            Reasoning, Refused, Role, Seal, Seals, Source, Tool, ToolChoice, ToolKind,
        },
    },
    types::ProviderDialect,
};

fn plain(text: &str) -> Escaped<'_> {
    Escaped::plain(text)
}

fn part(content: Content<'_>) -> Part<'_> {
    Part { at: At::Content(3, 1), content, mark: None }
}

fn said<'a>(role: Role, contents: Vec<Content<'a>>) -> Message<'a> {
    Message { role, name: None, parts: contents.into_iter().map(part).collect() }
}

fn text(text: &str) -> Content<'_> {
    Content::Text(plain(text))
}

fn asked<'a>(messages: Vec<Message<'a>>) -> Request<'a> {
    Request { messages, ..Request::new(Dialect::Anthropic) }
}

fn call<'a>(id: &'a str, carrier: Option<Carrier>) -> Content<'a> {
    Content::ToolCall { id: plain(id), name: plain("read"), arguments: Json::written(r#"{"a":1}"#), carrier }
}

fn result<'a>(id: &'a str, parts: Vec<Content<'a>>) -> Content<'a> {
    Content::ToolResult { id: plain(id), is_error: false, parts: parts.into_iter().map(part).collect() }
}

fn image<'a>() -> Content<'a> {
    media(MediaKind::Image, Source::Base64 { media_type: plain("image/png"), data: plain("iVBO") })
}

fn media<'a>(kind: MediaKind, source: Source<'a>) -> Content<'a> {
    Content::Media(Media { kind, source, name: None, detail: None, citations: false })
}

fn sealed(maker: &str, of: &str, data: &str) -> Carrier {
    let seal = Seal {
        dialect: ProviderDialect::Gemini,
        id: of.to_owned(),
        text: "so".to_owned(),
        data: data.to_owned(),
    };
    Carrier { maker: Maker::of(maker), seal }
}

const NEW: &str = "gemini-3.1-pro-preview";
const OLD: &str = "gemini-2.5-flash";

fn written(request: &Request<'_>, model: &str) -> (String, Losses) {
    let (quirks, mut losses) = (Quirks::default(), Losses::default());
    let target = Target {
        dialect: ProviderDialect::Gemini,
        maker: Maker::of("google"),
        model,
        quirks: &quirks,
        on_loss: OnLoss::Drop,
    };
    let body = write_request(request, &target, &mut losses);
    let body = String::from_utf8(body).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    (body, losses)
}

#[track_caller]
fn check(request: &Request<'_>, model: &str, expected: &str) {
    let (body, losses) = written(request, model);
    assert_eq!(body, expected);
    assert_eq!(losses.settle(OnLoss::Drop).unwrap(), Vec::<String>::new());
}

/// What is lost, and what of it is refused.
#[track_caller]
fn check_lost(request: &Request<'_>, model: &str, lost: &[&str], refused: Option<&str>) {
    let (_, losses) = written(request, model);
    let first = losses.clone().settle(OnLoss::DropHints).err().map(|Refused { field, .. }| field);
    assert_eq!(losses.settle(OnLoss::Drop).unwrap(), lost);
    assert_eq!(first.as_deref(), refused);
}

#[test]
fn text_and_instructions() {
    let mut request = asked(vec![
        said(Role::System, vec![text("first")]),
        said(Role::User, vec![text("a\\n"), text("")]),
        said(Role::Assistant, vec![text("b"), Content::Refusal(plain("no"))]),
        said(Role::Assistant, vec![text("")]),
        said(Role::User, vec![text("c")]),
        said(Role::User, vec![text("d")]),
    ]);
    request.system = vec![part(text("be brief"))];
    check(
        &request,
        NEW,
        r#"{"systemInstruction":{"parts":[{"text":"be brief"},{"text":"first"}]},"contents":[{"role":"user","parts":[{"text":"a\n"}]},{"role":"model","parts":[{"text":"b"},{"text":"no"}]},{"role":"user","parts":[{"text":"c"},{"text":"d"}]}]}"#,
    );
}

#[test]
fn instructions_alone_are_the_users_words() {
    let mut request = asked(Vec::new());
    request.system = vec![part(text("go"))];
    check(&request, NEW, r#"{"contents":[{"role":"user","parts":[{"text":"go"}]}]}"#);
}

#[test]
fn a_system_message_in_the_midst_keeps_its_place() {
    let request = asked(vec![said(Role::User, vec![text("a")]), said(Role::System, vec![text("b")])]);
    let (body, _) = written(&request, NEW);
    assert_eq!(
        body,
        r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"text":"<system>\nb\n</system>"}]}]}"#
    );
    check_lost(&request, NEW, &["messages[3].content[1].role"], None);
}

#[test]
fn calls_and_results_find_their_names_and_signatures() {
    let own = sealed("google", "call", "c2ln");
    let request = asked(vec![
        said(Role::User, vec![text("go")]),
        said(Role::Assistant, vec![call("c1", Some(own)), call("c2", None)]),
        said(Role::User, vec![result("c2", vec![text("x"), text("y")]), result("c1", vec![])]),
    ]);
    check(
        &request,
        NEW,
        r#"{"contents":[{"role":"user","parts":[{"text":"go"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"read","args":{"a":1}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"c2","name":"read","args":{"a":1}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c2","name":"read","response":{"output":"x\ny"}}},{"functionResponse":{"id":"c1","name":"read","response":{"output":""}}}]}]}"#,
    );
}

#[test]
fn a_signature_goes_to_its_maker_only_and_something_stands_in_for_it() {
    let signature = |content, model| {
        let turn = said(Role::Assistant, content);
        let (body, _) = written(&asked(vec![said(Role::User, vec![text("go")]), turn]), model);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let parts = body["contents"][1]["parts"].as_array().unwrap().clone();
        parts.into_iter().map(|part| part["thoughtSignature"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let foreign = || Some(sealed("vertex", "call", "c2ln"));
    let stand_in = Some("skip_thought_signature_validator".to_owned());
    assert_eq!(signature(vec![call("a", foreign()), call("b", None)], NEW), [stand_in.clone(), None]);
    assert_eq!(signature(vec![text("x"), call("a", None)], NEW), [None, stand_in]);
    assert_eq!(signature(vec![call("a", foreign())], OLD), [None]);

    let thinking = |carrier| Content::Thinking { text: plain(""), seal: Seals::Carried(carrier) };
    let own = || Some("c2ln".to_owned());
    // Chat's reader puts what it found behind a call's id in front of the call.
    assert_eq!(signature(vec![thinking(sealed("google", "call", "c2ln")), call("a", None)], NEW), [own()]);
    assert_eq!(signature(vec![thinking(sealed("google", "thought", "c2ln")), text("x")], OLD), [own(), None]);
    assert_eq!(signature(vec![thinking(sealed("vertex", "thought", "c2ln")), text("x")], OLD), [None]);
    let native = Content::Thinking { text: plain("t"), seal: Seals::Native(plain("ErcB")) };
    assert_eq!(signature(vec![native, text("x")], NEW), [None]);
}

#[test]
fn a_sealed_thought_is_itself_again() {
    let thinking = |beside: &'static str, within: &str| {
        let mut carrier = sealed("google", "thought", "c2ln");
        carrier.seal.text = within.to_owned();
        let thinking = Content::Thinking { text: plain(beside), seal: Seals::Carried(carrier) };
        written(&asked(vec![said(Role::Assistant, vec![thinking])]), NEW).0
    };
    let expected = r#"{"contents":[{"role":"model","parts":[{"text":"a\"b","thought":true,"thoughtSignature":"c2ln"}]}]}"#;
    assert_eq!(thinking(r#"a\"b"#, ""), expected, "Anthropic, Responses");
    assert_eq!(thinking("", "a\"b"), expected, "Chat");
}

#[test]
fn a_failed_result_an_unknown_one_and_free_text() {
    let mut failed = result("c1", vec![text("boom")]);
    if let Content::ToolResult { is_error, .. } = &mut failed {
        *is_error = true;
    }
    let free = Content::ToolCall {
        id: plain("c1"),
        name: plain("patch"),
        arguments: Json::written("\"*** Begin\""),
        carrier: None,
    };
    let request = asked(vec![said(Role::Assistant, vec![free]), said(Role::User, vec![failed])]);
    check(
        &request,
        OLD,
        r#"{"contents":[{"role":"model","parts":[{"functionCall":{"id":"c1","name":"patch","args":{"input":"*** Begin"}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"patch","response":{"error":"boom"}}}]}]}"#,
    );
    let orphan = asked(vec![said(Role::User, vec![result("c9", vec![])])]);
    check_lost(&orphan, OLD, &["messages[3].content[1]"], Some("messages[3].content[1]"));
}

#[test]
fn media_stand_in_line() {
    let pdf = Source::Base64 { media_type: plain("application/pdf"), data: plain("JVBE") };
    let request = asked(vec![said(
        Role::User,
        vec![
            image(),
            media(MediaKind::Document, pdf),
            media(MediaKind::Document, Source::Text(plain("plain"))),
            media(MediaKind::Image, Source::Url(plain("https://x.test/a.JPG?s=1.png"))),
            media(MediaKind::Image, Source::Url(plain("https://x.test/a"))),
        ],
    )]);
    check(
        &request,
        NEW,
        r#"{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"inlineData":{"mimeType":"application/pdf","data":"JVBE"}},{"text":"plain"},{"fileData":{"mimeType":"image/jpeg","fileUri":"https://x.test/a.JPG?s=1.png"}},{"fileData":{"fileUri":"https://x.test/a"}}]}]}"#,
    );
}

#[test]
fn a_results_picture_stands_inside_or_right_behind() {
    let request = || {
        let turn = said(Role::Assistant, vec![call("c1", Some(sealed("google", "call", "c2ln")))]);
        asked(vec![turn, said(Role::User, vec![result("c1", vec![text("shot"), image()])])])
    };
    let (new, _) = written(&request(), NEW);
    assert!(new.ends_with(
        r#"{"functionResponse":{"id":"c1","name":"read","response":{"output":"shot"},"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}}]}]}"#
    ), "{new}");
    let (old, _) = written(&request(), OLD);
    assert!(old.ends_with(
        r#"{"functionResponse":{"id":"c1","name":"read","response":{"output":"shot"}}},{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}]}"#
    ), "{old}");
}

#[test]
fn what_media_lose_is_written_down() {
    let lose = |change: fn(&mut Media<'static>)| {
        let Content::Media(mut media) = image() else { unreachable!() };
        change(&mut media);
        asked(vec![said(Role::User, vec![Content::Media(media)])])
    };
    let at = "messages[3].content[1]";
    let file = lose(|media| media.source = Source::File(plain("file_1")));
    check_lost(&file, NEW, &[at], Some(at));
    let name = lose(|media| media.name = Some(plain("a.pdf")));
    check_lost(&name, NEW, &["messages[3].content[1].title"], None);
    let citations = lose(|media| media.citations = true);
    let field = "messages[3].content[1].citations";
    check_lost(&citations, NEW, &[field], Some(field));
    let detail = lose(|media| media.detail = Some(plain("high")));
    check_lost(&detail, NEW, &["messages[3].content[1].detail"], None);
    check_lost(&lose(|media| media.detail = Some(plain("auto"))), NEW, &[], None);
}

fn tool<'a>(kind: ToolKind<'a>, strict: Option<bool>) -> Tool<'a> {
    Tool {
        at: At::Tool(2),
        name: plain("read"),
        description: Some(plain("Reads.")),
        kind,
        strict,
        mark: None,
    }
}

#[test]
fn tools_and_choices() {
    let with = |choice: Option<ToolChoice<'static>>, strict| {
        let schema = Json::written(r##"{"type":"object","$ref":"#/x"}"##);
        let mut request = asked(vec![said(Role::User, vec![text("a")])]);
        request.tools = vec![tool(ToolKind::Function(Some(schema)), strict)];
        request.tool_choice = choice;
        request
    };
    let check_choice = |choice, strict, expected: &str| {
        check(
            &with(choice, strict),
            NEW,
            &format!(
                r##"{{"tools":[{{"functionDeclarations":[{{"name":"read","description":"Reads.","parametersJsonSchema":{{"type":"object","$ref":"#/x"}}}}]}}],{expected}"contents":[{{"role":"user","parts":[{{"text":"a"}}]}}]}}"##
            ),
        );
    };
    let config = |mode: &str| format!(r#""toolConfig":{{"functionCallingConfig":{{{mode}}}}},"#);
    check_choice(None, Some(false), "");
    check_choice(None, Some(true), &config(r#""mode":"VALIDATED""#));
    check_choice(Some(ToolChoice::Auto), None, &config(r#""mode":"AUTO""#));
    check_choice(Some(ToolChoice::Any), Some(true), &config(r#""mode":"ANY""#));
    check_choice(Some(ToolChoice::None), Some(true), &config(r#""mode":"NONE""#));
    let named = config(r#""mode":"ANY","allowedFunctionNames":["read"]"#);
    check_choice(Some(ToolChoice::Named(plain("read"))), None, &named);
}

#[test]
fn tools_that_are_no_functions_are_written_down() {
    let mut request = asked(vec![said(Role::User, vec![text("a")])]);
    let hosted = ToolKind::Hosted { kind: plain("web_search_20250305"), definition: Json::written("{}") };
    request.tools = vec![tool(hosted, None)];
    request.parallel_tools = Some(false);
    check_lost(&request, NEW, &["tools[2]", "tool_choice.disable_parallel_tool_use"], Some("tools[2]"));
    request.tools = vec![tool(ToolKind::Custom(None), None)];
    request.parallel_tools = Some(true);
    check_lost(&request, NEW, &["tools[2]"], Some("tools[2]"));
}

#[test]
fn settings_keep_their_numbers() {
    let mut request = asked(vec![said(Role::User, vec![text("a")])]);
    request.max_output = Some(100);
    request.sampling.temperature = Some(Json::written("0.70"));
    request.sampling.top_p = Some(Json::written("1e-1"));
    request.sampling.top_k = Some(Json::written("40"));
    request.sampling.frequency_penalty = Some(Json::written("0.5"));
    request.sampling.presence_penalty = Some(Json::written("-1"));
    request.sampling.seed = Some(Json::written("7"));
    request.sampling.stop = vec![plain("\\n"), plain("END")];
    request.tier = Some(plain("flex"));
    let schema = Json::written(r#"{"type":"object"}"#);
    request.format =
        Some(Format::Schema { name: Some(plain("x")), description: None, schema, strict: Some(true) });
    check(
        &request,
        NEW,
        r#"{"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":100,"temperature":0.70,"topP":1e-1,"topK":40,"frequencyPenalty":0.5,"presencePenalty":-1,"seed":7,"stopSequences":["\n","END"],"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}},"serviceTier":"flex"}"#,
    );
}

#[test]
fn settings_that_gemini_lacks_are_written_down() {
    let mut request = Request::new(Dialect::OpenAiChat);
    request.sampling.seed = Some(Json::written("4294967296"));
    request.sampling.stop = vec![plain("x"); 6];
    request.sampling.choices = Some(2);
    request.sampling.logprobs = Some(5);
    request.sampling.logit_bias = Some(Json::written("{}"));
    request.user = Some(plain("u"));
    request.tier = Some(plain("scale"));
    request.verbosity = Some(plain("low"));
    request.cache.key = Some(plain("k"));
    request.cache.long = true;
    request.cache.auto = Some(CacheMark::Short);
    check_lost(
        &request,
        NEW,
        &[
            "stop",
            "seed",
            "n",
            "logprobs",
            "logit_bias",
            "prompt_cache_breakpoint",
            "prompt_cache_key",
            "prompt_cache_retention",
            "user",
            "verbosity",
            "service_tier",
        ],
        Some("stop"),
    );
    let mut usual = Request::new(Dialect::OpenAiChat);
    usual.sampling.choices = Some(1);
    usual.tier = Some(plain("auto"));
    usual.verbosity = Some(plain("medium"));
    check_lost(&usual, NEW, &[], None);
}

#[track_caller]
fn check_thinking(effort: Effort<'static>, model: &str, expected: &str, lost: &[&str]) {
    let mut request = Request::new(Dialect::Anthropic);
    request.reasoning = Some(Reasoning { effort, summary: None });
    let (body, losses) = written(&request, model);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["generationConfig"]["thinkingConfig"].to_string(), expected, "{model}");
    assert_eq!(losses.settle(OnLoss::DropHints).unwrap(), lost);
}

#[test]
fn thinking_is_a_budget_before_3_and_a_level_from_then_on() {
    let level = |level| Effort::Level(plain(level));
    check_thinking(Effort::Budget(31_999), OLD, r#"{"includeThoughts":true,"thinkingBudget":24576}"#, &[]);
    check_thinking(level("high"), OLD, r#"{"includeThoughts":true,"thinkingBudget":16384}"#, &[]);
    check_thinking(Effort::Adaptive(None), OLD, r#"{"includeThoughts":true,"thinkingBudget":-1}"#, &[]);
    check_thinking(Effort::Off, OLD, r#"{"thinkingBudget":0}"#, &[]);
    check_thinking(Effort::Off, "gemini-2.5-pro", r#"{"thinkingBudget":128}"#, &["thinking"]);
    check_thinking(Effort::Budget(2_000), NEW, r#"{"includeThoughts":true,"thinkingLevel":"low"}"#, &[]);
    check_thinking(level("max"), NEW, r#"{"includeThoughts":true,"thinkingLevel":"high"}"#, &["thinking"]);
    check_thinking(Effort::Adaptive(None), NEW, r#"{"includeThoughts":true}"#, &[]);
    check_thinking(Effort::Off, NEW, r#"{"thinkingLevel":"low"}"#, &["thinking"]);
    check_thinking(Effort::Off, "gemini-3.8-flash", r#"{"thinkingLevel":"minimal"}"#, &[]);
}

#[test]
fn responses_shows_thoughts_when_asked() {
    let thinking = |summary: Option<&'static str>| {
        let mut request = Request::new(Dialect::OpenAiResponses);
        let effort = Effort::Level(plain("low"));
        request.reasoning = Some(Reasoning { effort, summary: summary.map(plain) });
        let (body, _) = written(&request, NEW);
        body.contains("includeThoughts")
    };
    assert_eq!([thinking(None), thinking(Some("auto")), thinking(Some("omitted"))], [false, true, false]);
}

#[test]
fn a_longer_history_begins_as_the_shorter_did() {
    let turns = |n: usize| {
        let mut messages = vec![said(Role::User, vec![text("go")])];
        for _ in 0..n {
            messages.push(said(Role::Assistant, vec![text("hm"), call("c1", None)]));
            messages.push(said(Role::User, vec![result("c1", vec![text("r")])]));
        }
        written(&asked(messages), NEW).0
    };
    let (short, long) = (turns(3), turns(4));
    let prefix = short.strip_suffix("]}").unwrap();
    assert!(long.starts_with(prefix), "{short}\n{long}");
}
