//! warmkey: the edge gateway for fleets of LLM agents.
//!
//! It recognises the conversation a request belongs to, sends it to the account where its prompt is
//! warm, forwards its bytes as they came, and meters every token while it streams.
//!
//! Start reading at `proxy/mod.rs`: six verbs (identify, admit, choose, forward, relay, settle), each
//! in a file of its own. `ARCHITECTURE.md` is the map; modules below are listed from the top down.

pub mod cli;
pub mod server;

pub mod gauge;
pub mod replay;

pub mod admin;
pub mod proxy;
pub mod sim;

pub mod config;

pub mod live;
pub mod snapshot;

pub mod metering;
pub mod quota;
pub mod routing;
pub mod session;

pub mod store;
pub mod telemetry;
pub mod upstream;

pub mod dialect;
pub mod types;

pub mod clock;
