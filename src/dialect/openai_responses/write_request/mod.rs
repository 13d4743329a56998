//! Writing a request from the neutral form.
//!
//! Nothing is kept at the provider (`store: false`), so that no later request depends on an account;
//! thinking comes back sealed instead, and goes up again in front of what followed it.

mod items;
mod media;
mod settings;
mod tools;

use crate::dialect::{
    neutral::{Content, Losses, Part, Request, Source, Writer},
    translate::Target,
};

/// Writes a request's body.
pub(in crate::dialect) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(request));
    let mut writer = Writer::new(&mut out);
    writer.object(|w| {
        w.key("model").text(target.model);
        // Tools and instructions stand first, as they do in the prompt.
        tools::write(request, target, w, losses);
        items::write(request, target, w, losses);
        settings::write(request, target, w, losses);
        w.key("store").bool(false);
        if request.stream {
            w.key("stream").bool(true);
        }
    });
    out
}

/// About as long as the body will be: long enough that it is seldom moved while it is written.
fn size(request: &Request<'_>) -> usize {
    /// What stands around a piece or a tool.
    const AROUND: usize = 160;
    let system: usize = request.system.iter().map(piece).sum();
    let messages: usize = request.messages.iter().flat_map(|message| &message.parts).map(piece).sum();
    let tools: usize = request.tools.iter().map(tool).sum();
    return 1_024 + system + messages + tools;

    fn piece(part: &Part<'_>) -> usize {
        AROUND
            + match &part.content {
                Content::Text(text) | Content::Refusal(text) => text.raw().len(),
                Content::Media(media) => match &media.source {
                    Source::Base64 { data, .. } => data.raw().len(),
                    Source::Text(text) | Source::Url(text) | Source::File(text) => text.raw().len(),
                },
                // Its quotes are escaped.
                Content::ToolCall { arguments, .. } => arguments.as_str().len() * 5 / 4,
                Content::ToolResult { parts, .. } => parts.iter().map(piece).sum(),
                Content::Thinking { text, .. } => text.raw().len() * 2,
            }
    }

    fn tool(tool: &crate::dialect::neutral::Tool<'_>) -> usize {
        use crate::dialect::neutral::ToolKind;
        let schema = match &tool.kind {
            ToolKind::Function(schema) | ToolKind::Custom(schema) => {
                schema.as_ref().map_or(0, |schema| schema.as_str().len())
            }
            ToolKind::Hosted { definition, .. } => definition.as_str().len(),
        };
        AROUND + schema + tool.description.as_ref().map_or(0, |text| text.raw().len())
    }
}

#[cfg(test)]
mod tests;
