//! Reading a `generateContent` request, with the checks that the real thing makes.

use super::{
    super::{
        anthropic::Ground,
        json::Json,
        models::Model,
        prompt::{Ask, Blocks, hash_of},
        refusal::Refusal,
        wants::{Standing, Wants, text_in},
    },
    model_of,
    signature::{self, parts_of},
    signs,
    wire::Manner,
};

/// Members of a request that Google knows.
const KNOWN: &[&str] = &[
    "cachedContent",
    "contents",
    "generationConfig",
    "labels",
    "model",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];
/// Members of its `generationConfig`.
const KNOWN_CONFIG: &[&str] = &[
    "candidateCount",
    "frequencyPenalty",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "presencePenalty",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
];
/// Members of a part, of which it must have one at least.
const PART: &[&str] =
    &["text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode"];
/// Members that may stand beside them.
const BESIDE: &[&str] = &["thought", "thoughtSignature", "videoMetadata", "mediaResolution"];

/// Reads a request, or says what is wrong with it.
pub(in crate::sim) fn ask(name: &str, body: &Json, ground: Ground<'_>, stream: bool) -> Result<Ask, Refusal> {
    let model = model_of(name)?;
    check_known(body, KNOWN, "")?;
    let contents = contents_of(body)?;
    let config = body.get("generationConfig");
    if let Some(config) = config {
        check_known(config, KNOWN_CONFIG, "generation_config.")?;
    }
    check_turns(contents)?;
    if signs(name) {
        signature::check(contents)?;
    }
    let thinking = thinks(name, config)?;
    let blocks = blocks_of(body, contents);
    let (standing, last_text) = standing(body, contents, thinking);
    let directives = ground.directives.clone().and_text(&last_text);
    let account = ground.account;
    let domain = hash_of(&["google", &account.organization, &account.workspace, model.id]);
    let mut chain = blocks.chain(model.cache, domain, None);
    chain.positions.retain(|position| position.tokens >= least_cached(model));
    Ok(Ask {
        model,
        model_name: name.to_owned(),
        stream,
        include_usage: true,
        has_stream_options: false,
        max_output: config.and_then(|config| config.get("maxOutputTokens")).and_then(Json::as_u64),
        chain,
        wants: Wants::of(&standing, &directives, ground.tool_rounds),
        topic: blocks.topic(),
    })
}

impl Manner {
    /// How the answer is to be written.
    pub(in crate::sim) fn of(name: &str, query: &str, body: &Json) -> Self {
        let thinking = body.get("generationConfig").and_then(|config| config.get("thinkingConfig"));
        Self {
            sse: query.split('&').any(|pair| pair == "alt=sse"),
            thoughts: thinking.is_some_and(|thinking| thinking.is_true("includeThoughts")),
            signs: signs(name),
        }
    }
}

/// Tokens of the shortest prefix that is cached (ai.google.dev, context caching).
fn least_cached(model: &Model) -> u64 {
    if signs(model.id) { 4_096 } else { 2_048 }
}

fn check_known(of: &Json, known: &[&str], at: &str) -> Result<(), Refusal> {
    let Json::Map(pairs) = of else {
        return Err(Refusal::bad("Invalid JSON payload received. Expected an object."));
    };
    match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) => Err(Refusal::bad(format!(
            "Invalid JSON payload received. Unknown name \"{key}\"{}: Cannot find field.",
            if at.is_empty() { String::new() } else { format!(" at '{}'", at.trim_end_matches('.')) }
        ))),
        None => Ok(()),
    }
}

fn contents_of(body: &Json) -> Result<&[Json], Refusal> {
    let contents = body.get("contents").and_then(Json::as_list).filter(|list| !list.is_empty());
    let contents = contents
        .ok_or_else(|| Refusal::bad("* GenerateContentRequest.contents: contents is not specified"))?;
    for content in contents {
        check_known(content, &["role", "parts"], "contents.")?;
        if !matches!(content.text_of("role"), None | Some("user" | "model")) {
            return Err(Refusal::bad("Please use a valid role: user, model."));
        }
        if parts_of(content).is_empty() {
            return Err(Refusal::bad("* GenerateContentRequest.contents.parts: must not be empty."));
        }
        for part in parts_of(content) {
            let Json::Map(pairs) = part else { return Err(Refusal::bad("a part must be an object")) };
            let data = pairs.iter().filter(|(key, _)| PART.contains(&key.as_str())).count();
            let known = pairs.iter().all(|(key, _)| [PART, BESIDE].concat().contains(&key.as_str()));
            if data != 1 || !known || (part.text_of("text") == Some("") && pairs.len() == 1) {
                return Err(Refusal::bad(
                    "Unable to submit request because a part must have exactly one initialized field.",
                ));
            }
        }
    }
    Ok(contents)
}

/// Calls must be answered, all at once and right away.
fn check_turns(contents: &[Json]) -> Result<(), Refusal> {
    let count =
        |content: &Json, key: &str| parts_of(content).iter().filter(|part| part.get(key).is_some()).count();
    let mut open = 0;
    for content in contents {
        let (calls, answers) = (count(content, "functionCall"), count(content, "functionResponse"));
        if answers != open {
            return Err(Refusal::bad(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            ));
        }
        open = calls;
    }
    let named = |part: &Json| part.get("functionResponse").is_none_or(|said| said.text_of("name").is_some());
    if !contents.iter().flat_map(parts_of).all(named) {
        return Err(Refusal::bad("* function_response.name: Name cannot be empty."));
    }
    Ok(())
}

/// Whether it is to think; by a budget before Gemini 3, by a level or a budget from then on.
fn thinks(name: &str, config: Option<&Json>) -> Result<bool, Refusal> {
    let Some(thinking) = config.and_then(|config| config.get("thinkingConfig")) else { return Ok(false) };
    let (budget, level) = (thinking.get("thinkingBudget"), thinking.get("thinkingLevel"));
    if level.is_some() && !signs(name) {
        return Err(Refusal::bad("Thinking level is not supported for this model."));
    }
    if level.is_some() && budget.is_some() {
        return Err(Refusal::bad("You can only set only one of thinking budget and thinking level."));
    }
    Ok(budget.and_then(Json::as_u64) != Some(0))
}

fn blocks_of(body: &Json, contents: &[Json]) -> Blocks {
    let mut blocks = Blocks::default();
    if let Some(system) = body.get("systemInstruction") {
        blocks.push("system", system.to_bytes(&[]), None);
    }
    for tool in body.get("tools").and_then(Json::as_list).unwrap_or(&[]) {
        blocks.push("tools", tool.to_bytes(&[]), None);
    }
    for content in contents {
        let role = if content.text_of("role") == Some("model") { "assistant" } else { "user" };
        for part in parts_of(content) {
            blocks.push(role, part.to_bytes(&["thoughtSignature"]), None);
        }
    }
    blocks
}

fn standing(body: &Json, contents: &[Json], thinking: bool) -> (Standing, String) {
    let is_user = |content: &Json| content.text_of("role") != Some("model");
    let said = |content: &Json| content.get("parts").and_then(text_in);
    let last = contents.iter().rposition(|content| is_user(content) && said(content).is_some());
    let since = &contents[last.map_or(0, |n| n + 1)..];
    let calls = |content: &&Json| parts_of(content).iter().any(|part| part.get("functionCall").is_some());
    let rounds = since.iter().filter(calls).count();
    let calling = body.get("toolConfig").and_then(|config| config.get("functionCallingConfig"));
    let mode = calling.and_then(|calling| calling.text_of("mode"));
    let allowed = calling.and_then(|calling| calling.get("allowedFunctionNames")).and_then(Json::as_list);
    let named = allowed.and_then(|names| names.first()).and_then(Json::as_text).map(str::to_owned);
    let tools = body.get("tools").and_then(Json::as_list).unwrap_or(&[]);
    let functions = tools
        .iter()
        .filter_map(|tool| tool.get("functionDeclarations").and_then(Json::as_list))
        .flatten()
        .filter_map(|function| function.text_of("name").map(str::to_owned));
    let standing = Standing {
        tools: functions.collect(),
        forced: (mode == Some("ANY")).then_some(named),
        forbidden: mode == Some("NONE"),
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        open: contents.last().is_some_and(is_user),
        thinking,
        serial: false,
    };
    (standing, last.and_then(|n| said(&contents[n])).unwrap_or_default())
}
