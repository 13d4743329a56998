//! What is asked of the limits and budgets.

use std::sync::Arc;

use crate::{
    clock::{Moment, UnixTime},
    types::{ModelName, NanoUsd, Rates, RequestId, SessionKey, TenantId, VirtualKey},
};

/// A cent: what a stream may go over a budget by.
pub const SLICE: NanoUsd = NanoUsd(10_000_000);

/// How the quota is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaParams {
    /// Gateways that share the limits: each takes its part of them while shared counters are out of
    /// reach. 0 counts as 1.
    pub replicas: u32,
    /// A stream's output is reserved in slices of so much: what it may go over a budget by.
    pub slice: NanoUsd,
}

impl Default for QuotaParams {
    fn default() -> Self {
        Self { replicas: 1, slice: SLICE }
    }
}

/// One request that wants to go.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Our id of it.
    pub request: RequestId,
    /// The key; `None` for anonymous callers of an open gateway.
    pub key: Option<&'a Arc<VirtualKey>>,
    /// On whose behalf: the organisation.
    pub tenant: &'a TenantId,
    /// The configured name of the model.
    pub model: &'a ModelName,
    /// Which conversation. Without one, limits and budgets of sessions do not apply: there is nothing
    /// to count them by.
    pub session: Option<SessionKey>,
    /// Its input, estimated; cached or not.
    pub input_tokens: u64,
    /// The most output that the client lets it have.
    pub max_output: Option<u64>,
    /// The most output that it is likely to have (the p99 that was learned); 0 where there is none.
    pub likely_output: u64,
    /// Prices; `None` where none is known.
    pub rates: Option<Rates>,
    /// Whether the answer is a stream: [`Permit::flowed`](super::Permit::flowed) will be called.
    pub streamed: bool,
    /// Now, for windows.
    pub now: Moment,
    /// Now, for the periods of budgets.
    pub at: UnixTime,
}
