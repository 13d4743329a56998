//! One token bucket as we reckon it: what the provider's own bucket holds, as far as one can know.
//!
//! Continuous refill, one window's worth at most. A level is lowered by what we send and corrected by
//! what answers say. An answer's figure is old when it arrives: of R left when a request was sent at
//! t0, the truth at t1 lies between R less all that R may not count yet and R plus the refill since. So
//! the own level is moved into that span and no further.
//!
//! Trap: a clock that stands still or jumps back refills nothing; one that jumps ahead fills to the
//! limit and no more.

use std::time::Duration;

use crate::clock::Moment;

/// Rounding must not turn into a wait.
pub(super) const HAIR: f64 = 1e-6;
/// A level sinks to this many windows' worth below zero at most, whatever is drawn.
const DEEPEST: f64 = 4.0;

/// Tokens as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
pub(super) const fn float(tokens: u64) -> f64 {
    tokens as f64
}

/// A number that was reckoned, as tokens again.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
pub(super) const fn whole(tokens: f64) -> u64 {
    tokens as u64
}

/// How the limits stand to a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Room {
    /// It may start after so many seconds; 0: now.
    In(f64),
    /// It is larger than the limit.
    Never,
}

/// What an answer said of a bucket, for a request that was sent when so much had been drawn; that
/// which may have come to the provider after it is left out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Heard {
    pub(super) remaining: f64,
    pub(super) sent: Moment,
    pub(super) drawn: f64,
}

/// One bucket. All amounts are of one window's limit.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Bucket {
    /// 0: unknown, which limits nothing.
    limit: f64,
    level: f64,
    at: Moment,
    /// All that was ever drawn. Only grows: what is given back was drawn all the same.
    drawn: f64,
    /// What this gateway drew and did not give back: what the others must reckon with.
    own: f64,
    /// Named by an answer, not by the configuration.
    told: bool,
}

impl Bucket {
    pub(super) fn limit(&self) -> Option<f64> {
        (self.limit > 0.0).then_some(self.limit)
    }

    pub(super) fn is_known(&self) -> bool {
        self.limit > 0.0
    }

    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    pub(super) fn drawn(&self) -> f64 {
        self.drawn
    }

    pub(super) fn own(&self) -> f64 {
        self.own
    }

    /// What is left at `now`; infinite where the limit is unknown.
    pub(super) fn level(&self, window: Duration, now: Moment) -> f64 {
        if !self.is_known() {
            return f64::INFINITY;
        }
        (self.level + self.refill(window, now.since(self.at))).min(self.limit)
    }

    fn refill(&self, window: Duration, span: Duration) -> f64 {
        self.limit * (span.as_secs_f64() / window.as_secs_f64())
    }

    fn set(&mut self, level: f64, now: Moment) {
        self.level = level.clamp(-DEEPEST * self.limit, self.limit);
        self.at = self.at.max(now);
    }

    /// How long until `amount` is there, when `before` more goes to others first.
    pub(super) fn room(&self, amount: f64, before: f64, window: Duration, now: Moment) -> Room {
        if !self.is_known() {
            return Room::In(0.0);
        }
        let hair = HAIR.max(amount * 1e-9);
        if amount > self.limit + hair {
            return Room::Never;
        }
        let missing = amount + before - self.level(window, now);
        if missing <= hair {
            return Room::In(0.0);
        }
        // A clock that jumped back has to catch up before anything refills.
        Room::In(missing / self.limit * window.as_secs_f64() + now.until(self.at).as_secs_f64())
    }

    /// Takes `amount`, whether it is there or not.
    pub(super) fn take(&mut self, amount: f64, window: Duration, now: Moment) {
        self.own += amount;
        self.lower(amount, window, now);
    }

    /// Another gateway took so much; less than nothing: gave it back.
    pub(super) fn taken_elsewhere(&mut self, amount: f64, window: Duration, now: Moment) {
        if amount > 0.0 {
            self.lower(amount, window, now);
        } else if self.is_known() {
            self.set((self.level(window, now) - amount).min(self.limit), now);
        }
    }

    fn lower(&mut self, amount: f64, window: Duration, now: Moment) {
        self.drawn += amount;
        if self.is_known() {
            self.set(self.level(window, now) - amount, now);
        }
    }

    /// Gives `amount` back, but not beyond what `heard` allows.
    pub(super) fn give_back(&mut self, amount: f64, heard: Option<&Heard>, window: Duration, now: Moment) {
        self.own -= amount;
        if !self.is_known() {
            return;
        }
        let level = self.level(window, now);
        let most = heard.map_or(f64::INFINITY, |heard| self.highest(heard, window, now));
        self.set((level + amount).min(most).max(level), now);
    }

    /// A provider refused for want of this: nothing is left.
    pub(super) fn empty(&mut self, window: Duration, now: Moment) {
        if self.is_known() {
            self.set(self.level(window, now).min(0.0), now);
        }
    }

    /// An answer names the limit.
    pub(super) fn tell_limit(&mut self, limit: f64, window: Duration, now: Moment) {
        let level = self.level(window, now);
        self.told = true;
        self.limit = limit;
        // Where nothing was known before, what is left comes next; until then it is full.
        self.set(level.min(limit), now);
    }

    /// An answer names what is left. Returns how much more is gone than we knew of.
    pub(super) fn tell_remaining(
        &mut self,
        heard: &Heard,
        fresh: bool,
        window: Duration,
        now: Moment,
    ) -> f64 {
        if !self.is_known() {
            return 0.0;
        }
        let lowest = heard.remaining - (self.drawn - heard.drawn);
        let highest = self.highest(heard, window, now);
        let level = self.level(window, now);
        if fresh {
            self.set(lowest, now);
            return 0.0;
        }
        self.set(level.max(lowest).min(highest), now);
        (level - highest).max(0.0)
    }

    fn highest(&self, heard: &Heard, window: Duration, now: Moment) -> f64 {
        heard.remaining + self.refill(window, now.since(heard.sent))
    }

    /// What the configuration says, which holds until an answer says otherwise. `None`: nothing.
    pub(super) fn configure(&mut self, limit: Option<f64>, window: Duration) {
        let now = self.at;
        if self.told {
            return;
        }
        let Some(limit) = limit else {
            self.limit = 0.0;
            return;
        };
        // A share that is gone stays gone; what nobody had reckoned with is full.
        let level = self.level(window, now).min(limit);
        self.limit = limit;
        self.set(level, now);
    }

    /// Takes over what `other`, which turned out to be the same bucket, knew.
    pub(super) fn merge(&mut self, other: &Self, window: Duration) {
        if !other.is_known() {
            return;
        }
        let now = self.at.max(other.at);
        let level = self.level(window, now).min(other.level(window, now));
        if !self.is_known() || (other.told && !self.told) {
            self.limit = other.limit;
            self.told |= other.told;
        }
        self.set(level, now);
    }

    /// Takes over what is known from elsewhere: a limit where none is known, a level where it is lower.
    pub(super) fn adopt(&mut self, limit: f64, level: f64, window: Duration, now: Moment) {
        let own = self.level(window, now);
        if !self.is_known() {
            self.limit = limit;
            self.told = true;
        }
        self.set(own.min(level), now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn full(limit: f64) -> Bucket {
        let mut bucket = Bucket::default();
        bucket.configure(Some(limit), WINDOW);
        bucket
    }

    fn heard(remaining: f64, sent: Moment, drawn: f64) -> Heard {
        Heard { remaining, sent, drawn }
    }

    #[test]
    fn an_unknown_limit_limits_nothing() {
        let mut bucket = Bucket::default();
        bucket.take(1e12, WINDOW, at(0));
        assert_eq!(bucket.room(1e12, 1e12, WINDOW, at(0)), Room::In(0.0));
        assert_eq!(bucket.limit(), None);
    }

    #[test]
    fn it_refills_continuously_up_to_the_limit() {
        let mut bucket = full(600.0);
        bucket.take(600.0, WINDOW, at(0));
        assert_eq!(bucket.room(10.0, 0.0, WINDOW, at(0)), Room::In(1.0));
        assert_eq!(bucket.room(10.0, 20.0, WINDOW, at(0)), Room::In(3.0));
        assert_eq!(bucket.room(10.0, 0.0, WINDOW, at(1_000)), Room::In(0.0));
        assert!((bucket.level(WINDOW, at(3_600_000)) - 600.0).abs() < HAIR);
        assert_eq!(bucket.room(601.0, 0.0, WINDOW, at(0)), Room::Never);
    }

    #[test]
    fn what_an_answer_says_is_corrected_by_what_was_sent_since() {
        let mut bucket = full(1_000.0);
        bucket.take(100.0, WINDOW, at(0));
        let mine = bucket.drawn();
        bucket.take(300.0, WINDOW, at(0));
        // Others took 200: of 700 left then, 400 are left now.
        let foreign = bucket.tell_remaining(&heard(700.0, at(0), mine), false, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 600.0).abs() < HAIR, "600 is within 400..=700");
        assert!(foreign.abs() < HAIR);
        let foreign = bucket.tell_remaining(&heard(250.0, at(0), bucket.drawn()), false, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 250.0).abs() < HAIR);
        assert!((foreign - 350.0).abs() < HAIR, "{foreign} went to others");
        // And it comes back up where we had reckoned with too much.
        bucket.tell_remaining(&heard(900.0, at(0), bucket.drawn()), false, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 900.0).abs() < HAIR);
    }

    #[test]
    fn the_first_word_of_a_limit_starts_at_the_low_end() {
        let mut bucket = Bucket::default();
        bucket.take(10.0, WINDOW, at(0));
        let mine = bucket.drawn();
        bucket.take(30.0, WINDOW, at(0));
        bucket.tell_limit(100.0, WINDOW, at(1_000));
        bucket.tell_remaining(&heard(90.0, at(0), mine), true, WINDOW, at(1_000));
        assert!((bucket.level(WINDOW, at(1_000)) - 60.0).abs() < HAIR);
    }

    #[test]
    fn nothing_comes_back_beyond_what_an_answer_allows() {
        let mut bucket = full(1_000.0);
        bucket.take(500.0, WINDOW, at(0));
        let said = heard(510.0, at(0), bucket.drawn());
        bucket.tell_remaining(&said, false, WINDOW, at(0));
        bucket.give_back(500.0, Some(&said), WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 510.0).abs() < HAIR);
    }

    #[test]
    fn a_refusal_empties_and_does_not_forgive_debts() {
        let mut bucket = full(100.0);
        bucket.empty(WINDOW, at(0));
        assert!(bucket.level(WINDOW, at(0)).abs() < HAIR);
        bucket.take(50.0, WINDOW, at(0));
        bucket.empty(WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) + 50.0).abs() < HAIR);
    }

    #[test]
    fn a_lower_limit_lowers_the_level_and_headers_win_over_the_configuration() {
        let mut bucket = full(1_000.0);
        bucket.tell_limit(300.0, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 300.0).abs() < HAIR);
        bucket.configure(Some(5_000.0), WINDOW);
        bucket.configure(None, WINDOW);
        assert_eq!(bucket.limit(), Some(300.0));
    }

    #[test]
    fn merging_keeps_the_lower_level_and_the_limit_that_is_known() {
        let (mut a, mut b) = (full(1_000.0), Bucket::default());
        a.take(700.0, WINDOW, at(0));
        b.merge(&a, WINDOW);
        assert!((b.level(WINDOW, at(0)) - 300.0).abs() < HAIR);
        a.merge(&full(1_000.0), WINDOW);
        assert!((a.level(WINDOW, at(0)) - 300.0).abs() < HAIR);
    }

    #[test]
    fn what_others_take_is_gone_and_is_not_told_as_our_own() {
        let mut bucket = full(1_000.0);
        bucket.take(100.0, WINDOW, at(0));
        bucket.taken_elsewhere(300.0, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 600.0).abs() < HAIR);
        assert!((bucket.own() - 100.0).abs() < HAIR);
        bucket.taken_elsewhere(-50.0, WINDOW, at(0));
        bucket.give_back(40.0, None, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 690.0).abs() < HAIR);
        assert!((bucket.own() - 60.0).abs() < HAIR);
    }

    #[test]
    fn an_answer_that_counts_what_others_took_corrects_it() {
        let mut bucket = full(1_000.0);
        bucket.take(100.0, WINDOW, at(0));
        let said = heard(600.0, at(0), bucket.drawn());
        bucket.tell_remaining(&said, false, WINDOW, at(0));
        // Told a second late of what that answer counted already: too low, until the next one.
        bucket.taken_elsewhere(300.0, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 300.0).abs() < HAIR);
        bucket.tell_remaining(&heard(590.0, at(0), bucket.drawn()), false, WINDOW, at(0));
        assert!((bucket.level(WINDOW, at(0)) - 590.0).abs() < HAIR);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(f64),
        Elsewhere(f64),
        Back(f64),
        Empty,
        Limit(f64),
        Left(f64, u64, f64),
        Configure(Option<f64>),
        Adopt(f64, f64),
        Clock(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0.0..1e6).prop_map(Step::Take),
            (0.0..1e6).prop_map(Step::Back),
            (-1e6..1e6).prop_map(Step::Elsewhere),
            Just(Step::Empty),
            (1.0..1e7).prop_map(Step::Limit),
            (0.0..1e7, 0_u64..100_000, 0.0..1e6)
                .prop_map(|(left, sent, drawn)| Step::Left(left, sent, drawn)),
            proptest::option::of(1.0..1e7).prop_map(Step::Configure),
            (1.0..1e7, -1e7..1e7).prop_map(|(limit, level)| Step::Adopt(limit, level)),
            (0_u64..200_000).prop_map(Step::Clock),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_events_lifts_a_level_above_its_limit(steps in proptest::collection::vec(step(), 1..60)) {
            let mut bucket = Bucket::default();
            let mut now = at(0);
            for step in steps {
                let before = bucket.level(WINDOW, now);
                match step {
                    Step::Take(amount) => bucket.take(amount, WINDOW, now),
                    Step::Back(amount) => bucket.give_back(amount, None, WINDOW, now),
                    Step::Elsewhere(amount) => bucket.taken_elsewhere(amount, WINDOW, now),
                    Step::Empty => bucket.empty(WINDOW, now),
                    Step::Limit(limit) => bucket.tell_limit(limit, WINDOW, now),
                    Step::Left(left, sent, drawn) => {
                        bucket.tell_remaining(&heard(left, at(sent), drawn), false, WINDOW, now);
                    }
                    Step::Configure(limit) => bucket.configure(limit, WINDOW),
                    Step::Adopt(limit, level) => {
                        bucket.adopt(limit, level, WINDOW, now);
                        prop_assert!(bucket.level(WINDOW, now) <= before + HAIR);
                    }
                    Step::Clock(to) => now = at(to),
                }
                if let Some(limit) = bucket.limit() {
                    let level = bucket.level(WINDOW, now);
                    prop_assert!(level.is_finite() && level <= limit, "{level} of {limit}");
                    // A wait that is named is enough.
                    if let Room::In(wait) = bucket.room(limit / 2.0, 0.0, WINDOW, now) {
                        let later = now + super::super::gauge::round_up(wait);
                        prop_assert_eq!(bucket.room(limit / 2.0, 0.0, WINDOW, later), Room::In(0.0));
                    }
                }
            }
        }
    }
}
