//! What the tests of this module share: a policy over a pool, driven in virtual time.

use std::{sync::Arc, time::Duration};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Ask, Choosing, Decision, Policy, Price, Prompt, PromptFacts, Ring, Router, RouterParams, Start, Tried,
    Turn, USUAL_RATES,
};
use crate::{
    clock::Moment,
    dialect::TtlAsked,
    types::{AffinityReason, AffinityResult, ModelName, PrefixChain, PrefixPoint, Section, SessionKey},
    upstream::{
        CacheLife, Draw, Endpoint, EndpointParams, Failure, Flow, Lane, LimitKind, LimitsGiven, Need, Pool,
        ProviderParams, RateLimit, RoutingMode, Slot, Standing, testing,
    },
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

/// The provider of the tests, routed by cost.
pub(super) fn provider() -> ProviderParams {
    ProviderParams { routing: RoutingMode::Cost, ..testing::provider("p") }
}

/// How the tests' provider caches.
pub(super) fn cache() -> CacheLife {
    provider().cache
}

/// Endpoints in a rate domain each that allows so many input tokens a minute; 0: nothing is known.
pub(super) fn by_cost(endpoints: &[(&str, u64)]) -> Kit {
    Kit::new(cost_pool(provider(), endpoints))
}

pub(super) fn cost_pool(provider: ProviderParams, endpoints: &[(&str, u64)]) -> Pool {
    let of = |&(name, input): &(&str, u64)| {
        let limits = LimitsGiven { input: (input > 0).then_some(input), ..LimitsGiven::default() };
        EndpointParams { limits, ..testing::endpoint(name, "p", &format!("org-{name}")) }
    };
    Pool::build(vec![provider], endpoints.iter().map(of).collect(), None).unwrap()
}

/// One turn of a conversation: tools and system that its group shares, then blocks of its own.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    /// Who shares tools and system.
    pub(super) group: u64,
    /// Whose the messages are.
    pub(super) own: u64,
    /// Tokens of tools and system.
    pub(super) shared: u32,
    /// Tokens of a message.
    pub(super) each: u32,
    /// Messages, the user's first.
    pub(super) messages: u32,
    /// The newest has a breakpoint, and no other.
    pub(super) only_last: bool,
}

impl Talk {
    /// A conversation of its own, of 12,000 tokens and 2,000 more with each message.
    pub(super) const fn new(own: u64) -> Self {
        Self { group: own, own, shared: 10_000, each: 2_000, messages: 1, only_last: false }
    }

    /// The next turn: an answer, and what the user says to it.
    pub(super) const fn next(self) -> Self {
        Self { messages: self.messages + 2, ..self }
    }

    pub(super) const fn tokens(&self) -> u32 {
        self.shared + self.each * self.messages
    }

    pub(super) fn chain(&self) -> PrefixChain {
        let hash = |n: u32| {
            let own = if n < 2 { 0 } else { self.own + 1 };
            xxh3_64(&[self.group.to_le_bytes(), own.to_le_bytes(), u64::from(n).to_le_bytes()].concat())
        };
        let point = |n: u32| PrefixPoint {
            hash: hash(n),
            bytes: 4 * u64::from(if n < 2 {
                self.shared / (2 - n)
            } else {
                self.shared + self.each * (n - 1)
            }),
            section: match n {
                0 => Section::Tools,
                1 => Section::System,
                n if n % 2 == 0 => Section::User,
                _ => Section::Assistant,
            },
            breakpoint: false,
        };
        PrefixChain { points: (0..self.messages + 2).map(point).collect() }
    }

    pub(super) fn prompt(&self) -> Prompt {
        let last = self.messages as usize + 1;
        let short = |at| (at, TtlAsked::Short);
        let marks: Vec<_> = if self.only_last {
            vec![short(last)]
        } else if self.messages > 1 {
            [1, last - 2, last].map(short).into()
        } else {
            [1, last].map(short).into()
        };
        let facts = PromptFacts {
            marks: &marks,
            cache: cache(),
            model: 1,
            settings: 0,
            message_settings: 0,
            tokens: self.tokens(),
            ttl: TtlAsked::Short,
        };
        Prompt::of(&self.chain(), &facts)
    }
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
            bound: None,
            allowed: None,
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
        self.start_with(Some(session), &self.prompt, endpoint, result, now)
    }

    pub(super) fn start_with(
        &self,
        session: Option<u64>,
        prompt: &Prompt,
        endpoint: &Arc<Endpoint>,
        result: AffinityResult,
        now: Moment,
    ) -> Turn {
        let start = Start {
            session: session.map(|session| SessionKey(session.into())),
            parent: None,
            model: &self.model,
            endpoint,
            affinity: result,
            ttl: TtlAsked::Short,
            ring: &self.ring,
            prompt,
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

    /// A request of a session that says `prompt`; each session has a seed of its own.
    pub(super) fn says<'a>(&'a self, session: u64, prompt: &'a Prompt) -> Ask<'a> {
        Ask { prompt, ..self.ask(session, session) }
    }

    /// Sends what was decided at once, and does not answer yet.
    pub(super) fn send(&self, ask: &Ask<'_>, now: Moment) -> (Slot, Turn, (AffinityResult, AffinityReason)) {
        let mut choosing = Choosing::new();
        let (endpoint, result, reason) = gone(choosing.begin(&self.policy, ask, now));
        let slot = endpoint.acquire(ask.lane, &choosing.draw(ask.flow), now).unwrap();
        choosing.went(now);
        let session = ask.session.map(|session| u64::try_from(session.0).unwrap());
        (slot, self.start_with(session, ask.prompt, &endpoint, result, now), (result, reason))
    }

    /// A whole turn that goes well at once; it must not have to wait.
    pub(super) fn spoken(&self, ask: &Ask<'_>, now: Moment) -> (String, AffinityResult, AffinityReason) {
        let (mut slot, mut turn, (result, reason)) = self.send(ask, now);
        slot.answered(now);
        turn.answered();
        (slot.endpoint().name().to_string(), result, reason)
    }

    /// Somebody else uses up so many input tokens of an account.
    pub(super) fn drain_tokens(&self, name: &str, input: u64, now: Moment) {
        let draw = Draw { need: Need { input, cached: 0 }, who: Standing::New(Flow::NOBODY), anyway: true };
        let mut slot = self.get(name).acquire(lane(), &draw, now).unwrap();
        slot.answered(now);
    }

    /// Requests that wait in the queues of accounts.
    pub(super) fn queued(&self, now: Moment) -> u64 {
        let views = serde_json::to_value(self.pool.domain_views(now)).unwrap();
        let classes = views.as_array().unwrap().iter().flat_map(|view| view["classes"].as_array().unwrap());
        classes.map(|class| class["waiting"].as_u64().unwrap()).sum()
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
