//! Everything configured, immutable, behind one swap.
//!
//! Owns the plain, checked values that `proxy`, `admin`, `sim` and `server` read. Not here: how they
//! are written in a file (`config`), and what providers and endpoints are (`upstream`).
//!
//! Invariant: a value of these types has been checked; nobody below checks a range again.

mod settings;
mod state;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    clock::UnixTime,
    metering::PriceList,
    routing::{CostParams, PinnedParams, Policy, Rings, RouterParams, Weights},
    session::SessionParams,
    telemetry::LogParams,
    types::{Levels, Secret, VirtualKey},
    upstream::{self, ModelTable, Pool},
};

pub use settings::{Setting, Settings};
pub use state::{AlertParams, LedgerSettings, Open, StateParams};

/// Everything configured. A request loads it once, so a reload in its midst changes nothing for it.
pub struct Snapshot {
    /// When it was made.
    pub loaded: UnixTime,
    /// The gateway's own settings.
    pub server: ServerParams,
    /// Limits and budgets as configured; those in force are [`crate::live::KeyRing::levels`].
    pub levels: Arc<Levels>,
    /// Whom budgets that run out are told to.
    pub alerts: AlertParams,
    /// Which headers carry session ids.
    pub identity: SessionParams,
    /// What we may send to.
    pub pool: Arc<Pool>,
    /// What callers may ask for.
    pub models: ModelTable,
    /// Where sessions are placed.
    pub rings: Rings,
    /// Which endpoint a request goes to. Its sessions outlive the snapshot.
    pub policy: Arc<dyn Policy>,
    /// What tokens cost.
    pub prices: PriceList,
    /// All of it as people read it.
    pub settings: Settings,
}

/// The gateway's own settings: listeners, bounds, behaviour towards clients.
#[derive(Clone, Debug)]
pub struct ServerParams {
    /// Where agents connect. Never empty.
    pub listen: Vec<SocketAddr>,
    /// Where people and Prometheus connect.
    pub admin: SocketAddr,
    /// What the admin listener asks for: off loopback, and for the dashboard and the API everywhere.
    pub admin_token: Option<Secret>,
    /// What lets somebody look and not act: in the dashboard and at `/status`. Never without the other.
    pub read_token: Option<Secret>,
    /// TLS on the data listener.
    pub tls: Option<TlsParams>,
    /// Worker threads; 0 is one a core.
    pub threads: usize,
    /// Who may call without a key.
    pub open: Open,
    /// Whether answers carry the `x-warmkey-*` headers.
    pub explain: bool,
    /// After SIGTERM, how long streams may go on before they are ended in-band.
    pub drain: Duration,
    /// What one client may cost us.
    pub bounds: Bounds,
    /// Heart-beats while a stream waits for its provider.
    pub heartbeat: Heartbeat,
    /// How long lifecycle events are held back until content shows.
    pub hold: Hold,
    /// Tries at providers for one request, the first included.
    pub max_attempts: u32,
    /// Headers that carry a session id, lower case, strongest first.
    pub session_headers: Vec<String>,
    /// Where warm sessions are kept over a restart.
    pub state_file: Option<PathBuf>,
    /// How often it is written, beside at the end.
    pub state_every: Duration,
    /// What is logged and how.
    pub log: LogParams,
    /// Reload when the file changes, not only on SIGHUP.
    pub watch: bool,
}

/// PEM files for the TLS listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsParams {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Upper bounds on what a client may make us hold or wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of one request body, after decompression.
    pub max_body: u64,
    /// Bytes of all request bodies held at once.
    pub max_buffered: u64,
    /// From the request's head to the last byte of its body.
    pub upload_timeout: Duration,
    /// One write to a client that does not read.
    pub write_timeout: Duration,
    /// Header fields of one request.
    pub max_headers: usize,
    /// Bytes of all header names and values of one request.
    pub max_header_bytes: usize,
    /// Nesting of arrays and objects in a body.
    pub max_depth: usize,
}

/// Heart-beats: they keep idle proxies from cutting, and cost us the provider's status line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// Off unless asked for.
    pub enabled: bool,
    /// Silence before the first one.
    pub after: Duration,
    /// Between two.
    pub every: Duration,
}

/// How long a `200` is held until its first content, so that an error in it can still be replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Anthropic Messages and Chat Completions.
    pub default: Duration,
    /// Responses, whose lifecycle events come long before content.
    pub responses: Duration,
}

/// Placement, waiting, and the sizes of what is remembered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RoutingParams {
    /// How long a request waits for an account by choice.
    pub wait_max: Duration,
    /// What the terms of the cost weigh.
    pub weights: Weights,
    /// Requests that may wait at one rate domain.
    pub max_waiting: usize,
    /// A rate domain may hold this many times its fair share of sessions before new ones go on.
    pub headroom: f64,
    /// Sessions remembered.
    pub sessions: usize,
    /// Warm prefixes remembered.
    pub prefixes: usize,
    /// Tool-call ids remembered, to link a turn to the one before.
    pub tool_links: usize,
    /// Provider objects (responses, files, batches) whose owner is remembered.
    pub objects: usize,
    /// Bytes of prompts' hashes remembered, to say why a session's cache broke; 0: no such thing.
    pub forensics: u64,
    /// How long a session that says nothing is remembered.
    pub session_idle: Duration,
}

impl Default for RoutingParams {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_secs(10),
            weights: Weights::default(),
            max_waiting: 1_000,
            headroom: 1.10,
            sessions: 100_000,
            prefixes: 1_000_000,
            tool_links: 200_000,
            objects: 100_000,
            forensics: 32 << 20,
            session_idle: Duration::from_secs(24 * 3600),
        }
    }
}

impl RoutingParams {
    /// What the router is told.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a checked ratio of a few units"
    )]
    pub fn router(&self) -> RouterParams {
        let load_percent = (self.headroom * 100.0).round() as u32;
        RouterParams {
            cost: CostParams { wait_max: self.wait_max, weights: self.weights },
            pinned: PinnedParams { wait_max: self.wait_max, load_percent },
            max_waiters: self.max_waiting,
            max_sessions: self.sessions,
            max_prefixes: self.prefixes,
        }
    }
}

/// Whether this key may use the model, as its holder writes it.
#[must_use]
pub fn may_use(key: &VirtualKey, model: &str) -> bool {
    key.access.models.as_ref().is_none_or(|globs| globs.iter().any(|glob| upstream::glob(glob, model)))
}

/// The simulated provider, as configured.
#[derive(Clone, Debug)]
pub struct SimParams {
    /// Where it listens; `base_url = "sim"` points here.
    pub listen: SocketAddr,
    /// The keys it knows.
    pub accounts: Vec<SimAccount>,
    /// From the request's last byte to the first event, without what the prompt adds.
    pub time_to_first_token: Duration,
    /// How fast it writes.
    pub tokens_per_second: f64,
    /// How many times faster than life: delays, cache lives and limit windows are divided by it.
    pub compress: f64,
}

/// One account of the simulated provider.
#[derive(Clone, Debug)]
pub struct SimAccount {
    /// The key that opens it. Not a secret: nothing real answers to it.
    pub key: String,
    /// Who pays: limits are counted here.
    pub organization: String,
    /// What is cached together.
    pub workspace: String,
    /// Requests a minute of its organisation. The first account of an organisation decides.
    pub rpm: u64,
    /// Uncached input tokens a minute of its organisation.
    pub itpm: u64,
    /// Output tokens a minute of its organisation.
    pub otpm: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KeyDigest;

    fn caller(name: &str, token: &str, models: Option<&[&str]>) -> VirtualKey {
        let mut key = VirtualKey::named(name, KeyDigest::of(token.as_bytes()));
        key.access.models = models.map(|globs| globs.iter().map(|&glob| glob.to_owned()).collect());
        key
    }

    #[test]
    fn an_allow_list_covers_what_its_globs_cover() {
        let ann = caller("ann", "wk-1", Some(&["claude-*", "gpt-5.6"]));
        assert!(may_use(&ann, "claude-sonnet-4-6") && may_use(&ann, "gpt-5.6"));
        assert!(!may_use(&ann, "gpt-5.6-sol") && !may_use(&ann, "xclaude-"));
        assert!(may_use(&caller("bob", "wk-2", None), "anything"));
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (glob, text, covered) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "acb", true),
            ("a*a", "a", false),
            ("*-4-*", "claude-sonnet-4-6", true),
            ("*-4-*-x", "claude-sonnet-4-6", false),
            ("a*b*b", "ab", false),
            ("gpt", "gpt-5", false),
        ] {
            assert_eq!(upstream::glob(glob, text), covered, "`{glob}` over `{text}`");
        }
    }
}
