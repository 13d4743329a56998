//! One counter of each kind.

use std::time::Duration;

use lru::LruCache;

use super::window::Window;
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{CounterId, Rule, Standing},
};

/// Sessions that one counter of members remembers. A limit beyond it is taken for it.
const MEMBERS: u64 = 1 << 20;
/// A budget is forgotten so long after its period, in seconds.
const KEPT: u64 = 86_400;
/// And not before it has rested so long, in seconds: the time of day may have jumped.
const RESTED: u64 = 3_600;

/// Sessions come without end, and their budgets have none: what one spent is forgotten when it has
/// rested so long, in seconds. The ledger forgets it then, too.
const SESSION_RESTED: u64 = 30 * 86_400;
/// And where most of the table is taken, so long: rather that than no room for anybody new.
const SESSION_RESTED_CROWDED: u64 = 86_400;
/// What ids of their budgets begin with.
const SESSION: &str = "b/session:";

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) now: Moment,
    /// `now` in seconds, never less than in any call before.
    pub(super) second: u64,
    /// Seconds since 1970.
    pub(super) unix: u64,
    /// Sessions that have rested for so long are forgotten.
    session_rests: u64,
}

impl Time {
    pub(super) fn new(now: Moment, second: u64, at: UnixTime, crowded: bool) -> Self {
        let session_rests = if crowded { SESSION_RESTED_CROWDED } else { SESSION_RESTED };
        Self { now, second, unix: at.0.as_secs(), session_rests }
    }
}

/// A budget in one period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Budget {
    pub(super) spent: u64,
    pub(super) reserved: u64,
    /// Of what is spent, what everybody together was known to have spent when the shared counters
    /// last answered, or the ledger was read. The rest is ours.
    pub(super) known: u64,
    /// Seconds since 1970.
    until: u64,
    /// The second in which it was last looked at.
    touched: u64,
}

impl Budget {
    const fn used(&self) -> u64 {
        self.spent.saturating_add(self.reserved)
    }
}

/// Any counter.
#[derive(Debug)]
pub(super) enum Counter {
    Window(Window),
    Level(u64),
    /// Members by when they were seen last, the longest ago first to go.
    Members(Box<LruCache<u64, u64, ahash::RandomState>>),
    Budget(Budget),
}

impl Counter {
    pub(super) fn new(rule: Rule) -> Self {
        match rule {
            Rule::Window => Self::Window(Window::default()),
            Rule::Level => Self::Level(0),
            Rule::Members { .. } => {
                Self::Members(Box::new(LruCache::unbounded_with_hasher(ahash::RandomState::default())))
            }
            Rule::Budget { until } => Self::Budget(Budget { until: until.0.as_secs(), ..Budget::default() }),
        }
    }

    /// Whether it counts as this rule says. Ids name their kind, so it always does.
    pub(super) const fn is(&self, rule: Rule) -> bool {
        matches!(
            (self, rule),
            (Self::Window(_), Rule::Window)
                | (Self::Level(_), Rule::Level)
                | (Self::Members(_), Rule::Members { .. })
                | (Self::Budget(_), Rule::Budget { .. })
        )
    }

    /// Forgets what is over by now.
    pub(super) fn roll(&mut self, rule: Rule, time: Time) {
        match (self, rule) {
            (Self::Window(window), _) => window.roll(time.second),
            (Self::Members(members), Rule::Members { idle, .. }) => purge(members, time.second, idle),
            (Self::Budget(budget), Rule::Budget { until }) => {
                budget.until = budget.until.max(until.0.as_secs());
                budget.touched = time.second;
            }
            (Self::Level(_) | Self::Members(_) | Self::Budget(_), _) => {}
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Window(window) => Standing { used: window.sum(), spent: 0 },
            Self::Level(held) => Standing { used: *held, spent: 0 },
            Self::Members(members) => Standing { used: members.len() as u64, spent: 0 },
            Self::Budget(budget) => Standing { used: budget.used(), spent: budget.spent },
        }
    }

    /// Whether so much fits beside what is there.
    pub(super) fn fits(&self, rule: Rule, amount: u64, limit: u64) -> bool {
        match (self, rule) {
            (Self::Members(members), Rule::Members { member, .. }) => {
                members.contains(&member) || (members.len() as u64) < limit.min(MEMBERS)
            }
            (Self::Window(_) | Self::Level(_) | Self::Members(_) | Self::Budget(_), _) => {
                self.standing().used.checked_add(amount).is_some_and(|sum| sum <= limit)
            }
        }
    }

    /// Takes it, whether it fits or not.
    pub(super) fn take(&mut self, rule: Rule, amount: u64, second: u64) {
        match self {
            Self::Window(window) => window.add(second, amount),
            Self::Level(held) => *held = held.saturating_add(amount),
            Self::Members(members) => {
                if let Rule::Members { member, .. } = rule {
                    members.put(member, second);
                    if members.len() as u64 > MEMBERS {
                        members.pop_lru();
                    }
                }
            }
            Self::Budget(budget) => budget.reserved = budget.reserved.saturating_add(amount),
        }
    }

    /// What was reserved came to `actual`.
    pub(super) fn settle(&mut self, taken_in: u64, reserved: u64, actual: u64, second: u64) {
        match self {
            Self::Window(window) => {
                window.give_back(taken_in, reserved.saturating_sub(actual));
                window.add(second, actual.saturating_sub(reserved));
            }
            Self::Level(held) => *held = held.saturating_sub(reserved),
            Self::Members(_) => {}
            Self::Budget(budget) => {
                budget.reserved = budget.reserved.saturating_sub(reserved);
                budget.spent = budget.spent.saturating_add(actual);
            }
        }
    }

    /// At least so much is spent, by everybody.
    pub(super) fn raise(&mut self, spent: u64) {
        if let Self::Budget(budget) = self {
            budget.spent = budget.spent.max(spent);
            budget.known = budget.known.max(spent);
        }
    }

    /// What this gateway may go to alone when `replicas` share `limit` and none knows of the others:
    /// an equal part of what is limited by the minute, at least 1; of a budget an equal part of what
    /// was left of it when it was last known.
    pub(super) fn share(&self, limit: u64, replicas: u64) -> u64 {
        match self {
            Self::Window(_) | Self::Level(_) | Self::Members(_) => share(limit, replicas),
            Self::Budget(budget) => {
                let ours = limit.saturating_sub(budget.known) / replicas;
                limit.min(budget.known.saturating_add(ours))
            }
        }
    }

    /// Whether nothing is lost by forgetting it.
    pub(super) fn is_over(&mut self, id: &CounterId, time: Time) -> bool {
        match self {
            Self::Window(window) => {
                window.roll(time.second);
                window.is_empty()
            }
            Self::Level(held) => *held == 0,
            // How long members count is the asker's to say: an hour is beyond any.
            Self::Members(members) => {
                purge(members, time.second, Duration::from_secs(RESTED));
                members.is_empty()
            }
            Self::Budget(budget) => {
                let rested = time.second.saturating_sub(budget.touched);
                let over = budget.until.saturating_add(KEPT) <= time.unix && rested >= RESTED;
                let forgotten = rested >= time.session_rests && id.0.starts_with(SESSION);
                budget.reserved == 0 && (over || forgotten)
            }
        }
    }
}

/// An equal part, at least 1: rather a little over the limit than nobody served.
pub(super) fn share(limit: u64, replicas: u64) -> u64 {
    (limit / replicas).max(1)
}

fn purge(members: &mut LruCache<u64, u64, ahash::RandomState>, second: u64, idle: Duration) {
    while let Some((_, &seen)) = members.peek_lru()
        && seen + idle.as_secs() <= second
    {
        members.pop_lru();
    }
}
