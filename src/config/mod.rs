//! Settings: TOML as written, lowered to the checked `Params` of each part.
//!
//! Owns the names, defaults and ranges of every knob, and the sentences that say what is wrong with
//! a file. Not here: what a setting does.
//!
//! Reading goes on after a fault, so that all faults of a file are reported at once; that is also
//! why there is no serde here, which stops at the first. A [`Config`] exists only if there was none.

mod fault;

use std::path::{Path, PathBuf};

use crate::{
    snapshot::{CallerParams, RoutingParams, ServerParams, SimParams},
    types::Rates,
    upstream::{EndpointParams, ModelParams, ProviderParams},
};

pub use fault::{Fault, Faults};

/// A file that was read without a fault.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway itself.
    pub server: ServerParams,
    /// Placement and waiting.
    pub routing: RoutingParams,
    /// Who may call; empty is open to loopback.
    pub callers: Vec<CallerParams>,
    /// Providers, in the order of the file.
    pub providers: Vec<ProviderParams>,
    /// Endpoints, in the order of the file.
    pub endpoints: Vec<EndpointParams>,
    /// Models, in the order of the file.
    pub models: Vec<ModelParams>,
    /// Prices: the built-in list, rows of the same model replaced by the operator's own file.
    pub prices: Vec<PriceRow>,
    /// The simulated provider, where the file asks for one.
    pub sim: Option<SimParams>,
    /// What is allowed but worth a second look; printed by `check` and at start.
    pub notes: Vec<Fault>,
    /// Every file that was read (secrets and prices too), for the watcher.
    pub files: Vec<PathBuf>,
}

/// What one model costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PriceRow {
    /// The model's name; dated ids match by longest prefix.
    pub model: String,
    /// Up to the first tier, in nano-dollars per million tokens.
    pub rates: Rates,
    /// Above so many input tokens, these rates hold for the whole request. Ascending.
    pub tiers: Vec<(u64, Rates)>,
}

/// What reading needs to know of the machine, so that tests can say something else.
pub trait Host {
    /// An environment variable.
    fn var(&self, name: &str) -> Option<String>;
    /// Bytes of memory that this process may use.
    fn memory(&self) -> u64;
}

/// The machine we run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

/// Reads and checks the file at `path`. Relative paths in it are relative to its folder.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn load(path: &Path, host: &dyn Host) -> Result<Config, Faults> {
    let _ = (path, host);
    Err(Faults(Vec::new()))
}

/// Reads and checks `text`; `file` is only how faults call it and where relative paths start.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn parse(text: &str, file: &Path, host: &dyn Host) -> Result<Config, Faults> {
    let _ = (text, file, host);
    Err(Faults(Vec::new()))
}

/// The embedded `conf/demo.toml`: what `warmkey serve` does without a file.
///
/// # Errors
/// None unless the build is broken; a test holds that.
pub fn demo(host: &dyn Host) -> Result<Config, Faults> {
    parse("", Path::new("conf/demo.toml"), host)
}
