//! An answer that is no stream, and what it shares with one that is.

use super::Ending;
use crate::{
    dialect::{
        answer::MAX_DEPTH,
        anthropic::members,
        json::Walker,
        neutral::{Answer, AnswerBlock, BlockKind, Carrier, Escaped, Json, Writer, with_carrier},
        translate::Asked,
    },
    types::ReportedUsage,
};

/// Writes a whole answer.
pub(in crate::dialect) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let has = |wanted: fn(&BlockKind<'_>) -> bool| answer.blocks.iter().any(|block| wanted(&block.kind));
    let ending = Ending {
        reason: answer.stop,
        sequence: answer.sequence.clone(),
        called: has(|kind| matches!(kind, BlockKind::ToolCall { .. })),
        declined: has(|kind| matches!(kind, BlockKind::Refusal)),
    };
    let mut out = Vec::with_capacity(1_024);
    Writer::new(&mut out).object(|w| {
        head(w, answer.id.as_ref(), answer.model.as_ref(), asked);
        w.key("content").array(|w| {
            for answered in &answer.blocks {
                block(w, answered);
            }
        });
        w.key("stop_reason").text(ending.reason());
        sequence(w, ending.sequence.as_ref());
        w.key("stop_details").null();
        w.key("usage").object(|w| usage(w, &answer.usage, answer.tier.as_ref()));
    });
    out
}

fn block(w: &mut Writer<'_>, block: &AnswerBlock) {
    let text = block.text();
    match &block.kind {
        // Clients hand back what they got, and empty text is refused.
        BlockKind::Text | BlockKind::Refusal if text.is_empty() => {}
        BlockKind::Text | BlockKind::Refusal => w.object(|w| {
            w.key("type").text("text");
            w.key("text").escaped(&text);
            let mut citations = block.citations.iter().filter(|citation| is_citation(citation)).peekable();
            if citations.peek().is_some() {
                w.key("citations").array(|w| citations.for_each(|citation| w.json(citation)));
            }
        }),
        BlockKind::Thinking => match &block.seal {
            Some(seal) if text.is_empty() => w.object(|w| redacted(w, &seal.pack())),
            None if text.is_empty() => {}
            seal => w.object(|w| {
                w.key("type").text("thinking");
                w.key("thinking").escaped(&text);
                let packed = seal.as_ref().map(Carrier::pack).unwrap_or_default();
                w.key("signature").escaped(&packed);
            }),
        },
        BlockKind::ToolCall { id, name, carrier, custom } => w.object(|w| {
            w.key("type").text("tool_use");
            match carrier {
                Some(carrier) => w.key("id").escaped(&with_carrier(id, carrier)),
                None => w.key("id").escaped(id),
            }
            w.key("name").escaped(name);
            match block.arguments().filter(|_| !custom) {
                Some(arguments) => w.key("input").json(&arguments),
                // Free text, or arguments that broke off.
                None => w.key("input").object(|w| w.key("input").escaped(&text)),
            }
        }),
    }
}

/// Who answers: the members that a stream's start and a whole answer begin with.
pub(super) fn head(w: &mut Writer<'_>, id: Option<&Escaped<'_>>, model: Option<&Escaped<'_>>, asked: &Asked) {
    match id {
        Some(id) => w.key("id").escaped(id),
        None => w.key("id").text(&format!("msg_{}", asked.id)),
    }
    w.key("type").text("message");
    w.key("role").text("assistant");
    match model {
        Some(model) => w.key("model").escaped(model),
        None => w.key("model").text(&asked.model),
    }
}

/// Thinking that nobody may read.
pub(super) fn redacted(w: &mut Writer<'_>, packed: &Escaped<'_>) {
    w.key("type").text("redacted_thinking");
    w.key("data").escaped(packed);
}

pub(super) fn sequence(w: &mut Writer<'_>, sequence: Option<&Escaped<'_>>) {
    match sequence {
        Some(sequence) => w.key("stop_sequence").escaped(sequence),
        None => w.key("stop_sequence").null(),
    }
}

/// The figures of a message (anthropic 2.12.0, `types/usage.py`). Its input leaves out what was read
/// from a cache or written to one.
pub(super) fn usage(w: &mut Writer<'_>, usage: &ReportedUsage, tier: Option<&Escaped<'_>>) {
    figures(w, usage);
    w.key("cache_creation").object(|w| {
        w.key("ephemeral_5m_input_tokens").number(usage.write_5m.unwrap_or(0));
        w.key("ephemeral_1h_input_tokens").number(usage.write_1h.unwrap_or(0));
    });
    // Other makers' tiers have no word here.
    if let Some(tier) = tier.filter(|tier| ["standard", "priority", "batch"].contains(&tier.raw())) {
        w.key("service_tier").escaped(tier);
    }
}

/// The figures that a stream's last event repeats (`types/message_delta_usage.py`).
pub(super) fn figures(w: &mut Writer<'_>, usage: &ReportedUsage) {
    let settled = usage.settled();
    w.key("input_tokens").number(settled.input);
    w.key("cache_creation_input_tokens").number(settled.write_5m.saturating_add(settled.write_1h));
    w.key("cache_read_input_tokens").number(settled.cached_read);
    w.key("output_tokens").number(settled.output);
    if let Some(reasoning) = usage.reasoning {
        w.key("output_tokens_details").object(|w| w.key("thinking_tokens").number(reasoning));
    }
}

/// It is one of Anthropic's own (`types/text_citation.py`); another maker's would not be understood.
pub(super) fn is_citation(citation: &Json<'_>) -> bool {
    const KINDS: [&str; 5] = [
        "char_location",
        "page_location",
        "content_block_location",
        "web_search_result_location",
        "search_result_location",
    ];
    let mut walker = Walker::new(citation.as_str().as_bytes(), MAX_DEPTH);
    let mut known = false;
    let read = members(&mut walker, |walker, key| {
        match key.raw {
            b"type" => known = Escaped::read(walker)?.is_some_and(|kind| KINDS.contains(&kind.raw())),
            _ => walker.pass()?,
        }
        Ok(())
    });
    read.is_ok() && known
}
