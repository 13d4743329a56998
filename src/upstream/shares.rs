//! What gateways that use the same accounts tell each other of a rate domain: until when a class of
//! models cools, and how much they drew.
//!
//! Draws are sums since the start, so that whoever missed some of them misses nothing: the difference
//! between two of them is what is new. They say what one gateway drew itself, never what it was told,
//! or the same draw would go round for ever.

use std::time::Duration;

use super::{endpoint::Endpoint, lane::Lane};
use crate::{clock::Moment, types::DomainName};

/// One class of models in a rate domain, as one gateway sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassShare {
    /// The class.
    pub class: String,
    /// Until when a 429 cools it; zero when none does.
    pub cools_for: Duration,
    /// Requests, tokens, input tokens and output tokens drawn and not given back, since the start.
    pub drawn: [i64; 4],
}

impl Endpoint {
    /// Its rate domain, and every class of it that something was booked to.
    #[must_use]
    pub fn shares(&self, now: Moment) -> (DomainName, Vec<ClassShare>) {
        let domain = self.rate_domain();
        if self.caller_pays() {
            return (domain.name().clone(), Vec::new());
        }
        let shares = domain.used().map(|(class, gate)| ClassShare {
            class: self.class_name(class),
            cools_for: gate.open_until(now).map_or(Duration::ZERO, |until| now.until(until)),
            drawn: gate.gauge(|gauge| gauge.own()),
        });
        let shares = shares.filter(|share| !share.cools_for.is_zero() || share.drawn != [0; 4]).collect();
        (domain.name().clone(), shares)
    }

    /// Another gateway met a 429: its rate domain cools as long here, or longer where it did already.
    pub fn cooled_elsewhere(&self, class: &str, cools_for: Duration, now: Moment) {
        if let Some(lane) = self.shared_lane(class) {
            self.rate_domain().cool_as_told(lane, cools_for, now);
        }
    }

    /// Another gateway drew so much more from its rate domain.
    pub fn drawn_elsewhere(&self, class: &str, more: [i64; 4], now: Moment) {
        if let Some(lane) = self.shared_lane(class)
            && let Some(gate) = self.rate_domain().gate_or_new(lane)
        {
            gate.gauge(|gauge| gauge.drawn_elsewhere(more, now));
        }
    }

    /// Only classes of this process: nobody can make up new ones.
    fn shared_lane(&self, class: &str) -> Option<Lane> {
        (!self.caller_pays()).then(|| self.known_class(class)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        types::{Family, Operation},
        upstream::{
            Availability, Draw, Failure, LimitKind, ModelParams, ModelTable, Pool, RateLimit, testing::pool,
        },
    };

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// A gateway with two accounts of one organisation.
    fn gateway() -> (Pool, Lane) {
        let pool = pool(&[("a", "org"), ("b", "org")]);
        let model = ModelParams {
            name: "m".into(),
            endpoints: vec!["a".into(), "b".into()],
            upstream_names: Vec::new(),
            class: None,
            long_cache: None,
        };
        let table = ModelTable::build(vec![model], &pool).unwrap();
        let lane = table.resolve("m", Family::Anthropic).unwrap().lane(Operation::Messages, "m");
        (pool, lane)
    }

    fn tell(from: &Pool, to: &Pool, now: Moment) {
        let (domain, shares) = from.endpoint("a").unwrap().shares(now);
        let to = to.endpoint("b").unwrap();
        assert_eq!(*to.rate_domain().name(), domain, "domains agree by name");
        for share in shares {
            to.cooled_elsewhere(&share.class, share.cools_for, now);
            to.drawn_elsewhere(&share.class, share.drawn, now);
        }
    }

    #[test]
    fn a_429_that_one_gateway_met_cools_the_domain_at_the_other_and_never_shortens() {
        let ((one, lane), (two, _)) = (gateway(), gateway());
        let mut slot = one.endpoint("a").unwrap().acquire(lane, &Draw::untold(), at(0)).unwrap();
        let limit = RateLimit {
            retry_after: Some(Duration::from_secs(20)),
            kind: LimitKind::Unknown,
            request_exceeds_limit: false,
            garbage: false,
        };
        slot.failed(&Failure::RateLimited { limit, refused_elsewhere: false }, at(0));
        tell(&one, &two, at(0));
        let a = two.endpoint("a").unwrap();
        let Availability::Cooling { until } = a.availability(lane, at(0)) else { panic!("it cools") };
        a.cooled_elsewhere("m", Duration::from_secs(3), at(0));
        assert_eq!(a.availability(lane, at(0)), Availability::Cooling { until });
        a.cooled_elsewhere("no such class", Duration::from_secs(3), at(0));
        assert_eq!(a.shares(at(0)).1.len(), 1);
    }

    #[test]
    fn what_is_told_is_not_told_again() {
        let ((one, lane), (two, _)) = (gateway(), gateway());
        drop(one.endpoint("a").unwrap().acquire(lane, &Draw::untold(), at(0)).unwrap());
        let slot = one.endpoint("a").unwrap().acquire(lane, &Draw::untold(), at(0)).unwrap();
        let told = one.endpoint("a").unwrap().shares(at(0)).1;
        assert!(told.iter().any(|share| share.drawn[0] >= 1), "{told:?}");
        tell(&one, &two, at(0));
        assert!(two.endpoint("a").unwrap().shares(at(0)).1.is_empty());
        drop(slot);
    }
}
