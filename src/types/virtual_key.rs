//! Virtual keys: what a caller holds, and what it may do with it.

use std::collections::HashMap;

use super::{
    Allowance, Budget, CallerName, EndpointName, KeyDigest, KeyId, ModelName, NanoUsd, Priority,
    ProviderName, SessionKey, Tag, TeamName, TenantId,
};
use crate::clock::UnixTime;

/// A key that we accept. A `[[caller]]` of the configuration is one as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VirtualKey {
    /// Names it for good; not a secret. A caller of the configuration has its name here.
    pub id: KeyId,
    /// For logs and metrics.
    pub name: CallerName,
    /// SHA-256 of the token.
    pub digest: KeyDigest,
    /// The digest before a rotation, and until when it is accepted.
    pub old: Option<(KeyDigest, UnixTime)>,
    /// Its trust boundary, and the level above its team.
    pub organisation: TenantId,
    /// The level above it.
    pub team: Option<TeamName>,
    /// For reports and budgets.
    pub tags: Vec<Tag>,
    /// From then on it is refused.
    pub expires: Option<UnixTime>,
    /// It is refused for now.
    pub disabled: bool,
    /// What it may use.
    pub access: Access,
    /// What it may spend.
    pub allowance: Allowance,
    /// Its share of a queue beside others', in thousandths: 1,000 is one share.
    pub weight: u32,
    /// Who goes first.
    pub priority: Priority,
    /// What its charges are multiplied by for its budgets and its bill, in thousandths.
    pub markup: u32,
    /// Whether its cache markers are made to ask for the long life; goes before the model's.
    pub long_cache: Option<bool>,
    /// Whether its resting sessions are kept warm; goes before the provider's.
    pub keep_alive: Option<bool>,
}

impl VirtualKey {
    /// A key without any limits, of the organisation `default`.
    #[must_use]
    pub fn named(name: &str, digest: KeyDigest) -> Self {
        Self {
            id: name.into(),
            name: name.into(),
            digest,
            old: None,
            organisation: "default".into(),
            team: None,
            tags: Vec::new(),
            expires: None,
            disabled: false,
            access: Access::default(),
            allowance: Allowance::default(),
            weight: 1_000,
            priority: Priority::Interactive,
            markup: 1_000,
            long_cache: None,
            keep_alive: None,
        }
    }

    /// What it is billed for something that cost this.
    #[must_use]
    pub fn billed(&self, cost: NanoUsd) -> NanoUsd {
        cost.marked_up(self.markup)
    }

    /// Its share of a queue.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a checked ratio of at most six digits")]
    pub const fn share(&self) -> f32 {
        self.weight as f32 / 1_000.0
    }
}

/// What a key may use; `None` is everything.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Access {
    /// Globs (`*` only) over models, as the caller writes them.
    pub models: Option<Vec<String>>,
    /// Providers.
    pub providers: Option<Vec<ProviderName>>,
    /// Regions of endpoints. An endpoint without one is in none of them.
    pub regions: Option<Vec<String>>,
}

impl Access {
    /// Whether requests may go to an endpoint of this provider and region.
    #[must_use]
    pub fn allows(&self, provider: &ProviderName, region: Option<&str>) -> bool {
        let provider = self.providers.as_ref().is_none_or(|all| all.contains(provider));
        provider
            && self
                .regions
                .as_ref()
                .is_none_or(|all| region.is_some_and(|region| all.iter().any(|allowed| allowed == region)))
    }

    /// Whether it allows every endpoint, so that nobody needs to look.
    #[must_use]
    pub const fn allows_every_endpoint(&self) -> bool {
        self.providers.is_none() && self.regions.is_none()
    }
}

/// Everything above and beside keys that carries an allowance: from the configuration and from the
/// store of keys.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Levels {
    /// Organisations, which are tenants.
    pub organisations: HashMap<TenantId, Allowance>,
    /// Teams of organisations.
    pub teams: HashMap<(TenantId, TeamName), Allowance>,
    /// What every session may do, whoever's it is.
    pub sessions: Allowance,
    /// What the keys of a tag may spend together.
    pub tags: HashMap<Tag, Vec<Budget>>,
    /// What may be spent on a configured model.
    pub models: HashMap<ModelName, Vec<Budget>>,
    /// What may be spent at a provider.
    pub providers: HashMap<ProviderName, Vec<Budget>>,
    /// What may be spent at one of our accounts.
    pub endpoints: HashMap<EndpointName, Vec<Budget>>,
}

impl Levels {
    /// What is named in them and may have budgets, each with its name for people.
    pub fn scopes(&self) -> impl Iterator<Item = (Scope, String)> {
        let organisations =
            self.organisations.keys().map(|name| (Scope::Organisation(name.clone()), name.to_string()));
        let teams = self.teams.keys().map(|(organisation, name)| {
            (Scope::Team(organisation.clone(), name.clone()), format!("{organisation}/{name}"))
        });
        let tags = self.tags.keys().map(|tag| (Scope::Tag(tag.clone()), tag.to_string()));
        let models = self.models.keys().map(|name| (Scope::Model(name.clone()), name.to_string()));
        let providers = self.providers.keys().map(|name| (Scope::Provider(name.clone()), name.to_string()));
        let endpoints = self.endpoints.keys().map(|name| (Scope::Endpoint(name.clone()), name.to_string()));
        organisations.chain(teams).chain(tags).chain(models).chain(providers).chain(endpoints)
    }
}

/// Whose limit or budget it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Scope {
    /// An organisation, which is a tenant.
    Organisation(TenantId),
    /// A team of an organisation.
    Team(TenantId, TeamName),
    /// A key.
    Key(KeyId),
    /// One conversation.
    Session(SessionKey),
    /// Every key with this tag.
    Tag(Tag),
    /// A configured model: our route to it.
    Model(ModelName),
    /// All that we send to a provider.
    Provider(ProviderName),
    /// All that we send to one of our accounts.
    Endpoint(EndpointName),
}

impl Scope {
    /// Which level it is: a label.
    #[must_use]
    pub const fn level(&self) -> &'static str {
        match self {
            Self::Organisation(_) => "organisation",
            Self::Team(..) => "team",
            Self::Key(_) => "key",
            Self::Session(_) => "session",
            Self::Tag(_) => "tag",
            Self::Model(_) => "model",
            Self::Provider(_) => "provider",
            Self::Endpoint(_) => "endpoint",
        }
    }
}
