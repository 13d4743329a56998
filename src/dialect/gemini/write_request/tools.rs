//! `tools`, `toolConfig`.

use crate::{
    dialect::neutral::{Escaped, Json, Losses, Request, Tool, ToolChoice, ToolKind, Weight, Writer},
    types::Dialect,
};

/// About how many bytes the tools take.
pub(super) fn size(request: &Request<'_>) -> usize {
    request
        .tools
        .iter()
        .filter_map(function)
        .map(|(tool, schema)| {
            let schema = schema.map_or(0, |schema| schema.as_str().len());
            let description = tool.description.as_ref().map_or(0, |text| text.raw().len());
            tool.name.raw().len() + description + schema + 64
        })
        .sum()
}

pub(super) fn write(w: &mut Writer<'_>, request: &Request<'_>, losses: &mut Losses) {
    for tool in &request.tools {
        note_loss(tool, request.origin, losses);
    }
    if request.tools.iter().any(|tool| function(tool).is_some()) {
        w.key("tools").array(|w| {
            w.object(|w| {
                w.key("functionDeclarations").array(|w| {
                    for (tool, schema) in request.tools.iter().filter_map(function) {
                        declaration(w, tool, schema);
                    }
                });
            });
        });
        choice(w, request);
    }
    if request.parallel_tools == Some(false) {
        let field = match request.origin {
            Dialect::Anthropic => "tool_choice.disable_parallel_tool_use",
            Dialect::OpenAiChat | Dialect::OpenAiResponses => "parallel_tool_calls",
        };
        // A hint: whoever gets two calls can run one after the other.
        losses.add(field, Weight::Hint, "cannot be said there: Gemini may call several tools at once");
    }
}

fn function<'t, 'a>(tool: &'t Tool<'a>) -> Option<(&'t Tool<'a>, Option<&'t Json<'a>>)> {
    match &tool.kind {
        ToolKind::Function(schema) => Some((tool, schema.as_ref())),
        ToolKind::Custom(_) | ToolKind::Hosted { .. } => None,
    }
}

fn note_loss(tool: &Tool<'_>, origin: Dialect, losses: &mut Losses) {
    match &tool.kind {
        ToolKind::Function(_) => {}
        ToolKind::Custom(_) => {
            let why = "is a tool that takes free text; Gemini's take JSON";
            losses.add(tool.at.path(origin), Weight::Meaning, why);
        }
        ToolKind::Hosted { kind, .. } => {
            let why = format!("is a tool of another provider's own (`{}`)", kind.decode());
            losses.add(tool.at.path(origin), Weight::Meaning, why);
        }
    }
}

fn declaration(w: &mut Writer<'_>, tool: &Tool<'_>, schema: Option<&Json<'_>>) {
    w.object(|w| {
        w.key("name").escaped(&tool.name);
        if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
            w.key("description").escaped(description);
        }
        if let Some(schema) = schema {
            w.key("parametersJsonSchema").json(schema);
        }
    });
}

fn choice(w: &mut Writer<'_>, request: &Request<'_>) {
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name): (_, Option<&Escaped<'_>>) = match &request.tool_choice {
        // `VALIDATED` is `AUTO` with arguments that follow the schema to the letter.
        None | Some(ToolChoice::Auto) if strict => ("VALIDATED", None),
        None => return,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::Any) => ("ANY", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some(name)),
    };
    w.key("toolConfig").object(|w| {
        w.key("functionCallingConfig").object(|w| {
            w.key("mode").text(mode);
            if let Some(name) = name {
                w.key("allowedFunctionNames").array(|w| w.escaped(name));
            }
        });
    });
}
