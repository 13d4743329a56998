//! Reading `POST /v1/chat/completions`.

use super::{
    super::{
        anthropic::Ground,
        json::Json,
        prompt::{Ask, Blocks},
        refusal::Refusal,
        wants::{Standing, Wants, text_in},
    },
    choice_of, domain_of, mark_implicitly, model_of, push, retention_of, tool_names,
};

/// Reads a request, or says what is wrong with it.
pub(in crate::sim) fn ask(body: &Json, ground: Ground<'_>) -> Result<Ask, Refusal> {
    let (model, model_name) = model_of(body)?;
    let messages =
        body.get("messages").and_then(Json::as_list).filter(|messages| !messages.is_empty()).ok_or_else(
            || Refusal::bad("Invalid 'messages': expected a non-empty array.").param("messages"),
        )?;
    let stream = body.is_true("stream");
    let options = body.get("stream_options").filter(|options| !options.is_null());
    if options.is_some() && !stream {
        return Err(Refusal::bad("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
            .param("stream_options"));
    }
    let blocks = blocks_of(body, messages, model)?;
    let (standing, last_text) = standing(body, messages);
    let directives = ground.directives.clone().and_text(&last_text);
    let cap = body.get("max_completion_tokens").or_else(|| body.get("max_tokens"));
    Ok(Ask {
        model,
        model_name,
        stream,
        include_usage: options.is_some_and(|options| options.is_true("include_usage")),
        has_stream_options: options.is_some(),
        max_output: cap.and_then(Json::as_u64),
        chain: blocks.chain(model.cache, domain_of(body, ground.account, model), retention_of(body)),
        wants: Wants::of(&standing, &directives, ground.tool_rounds),
        topic: blocks.topic(),
    })
}

fn blocks_of(body: &Json, messages: &[Json], model: &super::super::models::Model) -> Result<Blocks, Refusal> {
    let mut blocks = Blocks::default();
    for tool in body.get("tools").and_then(Json::as_list).unwrap_or(&[]) {
        push(&mut blocks, "tools", tool);
    }
    for message in messages {
        let role = match message.text_of("role") {
            Some("system" | "developer") => "system",
            Some("user") => "user",
            Some("assistant") => "assistant",
            Some("tool" | "function") => "tool",
            _ => return Err(Refusal::bad("Invalid value: 'messages[].role'.").param("messages")),
        };
        push(&mut blocks, role, message);
    }
    mark_implicitly(&mut blocks, body, model)?;
    Ok(blocks)
}

fn standing(body: &Json, messages: &[Json]) -> (Standing, String) {
    let (forbidden, forced) = choice_of(body.get("tool_choice"));
    let last_said = messages.iter().rposition(|message| message.text_of("role") == Some("user"));
    let since = &messages[last_said.map_or(0, |n| n + 1)..];
    let rounds =
        since.iter().filter(|message| message.get("tool_calls").is_some_and(|c| !c.is_null())).count();
    let text = last_said.and_then(|n| messages[n].get("content")).and_then(text_in).unwrap_or_default();
    let effort = body.text_of("reasoning_effort");
    let standing = Standing {
        tools: tool_names(body),
        forced,
        forbidden,
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        open: messages.last().is_some_and(|message| message.text_of("role") != Some("assistant")),
        thinking: effort.is_some_and(|effort| effort != "none"),
        serial: matches!(body.get("parallel_tool_calls"), Some(Json::Bool(false))),
    };
    (standing, text)
}
