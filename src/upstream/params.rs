//! What the configuration says of providers, endpoints and domains: plain values, checked already.

use std::{net::SocketAddr, time::Duration};

use globset::{GlobBuilder, GlobMatcher};

use super::auth::{AuthScheme, Grant};
use crate::{
    dialect::{OnLoss, Quirks, TtlAsked},
    types::{DomainName, EndpointName, Family, KeyDigest, NanoUsd, ProviderDialect, ProviderName, Secret},
};

/// Whose credential goes upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credentials {
    /// The endpoint's own key; the caller's never leaves the gateway.
    Gateway,
    /// The caller's, untouched: observe mode.
    Caller,
}

/// What to do on 529, 503 and refused connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overload {
    /// Shared provider: all its accounts are as busy, so try the same endpoint again for a while.
    Stay,
    /// Self-hosted engine: another replica may well be idle.
    Move,
}

/// Which HTTP versions to offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpVersion {
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 only.
    Two,
    /// Whatever the host picks by ALPN (plain connections: HTTP/1.1).
    Auto,
}

/// Limits of time. Each says what it bounds; none is infinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request's last byte to the answer's first, when streaming.
    pub first_byte: Duration,
    /// Between two chunks of an answer.
    pub idle: Duration,
    /// The whole request; also the first byte of an answer that is not streamed.
    pub total: Duration,
    /// One write of the request's body.
    pub write: Duration,
    /// How long an idle connection stays pooled; less than the host's own keep-alive.
    pub pool_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(600),
            write: Duration::from_secs(30),
            pool_idle: Duration::from_secs(55),
        }
    }
}

/// How failures cool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cooling {
    /// A 429 that does not say for how long.
    pub default_429: Duration,
    /// A 429 that asks for longer than this is honoured, and warned about.
    pub warn_above: Duration,
    /// Failures in a row that cool a failure domain.
    pub allowed_fails: u32,
    /// How long it then cools, at first; doubles with each failed trial.
    pub base: Duration,
    /// How long it cools at most.
    pub max: Duration,
    /// After a 429's time is over, at most one request starts in each such span, for ten of them.
    pub pace: Duration,
    /// How long a quarantined key waits before it is checked again.
    pub recheck: Duration,
    /// `overload = "stay"`: the wait before the same endpoint is tried again (with jitter).
    pub stay_delay: Duration,
    /// `overload = "stay"`: how long to stay at most before moving on.
    pub stay_max: Duration,
}

impl Default for Cooling {
    fn default() -> Self {
        Self {
            default_429: Duration::from_secs(30),
            warn_above: Duration::from_secs(15 * 60),
            allowed_fails: 3,
            base: Duration::from_secs(5),
            max: Duration::from_secs(120),
            pace: Duration::from_millis(200),
            recheck: Duration::from_secs(60),
            stay_delay: Duration::from_millis(1500),
            stay_max: Duration::from_secs(6),
        }
    }
}

/// How a provider's prompt cache writes and finds prefixes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheRule {
    /// Written at breakpoints only; a read looks back from each of them (Anthropic).
    Marked,
    /// Any shared prefix is found (OpenAI, Gemini, engines with a prefix cache).
    Anywhere,
    /// Nothing is cached.
    Never,
}

/// Who decides where a provider's sessions go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoutingMode {
    /// Cost: what is warm where, against the wait for it.
    Cost,
    /// Sessions stay where they are; refusals alone make them wait or move.
    Pinned,
}

/// How a provider caches prompts, and for how long, counted from the request's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLife {
    /// How prefixes are written and found.
    pub rule: CacheRule,
    /// A shorter prefix is not cached.
    pub min_tokens: u32,
    /// The usual time (Anthropic 5 m, OpenAI 30 m).
    pub short: Duration,
    /// The long time, where a request asks for it.
    pub long: Duration,
}

/// What may be put into bodies so that the provider's cache works better; nothing unless asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheCare {
    /// Breakpoints where the client sets none, or only one on the last block (Anthropic).
    pub markers: bool,
    /// `prompt_cache_key` where the client sets none (`OpenAI`).
    pub cache_key: bool,
}

/// Requests of our own that keep the prompts of resting sessions in the cache.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KeepAlive {
    /// For every caller that has not said otherwise.
    pub enabled: bool,
    /// What they may cost in 24 hours.
    pub budget: NanoUsd,
    /// In one rest of a session.
    pub max_pings: u32,
    /// Sessions with fewer tokens are let go.
    pub min_tokens: u64,
    /// Above this share of the account's limits none is sent.
    pub max_utilisation: f64,
    /// Bytes of prompts that are kept for them.
    pub max_bytes: u64,
}

impl Default for KeepAlive {
    /// routing 6.2: eight thousand tokens, 70 % of the limits. The budget is a guess on the low side.
    fn default() -> Self {
        Self {
            enabled: false,
            budget: NanoUsd(10_000_000_000),
            max_pings: 6,
            min_tokens: 8_000,
            max_utilisation: 0.7,
            max_bytes: 256 << 20,
        }
    }
}

/// How limits are reckoned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitParams {
    /// The time that a limit is given for, which is also how much a bucket holds: a minute everywhere
    /// that is known. Refill is continuous (providers: Anthropic rate limits).
    pub window: Duration,
    /// Tokens read from the cache count as input (OpenAI), or do not (Anthropic).
    pub cached_reads_count: bool,
    /// Requests that may wait for one rate domain.
    pub max_waiting: u32,
    /// Bytes of their bodies.
    pub max_waiting_bytes: u64,
}

impl LimitParams {
    /// What is usual where this dialect is spoken.
    #[must_use]
    pub const fn usual(family: Family) -> Self {
        Self {
            window: Duration::from_secs(60),
            cached_reads_count: match family {
                // providers 3: what Bedrock reads from its cache does not count.
                Family::Anthropic | Family::Bedrock => false,
                Family::OpenAi | Family::Gemini => true,
            },
            max_waiting: 1_000,
            max_waiting_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Limits that the configuration names, per window and class of models. Where a provider's headers
/// name them too, those hold.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LimitsGiven {
    /// Requests.
    pub requests: Option<u64>,
    /// All tokens.
    pub tokens: Option<u64>,
    /// Input tokens.
    pub input: Option<u64>,
    /// Output tokens.
    pub output: Option<u64>,
}

impl CacheLife {
    /// How long it keeps what asks for this. (Without a marker OpenAI caches all the same, and Anthropic
    /// not at all: then the usual time costs nothing either.)
    #[must_use]
    pub const fn of(&self, ttl: TtlAsked) -> Duration {
        match ttl {
            TtlAsked::None | TtlAsked::Short => self.short,
            TtlAsked::Long => self.long,
        }
    }
}

/// A method and a path pattern that may pass through untouched.
#[derive(Clone, Debug)]
pub struct PassRule {
    method: String,
    path: GlobMatcher,
}

impl PassRule {
    /// A rule for an upper-case method, or `*` for all; and a glob over the normalised path, in which
    /// `*` does not cross `/` and `**` does.
    ///
    /// # Errors
    /// When the path is no glob.
    pub fn new(method: &str, path: &str) -> Result<Self, globset::Error> {
        let glob = GlobBuilder::new(path).literal_separator(true).build()?;
        Ok(Self { method: method.to_owned(), path: glob.compile_matcher() })
    }

    /// Whether it speaks of a method at all.
    #[must_use]
    pub fn is_for(&self, method: &str) -> bool {
        self.method == "*" || self.method == method
    }

    /// Whether it allows a method on a normalised path.
    #[must_use]
    pub fn allows(&self, method: &str, path: &str) -> bool {
        self.is_for(method) && self.path.is_match(path)
    }
}

/// One provider.
#[derive(Clone, Debug)]
pub struct ProviderParams {
    /// Its name.
    pub name: ProviderName,
    /// What it speaks, in a word.
    pub family: Family,
    /// The dialects that it speaks. A client's own goes up as it came; others are translated into the
    /// first.
    pub speaks: Vec<ProviderDialect>,
    /// How it differs from its dialect's maker.
    pub quirks: Quirks,
    /// What may be lost when a request is translated for it.
    pub on_loss: OnLoss,
    /// `https`?
    pub tls: bool,
    /// Host name, for `host`, SNI and certificate.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands before `/v1/...`, without a trailing slash; often empty.
    pub base_path: String,
    /// Connect here instead of resolving the host.
    pub address: Option<SocketAddr>,
    /// A PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// How keys are sent.
    pub auth: AuthScheme,
    /// Where it stands, for signatures (AWS).
    pub region: Option<String>,
    /// Whose keys are sent.
    pub credentials: Credentials,
    /// What to do when it is overloaded.
    pub overload: Overload,
    /// HTTP versions.
    pub http: HttpVersion,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// How failures cool.
    pub cooling: Cooling,
    /// How prompts are cached.
    pub cache: CacheLife,
    /// What is put into bodies for its cache's sake.
    pub care: CacheCare,
    /// Whether resting sessions are kept warm.
    pub keep_alive: KeepAlive,
    /// Who decides where its sessions go.
    pub routing: RoutingMode,
    /// How limits are reckoned.
    pub limits: LimitParams,
    /// It is told of the trace that a request is part of (W3C `traceparent`), where traces are made.
    pub trace_context: bool,
    /// Ask for usage in chat streams (`stream_options.include_usage`) when the client did not.
    pub inject_usage: bool,
    /// Paths beyond the known ones.
    pub passthrough: Vec<PassRule>,
    /// Models that no `[[model]]` lists are passed on to this provider by name.
    pub pass_unlisted: bool,
    /// Self-hosted engines: a path that answers 200 when healthy.
    pub health_path: Option<String>,
    /// How often `health_path` is asked.
    pub health_every: Duration,
    /// Check every key with `GET /v1/models` at start.
    pub validate_keys: bool,
    /// Requests that may go to another endpoint after a failure, in percent of all requests.
    pub retry_budget_percent: u32,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct EndpointParams {
    /// Its name: what rendezvous hashes, what people see.
    pub name: EndpointName,
    /// Its provider.
    pub provider: ProviderName,
    /// Its key; `None` in observe mode, for engines without one, and where there is a `grant`.
    pub key: Option<Secret>,
    /// Where its credentials come from, where they are no key.
    pub grant: Option<Grant>,
    /// The rate domain, where configured; else learned, else its own.
    pub rate_domain: Option<DomainName>,
    /// The cache domain, where configured; else learned, else its own.
    pub cache_domain: Option<DomainName>,
    /// For the failure domain: endpoints of one base URL and region fail together.
    pub region: Option<String>,
    /// The weight of its rate domain, shared by the domain's endpoints. The largest one wins.
    pub weight: u32,
    /// Limits of its rate domain, where the provider's headers do not tell.
    pub limits: LimitsGiven,
}

impl EndpointParams {
    /// What tells its credential from another, where it has one.
    #[must_use]
    pub fn digest(&self) -> Option<KeyDigest> {
        self.key.as_ref().map(Secret::digest).or_else(|| self.grant.as_ref().map(Grant::digest))
    }
}

/// One model as callers name it.
#[derive(Clone, Debug)]
pub struct ModelParams {
    /// A name, or a glob with `*`.
    pub name: String,
    /// Who serves it, by endpoint name.
    pub endpoints: Vec<EndpointName>,
    /// What its providers call it: a glob over names of endpoints or of providers, and the name there.
    /// The first that fits holds; where none does, it is called as the caller wrote it.
    pub upstream_names: Vec<(String, String)>,
    /// Its class, where several models share limits (`sonnet-4`); `None` is the name itself.
    pub class: Option<String>,
    /// Whether the client's cache markers are made to ask for the long life; `None` is for others to
    /// say.
    pub long_cache: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_speaks_of_one_level_unless_it_says_two_stars() {
        let allows = |method, glob, asked, path| PassRule::new(method, glob).unwrap().allows(asked, path);
        assert!(allows("GET", "/v1/files/*", "GET", "/v1/files/file-1"));
        assert!(!allows("GET", "/v1/files/*", "GET", "/v1/files/file-1/content"));
        assert!(allows("*", "/v1/files/**", "DELETE", "/v1/files/file-1/content"));
        assert!(!allows("GET", "/v1/files/*", "POST", "/v1/files/file-1"));
    }
}
