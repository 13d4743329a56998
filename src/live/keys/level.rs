//! Organisations and teams of the store: made, replaced, removed.
//!
//! One of the configuration goes before a stored one of its name, and is changed in the file alone.

use super::{
    Filter, KeyFault, KeyRing,
    form::{LevelSettings, name},
    problem::Problem,
    stored,
};
use crate::types::{Allowance, TeamName, TenantId};

/// Names a level that can be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LevelName {
    /// An organisation.
    Organisation(TenantId),
    /// A team of an organisation.
    Team(TenantId, TeamName),
}

/// A level, and where it stands.
#[derive(Clone, Debug)]
pub struct LevelEntry {
    /// Which.
    pub name: LevelName,
    /// What it may use.
    pub allowance: Allowance,
    /// It stands in the configuration, and is changed there.
    pub configured: bool,
}

impl KeyRing {
    /// Every organisation and team, by name.
    #[must_use]
    pub fn levels_listed(&self) -> Vec<LevelEntry> {
        let parts = self.inner.parts.lock();
        let levels = self.inner.levels.borrow();
        let organisations = levels.organisations.iter().map(|(name, allowance)| LevelEntry {
            name: LevelName::Organisation(name.clone()),
            allowance: allowance.clone(),
            configured: parts.levels.organisations.contains_key(name),
        });
        let teams = levels.teams.iter().map(|((of, name), allowance)| LevelEntry {
            name: LevelName::Team(of.clone(), name.clone()),
            allowance: allowance.clone(),
            configured: parts.levels.teams.contains_key(&(of.clone(), name.clone())),
        });
        let mut all: Vec<_> = organisations.chain(teams).collect();
        all.sort_by_cached_key(|entry| entry.name.id());
        all
    }

    /// One organisation or team.
    #[must_use]
    pub fn level(&self, name: &LevelName) -> Option<LevelEntry> {
        let (levels, parts) = (self.levels(), self.inner.parts.lock());
        let (allowance, configured) = match name {
            LevelName::Organisation(of) => {
                (levels.organisations.get(of)?, parts.levels.organisations.contains_key(of))
            }
            LevelName::Team(of, team) => {
                let team = (of.clone(), team.clone());
                (levels.teams.get(&team)?, parts.levels.teams.contains_key(&team))
            }
        };
        Some(LevelEntry { name: name.clone(), allowance: allowance.clone(), configured })
    }

    /// Makes or replaces an organisation or a team.
    ///
    /// # Errors
    /// The settings cannot be, it stands in the configuration, or the store is out of reach.
    pub async fn put_level(
        &self,
        which: &LevelName,
        settings: &LevelSettings,
    ) -> Result<LevelEntry, KeyFault> {
        let (store, _turn) = self.begin().await?;
        which.check()?;
        if self.level(which).is_some_and(|level| level.configured) {
            return Err(KeyFault::Configured);
        }
        if let LevelName::Team(of, _) = which {
            self.check_organisation(of)?;
        }
        let allowance = settings.allowance()?;
        store.put(which.kind(), &which.id(), &stored::write_level(&allowance)?).await?;
        {
            let mut parts = self.inner.parts.lock();
            match which {
                LevelName::Organisation(of) => {
                    parts.stored.organisations.insert(of.clone(), allowance.clone());
                }
                LevelName::Team(of, team) => {
                    parts.stored.teams.insert((of.clone(), team.clone()), allowance.clone());
                }
            }
            self.inner.publish(&parts);
        }
        self.keep_up(store.as_ref()).await;
        Ok(LevelEntry { name: which.clone(), allowance, configured: false })
    }

    /// Removes an organisation or a team that no key belongs to.
    ///
    /// # Errors
    /// There is none, it stands in the configuration, keys belong to it, or the store is out of reach.
    pub async fn remove_level(&self, which: &LevelName) -> Result<(), KeyFault> {
        let (store, _turn) = self.begin().await?;
        let level = self.level(which).ok_or(KeyFault::Missing)?;
        if level.configured {
            return Err(KeyFault::Configured);
        }
        self.check_empty(which)?;
        store.delete(which.kind(), &which.id()).await?;
        {
            let mut parts = self.inner.parts.lock();
            match which {
                LevelName::Organisation(of) => parts.stored.organisations.remove(of),
                LevelName::Team(of, team) => parts.stored.teams.remove(&(of.clone(), team.clone())),
            };
            self.inner.publish(&parts);
        }
        self.keep_up(store.as_ref()).await;
        Ok(())
    }

    /// Whether no key and no team belongs to a level.
    fn check_empty(&self, which: &LevelName) -> Result<(), KeyFault> {
        let filter = which.filter();
        let parts = self.inner.parts.lock();
        let stored = parts.stored.keys.values().map(|held| &held.key);
        let keys = parts.callers.iter().chain(stored).filter(|key| filter.covers(key)).count();
        let teams = parts.stored.teams.keys().chain(parts.levels.teams.keys());
        let of_it =
            |(of, _): &&(TenantId, TeamName)| matches!(which, LevelName::Organisation(name) if name == of);
        let teams = teams.filter(of_it).count();
        if keys + teams == 0 {
            return Ok(());
        }
        let what = format!("{keys} keys and {teams} teams belong to it");
        Err(KeyFault::Conflict(Problem::new("", what, "move or remove them first")))
    }

    /// Where organisations are written down, only those are known, and the one of whoever names none.
    pub(super) fn check_organisation(&self, name: &TenantId) -> Result<(), KeyFault> {
        let levels = self.levels();
        let is_known = levels.organisations.is_empty()
            || name.as_str() == "default"
            || levels.organisations.contains_key(name);
        if is_known {
            return Ok(());
        }
        let what = format!("there is no organisation `{name}`");
        Err(Problem::new("organisation", what, format!("make it: PUT /api/organisations/{name}")).into())
    }
}

impl LevelName {
    /// `ORG` or `ORG/TEAM`.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Organisation(of) => of.to_string(),
            Self::Team(of, team) => format!("{of}/{team}"),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Organisation(_) => stored::ORGANISATION,
            Self::Team(..) => stored::TEAM,
        }
    }

    fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Organisation(of) => name("name", of.as_str()),
            Self::Team(of, team) => {
                name("organisation", of.as_str()).and_then(|()| name("name", team.as_str()))
            }
        }
    }

    fn filter(&self) -> Filter {
        match self {
            Self::Organisation(of) => Filter { organisation: Some(of.clone()), ..Filter::default() },
            Self::Team(of, team) => {
                Filter { organisation: Some(of.clone()), team: Some(team.clone()), tag: None }
            }
        }
    }
}
