//! The third verb: which endpoint, and whether to wait for it.
//!
//! The decision itself is a pure value of `routing`; this file carries it out: it sleeps when told to
//! wait (with an eye on the client) and takes the slot when told to go.

use std::{sync::Arc, time::Duration};

use super::{
    denial::Denial,
    downlink::{Downlink, Lost},
    exchange::Exchange,
};
use crate::{
    clock,
    routing::{Ask, Decision, Tried},
    types::{AffinityReason, AffinityResult, EndpointName, Reason, SessionKey},
    upstream::{Draw, Endpoint, Lane, Model, Slot},
};

/// Lost races for a slot before we stop believing that it will work out.
const RACES: u32 = 16;

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
}

/// Finds an open endpoint, waiting for a warm one where that is worth it.
pub(crate) async fn choose(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    wish: &Wish<'_>,
    tried: &[Tried],
) -> Result<Choice, NoChoice> {
    let snapshot = Arc::clone(&x.snapshot);
    let Some(ring) = snapshot.rings.of(wish.model) else {
        return Err(NoChoice::Denied(deny(Reason::NoEndpoint, 1)));
    };
    let mut races = 0;
    // Waits are bounded by the policy, which is told how long they were.
    while races < RACES {
        let ask = Ask {
            session: wish.session,
            seed: wish.seed,
            ring,
            lane: wish.lane,
            pin: wish.pin,
            tried,
            waited: x.waited,
            has_history: wish.has_history,
        };
        match snapshot.policy.decide(&ask, clock::now()) {
            Decision::Go { endpoint, affinity } => {
                match endpoint.acquire(wish.lane, &Draw::untold(), clock::now()) {
                    Ok(slot) => return Ok(Choice { endpoint, slot, affinity }),
                    // Somebody else took the trial or the pace meanwhile: ask again.
                    Err(_) => {
                        races += 1;
                        tokio::task::yield_now().await;
                    }
                }
            }
            Decision::Wait { until, waiter, .. } => {
                let started = clock::now();
                let waited = line.attend(pingora_timeout::sleep(started.until(until))).await;
                drop(waiter);
                // At least a moment, so that a wait which is over at once still counts.
                x.waited += clock::now().since(started).max(Duration::from_millis(1));
                waited.map_err(NoChoice::Lost)?;
            }
            Decision::Deny { reason, retry_after } => {
                return Err(NoChoice::Denied(deny(reason, retry_after)));
            }
        }
    }
    Err(NoChoice::Denied(deny(Reason::NoEndpoint, 1)))
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
