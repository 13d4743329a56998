//! Any client at any provider: what is sent up and what comes back, held against files that were read
//! by people, and conversations made by chance that must survive the way.

#![expect(clippy::expect_used, clippy::panic, reason = "a test helper may stop the test")]

mod ends;
mod frames;
mod golden;
mod pretty;
mod render;
mod round_trip;
mod talk;
mod understand;
