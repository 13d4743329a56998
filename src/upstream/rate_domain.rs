//! Rate domains: accounts that share limits, with a gate for each class of models.
//!
//! Owns what the classes have in common: the configuration's word on limits, and how many may wait.
//! The gates are made when they are first needed and live as long as anybody holds one.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    facts::{ClassFacts, DomainFacts},
    lane::{Lane, MAX_CLASSES},
    params::{Cooling, LimitParams, LimitsGiven},
    rate::RateGate,
};
use crate::{clock::Moment, types::DomainName};

/// A deadline that somebody else tells of is believed so far ahead.
const LONGEST_ADOPTED: Duration = Duration::from_secs(32 * 24 * 3_600);
/// A deadline that differs by less is the one that is known.
const RETOLD: Duration = Duration::from_millis(50);

/// What the configuration says of a domain's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    pub(super) window: Duration,
    pub(super) pace: Duration,
    pub(super) limits: LimitsGiven,
}

impl Terms {
    /// Where two endpoints of a domain disagree, the stricter word holds.
    pub(super) fn and(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            window: self.window.max(other.window),
            pace: self.pace.max(other.pace),
            limits: LimitsGiven {
                requests: least(self.limits.requests, other.limits.requests),
                tokens: least(self.limits.tokens, other.limits.tokens),
                input: least(self.limits.input, other.limits.input),
                output: least(self.limits.output, other.limits.output),
            },
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        let limits = LimitsGiven::default();
        Self { window: Duration::from_secs(60), pace: Cooling::default().pace, limits }
    }
}

/// How many wait for a domain, in all its classes together, and how many bytes they hold.
#[derive(Default)]
pub(super) struct Crowd {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Crowd {
    /// Whether one more fits; then it counts until [`Self::leave`].
    pub(super) fn enter(&self, bytes: u64, params: &LimitParams) -> bool {
        let take = |of: &AtomicU64, more: u64, most: u64| {
            of.fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
                held.checked_add(more).filter(|held| *held <= most)
            })
            .is_ok()
        };
        if !take(&self.requests, 1, u64::from(params.max_waiting)) {
            return false;
        }
        let fits = take(&self.bytes, bytes, params.max_waiting_bytes);
        if !fits {
            self.requests.fetch_sub(1, Ordering::AcqRel);
        }
        fits
    }

    pub(super) fn leave(&self, bytes: u64) {
        self.requests.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Endpoints that share rate limits: an organisation.
pub struct RateDomain {
    name: DomainName,
    configured: bool,
    weight: AtomicU32,
    terms: Mutex<Option<Terms>>,
    pub(super) crowd: Arc<Crowd>,
    gates: Box<[OnceLock<Arc<RateGate>>]>,
}

impl RateDomain {
    pub(super) fn new(name: DomainName, configured: bool) -> Self {
        let gates = (0..MAX_CLASSES).map(|_| OnceLock::new()).collect();
        let (weight, terms) = (AtomicU32::new(0), Mutex::new(None));
        Self { name, configured, weight, terms, crowd: Arc::default(), gates }
    }

    /// Its name: configured, learned, or that of its only endpoint.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// The configuration named it: what providers' headers say cannot change its members.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// Its weight, shared by its endpoints: the largest that one of them asked for, at least 1.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(super) fn raise_weight(&self, weight: u32) {
        self.weight.fetch_max(weight, Ordering::Relaxed);
    }

    /// What the configuration says now. Limits that answers named are left as they are.
    pub(super) fn set_terms(&self, terms: Terms) {
        *self.terms.lock() = Some(terms);
        self.used().for_each(|(_, gate)| gate.configure(&terms));
    }

    /// The same for one more endpoint.
    pub(super) fn join_terms(&self, terms: Terms) {
        let mut own = self.terms.lock();
        let joined = own.map_or(terms, |own| own.and(terms));
        if *own != Some(joined) {
            *own = Some(joined);
            drop(own);
            self.used().for_each(|(_, gate)| gate.configure(&joined));
        }
    }

    /// The gate of a lane, if anything was ever booked to it.
    pub(super) fn gate(&self, lane: Lane) -> Option<&Arc<RateGate>> {
        self.gates.get(usize::from(lane.class()))?.get()
    }

    /// The gate of a lane; `None` only for a lane that was not made by this process.
    pub(super) fn gate_or_new(&self, lane: Lane) -> Option<&Arc<RateGate>> {
        self.gates.get(usize::from(lane.class())).map(|gate| {
            gate.get_or_init(|| {
                Arc::new(RateGate::new(&self.terms.lock().unwrap_or_default(), lane.generates()))
            })
        })
    }

    /// Takes over what `other` is cooling for and what it knows of limits: an endpoint of it turned
    /// out to belong here.
    pub(super) fn keep_the_stricter(&self, other: &Self) {
        for (class, theirs) in other.used() {
            if let Some(ours) = self.gate_or_new(Lane::from_class(class))
                && !Arc::ptr_eq(ours, theirs)
            {
                ours.keep_the_stricter(theirs);
            }
        }
    }

    /// What is known of every class.
    pub(super) fn facts(
        &self,
        endpoints: Vec<String>,
        class_name: impl Fn(u16) -> String,
        now: Moment,
    ) -> DomainFacts {
        let classes = self.used().map(|(class, gate)| {
            let (ewma, limits) = gate.gauge(|gauge| gauge.facts(now));
            let open_in = gate.open_until(now).map_or(Duration::ZERO, |until| now.until(until));
            let open_in_ms = u64::try_from(open_in.as_millis()).unwrap_or(u64::MAX);
            ClassFacts { class: class_name(class), open_in_ms, ewma, limits }
        });
        let classes = classes.filter(|class| class.open_in_ms > 0 || !class.limits.is_empty()).collect();
        DomainFacts { domain: self.name.to_string(), endpoints, classes }
    }

    /// Takes over what somebody knew of a class `age` ago.
    pub(super) fn adopt(&self, lane: Lane, facts: &ClassFacts, age: Duration, now: Moment) {
        let Some(gate) = self.gate_or_new(lane) else { return };
        gate.gauge(|gauge| gauge.adopt(facts.ewma, &facts.limits, age, now));
        self.cool_as_told(lane, Duration::from_millis(facts.open_in_ms).saturating_sub(age), now);
    }

    /// Somebody else met a 429.
    pub(super) fn cool_as_told(&self, lane: Lane, open_in: Duration, now: Moment) {
        let Some(gate) = self.gate_or_new(lane) else { return };
        // A shared deadline comes again every second: only a later one is news, beyond the time that
        // it takes to tell.
        let until = now + open_in.min(LONGEST_ADOPTED);
        if !open_in.is_zero() && gate.open_until(now).is_none_or(|own| own + RETOLD < until) {
            gate.cool(until);
        }
    }

    pub(super) fn reset(&self) {
        self.used().for_each(|(_, gate)| gate.reset());
    }

    /// The classes that something was booked to.
    pub(super) fn used(&self) -> impl Iterator<Item = (u16, &Arc<RateGate>)> {
        (0_u16..).zip(&self.gates).filter_map(|(class, gate)| Some((class, gate.get()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::rate::RateState;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn joining_a_domain_keeps_the_later_deadline() {
        let (a, b) = (RateDomain::new("a".into(), false), RateDomain::new("b".into(), false));
        let lane = Lane::from_class(40);
        a.gate_or_new(lane).unwrap().cool(at(5_000));
        b.gate_or_new(lane).unwrap().cool(at(9_000));
        a.keep_the_stricter(&b);
        assert_eq!(a.gate(lane).unwrap().open_until(at(0)), Some(at(9_000)));
        b.keep_the_stricter(&a);
        assert_eq!(b.gate(lane).unwrap().open_until(at(0)), Some(at(9_000)));
    }

    #[test]
    fn classes_cool_apart() {
        let domain = RateDomain::new("a".into(), false);
        domain.gate_or_new(Lane::from_class(40)).unwrap().cool(at(5_000));
        assert!(domain.gate(Lane::from_class(41)).is_none());
        assert_eq!(domain.gate_or_new(Lane::from_class(0)).unwrap().state(at(0)), RateState::Open);
    }
}
