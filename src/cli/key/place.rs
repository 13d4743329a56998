//! Where keys are: behind the admin API of a gateway, or in a file.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use super::Where;
use crate::{
    cli::endpoint::{Admin, escaped, send},
    clock,
    config::parse_duration,
    live::{Entry, Filter, KeyFault, KeyRing, KeySettings, KeyView, Made, read_settings},
    store::sqlite::SqliteDocuments,
    types::{KeyId, Levels},
};

/// Keys asked for at once.
const PAGE: usize = 1_000;

/// Where keys are.
pub(super) enum Place {
    Gateway(Admin),
    File(KeyRing),
}

impl Place {
    pub(super) async fn of(at: &Where) -> anyhow::Result<Self> {
        if let Some(file) = &at.file {
            return open(file).await.map(Self::File);
        }
        let mut admin = at.admin.clone();
        if let Some(name) = &at.token_env {
            let token = std::env::var(name).with_context(|| format!("reading the variable {name}"))?;
            admin.set_token(&token);
        }
        Ok(Self::Gateway(admin))
    }

    pub(super) async fn create(&self, body: &Value) -> anyhow::Result<Value> {
        match self {
            Self::Gateway(admin) => ask(admin, Method::POST, "/api/keys", body).await,
            Self::File(ring) => {
                let settings: KeySettings = read_settings(&body.to_string())?;
                fresh(&ring.create(&settings, clock::unix_now()).await.map_err(told)?)
            }
        }
    }

    pub(super) async fn list(&self, filter: &[(&str, &Option<String>); 3]) -> anyhow::Result<Vec<Value>> {
        let mut keys = Vec::new();
        match self {
            Self::Gateway(admin) => {
                let mut path = format!("/api/keys?limit={PAGE}");
                for (name, value) in filter {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={}", escaped(value)));
                    }
                }
                let mut cursor = String::new();
                loop {
                    let page = ask(admin, Method::GET, &format!("{path}{cursor}"), &Value::Null).await?;
                    let listed =
                        page.get("keys").and_then(Value::as_array).context("no list of keys came")?;
                    keys.extend(listed.iter().cloned());
                    let Some(next) = page.get("next").and_then(Value::as_str) else { break };
                    cursor = format!("&cursor={}", escaped(next));
                }
            }
            Self::File(ring) => {
                let text = |name: &str| {
                    filter.iter().find(|(known, _)| *known == name).and_then(|(_, value)| (*value).clone())
                };
                let filter = Filter {
                    organisation: text("organisation").map(Into::into),
                    team: text("team").map(Into::into),
                    tag: text("tag").map(Into::into),
                };
                let mut after = None;
                loop {
                    let (page, next) = ring.list(&filter, after.as_ref(), PAGE);
                    for entry in &page {
                        keys.push(view(entry)?);
                    }
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(keys)
    }

    pub(super) async fn show(&self, key: &str) -> anyhow::Result<Value> {
        match self {
            Self::Gateway(admin) => {
                ask(admin, Method::GET, &format!("/api/keys/{}", escaped(key)), &Value::Null).await
            }
            Self::File(ring) => {
                let entry = ring.entry(key).with_context(|| format!("there is no key `{key}`"))?;
                view(&entry)
            }
        }
    }

    /// The id of a key that is named by its id or its name.
    pub(super) async fn id(&self, key: &str) -> anyhow::Result<String> {
        let shown = self.show(key).await?;
        let id = shown.get("id").and_then(Value::as_str).context("no id came")?;
        Ok(id.to_owned())
    }

    pub(super) async fn change(&self, id: &str, patch: &Value) -> anyhow::Result<Value> {
        match self {
            Self::Gateway(admin) => ask(admin, Method::PATCH, &path(id), patch).await,
            Self::File(ring) => view(&ring.change(&id.into(), patch).await.map_err(told)?),
        }
    }

    pub(super) async fn rotate(&self, id: &str, grace: &str) -> anyhow::Result<Value> {
        match self {
            Self::Gateway(admin) => {
                let body = json!({"grace": grace});
                ask(admin, Method::POST, &format!("{}/rotate", path(id)), &body).await
            }
            Self::File(ring) => {
                let grace = parse_duration(grace).context("a grace time is written as `24h`")?;
                fresh(&ring.rotate(&id.into(), grace, clock::unix_now()).await.map_err(told)?)
            }
        }
    }

    pub(super) async fn revoke(&self, id: &str) -> anyhow::Result<Value> {
        match self {
            Self::Gateway(admin) => ask(admin, Method::DELETE, &path(id), &Value::Null).await,
            Self::File(ring) => {
                ring.revoke(&KeyId::from(id)).await.map_err(told)?;
                Ok(json!({"id": id, "revoked": true}))
            }
        }
    }
}

fn path(id: &str) -> String {
    format!("/api/keys/{}", escaped(id))
}

async fn open(file: &Path) -> anyhow::Result<KeyRing> {
    let store = SqliteDocuments::open(file).with_context(|| format!("opening {}", file.display()))?;
    let ring = KeyRing::new(Vec::new(), Levels::default(), Some(Arc::new(store)));
    ring.refresh().await.with_context(|| format!("reading {}", file.display()))?;
    Ok(ring)
}

fn view(entry: &Entry) -> anyhow::Result<Value> {
    let text = serde_json::to_string(&KeyView::of(entry, clock::unix_now()))?;
    Ok(serde_json::from_str(&text)?)
}

fn fresh(made: &Made) -> anyhow::Result<Value> {
    let mut value = view(&made.entry)?;
    value["token"] = json!(made.token.expose());
    Ok(value)
}

/// One call; refusals are told in the API's own words.
async fn ask(admin: &Admin, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = send(admin, method, path, body).await?;
    let value: Value = serde_json::from_slice(&answer.body)
        .context("the answer is no JSON; is this the admin listener of a warmkey gateway?")?;
    if (200..300).contains(&answer.status) {
        return Ok(value);
    }
    let of =
        |name: &str| value.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or_default();
    let place = if of("where").is_empty() { String::new() } else { format!("`{}`: ", of("where")) };
    anyhow::bail!("{place}{}; {}", of("what"), of("remedy"))
}

/// The same words for a file.
fn told(fault: KeyFault) -> anyhow::Error {
    match fault {
        KeyFault::Bad(problem) | KeyFault::Conflict(problem) => anyhow::anyhow!("{problem}"),
        KeyFault::Missing => anyhow::anyhow!("there is no such key; `warmkey key list` shows them"),
        KeyFault::Configured => anyhow::anyhow!("it stands in the configuration file; change it there"),
        KeyFault::NoStore => anyhow::anyhow!("there is no store of keys"),
        KeyFault::Store(fault) => fault.into(),
        KeyFault::NoChance => anyhow::anyhow!("the system gives no random numbers"),
    }
}
