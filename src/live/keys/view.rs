//! A key as it is shown, over the API and on the command line. Never holds its token.

use serde::Serialize;

use super::{Entry, KeySettings};
use crate::clock::UnixTime;

/// A key as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct KeyView {
    /// Names it for good.
    pub id: String,
    /// `store`, or `configuration`: changed in the file alone.
    pub source: &'static str,
    /// `active`, `expired` or `disabled`.
    pub state: &'static str,
    /// The first characters of its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Until then the token before the last rotation is accepted, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_token_until: Option<String>,
    /// What can be said of it.
    #[serde(flatten)]
    pub settings: KeySettings,
}

impl KeyView {
    /// A key as it is at `now`.
    #[must_use]
    pub fn of(entry: &Entry, now: UnixTime) -> Self {
        let key = &entry.key;
        let state = if key.disabled {
            "disabled"
        } else if key.expires.is_some_and(|expires| expires <= now) {
            "expired"
        } else {
            "active"
        };
        Self {
            id: key.id.to_string(),
            source: if entry.facts.is_some() { "store" } else { "configuration" },
            state,
            prefix: entry.facts.map(|facts| facts.prefix()),
            created: entry.facts.map(|facts| facts.created.rfc3339()),
            old_token_until: key.old.filter(|(_, until)| *until > now).map(|(_, until)| until.rfc3339()),
            settings: KeySettings::of(key),
        }
    }
}
