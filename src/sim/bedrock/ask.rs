//! Reading `Converse`, with the checks that the real thing makes.

use super::{
    super::{
        anthropic::{self, Ground},
        cache::Ttl,
        json::Json,
        models::{CacheRule, Model},
        prompt::{Ask, Blocks, hash_of},
        refusal::Refusal,
        wants::{Standing, Wants},
    },
    model_of,
};

/// Cache points in one request.
const MAX_POINTS: usize = 4;

/// Reads a request, or says what is wrong with it.
pub(in crate::sim) fn ask(id: &str, body: &Json, ground: Ground<'_>, stream: bool) -> Result<Ask, Refusal> {
    let model = model_of(id)?;
    let blocks = blocks_of(body, model)?;
    let (standing, last_text) = standing(body);
    let directives = ground.directives.clone().and_text(&last_text);
    let cap = body.get("inferenceConfig").and_then(|config| config.get("maxTokens"));
    Ok(Ask {
        model,
        model_name: id.to_owned(),
        stream,
        include_usage: false,
        has_stream_options: false,
        max_output: cap.and_then(Json::as_u64),
        chain: blocks.chain(model.cache, domain(ground, model), None),
        wants: Wants::of(&standing, &directives, ground.tool_rounds),
        topic: blocks.topic(),
    })
}

/// The cache is the account's, which is an organisation here.
pub(super) fn domain(ground: Ground<'_>, model: &Model) -> u64 {
    hash_of(&["aws", &ground.account.organization, model.id])
}

/// Input tokens of a request.
pub(super) fn total(body: &Json, model: &Model) -> Result<u64, Refusal> {
    Ok(blocks_of(body, model)?.chain(CacheRule::Marked { min: 0 }, 0, None).total)
}

fn blocks_of(body: &Json, model: &Model) -> Result<Blocks, Refusal> {
    if !body.is_map() {
        return Err(Refusal::bad("The request body must be an object."));
    }
    let nova = model.id.contains("nova");
    let mut blocks = Blocks::default();
    for tool in list(body.get("toolConfig"), "tools") {
        if nova && tool.get("cachePoint").is_some() {
            return Err(Refusal::bad("toolConfig.tools: cachePoint is not supported by this model."));
        }
        push(&mut blocks, "tools", tool, nova)?;
    }
    for block in list(Some(body), "system") {
        push(&mut blocks, "system", block, nova)?;
    }
    let mut salt = Vec::new();
    for key in ["additionalModelRequestFields", "outputConfig"] {
        body.get(key).unwrap_or(&Json::Null).write(&[], &mut salt);
    }
    let choice = body.get("toolConfig").and_then(|config| config.get("toolChoice"));
    choice.unwrap_or(&Json::Null).write(&[], &mut salt);
    blocks.salt(salt);
    messages(body, &mut blocks, nova)?;
    if blocks.marks().len() > MAX_POINTS {
        return Err(Refusal::bad("You have exceeded the maximum number of cachePoint blocks: 4."));
    }
    anthropic::check_order(&blocks.marks())?;
    Ok(blocks)
}

fn messages(body: &Json, blocks: &mut Blocks, nova: bool) -> Result<(), Refusal> {
    let messages = list(Some(body), "messages");
    let mut before = "assistant";
    let mut calls: Vec<&str> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let role = match message.text_of("role") {
            Some("user") => "user",
            Some("assistant") => "assistant",
            Some("system") => "system",
            _ => return Err(Refusal::bad(format!("messages.{n}.role: a user, an assistant or the system"))),
        };
        if n == 0 && role == "assistant" {
            return Err(Refusal::bad("A conversation must start with a user message."));
        }
        if role == before && n > 0 {
            return Err(Refusal::bad(format!(
                "messages.{n}: roles must alternate, and {role} speaks twice."
            )));
        }
        before = role;
        let content = list(Some(message), "content");
        if content.is_empty() {
            return Err(Refusal::bad(format!(
                "The content field in the Message object at messages.{n} is empty."
            )));
        }
        let answered: Vec<&str> =
            content.iter().filter_map(|block| block.get("toolResult")?.text_of("toolUseId")).collect();
        if role != "system"
            && (answered.len() != calls.len() || !calls.iter().all(|id| answered.contains(id)))
        {
            return Err(Refusal::bad(format!(
                "messages.{n}: Expected toolResult blocks for the following Ids: {}",
                calls.join(", ")
            )));
        }
        if role != "system" {
            calls = content.iter().filter_map(|block| block.get("toolUse")?.text_of("toolUseId")).collect();
        }
        if !(calls.is_empty() && answered.is_empty()) && body.get("toolConfig").is_none() {
            return Err(Refusal::bad(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            ));
        }
        for block in content {
            push(blocks, role, block, nova)?;
        }
    }
    Ok(())
}

fn push(blocks: &mut Blocks, role: &'static str, block: &Json, nova: bool) -> Result<(), Refusal> {
    if let Some(point) = block.get("cachePoint") {
        let ttl = match (point.text_of("type"), point.text_of("ttl")) {
            (Some("default"), None | Some("5m")) => Ttl::FiveMinutes,
            (Some("default"), Some("1h")) if !nova => Ttl::Hour,
            _ => return Err(Refusal::bad("cachePoint: of type default, with a ttl that the model knows")),
        };
        blocks.mark_last(ttl);
        return Ok(());
    }
    if block.text_of("text").is_some_and(|text| text.trim().is_empty()) {
        return Err(Refusal::bad("The text field in the ContentBlock object is blank."));
    }
    let signature = block
        .get("reasoningContent")
        .and_then(|reasoning| reasoning.get("reasoningText"))
        .map(|text| text.text_of("signature").unwrap_or(""));
    if signature.is_some_and(|signature| !signature.starts_with("sim")) {
        return Err(Refusal::bad("messages.1.content.0: Invalid `signature` in `thinking` block"));
    }
    blocks.push(role, block.to_bytes(&[]), None);
    Ok(())
}

fn list<'a>(of: Option<&'a Json>, key: &str) -> &'a [Json] {
    of.and_then(|of| of.get(key)).and_then(Json::as_list).unwrap_or(&[])
}

/// Where the conversation stands, and its last user text.
fn standing(body: &Json) -> (Standing, String) {
    let config = body.get("toolConfig");
    let choice = config.and_then(|config| config.get("toolChoice"));
    let named = choice.and_then(|choice| choice.get("tool")).and_then(|tool| tool.text_of("name"));
    let forced = match named {
        Some(name) => Some(Some(name.to_owned())),
        None => choice.and_then(|choice| choice.get("any")).map(|_| None),
    };
    let extra = body.get("additionalModelRequestFields");
    let claudes = extra.and_then(|extra| extra.get("tool_choice"));
    let messages = list(Some(body), "messages");
    let holds =
        |message: &Json, kind: &str| list(Some(message), "content").iter().any(|b| b.get(kind).is_some());
    let is_said = |message: &Json| message.text_of("role") == Some("user") && !holds(message, "toolResult");
    let last_said = messages.iter().rposition(is_said);
    let since = &messages[last_said.map_or(0, |n| n + 1)..];
    let rounds = since.iter().filter(|message| holds(message, "toolUse")).count();
    let said = last_said.map_or(&[][..], |n| list(Some(&messages[n]), "content"));
    let text: Vec<&str> = said.iter().filter_map(|block| block.text_of("text")).collect();
    let thinking = extra.and_then(|extra| extra.get("thinking").or_else(|| extra.get("reasoningConfig")));
    let standing = Standing {
        tools: list(config, "tools")
            .iter()
            .filter_map(|tool| tool.get("toolSpec")?.text_of("name"))
            .map(str::to_owned)
            .collect(),
        forced,
        forbidden: false,
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        open: messages.last().is_some_and(|message| message.text_of("role") != Some("assistant")),
        thinking: matches!(thinking.and_then(|t| t.text_of("type")), Some("enabled" | "adaptive")),
        serial: claudes.is_some_and(|choice| choice.is_true("disable_parallel_tool_use")),
    };
    (standing, text.join("\n"))
}
