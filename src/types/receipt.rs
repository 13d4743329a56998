//! The final record of a request: what the log line, the metrics and the ledger are made from.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    AffinityReason, AffinityResult, AttemptOutcome, Blame, CacheBreak, CallerName, Dialect, EndpointName,
    IdSource, ModelName, NanoUsd, Operation, Outcome, ProviderDialect, ProviderName, Reason, RequestId,
    SessionKey, TenantId, Usage, VirtualKey,
};
use crate::clock::UnixTime;

/// One try at one endpoint.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Where.
    pub endpoint: EndpointName,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The provider's status, where it sent one.
    pub status: Option<u16>,
    /// The request had been sent in full when it failed: the provider may bill it all the same.
    pub ambiguous: bool,
    /// How long it took.
    pub spent: Duration,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the request's head to the end of the answer.
    pub total: Duration,
    /// To the first byte of the provider's answer.
    pub first_byte: Option<Duration>,
    /// To the first token of content.
    pub first_token: Option<Duration>,
    /// Reading the request's body.
    pub upload: Duration,
    /// Waiting for an account on purpose.
    pub waited: Duration,
    /// Our own work before the provider was called.
    pub overhead: Duration,
}

/// What was put into a request's body for its cache's sake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CareDone {
    /// Breakpoints put in.
    pub markers: u8,
    /// Breakpoints of the client's that were made to ask for the long life.
    pub lengthened: u8,
    /// `prompt_cache_key` was put in.
    pub cache_key: bool,
    /// It is no caller's request at all: it keeps a resting session's prompt in the cache.
    pub keep_alive: bool,
}

impl CareDone {
    /// Whether anything was done.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for CareDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        let mut word = |f: &mut fmt::Formatter<'_>, word: fmt::Arguments<'_>| {
            f.write_str(std::mem::replace(&mut between, ", "))?;
            f.write_fmt(word)
        };
        if self.keep_alive {
            word(f, format_args!("keep_alive"))?;
        }
        if self.markers > 0 {
            word(f, format_args!("markers={}", self.markers))?;
        }
        if self.lengthened > 0 {
            word(f, format_args!("ttl_1h={}", self.lengthened))?;
        }
        if self.cache_key {
            word(f, format_args!("cache_key"))?;
        }
        Ok(())
    }
}

/// What went past what was allowed or reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// A soft budget was over when it was admitted, or while it ran.
    pub over_soft_budget: bool,
    /// It came to more than was reserved for it.
    pub overshoot: bool,
}

/// Everything worth keeping of one request. Holds no prompt text and no secret.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Our id of the request.
    pub id: RequestId,
    /// When its head arrived.
    pub at: UnixTime,
    /// Who asked.
    pub caller: CallerName,
    /// The key that was sent; `None` for anonymous callers of an open gateway.
    pub key: Option<Arc<VirtualKey>>,
    /// On whose behalf.
    pub tenant: TenantId,
    /// In which dialect; `None` for a path that has none.
    pub dialect: Option<Dialect>,
    /// For what; `None` when it was passed through or never understood.
    pub operation: Option<Operation>,
    /// The configured name or pattern of the model: safe as a metric label.
    pub model: Option<ModelName>,
    /// The model as the provider was asked for it: what prices are looked up by.
    pub upstream_model: Option<ModelName>,
    /// The model that the provider says it served; `None` where it did not say.
    pub served_model: Option<ModelName>,
    /// What was spoken with the provider that was asked last.
    pub provider_dialect: Option<ProviderDialect>,
    /// The service tier that the provider says it used.
    pub tier: Option<Arc<str>>,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// Which conversation.
    pub session: Option<SessionKey>,
    /// Whose sub-agent it is.
    pub parent: Option<SessionKey>,
    /// How the conversation was recognised.
    pub id_source: IdSource,
    /// Where it was served; `None` when nowhere.
    pub endpoint: Option<EndpointName>,
    /// By whom.
    pub provider: Option<ProviderName>,
    /// In which region, where configured.
    pub region: Option<String>,
    /// Whether it stayed in place, and why.
    pub affinity: Option<(AffinityResult, AffinityReason)>,
    /// What was done for its cache's sake.
    pub care: CareDone,
    /// The prompt no longer begins as the session's last one did, and what was cached is lost.
    pub cache_break: Option<CacheBreak>,
    /// The provider refused signed thinking in the history, because it was made there.
    pub thinking_made_at: Option<EndpointName>,
    /// Every try.
    pub attempts: Vec<AttemptRecord>,
    /// The status that the client saw.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well.
    pub reason: Option<Reason>,
    /// Whose fault that was.
    pub blame: Option<Blame>,
    /// Tokens; estimated where `estimated` says so.
    pub usage: Usage,
    /// The provider never reported the usage: `usage` is our own estimate.
    pub estimated: bool,
    /// Tokens that were expected to be read from the provider's cache; `None` where no cache could hold
    /// the prompt, or nobody began to answer.
    pub expected_read: Option<u64>,
    /// Whether they were; `None` where none were expected, or the provider did not say.
    pub predicted: Option<bool>,
    /// Money; `None` when no price is known for the model.
    pub charge: Option<NanoUsd>,
    /// Money as the caller is billed for it: the charge with the key's markup.
    pub billed: Option<NanoUsd>,
    /// What went past what was allowed or reserved.
    pub flags: Flags,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// Where the time went.
    pub timings: Timings,
}
