use super::*;

fn thinks(effort: Effort<'static>, model: &str) -> String {
    let mut request = hi();
    request.reasoning = Some(Reasoning { effort, summary: None });
    let (body, lost) = written(&request, model);
    let between = body.find(r#""outputConfig""#).or_else(|| body.find(r#""additional"#));
    let settings = between.and_then(|at| body[at..].split(r#","messages""#).next()).unwrap_or_default();
    if lost.is_empty() { settings.to_owned() } else { lost.join(",") }
}

#[test]
fn thinking_is_asked_for_in_each_familys_words() {
    let level = |word| Effort::Level(Escaped::plain(word));
    for (effort, model, expected) in [
        (
            level("high"),
            SONNET,
            r#""outputConfig":{"effort":"high"},"additionalModelRequestFields":{"thinking":{"type":"adaptive"}}"#,
        ),
        (
            level("minimal"),
            SONNET,
            r#""outputConfig":{"effort":"low"},"additionalModelRequestFields":{"thinking":{"type":"adaptive"}}"#,
        ),
        (
            Effort::Adaptive(None),
            SONNET,
            r#""additionalModelRequestFields":{"thinking":{"type":"adaptive"}}"#,
        ),
        (
            Effort::Budget(2000),
            SONNET,
            r#""additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}"#,
        ),
        (
            Effort::Budget(2000),
            "anthropic.claude-opus-5-v1:0",
            r#""outputConfig":{"effort":"low"},"additionalModelRequestFields":{"thinking":{"type":"adaptive"}}"#,
        ),
        (
            level("medium"),
            OLD,
            r#""additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":4096}}"#,
        ),
        (Effort::Off, OLD, r#""additionalModelRequestFields":{"thinking":{"type":"disabled"}}"#),
        (level("none"), SONNET, r#""additionalModelRequestFields":{"thinking":{"type":"disabled"}}"#),
        (
            level("medium"),
            "us.amazon.nova-2-lite-v1:0",
            r#""additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}}"#,
        ),
        (
            level("xhigh"),
            "openai.gpt-oss-20b-1:0",
            r#""additionalModelRequestFields":{"reasoning_effort":"high"}"#,
        ),
        (level("high"), LLAMA, "reasoning_effort"),
        (Effort::Off, LLAMA, ""),
    ] {
        assert_eq!(thinks(effort.clone(), model), expected, "{effort:?} {model}");
    }
}

#[test]
fn a_budget_of_ours_leaves_room_and_needs_its_own_thinking_before_a_call() {
    let mut request = hi();
    request.reasoning = Some(Reasoning { effort: Effort::Level(Escaped::plain("high")), summary: None });
    request.max_output = Some(3_000);
    assert!(body(&request, OLD).contains(r#""budget_tokens":2999"#));
    request.max_output = Some(1_000);
    assert_eq!(written(&request, OLD).1, ["reasoning_effort"]);
    request.max_output = None;
    request.messages.push(says(Role::Assistant, vec![call(1, "c")]));
    request.messages.push(says(Role::User, vec![result(2, "c", false, Vec::new())]));
    assert_eq!(written(&request, OLD).1, ["reasoning_effort"]);
    request.messages[1].parts.insert(0, thought("aws", "", "Hm"));
    assert!(body(&request, OLD).contains("budget_tokens"));
}

fn thought(maker: &str, id: &str, words: &str) -> Part<'static> {
    let seal = Seal {
        dialect: ProviderDialect::Bedrock,
        id: id.to_owned(),
        text: words.to_owned(),
        data: "U2ln".to_owned(),
    };
    let seal = Seals::Carried(Carrier { maker: Maker::of(maker), seal });
    part(1, Content::Thinking { text: Escaped::plain(""), seal })
}

#[test]
fn thinking_goes_back_to_its_maker_only() {
    let of = |part: Part<'static>, model: &str| {
        let mut request = hi();
        request.origin = Dialect::Anthropic;
        request.messages.push(says(Role::Assistant, vec![part, text(1, "So.")]));
        let body = body(&request, model);
        body.split_once(r#""assistant","content":["#)
            .unwrap()
            .1
            .split(r#"{"text":"So."}"#)
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        of(thought("aws", "", "Hm\n"), OLD),
        r#"{"reasoningContent":{"reasoningText":{"text":"Hm\n","signature":"U2ln"}}},"#
    );
    assert_eq!(of(thought("aws", REDACTED, ""), OLD), r#"{"reasoningContent":{"redactedContent":"U2ln"}},"#);
    assert_eq!(of(thought("google", "", "Hm"), OLD), "");
    let native = || {
        let seal = Seals::Native(Escaped::plain("U2ln"));
        part(1, Content::Thinking { text: Escaped::plain("Hm"), seal })
    };
    assert_eq!(
        of(native(), OLD),
        r#"{"reasoningContent":{"reasoningText":{"text":"Hm","signature":"U2ln"}}},"#
    );
    assert_eq!(of(native(), NOVA), "");
    let mut openais = hi();
    openais.messages.push(says(Role::Assistant, vec![native(), text(1, "So.")]));
    assert!(!body(&openais, OLD).contains("reasoningContent"), "Claude cannot read what OpenAI encrypted");
    let seal = Seals::Redacted(Escaped::plain("U2ln"));
    let hidden = part(1, Content::Thinking { text: Escaped::default(), seal });
    assert_eq!(of(hidden, OLD), r#"{"reasoningContent":{"redactedContent":"U2ln"}},"#);
}
