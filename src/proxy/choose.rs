//! The third verb: which endpoint, and whether to wait for it.
//!
//! The decision itself is a pure value of `routing`; this file carries it out: it sleeps when told to
//! wait (with an eye on the client) and takes the slot when told to go.

use std::{sync::Arc, time::Duration};

use super::{
    access,
    denial::{self, Denial},
    downlink::{Downlink, Lost},
    exchange::Exchange,
    marks,
};
use crate::{
    clock,
    routing::{Ask, Choosing, Decision, Price, Prompt, Tried},
    snapshot::Snapshot,
    types::{AffinityReason, AffinityResult, DomainName, EndpointName, Reason, SessionKey},
    upstream::{Availability, Endpoint, Flow, Lane, Model, Slot},
};

/// Lost races for a slot before we stop believing that it will work out.
const RACES: u32 = 16;

/// Seconds after which it is worth asking an account again whose budget was only reserved.
const RESERVED: u32 = 5;

/// Where a try goes.
pub(crate) struct Choice {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Our place there.
    pub slot: Slot,
    /// Whether the session stays in place.
    pub affinity: (AffinityResult, AffinityReason),
}

/// Why there is no choice.
pub(crate) enum NoChoice {
    /// Nothing is open.
    Denied(Denial),
    /// The client's side ended.
    Lost(Lost),
}

/// What every choice of one request has in common.
pub(crate) struct Wish<'a> {
    /// The model.
    pub model: &'a Arc<Model>,
    /// Its limits.
    pub lane: Lane,
    /// The only endpoint that can serve it.
    pub pin: Option<&'a EndpointName>,
    /// Its session.
    pub session: Option<SessionKey>,
    /// What places it when nothing is warm.
    pub seed: u64,
    /// The model has spoken before.
    pub has_history: bool,
    /// What the provider's cache sees of it.
    pub prompt: &'a Prompt,
    /// What its tokens cost.
    pub price: Price,
    /// On whose behalf it waits.
    pub flow: Flow,
    /// Its history holds thinking that is signed for the account that made it.
    pub signed_thinking: bool,
    /// It carries reasoning that only the organisation that made it can read.
    pub encrypted_content: bool,
}

/// Finds an open endpoint, waiting for a warm one where that is worth it.
pub(crate) async fn choose(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    choosing: &mut Choosing,
    wish: &Wish<'_>,
    tried: &[Tried],
) -> Result<Choice, NoChoice> {
    let (began, before) = (clock::now(), choosing.waited());
    let chosen = decide(line, x, choosing, wish, tried).await;
    let now = clock::now();
    x.record = choosing.went(now);
    // Now with a wait that a client's leaving cut short.
    x.waited = choosing.waited();
    // A wait begins as soon as it is decided.
    let waited = choosing.waited().saturating_sub(before);
    if !waited.is_zero() {
        marks::waited(x, began, began + waited);
    }
    marks::chosen(x, chosen.as_ref().ok(), began, now);
    chosen
}

async fn decide(
    line: &mut Downlink<'_>,
    x: &Exchange,
    choosing: &mut Choosing,
    wish: &Wish<'_>,
    tried: &[Tried],
) -> Result<Choice, NoChoice> {
    let snapshot = Arc::clone(&x.snapshot);
    let Some(ring) = snapshot.rings.of(wish.model) else {
        return Err(NoChoice::Denied(deny(Reason::NoEndpoint, 1)));
    };
    let bound = wish.session.filter(|_| wish.encrypted_content).and_then(|session| maker(&snapshot, session));
    let ask = Ask {
        session: wish.session,
        seed: wish.seed,
        ring,
        lane: wish.lane,
        pin: wish.pin,
        tried,
        waited: choosing.waited(),
        has_history: wish.has_history,
        prompt: wish.prompt,
        price: wish.price,
        flow: wish.flow,
        signed_thinking: wish.signed_thinking,
        bound: bound.as_ref(),
        allowed: access::narrowed(x),
        may_wait: true,
    };
    let policy = &*snapshot.policy;
    let mut races = 0;
    let mut decision = choosing.begin(policy, &ask, clock::now());
    // Waits are bounded by the policy, which is told how long they were.
    loop {
        decision = match decision {
            Decision::Go { endpoint, affinity } | Decision::Move { endpoint, affinity } => {
                match endpoint.acquire(wish.lane, &choosing.draw(wish.flow), clock::now()) {
                    Ok(slot) => return Ok(Choice { endpoint, slot, affinity }),
                    Err(_) if races >= RACES => {
                        return Err(NoChoice::Denied(deny(Reason::NoEndpoint, 1)));
                    }
                    // Somebody else took the trial, the pace or the tokens meanwhile: ask again.
                    Err(_) => {
                        races += 1;
                        tokio::task::yield_now().await;
                        choosing.on_time(policy, &ask, clock::now())
                    }
                }
            }
            Decision::Wait { until, .. } => {
                let wait = pingora_timeout::sleep(clock::now().until(until));
                line.attend(wait).await.map_err(NoChoice::Lost)?;
                choosing.on_time(policy, &ask, clock::now())
            }
            Decision::Park { leader, until } => {
                let wait = pingora_timeout::timeout(clock::now().until(until), leader.over());
                let over = line.attend(wait).await.map_err(NoChoice::Lost)?.is_ok();
                if over {
                    choosing.on_first_byte(policy, &ask, clock::now())
                } else {
                    choosing.on_time(policy, &ask, clock::now())
                }
            }
            Decision::Deny { reason, retry_after } => {
                return Err(NoChoice::Denied(match are_spent(x, wish, tried) {
                    Some(for_good) if reason == Reason::NoEndpoint => {
                        // What is reserved there may come back.
                        spent(Some(if for_good { retry_after } else { RESERVED }))
                    }
                    Some(_) | None if reason == Reason::NoEndpoint && lack_tokens(x, wish) => {
                        let after = Duration::from_secs(u64::from(retry_after));
                        Denial::retry(reason, after, NO_TOKEN)
                    }
                    Some(_) | None => deny(reason, retry_after),
                }));
            }
        };
    }
}

/// The organisation that a session was with last: who made what it carries. After a restart without
/// state nobody knows, and the provider's answer tells.
fn maker(snapshot: &Snapshot, session: SessionKey) -> Option<DomainName> {
    let home = snapshot.policy.sessions().known(session)?.home;
    Some(snapshot.pool.endpoint(home.endpoint.as_str())?.rate_domain().name().clone())
}

/// What is said where nothing but a token is missing.
const NO_TOKEN: &str = "the gateway has no valid token for the accounts that serve this model; it is asking \
    for one, and its log says why there is none";

/// Whether every account that could serve it lacks the token that would let it in.
fn lack_tokens(x: &Exchange, wish: &Wish<'_>) -> bool {
    let now = clock::now();
    let is_meant = |endpoint: &&Arc<Endpoint>| {
        access::allows(x, endpoint) && wish.pin.is_none_or(|pin| pin == endpoint.name())
    };
    let mut meant = wish.model.endpoints.iter().filter(is_meant).peekable();
    meant.peek().is_some() && meant.all(|one| one.availability(wish.lane, now) == Availability::NoToken)
}

/// Whether what may be spent is spent at every account that could serve it; or does not suffice for this
/// request (`Some(false)`).
fn are_spent(x: &Exchange, wish: &Wish<'_>, tried: &[Tried]) -> Option<bool> {
    let now = clock::now();
    let is_meant = |endpoint: &&Arc<Endpoint>| {
        access::allows(x, endpoint) && wish.pin.is_none_or(|pin| pin == endpoint.name())
    };
    let mut for_good = None;
    for one in wish.model.endpoints.iter().filter(is_meant) {
        let is_spent = matches!(one.availability(wish.lane, now), Availability::Spent { .. });
        if !is_spent && !tried.iter().any(|tried| tried.unaffordable && tried.endpoint == *one.name()) {
            return None;
        }
        for_good = Some(for_good.unwrap_or(true) && is_spent);
    }
    for_good
}

/// What may be spent is spent. It is worth coming back only where the period is about to end.
pub(crate) fn spent(retry_after: Option<u32>) -> Denial {
    let message =
        "what may be spent at the accounts that serve this model is spent; ask the gateway's operator";
    match retry_after.map(u64::from).filter(|seconds| *seconds < denial::LONGEST_RETRY_AFTER) {
        Some(seconds) => Denial::retry(Reason::AccountsSpent, Duration::from_secs(seconds), message),
        None => Denial { is_final: true, ..Denial::new(Reason::AccountsSpent, message) },
    }
}

fn deny(reason: Reason, retry_after: u32) -> Denial {
    let after = Duration::from_secs(u64::from(retry_after));
    if reason == Reason::OwnerGone {
        return Denial::new(
            reason,
            "the account that owns what this request refers to is not configured any more",
        );
    }
    let message = if reason == Reason::RateLimited {
        "every account that serves this model is rate limited; try again later"
    } else if reason == Reason::WaitersFull {
        "too many requests wait for this account already; try again later"
    } else {
        "no account that serves this model is available at the moment; try again later"
    };
    Denial::retry(reason, after, message)
}
