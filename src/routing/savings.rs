//! What staying warm saves, as a number: beside the real choices runs a round-robin that never was.
//!
//! An eighth of the sessions (by hash) is placed by round-robin in a second warm index, which holds
//! what the providers' caches would hold then; of the others it only takes note of the prefixes that
//! sessions share. How many times more the sample's prompts would have cost, at the model's prices, is
//! taken for all: what all of them did cost is known. (The sample's dollars times eight would be off by as
//! much as its sessions are larger than others: a fifth, with hundreds of sessions.) It leaves out what
//! throttling would have cost on top: it is a lower bound.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{policy::Start, score::Price, sessions::InputFacts, warm::WarmIndex};
use crate::clock::Moment;

/// One session in so many is followed.
const SAMPLE: u64 = 8;

/// What round-robin would have paid, by sample.
pub struct Savings {
    index: WarmIndex,
    next: AtomicU64,
    /// Nano-dollars of all sessions' prompts.
    all: AtomicU64,
    /// Those of the sample.
    spent: AtomicU64,
    /// The same under round-robin.
    round_robin: AtomicU64,
}

/// A figure for all sessions, extrapolated from the sample. In dollars, prompts only.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Saved {
    /// What prompts cost.
    pub spent: f64,
    /// What they would have cost under round-robin.
    pub round_robin: f64,
}

impl Saved {
    /// The difference.
    #[must_use]
    pub fn saved(&self) -> f64 {
        self.round_robin - self.spent
    }
}

/// One request of a session.
pub(super) struct Shadow {
    price: Price,
    /// Tokens of the prompt, as estimated.
    tokens: u32,
    /// Those that round-robin would have found; `None` where the session is not followed.
    read: Option<u32>,
}

impl Savings {
    pub(super) fn new(max_prefixes: usize) -> Self {
        Self {
            index: WarmIndex::new(max_prefixes),
            next: AtomicU64::new(0),
            all: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            round_robin: AtomicU64::new(0),
        }
    }

    pub(super) fn started(&self, start: &Start<'_>, now: Moment) -> Option<Shadow> {
        let session = start.session?;
        let followed = ((session.0 >> 64) as u64).is_multiple_of(SAMPLE);
        let nodes = start.ring.nodes();
        let count = u64::try_from(nodes.all().len()).unwrap_or(u64::MAX).max(1);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let node = nodes.all().get(usize::try_from(turn).unwrap_or(0))?;
        let domain = node.endpoint.cache_id();
        let (price, tokens) = (start.price, start.prompt.tokens);
        if !followed {
            let shared = start.prompt.marks().iter().rposition(|mark| mark.shared).map_or(0, |at| at + 1);
            self.index.reveal(start.prompt.marks().get(..shared).unwrap_or_default(), domain, now);
            return Some(Shadow { price, tokens, read: None });
        }
        let read = self.index.read(start.prompt, domain, now);
        if let Some(read) = read {
            self.index.refresh(read.key, domain, now);
        }
        self.index.reveal(start.prompt.marks(), domain, now);
        Some(Shadow { price, tokens, read: Some(read.map_or(0, |read| read.tokens)) })
    }

    pub(super) fn settled(&self, shadow: &Shadow, input: &InputFacts) {
        let total = input.read + input.written + input.uncached;
        let cost = |read: f64| nano(shadow.price.read * read + shadow.price.fresh * (float(total) - read));
        let spent = cost(float(input.read));
        self.all.fetch_add(spent, Ordering::Relaxed);
        let Some(read) = shadow.read else { return };
        let share = f64::from(read) / f64::from(shadow.tokens.max(1));
        let found = float(total) * share.min(1.0);
        self.spent.fetch_add(spent, Ordering::Relaxed);
        self.round_robin.fetch_add(cost(found), Ordering::Relaxed);
    }

    /// The figures so far. Nothing is saved as long as nobody was followed.
    #[must_use]
    pub fn so_far(&self) -> Saved {
        let dollars = |cell: &AtomicU64| float(cell.load(Ordering::Relaxed)) / 1e9;
        let [all, spent, round_robin] = [&self.all, &self.spent, &self.round_robin].map(dollars);
        let times = if spent > 0.0 { round_robin / spent } else { 1.0 };
        Saved { spent: all, round_robin: all * times }
    }
}

#[expect(clippy::cast_precision_loss, reason = "token counts and cents are far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn nano(dollars: f64) -> u64 {
    (dollars * 1e9) as u64
}

#[cfg(test)]
#[path = "savings_tests.rs"]
mod tests;
