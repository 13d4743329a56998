//! Why a session's prompt cache broke: where its prompt left the last one, the likely cause, and what
//! that cost.
//!
//! Of each session the blocks of its last prompts are kept as hashes ([`Prints`]), and of the blocks
//! that tend to break caches a [`Sketch`](sketch::Sketch) each, so that "only the time of day differs"
//! can be told without a word of the text. A turn is first looked at ([`Forensics::look`]) and, once
//! its answer has come, closed ([`Forensics::close`]): only what was answered was cached, and only
//! the provider's own count says that something was lost.
//!
//! Invariant: bounded in bytes; no prompt text is kept. Trap: one id is not one prompt. Side requests,
//! forks and retries differ from the turn before and break nothing, hence several prompts a session,
//! and a loss only where tokens that the earlier prompt had cached, and this one has too, were paid
//! for again.

mod book;
mod compare;
mod prints;
mod sketch;
#[cfg(test)]
mod tests;
mod worst;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

pub(super) use self::prints::{Print, Prints, short};
use self::{
    book::{Book, Branch},
    compare::{Hints, Relation, Side, Sketched, Suspect, compare},
    sketch::Sketch,
    worst::Worst,
};
pub use self::{
    book::{BranchView, SessionBreaks},
    worst::{BreakView, LastBreak},
};
use super::{fingerprint, identity::Identity, table::Table};
use crate::{
    clock::{Moment, UnixTime},
    dialect::RequestView,
    types::{BreakCause, CacheBreak, Dialect, NanoUsd, Rates, RequestId, Section, SessionKey, Usage},
};

/// Distinct blocks whose sketches are remembered over all sessions (about 70 bytes each).
const SKETCHES: usize = 1 << 15;
/// Calls of tools up to this many bytes are sketched too: some clients shuffle their arguments' keys.
const SMALL: u64 = 512;
/// Sketches of one prompt at most.
const MOST_SKETCHES: usize = 256;
/// A loss of fewer tokens is within the error of an estimate by bytes...
const LEAST_LOSS: u64 = 512;
/// ...and so is one below this part of what was there to be read.
const LEAST_PART: u64 = 32;

/// Shorter prompts are not cached by those that cache without being asked (providers: `OpenAI`).
const LEAST_CACHED: u64 = 1_024;

/// What is remembered of all sessions' prompts. Cheap to share: locks a shard shortly.
#[derive(Debug)]
pub struct Forensics {
    book: Book,
    sketches: Table<Sketch>,
    worst: Mutex<Worst>,
    versions: AtomicU64,
}

/// A turn that was looked at and is not answered yet. Dropping it forgets the turn.
#[derive(Debug)]
pub struct Case {
    session: SessionKey,
    /// The earlier prompt that it goes on from, and how many of its blocks it keeps.
    base: Option<(u64, usize)>,
    relation: Relation,
    /// The blocks behind those, and their sketches.
    tail: Prints,
    sketches: Vec<Sketched>,
    suspects: SmallVec<[Suspect; 2]>,
    before: Option<Before>,
}

/// What the earlier prompt had cached.
#[derive(Clone, Copy, Debug)]
struct Before {
    bytes: u64,
    tokens: u64,
    warm: u64,
    cache: u64,
}

impl Before {
    /// Tokens of so many bytes of it.
    fn share(&self, bytes: u64) -> u64 {
        let tokens = u128::from(self.tokens) * u128::from(bytes) / u128::from(self.bytes.max(1));
        u64::try_from(tokens).unwrap_or(u64::MAX).min(self.warm)
    }
}

/// How a turn came out.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Our id of the request.
    pub request: RequestId,
    /// Now, for people.
    pub at: UnixTime,
    /// Hash of the cache domain that served it.
    pub cache: u64,
    /// Until when its prompt is warm there, by the provider's rules.
    pub warm_until: Moment,
    /// What it used.
    pub usage: Usage,
    /// The provider said so; else `usage` is our estimate and knows nothing of caches.
    pub reported: bool,
    /// The provider caches without being asked, and may not report what it wrote.
    pub automatic: bool,
    /// The provider takes Claude Code's attribution block for what it is and strips it.
    pub strips_attribution: bool,
    /// Its prices, where known.
    pub rates: Option<Rates>,
}

impl Forensics {
    /// Remembers prompts in about `bytes` of memory; with 0 it never finds anything.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            book: Book::new(bytes),
            sketches: Table::new(SKETCHES),
            worst: Mutex::default(),
            versions: AtomicU64::new(0),
        }
    }

    /// Compares a request with what its session sent before. Takes the blocks out of `identity`.
    ///
    /// `None` when there is nothing to compare later turns with either.
    pub fn look(
        &self,
        identity: &mut Identity,
        view: &RequestView,
        body: &[u8],
        now: Moment,
    ) -> Option<Case> {
        let mut prints = std::mem::take(&mut identity.prints);
        let session = identity.key.filter(|_| self.book.is_on() && !prints.blocks.is_empty())?;
        let near = self.book.nearest(session, &prints, now);
        let kept = near.as_ref().map_or(0, |near| near.common);
        // Outside of any lock: a new session's system prompt is large.
        let sketches = self.sketch(&prints, kept, view, body);
        let mut case = Case {
            session,
            base: None,
            relation: Relation::Stranger,
            tail: Prints::default(),
            sketches,
            suspects: SmallVec::new(),
            before: None,
        };
        if let Some(near) = near {
            let now_side = Side { prints: &prints, sketches: &case.sketches };
            let found = self.book.with_branch(session, near.version, |branch| {
                let hints = Hints {
                    compacted: identity.compacted,
                    explicit: view.operation.dialect() == Dialect::Anthropic,
                    tokens: branch.tokens,
                    several: near.several,
                };
                let before = Before {
                    bytes: prints::bytes(&branch.prints.blocks),
                    tokens: branch.tokens,
                    warm: if branch.warm_until > now { branch.warm } else { 0 },
                    cache: branch.cache,
                };
                let old = Side { prints: &branch.prints, sketches: &branch.sketches };
                (compare(old, now_side, &hints), before)
            });
            if let Some((found, before)) = found {
                case.base = Some((near.version, found.common));
                case.relation = found.relation;
                case.suspects = found.suspects;
                case.before = Some(before);
            }
        }
        // Only what is new is held while the answer streams: a long history stays in the table.
        let keep = case.base.map_or(0, |(_, keep)| keep);
        let tail = prints.blocks.split_off(keep.min(prints.blocks.len()));
        case.tail = Prints { blocks: tail, ..prints };
        case.tail.blocks.shrink_to_fit();
        Some(case)
    }

    /// Sketches of the blocks from `from` on that tend to break caches: the head, the first message,
    /// and small calls of tools.
    fn sketch(&self, prints: &Prints, from: usize, view: &RequestView, body: &[u8]) -> Vec<Sketched> {
        let blocks = view.blocks.iter().filter(|block| !block.attribution);
        let first_reply = prints.blocks.iter().position(|print| print.section() == Section::Assistant);
        let first_reply = first_reply.unwrap_or(prints.blocks.len());
        let mut sketches = Vec::new();
        for (at, (block, print)) in blocks.zip(&prints.blocks).enumerate().skip(from) {
            let [before, after] = fingerprint::content(block, body);
            let is_call = || {
                print.section() == Section::Assistant && print.length() <= SMALL && before.starts_with(b"{")
            };
            let wanted = (at < first_reply && print.length() <= sketch::LARGEST) || is_call();
            if wanted && sketches.len() < MOST_SKETCHES {
                // Spread, because the table takes its shard from the middle of the key.
                let key = u128::from(print.content()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let sketch = self.sketches.with(key, |sketch| *sketch).unwrap_or_else(|| {
                    let sketch = Sketch::of([before, after]);
                    self.sketches.upsert(key, |_| sketch);
                    sketch
                });
                sketches.push(Sketched { at: u32::try_from(at).unwrap_or(u32::MAX), sketch });
            }
        }
        sketches
    }

    /// The turn was answered: remembers its prompt, and says what was lost on the way.
    pub fn close(&self, case: Case, verdict: &Verdict) -> Option<CacheBreak> {
        let broken = judge(&case, verdict);
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        let session = case.session;
        self.book.keep(case, verdict, version, broken);
        if let Some(broken) = &broken {
            self.worst.lock().note(session, broken, verdict);
        }
        broken
    }

    /// The breaks that cost most, a session and cause each, `limit` at most.
    #[must_use]
    pub fn worst(&self, limit: usize) -> Vec<BreakView> {
        self.worst.lock().views(limit)
    }

    /// What is known of the session whose short hash (see [`SessionKey`]'s `Display`) is `id`.
    #[must_use]
    pub fn of_session(&self, id: u64, now: Moment) -> Option<SessionBreaks> {
        self.book.view(id, now)
    }

    /// Bytes that all of it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.book.bytes()
    }
}

/// What the turn lost, if anything.
fn judge(case: &Case, verdict: &Verdict) -> Option<CacheBreak> {
    // Elsewhere nothing of this was warm, and what has grown cold is not lost by a change.
    let before = case.before.filter(|before| before.warm > 0 && before.cache == verdict.cache)?;
    let sees = |suspect: &&Suspect| !(suspect.unless_stripped && verdict.strips_attribution);
    let suspect = case.suspects.iter().find(sees)?;
    let usage = &verdict.usage;
    let was_there = match suspect.cause {
        // Given up on purpose: all of it, as far as it had to be paid for anew.
        BreakCause::Compaction => before.warm,
        BreakCause::Timestamp
        | BreakCause::ReorderedKeys
        | BreakCause::Attribution
        | BreakCause::EditedHistory
        | BreakCause::ToolsChanged
        | BreakCause::SystemChanged
        | BreakCause::SettingsChanged
        | BreakCause::MarkerMissing => before.share(suspect.shared),
    };
    let read = if verdict.reported { usage.cached_read } else { before.share(suspect.reach) };
    let paid = usage.total_input().saturating_sub(usage.cached_read);
    let tokens = was_there.saturating_sub(read).min(paid);
    if tokens < LEAST_LOSS || tokens.saturating_mul(LEAST_PART) < was_there {
        return None;
    }
    Some(CacheBreak {
        cause: suspect.cause,
        at: suspect.at,
        offset: suspect.offset,
        tools: suspect.tools,
        tokens,
        cost: verdict.rates.map(|rates| price(tokens, &rates, usage)),
    })
}

/// Tokens at the price that this turn paid for what it did not read, less the price of reading.
fn price(tokens: u64, rates: &Rates, usage: &Usage) -> NanoUsd {
    let paid = [(usage.write_1h, rates.write_1h), (usage.write_5m, rates.write_5m)];
    let paid =
        paid.iter().find(|(tokens, rate)| *tokens > 0 && *rate > 0).map_or(rates.input, |(_, rate)| *rate);
    Rates { input: paid.saturating_sub(rates.cached_read), ..Rates::default() }
        .charge(&Usage { input: tokens, ..Usage::default() })
}

impl Verdict {
    /// Tokens of this prompt that are cached now.
    fn warm(&self) -> u64 {
        let usage = &self.usage;
        let written = usage.write_5m.saturating_add(usage.write_1h);
        if self.automatic && written == 0 {
            let total = usage.total_input();
            if total < LEAST_CACHED { 0 } else { total }
        } else {
            usage.cached_read.saturating_add(written)
        }
    }
}

impl Case {
    /// The prompt as the table keeps it, gone on from `base` where that is still there.
    fn into_branch(self, base: Option<Branch>, verdict: &Verdict, version: u64) -> Branch {
        let keep = self.base.map_or(0, |(_, keep)| keep);
        let mut branch = base.unwrap_or_default();
        branch.prints.blocks.truncate(keep);
        branch.prints.blocks.extend(self.tail.blocks);
        branch.prints.attribution = self.tail.attribution;
        branch.prints.settings = self.tail.settings;
        branch.sketches.retain(|sketched| usize::try_from(sketched.at).is_ok_and(|at| at < keep));
        branch.sketches.extend(self.sketches);
        branch.sketches.truncate(2 * MOST_SKETCHES);
        branch.version = version;
        branch.tokens = verdict.usage.total_input();
        branch.warm = verdict.warm();
        branch.warm_until = verdict.warm_until;
        branch.cache = verdict.cache;
        branch
    }
}
