//! The store of keys as it was read last: its documents, turned into keys and levels.
//!
//! A document that cannot be read (made by a newer version, or by hand) lets nobody in; the others go on.
//! What has not changed keeps its `Arc`, so that whoever remembers a key need not learn it anew.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    form::{KeySettings, LevelSettings},
    problem::Problem,
};
use crate::{
    clock::UnixTime,
    store::documents::Document,
    types::{Allowance, KeyDigest, KeyId, TeamName, TenantId, VirtualKey},
};

/// Of the documents' own form.
const FORM: u32 = 1;

/// Kinds of documents.
pub(super) const KEY: &str = "key";
pub(super) const ORGANISATION: &str = "organisation";
pub(super) const TEAM: &str = "team";
/// What is true of all gateways of the store; [`CLOSED`] is the only one there is.
pub(super) const GATEWAY: &str = "gateway";
/// There was a stored key once, so nobody may call without one.
pub(super) const CLOSED: &str = "closed";

/// A key as a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    v: u32,
    prefix: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<OldBody>,
    created: String,
    settings: KeySettings,
}

/// The digest before a rotation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldBody {
    sha256: String,
    until: String,
}

/// An organisation or a team as a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelBody {
    v: u32,
    settings: LevelSettings,
}

/// A stored key, and what only people want to know of it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) key: Arc<VirtualKey>,
    pub(super) facts: Facts,
    /// Of the document.
    hash: u64,
}

/// What people want to know of a stored key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    prefix: [u8; 8],
    /// When it was made.
    pub created: UnixTime,
}

impl Facts {
    pub(super) fn new(prefix: &str, created: UnixTime) -> Self {
        let mut kept = [b' '; 8];
        kept.iter_mut().zip(prefix.bytes()).for_each(|(to, from)| *to = from);
        Self { prefix: kept, created }
    }

    /// The first characters of its token.
    #[must_use]
    pub fn prefix(&self) -> String {
        String::from_utf8_lossy(&self.prefix).trim_end().to_owned()
    }
}

/// All that the store holds.
#[derive(Default)]
pub(super) struct Stored {
    /// `None` while it was never read.
    pub(super) version: Option<u64>,
    pub(super) keys: BTreeMap<KeyId, Held>,
    pub(super) organisations: HashMap<TenantId, Allowance>,
    pub(super) teams: HashMap<(TenantId, TeamName), Allowance>,
    /// There is, or was, a key.
    pub(super) closed: bool,
    /// The store says so itself, also when the last one is gone.
    pub(super) marked: bool,
    /// Documents that say nothing to us: how many, and why the first does not.
    pub(super) unreadable: usize,
    pub(super) first_unreadable: Option<String>,
}

impl Stored {
    /// Reads every document; keys of `old` whose document is the same are kept.
    pub(super) fn read(version: u64, documents: &[Document], old: &BTreeMap<KeyId, Held>) -> Self {
        let mut stored = Self { version: Some(version), ..Self::default() };
        for document in documents {
            if let Err(problem) = stored.take(document, old) {
                stored.unreadable += 1;
                stored
                    .first_unreadable
                    .get_or_insert_with(|| format!("{} `{}`: {problem}", document.kind, document.id));
            }
        }
        stored
    }

    fn take(&mut self, document: &Document, old: &BTreeMap<KeyId, Held>) -> Result<(), Problem> {
        match document.kind.as_str() {
            KEY => {
                // Also if it cannot be read: somebody meant to close the gateway.
                self.closed = true;
                let id = KeyId::from(document.id.as_str());
                let known = old.get(&id).filter(|held| held.hash == xxh3_64(document.body.as_bytes()));
                let held = known.cloned().map_or_else(|| read_key(id.clone(), &document.body), Ok)?;
                self.keys.insert(id, held);
            }
            ORGANISATION => {
                self.organisations.insert(document.id.as_str().into(), read_level(&document.body)?);
            }
            TEAM => {
                let of_none = || Problem::new("", "it names no organisation", "remove it from the store");
                let (organisation, team) = document.id.split_once('/').ok_or_else(of_none)?;
                self.teams.insert((organisation.into(), team.into()), read_level(&document.body)?);
            }
            GATEWAY if document.id == CLOSED => (self.closed, self.marked) = (true, true),
            _ => return Err(newer()),
        }
        Ok(())
    }
}

/// The text of a key's document, and the key as it will be read from there.
pub(super) fn write_key(key: &VirtualKey, facts: Facts) -> Result<(String, Held), Problem> {
    let body = KeyBody {
        v: FORM,
        prefix: facts.prefix(),
        sha256: key.digest.to_hex(),
        old: key.old.map(|(digest, until)| OldBody { sha256: digest.to_hex(), until: until.rfc3339() }),
        created: facts.created.rfc3339(),
        settings: KeySettings::of(key),
    };
    let body = serde_json::to_string(&body).map_err(|error| unreadable(&error))?;
    let held = read_key(key.id.clone(), &body)?;
    Ok((body, held))
}

fn read_key(id: KeyId, body: &str) -> Result<Held, Problem> {
    let read: KeyBody = parse(body)?;
    let digest = |hex: &str| {
        let remedy = "rotate the key";
        KeyDigest::from_hex(hex).ok_or_else(|| Problem::new("sha256", "not a digest", remedy))
    };
    let time = |at: &str, text: &str| {
        UnixTime::parse(text).ok_or_else(|| Problem::new(at, "not a point in time", "rotate the key"))
    };
    let old = read.old.as_ref().map(|old| Ok((digest(&old.sha256)?, time("old.until", &old.until)?)));
    let facts = Facts::new(&read.prefix, time("created", &read.created)?);
    let key = read.settings.key(id, digest(&read.sha256)?, old.transpose()?)?;
    Ok(Held { key: Arc::new(key), facts, hash: xxh3_64(body.as_bytes()) })
}

/// The text of a level's document.
pub(super) fn write_level(allowance: &Allowance) -> Result<String, Problem> {
    let body = LevelBody { v: FORM, settings: LevelSettings::of(allowance) };
    serde_json::to_string(&body).map_err(|error| unreadable(&error))
}

fn read_level(body: &str) -> Result<Allowance, Problem> {
    parse::<LevelBody>(body)?.settings.allowance()
}

/// Reads a document of our form; one of a newer version is told from one that is broken.
fn parse<T: for<'de> Deserialize<'de>>(body: &str) -> Result<T, Problem> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_str::<Version>(body) {
        Ok(Version { v: FORM }) => serde_json::from_str(body).map_err(|error| unreadable(&error)),
        Ok(_) => Err(newer()),
        Err(error) => Err(unreadable(&error)),
    }
}

fn newer() -> Problem {
    Problem::new("", "a newer version of warmkey wrote it", "update this gateway")
}

/// Where, and not what: a document holds digests.
fn unreadable(error: &serde_json::Error) -> Problem {
    let what = format!("it cannot be read at column {} ({:?})", error.column(), error.classify());
    Problem::new("", what, "revoke it and make it anew")
}
