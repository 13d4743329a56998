//! Tools and which of them to call.

use super::{Lost, Member};
use crate::dialect::{
    json::Walker,
    neutral::{Escaped, Json, Request, Tool, ToolChoice, ToolKind, Weight, Writer},
    translate::Target,
};

pub(super) fn write(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let known: Vec<&Tool<'_>> = request.tools.iter().filter(|tool| is_known(tool, target, lost)).collect();
    if known.is_empty() {
        if matches!(request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
            lost.losses.add("tool_choice", Weight::Meaning, "needs a tool");
        }
        // The others mean nothing without tools, and are refused without.
        return;
    }
    w.key("tools").array(|w| {
        for tool in &known {
            w.object(|w| one(w, tool, target, lost));
        }
    });
    if let Some(choice) = &request.tool_choice {
        w.key("tool_choice");
        match choice {
            ToolChoice::Auto => w.text("auto"),
            ToolChoice::None => w.text("none"),
            ToolChoice::Any => w.text(if target.quirks.required_is_any { "any" } else { "required" }),
            ToolChoice::Named(name) => w.object(|w| {
                let custom =
                    known.iter().any(|tool| tool.name == *name && matches!(tool.kind, ToolKind::Custom(_)));
                let kind = if custom { "custom" } else { "function" };
                w.key("type").text(kind);
                w.key(kind).object(|w| w.key("name").escaped(name));
            }),
        }
    }
    match request.parallel_tools {
        Some(parallel) if target.quirks.parallel_tool_calls => w.key("parallel_tool_calls").bool(parallel),
        Some(false) => lost.hint(Member::Parallel, "is not understood there"),
        Some(true) | None => {}
    }
}

fn is_known(tool: &Tool<'_>, target: &Target<'_>, lost: &mut Lost<'_>) -> bool {
    let why = match &tool.kind {
        ToolKind::Function(_) => return true,
        // A free-form tool is OpenAI's own, like the other things that hosts answer 400 to.
        ToolKind::Custom(_) if target.quirks.hints => return true,
        ToolKind::Custom(_) => "is of a kind that is not understood there",
        ToolKind::Hosted { .. } => "is known to its own provider only",
    };
    lost.losses.add(tool.at.path(lost.origin), Weight::Meaning, why);
    false
}

fn one(w: &mut Writer<'_>, tool: &Tool<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let custom = matches!(tool.kind, ToolKind::Custom(_));
    let kind = if custom { "custom" } else { "function" };
    w.key("type").text(kind);
    w.key(kind).object(|w| {
        w.key("name").escaped(&tool.name);
        if let Some(description) = &tool.description {
            w.key("description").escaped(description);
        }
        match &tool.kind {
            ToolKind::Function(schema) => {
                // Some hosts demand it.
                let none = Json::written(r#"{"type":"object","properties":{}}"#);
                w.key("parameters").json(schema.as_ref().unwrap_or(&none));
            }
            ToolKind::Custom(Some(format)) => write_grammar(w, format),
            ToolKind::Custom(None) | ToolKind::Hosted { .. } => {}
        }
        match tool.strict {
            Some(_) if custom => {}
            Some(strict) if target.quirks.strict_tools => w.key("strict").bool(strict),
            Some(true) => {
                let name = format!("{}.strict", tool.at.path(lost.origin));
                lost.losses.add(name, Weight::Hint, "is not understood there");
            }
            Some(false) | None => {}
        }
    });
}

/// A free-form tool's format: what stands beside `type` in Responses is nested in Chat.
fn write_grammar(w: &mut Writer<'_>, format: &Json<'_>) {
    let (mut definition, mut syntax) = (None, None);
    let mut walker = Walker::new(format.as_str().as_bytes(), 128);
    let read = walker.members(|walker, key| {
        match key.raw {
            b"definition" => definition = Escaped::read(walker)?,
            b"syntax" => syntax = Escaped::read(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), crate::dialect::neutral::Malformed>(())
    });
    if let (Ok(()), Some(definition), Some(syntax)) = (read, definition, syntax) {
        w.key("format").object(|w| {
            w.key("type").text("grammar");
            w.key("grammar").object(|w| {
                w.key("definition").escaped(&definition);
                w.key("syntax").escaped(&syntax);
            });
        });
    }
}
