//! The whole gateway: the real binary on port 0, over real sockets, against the simulated provider.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test stops where it fails, and its helpers are for it alone"
)]

mod harness;

mod bad_input;
mod bills;
mod budgets;
mod bytes;
mod callers;
mod care;
mod cooling;
mod crowd;
mod cut;
mod dashboard;
mod drain;
mod explain;
mod faults;
mod fleet;
mod forensics;
mod keys;
mod ledger;
mod limits;
mod lockstep;
mod metering;
mod models;
mod objects;
mod observe;
mod odd_clients;
mod operate;
mod removal;
mod search;
mod smoke;
mod thinking;
mod tight;
mod trace;
mod translate;
mod transport;
mod views;
mod wire;
