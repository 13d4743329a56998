//! What stands between a prompt and the cache that it was written to: other accounts, something on the way, or
//! what cannot be told from outside.

use super::{
    Case, FEW, Found, Kind,
    words::{OFTEN, PROBED, count, lead, percent, tokens},
};
use crate::gauge::{
    Via, share,
    tally::evidence::{Count, Evidence},
};

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
        "{}{} of {} follow-up turns within the cache's life did not find what their conversation had cached ({} of \
         them nothing at all; {} paid for again), and neither usage nor headers say why: {likely}{logs}.",
        lead(case),
        count(lost.turns),
        count(evidence.judged),
        count(evidence.losses.to_nothing),
        tokens(lost.tokens)
    );
    Some(Found { kind: Kind::Unexplained, weight: evidence.weight(lost.tokens), sentence })
}
