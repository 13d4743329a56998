//! Tools.

use super::{Marks, Name, Scribe};
use crate::dialect::{
    json::Walker,
    neutral::{CacheMark, Json, Malformed, Tool, ToolChoice, ToolKind, Weight, Writer},
};

/// Schemas nest no deeper than a body may.
const MAX_DEPTH: usize = 128;

impl<'r> Scribe<'r, '_> {
    /// Writes `tool_choice` and `tools`.
    pub(super) fn tools(&mut self, w: &mut Writer<'_>, marks: &Marks) {
        let request = self.request;
        let tools: Vec<&'r Tool<'r>> = request.tools.iter().filter(|tool| self.can_offer(tool)).collect();
        if tools.is_empty() {
            if matches!(request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
                self.lose(Name::Same("tool_choice"), Weight::Meaning, "needs tools");
            }
            return;
        }
        self.tool_choice(w);
        let last = tools.len() - 1;
        w.key("tools").array(|w| {
            for (index, tool) in tools.iter().enumerate() {
                let auto = marks.last_tool.filter(|_| index == last);
                self.tool(w, tool, tool.mark.or(auto));
            }
        });
    }

    fn can_offer(&mut self, tool: &Tool<'_>) -> bool {
        let why = match &tool.kind {
            ToolKind::Function(_) => return true,
            ToolKind::Hosted { .. } if self.is_native() => return true,
            ToolKind::Hosted { .. } => "is run by the provider that it was written for, and by no other",
            ToolKind::Custom(_) => "takes free text; Claude's tools take JSON",
        };
        self.losses.add(tool.at.path(self.request.origin), Weight::Meaning, why);
        false
    }

    fn tool_choice(&self, w: &mut Writer<'_>) {
        let one_at_a_time = self.request.parallel_tools == Some(false);
        let (kind, name) = match &self.request.tool_choice {
            None if !one_at_a_time => return,
            None | Some(ToolChoice::Auto) => ("auto", None),
            Some(ToolChoice::Any) => ("any", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Named(name)) => ("tool", Some(name)),
        };
        w.key("tool_choice").object(|w| {
            w.key("type").text(kind);
            if let Some(name) = name {
                w.key("name").escaped(name);
            }
            if one_at_a_time && kind != "none" {
                w.key("disable_parallel_tool_use").bool(true);
            }
        });
    }

    fn tool(&self, w: &mut Writer<'_>, tool: &Tool<'_>, mark: Option<CacheMark>) {
        let schema = match &tool.kind {
            // The definition as it stood, with its mark.
            ToolKind::Hosted { definition, .. } => return w.json(definition),
            ToolKind::Function(schema) => schema.as_ref(),
            ToolKind::Custom(_) => None,
        };
        w.object(|w| {
            w.key("name").escaped(&tool.name);
            if let Some(description) = &tool.description {
                w.key("description").escaped(description);
            }
            w.key("input_schema");
            input_schema(w, schema);
            if tool.strict == Some(true) {
                w.key("strict").bool(true);
            }
            self.mark(w, mark);
        });
    }
}

/// A schema of arguments. Anthropic wants its `type` said, which OpenAI's clients may leave out.
fn input_schema(w: &mut Writer<'_>, schema: Option<&Json<'_>>) {
    let Some(schema) = schema.filter(|schema| schema.is_object()) else {
        return w.object(|w| {
            w.key("type").text("object");
            w.key("properties").object(|_| {});
        });
    };
    if has_type(schema).unwrap_or(true) {
        return w.json(schema);
    }
    let members = schema.as_str().trim_ascii().strip_prefix('{').unwrap_or_default();
    let comma = if members.trim_ascii_start() == "}" { "" } else { "," };
    w.json(&Json::written(&format!("{{\"type\":\"object\"{comma}{members}")));
}

fn has_type(schema: &Json<'_>) -> Result<bool, Malformed> {
    let mut walker = Walker::new(schema.as_str().as_bytes(), MAX_DEPTH);
    let mut found = false;
    walker.members(|walker, key| {
        found |= key.raw == b"type";
        walker.pass()?;
        Ok::<(), Malformed>(())
    })?;
    Ok(found)
}

/// About how long a tool is.
pub(super) fn size(tool: &Tool<'_>) -> usize {
    let kind = match &tool.kind {
        ToolKind::Function(schema) | ToolKind::Custom(schema) => {
            schema.as_ref().map_or(0, |schema| schema.as_str().len())
        }
        ToolKind::Hosted { definition, .. } => definition.as_str().len(),
    };
    128 + kind + tool.description.as_ref().map_or(0, |text| text.raw().len())
}
