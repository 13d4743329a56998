//! Who is next, when a rate domain has no room for all: interactive requests before batch ones, and
//! among either a line that is fair by caller and weight.
//!
//! Batch ages by services, not by time: while a batch request waits, it is next once fifteen
//! interactive ones were served. So batch keeps a sixteenth of the services however many interactive
//! requests come, and an interactive one has at most one batch request before it for every fifteen of
//! its own kind.
//!
//! Trap: the order of all who wait must be one order. What stands before a request is counted as the
//! two lines would be merged, or two of them would each believe that the other is first.

use super::line::{Ahead, Line, Spot};
use crate::types::Priority;

/// So many interactive requests are served while a batch one waits; then that is next.
const AGED: usize = 15;

/// A place in the queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Place {
    priority: Priority,
    spot: Spot,
}

/// Who asks for a place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Newcomer {
    pub(super) flow: u64,
    pub(super) weight: f32,
    pub(super) priority: Priority,
    pub(super) input: f64,
}

/// The queue of one gate.
#[derive(Default)]
pub(super) struct FairQueue {
    interactive: Line,
    batch: Line,
    /// Interactive requests that were served since the last batch one, while one waited.
    passed: usize,
}

impl FairQueue {
    pub(super) fn len(&self) -> usize {
        self.interactive.len() + self.batch.len()
    }

    /// Tokens that are set aside.
    pub(super) fn reserved(&self) -> f64 {
        self.interactive.reserved() + self.batch.reserved()
    }

    /// What a newcomer finds before it. No single one counts for more than `most`.
    pub(super) fn before_newcomer(&self, who: &Newcomer, most: f64) -> Ahead {
        let own = self.line(who.priority).before_newcomer(who.flow, who.weight, who.input, most);
        self.merged(who.priority, own, most)
    }

    /// What one who waits has before it; `None` when it does not wait here.
    pub(super) fn before_waiter(&self, place: Place, most: f64) -> Option<Ahead> {
        let own = self.line(place.priority).before_waiter(place.spot, most)?;
        Some(self.merged(place.priority, own, most))
    }

    /// Adds those of the other priority who go first to those of its own.
    fn merged(&self, priority: Priority, own: Ahead, most: f64) -> Ahead {
        let others = match priority {
            Priority::Interactive => self.batch.first((self.passed + own.requests) / AGED, most),
            Priority::Batch => {
                let passing = ((own.requests + 1) * AGED).saturating_sub(self.passed);
                self.interactive.first(passing, most)
            }
        };
        Ahead { requests: own.requests + others.requests, input: own.input + others.input }
    }

    /// Lines up.
    pub(super) fn enter(&mut self, who: &Newcomer) -> Place {
        let spot = self.line_mut(who.priority).enter(who.flow, who.weight, who.input);
        Place { priority: who.priority, spot }
    }

    pub(super) fn holds(&self, place: Place) -> bool {
        self.line(place.priority).holds(place.spot)
    }

    /// Goes without having been served; whoever is no longer there has left already.
    pub(super) fn leave(&mut self, place: Place) {
        self.line_mut(place.priority).leave(place.spot);
        self.age(None);
    }

    /// Is served.
    pub(super) fn serve(&mut self, place: Place) {
        if self.line_mut(place.priority).serve(place.spot) {
            self.age(Some(place.priority));
        }
    }

    /// A newcomer is served at once.
    pub(super) fn serve_newcomer(&mut self, who: &Newcomer) {
        self.line_mut(who.priority).serve_newcomer(who.flow, who.weight, who.input);
        self.age(Some(who.priority));
    }

    /// Counts what batch has let pass.
    fn age(&mut self, served: Option<Priority>) {
        self.passed = match served {
            _ if self.batch.is_empty() => 0,
            // More is not remembered: what was let in out of turn is nobody's debt.
            Some(Priority::Interactive) => (self.passed + 1).min(AGED),
            Some(Priority::Batch) => self.passed.saturating_sub(AGED),
            None => self.passed,
        };
    }

    const fn line(&self, priority: Priority) -> &Line {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }

    const fn line_mut(&mut self, priority: Priority) -> &mut Line {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: f64 = f64::INFINITY;

    fn asks(flow: u64, priority: Priority) -> Newcomer {
        Newcomer { flow, weight: 1.0, priority, input: 10_000.0 }
    }

    /// Serves whoever is first among `places`, and says who that was.
    fn serve_first(queue: &mut FairQueue, places: &mut Vec<(u64, Place)>) -> Option<(u64, Priority)> {
        let at = places.iter().position(|(_, place)| {
            queue.before_waiter(*place, MOST).is_some_and(|ahead| ahead.requests == 0)
        })?;
        let (flow, place) = places.remove(at);
        queue.serve(place);
        Some((flow, place.priority))
    }

    #[test]
    fn batch_stands_behind_whoever_is_interactive() {
        let mut queue = FairQueue::default();
        for flow in 0..100 {
            queue.enter(&asks(flow, Priority::Batch));
        }
        let ahead = queue.before_newcomer(&asks(7, Priority::Interactive), MOST);
        assert_eq!(ahead, Ahead::default(), "a fleet of batch jobs delays nobody");
        queue.enter(&asks(7, Priority::Interactive));
        let ahead = queue.before_newcomer(&asks(200, Priority::Batch), MOST);
        assert_eq!(ahead.requests, 101, "everybody who is interactive, and who was there before");
    }

    #[test]
    fn batch_keeps_a_sixteenth_of_the_services() {
        let mut queue = FairQueue::default();
        let mut places: Vec<_> =
            (0..40).map(|flow| (flow, queue.enter(&asks(flow, Priority::Batch)))).collect();
        let mut batch = 0;
        for flow in 0..320 {
            // There is always somebody interactive who waits.
            places.push((1_000 + flow, queue.enter(&asks(1_000 + flow, Priority::Interactive))));
            places.push((2_000 + flow, queue.enter(&asks(2_000 + flow, Priority::Interactive))));
            let (_, priority) = serve_first(&mut queue, &mut places).expect("somebody is first");
            batch += usize::from(priority == Priority::Batch);
        }
        assert_eq!(batch, 20);
    }

    #[test]
    fn newcomers_that_never_queue_do_not_starve_batch() {
        let mut queue = FairQueue::default();
        let place = queue.enter(&asks(1, Priority::Batch));
        let mut passed = 0;
        let newcomer = |flow: u64| asks(100 + flow, Priority::Interactive);
        while queue.before_newcomer(&newcomer(passed), MOST).requests == 0 {
            queue.serve_newcomer(&newcomer(passed));
            passed += 1;
            assert!(passed <= 15, "the batch request starves");
        }
        assert_eq!(queue.before_waiter(place, MOST), Some(Ahead::default()));
        queue.serve(place);
        assert_eq!(queue.before_newcomer(&newcomer(0), MOST), Ahead::default(), "and all begins anew");
    }

    #[test]
    fn a_single_agent_is_not_behind_anothers_hundred_in_either_class() {
        for priority in [Priority::Interactive, Priority::Batch] {
            let mut queue = FairQueue::default();
            for _ in 0..100 {
                queue.enter(&asks(1, priority));
            }
            let ahead = queue.before_newcomer(&asks(2, priority), MOST);
            assert!(ahead.requests <= 1, "{priority:?}: {ahead:?}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(u64, bool),
        Leave(usize),
        ServeFirst,
        ServeAny(usize),
        Newcomer(u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u64..6, any::<bool>()).prop_map(|(flow, batch)| Step::Enter(flow, batch)),
            1 => any::<usize>().prop_map(Step::Leave),
            2 => Just(Step::ServeFirst),
            1 => any::<usize>().prop_map(Step::ServeAny),
            1 => (0_u64..6, any::<bool>()).prop_map(|(flow, batch)| Step::Newcomer(flow, batch)),
        ]
    }

    const fn of(batch: bool) -> Priority {
        if batch { Priority::Batch } else { Priority::Interactive }
    }

    proptest! {
        #[test]
        fn all_who_wait_stand_in_one_order(steps in proptest::collection::vec(step(), 1..150)) {
            let mut queue = FairQueue::default();
            let mut places: Vec<(u64, Place)> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(flow, batch) => {
                        places.push((flow, queue.enter(&asks(flow, of(batch)))));
                    }
                    Step::Leave(n) if !places.is_empty() => queue.leave(places.remove(n % places.len()).1),
                    Step::ServeAny(n) if !places.is_empty() => queue.serve(places.remove(n % places.len()).1),
                    Step::ServeFirst => {
                        let served = serve_first(&mut queue, &mut places);
                        prop_assert!(served.is_some() || places.is_empty(), "nobody is first");
                    }
                    Step::Newcomer(flow, batch) => queue.serve_newcomer(&asks(flow, of(batch))),
                    Step::Leave(_) | Step::ServeAny(_) => {}
                }
                prop_assert_eq!(queue.len(), places.len());
                let mut ahead = Vec::new();
                for (_, place) in &places {
                    ahead.push(queue.before_waiter(*place, MOST).map(|ahead| ahead.requests));
                }
                ahead.sort_unstable();
                prop_assert!(ahead.iter().copied().eq((0..places.len()).map(Some)), "{:?}", ahead);
            }
        }

        #[test]
        fn an_interactive_request_has_few_batch_ones_before_it(
            entering in proptest::collection::vec((0_u64..20, any::<bool>()), 1..200),
        ) {
            let mut queue = FairQueue::default();
            let places: Vec<_> =
                entering.iter().map(|&(flow, batch)| queue.enter(&asks(flow, of(batch)))).collect();
            let interactive = places.iter().filter(|place| place.priority == Priority::Interactive).count();
            for place in places.iter().filter(|place| place.priority == Priority::Interactive) {
                let own = queue.interactive.before_waiter(place.spot, MOST).map_or(0, |own| own.requests);
                let all = queue.before_waiter(*place, MOST).map_or(0, |all| all.requests);
                prop_assert!(all - own <= 1 + interactive / AGED, "{} of {}", all - own, interactive);
            }
        }
    }
}
