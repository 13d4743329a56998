//! From the model that a caller names to the endpoints that serve it.
//!
//! In this order: the exact name; a dated id (`claude-sonnet-4-6-20260115`) by the longest name that
//! it extends; a pattern with `*`, the one with the most literal characters first; then, where
//! providers take models that nobody listed, those. In each step a model of the caller's own dialect
//! comes first, because its bytes go up as they came; any other is translated. Labels are what the
//! configuration wrote, never what a caller wrote.

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
    /// What its first endpoint speaks, in a word. The others may speak something else.
    pub family: Family,
    /// Who serves it, in the configuration's order.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// A `[[model]]` lists it; otherwise it is passed on by name.
    pub listed: bool,
    /// Whether the client's cache markers are made to ask for the long life.
    pub long_cache: Option<bool>,
    /// What each of `endpoints` calls it, in their order.
    upstream_names: Box<[Option<String>]>,
    /// `None` for unlisted models, whose class is chosen by hash.
    class: Option<u16>,
}

impl Model {
    /// What to write in the place of the caller's name at the first endpoint; `None` is to leave it as
    /// it is.
    #[must_use]
    pub fn upstream_name(&self, requested: &str) -> Option<&str> {
        self.first_name().filter(|name| *name != requested)
    }

    /// What to write in the place of the caller's name at `endpoint`; `None` is to leave it as it is.
    #[must_use]
    pub fn upstream_name_at(&self, endpoint: &Endpoint, requested: &str) -> Option<&str> {
        self.name_at(endpoint).filter(|name| *name != requested)
    }

    fn first_name(&self) -> Option<&str> {
        self.upstream_names.first().and_then(Option::as_deref)
    }

    fn name_at(&self, endpoint: &Endpoint) -> Option<&str> {
        let named = self.endpoints.iter().zip(&self.upstream_names);
        named.into_iter().find(|(each, _)| each.id() == endpoint.id()).and_then(|(_, name)| name.as_deref())
    }

    /// What a request for it counts as at an endpoint.
    #[must_use]
    pub fn lane(&self, operation: Operation, requested: &str) -> Lane {
        let name = self.first_name().unwrap_or(requested);
        Lane::of(operation, self.class.unwrap_or_else(|| unlisted_class(name)), name)
    }

    /// Whether its name is a pattern: such a name cannot be offered to callers.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.label.as_str().contains('*')
    }
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
    /// Every fault: an unknown endpoint, no endpoint, a name given twice in one family.
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
        let unlisted = Family::ALL.into_iter().filter_map(|family| Self::unlisted(family, pool)).collect();
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
        let class = params.class.as_deref().unwrap_or(label.as_str());
        let called = |endpoint: &Arc<Endpoint>| name_there(&params.upstream_names, endpoint);
        Ok(Model {
            family,
            upstream_names: endpoints.iter().map(called).collect(),
            endpoints: endpoints.into(),
            listed: true,
            long_cache: params.long_cache,
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
                upstream_names: Box::default(),
                class: None,
            })
        })
    }

    /// Who serves `requested`, for a caller whose dialect is of `family`; `None` where nobody does.
    #[must_use]
    pub fn resolve(&self, requested: &str, family: Family) -> Option<&Arc<Model>> {
        let listed = |fits: &dyn Fn(&str) -> bool, pattern: bool| {
            let mut found =
                self.models.iter().filter(|m| m.is_pattern() == pattern && fits(m.label.as_str()));
            let first = found.next()?;
            let own = std::iter::once(first).chain(found).find(|model| model.family == family);
            Some(own.unwrap_or(first))
        };
        let unlisted = || {
            let own = self.unlisted.iter().find(|model| model.family == family);
            own.or_else(|| self.unlisted.first())
        };
        listed(&|name| name == requested, false)
            .or_else(|| listed(&|name| is_dated(requested, name), false))
            .or_else(|| listed(&|name| glob(name, requested), true))
            .or_else(unlisted)
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
            let name = model.name_at(endpoint).map(str::to_owned);
            name.or_else(|| (!model.is_pattern()).then(|| model.label.to_string()))
        })
    }

    /// The stand-ins for models that nobody listed, one a family at most.
    pub fn unlisted_models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.unlisted.iter()
    }
}

/// What `endpoint` calls a model: the first of `names` whose glob covers the endpoint or its provider.
fn name_there(names: &[(String, String)], endpoint: &Endpoint) -> Option<String> {
    let provider = endpoint.provider().params.name.as_str();
    let covers = |of: &str| glob(of, endpoint.name().as_str()) || glob(of, provider);
    names.iter().find(|(of, _)| covers(of)).map(|(_, name)| name.clone())
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
