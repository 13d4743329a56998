//! Tools, and whether they must be used.

use super::{Job, Words, points};
use crate::dialect::neutral::{
    CacheMark, Content, Escaped, Json, Tool, ToolChoice, ToolKind, Weight, Writer,
};

/// `ToolName` of botocore.
const LONGEST_NAME: usize = 64;
/// Takes nothing.
const NO_ARGUMENTS: Json<'static> = Json::written(r#"{"type":"object","properties":{}}"#);
/// Offered where the history holds calls and nothing is on offer any more: "The toolConfig field must be
/// defined when using toolUse and toolResult content blocks".
const STAND_IN: &str = r#"{"toolSpec":{"name":"unavailable","description":"Not available: do not call it.","inputSchema":{"json":{"type":"object","properties":{}}}}}"#;

/// About as many bytes as it takes.
pub(super) fn length(tool: &Tool<'_>) -> usize {
    const WRAPPING: usize = 128;
    let schema = match &tool.kind {
        ToolKind::Function(schema) => schema.as_ref().map_or(0, |schema| schema.as_str().len()),
        ToolKind::Custom(_) | ToolKind::Hosted { .. } => 0,
    };
    WRAPPING + tool.name.raw().len() + tool.description.as_ref().map_or(0, |text| text.raw().len()) + schema
}

impl<'j> Job<'j, '_> {
    pub(super) fn tools(&mut self, w: &mut Writer<'_>) {
        let has_history = self.has_history();
        let tools: Vec<&'j Tool<'j>> =
            self.request.tools.iter().filter(|tool| self.is_expressible(tool)).collect();
        if tools.is_empty() {
            if self.must_call() {
                self.lost(Words::same("tool_choice"), Weight::Meaning, "names no tool that is there");
            }
            if has_history {
                w.key("toolConfig").object(|w| {
                    w.key("tools").array(|w| w.json(&Json::written(STAND_IN)));
                });
            }
            return;
        }
        if self.request.tool_choice == Some(ToolChoice::None) {
            if !has_history {
                return;
            }
            let why = "cannot be `none` there while the history holds calls of tools";
            self.lost(Words::same("tool_choice"), Weight::Meaning, why);
        }
        w.key("toolConfig").object(|w| {
            w.key("tools").array(|w| {
                for tool in &tools {
                    write(w, tool);
                    if let Some(mark) = tool.mark.filter(|_| self.model.caches_tools()) {
                        let long = mark == CacheMark::Long && self.model.caches_long();
                        points::write(w, if long { CacheMark::Long } else { CacheMark::Short });
                    }
                }
                if let Some(mark) = self.points.tools {
                    points::write(w, mark);
                }
            });
            self.choice(w);
        });
    }

    fn is_expressible(&mut self, tool: &Tool<'_>) -> bool {
        let at = tool.at;
        match &tool.kind {
            ToolKind::Function(_) => {}
            ToolKind::Custom(_) => {
                self.lose(at, "takes free text, and only JSON arguments are understood there");
                return false;
            }
            ToolKind::Hosted { .. } => {
                self.lose(at, "is run by its own provider, and this one has no such tool");
                return false;
            }
        }
        let name = tool.name.raw();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
            let field = format!("{}.name", at.path(self.request.origin));
            self.losses.add(field, Weight::Meaning, "must be 1 to 64 letters, digits, `_` and `-` there");
            return false;
        }
        true
    }

    const fn must_call(&self) -> bool {
        matches!(self.request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_)))
    }

    fn choice(&mut self, w: &mut Writer<'_>) {
        if self.is_serial() {
            return; // It is said in Claude's own words.
        }
        match &self.request.tool_choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => w.key("toolChoice").object(|w| w.key("auto").object(|_| {})),
            Some(ToolChoice::Any) => w.key("toolChoice").object(|w| w.key("any").object(|_| {})),
            Some(ToolChoice::Named(name)) => w.key("toolChoice").object(|w| {
                w.key("tool").object(|w| w.key("name").escaped(name));
            }),
        }
    }

    /// One call at a time, which only Claude's own `tool_choice` can say. Bedrock refuses it said twice.
    pub(super) fn is_serial(&self) -> bool {
        self.request.parallel_tools == Some(false)
            && self.model.is_claude()
            && !self.request.tools.is_empty()
            && self.request.tool_choice != Some(ToolChoice::None)
    }

    /// Claude's `tool_choice` of one call at a time.
    pub(super) fn serial_choice(&self) -> String {
        let mut out = Vec::new();
        Writer::new(&mut out).object(|w| {
            let kind = match &self.request.tool_choice {
                None | Some(ToolChoice::Auto | ToolChoice::None) => "auto",
                Some(ToolChoice::Any) => "any",
                Some(ToolChoice::Named(_)) => "tool",
            };
            w.key("type").escaped(&Escaped::plain(kind));
            if let Some(ToolChoice::Named(name)) = &self.request.tool_choice {
                w.key("name").escaped(name);
            }
            w.key("disable_parallel_tool_use").bool(true);
        });
        String::from_utf8(out).unwrap_or_default()
    }

    /// The conversation holds calls of tools, or their results.
    fn has_history(&self) -> bool {
        let mut parts = self.request.messages.iter().flat_map(|message| &message.parts);
        parts.any(|part| matches!(part.content, Content::ToolCall { .. } | Content::ToolResult { .. }))
    }
}

fn write(w: &mut Writer<'_>, tool: &Tool<'_>) {
    let schema = match &tool.kind {
        ToolKind::Function(Some(schema)) => schema,
        ToolKind::Function(None) | ToolKind::Custom(_) | ToolKind::Hosted { .. } => &NO_ARGUMENTS,
    };
    w.object(|w| {
        w.key("toolSpec").object(|w| {
            w.key("name").escaped(&tool.name);
            if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
                w.key("description").escaped(description);
            }
            w.key("inputSchema").object(|w| w.key("json").json(schema));
            if tool.strict == Some(true) {
                w.key("strict").bool(true);
            }
        });
    });
}
