//! Which conversation a request belongs to.
//!
//! Owns the ladder from explicit ids down to fingerprints ([`identify`]), the prefix chain
//! ([`chain`]), what earlier answers taught us ([`Links`]), and who made which object through us
//! ([`Owners`]), and why a session's cache broke ([`Forensics`]). Knows neither a clock nor a socket, and no credential: the tenant is the only scope.
//!
//! Invariant: everything looked up is scoped by tenant, so no caller can steer or read another
//! tenant's sessions by sending its ids. Trap: two requests with the same bytes are *not* the same
//! conversation (fifty agents start with one script), and one id is not one prompt (side requests
//! travel under the main session's id).

mod carriers;
mod fingerprint;
mod forensics;
mod hazard;
mod identity;
mod key;
mod links;
mod owners;
mod reply;
mod table;

#[cfg(test)]
mod tests;

pub use fingerprint::chain;
pub use forensics::{BranchView, BreakView, Case, Forensics, LastBreak, SessionBreaks, Verdict};
pub use hazard::{Hazard, Rest, Sort, is_worth_keeping};
pub use identity::{Asked, Identity, SessionParams, identify, number};
pub use links::{LinkEntry, Links, LinksDump, LinksParams};
pub use owners::{Owner, OwnerEntry, Owners, OwnersDump};
pub use reply::ReplyHasher;
