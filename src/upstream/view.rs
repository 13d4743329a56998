//! What `/status` and the metrics show of endpoints and domains: plain values, no secrets.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    endpoint::Endpoint,
    failure::FailureState,
    key::KeyState,
    pool::Pool,
    rate::{RateGate, RateState},
    rate_domain::RateDomain,
};
use crate::clock::Moment;

/// The state of an endpoint in one word. Where several hold, the one that keeps it out longest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum EndpointState {
    /// In use.
    Ready,
    /// At least one class of models re-opens, one start at a time.
    Paced,
    /// At least one class of models cools after a 429, or an operator cools it.
    Cooling,
    /// A trial is due or runs.
    Probing,
    /// Out after failures.
    Failing,
    /// Something speaks against its key.
    Suspect,
    /// A budget of its own or of its provider's is spent.
    Spent,
    /// Its health path says no.
    Unhealthy,
    /// The token that lets it in is not there.
    NoToken,
    /// Our own check of its key failed.
    Quarantined,
    /// An operator took it out.
    Drained,
}

impl EndpointState {
    /// Every state, for tables.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Paced,
        Self::Cooling,
        Self::Probing,
        Self::Failing,
        Self::Suspect,
        Self::Spent,
        Self::Unhealthy,
        Self::NoToken,
        Self::Quarantined,
        Self::Drained,
    ];

    /// The label in metrics and `/status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Paced => "paced",
            Self::Cooling => "cooling",
            Self::Probing => "probing",
            Self::Failing => "failing",
            Self::Suspect => "suspect",
            Self::Spent => "spent",
            Self::Unhealthy => "unhealthy",
            Self::NoToken => "no_token",
            Self::Quarantined => "quarantined",
            Self::Drained => "drained",
        }
    }
}

/// One endpoint as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointView {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// See [`EndpointState`].
    pub state: &'static str,
    /// What its provider has against its key.
    pub key_trouble: Option<&'static str>,
    /// Its rate domain.
    pub rate_domain: String,
    /// Its cache domain.
    pub cache_domain: String,
    /// Its failure domain.
    pub failure_domain: String,
    /// The organisation behind its key, once learned.
    pub organisation: Option<String>,
    /// Requests that are out.
    pub in_flight: u32,
    /// Requests ever sent.
    pub served: u64,
    /// Warm sessions whose home it is.
    pub sessions: u32,
}

/// One rate domain as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct DomainView {
    /// Its name.
    pub name: String,
    /// The configuration named it.
    pub configured: bool,
    /// Its weight.
    pub weight: u32,
    /// Its endpoints.
    pub endpoints: Vec<String>,
    /// The classes that something is known of.
    pub classes: Vec<ClassView>,
}

/// The limits of one class of models in one rate domain.
#[derive(Clone, Debug, Serialize)]
pub struct ClassView {
    /// The class.
    pub class: String,
    /// Seconds until it re-opens; 0 when it is open.
    pub open_in_seconds: f64,
    /// It is open, but lets requests start one by one.
    pub paced: bool,
    /// What is left of its limits, by our own reckoning.
    pub headroom: Vec<LevelView>,
    /// 0..=1, the larger of two: counted input per window over its limit, and the part that is gone.
    pub utilisation: f32,
    /// Requests that wait for room here.
    pub waiting: usize,
    /// Input tokens that are set aside for them.
    pub waiting_tokens: u64,
}

/// What is left of one limit.
#[derive(Clone, Debug, Serialize)]
pub struct LevelView {
    /// Which limit.
    pub kind: &'static str,
    /// What is left.
    pub remaining: Option<u64>,
    /// The limit itself.
    pub limit: Option<u64>,
}

impl Endpoint {
    /// Its state in one word.
    #[must_use]
    pub fn state(&self, now: Moment) -> EndpointState {
        if self.is_drained() {
            return EndpointState::Drained;
        }
        match self.key_state() {
            KeyState::Quarantined { .. } => return EndpointState::Quarantined,
            KeyState::Suspect(_) => return EndpointState::Suspect,
            KeyState::Good => {}
        }
        if self.lacks_token(now) {
            return EndpointState::NoToken;
        }
        if self.is_unhealthy() {
            return EndpointState::Unhealthy;
        }
        if self.spent_until(now).is_some() {
            return EndpointState::Spent;
        }
        match self.failure.state(now) {
            FailureState::Open { .. } => return EndpointState::Failing,
            FailureState::HalfOpen | FailureState::TrialBusy => return EndpointState::Probing,
            FailureState::Closed => {}
        }
        let domain = self.rate_domain();
        let states = domain.used().map(|(_, gate)| match gate.state(now) {
            RateState::Open => EndpointState::Ready,
            RateState::Paced { .. } => EndpointState::Paced,
            RateState::Cooling { .. } => EndpointState::Cooling,
        });
        let cooled = self.cooled_until(now).map(|_| EndpointState::Cooling);
        states.chain(cooled).max().unwrap_or(EndpointState::Ready)
    }

    /// When its state will change for the better by itself, as far as anybody knows: what cools opens, what
    /// failed or is quarantined is tried again, a budget begins anew.
    #[must_use]
    pub fn opens(&self, now: Moment) -> Option<Moment> {
        match self.state(now) {
            EndpointState::Cooling => {
                let domain = self.rate_domain();
                let classes = domain.used().filter_map(|(_, gate)| match gate.state(now) {
                    RateState::Cooling { until } => Some(until),
                    RateState::Open | RateState::Paced { .. } => None,
                });
                classes.chain(self.cooled_until(now)).max()
            }
            EndpointState::Failing => match self.failure.state(now) {
                FailureState::Open { until } => Some(until),
                FailureState::Closed | FailureState::HalfOpen | FailureState::TrialBusy => None,
            },
            EndpointState::Spent => self.spent_until(now),
            EndpointState::Quarantined => self.key_gate.next_check(),
            EndpointState::Ready
            | EndpointState::Paced
            | EndpointState::Probing
            | EndpointState::Suspect
            | EndpointState::Unhealthy
            | EndpointState::NoToken
            | EndpointState::Drained => None,
        }
    }

    /// How `/status` shows it.
    #[must_use]
    pub fn view(&self, now: Moment) -> EndpointView {
        EndpointView {
            name: self.name().to_string(),
            provider: self.provider.params.name.to_string(),
            state: self.state(now).label(),
            key_trouble: match self.key_state() {
                KeyState::Good => None,
                KeyState::Suspect(trouble) | KeyState::Quarantined { trouble, .. } => Some(trouble.label()),
            },
            rate_domain: self.rate_domain().name().to_string(),
            cache_domain: self.cache_domain().to_string(),
            failure_domain: self.failure_domain().to_string(),
            organisation: self.organisation(),
            in_flight: self.in_flight(),
            served: self.tally.served.load(std::sync::atomic::Ordering::Relaxed),
            sessions: self.sessions(),
        }
    }
}

impl Pool {
    /// Every endpoint as `/status` shows it.
    #[must_use]
    pub fn endpoint_views(&self, now: Moment) -> Vec<EndpointView> {
        self.endpoints().iter().map(|endpoint| endpoint.view(now)).collect()
    }

    /// Every rate domain as `/status` shows it, by name.
    #[must_use]
    pub fn domain_views(&self, now: Moment) -> Vec<DomainView> {
        let mut domains: BTreeMap<_, (Arc<RateDomain>, Vec<String>)> = BTreeMap::new();
        for endpoint in self.endpoints() {
            let domain = endpoint.rate_domain();
            let (_, members) = domains.entry(domain.name().clone()).or_insert_with(|| (domain, Vec::new()));
            members.push(endpoint.name().to_string());
        }
        domains.into_values().map(|(domain, members)| self.domain_view(&domain, members, now)).collect()
    }

    fn domain_view(&self, domain: &RateDomain, endpoints: Vec<String>, now: Moment) -> DomainView {
        let classes = domain.used().map(|(class, gate)| class_view(self.class_name(class), gate, now));
        // A class that was only ever used tells nobody anything.
        let classes = classes.filter(|class| {
            class.open_in_seconds > 0.0 || class.paced || class.waiting > 0 || !class.headroom.is_empty()
        });
        DomainView {
            name: domain.name().to_string(),
            configured: domain.is_configured(),
            weight: domain.weight(),
            endpoints,
            classes: classes.collect(),
        }
    }
}

fn class_view(class: String, gate: &RateGate, now: Moment) -> ClassView {
    let (left, shown) = gate.gauge(|gauge| (gauge.left(now), gauge.shown(now)));
    let headroom = left.into_iter().map(|left| LevelView {
        kind: left.kind.label(),
        remaining: left.remaining,
        limit: left.limit,
    });
    ClassView {
        class,
        open_in_seconds: gate.open_until(now).map_or(0.0, |until| now.until(until).as_secs_f64()),
        paced: matches!(gate.state(now), RateState::Paced { .. }),
        headroom: headroom.collect(),
        utilisation: shown.utilisation,
        waiting: shown.waiting,
        waiting_tokens: shown.reserved,
    }
}
