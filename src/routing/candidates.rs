//! Whom to weigh: never all, always everyone who can win.
//!
//! Where most of the prompt is warm, and the session's home; if none of those can start at once,
//! also where a shared prefix is warm, the best by rendezvous, and the least utilised of a few.
//! Rings of a dozen are weighed whole.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{
    policy::{Ask, SUSPECT_STEP, SUSPECT_WAIT},
    rendezvous::{Node, Nodes},
    score::{Facts, Terms, Weights},
    sessions::Known,
    warm::{Found, Leader},
};
use crate::{
    clock::Moment,
    types::DomainName,
    upstream::{Availability, Need, Outlook, Reservation, Standing},
};

/// Rings up to this size are weighed whole.
const SMALL: usize = 12;
/// Places where a shared prefix is warm that are looked at.
const SHARED: usize = 8;
/// The best by rendezvous that are looked at.
const RENDEZVOUS: usize = 3;
/// Endpoints among which the least utilised ones are sought ..
const SAMPLE: usize = 8;
/// .. and how many of them are taken.
const IDLE: usize = 2;
/// Endpoints whose sessions are counted to know what a fair share is.
const COUNTED: usize = 64;
/// So many sessions may share an account whatever their number: to spread a handful buys little
/// safety and writes what they have in common once more for each account.
const FEW: u64 = 8;
/// Of a conversation that we do not know, so much is expected to be warm at its rendezvous home.
const PRIOR: f64 = 0.8;
/// Below this utilisation an account has room for everybody who is there.
const ROOMY: f64 = 0.5;
/// Dollars: a larger prompt than the account's whole limit is sent only when there is nowhere else.
const NEVER: f64 = 10.0;
/// Dollars for a place lower in the rendezvous order: replicas agree on ties.
const RANK: f64 = 1e-6;
/// The same for those who have no place in it.
const LAST: f64 = 12.0 * RANK;

/// One who was weighed.
pub(super) struct Candidate<'n> {
    pub(super) node: &'n Node,
    pub(super) facts: Facts,
    pub(super) terms: Terms,
    pub(super) need: Need,
    /// The prompt is larger than the account's limit.
    pub(super) never: bool,
    pub(super) pending: Option<(u32, Arc<Leader>)>,
    /// Dollars beyond the terms: ties, and what should not be.
    extra: f64,
}

impl Candidate<'_> {
    pub(super) fn cost(&self) -> f64 {
        self.terms.total() + self.extra
    }

    pub(super) const fn is_open(&self) -> bool {
        self.facts.wait.is_zero()
    }
}

/// Those who were weighed for one request.
pub(super) struct Candidates<'a, 'n> {
    ask: &'a Ask<'a>,
    nodes: &'n Nodes,
    weights: &'a Weights,
    place: Option<&'a Reservation>,
    known: Option<&'a Known>,
    found: Found,
    now: Moment,
    shares: Option<Shares>,
    /// Where an unknown conversation is most likely warm.
    prior: Option<u64>,
    pub(super) list: SmallVec<[Candidate<'n>; 4]>,
}

impl<'a, 'n> Candidates<'a, 'n> {
    pub(super) fn new(
        ask: &'a Ask<'a>,
        nodes: &'n Nodes,
        weights: &'a Weights,
        (known, place): (Option<&'a Known>, Option<&'a Reservation>),
        found: Found,
        now: Moment,
    ) -> Self {
        let mut new = Self {
            ask,
            nodes,
            weights,
            place,
            known,
            found,
            now,
            shares: None,
            prior: None,
            list: SmallVec::new(),
        };
        new.prior = new.likely_home();
        new
    }

    /// The most of the prompt that is warm anywhere.
    pub(super) fn warmest(&self) -> u32 {
        self.found.first().map_or(0, |warmth| warmth.tokens)
    }

    /// Only this one.
    pub(super) fn only(&mut self, node: &'n Node) {
        self.add(node, 0.0);
    }

    /// Where most of the prompt is warm, and where the session was last. Nothing can beat the
    /// warmest of them if it can start at once: what is colder costs more.
    pub(super) fn warm(&mut self) {
        let half = self.ask.prompt.tokens / 2;
        let warm: SmallVec<[u64; 4]> =
            self.found.iter().filter(|warmth| warmth.tokens > half).map(|warmth| warmth.domain).collect();
        for domain in warm {
            self.add_domain(domain, 2);
        }
        for home in [self.known.map(|known| known.home.id), self.prior].into_iter().flatten() {
            if let Some(home) = self.nodes.by_id(home) {
                self.add(home, 0.0);
            }
        }
    }

    /// Nobody else can win: one who can start at once has as much warm as anybody, and the session
    /// does not come to it as a new one.
    pub(super) fn are_settled(&self) -> bool {
        // Where it is expected counts too: it is not in the index.
        let expected = self.list.iter().map(|candidate| candidate.facts.warm).max().unwrap_or(0);
        let warmest = self.warmest().max(expected).max(self.ask.prompt.tokens / 2 + 1);
        self.list.iter().any(|candidate| {
            let facts = &candidate.facts;
            // Where nothing of a prompt can be cached, its home is as good as any while there is room.
            let stays = facts.is_home
                && self.ask.prompt.probes().is_empty()
                && facts.utilisation < ROOMY
                && self.known.is_some_and(|known| known.home.is_warm(self.now));
            candidate.is_open()
                && !candidate.never
                && !facts.refuses_thinking
                && (stays || facts.warm >= warmest)
                && !self.comes_to(candidate.node, facts.warm)
        })
    }

    /// Everybody else who can win.
    pub(super) fn others(&mut self) {
        let nodes = self.nodes;
        let shares = Shares::count(nodes);
        let mut list = std::mem::take(&mut self.list);
        for candidate in &mut list {
            let comes = self.comes_to(candidate.node, candidate.facts.warm);
            candidate.facts.over_share = comes && shares.are_exceeded(candidate.node);
            candidate.terms = candidate.facts.weigh(&self.ask.price, self.weights);
        }
        self.list = list;
        self.shares = Some(shares);
        let (ask, now) = (self.ask, self.now);
        let top = nodes.top(ask.seed, RENDEZVOUS, |node| can_serve(ask, node, now));
        for (rank, node) in (0_u32..).zip(top) {
            self.add(node, RANK * f64::from(rank));
        }
        if nodes.all().len() <= SMALL {
            for node in nodes.all() {
                self.add(node, LAST);
            }
            return;
        }
        let shared: SmallVec<[u64; SHARED]> =
            self.found.iter().map(|warmth| warmth.domain).take(SHARED).collect();
        for domain in shared {
            self.add_domain(domain, 1);
        }
        self.add_idle();
    }

    /// The least utilised of a few that the seed picks: over all requests, that finds the idle ones.
    fn add_idle(&mut self) {
        let all = self.nodes.all();
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX).max(1);
        let mut sample: SmallVec<[(f32, &'n Node); SAMPLE]> = (0..SAMPLE as u64)
            .filter_map(|n| {
                let at = self.ask.seed.rotate_left(23).wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let node = all.get(usize::try_from(at % count).ok()?)?;
                can_serve(self.ask, node, self.now)
                    .then(|| (self.outlook(node, &self.need(0)).utilisation, node))
            })
            .collect();
        sample.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, node) in sample.into_iter().take(IDLE) {
            self.add(node, LAST);
        }
    }

    /// The best few endpoints of a cache domain.
    fn add_domain(&mut self, domain: u64, most: usize) {
        let nodes = self.nodes;
        let mut added = 0;
        for node in nodes.of_cache(domain) {
            if added >= most {
                break;
            }
            added += usize::from(self.add(node, 0.0));
        }
    }

    /// What the request takes where so much of it is warm.
    fn need(&self, warm: u32) -> Need {
        let tokens = u64::from(self.ask.prompt.tokens);
        Need { input: tokens, cached: u64::from(warm).min(tokens) }
    }

    fn outlook(&self, node: &Node, need: &Need) -> Outlook {
        // Who waits at another queue is a newcomer here.
        let who = self.place.map_or(Standing::New(self.ask.flow), Standing::Waiting);
        node.endpoint.outlook(self.ask.lane, need, who, self.now)
    }

    /// Weighs `node`, if it can serve the request at all. Whether it is among the candidates now.
    fn add(&mut self, node: &'n Node, rank: f64) -> bool {
        if self.list.iter().any(|other| other.node.id() == node.id()) {
            return true;
        }
        let ask = self.ask;
        if ask.rules_out(&node.endpoint) {
            return false;
        }
        let is_home = self.known.is_some_and(|known| known.home.id == node.id());
        let domain = node.endpoint.cache_id();
        let here = self.found.iter().find(|warmth| warmth.domain == domain);
        let warm = here.map_or(0, |warmth| warmth.tokens).max(self.expected(node));
        let Some(closed) = self.closed(node, warm, is_home) else { return false };
        let need = self.need(warm);
        let outlook = self.outlook(node, &need);
        let (loses_thinking, refuses_thinking) = self.thinking(node);
        let facts = Facts {
            warm,
            tokens: ask.prompt.tokens,
            wait: if outlook.never { closed } else { outlook.wait.max(closed) },
            utilisation: f64::from(outlook.utilisation),
            is_home,
            over_share: self.comes_to(node, warm)
                && self.shares.as_ref().is_some_and(|shares| shares.are_exceeded(node)),
            loses_thinking,
            refuses_thinking,
        };
        let terms = facts.weigh(&ask.price, self.weights);
        self.list.push(Candidate {
            node,
            facts,
            terms,
            need,
            never: outlook.never,
            pending: here.and_then(|warmth| warmth.pending.clone()),
            extra: rank + if outlook.never { NEVER } else { 0.0 },
        });
        true
    }

    /// How long `node` is closed for reasons other than its buckets; `None`: it cannot serve this.
    fn closed(&self, node: &Node, warm: u32, is_home: bool) -> Option<Duration> {
        let available = node.endpoint.availability(self.ask.lane, self.now);
        let cares = is_home || warm > self.ask.prompt.tokens / 2;
        match available {
            Availability::Ready | Availability::HalfOpen => Some(Duration::ZERO),
            // Something speaks against its key: good enough for whoever is warm there, or pinned.
            Availability::Suspect => (cares || self.ask.pin.is_some()).then_some(Duration::ZERO),
            Availability::SuspectBusy => {
                (cares && self.ask.waited + SUSPECT_STEP <= SUSPECT_WAIT).then_some(SUSPECT_STEP)
            }
            Availability::Short { until }
            | Availability::Paced { until }
            | Availability::Cooling { until } => Some(self.now.until(until)),
            Availability::FailureOpen { .. }
            | Availability::TrialBusy
            | Availability::Barred { .. }
            | Availability::Spent { .. }
            | Availability::Unhealthy
            | Availability::Quarantined
            | Availability::NoToken
            | Availability::Drained => None,
        }
    }

    /// A conversation that goes on, but not that we know of (a restart, another gateway), is most
    /// likely warm where rendezvous puts it on every gateway.
    fn likely_home(&self) -> Option<u64> {
        let ask = self.ask;
        let elsewhere = self.known.is_none_or(|known| known.has_strayed(ask.prompt));
        if !elsewhere || !ask.has_history || ask.session.is_none() || ask.prompt.probes().is_empty() {
            return None;
        }
        self.nodes.best(ask.seed, |node| !ask.rules_out(&node.endpoint)).map(Node::id)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32")]
    fn expected(&self, node: &Node) -> u32 {
        if self.prior == Some(node.id()) { (f64::from(self.ask.prompt.tokens) * PRIOR) as u32 } else { 0 }
    }

    /// The session would make its home there, free to choose another: it has none that is warm, or
    /// would pay for its prompt anew. (A new one of a fleet finds most of its prompt warm wherever
    /// the others are, which is how all of them would end up at one account.)
    fn comes_to(&self, node: &Node, warm: u32) -> bool {
        let settled = self.known.is_some_and(|known| known.home.is_warm(self.now));
        let is_home = self.known.is_some_and(|known| known.home.id == node.id());
        let expected = self.prior == Some(node.id());
        !is_home && !expected && (!settled || warm <= self.ask.prompt.tokens / 2)
    }

    /// Thinking is signed for an organisation; others drop it silently, or refuse (providers 0.4).
    /// Whether it is lost at `node`, and whether it was refused there.
    fn thinking(&self, node: &Node) -> (bool, bool) {
        let Some(known) = self.known.filter(|_| self.ask.signed_thinking) else { return (false, false) };
        let home = self.nodes.by_id(known.home.id).filter(|home| home.id() != node.id());
        let org = |node: &Node| -> DomainName { node.endpoint.rate_domain().name().clone() };
        let lost = home.is_some_and(|home| org(home) != org(node));
        (lost, lost && known.refused.as_ref().is_some_and(|refused| *refused == org(node)))
    }
}

/// How many sessions are where, so that no account is the home of nearly all of them: its outage
/// would be everybody's.
struct Shares {
    /// Sessions an endpoint may hold before cold ones rather go elsewhere.
    endpoint: u64,
    /// The same for a rate domain.
    domain: u64,
    by_domain: SmallVec<[u64; 16]>,
}

impl Shares {
    /// Of large rings only the first few are counted, and nothing is said of their domains.
    fn count(nodes: &Nodes) -> Self {
        let all = nodes.all();
        let counted = all.get(..COUNTED).unwrap_or(all);
        let mut by_domain: SmallVec<[u64; 16]> = SmallVec::new();
        by_domain.resize(nodes.domains().len(), 0);
        for node in counted {
            if let Some(domain) = by_domain.get_mut(node.domain) {
                *domain += sessions(node);
            }
        }
        let sum: u64 = by_domain.iter().sum();
        let is_whole = counted.len() == all.len();
        let domain = if is_whole { share(sum, by_domain.len()) } else { u64::MAX };
        let active = sum * (all.len() as u64) / (counted.len().max(1) as u64);
        Self { endpoint: share(active, all.len()), domain, by_domain }
    }

    fn are_exceeded(&self, node: &Node) -> bool {
        sessions(node) > self.endpoint
            || self.by_domain.get(node.domain).is_some_and(|&sessions| sessions > self.domain)
    }
}

/// A quarter of the sessions, or one and a half times what is fair where that is more.
fn share(active: u64, of: usize) -> u64 {
    if of < 3 {
        return u64::MAX;
    }
    (active / 4).max(3 * active / (2 * of as u64)).max(FEW)
}

fn sessions(node: &Node) -> u64 {
    u64::from(node.endpoint.sessions())
}

/// It is open, or its limits will open it.
fn can_serve(ask: &Ask<'_>, node: &Node, now: Moment) -> bool {
    let available = node.endpoint.availability(ask.lane, now);
    (available.is_good() || available.reopens().is_some()) && !ask.rules_out(&node.endpoint)
}
