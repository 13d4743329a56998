//! Thousands of random events in virtual time against the real machines, from fixed seeds: whatever
//! happens in whatever order, what must hold holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Ask, Decision, Policy, Tried, Turn, testkit::*};
use crate::{
    clock::Moment,
    types::{AffinityResult, SessionKey},
    upstream::{Availability, Draw, Endpoint, Failure, KeyTrouble, Slot, testing},
};

struct Running {
    session: u64,
    seed: u64,
    slot: Slot,
    turn: Turn,
}

struct World {
    kit: Kit,
    random: fastrand::Rng,
    now: Moment,
    /// Nearly every connection fails.
    outage: bool,
    running: Vec<Running>,
    /// The latest deadline that an organisation's 429s named.
    deadlines: HashMap<String, Moment>,
    seen: HashMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            kit: Kit::new(testing::eight()),
            random: fastrand::Rng::with_seed(seed),
            now: at(1),
            outage: false,
            running: Vec::new(),
            deadlines: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn arrive(&mut self) {
        let session = self.random.u64(..60);
        // Half of them begin alike.
        let seed = if session.is_multiple_of(2) { 7 } else { session };
        self.place(session, seed, &[]);
    }

    fn place(&mut self, session: u64, seed: u64, tried: &[Tried]) {
        let known = self.kit.policy.sessions().known(SessionKey(session.into()));
        let decision = self.kit.decide(&Ask { tried, ..self.kit.ask(session, seed) }, self.now);
        match decision {
            Decision::Go { endpoint, affinity: (result, _) }
            | Decision::Move { endpoint, affinity: (result, _) } => {
                if let Some(home) = known.map(|known| known.home).filter(|home| home.is_warm(self.now)) {
                    self.no_bouncing(&home.id, &endpoint, result, tried);
                }
                match endpoint.acquire(lane(), &Draw::untold(), self.now) {
                    Ok(slot) => self.begin(session, seed, slot, result),
                    Err(why) => panic!("{endpoint:?} was offered and cannot be had: {why:?}"),
                }
            }
            Decision::Wait { until, .. } => {
                assert!(until > self.now && self.now.until(until) <= Duration::from_secs(10));
                self.count("wait");
            }
            Decision::Park { .. } => panic!("nobody is parked where sessions are pinned"),
            Decision::Deny { retry_after, .. } => {
                assert!((1..=60).contains(&retry_after));
                self.count("deny");
            }
        }
    }

    /// A warm session leaves home only when home cannot be used (or failed this very request).
    fn no_bouncing(&mut self, home: &u64, chosen: &Arc<Endpoint>, result: AffinityResult, tried: &[Tried]) {
        if chosen.id() == *home {
            assert_eq!(result, AffinityResult::Hit);
            self.count("hit");
            return;
        }
        let home = self.kit.pool.endpoints().iter().find(|endpoint| endpoint.id() == *home).unwrap();
        let failed_here = tried.iter().any(|tried| tried.endpoint == *home.name());
        let usable = home.availability(lane(), self.now).usable();
        assert!(failed_here || !usable, "a warm session left {home:?}, which can be used");
        self.count("move");
    }

    fn begin(&mut self, session: u64, seed: u64, slot: Slot, result: AffinityResult) {
        if let Some(deadline) = self.deadlines.get(slot.endpoint().rate_domain().name().as_str()) {
            assert!(self.now >= *deadline, "a request started before its organisation's deadline");
        }
        if slot.is_trial() {
            assert!(self.running.iter().all(|running| !running.slot.is_trial()), "two trials");
            self.count("trial");
        }
        let turn = self.kit.start(session, slot.endpoint(), result, self.now);
        self.running.push(Running { session, seed, slot, turn });
    }

    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.random.usize(..self.running.len());
        let Running { session, seed, mut slot, mut turn } = self.running.swap_remove(at);
        let outcome = if self.outage { 80 + self.random.u32(..15) } else { self.random.u32(..100) };
        let failure = match outcome {
            0..70 => {
                slot.answered(self.now);
                turn.answered();
                return;
            }
            70..78 => {
                // The client leaves: everything is dropped as it is.
                self.count("dropped");
                return;
            }
            78..84 => limited(self.random.u64(..40)),
            84..89 => Failure::ServerError,
            89..95 => Failure::Connect,
            95..97 => Failure::Key(KeyTrouble::Invalid),
            97..98 => Failure::ModelBarred,
            _ => Failure::Overloaded { retry_after: None },
        };
        let effect = slot.failed(&failure, self.now);
        let domain = slot.endpoint().rate_domain().name().to_string();
        if let Some(until) = effect.cooled_until {
            let before = self.deadlines.insert(domain, until).unwrap_or_default();
            assert!(until >= before || before <= self.now, "a deadline was shortened");
            self.count("cooled");
        }
        if effect.opened {
            self.count("opened");
        }
        let tried = [Tried::new(slot.endpoint(), effect.cooled_until.is_some())];
        drop((slot, turn));
        self.place(session, seed, &tried);
    }

    fn operate(&mut self) {
        self.outage = self.random.u32(..5) == 0;
        let at = self.random.usize(..8);
        let endpoint = Arc::clone(&self.kit.pool.endpoints()[at]);
        match self.random.u32(..4) {
            0 => endpoint.drain(),
            1 => endpoint.set_healthy(self.random.bool()),
            _ => {
                endpoint.readmit(self.now);
                endpoint.set_healthy(true);
                self.deadlines.remove(endpoint.rate_domain().name().as_str());
            }
        }
        if let Some(check) = endpoint.claim_check(self.now) {
            match self.random.u32(..4) {
                0 => check.failed(KeyTrouble::Invalid, self.now),
                1 => drop(check),
                _ => check.passed(self.now),
            }
        }
    }

    fn run(mut self, events: u32) -> HashMap<&'static str, u64> {
        for _ in 0..events {
            self.now = self.now + Duration::from_millis(self.random.u64(..900));
            match self.random.u32(..100) {
                0..50 => self.arrive(),
                50..97 => self.finish(),
                _ => self.operate(),
            }
            let out: u32 = self.kit.pool.endpoints().iter().map(|endpoint| endpoint.in_flight()).sum();
            assert_eq!(out as usize, self.running.len());
        }
        self.settle();
        self.seen
    }

    /// Everything stops: all is given back, and after a while all is well.
    fn settle(&mut self) {
        self.running.clear();
        let later = self.now + Duration::from_secs(3_600);
        self.kit.policy.sessions().sweep(later);
        assert_eq!(self.kit.policy.waiters().count(), 0);
        for endpoint in self.kit.pool.endpoints() {
            assert_eq!((endpoint.in_flight(), endpoint.sessions()), (0, 0), "{endpoint:?}");
            endpoint.readmit(later);
            endpoint.set_healthy(true);
            assert_eq!(endpoint.availability(lane(), later), Availability::Ready);
        }
        for view in self.kit.policy.sessions().by_heat(later, 100) {
            assert_eq!(view.in_flight, 0);
        }
    }
}

#[test]
fn whatever_happens_trials_are_exclusive_deadlines_hold_nothing_leaks_and_no_session_bounces() {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for seed in 0..20 {
        for (what, count) in World::new(seed).run(5_000) {
            *seen.entry(what).or_default() += count;
        }
    }
    // The test tests something only if all of this happened, and often.
    for what in ["hit", "move", "wait", "deny", "trial", "cooled", "opened", "dropped"] {
        assert!(seen.get(what).is_some_and(|&count| count > 50), "{what}: {seen:?}");
    }
}
