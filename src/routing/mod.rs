//! Which endpoint a request goes to.
//!
//! Owns placement (weighted rendezvous hashing, `rendezvous` and `ring`), what is known of sessions'
//! warmth (`sessions`), and the decision itself (`policy`, `pinned`, `retry`) as pure values. It knows
//! nothing of HTTP, opens no socket, sleeps never: the proxy carries out what is decided here.
//!
//! The invariant: placement depends on names, weights and seeds alone, by a fixed hash, so that
//! replicas and restarts agree. The trap: an eager fallback re-ingests a whole context elsewhere, drains
//! that account too, and so on until all are cold; hence waiting, no bouncing, and a retry budget.

mod entry;
mod pinned;
mod policy;
mod rendezvous;
mod retry;
mod ring;
mod saved;
mod sessions;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testkit;

pub use entry::Place;
pub use pinned::{Pinned, PinnedParams};
pub use policy::{Ask, Decision, Policy, Start, Tried, Waiter};
pub use rendezvous::{
    DomainShare, Node, Nodes, Rendezvous, RendezvousIter, SelectKey, backend_of, endpoint_of, score_hash,
};
pub use retry::{Failed, Next, after_failure};
pub use ring::{Ring, Rings};
pub use saved::{SavedSession, SavedTable, SessionView};
pub use sessions::{Known, SessionTable, Turn, TurnFacts};
