//! A provider that never bills, and agents to drive it.

pub mod agents;
mod fault;
mod params;
mod seen;

pub use fault::{Fault, RetryHint, Rule};
pub use params::{Account, Alpn, SimConfig, TlsFiles};
pub use seen::SeenRequest;
