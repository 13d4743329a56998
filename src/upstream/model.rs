//! From the model that a caller names to the endpoints that serve it.
//!
//! In this order: the exact name; a dated id (`claude-sonnet-4-6-20260115`) by the longest name that
//! it extends; a pattern with `*`, the one with the most literal characters first; then, where
//! providers take models that nobody listed, those. Labels are what the configuration wrote, never
//! what a caller wrote.

use std::sync::Arc;

use super::{
    endpoint::Endpoint,
    lane::{Lane, unlisted_class},
    params::ModelParams,
    pool::{Pool, PoolFault},
};
use crate::types::{Family, ModelName, Operation};

/// What an unlisted model is called in metrics and receipts.
const UNLISTED: &str = "unlisted";

/// One model as the configuration names it, and who serves it.
pub struct Model {
    /// The configured name or pattern: safe as a metric label.
    pub label: ModelName,
    /// What its endpoints speak.
    pub family: Family,
    /// Who serves it, in the configuration's order.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// A `[[model]]` lists it; otherwise it is passed on by name.
    pub listed: bool,
    /// Whether the client's cache markers are made to ask for the long life.
    pub long_cache: Option<bool>,
    upstream_name: Option<String>,
    /// `None` for unlisted models, whose class is chosen by hash.
    class: Option<u16>,
}

impl Model {
    /// What to write in the place of the caller's name; `None` is to leave it as it is.
    #[must_use]
    pub fn upstream_name(&self, requested: &str) -> Option<&str> {
        self.upstream_name.as_deref().filter(|name| *name != requested)
    }

    /// What a request for it counts as at an endpoint.
    #[must_use]
    pub fn lane(&self, operation: Operation, requested: &str) -> Lane {
        let name = self.upstream_name.as_deref().unwrap_or(requested);
        Lane::of(operation, self.class.unwrap_or_else(|| unlisted_class(name)), name)
    }

    /// Whether its name is a pattern: such a name cannot be offered to callers.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.label.as_str().contains('*')
    }
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unresolved {
    /// Nobody serves it.
    Unknown,
    /// It is served, but only in another dialect.
    WrongDialect,
}

/// Every model of a configuration.
pub struct ModelTable {
    /// Longest name first, patterns behind names.
    models: Vec<Arc<Model>>,
    unlisted: Vec<Arc<Model>>,
}

impl ModelTable {
    /// Joins models with the endpoints of `pool`.
    ///
    /// # Errors
    /// Every fault: an unknown endpoint, no endpoint, endpoints of two families, a name given twice
    /// in one family.
    pub fn build(params: Vec<ModelParams>, pool: &Pool) -> Result<Self, Vec<PoolFault>> {
        let mut faults = Vec::new();
        let mut models: Vec<Arc<Model>> = Vec::with_capacity(params.len());
        for params in params {
            match Self::model(params, pool) {
                Ok(model) if models.iter().any(|m| m.label == model.label && m.family == model.family) => {
                    faults.push(PoolFault::ModelTwice(model.label));
                }
                Ok(model) => models.push(Arc::new(model)),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        models.sort_by_key(|model| (model.is_pattern(), std::cmp::Reverse(literals(model.label.as_str()))));
        let unlisted = [Family::Anthropic, Family::OpenAi]
            .into_iter()
            .filter_map(|family| Self::unlisted(family, pool))
            .collect();
        Ok(Self { models, unlisted })
    }

    fn model(params: ModelParams, pool: &Pool) -> Result<Model, PoolFault> {
        let label = ModelName::from(params.name);
        let mut endpoints = Vec::with_capacity(params.endpoints.len());
        for name in &params.endpoints {
            let endpoint = pool
                .endpoint(name.as_str())
                .ok_or_else(|| PoolFault::ModelEndpoint { model: label.clone(), endpoint: name.clone() })?;
            if !endpoints.iter().any(|known: &Arc<Endpoint>| known.name() == name) {
                endpoints.push(Arc::clone(endpoint));
            }
        }
        let family = endpoints.first().map(|endpoint| endpoint.provider().params.family);
        let family = family.ok_or_else(|| PoolFault::ModelWithoutEndpoint(label.clone()))?;
        if endpoints.iter().any(|endpoint| endpoint.provider().params.family != family) {
            return Err(PoolFault::ModelFamilies(label));
        }
        let class = params.class.as_deref().unwrap_or(label.as_str());
        Ok(Model {
            family,
            endpoints: endpoints.into(),
            listed: true,
            long_cache: params.long_cache,
            upstream_name: params.upstream_name,
            class: Some(pool.registry().classes.number(class)),
            label,
        })
    }

    fn unlisted(family: Family, pool: &Pool) -> Option<Arc<Model>> {
        let endpoints: Vec<_> = pool
            .endpoints()
            .iter()
            .filter(|e| e.provider().params.family == family && e.provider().params.pass_unlisted)
            .map(Arc::clone)
            .collect();
        (!endpoints.is_empty()).then(|| {
            Arc::new(Model {
                label: UNLISTED.into(),
                family,
                endpoints: endpoints.into(),
                listed: false,
                long_cache: None,
                upstream_name: None,
                class: None,
            })
        })
    }

    /// Who serves `requested` in a dialect of `family`.
    ///
    /// # Errors
    /// When nobody does.
    pub fn resolve(&self, requested: &str, family: Family) -> Result<&Arc<Model>, Unresolved> {
        let found = |family| self.listed(requested, family);
        found(family).or_else(|| self.unlisted.iter().find(|model| model.family == family)).ok_or_else(|| {
            let elsewhere = [Family::Anthropic, Family::OpenAi]
                .into_iter()
                .any(|other| other != family && found(other).is_some());
            if elsewhere { Unresolved::WrongDialect } else { Unresolved::Unknown }
        })
    }

    fn listed(&self, requested: &str, family: Family) -> Option<&Arc<Model>> {
        let ours = || self.models.iter().filter(move |model| model.family == family);
        let (names, patterns) = (|| ours().filter(|m| !m.is_pattern()), ours().filter(|m| m.is_pattern()));
        names()
            .find(|model| model.label.as_str() == requested)
            .or_else(|| names().find(|model| is_dated(requested, model.label.as_str())))
            .or_else(|| patterns.into_iter().find(|model| glob(model.label.as_str(), requested)))
    }

    /// Every listed model, patterns last.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.iter()
    }

    /// A model that `endpoint` serves, as its provider calls it, for a check that has to name one.
    #[must_use]
    pub fn served_by(&self, endpoint: &Endpoint) -> Option<String> {
        let serves = |model: &&Arc<Model>| model.endpoints.iter().any(|each| each.id() == endpoint.id());
        self.models().filter(serves).find_map(|model| {
            model.upstream_name.clone().or_else(|| (!model.is_pattern()).then(|| model.label.to_string()))
        })
    }

    /// The stand-ins for models that nobody listed, one a family at most.
    pub fn unlisted_models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.unlisted.iter()
    }
}

fn literals(pattern: &str) -> usize {
    pattern.bytes().filter(|&b| b != b'*').count()
}

/// `requested` is `name`, a dash, and a date (or `latest`): the same model, pinned to a version.
/// `gpt-5.6-mini` is *not* a dated `gpt-5.6`: it has other limits and another price.
#[must_use]
pub fn is_dated(requested: &str, name: &str) -> bool {
    let Some(rest) = requested.strip_prefix(name).and_then(|rest| rest.strip_prefix(['-', '@'])) else {
        return false;
    };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    rest == "latest" || (digits >= 4 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// Whether `text` matches `pattern`, in which `*` stands for any text.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}
