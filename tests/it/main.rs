//! The whole gateway: the real binary on port 0, over real sockets, against the simulated provider.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "a test stops where it fails, and its helpers are for it alone"
)]

mod harness;
mod wire;

mod bad_input;
mod bytes;
mod cut;
mod drain;
mod lockstep;
mod smoke;
