//! One Redis or Valkey server that several gateways share: the connection to it, and what gateways
//! tell each other through it. Counters over the same connection are `counters::redis`.
//!
//! *Invariant:* nobody waits for the server longer than [`PATIENCE`], and nobody waits at all while it
//! is known to be away. *Invariant:* its address is a secret, because it may hold a password: no error
//! and no log line repeats it.

mod link;
mod params;
mod shared;

pub(in crate::store) use link::Script;
pub use link::{Link, PATIENCE};
pub use params::{BadAddress, RedisParams};
pub use shared::{EXCHANGE, News, Note, Shared};
