//! What an operator hears of a budget before its callers do.

use std::{collections::VecDeque, num::NonZeroUsize};

use lru::LruCache;
use parking_lot::Mutex;

use super::{What, line::Line};
use crate::{
    clock::UnixTime,
    store::counters::CounterId,
    types::{Scope, SessionKey},
};

/// Where it is heard of, in percent.
const THRESHOLDS: [u8; 3] = [50, 80, 100];
/// Budgets whose thresholds are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Alerts that wait to be taken; beyond that the oldest are lost.
const WAITING: usize = 1_024;

/// A budget has reached 50, 80 or 100 % of its amount. Once per budget, period and threshold; the
/// first refusal counts as 100 %. A session's budget is heard of at 100 % only: there are many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub what: What,
    /// 50, 80 or 100.
    pub percent: u8,
    /// How much it is.
    pub limit: u64,
    /// How much of it is spent; at a refusal, reserved as well.
    pub spent: u64,
    /// It only warns.
    pub soft: bool,
    /// When it begins anew; `None` when never.
    pub resets_at: Option<UnixTime>,
}

/// What was heard of already, and what was not taken yet.
pub(super) struct Alerts(Mutex<Heard>);

struct Heard {
    /// The highest threshold of each budget.
    reached: LruCache<CounterId, u8, ahash::RandomState>,
    waiting: VecDeque<Alert>,
}

impl Default for Alerts {
    fn default() -> Self {
        let mut reached = LruCache::unbounded_with_hasher(ahash::RandomState::default());
        reached.resize(REMEMBERED);
        Self(Mutex::new(Heard { reached, waiting: VecDeque::new() }))
    }
}

/// The highest threshold that this is at or above; 0 below all.
fn threshold(spent: u64, limit: u64) -> u8 {
    let reached = |percent: &u8| u128::from(spent) * 100 >= u128::from(limit) * u128::from(*percent);
    THRESHOLDS.into_iter().rev().find(reached).unwrap_or(0)
}

impl Alerts {
    /// A budget went from `before` to `spent`: what is to be told.
    pub(super) fn spent(&self, line: &Line, before: u64, spent: u64) -> Vec<Alert> {
        if !line.is_sliced() || spent < line.limit / 2 || spent == before {
            return Vec::new();
        }
        self.crossed(line, threshold(before, line.limit), threshold(spent, line.limit), spent)
    }

    /// A budget had no room beside what is spent and reserved.
    pub(super) fn refused(&self, line: &Line, used: u64) -> Vec<Alert> {
        if !line.is_sliced() {
            return Vec::new();
        }
        self.crossed(line, threshold(used, line.limit), 100, used)
    }

    /// `before` is what a budget stood at that is seen for the first time: others may have told of it,
    /// or we have, before a restart.
    fn crossed(&self, line: &Line, before: u8, reached: u8, spent: u64) -> Vec<Alert> {
        let mut heard = self.0.lock();
        let last = heard.reached.get_or_insert_mut(line.id.clone(), || before);
        if reached <= *last {
            return Vec::new();
        }
        let last = std::mem::replace(last, reached);
        let session = matches!(line.scope, Scope::Session(SessionKey(_)));
        THRESHOLDS
            .into_iter()
            .filter(|percent| *percent > last && *percent <= reached && (!session || *percent == 100))
            .map(|percent| Alert {
                scope: line.scope.clone(),
                what: line.what,
                percent,
                limit: line.limit,
                spent,
                soft: line.soft,
                resets_at: line.resets_at(),
            })
            .collect()
    }

    /// These are to be told.
    pub(super) fn push(&self, alerts: impl IntoIterator<Item = Alert>) {
        let mut heard = self.0.lock();
        for alert in alerts {
            if heard.waiting.len() >= WAITING {
                heard.waiting.pop_front();
            }
            heard.waiting.push_back(alert);
        }
    }

    pub(super) fn take(&self) -> Vec<Alert> {
        self.0.lock().waiting.drain(..).collect()
    }
}
