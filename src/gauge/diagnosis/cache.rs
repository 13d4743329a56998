//! What keeps prompts from being read from a cache.

use super::{
    Case, FEW, Found, Kind,
    words::{count, lead, percent, tokens},
};
use crate::{
    gauge::{
        Via, share,
        tally::evidence::{Count, Evidence},
    },
    types::BreakCause,
};

/// Turns of a conversation on changing accounts: below this part it is a gateway that steps aside for a limit.
const OFTEN: u64 = 20;
/// Identical prompts that say something.
const PROBED: u64 = 4;

/// Losses that neither the client nor time explains.
fn unclaimed(evidence: &Evidence) -> Count {
    let losses = &evidence.losses;
    Count {
        turns: losses.moved.turns + losses.unknown.turns,
        tokens: losses.moved.tokens.saturating_add(losses.unknown.tokens),
    }
}

/// Accounts are known, and conversations stay on theirs.
const fn stays(evidence: &Evidence) -> bool {
    evidence.account_pairs >= FEW && evidence.account_changes * OFTEN < evidence.account_pairs
}

/// Hardly any follow-up turn finds what its conversation had cached, and nothing else is to blame.
fn never_kept(evidence: &Evidence) -> bool {
    evidence.judged >= FEW
        && evidence.kept * OFTEN <= evidence.judged
        && unclaimed(evidence).turns * 5 >= evidence.judged * 4
}

/// Some of the identical prompts were read and some, beside the first, were not.
const fn is_mixed(evidence: &Evidence) -> bool {
    let repeats = &evidence.repeats;
    repeats.tries >= PROBED && repeats.misses() >= 2 && (repeats.hits >= 1 || repeats.accounts >= 2)
}

fn on_several_accounts(evidence: &Evidence) -> bool {
    if stays(evidence) {
        return false;
    }
    let losses = &evidence.losses;
    let by_headers = losses.moved.turns >= FEW && losses.moved.turns * 2 >= unclaimed(evidence).turns;
    // A cache that is warm stays so: a miss after a hit is another cache, or another prompt.
    let settled = !evidence.repeats.pattern.contains("h.");
    by_headers || (is_mixed(evidence) && (settled || !never_kept(evidence)))
}

pub(super) fn several_accounts(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    if !on_several_accounts(evidence) {
        return None;
    }
    let lost = unclaimed(evidence);
    let repeats = &evidence.repeats;
    let weight = if evidence.judged >= FEW {
        evidence.weight(lost.tokens)
    } else {
        share(repeats.misses().saturating_sub(1), repeats.tries)?
    };
    let mut seen = Vec::new();
    if is_mixed(evidence) {
        seen.push(format!(
            "the same prompt was paid for {} times in {} tries",
            repeats.misses(),
            repeats.tries
        ));
    }
    if evidence.account_changes > 0 {
        let part = percent(share(evidence.account_changes, evidence.account_pairs));
        seen.push(format!(
            "headers name {} accounts, and another one than the turn before on {part} of follow-up turns",
            evidence.accounts.max(repeats.accounts)
        ));
    }
    if lost.turns > 0 {
        seen.push(format!("{} follow-up turns paid for {} again", count(lost.turns), tokens(lost.tokens)));
    }
    let sure = if evidence.account_changes > 0 || repeats.accounts >= 2 { "" } else { "probably " };
    let sentence = format!(
        "{}consecutive turns {sure}land on different accounts, or on machines that share no cache ({}). Keep every \
         conversation on one account: choose it by the session's id or by the beginning of the prompt, not in \
         turn or by chance.",
        lead(case),
        seen.join("; ")
    );
    Some(Found { kind: Kind::SeveralAccounts, weight, sentence })
}

/// What goes out is what went out before, and more: known of our own requests, and of bodies that were read.
fn client_is_innocent(case: &Case<'_>) -> bool {
    match case.via {
        Via::Driven => true,
        Via::Logs => case.evidence.compared * 2 >= case.evidence.judged,
    }
}

fn is_changed_on_the_way(case: &Case<'_>) -> bool {
    let evidence = case.evidence;
    let repeats = &evidence.repeats;
    if evidence.automatic || on_several_accounts(evidence) || !client_is_innocent(case) {
        return false;
    }
    let probed = repeats.tries >= PROBED
        && repeats.writes * 10 >= repeats.tries * 9
        && repeats.hits == 0
        && repeats.accounts <= 1
        && evidence.kept * 2 <= evidence.judged;
    let one_account = stays(evidence) || case.via == Via::Driven;
    probed
        || (never_kept(evidence)
            && one_account
            && evidence.losses.moved.turns * 2 < unclaimed(evidence).turns)
}

pub(super) fn prefix_changed_on_the_way(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    if !is_changed_on_the_way(case) {
        return None;
    }
    let repeats = &evidence.repeats;
    let lost = unclaimed(evidence);
    let weight = if evidence.judged >= FEW { evidence.weight(lost.tokens) } else { 1.0 };
    let mut seen = Vec::new();
    if repeats.tries >= PROBED {
        seen.push(format!(
            "the same prompt was written to the cache {} times in {} tries and read {} times",
            repeats.writes, repeats.tries, repeats.hits
        ));
    }
    if lost.turns > 0 {
        seen.push(format!(
            "{} of {} follow-up turns found nothing of what their conversation had just cached",
            count(lost.turns),
            count(evidence.judged)
        ));
    }
    let account = if stays(evidence) { ", while the account stayed the same" } else { "" };
    let doubt = if stays(evidence) || repeats.accounts == 1 {
        ""
    } else {
        " (Many more accounts than tries behind this address would look the same.)"
    };
    let sentence = format!(
        "{}something on the way probably changes the beginning of every prompt ({}{account}): a timestamp or an id \
         that is put into the system prompt, keys in another order, a body that is written anew. Compare what \
         arrives at the provider with what was sent, byte by byte.{doubt}",
        lead(case),
        seen.join("; ")
    );
    Some(Found { kind: Kind::PrefixChangedOnTheWay, weight, sentence })
}

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
            "{}`cache_control` is missing on {turns} of {total} turns, and Anthropic caches nothing without it: {again} \
             that had been sent before were paid for in full. Put one mark on the last block of the system prompt \
             and one on the last block of the newest message.",
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

/// Providers that cache without being asked, and not one token was read.
fn is_silent(evidence: &Evidence) -> bool {
    evidence.automatic
        && evidence.usage.cached_read == 0
        && evidence.unread.turns >= FEW
        && evidence.losses.moved.turns * 2 < evidence.unread.turns
}

pub(super) fn nothing_read(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    if !is_silent(evidence) || on_several_accounts(evidence) {
        return None;
    }
    let sentence = format!(
        "{}not one token was read on {} turns that repeat 1,024 tokens or more. Either cached tokens are not reported \
         (vLLM needs `--enable-prompt-tokens-details`; a gateway may drop `prompt_tokens_details`), or nothing is \
         cached, or the beginning of every prompt changes on the way.",
        lead(case),
        count(evidence.unread.turns)
    );
    Some(Found { kind: Kind::Unexplained, weight: evidence.weight(evidence.unread.tokens), sentence })
}

pub(super) fn unexplained(case: &Case<'_>) -> Option<Found> {
    let evidence = case.evidence;
    if on_several_accounts(evidence) || is_changed_on_the_way(case) || is_silent(evidence) {
        return None;
    }
    let lost = unclaimed(evidence);
    if lost.turns == 0 {
        return None;
    }
    let likely = if evidence.automatic {
        "caches that need no marks are kept per machine and as good as they can be: send a `prompt_cache_key` per \
         conversation and keep each on one account"
    } else if stays(evidence) {
        "the account stayed the same, so the beginning of the prompt has probably changed, or the provider has \
         forgotten it early"
    } else {
        "several accounts behind this address, or a beginning that changes, would look like this"
    };
    let logs = if case.via == Via::Logs && !evidence.automatic {
        "; `warmkey gauge` at the address itself tells these apart"
    } else {
        ""
    };
    let sentence = format!(
        "{}{} of {} follow-up turns within the cache's life did not find what their conversation had cached ({} of them \
         nothing at all; {} paid for again), and neither usage nor headers say why: {likely}{logs}.",
        lead(case),
        count(lost.turns),
        count(evidence.judged),
        count(evidence.losses.to_nothing),
        tokens(lost.tokens)
    );
    Some(Found { kind: Kind::Unexplained, weight: evidence.weight(lost.tokens), sentence })
}
