//! The data path: six verbs in a row, and the only place that knows Pingora's `Session`.
//!
//! ```text
//! identify -> admit -> choose -> forward -> relay -> settle
//! ```
//!
//! [`Gateway`] is Pingora's `ProxyHttp`. For calls to models the whole exchange is driven from
//! `request_filter` (see `drive`), because the native engine cannot replay a body over 64 KiB, keep
//! a connection after a 429, or hold a stream back. Everything else takes the native path through
//! the other phases below.
//!
//! **Invariant:** nothing is replayed after a byte of the provider's answer was sent; every exchange
//! leaves one receipt; whatever is taken (slot, trial, turn, buffer, flight) is a guard.

mod route;

mod gateway;
mod identify;
mod upload;
mod admit;
mod choose;
mod forward;
mod relay;
mod settle;

mod drive;
mod single;
mod passthrough;
mod native;

mod exchange;
mod reading;
mod downlink;
mod denial;
mod last_word;
mod reply;
mod cooling;
mod headers;
mod models;

mod check;
mod connect;
mod dns;

pub use check::{Checked, check_key, probe_health};
pub use connect::Upstreams;
pub use gateway::Gateway;
