//! What clients do to their own caches: prompts that change, lack marks, are short, come late, or are cut.

use super::{
    Case, FEW, Found, Kind,
    words::{OFTEN, PROBED, count, lead, tokens},
};
use crate::{
    gauge::{share, tally::evidence::Count},
    types::BreakCause,
};

pub(super) fn prefix_changes(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let mut breaks: Vec<_> = evidence.breaks.iter().collect();
    breaks.sort_by_key(|(_, count)| std::cmp::Reverse(count.tokens));
    let ((place, cause), top) = *breaks.first()?;
    let all = breaks.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(count.tokens));
    let turns = top.turns.max(evidence.compared).max(evidence.judged);
    let often = if top.turns * OFTEN >= turns * (OFTEN - 1) {
        "on every turn".to_owned()
    } else {
        format!("on {} of {} follow-up turns", count(top.turns), count(turns))
    };
    let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
    let (what, remedy) = said(*cause);
    let also = breaks.get(1).map_or_else(String::new, |((place, cause), count)| {
        let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
        format!(" Next{at}: {}, {} times.", said(*cause).0, count.turns)
    });
    let sentence = format!(
        "The prefix changes{at} {often}: {what}. {} had been cached and were paid for again. {remedy}.{also}",
        tokens(all)
    );
    Some(Found { kind: Kind::PrefixChanges, weight: evidence.weight(all), sentence })
}

/// A cause in words, and what to do.
const fn said(cause: BreakCause) -> (&'static str, &'static str) {
    match cause {
        BreakCause::Timestamp => {
            ("a timestamp", "Put what changes into the newest message, or round it to what the model needs")
        }
        BreakCause::ReorderedKeys => {
            ("the same members or lines in another order", "Write JSON with its keys in a fixed order")
        }
        BreakCause::Attribution => (
            "Claude Code's attribution block, which this provider takes for a part of the prompt",
            "Set CLAUDE_CODE_ATTRIBUTION_HEADER=0",
        ),
        BreakCause::EditedHistory => (
            "earlier messages read differently",
            "Append to a history and leave what was sent as it was, down to the last byte",
        ),
        BreakCause::Compaction => (
            "the history was summed up or cut",
            "Do that rarely and thoroughly rather than a little on every turn",
        ),
        BreakCause::ToolsChanged => (
            "tools are added, removed, moved or changed",
            "Send the same tools in the same order for a whole conversation",
        ),
        BreakCause::SystemChanged => (
            "the system prompt reads differently",
            "Keep it the same for a whole conversation and put what changes into the newest message",
        ),
        BreakCause::SettingsChanged => (
            "settings that belong to the cache's key (thinking, tool_choice, effort)",
            "Keep them the same for a whole conversation",
        ),
        BreakCause::MarkerMissing => (
            "no breakpoint is near enough to find what was cached",
            "Put one on the last block of every request and, where a turn adds twenty blocks or more, one between",
        ),
    }
}

pub(super) fn marks(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let [marked, unmarked, unknown] = evidence.uncached;
    let all = marked.turns + unmarked.turns + unknown.turns;
    if !evidence.explicit || all < FEW {
        return None;
    }
    let total = count(evidence.with_usage);
    let cost = |turns: Count| (evidence.weight(turns.tokens), count(turns.turns), tokens(turns.tokens));
    let (kind, weight, sentence) = if marked.turns >= unmarked.turns.max(unknown.turns) {
        let (weight, turns, again) = cost(marked);
        let probe = &evidence.repeats;
        let probe = if probe.tries >= PROBED && probe.hits == 0 && probe.writes == 0 {
            format!(", nor of the same prompt sent {} times", probe.tries)
        } else {
            String::new()
        };
        let sentence = format!(
            "{}requests bear `cache_control`, and yet nothing was written to the cache or read from it on {turns} of \
             {total} turns that are long enough{probe}: the marks are lost on the way, or caching is off there. \
             {again} had been sent before. Let `cache_control` pass unchanged.",
            lead(case)
        );
        (Kind::MarksLost, weight, sentence)
    } else if unmarked.turns >= unknown.turns {
        let (weight, turns, again) = cost(unmarked);
        let sentence = format!(
            "{}`cache_control` is missing on {turns} of {total} turns, and Anthropic caches nothing without it: \
             {again} that had been sent before were paid for in full. Put one mark on the last block of the system \
             prompt and one on the last block of the newest message.",
            lead(case)
        );
        (Kind::NoMarks, weight, sentence)
    } else {
        let (weight, turns, again) = cost(unknown);
        let sentence = format!(
            "{}nothing was written to the cache or read from it on {turns} of {total} turns of {} tokens or more: \
             `cache_control` is probably missing, or is lost on the way. {again} had been sent before.",
            lead(case),
            count(4_096)
        );
        (Kind::NoMarks, weight, sentence)
    };
    Some(Found { kind, weight, sentence })
}

pub(super) fn prompts_too_short(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let short = evidence.short;
    let turns = share(short.turns, evidence.with_usage)?;
    // Many short side requests beside few long conversations cost nothing.
    let weight = evidence.weight(short.tokens).min(turns);
    let sentence = format!(
        "{} of {} turns are too short for a cache: nothing was written or read of prompts that providers begin to \
         cache at 512 to 4,096 tokens (by model; 1,024 at OpenAI). Nothing is broken; short prompts are cheap.",
        count(short.turns),
        count(evidence.with_usage)
    );
    Some(Found { kind: Kind::PromptsTooShort, weight, sentence })
}

pub(super) fn gaps_outlive_cache(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let gap = evidence.losses.gap;
    if gap.turns == 0 {
        return None;
    }
    let life = if evidence.explicit || evidence.with_usage == 0 {
        "five minutes from the start of a request, unless it asks for an hour"
    } else {
        "five to ten idle minutes where caching needs no marks"
    };
    let within = evidence.losses.gap_within_hour;
    let hour = if within > 0 && evidence.explicit {
        format!(
            " {} of these pauses were shorter than an hour: `\"ttl\": \"1h\"` would have bridged them, at twice the \
             input price for writing instead of 1.25 times.",
            count(within)
        )
    } else {
        String::new()
    };
    let paid = if evidence.with_usage == 0 { "could not have found" } else { "paid again for" };
    let sentence = format!(
        "Pauses outlive the cache ({life}): {} follow-up turns came later and {paid} {}.{hour}",
        count(gap.turns),
        tokens(gap.tokens)
    );
    Some(Found { kind: Kind::GapsOutliveCache, weight: evidence.weight(gap.tokens), sentence })
}

pub(super) fn history_cut(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    let cut = evidence.losses.cut;
    let sentence = format!(
        "{} of {} follow-up turns are much shorter than what their conversation had cached, and found {} of it \
         missing: histories are cut or summed up, or several prompts share one session's id. Cut rarely and \
         thoroughly; give side requests ids of their own.",
        count(cut.turns),
        count(evidence.judged),
        tokens(cut.tokens)
    );
    (cut.turns > 0).then(|| Found { kind: Kind::HistoryCut, weight: evidence.weight(cut.tokens), sentence })
}
