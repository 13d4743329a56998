//! What must outlive a process or be shared between several: small traits, and the engines behind
//! them. `counters` holds limits and budgets (in memory, or in Redis when several gateways act as
//! one).
//!
//! Nothing here decides anything: who is counted where, and what a refusal means, is `quota`'s.

pub mod counters;
pub mod redis;
