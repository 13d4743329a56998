//! The simulated provider over real sockets: what a gateway's tests rely on.

#![expect(clippy::expect_used, reason = "a test helper may stop the test")]

mod answers;
mod bedrock;
mod faults;
mod gemini;
mod harness;
mod rules;
mod tls;
