//! Tools, and which of them is to be called.

use crate::{
    dialect::{
        answer::MAX_DEPTH,
        json::{Kind, Walker},
        neutral::{Json, Losses, Malformed, Request, Tool, ToolChoice, ToolKind, Weight, Writer},
        translate::Target,
    },
    types::Dialect,
};

/// The schema of a function that takes nothing.
const TAKES_NOTHING: Json<'static> = Json::written(r#"{"type":"object","properties":{}}"#);

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn write(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let offered: Vec<&Tool<'_>> = request.tools.iter().filter(|tool| known(tool, request, losses)).collect();
    if !offered.is_empty() {
        w.key("tools").array(|w| {
            for tool in &offered {
                write_tool(tool, request, target, w, losses);
            }
        });
    }
    if let Some(choice) = request.tool_choice.as_ref().filter(|_| !offered.is_empty()) {
        w.key("tool_choice");
        write_choice(choice, &offered, w);
    }
    match request.parallel_tools {
        Some(parallel) if target.quirks.parallel_tool_calls => w.key("parallel_tool_calls").bool(parallel),
        Some(false) => {
            let name = match request.origin {
                Dialect::Anthropic => "tool_choice.disable_parallel_tool_use",
                Dialect::OpenAiChat | Dialect::OpenAiResponses => "parallel_tool_calls",
            };
            losses.add(name, Weight::Meaning, "is unknown to the provider");
        }
        Some(true) | None => {}
    }
}

/// Whether the tool can be offered there at all.
fn known(tool: &Tool<'_>, request: &Request<'_>, losses: &mut Losses) -> bool {
    let is_foreign =
        matches!(tool.kind, ToolKind::Hosted { .. }) && request.origin != Dialect::OpenAiResponses;
    if is_foreign {
        losses.add(
            tool.at.path(request.origin),
            Weight::Meaning,
            "is a tool that only the client's own provider runs",
        );
    }
    !is_foreign
}

fn write_tool(
    tool: &Tool<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    w: &mut Writer<'_>,
    losses: &mut Losses,
) {
    if tool.mark.is_some() {
        super::items::unmarked(tool.at, request, losses);
    }
    match &tool.kind {
        ToolKind::Hosted { definition, .. } => w.json(definition),
        ToolKind::Function(parameters) => w.object(|w| {
            w.key("type").text("function");
            w.key("name").escaped(&tool.name);
            if let Some(description) = &tool.description {
                w.key("description").escaped(description);
            }
            w.key("parameters").json(parameters.as_ref().unwrap_or(&TAKES_NOTHING));
            if let Some(strict) = strict(tool, request, target) {
                w.key("strict").bool(strict);
            }
        }),
        ToolKind::Custom(format) => w.object(|w| {
            w.key("type").text("custom");
            w.key("name").escaped(&tool.name);
            if let Some(description) = &tool.description {
                w.key("description").escaped(description);
            }
            if let Some(format) = format {
                w.key("format").json(&flat(format));
            }
        }),
    }
}

/// Left out, it would mean "as strict as the schema allows" here, but "no" in the other dialects.
fn strict(tool: &Tool<'_>, request: &Request<'_>, target: &Target<'_>) -> Option<bool> {
    if !target.quirks.strict_tools {
        return None;
    }
    match (tool.strict, request.origin) {
        (None, Dialect::Anthropic | Dialect::OpenAiChat) => Some(false),
        (strict, _) => strict,
    }
}

/// A free-form tool's format in this dialect's shape: Chat puts the grammar into an object of its own.
fn flat<'a>(format: &Json<'a>) -> Json<'a> {
    let mut grammar = None;
    let mut walker = Walker::new(format.as_str().as_bytes(), MAX_DEPTH);
    let _no_object = walker.members(|walker, key| {
        if key.raw == b"grammar" && walker.kind()? == Kind::Object {
            grammar = Some(Json::read(walker)?.into_owned());
            return Ok(());
        }
        walker.pass().map_err(Malformed::from)
    });
    let Some(grammar) = grammar else { return format.clone() };
    let inside = grammar.as_str().trim_start_matches('{').trim_start();
    let comma = if inside.starts_with('}') { "" } else { "," };
    Json::from_text(format!(r#"{{"type":"grammar"{comma}{inside}"#))
}

fn write_choice(choice: &ToolChoice<'_>, offered: &[&Tool<'_>], w: &mut Writer<'_>) {
    match choice {
        ToolChoice::Auto => w.text("auto"),
        ToolChoice::Any => w.text("required"),
        ToolChoice::None => w.text("none"),
        ToolChoice::Named(name) => w.object(|w| {
            let is_custom = |tool: &&Tool<'_>| tool.name == *name && matches!(tool.kind, ToolKind::Custom(_));
            let custom = offered.iter().any(is_custom);
            w.key("type").text(if custom { "custom" } else { "function" });
            w.key("name").escaped(name);
        }),
    }
}
