//! Where the prompt is cached: `cachePoint` blocks.

use super::super::models::Model;
use crate::dialect::neutral::{CacheMark, Content, Escaped, Losses, Part, Request, Weight, Writer};

const WHY: &str = "is not known to this model";

/// Cache points that the client did not write where they stand. Four are allowed in all.
#[derive(Clone, Copy)]
pub(super) struct Points {
    /// The model knows them at all.
    pub known: bool,
    /// The client said where.
    pub asked: bool,
    /// Behind the tools.
    pub tools: Option<CacheMark>,
    /// Behind the system prompt.
    pub system: Option<CacheMark>,
    /// At the last message.
    pub last: Option<CacheMark>,
    /// At the user's message before it: where the last request ended. Claude looks back over twenty
    /// blocks by itself, and Nova not at all.
    pub before: Option<CacheMark>,
}

impl Points {
    pub(super) fn of(request: &Request<'_>, model: Model, losses: &mut Losses) -> Self {
        let (known, asked) = (model.caches(), request.has_marks());
        let origin = request.origin;
        if request.cache.key.is_some() {
            losses.add("prompt_cache_key", Weight::Hint, "has no counterpart there");
        }
        let long = request.cache.long;
        if long && !model.caches_long() {
            losses.add("prompt_cache_retention", Weight::Hint, WHY);
        }
        let automatic = (known && !asked).then_some(if long && model.caches_long() {
            CacheMark::Long
        } else {
            CacheMark::Short
        });
        if asked && !known {
            lose_all(request, losses);
        }
        if asked && known && !model.caches_tools() {
            for tool in request.tools.iter().filter(|tool| tool.mark.is_some()) {
                losses.add(format!("{}.cache_control", tool.at.path(origin)), Weight::Hint, WHY);
            }
        }
        let auto = request.cache.auto.filter(|_| known);
        Self {
            known,
            asked,
            tools: automatic.filter(|_| model.caches_tools()),
            system: automatic,
            last: automatic.or(auto),
            before: automatic,
        }
    }
}

/// Names every mark: the model caches nothing.
fn lose_all(request: &Request<'_>, losses: &mut Losses) {
    let origin = request.origin;
    if request.cache.auto.is_some() {
        losses.add("cache_control", Weight::Hint, WHY);
    }
    let tools = request.tools.iter().filter(|tool| tool.mark.is_some()).map(|tool| tool.at);
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let parts = request.system.iter().chain(parts).filter(|part| mark_of(part).is_some()).map(|part| part.at);
    for at in tools.chain(parts) {
        losses.add(format!("{}.cache_control", at.path(origin)), Weight::Hint, WHY);
    }
}

/// The mark on a part; one within a tool's result ends the prefix at that result.
pub(super) fn mark_of(part: &Part<'_>) -> Option<CacheMark> {
    let inner = match &part.content {
        Content::ToolResult { parts, .. } => parts.iter().rev().find_map(|part| part.mark),
        Content::Text(_)
        | Content::Media(_)
        | Content::ToolCall { .. }
        | Content::Thinking { .. }
        | Content::Refusal(_) => None,
    };
    part.mark.or(inner)
}

/// Writes a cache point.
pub(super) fn write(w: &mut Writer<'_>, mark: CacheMark) {
    w.object(|w| {
        w.key("cachePoint").object(|w| {
            w.key("type").escaped(&Escaped::plain("default"));
            if mark == CacheMark::Long {
                w.key("ttl").escaped(&Escaped::plain("1h"));
            }
        });
    });
}
