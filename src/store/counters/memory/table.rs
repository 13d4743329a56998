//! Counters by id, swept a few at a time.

use std::collections::HashMap;

use super::{
    counter::{Counter, Time},
    window::second_of,
};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{CounterId, Rule},
};

/// Counters that are looked at for every one that is new: what is over is gone before as many have come
/// again.
const SWEPT: usize = 2;
/// Counters that one call looks at, at most.
const DUE: usize = 64;
/// Fewer counters than this are not swept: they would only come back.
const FEW: usize = 1_024;

struct Slot {
    id: CounterId,
    counter: Counter,
}

/// All counters. Slots are a plain vector, so that sweeping can go on where it stopped.
pub(super) struct Table {
    index: HashMap<CounterId, u32, ahash::RandomState>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    cap: usize,
    /// The slot that is swept next.
    hand: usize,
    /// Slots to look at with the next call; not at once, for a call holds slots by their numbers.
    due: usize,
    /// The latest second of any call.
    second: u64,
}

impl Table {
    pub(super) fn new(cap: usize) -> Self {
        let cap = cap.min(u32::MAX as usize);
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            cap,
            hand: 0,
            due: 0,
            second: 0,
        }
    }

    /// A call begins: time does not go back, and a few counters are looked at.
    pub(super) fn enter(&mut self, now: Moment, at: UnixTime) -> Time {
        self.second = self.second.max(second_of(now));
        let crowded = self.index.len() > self.cap / 4 * 3;
        let time = Time::new(now, self.second, at, crowded);
        if self.index.len() > FEW.min(self.cap.saturating_sub(1)) {
            // One in any case: a table that nobody adds to gets smaller, too.
            let due = std::mem::take(&mut self.due) + 1;
            self.sweep(due, time);
        }
        time
    }

    fn sweep(&mut self, slots: usize, time: Time) {
        for _ in 0..slots {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let at = self.hand;
            self.hand += 1;
            let Some(place) = self.slots.get_mut(at) else { return };
            if let Some(slot) = place
                && slot.counter.is_over(&slot.id, time)
            {
                self.index.remove(&slot.id);
                *place = None;
                self.free.extend(u32::try_from(at));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn has_room_for(&self, new: usize) -> bool {
        self.index.len() + new <= self.cap
    }

    pub(super) fn knows(&self, id: &CounterId) -> bool {
        self.index.contains_key(id)
    }

    /// The slot of a counter that counts by this rule.
    pub(super) fn find(&self, id: &CounterId, rule: Rule) -> Option<u32> {
        let slot = *self.index.get(id)?;
        self.slots.get(slot as usize)?.as_ref()?.counter.is(rule).then_some(slot)
    }

    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Counter> {
        Some(&mut self.slots.get_mut(slot as usize)?.as_mut()?.counter)
    }

    /// A new counter, in place of one of another kind if there should be one.
    pub(super) fn insert(&mut self, id: &CounterId, rule: Rule) -> u32 {
        let filled = Some(Slot { id: id.clone(), counter: Counter::new(rule) });
        let slot = self.index.get(id).copied().or_else(|| self.free.pop());
        let slot = match slot {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = filled;
                }
                slot
            }
            None => {
                self.slots.push(filled);
                // The cap is below `u32::MAX`.
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(id.clone(), slot);
        self.due = (self.due + SWEPT).min(DUE);
        slot
    }

    pub(super) fn spent(&self) -> Vec<(CounterId, u64)> {
        let spent = |slot: &Slot| match &slot.counter {
            Counter::Budget(budget) if budget.spent > 0 => Some((slot.id.clone(), budget.spent)),
            Counter::Window(_) | Counter::Level(_) | Counter::Members(_) | Counter::Budget(_) => None,
        };
        self.slots.iter().flatten().filter_map(spent).collect()
    }
}
