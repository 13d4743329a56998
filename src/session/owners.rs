//! Who made which object (a stored response, a file, a batch) through the gateway, and in which
//! account it lives: nobody else may name it, and it can be asked for nowhere else.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::table::Table;
use crate::{
    clock::UnixTime,
    dialect::PinKind,
    types::{EndpointName, TenantId},
};

/// Providers keep stored responses for 30 days (OpenAI).
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whose an object is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// This tenant's, at that endpoint.
    Ours(EndpointName),
    /// Another tenant's.
    NotYours,
    /// Nobody made it through us, or it was too long ago.
    Unknown,
}

#[derive(Clone, Debug)]
struct Owned {
    tenant: TenantId,
    endpoint: EndpointName,
    at: UnixTime,
}

/// The objects of all tenants.
#[derive(Debug)]
pub struct Owners {
    table: Table<Owned>,
}

impl Owners {
    /// No objects, and at most about `capacity` of them (about 120 bytes each).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { table: Table::new(capacity) }
    }

    /// Remembers an object that an answer of `endpoint` made for `tenant`. Says whether it is the
    /// tenant's: what another tenant made stays theirs, whoever names it later.
    pub fn learn(
        &self,
        tenant: &TenantId,
        kind: PinKind,
        id: &str,
        endpoint: &EndpointName,
        now: UnixTime,
    ) -> bool {
        let mut ours = true;
        self.table.upsert(key(kind, id), |old| match old {
            Some(old) if old.tenant != *tenant && fresh(old.at, now) => {
                ours = false;
                old
            }
            Some(_) | None => Owned { tenant: tenant.clone(), endpoint: endpoint.clone(), at: now },
        });
        ours
    }

    /// Whose the object is, as seen by `tenant`.
    #[must_use]
    pub fn find(&self, tenant: &TenantId, kind: PinKind, id: &str, now: UnixTime) -> Owner {
        self.table
            .with(key(kind, id), |owned| match owned {
                owned if !fresh(owned.at, now) => Owner::Unknown,
                owned if owned.tenant != *tenant => Owner::NotYours,
                owned => Owner::Ours(owned.endpoint.clone()),
            })
            .unwrap_or(Owner::Unknown)
    }

    /// How many objects are held, for a gauge.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything that is still good.
    #[must_use]
    pub fn dump(&self, now: UnixTime) -> OwnersDump {
        let entries = self.table.collect(|at, owned| {
            fresh(owned.at, now).then(|| OwnerEntry {
                object: format!("{at:032x}"),
                tenant: owned.tenant.to_string(),
                endpoint: owned.endpoint.to_string(),
                made: owned.at.0.as_secs(),
            })
        });
        OwnersDump { entries }
    }

    /// Takes over what an earlier run knew; what is known already wins. Unreadable entries are
    /// skipped.
    pub fn restore(&self, dump: &OwnersDump, now: UnixTime) {
        for entry in &dump.entries {
            let at = UnixTime(Duration::from_secs(entry.made));
            let Ok(object) = u128::from_str_radix(&entry.object, 16) else { continue };
            if fresh(at, now) {
                let (tenant, endpoint) = (entry.tenant.as_str().into(), entry.endpoint.as_str().into());
                self.table.upsert(object, |known| known.unwrap_or(Owned { tenant, endpoint, at }));
            }
        }
    }
}

/// [`Owners`] as plain values for a state file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OwnersDump {
    /// The objects, in no order.
    pub entries: Vec<OwnerEntry>,
}

/// One object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnerEntry {
    /// Hash of kind and id, in hexadecimal.
    pub object: String,
    /// Whose it is.
    pub tenant: String,
    /// Where it lives.
    pub endpoint: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
}

fn key(kind: PinKind, id: &str) -> u128 {
    // No label holds a colon, so no two pairs make the same text.
    xxh3_128(format!("{}:{id}", kind.label()).as_bytes())
}

fn fresh(at: UnixTime, now: UnixTime) -> bool {
    now.0.saturating_sub(at.0) <= LIFE
}
