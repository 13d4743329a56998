//! The retry budget: how many requests may go somewhere else after a failure.
//!
//! Retries are cheap while few fail and deadly when all do. Each first try deposits, each fallback
//! withdraws; over a window of ten seconds fallbacks may be so many percent of first tries, plus a
//! small floor so that a quiet gateway can still fall back (tower's `TpsBudget`, made pure).

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;

const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);
/// Fallbacks that are always allowed in a window.
const FLOOR: u64 = 10;

/// Counts first tries and fallbacks of one provider.
pub struct RetryBudget {
    percent: u64,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    /// (first tries, fallbacks) by second.
    slots: [(u64, u64); SLOTS],
    /// The number of the newest second.
    newest: u64,
}

impl RetryBudget {
    /// Fallbacks may be `percent` of first tries.
    #[must_use]
    pub fn new(percent: u32) -> Self {
        Self { percent: percent.into(), window: Mutex::default() }
    }

    /// A first try was started.
    pub fn deposit(&self, now: Moment) {
        if let Some((tries, _)) = self.window.lock().at(now) {
            *tries += 1;
        }
    }

    /// May one more request go elsewhere? Takes it from the budget if so.
    #[must_use]
    pub fn withdraw(&self, now: Moment) -> bool {
        let mut window = self.window.lock();
        window.advance(now);
        let (tries, spent) =
            window.slots.iter().fold((0, 0), |(tries, spent), slot| (tries + slot.0, spent + slot.1));
        let allowed = FLOOR + tries * self.percent / 100;
        if spent >= allowed {
            return false;
        }
        if let Some((_, spent)) = window.at(now) {
            *spent += 1;
        }
        true
    }

    /// What has been counted, under another percentage: for a reload.
    pub(super) fn with_percent(&self, percent: u32) -> Self {
        let old = self.window.lock();
        let window = Window { slots: old.slots, newest: old.newest };
        Self { percent: percent.into(), window: Mutex::new(window) }
    }
}

impl Window {
    fn second(now: Moment) -> u64 {
        Duration::from_nanos(now.as_nanos()).as_secs() / SLOT.as_secs()
    }

    /// Clears what is older than the window. Time that runs backwards is counted as the newest.
    fn advance(&mut self, now: Moment) {
        let second = Self::second(now);
        let steps = second.saturating_sub(self.newest).min(SLOTS as u64);
        for step in 0..steps {
            if let Some(slot) = self.slots.get_mut(Self::index(second - step)) {
                *slot = (0, 0);
            }
        }
        self.newest = self.newest.max(second);
    }

    fn at(&mut self, now: Moment) -> Option<(&mut u64, &mut u64)> {
        self.advance(now);
        let slot = self.slots.get_mut(Self::index(self.newest))?;
        Some((&mut slot.0, &mut slot.1))
    }

    fn index(second: u64) -> usize {
        usize::try_from(second % SLOTS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_millis(secs * 1_000)
    }

    fn spend_all(budget: &RetryBudget, now: Moment) -> u64 {
        (0..10_000).take_while(|_| budget.withdraw(now)).count() as u64
    }

    #[test]
    fn a_quiet_provider_can_still_fall_back_but_not_without_end() {
        assert_eq!(spend_all(&RetryBudget::new(20), at(100)), FLOOR);
    }

    #[test]
    fn fallbacks_are_a_share_of_first_tries() {
        let budget = RetryBudget::new(20);
        (0..1_000).for_each(|n| budget.deposit(at(100 + n / 200)));
        assert_eq!(spend_all(&budget, at(105)), 200 + FLOOR);
        assert!(!budget.withdraw(at(106)), "what was spent stays spent within the window");
    }

    #[test]
    fn the_window_forgets() {
        let budget = RetryBudget::new(20);
        (0..1_000).for_each(|_| budget.deposit(at(100)));
        assert_eq!(spend_all(&budget, at(110)), FLOOR, "the deposits are too old");
        assert_eq!(spend_all(&budget, at(119)), 0);
        assert_eq!(spend_all(&budget, at(120)), FLOOR);
    }

    #[test]
    fn time_that_runs_backwards_harms_nothing() {
        let budget = RetryBudget::new(20);
        budget.deposit(at(100));
        budget.deposit(at(3));
        assert_eq!(spend_all(&budget, at(50)), FLOOR);
    }
}
