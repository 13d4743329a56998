//! `warmkey ledger export --format jsonl`: a receipt a line.

use std::{sync::Arc, time::Duration};

use super::{Seen, members::Members, pace::Pace};
use crate::{
    gauge::{Observation, Trouble, tally::Extra},
    types::{BreakCause, Dialect, ModelName, Usage},
};

/// Whether a line is a receipt.
pub(super) fn knows(line: &Members<'_>) -> bool {
    ["id_source", "organisation", "cached_read", "outcome", "at"].iter().all(|name| line.has(name))
}

/// A receipt as it was seen; `None` of what is no turn: keep-alives, counts, embeddings, our own denials.
pub(super) fn line(line: &Members<'_>, pace: &mut Pace) -> Option<Seen> {
    let turns = ["/v1/messages", "/v1/chat/completions", "/v1/responses"];
    let operation = line.text("operation")?;
    if line.is_true("keep_alive") || !turns.contains(&operation.as_str()) {
        return None;
    }
    let status = line.count("status").and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    let count = |name| line.count(name).unwrap_or(0);
    let at = Duration::from_millis(count("at"));
    let micros = |name| line.count(name).map(Duration::from_micros);
    let total = micros("total_us");
    let name = line.text("session").unwrap_or_else(|| line.text("id").unwrap_or_default());
    let refused = !(200..300).contains(&status);
    let trouble =
        refused.then(|| Trouble::Refused { status, kind: line.text("reason"), message: String::new() });
    let (turn, gap) = if refused { (0, None) } else { pace.turn(&name, at, at + total.unwrap_or_default()) };
    // An estimate knows nothing of caches.
    let usage = (!refused && !line.is_true("estimated")).then(|| Usage {
        input: count("input"),
        cached_read: count("cached_read"),
        write_5m: count("write_5m"),
        write_1h: count("write_1h"),
        output: count("output"),
        reasoning: count("reasoning"),
    });
    let cause = line.text("cache_break").and_then(|label| cause(&label));
    let observation = Observation {
        conversation: Arc::from(name),
        sub_agent: line.has("parent"),
        turn,
        at,
        gap,
        dialect: dialect(&operation),
        model: line.first_text(&["upstream_model", "model"]).map(|model| ModelName::from(model.as_str())),
        status,
        trouble,
        usage,
        repeated: None,
        marked: None,
        account: line.text("endpoint").map(Arc::from),
        first_token: micros("first_token_us"),
        between: Vec::new(),
        total,
        broke: None,
    };
    let extra = Extra { cause: cause.map(|cause| (cause, count("break_tokens"))), ..Extra::default() };
    Some(Seen { observation, extra })
}

fn dialect(operation: &str) -> Dialect {
    match operation {
        "/v1/chat/completions" => Dialect::OpenAiChat,
        "/v1/responses" => Dialect::OpenAiResponses,
        _ => Dialect::Anthropic,
    }
}

fn cause(label: &str) -> Option<BreakCause> {
    BreakCause::ALL.iter().copied().find(|cause| cause.label() == label)
}
