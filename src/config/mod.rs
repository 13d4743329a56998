//! Settings: TOML as written, lowered to the checked `Params` of each part.
//!
//! Owns the names, defaults and ranges of every knob, and the sentences that say what is wrong with
//! a file. Not here: what a setting does.
//!
//! Reading goes on after a fault, so that all faults of a file are reported at once; that is also
//! why there is no serde here, which stops at the first. A [`Config`] exists only if there was none.
//! The trap: a section's reader must ask for every key it knows on every path, because a key that
//! nobody asked for is reported as unknown.

mod fault;
mod host;
mod read;
mod scalar;
mod value;

mod allowance;
mod auth;
mod caller;
mod ledger;
mod level;
mod otlp;
mod place;
mod preset;
mod prices;
mod provider;
mod quirks;
mod secret;
mod server;
mod shown;
mod sim;
mod target;
mod url;

mod lower;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    metering::{PriceEntry, PriceList, PriceTier},
    snapshot::{AlertParams, LedgerSettings, RoutingParams, ServerParams, Settings, SimParams, StateParams},
    telemetry::{TraceParams, otlp::OtlpParams},
    types::{Levels, Rates, VirtualKey},
    upstream::{EndpointParams, ModelParams, ProviderParams},
};

pub use fault::{Fault, Faults};
pub use host::{Host, ThisHost};
pub(crate) use url::{BaseUrl, parse as parse_base_url};
pub(crate) use value::{duration as parse_duration, duration_text};

/// A file that was read without a fault.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway itself.
    pub server: ServerParams,
    /// Placement and waiting.
    pub routing: RoutingParams,
    /// Who may call, beside whoever holds a stored key.
    pub callers: Vec<VirtualKey>,
    /// Limits and budgets above and beside callers.
    pub levels: Levels,
    /// Where receipts and keys are kept; `None`: nowhere. Only what it is at start counts.
    pub ledger: Option<LedgerSettings>,
    /// What several gateways share. Only what it is at start counts.
    pub state: StateParams,
    /// Whom budgets that run out are told to.
    pub alerts: AlertParams,
    /// Providers, in the order of the file.
    pub providers: Vec<ProviderParams>,
    /// Endpoints, in the order of the file.
    pub endpoints: Vec<EndpointParams>,
    /// Models, in the order of the file.
    pub models: Vec<ModelParams>,
    /// Prices: the built-in list, rows of the same model replaced by the operator's own file.
    pub prices: Vec<PriceRow>,
    /// The agents' trace, where the file asks for one. Only what it is at start counts.
    pub trace: Option<TraceParams>,
    /// Where traces go, where the file asks for them. Only what it is at start counts.
    pub otlp: Option<OtlpParams>,
    /// The simulated provider, where the file asks for one.
    pub sim: Option<SimParams>,
    /// What is allowed but worth a second look; printed by `check` and at start.
    pub notes: Vec<Fault>,
    /// Every file that this depends on (itself, secrets, prices), for the watcher.
    pub files: Vec<PathBuf>,
    /// Every knob as people read it, defaults included; no secrets.
    pub settings: Settings,
}

/// What one model costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PriceRow {
    /// The model's name, without a date.
    pub model: String,
    /// Up to the first tier, in nano-dollars per million tokens.
    pub rates: Rates,
    /// Above so many input tokens, these rates hold for the whole request. Ascending.
    pub tiers: Vec<(u64, Rates)>,
}

/// What `warmkey serve` does without a file.
const DEMO: &str = include_str!("../../conf/demo.toml");

/// Reads and checks the file at `path`. Relative paths in it are relative to its folder.
///
/// # Errors
/// Every fault of the file, in its order.
pub fn load(path: &Path, host: &dyn Host) -> Result<Config, Faults> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error, "name a TOML file"))?;
    let mut config = parse(&text, path, host)?;
    config.files.insert(0, path.to_owned());
    config.settings.file = Some(path.display().to_string());
    Ok(config)
}

/// How many models the price list at `path` knows; `None` when the file is no price list.
///
/// # Errors
/// Every fault of the list, in its order.
pub fn load_prices(path: &Path, host: &dyn Host) -> Result<Option<usize>, Faults> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(None) };
    if !prices::is_list(&text) {
        return Ok(None);
    }
    prices::list(&text, path, host).map(|rows| Some(rows.len())).map_err(Faults)
}

/// The built-in price list, rows of the same model replaced by those of the list at `own`.
///
/// # Errors
/// Every fault of the operator's list, in its order; or it cannot be read.
pub fn prices(own: Option<&Path>, host: &dyn Host) -> Result<Vec<PriceRow>, Faults> {
    let mut rows = prices::built_in(host).map_err(Faults)?;
    if let Some(own) = own {
        let own = read_prices(own, host)?;
        rows.retain(|row| own.iter().all(|mine| mine.model != row.model));
        rows.extend(own);
    }
    Ok(rows)
}

/// Rows as `metering` looks them up.
#[must_use]
pub fn price_list(rows: &[PriceRow]) -> PriceList {
    let tier = |&(above_input_tokens, rates): &(u64, Rates)| PriceTier { above_input_tokens, rates };
    let entry = |row: &PriceRow| PriceEntry {
        model: row.model.clone(),
        rates: row.rates,
        tiers: row.tiers.iter().map(tier).collect(),
    };
    PriceList::new(rows.iter().map(entry).collect())
}

/// The rows of the price list at `path`.
///
/// # Errors
/// Every fault of the list, in its order; or it cannot be read.
pub fn read_prices(path: &Path, host: &dyn Host) -> Result<Vec<PriceRow>, Faults> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error, "name a price list"))?;
    prices::list(&text, path, host).map_err(Faults)
}

fn unreadable(path: &Path, error: &std::io::Error, remedy: &str) -> Faults {
    Faults(vec![Fault {
        file: path.to_owned(),
        line: None,
        path: String::new(),
        what: format!("cannot read it: {error}"),
        remedy: format!("{remedy} that this user may read"),
    }])
}

/// Reads and checks `text`; `file` is only how faults call it and where relative paths start.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn parse(text: &str, file: &Path, host: &dyn Host) -> Result<Config, Faults> {
    lower::config(text, file, host).map(|(config, _)| config)
}

/// The embedded `conf/demo.toml`: what `warmkey serve` does without a file.
///
/// # Errors
/// None unless the build is broken; a test holds that.
pub fn demo(host: &dyn Host) -> Result<Config, Faults> {
    let mut config = parse(DEMO, Path::new("conf/demo.toml"), host)?;
    // A folder of its own, which `serve` takes away at the end.
    let folder = format!("warmkey-demo-{}", std::process::id());
    if let Some(ledger) = &mut config.ledger {
        ledger.params.file = std::env::temp_dir().join(folder).join("ledger.db");
        config.settings.set("ledger.file", ledger.params.file.display().to_string());
    }
    Ok(config)
}

/// Every key that reading `text` asks for, such as `provider.timeouts.idle`: of a list, its keys are
/// known once it has an entry. A test holds `conf/warmkey.toml` against it.
///
/// # Errors
/// Every fault of the text, in its order.
pub fn knobs(text: &str, file: &Path, host: &dyn Host) -> Result<BTreeSet<String>, Faults> {
    lower::config(text, file, host).map(|(_, knobs)| knobs)
}
