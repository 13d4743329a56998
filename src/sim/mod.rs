//! A provider that never bills, and agents to drive it.
//!
//! It owns an HTTP server that answers like Anthropic, OpenAI, Google and AWS, by their published rules: prompt
//! caches, limits, usage, streams, errors; and it fails on command in every way they are known to
//! fail. It keeps a record of what it saw, which is what a gateway's claims are held against.
//!
//! It does not own any of the gateway's judgement: it names none of `session`, `routing`, `metering`,
//! `upstream`, `dialect`. It parses, hashes, counts and bills on its own, so that a bug cannot sit on
//! both sides of a test.
//!
//! Invariants: every input token of a prompt is billed exactly once; a request that fails before its
//! first byte writes no cache; the bill of an event is on the record before the event can be read.
//!
//! The trap: prompts below a model's minimum (1,024 tokens, which is 4,096 bytes here) are never
//! cached, as with the real thing. A test with a short prompt sees no hits.
//!
//! What it decides without its server is one pure value, [`Provider`]: caches and limits of all
//! accounts, told the time. A replay runs the same code in virtual time.
//!
//! The way of a request: `door` (listener, TLS) > `handler` (who, what is scripted) > `generate` (read,
//! look up in `cache`, admit by `limits`, `answer`) > `deliver` (dialect) > `pour` (event by event).

pub mod agents;
mod answer;
mod anthropic;
mod bedrock;
mod cache;
mod control;
mod core;
mod deliver;
mod door;
mod fault;
mod form;
mod frame;
mod gemini;
mod generate;
mod handler;
mod json;
mod legacy;
mod levels;
mod limits;
mod line;
mod lockstep;
mod log;
mod models;
mod objects;
mod openai;
mod params;
mod pour;
mod prompt;
mod provider;
mod refusal;
mod script;
mod seen;
mod small;
mod time;
mod wants;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

pub use bedrock::aws_secret;
pub use cache::{Chain, Keeping, Look, Position, Ttl};
pub use door::Door;
pub use fault::{Fault, RetryHint, Rule};
pub use levels::Told;
pub use limits::Refused;
pub use lockstep::Lockstep;
pub use log::{AccountStats, Stats};
pub use models::{Model, find as model, tokens};
pub use params::{Account, Alpn, SimConfig, TlsFiles};
pub use provider::Provider;
pub use seen::SeenRequest;

/// A running provider. Dropping it stops it: the listener closes and live connections are cut.
#[derive(Debug)]
pub struct Sim {
    core: Arc<core::Core>,
    porter: door::Porter,
}

impl Sim {
    /// Binds and serves; needs a running tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, or the certificate or its key cannot be used.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let core = Arc::new(core::Core::new(config));
        let porter = door::Porter::start(Arc::clone(&core)).await?;
        Ok(Self { core, porter })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.porter.addr
    }

    /// `http://address` or `https://address`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.core.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr())
    }

    /// What it was told at its start.
    #[must_use]
    pub fn config(&self) -> &SimConfig {
        &self.core.config
    }

    /// Stops it; returns when the listener is closed.
    pub async fn stop(self) {
        // The keeper of the door can only be gone already.
        let _ = self.porter.order(Door::Refuse).await;
    }

    /// Adds a rule. The first rule that matches a request and has its turn strikes.
    pub fn script(&self, rule: impl Into<Rule>) {
        self.core.script.lock().add(rule.into());
    }

    /// Takes all rules away. A fault that has struck already takes its course.
    pub fn clear_faults(&self) {
        self.core.script.lock().clear();
    }

    /// Changes what the listener does with those who come; returns when it is so.
    ///
    /// # Errors
    /// When the port was taken by somebody else while the door was closed.
    pub async fn door(&self, door: Door) -> io::Result<()> {
        self.porter.order(door).await
    }

    /// Jumps ahead by so much virtual time: caches expire and limits refill without waiting.
    pub fn advance(&self, span: Duration) {
        self.core.time.advance(span);
    }

    /// Holds every stream's events back until they are released.
    pub fn lockstep(&self) -> Lockstep {
        Lockstep::new(Arc::clone(&self.core.gate))
    }

    /// All requests since the start or the last reset, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.core.log.seen()
    }

    /// Waits until `enough` is true of what was seen; returns that. It looks again at every change and
    /// has no time limit of its own.
    pub async fn wait_for(&self, enough: impl FnMut(&[SeenRequest]) -> bool) -> Vec<SeenRequest> {
        self.core.log.wait_for(enough).await
    }

    /// The books, by account.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.log.stats()
    }

    /// Forgets caches, levels, rules, objects, records and books.
    pub fn reset(&self) {
        self.core.reset();
    }
}

/// Serves until `until` is done; `ready` is told once the listener is bound.
///
/// # Errors
/// See [`Sim::start`].
pub async fn serve(
    config: SimConfig,
    ready: impl FnOnce(&Sim),
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let sim = Sim::start(config).await?;
    ready(&sim);
    until.await;
    sim.stop().await;
    Ok(())
}
