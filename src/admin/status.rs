//! `/status`: the whole gateway at one look, as JSON.

use serde::Serialize;

use crate::{
    clock::{self, Moment},
    live::{DecisionView, Live},
    routing::{Predictions, SessionView},
    session::{BreakView, SessionBreaks},
    upstream::{DomainView, EndpointView},
};

/// What `/status` shows.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    draining: bool,
    /// Seconds since the settings in force were read.
    settings_age_s: f64,
    requests_in_flight: i64,
    live_output_tokens: i64,
    buffered_bytes: u64,
    waiting: usize,
    /// Sessions remembered; the hottest of them are listed.
    sessions_known: usize,
    /// Prefixes that are warm somewhere.
    warm_prefixes: usize,
    /// How often prompts were expected to be warm, and were not.
    predictions: Predictions,
    /// What staying warm saves, by sample.
    savings: SavingsView,
    links_known: usize,
    objects_known: usize,
    /// Bytes of hashes of prompts.
    forensics_bytes: usize,
    endpoints: Vec<EndpointView>,
    domains: Vec<DomainView>,
    sessions: Vec<SessionView>,
    /// The breaks of prompt caches that cost most, within a day of each other.
    cache_breaks: Vec<BreakView>,
}

/// Prompts since the start, in dollars, extrapolated from a sample of the sessions.
#[derive(Serialize)]
struct SavingsView {
    spent_usd: f64,
    round_robin_usd: f64,
    saved_usd: f64,
}

/// Lines of `cache_breaks`.
const WORST: usize = 20;

/// What `/status/sessions/ID` shows: everything that is known of one session.
#[derive(Serialize)]
pub(super) struct SessionStatus {
    /// Where it is; `null` once it was forgotten.
    session: Option<SessionView>,
    /// Its last decisions, the latest first.
    decisions: Vec<DecisionView>,
    /// Its prompts, and when its cache broke last.
    forensics: Option<SessionBreaks>,
}

/// The session with this short hash, if anything is known of it.
pub(super) fn session(live: &Live, id: u64, now: Moment) -> Option<SessionStatus> {
    let snapshot = live.snapshot.load();
    let session = snapshot.policy.sessions().by_short_hash(id, now);
    let forensics = live.forensics.of_session(id, now);
    let decisions = live.decisions.of_session(id);
    let known = session.is_some() || forensics.is_some() || !decisions.is_empty();
    known.then_some(SessionStatus { session, decisions, forensics })
}

/// The state of the gateway, with its `sessions` hottest sessions.
pub(super) fn view(live: &Live, sessions: usize, now: Moment) -> Status {
    let snapshot = live.snapshot.load();
    let table = snapshot.policy.sessions();
    let memory = snapshot.policy.memory();
    let savings = memory.savings.so_far();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        draining: live.flights.is_draining(),
        settings_age_s: clock::unix_now().0.saturating_sub(snapshot.loaded.0).as_secs_f64(),
        requests_in_flight: live.flights.running(),
        live_output_tokens: live.flights.live_output(),
        buffered_bytes: live.buffers.held(),
        waiting: snapshot.policy.waiters().count(),
        sessions_known: table.len(),
        warm_prefixes: memory.warm.len(),
        predictions: memory.predictions(),
        savings: SavingsView {
            spent_usd: savings.spent,
            round_robin_usd: savings.round_robin,
            saved_usd: savings.saved(),
        },
        links_known: live.links.len(),
        objects_known: live.owners.len(),
        forensics_bytes: live.forensics.bytes(),
        endpoints: snapshot.pool.endpoint_views(now),
        domains: snapshot.pool.domain_views(now),
        sessions: table.by_heat(now, sessions),
        cache_breaks: live.forensics.worst(WORST),
    }
}
