//! What a simulated provider is told at its start.

use std::{net::SocketAddr, time::Duration};

/// Everything a [`Sim`](super::Sim) is made of. `SimConfig::default()` is one account with the limits
/// of Anthropic's first tier, no latency, as fast as possible, on a port of the system's choice.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where to listen; port 0 lets the system choose (see [`Sim::addr`](super::Sim::addr)).
    pub listen: SocketAddr,
    /// Speak TLS with this certificate; plain HTTP/1.1 and h2c when `None`.
    pub tls: Option<TlsFiles>,
    /// Which protocols are spoken; over TLS it is what ALPN offers.
    pub alpn: Alpn,
    /// The accounts that may authenticate. Accounts of one organisation share its limits (those of
    /// the first account listed win); accounts of one workspace share its prompt cache.
    pub accounts: Vec<Account>,
    /// Time to the first byte of an answer to an empty prompt.
    pub ttft: Duration,
    /// Added to it for every input token that was not read from the cache.
    pub prefill_per_token: Duration,
    /// Output tokens a second in one stream; 0 is as fast as possible.
    pub tokens_per_second: f64,
    /// Virtual time runs this many times faster than real time: cache lifetimes, limits, `retry-after`
    /// and latencies all shrink by it. `retry-after-ms` is said beside `retry-after` then, which knows
    /// whole seconds only. Values that are not above zero count as 1.
    pub compress: f64,
    /// Same seed and same conversation: same answer. Ids are unique all the same.
    pub seed: u64,
    /// Equal conversations are answered differently all the same, as a model would; [`Self::seed`]
    /// then fixes lengths only where the request does.
    pub varied: bool,
    /// Larger request bodies are refused with 413.
    pub max_body: usize,
    /// How many tool rounds an agent gets in each turn of a request that carries tools, when neither
    /// a directive nor a header says otherwise.
    pub tool_rounds: u32,
    /// Requests kept for [`Sim::seen`](super::Sim::seen); older ones are forgotten.
    pub keep_seen: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            alpn: Alpn::Both,
            accounts: vec![Account::new("sim-key-1", "org-1", "ws-1")],
            ttft: Duration::ZERO,
            prefill_per_token: Duration::ZERO,
            tokens_per_second: 0.0,
            compress: 1.0,
            seed: 1,
            varied: false,
            max_body: 32 * 1024 * 1024,
            tool_rounds: 0,
            keep_seen: 20_000,
        }
    }
}

/// One upstream key and what stands behind it.
#[derive(Clone, Debug)]
pub struct Account {
    /// What a request presents as `x-api-key` or `Authorization: Bearer`; the access key id of a request
    /// that is signed for AWS (its secret: [`aws_secret`](super::aws_secret)).
    pub key: String,
    /// The rate domain: `anthropic-organization-id`, `openai-organization`.
    pub organization: String,
    /// The cache domain within it: `anthropic-workspace-id`, `openai-project`.
    pub workspace: String,
    /// Requests a minute, per model class of the organisation; 0 is unlimited.
    pub rpm: u64,
    /// Input tokens a minute; for OpenAI models the one figure for all tokens (TPM). 0 is unlimited.
    pub itpm: u64,
    /// Output tokens a minute; Anthropic only. 0 is unlimited.
    pub otpm: u64,
}

impl Account {
    /// An account with the limits of Anthropic's Start tier (providers: Anthropic rate limits).
    #[must_use]
    pub fn new(key: &str, organization: &str, workspace: &str) -> Self {
        Self {
            key: key.to_owned(),
            organization: organization.to_owned(),
            workspace: workspace.to_owned(),
            rpm: 1_000,
            itpm: 2_000_000,
            otpm: 400_000,
        }
    }

    /// The same account with these limits; 0 is unlimited.
    #[must_use]
    pub fn limits(mut self, rpm: u64, itpm: u64, otpm: u64) -> Self {
        (self.rpm, self.itpm, self.otpm) = (rpm, itpm, otpm);
        self
    }
}

/// A certificate chain and its key, as PEM text.
#[derive(Clone)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsFiles(..)")
    }
}

/// The protocols on offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alpn {
    /// HTTP/1.1 only.
    H1,
    /// HTTP/2 only.
    H2,
    /// Both; HTTP/2 first.
    Both,
}
