//! `/api/organisations` and `/api/teams`; and where limits and budgets stand.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{super::Answer, fault::Fault, json, text};
use crate::{
    clock::{self, UnixTime},
    live::{LevelEntry, LevelName, LevelSettings, Live, read_settings},
    quota::{CounterView, What},
    types::{NanoUsd, Scope},
};

/// A level as it is shown.
#[derive(Serialize)]
struct View {
    /// Of teams: whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    name: String,
    /// `store`, or `configuration`: changed in the file alone.
    source: &'static str,
    #[serde(flatten)]
    settings: LevelSettings,
}

#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    level: View,
    standing: Vec<Standing>,
}

/// Where one limit or budget stands.
#[derive(Serialize)]
pub(super) struct Standing {
    /// `key:k_...`, `team:acme/core`, `tag:env=ci`.
    scope: String,
    /// `rpm`, `usd_day` and the like.
    what: &'static str,
    /// Requests, tokens, sessions, turns; of `usd_*` exact dollars.
    limit: Box<RawValue>,
    used: Box<RawValue>,
    /// Of a budget: spent for good; `used` holds what is reserved, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    soft: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<String>,
}

pub(super) fn standing(counter: &CounterView) -> Standing {
    let amount = |amount: u64| {
        let text = match counter.what {
            What::Usd(_) => NanoUsd(amount).dollars(),
            What::Rpm
            | What::Tpm
            | What::Itpm
            | What::Otpm
            | What::Concurrent
            | What::Sessions
            | What::Turns
            | What::Tokens(_) => amount.to_string(),
        };
        // Digits and a point are JSON.
        RawValue::from_string(text).unwrap_or_default()
    };
    Standing {
        scope: scope_text(&counter.scope),
        what: counter.what.label(),
        limit: amount(counter.limit),
        used: amount(counter.used),
        spent: counter.what.is_budget().then(|| amount(counter.spent)),
        soft: counter.soft,
        resets_at: counter.resets_at.map(UnixTime::rfc3339),
    }
}

/// `key:ID`, `team:ORG/NAME`: as in the names of counters.
pub(in crate::admin) fn scope_text(scope: &Scope) -> String {
    match scope {
        Scope::Organisation(name) => format!("org:{name}"),
        Scope::Team(of, name) => format!("team:{of}/{name}"),
        Scope::Key(id) => format!("key:{id}"),
        Scope::Session(session) => format!("session:{session}"),
        Scope::Tag(tag) => format!("tag:{tag}"),
        Scope::Model(name) => format!("model:{name}"),
        Scope::Provider(name) => format!("provider:{name}"),
        Scope::Endpoint(name) => format!("endpoint:{name}"),
    }
}

fn view(entry: &LevelEntry) -> View {
    let (organisation, name) = match &entry.name {
        LevelName::Organisation(name) => (None, name.to_string()),
        LevelName::Team(of, name) => (Some(of.to_string()), name.to_string()),
    };
    View {
        organisation,
        name,
        source: if entry.configured { "configuration" } else { "store" },
        settings: LevelSettings::of(&entry.allowance),
    }
}

pub(super) fn organisations(live: &Live) -> Result<Answer, Fault> {
    let all = live.keys.levels_listed();
    let all = all.iter().filter(|entry| matches!(entry.name, LevelName::Organisation(_)));
    json(StatusCode::OK, &serde_json::json!({"organisations": all.map(view).collect::<Vec<_>>()}))
}

pub(super) fn teams(live: &Live) -> Result<Answer, Fault> {
    let all = live.keys.levels_listed();
    let all = all.iter().filter(|entry| matches!(entry.name, LevelName::Team(..)));
    json(StatusCode::OK, &serde_json::json!({"teams": all.map(view).collect::<Vec<_>>()}))
}

pub(super) fn show(live: &Live, name: &LevelName) -> Result<Answer, Fault> {
    let entry = live.keys.level(name).ok_or_else(Fault::missing)?;
    let scope = match name.clone() {
        LevelName::Organisation(of) => Scope::Organisation(of),
        LevelName::Team(of, team) => Scope::Team(of, team),
    };
    let counters = live.quota.view(&scope, clock::now(), clock::unix_now());
    let standing = counters.iter().map(standing).collect();
    json(StatusCode::OK, &Inspected { level: view(&entry), standing })
}

pub(super) async fn put(live: &Live, name: &LevelName, body: &Bytes, by: &str) -> Result<Answer, Fault> {
    let settings: LevelSettings = read_settings(text(body)?)?;
    let entry = live.keys.put_level(name, &settings).await?;
    tracing::warn!(level = name.id(), by, "level put");
    json(StatusCode::OK, &view(&entry))
}

pub(super) async fn remove(live: &Live, name: &LevelName, by: &str) -> Result<Answer, Fault> {
    live.keys.remove_level(name).await?;
    tracing::warn!(level = name.id(), by, "level removed");
    json(StatusCode::OK, &serde_json::json!({"name": name.id(), "removed": true}))
}
