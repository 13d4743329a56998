//! Making, changing and revoking: what the admin API and the command line do.
//!
//! A change is in the store before it is in force here, and in force here when the call returns; other
//! gateways see it with their next look. Changes of one process come one after the other; two processes
//! that change one key at the same time: the later one stays.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::Value;

use super::{
    Entry, Inner, KeyRing, LevelName,
    form::KeySettings,
    problem::Problem,
    stored::{self, Facts, Held},
    token::{self, Minted},
};
use crate::{
    clock::UnixTime,
    store::documents::{Documents, DocumentsFault},
    types::{KeyId, Secret, VirtualKey},
};

/// A rotated key's old token is accepted for so long at most.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Keys of one store.
const MOST_KEYS: usize = 1_000_000;

/// A key that was made or rotated.
#[derive(Debug)]
pub struct Made {
    /// The key.
    pub entry: Entry,
    /// Its token: shown once, kept nowhere.
    pub token: Secret,
}

/// Why a key or level was not changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyFault {
    /// What was written cannot be.
    Bad(Problem),
    /// It does not fit what is there.
    Conflict(Problem),
    /// There is none of this id or name.
    Missing,
    /// It stands in the configuration, and is changed there.
    Configured,
    /// This gateway has no store of keys.
    NoStore,
    /// The store cannot be reached; nothing is known to have changed.
    Store(DocumentsFault),
    /// The kernel gives no random numbers.
    NoChance,
}

impl From<Problem> for KeyFault {
    fn from(problem: Problem) -> Self {
        Self::Bad(problem)
    }
}

impl From<DocumentsFault> for KeyFault {
    fn from(fault: DocumentsFault) -> Self {
        Self::Store(fault)
    }
}

impl KeyRing {
    /// Makes a key.
    ///
    /// # Errors
    /// The settings cannot be, its name is taken, or the store is out of reach.
    pub async fn create(&self, settings: &KeySettings, now: UnixTime) -> Result<Made, KeyFault> {
        let (store, _turn) = self.begin().await?;
        let Minted { token, digest, prefix } = token::mint().map_err(|_| KeyFault::NoChance)?;
        let id = token::mint_id().map_err(|_| KeyFault::NoChance)?;
        let key = settings.key(id, digest, None)?;
        self.check_fit(&key, None)?;
        if self.inner.parts.lock().stored.keys.len() >= MOST_KEYS {
            let what = format!("there are {MOST_KEYS} keys");
            return Err(KeyFault::Conflict(Problem::new("", what, "revoke those that nobody uses")));
        }
        self.close(store.as_ref()).await?;
        let entry = self.put(store.as_ref(), &key, Facts::new(&prefix, now)).await?;
        Ok(Made { entry, token })
    }

    /// Changes a key's settings by a merge patch (RFC 7396): what is named is replaced, `null` is the
    /// default again.
    ///
    /// # Errors
    /// As [`KeyRing::create`]; or there is no such key.
    pub async fn change(&self, id: &KeyId, patch: &Value) -> Result<Entry, KeyFault> {
        let (store, _turn) = self.begin().await?;
        let held = self.held(id)?;
        let mut settings = settings_value(&KeySettings::of(&held.key))?;
        if !patch.is_object() {
            return Err(Problem::new("", "an object is needed", "write `{\"disabled\": true}`").into());
        }
        merge(&mut settings, patch);
        let settings: KeySettings = read_settings(&settings.to_string())?;
        let key = settings.key(id.clone(), held.key.digest, held.key.old)?;
        self.check_fit(&key, Some(id))?;
        self.put(store.as_ref(), &key, held.facts).await
    }

    /// Gives a key a new token; the one before is accepted for `grace` longer, any older one no more.
    ///
    /// # Errors
    /// There is no such key, the grace is too long, or the store is out of reach.
    pub async fn rotate(&self, id: &KeyId, grace: Duration, now: UnixTime) -> Result<Made, KeyFault> {
        let (store, _turn) = self.begin().await?;
        let held = self.held(id)?;
        if grace > LONGEST_GRACE {
            return Err(
                Problem::new("grace", "too long", "write a time from 0s to 30d, such as `24h`").into()
            );
        }
        let Minted { token, digest, prefix } = token::mint().map_err(|_| KeyFault::NoChance)?;
        let old = (!grace.is_zero()).then(|| (held.key.digest, UnixTime(now.0 + grace)));
        let key = VirtualKey { digest, old, ..VirtualKey::clone(&held.key) };
        let facts = Facts::new(&prefix, held.facts.created);
        let entry = self.put(store.as_ref(), &key, facts).await?;
        Ok(Made { entry, token })
    }

    /// Revokes a key: its tokens are nobody's from now on.
    ///
    /// # Errors
    /// There is no such key, or the store is out of reach.
    pub async fn revoke(&self, id: &KeyId) -> Result<(), KeyFault> {
        let (store, _turn) = self.begin().await?;
        let held = match self.held(id) {
            Ok(held) => Some(held),
            // It may be one that cannot be read.
            Err(KeyFault::Missing) => None,
            Err(fault) => return Err(fault),
        };
        self.close(store.as_ref()).await?;
        if !store.delete(stored::KEY, id.as_str()).await? {
            return Err(KeyFault::Missing);
        }
        // Of one that cannot be read nothing is kept here: the next look counts the others anew.
        let Some(held) = held else { return Ok(()) };
        {
            let mut parts = self.inner.parts.lock();
            parts.stored.keys.remove(id);
            self.inner.table.write().remove(&held.key);
        }
        self.keep_up(store.as_ref()).await;
        Ok(())
    }

    /// The store, and the turn to change it; what others changed meanwhile was read.
    pub(super) async fn begin(
        &self,
    ) -> Result<(Arc<dyn Documents>, tokio::sync::MutexGuard<'_, ()>), KeyFault> {
        let store = Arc::clone(self.inner.store.as_ref().ok_or(KeyFault::NoStore)?);
        let turn = self.inner.turn.lock().await;
        self.read(store.as_ref()).await?;
        Ok((store, turn))
    }

    /// From the first key on nobody may call without one. Written before the key: the other way round, a
    /// crash between the two and a revocation would open the gateway.
    async fn close(&self, store: &dyn Documents) -> Result<(), KeyFault> {
        if self.inner.parts.lock().stored.marked {
            return Ok(());
        }
        store.put(stored::GATEWAY, stored::CLOSED, r#"{"v":1}"#).await?;
        {
            let mut parts = self.inner.parts.lock();
            (parts.stored.marked, parts.stored.closed) = (true, true);
        }
        self.inner.closed.store(true, Ordering::Release);
        self.keep_up(store).await;
        Ok(())
    }

    /// After a change of our own: where nobody else changed anything, there is nothing to read. Else, or
    /// when the store does not say, the next look reads everything.
    pub(super) async fn keep_up(&self, store: &dyn Documents) {
        let Ok(version) = store.version().await else { return };
        let mut parts = self.inner.parts.lock();
        if parts.stored.version.is_some_and(|known| known.checked_add(1) == Some(version)) {
            parts.stored.version = Some(version);
        }
    }

    /// A stored key.
    fn held(&self, id: &KeyId) -> Result<Held, KeyFault> {
        let parts = self.inner.parts.lock();
        if let Some(held) = parts.stored.keys.get(id) {
            return Ok(held.clone());
        }
        let is_configured = parts.callers.iter().any(|caller| caller.id == *id);
        Err(if is_configured { KeyFault::Configured } else { KeyFault::Missing })
    }

    /// Whether name, organisation and team fit what is there. `own`: the key that is changed.
    fn check_fit(&self, key: &VirtualKey, own: Option<&KeyId>) -> Result<(), KeyFault> {
        if let Some(twin) = self.of_name(&key.name).filter(|twin| own != Some(&twin.id)) {
            let what = format!("key `{}` has this name", twin.id);
            return Err(KeyFault::Conflict(Problem::new("name", what, "give each key its own name")));
        }
        self.check_organisation(&key.organisation)?;
        if let Some(team) = &key.team {
            let which = LevelName::Team(key.organisation.clone(), team.clone());
            if self.level(&which).is_none() {
                let what = format!("organisation `{}` has no team `{team}`", key.organisation);
                return Err(
                    Problem::new("team", what, format!("make it: PUT /api/teams/{}", which.id())).into()
                );
            }
        }
        Ok(())
    }

    /// Writes a key and puts it in force.
    async fn put(&self, store: &dyn Documents, key: &VirtualKey, facts: Facts) -> Result<Entry, KeyFault> {
        let (body, held) = stored::write_key(key, facts)?;
        store.put(stored::KEY, key.id.as_str(), &body).await?;
        let entry = self.inner.take(held);
        self.keep_up(store).await;
        Ok(entry)
    }
}

impl Inner {
    fn take(&self, held: Held) -> Entry {
        let mut parts = self.parts.lock();
        let entry = Entry { key: Arc::clone(&held.key), facts: Some(held.facts) };
        let before = parts.stored.keys.insert(held.key.id.clone(), held);
        let mut table = self.table.write();
        if let Some(before) = before {
            table.remove(&before.key);
        }
        table.insert(&entry.key);
        entry
    }
}

/// Reads a key's settings; the sentence of what is wrong is the parser's.
///
/// # Errors
/// They are no settings.
pub fn read_settings<T: for<'de> serde::Deserialize<'de>>(text: &str) -> Result<T, Problem> {
    // The parser would take a list for an object's members in their order.
    let object = serde_json::from_str::<&serde_json::value::RawValue>(text);
    let is_other = object.is_ok_and(|raw| !raw.get().starts_with('{'));
    if is_other {
        return Err(Problem::new("", "an object is needed", "write `{\"name\": \"...\"}`"));
    }
    serde_json::from_str(text).map_err(|error| {
        let what = error.to_string();
        Problem::new("", what, "GET /api/openapi.json says what can be written")
    })
}

fn settings_value(settings: &KeySettings) -> Result<Value, Problem> {
    let bad = |error: serde_json::Error| Problem::new("", error.to_string(), "make the key anew");
    let text = serde_json::to_string(settings).map_err(bad)?;
    serde_json::from_str(&text).map_err(bad)
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
