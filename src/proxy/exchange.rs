//! The per-request context: one value for all of Pingora's phases.
//!
//! It knows nothing of how a request is served; it holds what is known of it so far, and makes sure
//! that it leaves exactly one receipt, also when its task is dropped or panics.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    journal::Journal, keepalive::Resting, native::Pass, reading::Reading, reserve::Claim, settle,
    translation::Words,
};
use crate::{
    clock::{self, Moment, UnixTime},
    dialect::TtlAsked,
    live::{Flight, Live},
    quota::{Permit, Refusal},
    routing::{Record, Turn},
    session::{Case, Identity},
    snapshot::Snapshot,
    telemetry::Ticket,
    types::{
        AffinityReason, AffinityResult, AttemptRecord, CallerName, CareDone, Dialect, EndpointName,
        ModelName, Operation, Outcome, Reason, Receipt, RequestId, TenantId, VirtualKey,
    },
    upstream::Endpoint,
};

/// One request, from its head to its receipt.
pub struct Exchange {
    /// Everything that outlives a reload.
    pub(crate) live: Arc<Live>,
    /// The settings that this request began with.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Our id of it.
    pub(crate) id: RequestId,
    /// When its head had arrived.
    pub(crate) since: Moment,
    /// The same, for people.
    pub(crate) at: UnixTime,
    /// Who asks.
    pub(crate) caller: CallerName,
    /// The key that was sent; `None` for anonymous callers of an open gateway.
    pub(crate) key: Option<Arc<VirtualKey>>,
    /// The header that carried the token that we issued: it never goes up, also in observe mode.
    pub(crate) own_credential: Option<HeaderName>,
    /// On whose behalf.
    pub(crate) tenant: TenantId,
    /// In which dialect.
    pub(crate) dialect: Option<Dialect>,
    /// For what.
    pub(crate) operation: Option<Operation>,
    /// The configured name of the model.
    pub(crate) model: Option<ModelName>,
    /// The model as the provider is asked for it.
    pub(crate) upstream_model: Option<ModelName>,
    /// The client asked for a stream.
    pub(crate) streamed: bool,
    /// Which conversation.
    pub(crate) identity: Option<Identity>,
    /// How its prompt compares with the session's last one, until the answer tells what that cost.
    pub(crate) case: Option<Box<Case>>,
    /// The cache life that the client's markers ask for.
    pub(crate) ttl: TtlAsked,
    /// Where it is served now.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// Whether it stayed in place.
    pub(crate) affinity: Option<(AffinityResult, AffinityReason)>,
    /// What the last choice rests on.
    pub(crate) record: Record,
    /// The provider refused signed thinking in the history, which was made there.
    pub(crate) thinking_made_at: Option<EndpointName>,
    /// The session's turn at the endpoint.
    pub(crate) turn: Option<Turn>,
    /// What it may come to.
    pub(crate) claim: Option<Claim>,
    /// What it holds of limits and budgets.
    pub(crate) permit: Option<Permit>,
    /// Keeps its open record in the ledger up to date.
    pub(crate) journal: Option<Journal>,
    /// The limit or budget that refused it, or ended it.
    pub(crate) refused: Option<Box<Refusal>>,
    /// What the answer says.
    pub(crate) reading: Option<Reading>,
    /// Its turn in the agents' trace, where one is written.
    pub(crate) traced: Option<Ticket>,
    /// What was put into the body for the cache's sake, at the last try.
    pub(crate) care: CareDone,
    /// The dialect that it was translated into at the last try, and what was left out.
    pub(crate) words: Option<Arc<Words>>,
    /// What it takes to keep the session warm when this turn is over.
    pub(crate) resting: Option<Box<Resting>>,
    /// Every try so far.
    pub(crate) attempts: Vec<AttemptRecord>,
    /// Reading the body took this long.
    pub(crate) upload: Duration,
    /// Waiting for an account took this long.
    pub(crate) waited: Duration,
    /// When the provider was first called.
    pub(crate) called: Option<Moment>,
    /// When the provider's answer began.
    pub(crate) answered: Option<Moment>,
    /// Bytes of the body.
    pub(crate) request_bytes: u64,
    /// Bytes sent down.
    pub(crate) response_bytes: u64,
    /// The status that the client saw.
    pub(crate) status: u16,
    /// How it ended; `None` while it runs.
    pub(crate) end: Option<(Outcome, Option<Reason>)>,
    /// Nothing of this is worth a receipt: health checks, model lists.
    pub(crate) silent: bool,
    /// A native pass-through's place at its endpoint.
    pub(crate) pass: Option<Pass>,
    /// Path and query of a native pass-through, normalised.
    pub(crate) pass_path: Option<String>,
    /// Its usage is to be settled: not for answers that are only looked at again.
    pub(crate) metered: bool,
    flight: Flight,
    settled: bool,
}

/// What listens in on an answer.
pub(crate) struct Listeners<'a> {
    /// What it says.
    pub reading: &'a mut Reading,
    /// The live gauges.
    pub flight: &'a mut Flight,
    /// What it holds of limits and budgets.
    pub permit: Option<&'a mut Permit>,
    /// Its open record.
    pub journal: Option<&'a mut Journal>,
}

impl Exchange {
    pub(crate) fn new(live: &Arc<Live>) -> Self {
        Self {
            snapshot: live.snapshot.load_full(),
            live: Arc::clone(live),
            id: RequestId::mint(),
            since: clock::now(),
            at: clock::unix_now(),
            caller: "anonymous".into(),
            key: None,
            own_credential: None,
            tenant: "default".into(),
            dialect: None,
            operation: None,
            model: None,
            upstream_model: None,
            streamed: false,
            identity: None,
            case: None,
            ttl: TtlAsked::None,
            endpoint: None,
            affinity: None,
            record: Record::default(),
            thinking_made_at: None,
            traced: None,
            turn: None,
            claim: None,
            permit: None,
            journal: None,
            refused: None,
            reading: None,
            care: CareDone::default(),
            words: None,
            resting: None,
            attempts: Vec::new(),
            upload: Duration::ZERO,
            waited: Duration::ZERO,
            called: None,
            answered: None,
            request_bytes: 0,
            response_bytes: 0,
            status: 0,
            end: None,
            silent: false,
            pass: None,
            pass_path: None,
            metered: false,
            flight: live.flights.depart(),
            settled: false,
        }
    }

    /// What listens in on the answer.
    pub(crate) fn listeners(&mut self) -> Option<Listeners<'_>> {
        Some(Listeners {
            reading: self.reading.as_mut()?,
            flight: &mut self.flight,
            permit: self.permit.as_mut(),
            journal: self.journal.as_mut(),
        })
    }

    /// What the dashboard shows of it. Its live tokens go before the final ones count.
    pub(super) fn land(&mut self, receipt: &Receipt) {
        self.flight.set_output(0);
        self.live.pulse.book(receipt);
        self.live.tail.note(receipt);
    }

    /// The request is over. Books it once, however often it is called.
    pub(crate) fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            settle::settle(self);
        }
    }
}

impl Drop for Exchange {
    /// The backstop: `logging` is not called for a task that is dropped or panics.
    fn drop(&mut self) {
        self.settle();
    }
}
