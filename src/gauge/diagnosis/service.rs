//! What has nothing to do with caches: errors, limits, silence about usage.

use super::{
    Case, Found, Kind,
    words::{count, percent},
};
use crate::gauge::{Via, share};

pub(super) fn errors(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let failed = evidence.failed();
    let weight = share(failed, evidence.requests).filter(|weight| *weight > 0.0)?;
    let mut kinds: Vec<(&String, &u64)> = evidence.errors.iter().collect();
    kinds.sort_by(|a, b| b.1.cmp(a.1));
    let named: Vec<String> =
        kinds.iter().take(4).map(|(kind, n)| format!("{kind} ({})", count(**n))).collect();
    let named = named.join(", ");
    let sentence = if evidence.turns == 0 {
        format!(
            "No request was answered: {named}. Check the address, the key and the model before anything else."
        )
    } else {
        format!(
            "{} of {} requests came to nothing: {named}. Their prompts may have been paid for all the same.",
            count(failed),
            count(evidence.requests)
        )
    };
    Some(Found { kind: Kind::Errors, weight, sentence })
}

pub(super) fn throttled(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let weight = share(evidence.throttled, evidence.requests).filter(|weight| *weight > 0.0)?;
    let sentence = format!(
        "{} of {} requests met a limit (429). Fewer agents at once, or more accounts with every conversation \
         kept on its own; tokens that are read from a cache do not count against Anthropic's limits, so every \
         miss makes this worse.",
        count(evidence.throttled),
        count(evidence.requests)
    );
    Some(Found { kind: Kind::Throttled, weight, sentence })
}

pub(super) fn usage_not_reported(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let without = evidence.turns.saturating_sub(evidence.with_usage);
    let weight = share(without, evidence.turns).filter(|weight| *weight > 0.0)?;
    let said = if evidence.with_usage == 0 {
        "no answer says what it used".to_owned()
    } else {
        format!("{} of {} answers do not say what they used", count(without), count(evidence.turns))
    };
    let remedy = match case.via {
        Via::Driven => {
            "A gateway has dropped it, or has not asked for it: streams of OpenAI Chat report it with \
             `stream_options: {\"include_usage\": true}` only"
        }
        Via::Logs => "Record the answers' `usage`; streams of OpenAI Chat have it with `include_usage` only",
    };
    let possible = share(evidence.possible, evidence.possible_of).filter(|_| evidence.with_usage == 0);
    let possible = possible.map_or_else(String::new, |possible| {
        let in_life = share(evidence.in_life, evidence.possible_of);
        format!(
            " Of what was sent, {} had been sent before in the same conversation, {} within five minutes of \
             the turn before: so much one account could have read from its cache, not what it did.",
            percent(Some(possible)),
            percent(in_life)
        )
    });
    let sentence = format!(
        "Usage is not reported: {said}, so that nothing can be said of their caching or cost. \
         {remedy}.{possible}"
    );
    Some(Found { kind: Kind::UsageNotReported, weight, sentence })
}
