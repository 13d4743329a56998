//! Accounts, caches and limits as one value: what a provider decides, without its server.
//!
//! Owns which account belongs to which organisation (whose limits) and workspace (whose cache), what
//! each cache holds, how full each bucket is, and what is out of order. Not here: dialects, sockets,
//! scripts, and time: every call is told `now`, so that the server runs it on the wall clock and a
//! replay in virtual time.
//!
//! Invariant: a request that is refused changes nothing. The trap: what a request writes is not there
//! before [`Provider::first_byte`].

use ahash::AHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    cache::{Chain, Keeping, Look, PromptCache},
    limits::{Limits, Reading, Refused},
    models::{Maker, Model},
    params::Account,
};
use crate::clock::Moment;

/// Requests a minute of `count_tokens`, which is limited apart from messages (providers, 1.3).
const COUNT_RPM: u64 = 2_000;
/// The class under which `count_tokens` is limited.
const COUNT_CLASS: &str = "count_tokens";

/// What a provider decides: what is read from a cache, what a limit refuses.
#[derive(Debug)]
pub struct Provider {
    places: Vec<Place>,
    keys: AHashMap<String, usize>,
    /// One of each workspace, then one of each organisation (OpenAI's caches are those).
    caches: Vec<PromptCache>,
    limits: AHashMap<(usize, &'static str), Limits>,
    keeping: Keeping,
    /// The share of requests that meet an overloaded provider.
    overloaded: f64,
}

/// Where an account stands.
#[derive(Debug)]
struct Place {
    /// The first account of its organisation: whose limits count.
    organization: usize,
    workspace: usize,
    organization_cache: usize,
    rpm: u64,
    itpm: u64,
    otpm: u64,
    reachable: bool,
}

/// The levels that an account sees in headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Levels {
    pub(super) requests: Reading,
    pub(super) input: Reading,
    pub(super) output: Reading,
}

impl Provider {
    /// A provider with these accounts; they are named by their index from here on.
    #[must_use]
    pub fn new(accounts: &[Account], keeping: Keeping) -> Self {
        let mut workspaces: AHashMap<(&str, &str), usize> = AHashMap::new();
        let mut organizations: AHashMap<&str, (usize, usize)> = AHashMap::new();
        let mut keys = AHashMap::new();
        let mut places = Vec::with_capacity(accounts.len());
        let mut caches = 0;
        let mut next = || {
            caches += 1;
            caches - 1
        };
        for (n, account) in accounts.iter().enumerate() {
            keys.entry(account.key.clone()).or_insert(n);
            let (organization, workspace) = (account.organization.as_str(), account.workspace.as_str());
            let (first, organization_cache) =
                *organizations.entry(organization).or_insert_with(|| (n, next()));
            let workspace = *workspaces.entry((organization, workspace)).or_insert_with(&mut next);
            places.push(Place {
                organization: first,
                workspace,
                organization_cache,
                rpm: account.rpm,
                itpm: account.itpm,
                otpm: account.otpm,
                reachable: true,
            });
        }
        let caches = (0..caches).map(|_| PromptCache::new(keeping)).collect();
        Self { places, keys, caches, limits: AHashMap::new(), keeping, overloaded: 0.0 }
    }

    /// The account with this key.
    #[must_use]
    pub fn account(&self, key: &str) -> Option<usize> {
        self.keys.get(key).copied()
    }

    /// How many accounts there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Looks a prompt up, and lets it in with what it does not find, as of `now`, its start.
    ///
    /// # Errors
    /// Says why not, and changes nothing. An account that does not exist cannot be reached.
    pub fn admit(
        &mut self,
        account: usize,
        model: &Model,
        chain: &Chain,
        now: Moment,
    ) -> Result<Look, Refused> {
        let place = self.places.get(account).filter(|place| place.reachable).ok_or(Refused::Unavailable)?;
        let domain = place.domain(model);
        if self.is_overloaded(chain, now) {
            return Err(Refused::Overloaded);
        }
        let look = self.caches[domain].look(chain, model.cache, now);
        let counted = match model.maker {
            // Cache reads do not count (providers, 1.3 and 3).
            Maker::Anthropic | Maker::Aws => look.usage.total_input() - look.usage.cached_read,
            Maker::OpenAi | Maker::Google => look.usage.total_input(),
        };
        if let Some(limits) = self.limits_of(account, model, now) {
            limits.admit(counted, now)?;
        }
        self.caches[domain].touch(&look, now);
        Ok(look)
    }

    /// The answer to the request of `look` has begun: what the request wrote can be read.
    pub fn first_byte(&mut self, account: usize, model: &Model, look: &Look, started: Moment, now: Moment) {
        if let Some(place) = self.places.get(account) {
            let domain = place.domain(model);
            self.caches[domain].write(look, started, now);
        }
    }

    /// Takes output from its limit, as it is produced.
    pub fn produced(&mut self, account: usize, model: &Model, tokens: u64, now: Moment) {
        if let Some(limits) = self.limits_of(account, model, now) {
            // OpenAI and AWS have one bucket for all tokens.
            let one = matches!(model.maker, Maker::OpenAi | Maker::Aws);
            let bucket = if one { &mut limits.input } else { &mut limits.output };
            bucket.take(tokens, now);
        }
    }

    /// Somebody else's request to the same organisation, with so many counted tokens: it is let in or
    /// refused as any other, and nothing of it is told to us.
    pub fn foreign(&mut self, account: usize, model: &Model, tokens: u64, now: Moment) {
        if let Some(limits) = self.limits_of(account, model, now) {
            // Refused there, it comes back later or not at all: not our affair.
            let _ = limits.admit(tokens, now);
        }
    }

    /// Lets one `count_tokens` call in.
    pub(super) fn admit_count(&mut self, account: usize, now: Moment) -> Result<(), Refused> {
        let place = self.places.get(account).ok_or(Refused::Unavailable)?;
        self.limits
            .entry((place.organization, COUNT_CLASS))
            .or_insert_with(|| Limits::new(COUNT_RPM, 0, 0, now))
            .admit(0, now)
    }

    /// What the headers of an answer say of the limits; `None` for an account that does not exist.
    pub(super) fn levels(&mut self, account: usize, model: &Model, now: Moment) -> Option<Levels> {
        self.limits_of(account, model, now).map(|limits| Levels {
            requests: limits.requests.read(now),
            input: limits.input.read(now),
            output: limits.output.read(now),
        })
    }

    /// From now on this share of all requests, 0 to 1, meets an overloaded provider (529).
    pub const fn set_overloaded(&mut self, share: f64) {
        self.overloaded = share;
    }

    /// Takes an account out of reach, or brings it back. Its cache ages meanwhile.
    pub fn set_reachable(&mut self, account: usize, reachable: bool) {
        if let Some(place) = self.places.get_mut(account) {
            place.reachable = reachable;
        }
    }

    /// Forgets caches and levels.
    pub(super) fn clear(&mut self) {
        self.caches.iter_mut().for_each(PromptCache::clear);
        self.limits.clear();
    }

    fn limits_of(&mut self, account: usize, model: &Model, now: Moment) -> Option<&mut Limits> {
        // The first account listed speaks for its organisation.
        let first = self.places.get(account)?.organization;
        let place = &self.places[first];
        let otpm = if model.maker == Maker::Anthropic { place.otpm } else { 0 };
        let (rpm, itpm) = (place.rpm, place.itpm);
        Some(self.limits.entry((first, model.class)).or_insert_with(|| Limits::new(rpm, itpm, otpm, now)))
    }

    /// By the prompt and the time, not by a sequence: the order of other requests changes nothing.
    #[expect(clippy::cast_precision_loss, reason = "53 random bits are plenty")]
    fn is_overloaded(&self, chain: &Chain, now: Moment) -> bool {
        if self.overloaded <= 0.0 {
            return false;
        }
        let prompt = chain.positions.last().map_or(0, |position| position.hash);
        let seed = self.keeping.seed ^ prompt;
        let luck = xxh3_64_with_seed(&now.as_nanos().to_le_bytes(), seed) >> 11;
        (luck as f64) < self.overloaded * (1_u64 << 53) as f64
    }
}

impl Place {
    const fn domain(&self, model: &Model) -> usize {
        match model.maker {
            // Google's is the project's.
            Maker::Anthropic | Maker::Google => self.workspace,
            Maker::OpenAi | Maker::Aws => self.organization_cache,
        }
    }
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
