//! What must outlive a process or be shared between several: small traits, and the engines behind
//! them. `counters` holds limits and budgets (in memory, or in Redis when several gateways act as
//! one); `ledger` is the journal of requests and `documents` the store of keys and levels, both in one
//! SQLite file whose door is `sqlite`. Gateways that act as one share a server each: `redis` for what
//! counts now, `postgres` for what is kept.
//!
//! Nothing here decides anything: who is counted where, and what a refusal means, is `quota`'s.

pub mod counters;
pub mod documents;
pub mod ledger;
pub mod postgres;
pub mod redis;
pub mod sqlite;
