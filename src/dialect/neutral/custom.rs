//! Free-form tools for providers whose tools take JSON: the text becomes the one member of an object.
//!
//! Codex edits files with such a tool, so refusing them would keep it from every other maker's models.
//! Only for clients of Responses, whose answer writer takes the text out again.

use super::{Content, Escaped, Json, Losses, Request, ToolKind, Weight};
use crate::{
    dialect::json::{Fault, Walker},
    types::Dialect,
};

/// The one member.
const SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;

impl Request<'_> {
    /// Offers free-form tools as functions of one text, and spells their calls in the history so. What a
    /// grammar demands goes into the description: nobody enforces it there.
    pub(in crate::dialect) fn spell_free_tools(&mut self, losses: &mut Losses) {
        if self.origin != Dialect::OpenAiResponses {
            return;
        }
        for tool in &mut self.tools {
            let ToolKind::Custom(format) = &tool.kind else { continue };
            if let Some(grammar) = format.as_ref().and_then(grammar) {
                losses.add(
                    format!("{}.format", tool.at.path(self.origin)),
                    Weight::Hint,
                    "is described to the model there, and not enforced",
                );
                let said = tool.description.as_ref().map_or("", Escaped::raw);
                tool.description = Some(Escaped::joined(&[said, &grammar]));
            }
            tool.kind = ToolKind::Function(Some(Json::written(SCHEMA)));
            tool.strict = None;
        }
        for part in self.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let Content::ToolCall { arguments, .. } = &mut part.content
                && arguments.as_str().trim_start().starts_with('"')
            {
                *arguments = Json::from_text(format!("{{\"input\":{}}}", arguments.as_str()));
            }
        }
    }
}

/// A grammar in words, escaped.
fn grammar(format: &Json<'_>) -> Option<String> {
    let mut walker = Walker::new(format.as_str().as_bytes(), 16);
    let (mut syntax, mut definition) = (None, None);
    let read = walker.members(|walker, key| {
        match key.raw {
            b"syntax" => syntax = walker.string_or_skip()?.map(|span| walker.bytes(&span)),
            b"definition" => definition = walker.string_or_skip()?.map(|span| walker.bytes(&span)),
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    });
    read.ok()?;
    let (syntax, definition) = (Escaped::from_raw(syntax?).ok()?, Escaped::from_raw(definition?).ok()?);
    Some(format!("\\n\\n`input` follows this {} grammar:\\n{}", syntax.raw(), definition.raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::neutral::{At, Message, OnLoss, Part, Role, Tool};

    #[test]
    fn a_free_tool_becomes_a_function_of_one_text() {
        let mut request = Request::new(Dialect::OpenAiResponses);
        let format = r#"{"type":"grammar","syntax":"lark","definition":"start: \"a\""}"#;
        request.tools.push(Tool {
            at: At::Tool(0),
            name: Escaped::plain("apply_patch"),
            description: Some(Escaped::plain("Edits.")),
            kind: ToolKind::Custom(Some(Json::written(format))),
            strict: None,
            mark: None,
        });
        let call = |arguments| Part {
            at: At::Item(1),
            content: Content::ToolCall {
                id: Escaped::plain("c"),
                name: Escaped::plain("apply_patch"),
                arguments: Json::written(arguments),
                carrier: None,
            },
            mark: None,
        };
        let parts = vec![call(r#""*** Begin\n""#), call(r#"{"a":1}"#)];
        request.messages.push(Message { role: Role::Assistant, name: None, parts });
        let mut losses = Losses::default();
        request.spell_free_tools(&mut losses);
        let tool = &request.tools[0];
        assert!(matches!(&tool.kind, ToolKind::Function(Some(schema)) if schema.as_str() == SCHEMA));
        assert_eq!(
            tool.description.as_ref().unwrap().decode(),
            "Edits.\n\n`input` follows this lark grammar:\nstart: \"a\""
        );
        let calls: Vec<_> = request.messages[0]
            .parts
            .iter()
            .filter_map(|part| match &part.content {
                Content::ToolCall { arguments, .. } => Some(arguments.as_str()),
                Content::Text(_)
                | Content::Media(_)
                | Content::ToolResult { .. }
                | Content::Thinking { .. }
                | Content::Refusal(_) => None,
            })
            .collect();
        assert_eq!(calls, [r#"{"input":"*** Begin\n"}"#, r#"{"a":1}"#]);
        assert_eq!(losses.settle(OnLoss::DropHints).unwrap(), ["tools[0].format"]);
    }
}
