//! Every provider and endpoint of a configuration, joined with what is alive of them.
//!
//! Building a pool over an old one hands live state on by name: counts and the drained flag always;
//! auth state, bars and learned domains while provider, host and key are the same; cooling by
//! domain; breakers by base URL and region. A changed key starts with a clean record.

use std::{collections::HashMap, sync::Arc};

use super::{
    auth::Credential,
    budget::RetryBudget,
    domain::{Membership, Registry},
    endpoint::{Account, Endpoint, Provider},
    key::KeyGate,
    params::{EndpointParams, ProviderParams},
    rate_domain::Terms,
    tally::{Bars, Tally},
};
use crate::types::{DomainName, EndpointName, ModelName, ProviderName};

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// A fault of the configuration that shows only when its parts are joined.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PoolFault {
    /// Two providers of one name.
    #[error("provider `{0}` is given twice")]
    ProviderTwice(ProviderName),
    /// Two endpoints of one name.
    #[error("endpoint `{0}` is given twice")]
    EndpointTwice(EndpointName),
    /// Two names with one hash: placement could not tell them apart.
    #[error("endpoints `{0}` and `{1}` have the same hash: rename one")]
    SameHash(EndpointName, EndpointName),
    /// An endpoint of a provider that is not there.
    #[error("endpoint `{endpoint}` names provider `{provider}`, which is not configured")]
    UnknownProvider {
        /// The endpoint.
        endpoint: EndpointName,
        /// What it names.
        provider: ProviderName,
    },
    /// A model served by an endpoint that is not there.
    #[error("model `{model}` names endpoint `{endpoint}`, which is not configured")]
    ModelEndpoint {
        /// The model.
        model: ModelName,
        /// What it names.
        endpoint: EndpointName,
    },
    /// A model that nobody serves.
    #[error("model `{0}` has no endpoint")]
    ModelWithoutEndpoint(ModelName),
    /// Two models of one name and dialect.
    #[error("model `{0}` is given twice for one dialect")]
    ModelTwice(ModelName),
}

/// What we may send to.
pub struct Pool {
    providers: Vec<Arc<Provider>>,
    endpoints: Vec<Arc<Endpoint>>,
    by_name: Map<EndpointName, usize>,
    registry: Arc<Registry>,
}

impl Pool {
    /// Joins providers and endpoints; live state is taken over from `old`.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn build(
        providers: Vec<ProviderParams>,
        endpoints: Vec<EndpointParams>,
        old: Option<&Self>,
    ) -> Result<Self, Vec<PoolFault>> {
        let registry = old.map_or_else(Arc::default, |old| Arc::clone(&old.registry));
        let mut faults = Vec::new();
        let mut pool = Self {
            providers: Vec::with_capacity(providers.len()),
            endpoints: Vec::with_capacity(endpoints.len()),
            by_name: Map::default(),
            registry,
        };
        for params in providers {
            if pool.provider(params.name.as_str()).is_some() {
                faults.push(PoolFault::ProviderTwice(params.name));
                continue;
            }
            let percent = params.retry_budget_percent;
            let before = old.and_then(|old| old.provider(params.name.as_str()));
            let budget = before.map_or_else(|| RetryBudget::new(percent), |p| p.budget.with_percent(percent));
            pool.providers.push(Arc::new(Provider { params, budget }));
        }
        let configured: Vec<DomainName> = endpoints.iter().filter_map(|e| e.rate_domain.clone()).collect();
        let mut by_id: Map<u64, EndpointName> = Map::default();
        for params in endpoints {
            let id = Endpoint::id_of(params.name.as_str());
            match by_id.insert(id, params.name.clone()) {
                Some(other) if other == params.name => faults.push(PoolFault::EndpointTwice(other)),
                Some(other) => faults.push(PoolFault::SameHash(other, params.name)),
                None => match pool.endpoint_of(params, &configured, old) {
                    Ok(endpoint) => pool.push(endpoint),
                    Err(fault) => faults.push(fault),
                },
            }
        }
        if faults.is_empty() {
            pool.set_weights();
            pool.set_terms();
            Ok(pool)
        } else {
            Err(faults)
        }
    }

    fn push(&mut self, endpoint: Endpoint) {
        self.by_name.insert(endpoint.name().clone(), self.endpoints.len());
        self.endpoints.push(Arc::new(endpoint));
    }

    fn endpoint_of(
        &self,
        params: EndpointParams,
        configured: &[DomainName],
        old: Option<&Self>,
    ) -> Result<Endpoint, PoolFault> {
        let Some(provider) = self.provider(params.provider.as_str()) else {
            return Err(PoolFault::UnknownProvider { endpoint: params.name, provider: params.provider });
        };
        let account = Account {
            provider: provider.params.name.to_string(),
            host: format!("{}:{}", provider.params.host, provider.params.port),
            key: params.digest(),
        };
        let before = old.and_then(|old| old.endpoint(params.name.as_str()));
        let same = before.filter(|before| before.account == account);
        let membership = match same {
            Some(same)
                if same.params.rate_domain == params.rate_domain
                    && same.params.cache_domain == params.cache_domain =>
            {
                Arc::clone(&same.membership)
            }
            Some(_) | None => {
                let membership = self.own_membership(&params, configured);
                if let Some(same) = same {
                    // Another domain by the configuration's will, but the account still cools.
                    membership.rate.load().keep_the_stricter(&same.membership.rate.load());
                }
                Arc::new(membership)
            }
        };
        // The same account keeps the token that it has.
        let credential =
            same.map_or_else(|| credential(&params).map(Arc::new), |same| same.credential.clone());
        let failure = self.registry.failure(&failure_name(&provider.params, params.region.as_deref()));
        Ok(Endpoint {
            id: Endpoint::id_of(params.name.as_str()),
            provider: Arc::clone(provider),
            tally: before.map_or_else(Arc::<Tally>::default, |before| Arc::clone(&before.tally)),
            key_gate: same.map_or_else(Arc::<KeyGate>::default, |same| Arc::clone(&same.key_gate)),
            bars: same.map_or_else(Arc::<Bars>::default, |same| Arc::clone(&same.bars)),
            registry: Arc::clone(&self.registry),
            credential,
            membership,
            failure,
            account,
            params,
        })
    }

    fn own_membership(&self, params: &EndpointParams, configured: &[DomainName]) -> Membership {
        // A domain of one is named after its endpoint, unless that names somebody else's.
        let own = if configured.iter().any(|name| name.as_str() == params.name.as_str()) {
            DomainName::from(format!("endpoint/{}", params.name))
        } else {
            DomainName::from(params.name.as_str())
        };
        let rate = match &params.rate_domain {
            Some(name) => self.registry.rate(name, true),
            None => self.registry.rate(&own, false),
        };
        let cache = params.cache_domain.clone();
        let cache_configured = cache.is_some();
        Membership::new(rate, cache.unwrap_or(own), cache_configured)
    }

    fn set_weights(&self) {
        let mut weights: Map<DomainName, u32> = Map::default();
        for endpoint in &self.endpoints {
            let weight = weights.entry(endpoint.rate_domain().name().clone()).or_default();
            *weight = endpoint.params.weight.max(*weight);
        }
        for endpoint in &self.endpoints {
            let domain = endpoint.rate_domain();
            if let Some(&weight) = weights.get(domain.name()) {
                domain.set_weight(weight);
            }
        }
    }

    fn set_terms(&self) {
        let mut terms: Map<DomainName, Terms> = Map::default();
        for endpoint in &self.endpoints {
            let own = endpoint.terms();
            terms
                .entry(endpoint.rate_domain().name().clone())
                .and_modify(|terms| *terms = terms.and(own))
                .or_insert(own);
        }
        for endpoint in &self.endpoints {
            let domain = endpoint.rate_domain();
            if let Some(&terms) = terms.get(domain.name()) {
                domain.set_terms(terms);
            }
        }
    }

    /// The endpoint of this name.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(*self.by_name.get(name)?)
    }

    /// Every endpoint, in the configuration's order.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.params.name.as_str() == name)
    }

    /// Every provider, in the configuration's order.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// What a class of limits is called.
    #[must_use]
    pub fn class_name(&self, class: u16) -> String {
        self.registry.classes.name(class)
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

fn credential(params: &EndpointParams) -> Option<Credential> {
    let granted = || params.grant.clone().map(Credential::grant);
    params.key.clone().map(Credential::key).or_else(granted)
}

fn failure_name(provider: &ProviderParams, region: Option<&str>) -> DomainName {
    let scheme = if provider.tls { "https" } else { "http" };
    let mut name = format!("{scheme}://{}:{}{}", provider.host, provider.port, provider.base_path);
    if let Some(address) = provider.address {
        name.push_str(&format!(" at {address}"));
    }
    if let Some(region) = region {
        name.push_str(&format!(" in {region}"));
    }
    name.into()
}
