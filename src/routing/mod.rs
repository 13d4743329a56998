//! Which endpoint a request goes to.
//!
//! Owns placement (weighted rendezvous hashing: `rendezvous`, `ring`), what is warm where (`warm` for
//! prefixes, `sessions` for conversations, both in `memory`), and the decision itself as pure values:
//! `router` picks between `cost` (over `candidates`, weighed by `score`) and `pinned`; `choosing` is one
//! request's way through waiting; `retry` what follows a failure. It knows nothing of HTTP, opens no
//! socket, sleeps never: the proxy and replay carry out what is decided here.
//!
//! The invariant: placement depends on names, weights and seeds alone, by a fixed hash, so that
//! replicas and restarts agree. The trap: an eager fallback re-ingests a whole context elsewhere, drains
//! that account too, and so on until all are cold; hence waiting, no bouncing, and a retry budget.

#[cfg(test)]
mod access_tests;
mod candidates;
mod choosing;
mod cost;
mod entry;
mod listing;
mod memory;
mod pinned;
mod policy;
mod record;
mod rendezvous;
mod retry;
mod ring;
mod router;
mod saved;
mod savings;
mod score;
mod sessions;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_by_cost;
#[cfg(test)]
mod simulation_rules;
#[cfg(test)]
mod simulation_truth;
#[cfg(test)]
mod testkit;
mod warm;

pub use choosing::Choosing;
pub use cost::CostParams;
pub use entry::Place;
pub use listing::{Family, Listed, Listing, SortBy};
pub use memory::{Expected, Memory, Predictions};
pub use pinned::PinnedParams;
pub use policy::{Ask, Decision, Policy, Start, Tried, Verdict, Waiters};
pub use record::{Record, Weighed};
pub use rendezvous::{
    DomainShare, Node, Nodes, Rendezvous, RendezvousIter, SelectKey, backend_of, endpoint_of, score_hash,
};
pub use retry::{Failed, Next, after_failure};
pub use ring::{Ring, Rings};
pub use router::{Router, RouterParams};
pub use saved::{SavedSession, SavedTable, SessionView};
pub use savings::{Saved, Savings};
pub use score::{Price, Terms, USUAL_RATES, Weights};
pub use sessions::{InputFacts, Known, SessionTable, Turn, TurnFacts};
pub use warm::{Found, Leader, Mark, Probe, Prompt, PromptFacts, SavedPrefix, SavedWarm, WarmIndex, Warmth};
