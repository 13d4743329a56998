//! Sessions as `/status` shows them and as the state file keeps them: plain values.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::SessionKey;

/// One session as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// The session's hash, short.
    pub session: String,
    /// Whose sub-agent it is.
    pub parent: Option<String>,
    /// The configured model.
    pub model: String,
    /// Its home.
    pub endpoint: String,
    /// How long it is warm there yet, if no turn refreshes it.
    pub warm_seconds: f64,
    /// Since its last request went out.
    pub idle_seconds: f64,
    /// Requests.
    pub turns: u64,
    /// Those that went where it was warm.
    pub hits: u64,
    /// Those that had to go elsewhere.
    pub moved: u64,
    /// Requests that are out.
    pub in_flight: u32,
    /// Bytes of its newest request.
    pub context_bytes: u64,
    /// Input tokens of its newest settled request.
    pub context_tokens: u64,
    /// Output tokens of all of them.
    pub output_tokens: u64,
    /// What they cost, where prices are known.
    pub charged_nano_usd: u64,
}

/// The sessions that were warm when a process stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTable {
    /// Seconds since 1970.
    pub saved_at_unix: u64,
    /// One each.
    pub sessions: Vec<SavedSession>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedSession {
    /// The session's hash, 32 hexadecimal digits.
    pub session: String,
    /// Its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The configured model.
    pub model: String,
    /// Its home.
    pub endpoint: String,
    /// For how long it was warm yet, in milliseconds.
    pub warm_ms: u64,
    /// Since its last request went out, in milliseconds.
    pub idle_ms: u64,
    /// See [`SessionView`].
    pub turns: u64,
    /// See [`SessionView`].
    pub hits: u64,
    /// See [`SessionView`].
    pub moved: u64,
    /// See [`SessionView`].
    pub context_bytes: u64,
    /// See [`SessionView`].
    pub context_tokens: u64,
    /// See [`SessionView`].
    pub output_tokens: u64,
    /// See [`SessionView`].
    pub charged_nano_usd: u64,
}

/// No provider keeps a prompt longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl SavedSession {
    /// Whose it is, and for how long it is warm yet after `down`; `None` when cold or unreadable.
    pub(super) fn read(&self, down: Duration) -> Option<(SessionKey, Duration)> {
        let left = Duration::from_millis(self.warm_ms).min(LONGEST).checked_sub(down)?;
        (!left.is_zero()).then_some((key(&self.session)?, left))
    }

    pub(super) fn parent(&self) -> Option<SessionKey> {
        key(self.parent.as_deref()?)
    }
}

fn key(text: &str) -> Option<SessionKey> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(SessionKey))?
}
