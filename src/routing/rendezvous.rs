//! Weighted rendezvous hashing: which endpoint a session hashes to, then which next.
//!
//! Each endpoint scores `weight / -ln(u)`, where `u` is in (0, 1) and comes from XXH3 over the hash of
//! the endpoint's *name* and the session's seed; the highest score wins. So replicas and restarts
//! agree, and adding or removing an endpoint moves only its own share. Weight belongs to a rate
//! domain and is shared by its endpoints: eight keys of one organisation are one limit, not eight.
//!
//! Endpoints of one weight are kept together: within a group the highest hash has the highest score,
//! so that a choice costs one integer hash an endpoint and one logarithm a weight, and allocates
//! nothing. Whether an endpoint may be used is asked only of those that would win.
//!
//! Traps (pingora.md 5): Pingora's `Backend` compares by address and weight only, so every endpoint
//! has a pseudo address of its own and `weight` stays 1; what changes lives behind the `Arc` in `ext`.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv6Addr, SocketAddrV6},
    ops::Range,
    sync::Arc,
};

use arc_swap::ArcSwap;
use pingora_load_balancing::{
    Backend, Extensions,
    selection::{BackendIter, BackendSelection},
};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    clock::Moment,
    upstream::{Endpoint, Lane, RoutingMode},
};

/// The hash of an endpoint and a seed: XXH3-64 over both, little endian. Never change it: it places
/// every session of every replica.
#[must_use]
pub fn score_hash(endpoint_id: u64, seed: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&endpoint_id.to_le_bytes());
    bytes[8..].copy_from_slice(&seed.to_le_bytes());
    xxh3_64(&bytes)
}

/// The score of a hash at a weight; higher wins.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit into an f64 exactly")]
fn score(hash: u64, weight: f64) -> f64 {
    let u = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    weight / -u.ln()
}

/// An endpoint as a selector sees it.
pub struct Node {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Which of [`Nodes::domains`] it belongs to.
    pub domain: usize,
    id: u64,
    weight: f64,
    backend: Backend,
}

impl Node {
    /// XXH3 of its name.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A rate domain as a selector sees it.
pub struct DomainShare {
    /// Its weight.
    pub weight: f64,
    /// How many of the selector's endpoints it has.
    pub members: usize,
}

/// The endpoints of one selector, weighted by what was known of their domains when it was made.
#[derive(Default)]
pub struct Nodes {
    /// By weight, then by hash of the name.
    nodes: Box<[Node]>,
    groups: Box<[Range<usize>]>,
    domains: Box<[DomainShare]>,
    by_id: HashMap<u64, usize, ahash::RandomState>,
    by_cache: HashMap<u64, SmallVec<[usize; 2]>, ahash::RandomState>,
    pinned: bool,
}

impl Nodes {
    /// Weighs `endpoints` by their rate domains as they are now.
    #[must_use]
    pub fn new<'a>(endpoints: impl IntoIterator<Item = &'a Arc<Endpoint>>) -> Self {
        let mut by_name: HashMap<_, usize, ahash::RandomState> = HashMap::default();
        let mut domains: Vec<DomainShare> = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        for endpoint in endpoints {
            let rate = endpoint.rate_domain();
            let domain = *by_name.entry(rate.name().clone()).or_insert_with(|| {
                domains.push(DomainShare { weight: f64::from(rate.weight()), members: 0 });
                domains.len() - 1
            });
            if let Some(share) = domains.get_mut(domain) {
                share.members += 1;
            }
            let backend = backend_of(endpoint);
            nodes.push(Node {
                endpoint: Arc::clone(endpoint),
                domain,
                id: endpoint.id(),
                weight: 0.0,
                backend,
            });
        }
        for node in &mut nodes {
            if let Some(share) = domains.get(node.domain) {
                node.weight = share.weight / f64::from(u32::try_from(share.members).unwrap_or(u32::MAX));
            }
        }
        nodes.sort_by(|a, b| a.weight.total_cmp(&b.weight).then(a.id.cmp(&b.id)));
        nodes.dedup_by_key(|node| node.id);
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if nodes.get(group.start).is_some_and(|first| first.weight == node.weight) => {
                    group.end = at + 1;
                }
                Some(_) | None => groups.push(at..at + 1),
            }
        }
        let by_id = nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
        let mut by_cache: HashMap<u64, SmallVec<[usize; 2]>, ahash::RandomState> = HashMap::default();
        for (at, node) in nodes.iter().enumerate() {
            by_cache.entry(node.endpoint.cache_id()).or_default().push(at);
        }
        let pinned = nodes.iter().any(|n| n.endpoint.provider().params.routing == RoutingMode::Pinned);
        Self { nodes: nodes.into(), groups: groups.into(), domains: domains.into(), by_id, by_cache, pinned }
    }

    /// The endpoint with this hash of its name.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Node> {
        self.nodes.get(*self.by_id.get(&id)?)
    }

    /// The endpoints that share a prompt cache, by [`Endpoint::cache_id`].
    pub fn of_cache(&self, cache: u64) -> impl Iterator<Item = &Node> {
        let at = self.by_cache.get(&cache).map(SmallVec::as_slice).unwrap_or_default();
        at.iter().filter_map(|&at| self.nodes.get(at))
    }

    /// One of the providers asks for pinned routing, so the model is routed that way.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Every endpoint, in no order that means anything.
    #[must_use]
    pub fn all(&self) -> &[Node] {
        &self.nodes
    }

    /// The rate domains, by [`Node::domain`].
    #[must_use]
    pub fn domains(&self) -> &[DomainShare] {
        &self.domains
    }

    /// The best of those that `accept` takes. It is asked only of those that beat the best so far.
    #[must_use]
    pub fn best(&self, seed: u64, mut accept: impl FnMut(&Node) -> bool) -> Option<&Node> {
        let mut best: Option<(f64, &Node)> = None;
        for group in &self.groups {
            let mut highest: Option<(u64, &Node)> = None;
            for node in self.nodes.get(group.clone()).unwrap_or_default() {
                let hash = score_hash(node.id, seed);
                if highest.is_none_or(|(high, _)| hash > high) && accept(node) {
                    highest = Some((hash, node));
                }
            }
            if let Some((hash, node)) = highest {
                let score = score(hash, node.weight);
                if best.is_none_or(|(high, _)| score > high) {
                    best = Some((score, node));
                }
            }
        }
        best.map(|(_, node)| node)
    }

    /// The `k` best of those that `accept` takes, best first. As with [`Self::best`], logarithms are
    /// taken only of the best few of each weight.
    #[must_use]
    pub fn top(&self, seed: u64, k: usize, mut accept: impl FnMut(&Node) -> bool) -> SmallVec<[&Node; 8]> {
        let mut top: SmallVec<[(f64, &Node); 8]> = SmallVec::new();
        let mut highest: SmallVec<[(u64, &Node); 8]> = SmallVec::new();
        for group in &self.groups {
            for node in self.nodes.get(group.clone()).unwrap_or_default() {
                let hash = score_hash(node.id, seed);
                let full = highest.len() >= k;
                if (full && highest.last().is_none_or(|(least, _)| hash <= *least)) || !accept(node) {
                    continue;
                }
                if full {
                    highest.pop();
                }
                let at = highest.partition_point(|(higher, _)| *higher >= hash);
                highest.insert(at, (hash, node));
            }
            top.extend(highest.drain(..).map(|(hash, node)| (score(hash, node.weight), node)));
        }
        top.sort_by(|a, b| b.0.total_cmp(&a.0));
        top.truncate(k);
        top.into_iter().map(|(_, node)| node).collect()
    }

    fn order(&self, seed: u64) -> Vec<(f64, usize)> {
        let scored = |(at, node): (usize, &Node)| (score(score_hash(node.id, seed), node.weight), at);
        let mut order: Vec<_> = self.nodes.iter().enumerate().map(scored).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order
    }
}

/// An endpoint as Pingora's load balancer sees it: a pseudo address `[fd00::<hash of its name>]:1`,
/// and the endpoint itself in `ext`.
#[must_use]
pub fn backend_of(endpoint: &Arc<Endpoint>) -> Backend {
    let address = Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(endpoint.id()));
    let mut ext = Extensions::new();
    ext.insert(Arc::clone(endpoint));
    let address = std::net::SocketAddr::V6(SocketAddrV6::new(address, 1, 0, 0));
    Backend { addr: pingora::protocols::l4::socket::SocketAddr::Inet(address), weight: 1, ext }
}

/// The endpoint behind a backend of ours.
#[must_use]
pub fn endpoint_of(backend: &Backend) -> Option<&Arc<Endpoint>> {
    backend.ext.get::<Arc<Endpoint>>()
}

/// What is passed to Pingora's `select` as the key: the seed, and, so that endpoints which cannot be
/// used are skipped inside the iterator (1 ns each, instead of 235 ns in Pingora's), lane and time.
#[derive(Clone, Copy, Debug)]
pub struct SelectKey([u8; 18]);

impl SelectKey {
    /// The key of a request of `lane` at `now`.
    #[must_use]
    pub fn new(seed: u64, lane: Lane, now: Moment) -> Self {
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&now.as_nanos().to_le_bytes());
        bytes[16..].copy_from_slice(&lane.class().to_le_bytes());
        Self(bytes)
    }

    /// The bytes to hand to `select`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Any other bytes are a key too: they are hashed, and nothing is skipped.
    fn read(key: &[u8]) -> (u64, Option<(Lane, Moment)>) {
        let Ok(bytes) = <&[u8; 18]>::try_from(key) else { return (xxh3_64(key), None) };
        let [seed @ .., _, _, _, _, _, _, _, _, _, _] = bytes;
        let [_, _, _, _, _, _, _, _, now @ .., _, _] = bytes;
        let [.., low, high] = *bytes;
        let lane = Lane::from_class(u16::from_le_bytes([low, high]));
        (u64::from_le_bytes(*seed), Some((lane, Moment::from_nanos(u64::from_le_bytes(*now)))))
    }
}

/// Pingora's view of a selector. The nodes are shared with the ring that owns it, so that weights
/// can change while the set of backends does not.
pub struct Rendezvous {
    nodes: Arc<ArcSwap<Nodes>>,
}

impl BackendSelection for Rendezvous {
    type Iter = RendezvousIter;
    type Config = Arc<ArcSwap<Nodes>>;

    fn build_with_config(backends: &BTreeSet<Backend>, shared: &Self::Config) -> Self {
        shared.store(Arc::new(Nodes::new(backends.iter().filter_map(endpoint_of))));
        Self { nodes: Arc::clone(shared) }
    }

    fn build(backends: &BTreeSet<Backend>) -> Self {
        Self::build_with_config(backends, &Arc::default())
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> RendezvousIter {
        let (seed, skip) = SelectKey::read(key);
        RendezvousIter { nodes: self.nodes.load_full(), seed, skip, first: None, rest: None }
    }
}

/// Endpoints, best first. The first costs one scan and no allocation; the order of the others is
/// worked out when a second is asked for.
pub struct RendezvousIter {
    nodes: Arc<Nodes>,
    seed: u64,
    skip: Option<(Lane, Moment)>,
    first: Option<u64>,
    rest: Option<std::vec::IntoIter<(f64, usize)>>,
}

fn may_be_used(node: &Node, skip: Option<(Lane, Moment)>) -> bool {
    skip.is_none_or(|(lane, now)| node.endpoint.availability(lane, now).usable())
}

impl BackendIter for RendezvousIter {
    fn next(&mut self) -> Option<&Backend> {
        let (nodes, skip) = (&*self.nodes, self.skip);
        let Some(first) = self.first else {
            let node = nodes.best(self.seed, |node| may_be_used(node, skip))?;
            self.first = Some(node.id);
            return Some(&node.backend);
        };
        let rest = self.rest.get_or_insert_with(|| nodes.order(self.seed).into_iter());
        rest.filter_map(|(_, at)| nodes.nodes.get(at))
            .find(|node| node.id != first && may_be_used(node, skip))
            .map(|node| &node.backend)
    }
}

#[cfg(test)]
#[path = "rendezvous_tests.rs"]
mod tests;
