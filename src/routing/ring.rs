//! A selector in service: Pingora's load balancer over a set of endpoints that can be swapped.
//!
//! One ring a model (and one a provider, for passed-through paths). The policy reads its nodes, and
//! the native path its `LoadBalancer`: both are the same nodes. Pingora's health registry only
//! *shows* our state; the atomics in the endpoints are the truth and are read at each choice.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{Error, ErrorType};
use pingora_load_balancing::{
    Backend, Backends, LoadBalancer, discovery::ServiceDiscovery, health_check::HealthCheck,
};

use super::rendezvous::{Nodes, Rendezvous, backend_of, endpoint_of};
use crate::{
    clock,
    types::{Family, ModelName, ProviderName},
    upstream::{Endpoint, EndpointState, Model, ModelTable, Pool},
};

/// The set of backends that the load balancer discovers.
#[derive(Default)]
struct Source(ArcSwap<BTreeSet<Backend>>);

struct Discovery(Arc<Source>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok((BTreeSet::clone(&self.0.0.load()), HashMap::new()))
    }
}

/// Publishes our state to Pingora's health registry, without any I/O. (For engines with a health
/// path the I/O is done elsewhere and ends in [`Endpoint::set_healthy`].)
struct StateCheck;

#[async_trait]
impl HealthCheck for StateCheck {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let state = endpoint_of(target).map(|endpoint| endpoint.state(clock::now()));
        match state {
            Some(
                EndpointState::Ready | EndpointState::Paced | EndpointState::Probing | EndpointState::Suspect,
            ) => Ok(()),
            Some(
                out @ (EndpointState::Cooling
                | EndpointState::Failing
                | EndpointState::Spent
                | EndpointState::Unhealthy
                | EndpointState::NoToken
                | EndpointState::Quarantined
                | EndpointState::Drained),
            ) => Error::e_explain(ErrorType::Custom("endpoint is out"), out.label()),
            None => Error::e_explain(ErrorType::InternalError, "no endpoint behind this backend"),
        }
    }

    fn health_threshold(&self, _success: bool) -> usize {
        1
    }

    fn backend_summary(&self, target: &Backend) -> String {
        endpoint_of(target).map_or_else(String::new, |endpoint| endpoint.name().to_string())
    }
}

/// A set of endpoints to choose from.
pub struct Ring {
    balancer: LoadBalancer<Rendezvous>,
    source: Arc<Source>,
    nodes: Arc<ArcSwap<Nodes>>,
    /// Also keeps updates apart: Pingora's must not overlap.
    endpoints: Mutex<Arc<[Arc<Endpoint>]>>,
}

impl Ring {
    /// A ring over `endpoints`, ready for use.
    #[must_use]
    pub fn new(endpoints: &[Arc<Endpoint>]) -> Arc<Self> {
        let (source, nodes) = (Arc::<Source>::default(), Arc::<ArcSwap<Nodes>>::default());
        let mut backends = Backends::new(Box::new(Discovery(Arc::clone(&source))));
        backends.set_health_check(Box::new(StateCheck));
        let balancer = LoadBalancer::from_backends_with_config(backends, Some(Arc::clone(&nodes)));
        let ring = Self { balancer, source, nodes, endpoints: Mutex::new(Arc::default()) };
        ring.replace(endpoints);
        Arc::new(ring)
    }

    /// Pingora's load balancer: `select` with a [`super::SelectKey`].
    #[must_use]
    pub fn balancer(&self) -> &LoadBalancer<Rendezvous> {
        &self.balancer
    }

    /// The endpoints with their weights, as they are now.
    #[must_use]
    pub fn nodes(&self) -> arc_swap::Guard<Arc<Nodes>> {
        self.nodes.load()
    }

    /// Other endpoints from now on. The health of those that stay is kept.
    pub fn replace(&self, endpoints: &[Arc<Endpoint>]) {
        let mut current = self.endpoints.lock();
        *current = endpoints.into();
        self.source.0.store(Arc::new(endpoints.iter().map(backend_of).collect()));
        // Our discovery never waits, so that one poll is all of it.
        let updated = pin!(self.balancer.update()).poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(matches!(updated, Poll::Ready(Ok(()))), "discovery waits for nothing");
        // Pingora sees no change where only what is behind the backends changed.
        self.nodes.store(Arc::new(Nodes::new(endpoints)));
    }

    /// Shares weights anew: some endpoint learned that it belongs to another rate domain.
    pub fn reweigh(&self) {
        let current = self.endpoints.lock();
        self.nodes.store(Arc::new(Nodes::new(current.iter())));
    }
}

/// The rings of a configuration.
pub struct Rings {
    models: HashMap<(ModelName, Family), Arc<Ring>, ahash::RandomState>,
    providers: HashMap<ProviderName, Arc<Ring>, ahash::RandomState>,
}

impl Rings {
    /// One ring a model, one a provider.
    #[must_use]
    pub fn build(pool: &Pool, models: &ModelTable) -> Self {
        let of_model =
            |model: &Arc<Model>| ((model.label.clone(), model.family), Ring::new(&model.endpoints));
        let of_provider = |name: &ProviderName| {
            let of = |endpoint: &&Arc<Endpoint>| endpoint.provider().params.name == *name;
            let endpoints: Vec<_> = pool.endpoints().iter().filter(of).map(Arc::clone).collect();
            (name.clone(), Ring::new(&endpoints))
        };
        Self {
            models: models.models().chain(models.unlisted_models()).map(of_model).collect(),
            providers: pool.providers().iter().map(|provider| of_provider(&provider.params.name)).collect(),
        }
    }

    /// Who serves `model`. `None` only for a model of another configuration.
    #[must_use]
    pub fn of(&self, model: &Model) -> Option<&Arc<Ring>> {
        self.models.get(&(model.label.clone(), model.family))
    }

    /// Who serves what `provider` lets pass through.
    #[must_use]
    pub fn of_provider(&self, provider: &ProviderName) -> Option<&Arc<Ring>> {
        self.providers.get(provider)
    }

    /// Every ring.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Ring>> {
        self.models.values().chain(self.providers.values())
    }

    /// Shares weights anew everywhere: call it when an endpoint learned something that changes its
    /// domain.
    pub fn reweigh(&self) {
        self.all().for_each(|ring| ring.reweigh());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::Moment,
        routing::SelectKey,
        upstream::{Lane, testing},
    };

    #[tokio::test]
    async fn pingora_selects_what_the_policy_would() {
        let pool = testing::eight();
        let ring = Ring::new(pool.endpoints());
        for seed in 0..200_u64 {
            let ours = ring.nodes().best(seed, |_| true).unwrap().endpoint.id();
            let key = SelectKey::new(seed, Lane::PASSTHROUGH, Moment::ZERO);
            let theirs = ring.balancer().select(key.as_bytes(), 8).unwrap();
            assert_eq!(endpoint_of(&theirs).unwrap().id(), ours);
        }
    }

    #[tokio::test]
    async fn endpoints_that_cannot_be_used_are_skipped_by_the_iterator() {
        let pool = testing::eight();
        let ring = Ring::new(pool.endpoints());
        for endpoint in &pool.endpoints()[..7] {
            endpoint.drain();
        }
        let key = SelectKey::new(5, Lane::PASSTHROUGH, Moment::ZERO);
        let chosen = ring.balancer().select_with(key.as_bytes(), 1, |_, _| true).unwrap();
        assert_eq!(endpoint_of(&chosen).unwrap().name().as_str(), "c2");
        pool.endpoints()[7].drain();
        assert!(ring.balancer().select_with(key.as_bytes(), 8, |_, _| true).is_none());
    }

    #[tokio::test]
    async fn swapping_endpoints_and_weights_reaches_both_views() {
        let (old, new) = (testing::eight(), testing::eight());
        let ring = Ring::new(old.endpoints());
        ring.replace(&new.endpoints()[..2]);
        assert_eq!(ring.nodes().all().len(), 2);
        for seed in 0..20_u64 {
            let backend = ring.balancer().select(&seed.to_le_bytes(), 8).unwrap();
            let endpoint = endpoint_of(&backend).unwrap();
            assert!(new.endpoints()[..2].iter().any(|e| Arc::ptr_eq(e, endpoint)), "a stale endpoint");
        }
        // The same names, other objects: Pingora's set does not change, what we read must.
        ring.replace(&old.endpoints()[..2]);
        let backend = ring.balancer().select(b"x", 8).unwrap();
        assert!(old.endpoints()[..2].iter().any(|e| Arc::ptr_eq(e, endpoint_of(&backend).unwrap())));
    }

    #[tokio::test]
    async fn pingoras_health_registry_shows_our_state() {
        let pool = testing::eight();
        let ring = Ring::new(pool.endpoints());
        pool.endpoints()[0].cool(Duration::from_secs(3_600), clock::now());
        ring.balancer().backends().run_health_check(false).await;
        let ready = |at: usize| ring.balancer().backends().ready(&backend_of(&pool.endpoints()[at]));
        assert!(!ready(0));
        assert!(ready(1));
    }
}
