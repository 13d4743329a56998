//! A whole answer.

use super::{sealed::Sealed, shared};
use crate::dialect::{
    neutral::{Answer, AnswerBlock, BlockKind, Escaped, StopReason, Writer},
    translate::Asked,
};

/// Writes a whole answer.
pub(in crate::dialect) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let model = Escaped::of(&asked.model);
    let has = |wanted: fn(&BlockKind<'_>) -> bool| answer.blocks.iter().any(|block| wanted(&block.kind));
    let has_calls = has(|kind| matches!(kind, BlockKind::ToolCall { .. }));
    let has_refusal = has(|kind| matches!(kind, BlockKind::Refusal));
    let reason = answer.stop.unwrap_or(StopReason::EndTurn);
    let mut out = Vec::with_capacity(answer.blocks.iter().map(|block| block.text().raw().len() + 128).sum());
    Writer::new(&mut out).object(|w| {
        w.key("id").joined(&["chatcmpl-", &asked.id]);
        w.key("object").text("chat.completion");
        w.key("created").number(asked.created);
        w.key("model").escaped(answer.model.as_ref().unwrap_or(&model));
        w.key("choices").array(|w| {
            w.object(|w| {
                w.key("index").number(0);
                w.key("message").object(|w| message(w, &answer.blocks));
                w.key("logprobs").null();
                w.key("finish_reason").text(shared::finish(reason, has_calls, has_refusal));
            });
        });
        w.key("usage");
        shared::usage(w, &answer.usage);
        if let Some(tier) = answer.tier.as_ref().and_then(shared::tier) {
            w.key("service_tier").text(tier);
        }
        w.key("system_fingerprint").null();
    });
    out
}

fn message(w: &mut Writer<'_>, blocks: &[AnswerBlock]) {
    w.key("role").text("assistant");
    let of = |wanted: fn(&BlockKind<'_>) -> bool| {
        blocks.iter().filter(move |block| wanted(&block.kind)).map(AnswerBlock::text).collect::<Vec<_>>()
    };
    let said = |w: &mut Writer<'_>, key: &str, texts: &[Escaped<'_>], between: &str| {
        let mut pieces = Vec::with_capacity(texts.len() * 2);
        for text in texts.iter().filter(|text| !text.is_empty()) {
            if !pieces.is_empty() {
                pieces.push(between);
            }
            pieces.push(text.raw());
        }
        if pieces.is_empty() { w.key(key).null() } else { w.key(key).joined(&pieces) }
    };
    said(w, "content", &of(|kind| matches!(kind, BlockKind::Text)), "");
    said(w, "refusal", &of(|kind| matches!(kind, BlockKind::Refusal)), "");
    let thinking = of(|kind| matches!(kind, BlockKind::Thinking));
    if thinking.iter().any(|text| !text.is_empty()) {
        said(w, "reasoning_content", &thinking, super::BETWEEN);
    }
    w.key("annotations").array(|w| {
        for citation in blocks.iter().flat_map(|block| &block.citations) {
            shared::citation(w, citation);
        }
    });
    if blocks.iter().any(|block| matches!(block.kind, BlockKind::ToolCall { .. })) {
        w.key("tool_calls").array(|w| calls(w, blocks));
    }
}

fn calls(w: &mut Writer<'_>, blocks: &[AnswerBlock]) {
    let mut sealed = Sealed::default();
    for block in blocks {
        match &block.kind {
            BlockKind::Thinking => {
                sealed.think(&block.text());
                match &block.seal {
                    Some(carrier) => sealed.seal(carrier),
                    None => sealed.close(),
                }
            }
            BlockKind::ToolCall { id, name, carrier, custom } => w.object(|w| {
                let (kind, arguments) = if *custom { ("custom", "input") } else { ("function", "arguments") };
                w.key("id").escaped(&sealed.call_id(id, carrier.as_ref()));
                w.key("type").text(kind);
                w.key(kind).object(|w| {
                    w.key("name").escaped(name);
                    let text = block.text();
                    // Clients read the arguments as JSON, which nothing is not.
                    if text.raw().trim().is_empty() && !custom {
                        w.key(arguments).text("{}");
                    } else {
                        w.key(arguments).escaped(&text);
                    }
                });
            }),
            BlockKind::Text | BlockKind::Refusal => {}
        }
    }
}
