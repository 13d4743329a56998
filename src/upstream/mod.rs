//! What we may send to: providers, endpoints, keys, and the domains that tie them together.
//!
//! This module owns every fact about an account that outlives a request: is it cooling, failing,
//! suspect, drained; whose limits and caches does it share; how many requests are out. It opens no
//! socket and reads no clock: the proxy reports what happened, with the time it happened at.
//!
//! The invariants, each held by its own small machine:
//! - a deadline named by a 429 is never shortened by a later, earlier one (`rate`);
//! - nothing that asks for leave starts unless its account's buckets have room for it after those who
//!   wait before it (`gauge`);
//! - a failure domain on trial has exactly one trial, judged or released only by its owner (`failure`);
//! - only the gateway's own check quarantines a key (`key`);
//! - whatever a [`Slot`] took is given back when it drops, on every path (`slot`).
//!
//! The trap: blame. A caller's bad request, odd header or oversize prompt must not cool anything
//! that others use; `classify` decides whose fault an answer is, and is pure.

mod auth;
mod availability;
mod average;
mod bucket;
mod budget;
mod classify;
mod domain;
mod endpoint;
mod facts;
mod failure;
mod failure_kind;
mod gauge;
mod headroom;
#[cfg(test)]
mod headroom_tests;
mod key;
mod lane;
mod line;
mod model;
mod need;
mod params;
mod pool;
mod queue;
mod rate;
mod rate_domain;
mod reservation;
mod retry_after;
mod shares;
mod slot;
mod tally;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use auth::{
    AuthScheme, AwsKeys, AwsSource, ContainerToken, Credential, EntraClient, GRANT_TYPE, Grant, Granted,
    Renewal, ServiceAccount, Signable, Token, Unsigned, sign,
};
pub use availability::Availability;
pub use budget::RetryBudget;
pub use classify::{Asked, RateLimit, Verdict, classify, classify_event};
pub use domain::{DomainWarning, Learned};
pub use endpoint::{Endpoint, Provider};
pub use facts::{ClassFacts, DomainFacts, LimitFacts};
pub use failure_kind::{Effect, Failure};
pub use headroom::{Left, Lie, Lies, LimitKind};
pub use key::{CheckKind, KeyCheck, KeyState, KeyTrouble};
pub use lane::Lane;
pub use model::{Model, ModelTable, glob, is_dated};
pub use need::{Draw, Flow, Need, Outlook, Standing};
pub use params::{
    CacheCare, CacheLife, CacheRule, Cooling, Credentials, EndpointParams, HttpVersion, KeepAlive,
    LimitParams, LimitsGiven, ModelParams, Overload, PassRule, ProviderParams, RoutingMode, Timeouts,
};
pub use pool::{Pool, PoolFault};
pub use rate_domain::RateDomain;
pub use reservation::Reservation;
pub use shares::ClassShare;
pub use slot::Slot;
pub use tally::Homed;
pub use view::{ClassView, DomainView, EndpointState, EndpointView, LevelView};
