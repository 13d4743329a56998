//! `/api/keys`.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    super::Answer,
    fault::Fault,
    json,
    levels::{self, Standing},
    query, text,
};
use crate::{
    clock::{self, UnixTime},
    config::parse_duration,
    live::{Filter, KeySettings, KeyView, Live, Made, Problem, read_settings},
    types::{KeyId, VirtualKey},
};

/// How long a rotated key's old token is accepted, unless it is said.
const GRACE: Duration = Duration::from_secs(24 * 3_600);

/// Keys of a page, unless it is said.
const PAGE: usize = 100;

/// A key with its token, shown once.
#[derive(Serialize)]
struct Fresh<'a> {
    token: &'a str,
    #[serde(flatten)]
    key: KeyView,
}

/// A key, and where it stands.
#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    key: KeyView,
    standing: Vec<Standing>,
}

#[derive(Serialize)]
struct Page {
    keys: Vec<KeyView>,
    /// What to send as `cursor` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// `24h`, `0s`.
    grace: Option<String>,
}

pub(super) fn list(live: &Live, query: &str) -> Result<Answer, Fault> {
    let filter = Filter {
        organisation: query::value(query, "organisation").map(Into::into),
        team: query::value(query, "team").map(Into::into),
        tag: query::value(query, "tag").map(Into::into),
    };
    let limit = match query::value(query, "limit") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|limit| (1..=1_000).contains(limit)).ok_or_else(|| {
            Problem::new("limit", "not a number of keys", "write a whole number from 1 to 1000")
        })?,
    };
    let cursor = query::value(query, "cursor").map(KeyId::from);
    let (entries, next) = live.keys.list(&filter, cursor.as_ref(), limit);
    let now = clock::unix_now();
    let keys = entries.iter().map(|entry| KeyView::of(entry, now)).collect();
    json(StatusCode::OK, &Page { keys, next: next.map(|id| id.to_string()) })
}

pub(super) async fn create(live: &Live, body: &Bytes, by: &str) -> Result<Answer, Fault> {
    let settings: KeySettings = read_settings(text(body)?)?;
    check(live, settings.providers.as_deref(), settings.regions.as_deref())?;
    let now = clock::unix_now();
    let made = live.keys.create(&settings, now).await?;
    log("made", &made.entry.key, by);
    fresh(StatusCode::CREATED, &made, now)
}

pub(super) fn show(live: &Live, id: &str) -> Result<Answer, Fault> {
    let entry = live.keys.entry(id).ok_or_else(Fault::missing)?;
    let now = clock::unix_now();
    let counters = live.quota.view_key(&entry.key, clock::now(), now);
    let standing = counters.iter().map(levels::standing).collect();
    json(StatusCode::OK, &Inspected { key: KeyView::of(&entry, now), standing })
}

pub(super) async fn change(live: &Live, id: &KeyId, body: &Bytes, by: &str) -> Result<Answer, Fault> {
    let patch: Value = read_settings(text(body)?)?;
    let list = |key: &str| -> Option<Vec<String>> {
        let texts = patch.get(key)?.as_array()?.iter();
        Some(texts.filter_map(Value::as_str).map(ToOwned::to_owned).collect())
    };
    check(live, list("providers").as_deref(), list("regions").as_deref())?;
    let entry = live.keys.change(id, &patch).await?;
    log("changed", &entry.key, by);
    json(StatusCode::OK, &KeyView::of(&entry, clock::unix_now()))
}

pub(super) async fn rotate(live: &Live, id: &KeyId, body: &Bytes, by: &str) -> Result<Answer, Fault> {
    let asked: Rotation = match text(body)?.trim() {
        "" => Rotation::default(),
        text => read_settings(text)?,
    };
    let grace = match asked.grace.as_deref() {
        None => GRACE,
        Some(text) => parse_duration(text).ok_or_else(|| {
            Problem::new("grace", "not a time", "write a time from 0s to 30d, such as `24h`")
        })?,
    };
    let now = clock::unix_now();
    let made = live.keys.rotate(id, grace, now).await?;
    log("rotated", &made.entry.key, by);
    fresh(StatusCode::OK, &made, now)
}

pub(super) async fn revoke(live: &Live, id: &KeyId, by: &str) -> Result<Answer, Fault> {
    live.keys.revoke(id).await?;
    tracing::warn!(key = %id, by, "key revoked");
    json(StatusCode::OK, &serde_json::json!({"id": id.as_str(), "revoked": true}))
}

fn fresh(status: StatusCode, made: &Made, now: UnixTime) -> Result<Answer, Fault> {
    json(status, &Fresh { token: made.token.expose(), key: KeyView::of(&made.entry, now) })
}

fn log(done: &'static str, key: &VirtualKey, by: &str) {
    tracing::warn!(key = %key.id, name = %key.name, by, "key {done}");
}

/// Providers and regions that this gateway has.
fn check(live: &Live, providers: Option<&[String]>, regions: Option<&[String]>) -> Result<(), Fault> {
    let snapshot = live.snapshot.load();
    let pool = &snapshot.pool;
    if providers.into_iter().flatten().any(|name| pool.provider(name).is_none()) {
        let known: Vec<_> = pool.providers().iter().map(|known| known.params.name.to_string()).collect();
        let remedy = format!("known: {}", known.join(", "));
        return Err(Problem::new("providers", "there is no such provider", remedy).into());
    }
    let is_known = |name: &String| pool.endpoints().iter().any(|known| known.region() == Some(name.as_str()));
    if !regions.into_iter().flatten().all(is_known) {
        let remedy = "write a `region` of an `[[endpoint]]`";
        return Err(Problem::new("regions", "no endpoint has this region", remedy).into());
    }
    Ok(())
}
