//! What outlives a reload: everything the gateway has learned or holds, beside the immutable
//! [`Snapshot`] of its settings.
//!
//! One value, built once by `server`, read by `proxy` and `admin`. It owns no policy: each part of it
//! is a noun of its own.

mod asked;
mod buffers;
mod decisions;
mod fleet;
mod flights;
mod keeper;
mod keys;
mod pulse;
mod reloads;
mod tail;
mod troubles;
mod turn;

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use asked::{Asked, Work};
pub use buffers::{Buffers, Held};
pub use decisions::{CandidateView, Decided, DecisionView, Decisions};
pub use fleet::{Fleet, FleetPostgres, FleetRedis, PostgresState, RedisState};
pub use flights::{Flight, Flights};
pub use keeper::{Keeper, Kept, Over, Ping, Share, Terms};
pub use keys::{
    BudgetForm, CacheTtl, Entry, Facts, Filter, Found, KeyFault, KeyRing, KeySettings, KeyView, KeysState,
    LevelEntry, LevelName, LevelSettings, Made, Minted, Problem, mint, read_settings, well_formed,
};
pub use pulse::{KEPT, Pulse, Step};
pub use reloads::{LastReload, Reloads};
pub use tail::{ROWS, Tail, TailFilter, TailPage, TailRow};
pub use troubles::{TroubleView, Troubles};
pub use turn::KeptTurn;

use crate::{
    metering::Learned,
    quota::Quota,
    session::{Forensics, Links, Owners},
    snapshot::Snapshot,
    store::ledger::Ledger,
    telemetry::{Tracer, otlp::Spans},
    types::{ModelName, ProviderName},
};

/// Everything that is not configured.
pub struct Live {
    /// The settings in force. A request loads them once.
    pub snapshot: ArcSwap<Snapshot>,
    /// Who may call, and the levels above keys.
    pub keys: KeyRing,
    /// Limits and budgets, and what is left of them.
    pub quota: Arc<Quota>,
    /// The journal of requests; `None` where none is kept.
    pub ledger: Option<Ledger>,
    /// What is shared with other gateways.
    pub fleet: Fleet,
    /// Links from earlier answers to sessions.
    pub links: Links,
    /// Whose objects are where.
    pub owners: Owners,
    /// What sessions' prompts were, to say why their caches break.
    pub forensics: Forensics,
    /// Why sessions' requests went where they went.
    pub decisions: Decisions,
    /// What went wrong at endpoints lately.
    pub troubles: Troubles,
    /// How the last reload went.
    pub reloads: Reloads,
    /// Answers for people that took long to find.
    pub asked: Asked,
    /// What happens per second.
    pub pulse: Pulse,
    /// The last requests.
    pub tail: Tail,
    /// Tokens per byte and the like.
    pub learned: Learned,
    /// Request bodies held.
    pub buffers: Arc<Buffers>,
    /// Requests under way.
    pub flights: Arc<Flights>,
    /// Providers that refuse the usage option for a model. Bounded by the configuration.
    pub usage_refused: Mutex<HashSet<(ProviderName, ModelName)>>,
    /// Sessions that rest, and may be kept warm.
    pub keeper: Keeper<KeptTurn>,
    /// Writes the agents' traces, where that is wanted.
    pub tracer: Option<Tracer>,
    /// Takes requests' spans, where they are wanted.
    pub spans: Option<Spans>,
    /// Somebody wants a key checked.
    pub check_wanted: Notify,
    /// Keys were read anew: their budgets may be new.
    pub keys_changed: Notify,
}
