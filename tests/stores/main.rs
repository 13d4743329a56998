//! What several gateways share, against real servers: Redis and Postgres from their Debian packages,
//! started by the tests on free ports of the loopback, in directories of their own.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test stops where it fails, and its helpers are for it alone"
)]

#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "made for the tests of one gateway")]
mod harness;
mod servers;

mod counters;
mod counters_chaos;
mod documents;
mod gateways;
mod gossip;
mod leases;
mod postgres_ledger;
mod redis_door;
