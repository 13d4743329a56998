//! Observations in, one after the other; a report out.
//!
//! Invariant: memory is bounded whatever comes: the conversations that were heard of last, a table of turn
//! numbers, buckets of times. Trap: observations come in the order in which requests *end*; those of one
//! conversation are expected in the order of their turns.

pub(super) mod evidence;
mod known;
mod models;
mod warm;

use std::{num::NonZeroUsize, sync::Arc};

use ahash::{AHashSet, RandomState};
use lru::LruCache;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use self::{
    evidence::{Evidence, TURNS},
    known::{Fate, Known},
    models::Models,
};
use super::{
    Observation, Source, Trouble, clean,
    histogram::Histogram,
    report::{self, Report},
};
use crate::{
    metering::PriceList,
    types::{BreakCause, BreakPlace, Dialect, ModelName, NanoUsd, Usage},
};

/// Conversations that are remembered between their turns, about 150 bytes each.
const CONVERSATIONS: usize = 100_000;
/// Kinds of errors that are told apart; further ones count as "other".
const MOST_ERRORS: usize = 24;
/// Accounts that are told apart.
const MOST_ACCOUNTS: usize = 256;
/// A prompt with fewer tokens is cached by no model of any provider...
const LEAST_ANY: u64 = 4_096;
/// ...and with fewer than this by hardly any.
const LEAST_AUTOMATIC: u64 = 1_024;
/// So much of a repeated prompt has to be read for it to have been in the cache: what stands behind the last
/// breakpoint never is.
const HIT: f64 = 0.5;

/// Money as it adds up, and what it rests on.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Costs {
    pub(super) spent: NanoUsd,
    pub(super) warm: NanoUsd,
    /// Turns with figures and a price.
    pub(super) turns: u64,
}

/// Times of answers.
#[derive(Clone, Default, Debug)]
pub(super) struct Times {
    pub(super) first_token: Histogram,
    pub(super) between: Histogram,
    pub(super) total: Histogram,
}

/// What recorded requests show beyond an [`Observation`].
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Extra {
    /// Tokens of the prompt, estimated, where the provider's figures are not there.
    pub(super) prompt: Option<u64>,
    /// Why the cache broke, where the recorder says no more, and the tokens that were lost.
    pub(super) cause: Option<(BreakCause, u64)>,
    /// The body was read: had the prompt left the last one, `broke` would say so.
    pub(super) body: bool,
}

/// Counts observations.
#[derive(Debug)]
pub struct Tally {
    source: Source,
    prices: Arc<PriceList>,
    conversations: LruCache<u64, Known, RandomState>,
    accounts: AHashSet<u64>,
    probe_accounts: AHashSet<u64>,
    models: Models,
    evidence: Evidence,
    costs: Costs,
    times: Times,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(source: Source, prices: Arc<PriceList>) -> Self {
        let most = NonZeroUsize::new(CONVERSATIONS).unwrap_or(NonZeroUsize::MIN);
        Self {
            source,
            prices,
            conversations: LruCache::with_hasher(most, RandomState::new()),
            accounts: AHashSet::new(),
            probe_accounts: AHashSet::new(),
            models: Models::default(),
            evidence: Evidence::default(),
            costs: Costs::default(),
            times: Times::default(),
        }
    }

    /// One more request, in the order in which they ended.
    pub fn note(&mut self, seen: &Observation) {
        self.note_with(seen, Extra::default());
    }

    /// One more, with what else a record of it says.
    pub(super) fn note_with(&mut self, seen: &Observation, extra: Extra) {
        self.evidence.requests += 1;
        if seen.status == 429 {
            self.evidence.throttled += 1;
            return;
        }
        if let Some(trouble) = &seen.trouble {
            self.failed(trouble);
            return;
        }
        self.evidence.turns += 1;
        self.timed(seen);
        let account = seen.account.as_deref().map(|account| xxh3_64(account.as_bytes()));
        if let Some(account) = account.filter(|_| self.accounts.len() < MOST_ACCOUNTS) {
            self.accounts.insert(account);
        }
        let id = self.id(seen);
        let before = self.conversations.get(&id).copied();
        if before.is_none() {
            self.evidence.conversations += 1;
        }
        let usage = seen.usage.as_ref();
        if let Some(before) = &before {
            self.followed(seen, before, account, extra);
        }
        match (usage, extra.prompt) {
            (Some(usage), _) => self.used(seen, usage, before.as_ref()),
            (None, Some(prompt)) => self.estimated(seen, prompt, before.as_ref()),
            (None, None) => {}
        }
        self.evidence.bodies += u64::from(extra.body || seen.marked.is_some());
        let known = Known::after(before.as_ref(), seen, usage, account).or_of(extra.prompt);
        self.conversations.put(id, known);
    }

    /// One more of the identical prompts that are sent one after the other.
    pub fn probed(&mut self, seen: &Observation) {
        if seen.trouble.is_some() || seen.status == 429 {
            return;
        }
        if let Some(account) = &seen.account {
            self.probe_accounts.insert(xxh3_64(account.as_bytes()));
        }
        let Some(usage) = &seen.usage else { return };
        let repeats = &mut self.evidence.repeats;
        let hit = super::share(usage.cached_read, usage.total_input()).is_some_and(|part| part >= HIT);
        repeats.tries += 1;
        repeats.hits += u64::from(hit);
        repeats.writes += u64::from(usage.write_5m + usage.write_1h > 0);
        repeats.tokens = usage.total_input();
        repeats.accounts = self.probe_accounts.len();
        if repeats.pattern.len() < 64 {
            repeats.pattern.push(if hit { 'h' } else { '.' });
        }
    }

    /// What all of it comes to. `beside`: the report of the endpoint that this one is compared with.
    #[must_use]
    pub fn finish(mut self, beside: Option<&Report>) -> Report {
        self.evidence.accounts = self.accounts.len();
        report::of(
            &report::Counted {
                source: &self.source,
                evidence: &self.evidence,
                costs: self.costs,
                times: &self.times,
                models: self.models.by_turns(),
                unpriced: self.models.unpriced(),
            },
            beside,
        )
    }

    /// A conversation is one per model: another model is another cache.
    fn id(&self, seen: &Observation) -> u64 {
        let model = seen.model.as_ref().or(self.source.model.as_ref());
        let model = model.map_or(0, |model| xxh3_64(model.as_str().as_bytes()));
        xxh3_64_with_seed(seen.conversation.as_bytes(), model)
    }

    fn failed(&mut self, trouble: &Trouble) {
        let errors = &mut self.evidence.errors;
        let kind = kind_of(trouble);
        let known = errors.contains_key(&kind) || errors.len() < MOST_ERRORS;
        *errors.entry(if known { kind } else { "other".to_owned() }).or_default() += 1;
    }

    fn timed(&mut self, seen: &Observation) {
        seen.first_token.into_iter().for_each(|span| self.times.first_token.add(span));
        seen.between.iter().for_each(|span| self.times.between.add(*span));
        seen.total.into_iter().for_each(|span| self.times.total.add(span));
    }

    /// A turn with figures.
    fn used(&mut self, seen: &Observation, usage: &Usage, before: Option<&Known>) {
        let evidence = &mut self.evidence;
        let (total, read) = (usage.total_input(), usage.cached_read);
        evidence.with_usage += 1;
        evidence.usage += *usage;
        let number = usize::try_from(seen.turn).unwrap_or(TURNS).min(TURNS);
        if evidence.by_turn.len() <= number {
            evidence.by_turn.resize(number + 1, evidence::Row::default());
        }
        if let Some(row) = evidence.by_turn.get_mut(number) {
            row.turns += 1;
            row.input = row.input.saturating_add(total);
            row.read = row.read.saturating_add(read);
        }
        let repeated = repeated(seen, total, before).max(read);
        evidence.possible = evidence.possible.saturating_add(repeated);
        evidence.possible_of = evidence.possible_of.saturating_add(total);
        let automatic = known::is_automatic(seen.dialect, usage);
        evidence.automatic |= automatic;
        evidence.explicit |= seen.dialect == Dialect::Anthropic;
        let nothing = read == 0 && usage.write_5m == 0 && usage.write_1h == 0;
        if nothing {
            uncached(evidence, seen, total, repeated);
        }
        let warm = warm::warm(seen.dialect, usage, repeated);
        if let Some(model) = self.model(seen) {
            let price = self.prices.charge(&model, usage).zip(self.prices.charge(&model, &warm));
            self.models.note(seen.model.as_ref().map_or(model.as_str(), ModelName::as_str), price.is_some());
            if let Some((spent, warm)) = price {
                self.costs.spent += spent;
                self.costs.warm += warm;
                self.costs.turns += 1;
            }
        }
    }

    /// A turn without figures, whose prompt can be estimated.
    fn estimated(&mut self, seen: &Observation, prompt: u64, before: Option<&Known>) {
        let repeated = repeated(seen, prompt, before);
        self.evidence.possible = self.evidence.possible.saturating_add(repeated);
        self.evidence.possible_of = self.evidence.possible_of.saturating_add(prompt);
        if before.is_some_and(|before| !before.is_cold(seen.at)) {
            self.evidence.in_life = self.evidence.in_life.saturating_add(repeated);
        } else if before.is_some() {
            self.evidence.losses.gap.add(repeated);
        }
        if let Some(model) = self.model(seen) {
            self.models.note(&model, true);
        }
    }

    /// The model by whose prices a request goes.
    fn model(&self, seen: &Observation) -> Option<String> {
        let model = self.source.priced_as.as_ref().or(seen.model.as_ref()).or(self.source.model.as_ref());
        model.map(|model| model.to_string())
    }

    /// A turn of a conversation that we know.
    fn followed(&mut self, seen: &Observation, before: &Known, account: Option<u64>, extra: Extra) {
        let evidence = &mut self.evidence;
        let moved = account.zip(before.account).map(|(now, then)| now != then);
        evidence.account_pairs += u64::from(moved.is_some());
        evidence.account_changes += u64::from(moved == Some(true));
        evidence.compared += u64::from(extra.body || extra.cause.is_some() || seen.broke.is_some());
        let broke: Option<(Option<BreakPlace>, BreakCause, u64)> = seen
            .broke
            .map(|broke| (Some(broke.at), broke.cause, broke.tokens))
            .or_else(|| extra.cause.map(|(cause, tokens)| (None, cause, tokens)));
        let fate = seen.usage.as_ref().map_or(Fate::Unknown, |usage| before.fate(usage));
        if let Some((at, cause, tokens)) = broke {
            match (tokens, fate) {
                // The recorder knows that it broke, and the figures what that cost.
                (0, Fate::Lost(tokens)) | (tokens @ 1.., _) => evidence.broke(at, cause, tokens),
                (0, Fate::Kept | Fate::Unknown) => {}
            }
        }
        let Some(usage) = &seen.usage else { return };
        match fate {
            Fate::Unknown => {}
            Fate::Kept => {
                evidence.judged += 1;
                evidence.kept += 1;
            }
            Fate::Lost(tokens) => {
                evidence.judged += 1;
                let losses = &mut evidence.losses;
                if broke.is_some() {
                    losses.changed.add(tokens);
                } else if before.is_cold(seen.at) {
                    losses.gap.add(tokens);
                    let within = seen.at.saturating_sub(before.at).as_secs() < 3_600;
                    losses.gap_within_hour += u64::from(within);
                } else if before.is_cut_by(usage.total_input()) {
                    losses.cut.add(tokens);
                } else {
                    let count = if moved == Some(true) { &mut losses.moved } else { &mut losses.unknown };
                    count.add(tokens);
                    losses.to_nothing += u64::from(usage.cached_read == 0);
                }
            }
        }
    }
}

/// A turn of which nothing was read or written. What could have been read is what that cost.
fn uncached(evidence: &mut Evidence, seen: &Observation, total: u64, repeated: u64) {
    if seen.dialect != Dialect::Anthropic {
        let count = if total < LEAST_AUTOMATIC { &mut evidence.short } else { &mut evidence.unread };
        if repeated > 0 {
            count.add(repeated);
        }
        return;
    }
    let [marked, unmarked, unknown] = &mut evidence.uncached;
    match seen.marked {
        Some(false) if total >= LEAST_AUTOMATIC => unmarked.add(repeated),
        Some(true) if total >= LEAST_ANY => marked.add(repeated),
        None if total >= LEAST_ANY => unknown.add(repeated),
        Some(_) | None => evidence.short.add(repeated),
    }
}

/// Tokens that the conversation had sent before.
fn repeated(seen: &Observation, total: u64, before: Option<&Known>) -> u64 {
    let known = seen.repeated.or_else(|| before.map(|before| before.size)).unwrap_or(0);
    known.min(total)
}

/// What an error is counted as. The type is the provider's word, and may be anything.
fn kind_of(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Connect(_) => "no connection".to_owned(),
        Trouble::Tls(_) => "no trust (TLS)".to_owned(),
        Trouble::Silent(_) => "no answer in time".to_owned(),
        Trouble::Broken(_) => "broken off".to_owned(),
        Trouble::NotModel(_) => "not a model's answer".to_owned(),
        Trouble::Refused { status, kind: Some(kind), .. } => format!("{status} {}", clean(kind)),
        Trouble::Refused { status, kind: None, .. } => status.to_string(),
    }
}

#[cfg(test)]
pub(super) mod tests;
