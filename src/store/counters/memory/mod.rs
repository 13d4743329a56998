//! Counters of this process alone.
//!
//! Owns every counter behind one lock: a request's takes are checked and made in one go. Pure but for
//! the lock: time comes in. Windows run on the monotonic clock, so a time of day that jumps moves no
//! limit; the period of a budget is in its id.
//!
//! Bounded: what is empty is forgotten, a few counters with every call; budgets a day after their
//! period, and those of a session when it has rested for thirty (for one, where three quarters of the
//! table are taken). Where [`CAP`] counters are in use, whoever needs a new one is refused (nothing is let
//! through uncounted); whoever is counted already is served.
//!
//! Trap: there are no leases here. Whoever takes must settle, once; `quota::Permit` is the guard.

mod counter;
mod table;
mod window;

#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use smallvec::SmallVec;

use self::{
    counter::{Counter, Time, share},
    table::Table,
};
use super::{CounterId, Reserved, Rule, Settlement, Standing, Take};
use crate::clock::{Moment, UnixTime};

/// Counters in memory at once: ten for each of 200,000 keys.
pub const CAP: usize = 2_000_000;

/// Counters in the memory of this process.
pub struct Memory {
    table: Mutex<Table>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_cap(CAP)
    }
}

impl Memory {
    /// With room for so many counters.
    #[must_use]
    pub fn with_cap(cap: usize) -> Self {
        Self { table: Mutex::new(Table::new(cap)) }
    }

    /// Takes everything, or nothing. No two takes may name one counter.
    pub fn reserve(&self, takes: &[Take], now: Moment, at: UnixTime) -> Reserved {
        self.reserve_share(takes, 1, now, at)
    }

    /// As [`Self::reserve`], for one of `replicas` gateways that do not know of each other: see
    /// `Counter::share`.
    pub fn reserve_share(&self, takes: &[Take], replicas: u32, now: Moment, at: UnixTime) -> Reserved {
        let replicas = u64::from(replicas.max(1));
        let mut table = self.table.lock();
        let time = table.enter(now, at);
        let mut found: SmallVec<[Option<u32>; 16]> = SmallVec::new();
        let mut new = 0;
        for (index, take) in takes.iter().enumerate() {
            let slot = table.find(&take.id, take.rule);
            let (standing, after) = match slot.and_then(|slot| table.get(slot)) {
                Some(counter) => {
                    counter.roll(take.rule, time);
                    let limit = counter.share(take.limit, replicas);
                    if take.anyway || counter.fits(take.rule, take.amount, limit) {
                        found.push(slot);
                        continue;
                    }
                    (counter.standing(), after(counter, time.now, take.amount, limit))
                }
                None => {
                    let limit = fresh_share(take, replicas);
                    if take.anyway || fresh_fits(take, limit) {
                        new += 1;
                        if table.has_room_for(new) {
                            found.push(None);
                            continue;
                        }
                    }
                    (Standing::default(), None)
                }
            };
            return Reserved::Refused { index, standing, after };
        }
        let standings =
            found.into_iter().zip(takes).map(|(slot, take)| book(&mut table, slot, take, time)).collect();
        Reserved::Granted { second: time.second, standings }
    }

    /// The shared counters granted this, and this is where they stand: what is ours is booked here as
    /// well, and what everybody spent is taken over. Returns our second. Counters beyond the cap are
    /// left out: the shared ones have them.
    pub fn mirror(&self, takes: &[Take], standings: &[Standing], now: Moment, at: UnixTime) -> u64 {
        let mut table = self.table.lock();
        let time = table.enter(now, at);
        for (index, take) in takes.iter().enumerate() {
            let slot = table.find(&take.id, take.rule);
            if slot.is_none() && !table.has_room_for(1) {
                continue;
            }
            book(&mut table, slot, take, time);
            if let Some(standing) = standings.get(index)
                && let Some(counter) = table.find(&take.id, take.rule).and_then(|slot| table.get(slot))
            {
                counter.raise(standing.spent);
            }
        }
        time.second
    }

    /// What was reserved came to this. Says where each counter stands now.
    pub fn settle(&self, settlements: &[Settlement], now: Moment, at: UnixTime) -> Vec<Standing> {
        let mut table = self.table.lock();
        let time = table.enter(now, at);
        settlements
            .iter()
            .map(|settlement| {
                // Whatever was reserved is there; what was not is only worth booking when it came to
                // something.
                let Some(slot) = table.find(&settlement.id, settlement.rule).or_else(|| {
                    (settlement.actual > settlement.reserved && table.has_room_for(1))
                        .then(|| table.insert(&settlement.id, settlement.rule))
                }) else {
                    return Standing::default();
                };
                let Some(counter) = table.get(slot) else { return Standing::default() };
                counter.roll(settlement.rule, time);
                counter.settle(settlement.second, settlement.reserved, settlement.actual, time.second);
                counter.standing()
            })
            .collect()
    }

    /// So much of what was reserved is not needed after all; `actual` is not looked at.
    pub fn give_back(&self, parts: &[Settlement], now: Moment, at: UnixTime) -> Vec<Standing> {
        let mut table = self.table.lock();
        let time = table.enter(now, at);
        parts
            .iter()
            .map(|part| {
                let Some(counter) = table.find(&part.id, part.rule).and_then(|slot| table.get(slot)) else {
                    return Standing::default();
                };
                counter.roll(part.rule, time);
                counter.settle(part.second, part.reserved, 0, time.second);
                counter.standing()
            })
            .collect()
    }

    /// At least so much was spent. Never lowers anything. Beyond the cap nothing is added.
    pub fn raise(&self, spent: &[(CounterId, Rule, u64)]) {
        let mut table = self.table.lock();
        for (id, rule, spent) in spent {
            let slot = table
                .find(id, *rule)
                .or_else(|| (*spent > 0 && table.has_room_for(1)).then(|| table.insert(id, *rule)));
            if let Some(counter) = slot.and_then(|slot| table.get(slot)) {
                counter.raise(*spent);
            }
        }
    }

    /// Where counters stand; those that nobody uses stand at nothing.
    #[must_use]
    pub fn standings<'a>(
        &self,
        counters: impl IntoIterator<Item = (&'a CounterId, Rule)>,
        now: Moment,
        at: UnixTime,
    ) -> Vec<Standing> {
        let mut table = self.table.lock();
        let time = table.enter(now, at);
        counters
            .into_iter()
            .map(|(id, rule)| {
                let slot = table.find(id, rule);
                slot.and_then(|slot| table.get(slot)).map_or_else(Standing::default, |counter| {
                    counter.roll(rule, time);
                    counter.standing()
                })
            })
            .collect()
    }

    /// Whether anything was ever counted in it, as far as it is not forgotten.
    #[must_use]
    pub fn knows(&self, id: &CounterId) -> bool {
        self.table.lock().knows(id)
    }

    /// Everything that is spent, of every budget.
    #[must_use]
    pub fn spent(&self) -> Vec<(CounterId, u64)> {
        self.table.lock().spent()
    }

    /// Counters in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn book(table: &mut Table, slot: Option<u32>, take: &Take, time: Time) -> Standing {
    let slot =
        slot.or_else(|| table.find(&take.id, take.rule)).unwrap_or_else(|| table.insert(&take.id, take.rule));
    let Some(counter) = table.get(slot) else { return Standing::default() };
    counter.roll(take.rule, time);
    counter.take(take.rule, take.amount, time.second);
    counter.standing()
}

fn after(counter: &Counter, now: Moment, amount: u64, limit: u64) -> Option<std::time::Duration> {
    match counter {
        Counter::Window(window) => window.after(now, amount, limit),
        Counter::Level(_) | Counter::Members(_) | Counter::Budget(_) => None,
    }
}

/// [`Counter::share`] of a counter that is not there yet.
fn fresh_share(take: &Take, replicas: u64) -> u64 {
    match take.rule {
        Rule::Window | Rule::Level | Rule::Members { .. } => share(take.limit, replicas),
        Rule::Budget { .. } => take.limit / replicas,
    }
}

/// [`Counter::fits`] of a counter that is not there yet.
const fn fresh_fits(take: &Take, limit: u64) -> bool {
    match take.rule {
        Rule::Window | Rule::Level | Rule::Budget { .. } => take.amount <= limit,
        Rule::Members { .. } => limit > 0,
    }
}
