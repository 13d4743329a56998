//! `[ledger]`, `[state]` and `[alerts]`: what is kept, what is shared, and who is told.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Host,
    read::{At, Section},
    server::{millis, secs},
};
use crate::{
    snapshot::{AlertParams, LedgerSettings, StateParams},
    store::ledger::{LedgerParams, WhenFull},
    types::Secret,
};

/// Where nothing else is said.
const FILE: &str = "ledger.db";

/// The same, where it stands among files of others.
const FILE_BESIDE: &str = "warmkey-ledger.db";

/// Reads `[ledger]`. `state_file`: what is kept is kept together.
pub(super) fn read(ledger: &Section<'_>, state_file: Option<&Path>) -> Option<LedgerSettings> {
    let enabled = ledger.flag("enabled", true);
    let file = ledger.path("file").map(|file| file.value);
    let host = ledger.reader().host;
    let params = LedgerParams {
        file: file.unwrap_or_else(|| usual_file(host, state_file, &ledger.reader().beside(FILE_BESIDE))),
        when_full: ledger.choice(
            "when_full",
            WhenFull::Open,
            &[("open", WhenFull::Open), ("closed", WhenFull::Closed)],
        ),
        buffer: ledger.whole("buffer", 100_000, 1_000..=10_000_000),
        keep: ledger.get("keep").map(|_| ledger.duration("keep", days(90), days(1)..=days(36_500))),
        commit_every: ledger.duration("commit_every", millis(50), millis(10)..=secs(1)),
    };
    ledger.shows("file", params.file.display());
    let postgres = ledger.secret_url("postgres", &["postgres", "postgresql"]);
    if !enabled && postgres.is_some() {
        let what = "the ledger is switched off, and Postgres holds ledger and keys";
        ledger.fault("postgres", what, "remove `enabled = false`, or this line");
    }
    enabled.then_some(LedgerSettings { params, postgres })
}

const fn days(n: u64) -> Duration {
    secs(n * 24 * 3600)
}

/// Under systemd its folder for state; else beside the state file; else beside the configuration.
fn usual_file(host: &dyn Host, state_file: Option<&Path>, beside: &Path) -> PathBuf {
    // systemd lists several folders with `:`; the first one is the unit's own.
    let folder = host.var("STATE_DIRECTORY");
    let folder = folder.as_deref().and_then(|all| all.split(':').next()).filter(|first| !first.is_empty());
    match (folder, state_file.and_then(Path::parent)) {
        (Some(folder), _) => Path::new(folder).join(FILE),
        (None, Some(folder)) => folder.join(FILE),
        (None, None) => beside.to_owned(),
    }
}

/// Reads `[state]`.
pub(super) fn state(state: &Section<'_>) -> StateParams {
    let redis = state.secret_url("redis", &["redis", "rediss"]);
    let replicas = state.whole("replicas", 1, 1..=1_000);
    if redis.is_some() && replicas == 1 {
        let what = "1: while Redis is out of reach, every gateway would allow the whole of each limit";
        let at = state.at("replicas", state.here().span, ());
        state.note_at(&at, what, "write how many gateways share it");
    }
    StateParams { redis, replicas }
}

/// Reads `[alerts]`.
pub(super) fn alerts(alerts: &Section<'_>) -> AlertParams {
    AlertParams { webhook: alerts.secret_url("webhook", &["https", "http"]) }
}

impl Section<'_> {
    /// A URL that may hold a password, so it is kept as a secret; one without may stand in the file.
    fn secret_url(&self, key: &'static str, schemes: &[&str]) -> Option<Secret> {
        let written = self.get(key).and_then(|value| value.get_ref().as_str()).unwrap_or_default();
        let is_public = !written.contains('@') && schemes.iter().all(|scheme| !scheme.starts_with("http"));
        let url = self.secret_or(key, if is_public { std::slice::from_ref(&written) } else { &[] })?;
        self.check_url(&url, schemes).then_some(url.value)
    }

    /// Whether it is a URL of one of these schemes with a host. Never quotes it.
    fn check_url(&self, url: &At<Secret>, schemes: &[&str]) -> bool {
        let text = url.value.expose();
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().and_then(|all| all.rsplit('@').next());
        let is_one = schemes.contains(&scheme) && host.is_some_and(|host| !host.is_empty());
        let is_web = schemes.contains(&"https");
        if !is_one || (is_web && text.parse::<http::Uri>().is_err()) {
            let forms: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://...`")).collect();
            let remedy = format!("write {}", forms.join(" or "));
            self.fault_at(url, "not a URL of the kind that is needed", &remedy);
            return false;
        }
        true
    }
}
