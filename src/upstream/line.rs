//! Who is next among requests of one priority: a line that is fair by caller and weight.
//!
//! Self-clocked fair queueing: each request gets a finish tag, `max(V, the caller's last tag) + cost
//! / weight`, where V is the tag of the request that was served last; the lowest tag is next. A
//! caller with a hundred agents gets its hundred tags one behind the other, so another caller's only
//! agent stands behind one of them and not behind all.
//!
//! The invariant: each service moves V on, and nobody's tag is moved once it is given. So whoever
//! waits is overtaken only so often, by however many newcomers.
//!
//! Trap: newcomers that are served without waiting pay with their tags too, or a caller could slip
//! past all others for ever by never queueing.

use std::collections::HashMap;

/// What a request costs beside its tokens: so that a caller cannot take all the requests with
/// prompts that are read from the cache.
const REQUEST: f64 = 1_000.0;
/// Callers whose tags are remembered beyond those who wait.
const FLOWS: usize = 1_024;
/// Weights beyond these are taken for these.
const WEIGHTS: (f64, f64) = (0.01, 1_000.0);

/// A place in the line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spot {
    tag: f64,
    seq: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    place: Spot,
    flow: u64,
    /// Where its caller stood before it.
    start: f64,
    input: f64,
}

/// What stands before a request.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Ahead {
    pub(super) requests: usize,
    pub(super) input: f64,
}

/// The requests of one priority that wait at one gate.
#[derive(Default)]
pub(super) struct Line {
    served: f64,
    last: HashMap<u64, f64, ahash::RandomState>,
    /// By tag, then by arrival.
    waiting: Vec<Waiter>,
    seq: u64,
}

fn spread(input: f64, weight: f32) -> f64 {
    let weight = f64::from(weight);
    let weight = if weight > 0.0 { weight.clamp(WEIGHTS.0, WEIGHTS.1) } else { 1.0 };
    (input + REQUEST) / weight
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tokens that are set aside.
    pub(super) fn reserved(&self) -> f64 {
        self.waiting.iter().map(|waiter| waiter.input).sum()
    }

    /// What a newcomer finds before it. No single one counts for more than `most`.
    pub(super) fn before_newcomer(&self, flow: u64, weight: f32, input: f64, most: f64) -> Ahead {
        if self.waiting.is_empty() {
            return Ahead::default();
        }
        let tag = self.start(flow) + spread(input, weight);
        self.before(Spot { tag, seq: u64::MAX }, most)
    }

    /// What one who waits has before it; `None` when it does not wait here.
    pub(super) fn before_waiter(&self, place: Spot, most: f64) -> Option<Ahead> {
        self.find(place).map(|_| self.before(place, most))
    }

    fn before(&self, place: Spot, most: f64) -> Ahead {
        self.first(self.position(place), most)
    }

    /// The first `requests`, or all where there are fewer.
    pub(super) fn first(&self, requests: usize, most: f64) -> Ahead {
        let requests = requests.min(self.waiting.len());
        let input = self.waiting.iter().take(requests).map(|waiter| waiter.input.min(most)).sum();
        Ahead { requests, input }
    }

    fn position(&self, place: Spot) -> usize {
        self.waiting.partition_point(|waiter| {
            waiter.place.tag.total_cmp(&place.tag).then(waiter.place.seq.cmp(&place.seq)).is_lt()
        })
    }

    fn find(&self, place: Spot) -> Option<usize> {
        let at = self.position(place);
        self.waiting.get(at).is_some_and(|waiter| waiter.place.seq == place.seq).then_some(at)
    }

    fn start(&self, flow: u64) -> f64 {
        self.last.get(&flow).map_or(self.served, |last| last.max(self.served))
    }

    /// Lines up.
    pub(super) fn enter(&mut self, flow: u64, weight: f32, input: f64) -> Spot {
        let start = self.start(flow);
        let place = Spot { tag: start + spread(input, weight), seq: self.seq };
        self.seq += 1;
        self.last.insert(flow, place.tag);
        let at = self.position(place);
        self.waiting.insert(at, Waiter { place, flow, start, input });
        place
    }

    pub(super) fn holds(&self, place: Spot) -> bool {
        self.find(place).is_some()
    }

    /// Goes without having been served; whoever is no longer there has left already.
    pub(super) fn leave(&mut self, place: Spot) {
        let Some(at) = self.find(place) else { return };
        let waiter = self.waiting.remove(at);
        // It did not get anything, so its caller owes nothing for it; its later places stand.
        if let Some(last) = self.last.get_mut(&waiter.flow)
            && *last <= place.tag
        {
            *last = waiter.start;
        }
        self.settle();
    }

    /// Is served. Whether it was there.
    pub(super) fn serve(&mut self, place: Spot) -> bool {
        let Some(at) = self.find(place) else { return false };
        self.waiting.remove(at);
        self.clock(place.tag);
        true
    }

    /// A newcomer is served at once.
    pub(super) fn serve_newcomer(&mut self, flow: u64, weight: f32, input: f64) {
        if self.waiting.is_empty() {
            return;
        }
        let tag = self.start(flow) + spread(input, weight);
        if self.last.len() < FLOWS + self.waiting.len() || self.last.contains_key(&flow) {
            self.last.insert(flow, tag);
        }
        self.clock(tag);
    }

    /// Moves the clock of service on; not past who is next, when somebody was let in out of turn.
    fn clock(&mut self, tag: f64) {
        let next = self.waiting.first().map_or(tag, |waiter| waiter.place.tag.min(tag));
        self.served = self.served.max(next);
        self.settle();
    }

    fn settle(&mut self) {
        if self.waiting.is_empty() {
            // Nobody is kept waiting: old debts are no longer anybody's loss.
            self.served = 0.0;
            self.last.clear();
        } else if self.last.len() > FLOWS.max(2 * self.waiting.len()) {
            let served = self.served;
            self.last.retain(|_, last| *last > served);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MOST: f64 = f64::INFINITY;

    /// Serves the first `n` and says whose they were.
    fn served(queue: &mut Line, n: usize) -> Vec<u64> {
        let mut flows = Vec::new();
        for _ in 0..n {
            let Some(first) = queue.waiting.first().copied() else { break };
            assert_eq!(queue.before_waiter(first.place, MOST), Some(Ahead::default()));
            flows.push(first.flow);
            queue.serve(first.place);
        }
        flows
    }

    #[test]
    fn a_caller_with_one_agent_is_not_behind_anothers_hundred() {
        let mut queue = Line::default();
        for _ in 0..100 {
            queue.enter(1, 1.0, 10_000.0);
        }
        let ahead = queue.before_newcomer(2, 1.0, 10_000.0, MOST);
        assert!(ahead.requests <= 1, "{ahead:?}");
        queue.enter(2, 1.0, 10_000.0);
        assert!(served(&mut queue, 2).contains(&2));
    }

    #[test]
    fn service_is_shared_by_weight() {
        let mut queue = Line::default();
        for _ in 0..100 {
            queue.enter(1, 1.0, 9_000.0);
            queue.enter(2, 3.0, 9_000.0);
        }
        let heavy = served(&mut queue, 80).iter().filter(|flow| **flow == 2).count();
        assert_eq!(heavy, 60);
    }

    #[test]
    fn who_needs_little_goes_before_who_needs_much() {
        let mut queue = Line::default();
        queue.enter(1, 1.0, 100_000.0);
        assert_eq!(queue.before_newcomer(2, 1.0, 2_000.0, MOST), Ahead::default());
        let ahead = queue.before_newcomer(3, 1.0, 200_000.0, MOST);
        assert_eq!(ahead, Ahead { requests: 1, input: 100_000.0 });
        assert!((queue.before_newcomer(3, 1.0, 200_000.0, 50_000.0).input - 50_000.0).abs() < 1e-9);
    }

    #[test]
    fn newcomers_that_never_queue_do_not_slip_past_for_ever() {
        let mut queue = Line::default();
        let place = queue.enter(1, 1.0, 50_000.0);
        let mut passed = 0;
        // Each by another caller, so that none has a past.
        while queue.before_newcomer(100 + passed, 1.0, 0.0, MOST).requests == 0 {
            queue.serve_newcomer(100 + passed, 1.0, 0.0);
            passed += 1;
            assert!(passed < 100, "the first in the queue starves");
        }
        assert_eq!(queue.before_waiter(place, MOST), Some(Ahead::default()));
    }

    #[test]
    fn who_leaves_unserved_leaves_no_debt() {
        let mut queue = Line::default();
        queue.enter(9, 1.0, 1e9);
        let before = queue.before_newcomer(1, 1.0, 5_000.0, MOST);
        let places: Vec<_> = (0..50).map(|_| queue.enter(1, 1.0, 100_000.0)).collect();
        for place in places.into_iter().rev() {
            queue.leave(place);
            queue.leave(place);
        }
        assert_eq!(queue.before_newcomer(1, 1.0, 5_000.0, MOST), before);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn memory_stays_bounded_whoever_calls() {
        let mut queue = Line::default();
        queue.enter(0, 0.01, 1e12);
        for flow in 1..50_000 {
            queue.serve_newcomer(flow, 1.0, 1e9);
        }
        assert!(queue.last.len() <= FLOWS + 2, "{}", queue.last.len());
    }

    #[test]
    fn odd_weights_are_taken_for_plain_ones() {
        let mut queue = Line::default();
        for (flow, weight) in (0..).zip([f32::NAN, 0.0, -1.0, f32::INFINITY, f32::MIN_POSITIVE]) {
            let place = queue.enter(flow, weight, 1_000.0);
            assert!(place.tag.is_finite() && place.tag > 0.0, "{weight}");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter { flow: u64, weight: f32, input: u32 },
        Leave(usize),
        ServeFirst,
        ServeAny(usize),
        Newcomer { flow: u64, weight: f32, input: u32 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let flow = || (0_u64..6, 0.1_f32..4.0, 0_u32..200_000);
        prop_oneof![
            3 => flow().prop_map(|(flow, weight, input)| Step::Enter { flow, weight, input }),
            1 => any::<usize>().prop_map(Step::Leave),
            2 => Just(Step::ServeFirst),
            1 => any::<usize>().prop_map(Step::ServeAny),
            1 => flow().prop_map(|(flow, weight, input)| Step::Newcomer { flow, weight, input }),
        ]
    }

    proptest! {
        #[test]
        fn nobody_is_lost_nobody_overtakes_within_a_flow(steps in proptest::collection::vec(step(), 1..120)) {
            let mut queue = Line::default();
            let mut places: Vec<(u64, Spot)> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter { flow, weight, input } => {
                        places.push((flow, queue.enter(flow, weight, f64::from(input))));
                    }
                    Step::Leave(n) if !places.is_empty() => queue.leave(places.remove(n % places.len()).1),
                    Step::ServeAny(n) if !places.is_empty() => {
                        prop_assert!(queue.serve(places.remove(n % places.len()).1));
                    }
                    Step::ServeFirst if !places.is_empty() => {
                        let first = queue.waiting[0].place;
                        queue.serve(first);
                        places.retain(|(_, place)| *place != first);
                    }
                    Step::Newcomer { flow, weight, input } => {
                        queue.serve_newcomer(flow, weight, f64::from(input));
                    }
                    Step::Leave(_) | Step::ServeAny(_) | Step::ServeFirst => {}
                }
                prop_assert_eq!(queue.len(), places.len());
                let mut positions: Vec<_> = Vec::new();
                for (_, place) in &places {
                    let ahead = queue.before_waiter(*place, MOST);
                    prop_assert!(ahead.is_some(), "a waiter is lost");
                    positions.push(ahead.unwrap().requests);
                }
                positions.sort_unstable();
                prop_assert!(positions.iter().copied().eq(0..places.len()), "each has a place of its own");
            }
            // Those who are left are all served in the end, each exactly once.
            let left: VecDeque<_> = served(&mut queue, places.len()).into();
            prop_assert_eq!(left.len(), places.len());
            prop_assert_eq!(queue.len(), 0);
        }

        #[test]
        fn a_waiter_is_overtaken_only_so_often(others in proptest::collection::vec((0_u64..1_000, 0_u32..100_000), 400)) {
            let mut queue = Line::default();
            let place = queue.enter(1, 1.0, 20_000.0);
            let mut overtaken = 0;
            for (flow, input) in others {
                if queue.before_newcomer(flow + 10, 1.0, f64::from(input), MOST).requests == 0 {
                    queue.serve_newcomer(flow + 10, 1.0, f64::from(input));
                    overtaken += 1;
                }
            }
            prop_assert!(queue.before_waiter(place, MOST) == Some(Ahead::default()));
            // Each that went first cost at least a request's worth of the way to its tag.
            prop_assert!(overtaken <= 21, "{}", overtaken);
        }
    }
}
