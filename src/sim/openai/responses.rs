//! Reading `POST /v1/responses`.

use super::{
    super::{
        anthropic::Ground,
        json::Json,
        models::Model,
        prompt::{Ask, Blocks},
        refusal::Refusal,
        wants::{Standing, Wants, text_in},
    },
    choice_of, domain_of, mark_implicitly, model_of, push, retention_of, tool_names,
};

/// What ties a request to things that the account keeps.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(in crate::sim) struct Links {
    pub(in crate::sim) previous: Option<String>,
    pub(in crate::sim) conversation: Option<String>,
    pub(in crate::sim) store: bool,
    pub(in crate::sim) background: bool,
}

impl Links {
    pub(in crate::sim) fn of(body: &Json) -> Self {
        let conversation = body.get("conversation");
        let id = conversation.and_then(|c| c.as_text().or_else(|| c.text_of("id")));
        Self {
            previous: body.text_of("previous_response_id").map(str::to_owned),
            conversation: id.map(str::to_owned),
            store: !matches!(body.get("store"), Some(Json::Bool(false))),
            background: body.is_true("background"),
        }
    }
}

/// The items of `input`; a string is one user message.
pub(in crate::sim) fn input_items(body: &Json) -> Result<Vec<Json>, Refusal> {
    match body.get("input") {
        Some(Json::Text(text)) => Ok(vec![Json::Map(vec![
            ("role".to_owned(), Json::Text("user".to_owned())),
            ("content".to_owned(), Json::Text(text.clone())),
        ])]),
        Some(Json::List(items)) if items.iter().all(Json::is_map) => Ok(items.clone()),
        _ => Err(Refusal::bad("Missing or invalid required parameter: 'input'.").param("input")),
    }
}

/// Reads a request whose conversation so far is `items` (the input, after all that it continues).
pub(in crate::sim) fn ask(body: &Json, items: &[Json], ground: Ground<'_>) -> Result<Ask, Refusal> {
    let (model, model_name) = model_of(body)?;
    let blocks = blocks_of(body, items, model)?;
    let (standing, last_text) = standing(body, items);
    let directives = ground.directives.clone().and_text(&last_text);
    Ok(Ask {
        model,
        model_name,
        stream: body.is_true("stream"),
        include_usage: false,
        has_stream_options: body.get("stream_options").is_some_and(|options| !options.is_null()),
        max_output: body.get("max_output_tokens").and_then(Json::as_u64),
        chain: blocks.chain(model.cache, domain_of(body, ground.account, model), retention_of(body)),
        wants: Wants::of(&standing, &directives, ground.tool_rounds),
        topic: blocks.topic(),
    })
}

fn blocks_of(body: &Json, items: &[Json], model: &Model) -> Result<Blocks, Refusal> {
    let mut blocks = Blocks::default();
    for tool in body.get("tools").and_then(Json::as_list).unwrap_or(&[]) {
        push(&mut blocks, "tools", tool);
    }
    if let Some(text) = body.text_of("instructions") {
        blocks.push("system", text.as_bytes().to_vec(), None);
    }
    for item in items {
        let role = match (item.text_of("role"), item.text_of("type")) {
            (Some("system" | "developer"), _) => "system",
            (Some("assistant"), _) | (_, Some("function_call" | "reasoning")) => "assistant",
            (_, Some("function_call_output")) => "tool",
            _ => "user",
        };
        push(&mut blocks, role, item);
    }
    mark_implicitly(&mut blocks, body, model)?;
    Ok(blocks)
}

fn standing(body: &Json, items: &[Json]) -> (Standing, String) {
    let (forbidden, forced) = choice_of(body.get("tool_choice"));
    let is = |item: &Json, kind: &str| item.text_of("type") == Some(kind);
    let last_said = items.iter().rposition(|item| item.text_of("role") == Some("user"));
    let since = &items[last_said.map_or(0, |n| n + 1)..];
    // Calls made together are one round: count where a run of calls begins.
    let starts =
        |n: &usize| is(&since[*n], "function_call") && (*n == 0 || !is(&since[*n - 1], "function_call"));
    let rounds = (0..since.len()).filter(starts).count();
    let text = last_said.and_then(|n| items[n].get("content")).and_then(text_in).unwrap_or_default();
    let reasoning = body.get("reasoning").is_some_and(Json::is_map);
    let effort = body.get("reasoning").and_then(|reasoning| reasoning.text_of("effort"));
    let standing = Standing {
        tools: tool_names(body),
        forced,
        forbidden,
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        open: items.last().is_some_and(|item| item.text_of("role") != Some("assistant")),
        thinking: reasoning && effort != Some("none"),
        serial: matches!(body.get("parallel_tool_calls"), Some(Json::Bool(false))),
    };
    (standing, text)
}
