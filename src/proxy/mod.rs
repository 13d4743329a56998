//! The data path: seven verbs in a row, and the only place that knows Pingora's `Session`.
//!
//! ```text
//! identify -> admit -> reserve -> choose -> forward -> relay -> settle
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

mod admit;
mod authorise;
mod choose;
mod forward;
mod gateway;
mod identify;
mod relay;
mod reserve;
mod settle;
mod upload;
mod warmth;

mod drive;
mod feedback;
mod finish;
mod native;
mod passthrough;
mod single;

mod access;
mod cooling;
mod denial;
mod downlink;
mod exchange;
mod headers;
mod journal;
mod last_word;
mod limits;
mod marks;
mod models;
mod reading;
mod reply;
mod translation;

mod care;
mod check;
mod connect;
mod dns;
mod keepalive;

pub use check::{Checked, check_key, probe_health};
pub use connect::Upstreams;
pub use gateway::Gateway;
pub use keepalive::keep_alive;
