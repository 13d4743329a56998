//! What the tests of this module share: a policy over a pool, driven in virtual time.

use std::{sync::Arc, time::Duration};

use super::{
    Ask, Decision, Policy, Price, Prompt, Ring, Router, RouterParams, Start, Tried, Turn, USUAL_RATES,
};
use crate::{
    clock::Moment,
    dialect::TtlAsked,
    types::{AffinityReason, AffinityResult, ModelName, SessionKey},
    upstream::{Draw, Endpoint, Failure, Flow, Lane, LimitKind, Pool, RateLimit},
};

pub(super) struct Kit {
    pub(super) pool: Pool,
    pub(super) ring: Arc<Ring>,
    pub(super) policy: Router,
    pub(super) prompt: Prompt,
    pub(super) model: ModelName,
}

pub(super) fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

pub(super) fn lane() -> Lane {
    Lane::from_class(100)
}

pub(super) fn price() -> Price {
    Price::of(&USUAL_RATES, true, false)
}

pub(super) fn limited(secs: u64) -> Failure {
    let limit = RateLimit {
        retry_after: Some(Duration::from_secs(secs)),
        kind: LimitKind::Unknown,
        request_exceeds_limit: false,
        garbage: false,
    };
    Failure::RateLimited { limit, refused_elsewhere: false }
}

impl Kit {
    pub(super) fn new(pool: Pool) -> Self {
        Self::with(pool, RouterParams::default())
    }

    pub(super) fn with(pool: Pool, params: RouterParams) -> Self {
        let ring = Ring::new(pool.endpoints());
        let policy = Router::new(&params);
        Self { pool, ring, policy, model: "m".into(), prompt: Prompt::opaque(1_000) }
    }

    pub(super) fn get(&self, name: &str) -> &Arc<Endpoint> {
        self.pool.endpoint(name).unwrap()
    }

    pub(super) fn ask(&self, session: u64, seed: u64) -> Ask<'_> {
        Ask {
            session: Some(SessionKey(session.into())),
            seed,
            ring: &self.ring,
            lane: lane(),
            pin: None,
            tried: &[],
            waited: Duration::ZERO,
            has_history: false,
            prompt: &self.prompt,
            price: price(),
            flow: Flow::NOBODY,
            signed_thinking: false,
            may_wait: true,
        }
    }

    pub(super) fn decide(&self, ask: &Ask<'_>, now: Moment) -> Decision {
        self.policy.decide(ask, None, now).decision
    }

    pub(super) fn start(
        &self,
        session: u64,
        endpoint: &Arc<Endpoint>,
        result: AffinityResult,
        now: Moment,
    ) -> Turn {
        let start = Start {
            session: Some(SessionKey(session.into())),
            parent: None,
            model: &self.model,
            endpoint,
            affinity: result,
            ttl: TtlAsked::Short,
            ring: &self.ring,
            prompt: &self.prompt,
            price: price(),
            context_bytes: 1_000,
            first_try: true,
        };
        self.policy.started(&start, now)
    }

    /// A whole turn that goes well; it must not have to wait.
    pub(super) fn turn(
        &self,
        session: u64,
        seed: u64,
        now: Moment,
    ) -> (String, AffinityResult, AffinityReason) {
        let (endpoint, result, reason) = gone(self.decide(&self.ask(session, seed), now));
        let mut slot = endpoint.acquire(lane(), &Draw::untold(), now).unwrap();
        let mut turn = self.start(session, &endpoint, result, now);
        slot.answered(now);
        turn.answered();
        (endpoint.name().to_string(), result, reason)
    }

    pub(super) fn fail(&self, name: &str, failure: &Failure, now: Moment) {
        let mut slot = self.get(name).acquire(lane(), &Draw::untold(), now).unwrap();
        slot.failed(failure, now);
    }

    pub(super) fn tried(&self, name: &str, rate_limited: bool) -> Tried {
        Tried::new(self.get(name), rate_limited)
    }
}

pub(super) fn gone(decision: Decision) -> (Arc<Endpoint>, AffinityResult, AffinityReason) {
    match decision {
        Decision::Go { endpoint, affinity: (result, reason) }
        | Decision::Move { endpoint, affinity: (result, reason) } => (endpoint, result, reason),
        other @ (Decision::Wait { .. } | Decision::Park { .. } | Decision::Deny { .. }) => {
            panic!("not a go: {other:?}")
        }
    }
}
