//! `/status`: the whole gateway at one look, as JSON.

use serde::Serialize;

use crate::{
    clock::{self, Moment},
    live::{DecisionView, Live},
    routing::{Predictions, SessionView},
    session::{BreakView, SessionBreaks},
    store::ledger::{Ledger, LedgerState},
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
    /// What does not work as it should, though requests are served.
    degraded: Vec<String>,
    /// The journal of requests; `null` where none is kept.
    ledger: Option<LedgerView>,
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

/// The ledger.
#[derive(Serialize)]
struct LedgerView {
    /// Entries that wait for the disk.
    queued: usize,
    buffer: usize,
    open_requests: usize,
    written: u64,
    dropped: u64,
    /// Receipts that were not copied elsewhere yet.
    unshipped: u64,
    /// Seconds since which nothing could be written.
    failing_for_s: Option<f64>,
    /// What the disk or SQLite said.
    fault: Option<String>,
}

impl LedgerView {
    fn of(state: LedgerState, now: Moment) -> Self {
        Self {
            queued: state.queued,
            buffer: state.buffer,
            open_requests: state.open,
            written: state.written,
            dropped: state.dropped,
            unshipped: state.unshipped(),
            failing_for_s: state.failing_since.map(|(since, _)| now.since(since).as_secs_f64()),
            fault: state.fault,
        }
    }
}

/// What does not work as it should, for `/readyz`. Requests are served all the same.
pub(super) fn troubles(live: &Live, now: Moment) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Some(state) = live.ledger.as_ref().map(Ledger::state) {
        if let Some((since, _)) = state.failing_since {
            let seconds = now.since(since).as_secs();
            let (queued, buffer) = (state.queued, state.buffer);
            troubles.push(format!(
                "the ledger cannot be written for {seconds} s; {queued} of {buffer} entries wait"
            ));
        }
        if state.dropped > 0 {
            troubles.push(format!("the ledger has dropped {} entries", state.dropped));
        }
    }
    troubles.extend(live.fleet.troubles(live.ledger.as_ref(), now));
    troubles
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
        degraded: troubles(live, now),
        ledger: live.ledger.as_ref().map(|ledger| LedgerView::of(ledger.state(), now)),
        endpoints: snapshot.pool.endpoint_views(now),
        domains: snapshot.pool.domain_views(now),
        sessions: table.by_heat(now, sessions),
        cache_breaks: live.forensics.worst(WORST),
    }
}
