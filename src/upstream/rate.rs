//! Rate domains: accounts that share limits, and when each class of model may start again.
//!
//! One small machine per (rate domain, class). A 429 cools it until the time the provider named; a
//! later answer with an earlier deadline never shortens that. It re-opens *paced*: after the
//! deadline at most one request starts in each span of `pace`, for ten starts, without a trial: a
//! bucket that refills needs no proof of health, only no stampede.
//!
//! Behind that stand the buckets and the queue of the class (`gauge`), under the same lock, so that a
//! start takes a place in the pace and its tokens at once or neither.
//!
//! The truth is behind a mutex; what the hot path asks (may something start?) is published in two
//! atomics. Trap: a gate that never cooled reads 0, so a deadline is published as at least 1.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    availability::Availability,
    facts::{ClassFacts, DomainFacts},
    gauge::{Asker, Debit, Gauge},
    lane::{Lane, MAX_CLASSES},
    need::Outlook,
    params::{Cooling, LimitParams, LimitsGiven},
};
use crate::{clock::Moment, types::DomainName};

/// After its deadline a gate lets this many requests start one by one.
pub(super) const PACED_STARTS: u32 = 10;

/// A deadline that somebody else tells of is believed so far ahead.
const LONGEST_ADOPTED: Duration = Duration::from_secs(32 * 24 * 3_600);
/// A deadline that differs by less is the one that is known.
const RETOLD: Duration = Duration::from_millis(50);

/// What a gate says to a request that would start now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RateState {
    Open,
    Cooling { until: Moment },
    Paced { until: Moment },
}

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

/// The limits of one class of models in one rate domain.
pub(super) struct RateGate {
    /// Nanoseconds; nothing starts before. 0: nothing to wait for.
    next_start: AtomicU64,
    /// Nanoseconds of the 429's deadline; 0: none is remembered.
    open_until: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    until: Moment,
    next: Moment,
    paced_left: u32,
    pace: Duration,
    gauge: Gauge,
}

impl Inner {
    /// Nothing is waited for any more.
    fn open(&mut self) {
        (self.until, self.next, self.paced_left) = (Moment::ZERO, Moment::ZERO, 0);
    }

    /// When a request with so many before it starts while the gate re-opens one by one. Those who
    /// wait are told apart already here, so that they do not all come at once and go again.
    fn paced_wait(&self, before: usize, now: Moment) -> Duration {
        if self.paced_left == 0 {
            return Duration::ZERO;
        }
        let before = u32::try_from(before).unwrap_or(u32::MAX).min(self.paced_left - 1);
        let wait = now.until(self.next + self.pace.saturating_mul(before));
        // Only what is owed to others: for itself `RateGate::state` speaks.
        if before == 0 { Duration::ZERO } else { wait }
    }

    fn outlook(&self, counted: f64, who: &Asker, now: Moment) -> Outlook {
        let (mut outlook, ahead) = self.gauge.outlook(counted, who, now);
        outlook.wait = outlook.wait.max(self.paced_wait(ahead.requests, now));
        outlook
    }
}

impl Default for RateGate {
    fn default() -> Self {
        Self::new(&Terms::default(), true)
    }
}

impl RateGate {
    fn new(terms: &Terms, generates: bool) -> Self {
        let gate = Self {
            next_start: AtomicU64::new(0),
            open_until: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                until: Moment::ZERO,
                next: Moment::ZERO,
                paced_left: 0,
                pace: terms.pace,
                gauge: Gauge::new(terms.window, generates),
            }),
        };
        gate.configure(terms);
        gate
    }

    fn configure(&self, terms: &Terms) {
        let mut inner = self.inner.lock();
        inner.pace = terms.pace;
        inner.gauge.configure(terms.window, &terms.limits);
    }

    /// Works on the limits under their lock.
    pub(super) fn gauge<T>(&self, work: impl FnOnce(&mut Gauge) -> T) -> T {
        work(&mut self.inner.lock().gauge)
    }

    /// When its buckets and its queue let `counted` tokens start.
    pub(super) fn outlook(&self, counted: f64, who: &Asker, now: Moment) -> Outlook {
        self.inner.lock().outlook(counted, who, now)
    }

    /// May a request start at `now`? Reads atomics only and claims nothing.
    pub(super) fn state(&self, now: Moment) -> RateState {
        let next = self.next_start.load(Ordering::Acquire);
        if now.as_nanos() >= next {
            return RateState::Open;
        }
        let until = self.open_until.load(Ordering::Acquire);
        if now.as_nanos() < until {
            RateState::Cooling { until: Moment::from_nanos(until) }
        } else {
            RateState::Paced { until: Moment::from_nanos(next) }
        }
    }

    /// Starts a request at `now`: takes one of the paced starts where there are any, and what it
    /// needs of the buckets. Both or neither.
    pub(super) fn start(
        &self,
        counted: f64,
        who: &Asker,
        anyway: bool,
        now: Moment,
    ) -> Result<Debit, Availability> {
        let mut inner = self.inner.lock();
        if now < inner.until {
            return Err(Availability::Cooling { until: inner.until });
        }
        if now < inner.next {
            return Err(Availability::Paced { until: inner.next });
        }
        if !anyway {
            let outlook = inner.outlook(counted, who, now);
            if outlook.never || !outlook.wait.is_zero() {
                return Err(Availability::Short { until: now + outlook.wait });
            }
        }
        let debit = inner.gauge.draw(counted, who, now);
        if inner.paced_left > 0 {
            inner.paced_left -= 1;
            if inner.paced_left == 0 {
                inner.open();
            } else {
                inner.next = now + inner.pace;
            }
            self.publish(&inner);
        }
        Ok(debit)
    }

    /// Cools until `until`, or longer where it was to cool longer already. Returns the deadline
    /// that holds now.
    pub(super) fn cool(&self, until: Moment) -> Moment {
        let mut inner = self.inner.lock();
        inner.until = inner.until.max(until);
        inner.next = inner.next.max(inner.until);
        inner.paced_left = PACED_STARTS;
        self.publish(&inner);
        inner.until
    }

    /// The deadline, if it is still to come.
    pub(super) fn open_until(&self, now: Moment) -> Option<Moment> {
        let until = Moment::from_nanos(self.open_until.load(Ordering::Acquire));
        (now < until).then_some(until)
    }

    /// Forgets the deadline: an operator said so.
    pub(super) fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.open();
        self.publish(&inner);
    }

    fn pacing(&self) -> bool {
        self.inner.lock().paced_left > 0
    }

    fn publish(&self, inner: &Inner) {
        let floor = u64::from(inner.paced_left > 0);
        self.open_until.store(inner.until.as_nanos(), Ordering::Release);
        self.next_start.store(inner.next.as_nanos().max(floor), Ordering::Release);
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
            let Some(ours) = self.gate_or_new(Lane::from_class(class)) else { continue };
            if Arc::ptr_eq(ours, theirs) {
                continue;
            }
            let until = Moment::from_nanos(theirs.open_until.load(Ordering::Acquire));
            if theirs.pacing() {
                ours.cool(until);
            }
            // One lock at a time: two domains may join each other.
            let gist = theirs.gauge(|gauge| gauge.gist());
            ours.gauge(|gauge| gauge.merge(&gist));
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
        let open_in = Duration::from_millis(facts.open_in_ms).saturating_sub(age);
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
    use crate::upstream::Flow;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn start(gate: &RateGate, now: Moment) -> Result<(), Availability> {
        gate.start(0.0, &Asker { flow: Flow::NOBODY, place: None }, true, now).map(|_| ())
    }

    #[test]
    fn a_later_answer_never_shortens_a_deadline() {
        let gate = RateGate::default();
        gate.cool(at(30_000));
        assert_eq!(gate.cool(at(5_000)), at(30_000));
        assert_eq!(gate.state(at(29_999)), RateState::Cooling { until: at(30_000) });
        assert_eq!(gate.cool(at(60_000)), at(60_000));
    }

    #[test]
    fn concurrent_refusals_cool_once_and_not_in_a_row() {
        let gate = RateGate::default();
        for _ in 0..50 {
            gate.cool(at(1_000));
        }
        assert_eq!(gate.state(at(1_000)), RateState::Open);
    }

    #[test]
    fn it_reopens_one_start_at_a_time_for_ten_starts_and_then_fully() {
        let gate = RateGate::default();
        gate.cool(at(1_000));
        assert_eq!(start(&gate, at(999)), Err(Availability::Cooling { until: at(1_000) }));
        for n in 0..u64::from(PACED_STARTS) - 1 {
            let now = 1_000 + n * 200;
            assert_eq!(start(&gate, at(now)), Ok(()), "start {n}");
            assert_eq!(start(&gate, at(now + 199)), Err(Availability::Paced { until: at(now + 200) }));
            assert_eq!(gate.state(at(now + 1)), RateState::Paced { until: at(now + 200) });
        }
        assert_eq!(start(&gate, at(2_800)), Ok(()), "the tenth");
        for _ in 0..100 {
            assert_eq!(start(&gate, at(2_800)), Ok(()));
        }
        assert_eq!(gate.state(at(2_800)), RateState::Open);
    }

    #[test]
    fn a_refusal_while_it_reopens_cools_again() {
        let gate = RateGate::default();
        gate.cool(at(1_000));
        start(&gate, at(1_000)).unwrap();
        gate.cool(at(9_000));
        assert_eq!(start(&gate, at(8_999)), Err(Availability::Cooling { until: at(9_000) }));
        assert_eq!(start(&gate, at(9_000)), Ok(()));
    }

    #[test]
    fn a_deadline_that_is_now_is_paced_at_once() {
        let gate = RateGate::default();
        gate.cool(Moment::ZERO);
        assert_eq!(start(&gate, Moment::ZERO), Ok(()));
        assert_eq!(start(&gate, at(1)), Err(Availability::Paced { until: at(200) }));
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
