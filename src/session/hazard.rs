//! How likely a session that rests is to come back, learned from those that rested before.
//!
//! A rest is cut into stages of one cache life each. Whoever reaches the end of a stage is counted,
//! and so is whoever comes back before the end of the next: the share is the chance that keeping the
//! prompt warm through that stage pays off. It differs by who rests (an agent that works for another
//! comes back at once or never) and by why (a tool that runs, a user who thinks).
//!
//! Pure: knows no clock and no price list. Counted whether or not anything was kept warm, or it would
//! only learn from what it believed before.

use crate::{dialect::StopKind, types::NanoUsd};

/// Stages that are told apart; the last one stands for all that follow.
const STAGES: usize = 12;
/// Weight of what is believed before anything was seen, in sessions ..
const PRIOR_WEIGHT: f64 = 8.0;
/// .. and the belief: of gaps over five minutes about half end within the next five, and about as
/// many sessions end there as pause (routing 1: lognormal gaps of people, 40 turns a session).
const PRIOR: f64 = 0.2;
/// Counts are halved here, so that habits may change.
const MOST: u32 = 1_024;

/// Who rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// An agent that talks to a person, or to nobody we know of.
    Main,
    /// One that works for another.
    Agent,
}

/// A rest, as the counts tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Who.
    pub sort: Sort,
    /// How its last answer ended.
    pub stop: StopKind,
}

#[derive(Clone, Copy, Default, Debug)]
struct Count {
    reached: u32,
    returned: u32,
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Hazard {
    counts: [[[Count; STAGES]; 4]; 2],
}

impl Hazard {
    /// Somebody's rest lasted until the end of `stage` (0: one cache life); and whether it was over
    /// before the end of the next. Told once that is known: those who rest still say nothing yet.
    pub fn saw(&mut self, rest: Rest, stage: u32, returned: bool) {
        let (sort, stop, stage) = index(rest, stage);
        let count = self.counts.get_mut(sort).and_then(|stops| stops.get_mut(stop)?.get_mut(stage));
        let Some(count) = count else { return };
        if count.reached >= MOST {
            *count = Count { reached: count.reached / 2, returned: count.returned / 2 };
        }
        count.reached += 1;
        count.returned += u32::from(returned);
    }

    /// The chance that somebody whose rest has lasted until the end of `stage` comes back before the
    /// end of the next one.
    #[must_use]
    pub fn chance(&self, rest: Rest, stage: u32) -> f64 {
        let (sort, stop, stage) = index(rest, stage);
        let count = self.counts.get(sort).and_then(|stops| stops.get(stop)?.get(stage));
        let count = count.copied().unwrap_or_default();
        (PRIOR_WEIGHT * PRIOR + f64::from(count.returned)) / (PRIOR_WEIGHT + f64::from(count.reached))
    }
}

fn index(rest: Rest, stage: u32) -> (usize, usize, usize) {
    let sort = match rest.sort {
        Sort::Main => 0,
        Sort::Agent => 1,
    };
    let stop = match rest.stop {
        StopKind::End => 0,
        StopKind::ToolUse => 1,
        StopKind::Length => 2,
        StopKind::Other => 3,
    };
    (sort, stop, usize::try_from(stage).unwrap_or(STAGES).min(STAGES - 1))
}

/// Whether reading a prompt once more now is cheaper than the chance that it must be written again:
/// `chance * (write - read) > read` (routing 3.7).
#[must_use]
pub fn is_worth_keeping(chance: f64, read: NanoUsd, write: NanoUsd) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 nano-dollars for any prompt")]
    let (read, saved) = (read.0 as f64, write.0.saturating_sub(read.0) as f64);
    chance * saved > read
}

#[cfg(test)]
mod tests {
    use super::*;

    const THINKS: Rest = Rest { sort: Sort::Main, stop: StopKind::End };
    const WORKS: Rest = Rest { sort: Sort::Main, stop: StopKind::ToolUse };

    #[test]
    fn the_chance_starts_at_a_guess_and_becomes_what_was_seen() {
        let mut hazard = Hazard::default();
        assert!((hazard.chance(THINKS, 0) - PRIOR).abs() < 1e-9);
        for n in 0..1_000 {
            hazard.saw(THINKS, 0, n % 2 == 0);
        }
        assert!((hazard.chance(THINKS, 0) - 0.5).abs() < 0.01, "{}", hazard.chance(THINKS, 0));
        for rest in [WORKS, Rest { sort: Sort::Agent, ..THINKS }] {
            assert!((hazard.chance(rest, 0) - PRIOR).abs() < 1e-9, "others are others");
        }
        assert!((hazard.chance(THINKS, 1) - PRIOR).abs() < 1e-9, "and so are other stages");
    }

    #[test]
    fn habits_may_change() {
        let mut hazard = Hazard::default();
        for _ in 0..100_000 {
            hazard.saw(WORKS, 3, false);
        }
        assert!(hazard.chance(WORKS, 3) < 0.01);
        for _ in 0..2_000 {
            hazard.saw(WORKS, 3, true);
        }
        assert!(hazard.chance(WORKS, 3) > 0.75);
    }

    #[test]
    fn late_stages_are_one() {
        let mut hazard = Hazard::default();
        hazard.saw(THINKS, 11, true);
        assert!((hazard.chance(THINKS, u32::MAX) - hazard.chance(THINKS, 11)).abs() < 1e-9);
    }

    #[test]
    fn it_pays_above_the_break_even_of_each_price_list() {
        // routing 3.7: r / (w - r) is 8.7 % at 0.1 and 1.25, 4.2 % at 0.05.
        let per = |read| (NanoUsd(read), NanoUsd(125_000));
        for (read, even) in [(10_000, 0.087), (5_000, 0.0417)] {
            let (read, write) = per(read);
            assert!(!is_worth_keeping(even - 0.001, read, write));
            assert!(is_worth_keeping(even + 0.001, read, write));
        }
        assert!(!is_worth_keeping(1.0, NanoUsd(5), NanoUsd(5)), "nothing to save");
        assert!(!is_worth_keeping(1.0, NanoUsd(5), NanoUsd(0)));
    }
}
