//! Reading `POST /v1/messages`, with the checks that the real thing makes.

use super::super::{
    cache::Ttl,
    json::Json,
    models::{self, CacheRule, Maker},
    params::Account,
    prompt::{Ask, Blocks, hash_of},
    refusal::Refusal,
    wants::{Directives, Standing, Wants, text_in},
};

/// The key that does not belong to a block's content.
const MARKER: &[&str] = &["cache_control"];
/// Anthropic strips this block when it stands first (providers, 1.6).
const ATTRIBUTION: &str = "x-anthropic-billing-header:";
/// Breakpoints in one request.
const MAX_MARKS: usize = 4;

/// What a request is read against.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Ground<'a> {
    pub(in crate::sim) account: &'a Account,
    /// From the `x-sim` header.
    pub(in crate::sim) directives: &'a Directives,
    pub(in crate::sim) tool_rounds: u32,
}

/// Reads a request, or says what is wrong with it.
pub(in crate::sim) fn ask(body: &Json, ground: Ground<'_>) -> Result<Ask, Refusal> {
    let (model, name) = model_of(body)?;
    let domain = hash_of(&["anthropic", &ground.account.organization, &ground.account.workspace, model.id]);
    ask_of(body, (model, name), domain, body.is_true("stream"), ground)
}

/// The same where the model is said elsewhere, and the cache is another's.
pub(in crate::sim) fn ask_of(
    body: &Json,
    (model, model_name): (&'static models::Model, String),
    domain: u64,
    stream: bool,
    ground: Ground<'_>,
) -> Result<Ask, Refusal> {
    let max_output = body
        .get("max_tokens")
        .and_then(Json::as_u64)
        .ok_or_else(|| Refusal::bad("max_tokens: Field required"))?;
    if max_output == 0 {
        check_prewarm(body, stream)?;
    }
    let blocks = blocks_of(body)?;
    check_order(&blocks.marks())?;
    let (standing, last_text) = standing(body);
    let directives = ground.directives.clone().and_text(&last_text);
    Ok(Ask {
        model,
        model_name,
        stream,
        include_usage: false,
        has_stream_options: false,
        max_output: Some(max_output),
        chain: blocks.chain(model.cache, domain, None),
        wants: Wants::of(&standing, &directives, ground.tool_rounds),
        topic: blocks.topic(),
    })
}

/// Input tokens of a `count_tokens` request.
pub(in crate::sim) fn count(body: &Json) -> Result<(&'static models::Model, u64), Refusal> {
    let (model, _) = model_of(body)?;
    Ok((model, total(body)?))
}

/// Input tokens of a request, whichever its model.
pub(in crate::sim) fn total(body: &Json) -> Result<u64, Refusal> {
    Ok(blocks_of(body)?.chain(CacheRule::Marked { min: 0 }, 0, None).total)
}

fn model_of(body: &Json) -> Result<(&'static models::Model, String), Refusal> {
    if !body.is_map() {
        return Err(Refusal::bad("Input should be a valid dictionary"));
    }
    let name = body.text_of("model").ok_or_else(|| Refusal::bad("model: Field required"))?;
    let model = models::find(name).filter(|model| model.maker == Maker::Anthropic);
    model.map(|model| (model, name.to_owned())).ok_or_else(|| Refusal::new(404, format!("model: {name}")))
}

fn check_prewarm(body: &Json, stream: bool) -> Result<(), Refusal> {
    let thinking = body.get("thinking").and_then(|t| t.text_of("type")) == Some("enabled");
    let forced = matches!(body.get("tool_choice").and_then(|t| t.text_of("type")), Some("any" | "tool"));
    let formatted = body.get("output_config").is_some_and(|config| config.get("format").is_some());
    if stream || thinking || forced || formatted {
        return Err(Refusal::bad(
            "max_tokens: 0 cannot be used with stream, thinking, output_config.format or a forced tool_choice",
        ));
    }
    Ok(())
}

fn blocks_of(body: &Json) -> Result<Blocks, Refusal> {
    let mut blocks = Blocks::default();
    for tool in list(body, "tools")? {
        push(&mut blocks, "tools", tool)?;
    }
    salt(&mut blocks, body, &["speed"]);
    match body.get("system") {
        None | Some(Json::Null) => {}
        Some(Json::Text(text)) => blocks.push("system", text_block(text), None),
        Some(Json::List(parts)) => {
            let attributed = parts.first().and_then(|part| part.text_of("text"));
            let skip = usize::from(attributed.is_some_and(|text| text.starts_with(ATTRIBUTION)));
            for part in &parts[skip..] {
                push(&mut blocks, "system", part)?;
            }
        }
        Some(_) => return Err(Refusal::bad("system: Input should be a valid string or list")),
    }
    salt(&mut blocks, body, &["tool_choice", "thinking", "output_config"]);
    let messages = list(body, "messages")?;
    if messages.is_empty() {
        return Err(Refusal::bad("messages: at least one message is required"));
    }
    if messages.iter().any(has_image) {
        blocks.salt(b"images".to_vec());
    }
    for message in messages {
        push_message(&mut blocks, message)?;
    }
    if blocks.marks().len() > MAX_MARKS {
        let found = blocks.marks().len();
        return Err(Refusal::bad(format!(
            "A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found {found}."
        )));
    }
    mark_automatically(&mut blocks, body)?;
    Ok(blocks)
}

/// A top-level `cache_control` is a breakpoint on the last block, and takes one of the four slots.
fn mark_automatically(blocks: &mut Blocks, body: &Json) -> Result<(), Refusal> {
    let Some(ttl) = marker(body)? else { return Ok(()) };
    match blocks.last_mark() {
        Some(explicit) if explicit == ttl => Ok(()),
        Some(_) => Err(Refusal::bad("cache_control: the last block has a marker with a different ttl")),
        None if blocks.marks().len() == MAX_MARKS => Err(Refusal::bad(format!(
            "cache_control: {MAX_MARKS} blocks with cache_control are provided already"
        ))),
        None => {
            blocks.mark_last(ttl);
            Ok(())
        }
    }
}

pub(in crate::sim) fn check_order(marks: &[Ttl]) -> Result<(), Refusal> {
    let first_short = marks.iter().position(|ttl| *ttl == Ttl::FiveMinutes).unwrap_or(marks.len());
    if marks[first_short..].contains(&Ttl::Hour) {
        return Err(Refusal::bad(
            "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block",
        ));
    }
    Ok(())
}

fn push_message(blocks: &mut Blocks, message: &Json) -> Result<(), Refusal> {
    let role = match message.text_of("role") {
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("system") => "system",
        _ => return Err(Refusal::bad("messages: role must be `user`, `assistant` or `system`")),
    };
    match message.get("content") {
        Some(Json::Text(text)) => {
            blocks.push(role, text_block(text), None);
            Ok(())
        }
        Some(Json::List(parts)) => parts.iter().try_for_each(|part| push(blocks, role, part)),
        _ => Err(Refusal::bad("messages: content must be a string or a list of blocks")),
    }
}

fn push(blocks: &mut Blocks, role: &'static str, block: &Json) -> Result<(), Refusal> {
    if !block.is_map() {
        return Err(Refusal::bad(format!("{role}: each block must be an object")));
    }
    let mut mark = marker(block)?;
    if mark.is_some() && matches!(block.text_of("type"), Some("thinking" | "redacted_thinking")) {
        return Err(Refusal::bad("cache_control cannot be set for thinking blocks"));
    }
    if mark.is_some() && block.text_of("type") == Some("text") && block.text_of("text") == Some("") {
        return Err(Refusal::bad("cache_control cannot be set for empty text blocks"));
    }
    // A marker inside a tool result's content ends the prefix at that result.
    for inner in block.get("content").and_then(Json::as_list).unwrap_or(&[]) {
        mark = mark.or(marker(inner)?);
    }
    blocks.push(role, plain_text(block).map_or_else(|| block.to_bytes(MARKER), text_block), mark);
    Ok(())
}

/// The text of a block that is nothing but text: the order of its keys is not part of the prompt.
fn plain_text(block: &Json) -> Option<&str> {
    let Json::Map(pairs) = block else { return None };
    let known = pairs.iter().all(|(key, _)| matches!(key.as_str(), "type" | "text" | "cache_control"));
    (known && block.text_of("type") == Some("text")).then(|| block.text_of("text"))?
}

fn marker(block: &Json) -> Result<Option<Ttl>, Refusal> {
    let Some(control) = block.get("cache_control").filter(|control| !control.is_null()) else {
        return Ok(None);
    };
    if control.text_of("type") != Some("ephemeral") {
        return Err(Refusal::bad("cache_control.type: Input should be 'ephemeral'"));
    }
    match control.get("ttl").map(Json::as_text) {
        None | Some(Some("5m")) => Ok(Some(Ttl::FiveMinutes)),
        Some(Some("1h")) => Ok(Some(Ttl::Hour)),
        Some(_) => Err(Refusal::bad("cache_control.ttl: Input should be '5m' or '1h'")),
    }
}

fn list<'a>(body: &'a Json, key: &str) -> Result<&'a [Json], Refusal> {
    match body.get(key) {
        None | Some(Json::Null) => Ok(&[]),
        Some(value) => {
            value.as_list().ok_or_else(|| Refusal::bad(format!("{key}: Input should be a valid list")))
        }
    }
}

/// Parameters that make what follows another text to the cache.
fn salt(blocks: &mut Blocks, body: &Json, keys: &[&str]) {
    let mut bytes = Vec::new();
    for key in keys {
        if let Some(value) = body.get(key) {
            bytes.extend_from_slice(key.as_bytes());
            value.write(&[], &mut bytes);
        }
    }
    blocks.salt(bytes);
}

/// A string is one text block.
fn text_block(text: &str) -> Vec<u8> {
    Json::Map(vec![
        ("type".to_owned(), Json::Text("text".to_owned())),
        ("text".to_owned(), Json::Text(text.to_owned())),
    ])
    .to_bytes(&[])
}

fn has_image(of: &Json) -> bool {
    of.text_of("type") == Some("image")
        || of.get("content").and_then(Json::as_list).is_some_and(|parts| parts.iter().any(has_image))
}

/// Where the conversation stands, and its last user text.
fn standing(body: &Json) -> (Standing, String) {
    let tools = body.get("tools").and_then(Json::as_list).unwrap_or(&[]);
    let choice = body.get("tool_choice");
    let kind = choice.and_then(|choice| choice.text_of("type"));
    let forced = match kind {
        Some("any") => Some(None),
        Some("tool") => Some(choice.and_then(|choice| choice.text_of("name")).map(str::to_owned)),
        _ => None,
    };
    let messages = body.get("messages").and_then(Json::as_list).unwrap_or(&[]);
    let is_said = |message: &&Json| message.text_of("role") == Some("user") && !holds(message, "tool_result");
    let last_said = messages.iter().rposition(|message| is_said(&message));
    let since = &messages[last_said.map_or(0, |n| n + 1)..];
    let rounds = since.iter().filter(|message| holds(message, "tool_use")).count();
    let text = last_said.and_then(|n| messages[n].get("content")).and_then(text_in).unwrap_or_default();
    let thinking = body.get("thinking").and_then(|thinking| thinking.text_of("type"));
    let standing = Standing {
        tools: tools.iter().filter_map(|tool| tool.text_of("name")).map(str::to_owned).collect(),
        forced,
        forbidden: kind == Some("none"),
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        open: messages.last().is_some_and(|message| message.text_of("role") != Some("assistant")),
        thinking: matches!(thinking, Some("enabled" | "adaptive")),
        serial: choice.is_some_and(|choice| choice.is_true("disable_parallel_tool_use")),
    };
    (standing, text)
}

fn holds(message: &Json, kind: &str) -> bool {
    message
        .get("content")
        .and_then(Json::as_list)
        .is_some_and(|parts| parts.iter().any(|part| part.text_of("type") == Some(kind)))
}
