//! What streams and whole answers have in common.

use crate::{
    dialect::{
        json::Walker,
        neutral::{Escaped, Json, Malformed, StopReason, Writer},
    },
    types::ReportedUsage,
};

/// The tiers that clients know. Source: openai 3.54.0, `types/chat/chat_completion.py`.
const TIERS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];

/// The tier in Chat's words, if it has one for it.
pub(super) fn tier(tier: &Escaped<'_>) -> Option<&'static str> {
    let word = if tier.raw() == "standard" { "default" } else { tier.raw() };
    TIERS.into_iter().find(|known| *known == word)
}

/// `finish_reason`. A refusal in words ends like an answer does; one without is a filter's.
pub(super) const fn finish(reason: StopReason, has_calls: bool, has_refusal: bool) -> &'static str {
    match reason {
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::Refusal if has_refusal => "stop",
        StopReason::Refusal => "content_filter",
        StopReason::ToolUse => "tool_calls",
        StopReason::EndTurn if has_calls => "tool_calls",
        StopReason::EndTurn | StopReason::StopSequence | StopReason::Pause | StopReason::Other => "stop",
    }
}

/// `usage`: input counts everything, cached or not.
pub(super) fn usage(w: &mut Writer<'_>, reported: &ReportedUsage) {
    let usage = reported.settled();
    let input = usage.total_input();
    w.object(|w| {
        w.key("prompt_tokens").number(input);
        w.key("completion_tokens").number(usage.output);
        w.key("total_tokens").number(input.saturating_add(usage.output));
        w.key("prompt_tokens_details").object(|w| {
            w.key("cached_tokens").number(usage.cached_read);
            w.key("cache_write_tokens").number(usage.write_5m.saturating_add(usage.write_1h));
            w.key("audio_tokens").number(0);
        });
        w.key("completion_tokens_details").object(|w| {
            w.key("reasoning_tokens").number(usage.reasoning);
            w.key("audio_tokens").number(0);
            w.key("accepted_prediction_tokens").number(0);
            w.key("rejected_prediction_tokens").number(0);
        });
    });
}

/// A citation as one of `annotations`, where it is one of OpenAI's: Chat nests what Responses does not.
/// Others cite passages of documents, for which Chat has no form.
pub(super) fn citation(w: &mut Writer<'_>, citation: &Json<'_>) {
    let (mut nested, mut url, mut title) = (None, None, None);
    let (mut start, mut end) = (None, None);
    let mut walker = Walker::new(citation.as_str().as_bytes(), 128);
    let read = walker.members(|walker, key| {
        match key.raw {
            b"url_citation" => nested = Some(Json::read(walker)?),
            b"url" => url = Escaped::read(walker)?,
            b"title" => title = Escaped::read(walker)?,
            b"start_index" => start = Some(Json::read(walker)?),
            b"end_index" => end = Some(Json::read(walker)?),
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    });
    if read.is_err() {
        return;
    }
    if let Some(nested) = nested {
        w.object(|w| {
            w.key("type").text("url_citation");
            w.key("url_citation").json(&nested);
        });
    } else if let (Some(url), Some(start), Some(end)) = (url, start, end) {
        w.object(|w| {
            w.key("type").text("url_citation");
            w.key("url_citation").object(|w| {
                w.key("start_index").json(&start);
                w.key("end_index").json(&end);
                w.key("title").escaped(&title.unwrap_or_default());
                w.key("url").escaped(&url);
            });
        });
    }
}
