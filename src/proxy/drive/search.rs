//! Where an object lives that was not made through here: one account is asked after another.
//!
//! Only with one tenant, whose object it must be. An account that has never heard of it says so (404,
//! or a 400 that names it), which is no failure of the account's and costs nothing. Accounts that
//! share neither limits nor cache with those asked already come first: what shares them is most likely
//! the same account. Whoever answers owns it from then on.

use super::Ending;
use crate::{
    clock::Moment,
    dialect::{HardPin, UpstreamFault},
    proxy::{
        denial::Denial,
        last_word::{Final, LastWord},
    },
    routing::Tried,
    types::{Access, DomainName, EndpointName, Reason},
    upstream::{Availability, Endpoint, Lane, Model},
};

/// No id is carried around a larger fleet than this.
const MOST: usize = 32;

/// Who did not have it.
struct Missed {
    endpoint: EndpointName,
    rate: DomainName,
    cache: DomainName,
}

/// The search of one request.
pub(super) struct Search {
    /// What the request names and nobody here has made.
    objects: Vec<HardPin>,
    missed: Vec<Missed>,
    /// Those who did not know it.
    misses: u32,
    /// Who is asked next.
    next: Option<EndpointName>,
    /// Why somebody could not be asked, who may be the one that has it.
    unasked: Option<Denial>,
    /// The last who did not know it.
    last: Option<Box<Final>>,
}

impl Search {
    /// A search for `objects`; for nothing, where there are none.
    pub(super) fn new(objects: Vec<HardPin>) -> Self {
        Self { objects, missed: Vec::new(), misses: 0, next: None, unasked: None, last: None }
    }

    /// What is looked for.
    pub(super) fn objects(&self) -> &[HardPin] {
        &self.objects
    }

    /// Where to look next; `None` where the choice is free.
    pub(super) const fn next(&self) -> Option<&EndpointName> {
        self.next.as_ref()
    }

    /// Tries that ended with "not here".
    pub(super) const fn misses(&self) -> u32 {
        self.misses
    }

    /// Whether an answer means that what is looked for is not there.
    pub(super) fn is_miss(&self, status: u16, fault: &UpstreamFault) -> bool {
        if self.objects.is_empty() {
            return false;
        }
        let message = fault.message.to_ascii_lowercase();
        match status {
            // A model that the account does not have is another matter.
            404 => {
                !fault.code.starts_with("model") && fault.param != "model" && !message.starts_with("model")
            }
            // A 400 may have something else against an object that it found.
            400 => {
                let missing = ["not found", "not_found", "no such", "not exist", "unknown"];
                let says = |text: &str| missing.iter().any(|words| text.contains(words));
                let named = |pin: &HardPin| fault.message.contains(&pin.id);
                self.objects.iter().any(named) && (says(&message) || says(&fault.code))
            }
            _ => false,
        }
    }

    /// It is not there.
    pub(super) fn missed(&mut self, endpoint: &Endpoint, answer: Final) {
        self.misses += 1;
        self.last = Some(Box::new(answer));
        self.leave_out(endpoint);
    }

    /// There it cannot be asked for at present.
    pub(super) fn denied(&mut self, endpoint: &Endpoint, denial: Denial) {
        self.unasked.get_or_insert(denial);
        self.leave_out(endpoint);
    }

    fn leave_out(&mut self, endpoint: &Endpoint) {
        self.next = None;
        self.missed.push(Missed {
            endpoint: endpoint.name().clone(),
            rate: endpoint.rate_domain().name().clone(),
            cache: endpoint.cache_domain(),
        });
    }

    /// Picks who is asked next. Whether there is anybody left.
    pub(super) fn go_on(
        &mut self,
        model: &Model,
        lane: Lane,
        (tried, allowed): (&[Tried], Option<&Access>),
        now: Moment,
    ) -> bool {
        let forbidden = |endpoint: &Endpoint| {
            let provider = &endpoint.provider().params.name;
            allowed.is_some_and(|access| !access.allows(provider, endpoint.region()))
        };
        let asked = |endpoint: &Endpoint| {
            forbidden(endpoint)
                || self.has_missed(endpoint.name())
                || tried.iter().any(|tried| !tried.rate_limited && tried.endpoint == *endpoint.name())
        };
        let shares = |endpoint: &Endpoint| {
            let (rate, cache) = (endpoint.rate_domain(), endpoint.cache_domain());
            let by_cache = self.missed.iter().any(|missed| missed.cache == cache);
            (by_cache, self.missed.iter().any(|missed| missed.rate == *rate.name()))
        };
        let left =
            model.endpoints.iter().filter(|endpoint| !asked(endpoint) && may_come_back(endpoint, lane, now));
        let best = left.min_by_key(|endpoint| (shares(endpoint), !endpoint.availability(lane, now).usable()));
        self.next = best.filter(|_| self.missed.len() < MOST).map(|endpoint| endpoint.name().clone());
        self.next.is_some()
    }

    /// Nobody has it: the last of those who said so has the last word. Unless somebody could not be
    /// asked: then it is not known, and worth another try. `failed` is what a failure left.
    pub(super) fn give_up(&mut self, tried: &[Tried], failed: Option<LastWord>) -> Ending {
        let heard = tried.iter().all(|tried| self.has_missed(&tried.endpoint));
        let unasked = self.unasked.take();
        if let (Some(answer), true, None) = (self.last.take(), heard, &unasked) {
            return Ending::Passed(answer);
        }
        let unknown = || {
            Denial::new(Reason::NoEndpoint, "an account that may have this is not available at the moment")
        };
        LastWord::instead_of(failed, unasked.unwrap_or_else(unknown))
    }

    fn has_missed(&self, endpoint: &EndpointName) -> bool {
        self.missed.iter().any(|missed| missed.endpoint == *endpoint)
    }
}

/// It is open, or will be by itself.
fn may_come_back(endpoint: &Endpoint, lane: Lane, now: Moment) -> bool {
    let available = endpoint.availability(lane, now);
    match available {
        Availability::Quarantined
        | Availability::NoToken
        | Availability::Drained
        | Availability::Unhealthy
        | Availability::Barred { .. }
        | Availability::Spent { .. } => false,
        Availability::Ready
        | Availability::HalfOpen
        | Availability::Suspect
        | Availability::SuspectBusy
        | Availability::TrialBusy
        | Availability::FailureOpen { .. }
        | Availability::Short { .. }
        | Availability::Paced { .. }
        | Availability::Cooling { .. } => true,
    }
}
