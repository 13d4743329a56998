//! The contract of shared counters, in one process.
//!
//! [`Memory`] with leases on top: what several gateways see of one server, for tests and for
//! gateways in one process. Nobody dies here, so no lease runs out.

use std::{collections::HashMap, num::NonZeroUsize};

use async_trait::async_trait;
use lru::LruCache;
use parking_lot::Mutex;

use super::{CounterId, Counters, Down, Memory, Reserved, Rule, Settlement, Standing, Take};
use crate::{
    clock::{self, UnixTime},
    types::RequestId,
};

/// Requests that are over and remembered, so that settling them again counts once.
const OVER: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// What a request holds of each counter.
type Lease = HashMap<CounterId, u64, ahash::RandomState>;

/// Counters that several quotas of one process share.
pub struct LocalCounters {
    memory: Memory,
    leases: Mutex<Leases>,
}

struct Leases {
    held: HashMap<RequestId, Lease, ahash::RandomState>,
    /// What each came to.
    over: LruCache<RequestId, Lease, ahash::RandomState>,
}

impl Default for LocalCounters {
    fn default() -> Self {
        let mut over = LruCache::unbounded_with_hasher(ahash::RandomState::default());
        over.resize(OVER);
        let leases = Leases { held: HashMap::default(), over };
        Self { memory: Memory::default(), leases: Mutex::new(leases) }
    }
}

impl LocalCounters {
    fn settle_lease(&self, by: RequestId, settlements: &[Settlement]) -> Vec<Standing> {
        let mut leases = self.leases.lock();
        let (now, at) = (clock::now(), clock::unix_now());
        if let Some(mut held) = leases.held.remove(&by) {
            let settled: Vec<Settlement> = settlements
                .iter()
                .map(|one| Settlement { reserved: held.remove(&one.id).unwrap_or(0), ..one.clone() })
                .collect();
            let came = settlements.iter().map(|one| (one.id.clone(), one.actual)).collect();
            leases.over.put(by, came);
            return self.memory.settle(&settled, now, at);
        }
        if let Some(came) = leases.over.get_mut(&by) {
            // Only what is more than it came to before; engines need not take anything back.
            let corrected: Vec<Settlement> = settlements
                .iter()
                .filter(|one| matches!(one.rule, Rule::Budget { .. }))
                .filter_map(|one| {
                    let before = came.get_mut(&one.id)?;
                    let more = one.actual.saturating_sub(*before);
                    *before += more;
                    Some(Settlement { reserved: 0, actual: more, ..one.clone() })
                })
                .collect();
            self.memory.settle(&corrected, now, at);
        }
        self.memory.standings(settlements.iter().map(|one| (&one.id, one.rule)), now, at)
    }
}

#[async_trait]
impl Counters for LocalCounters {
    async fn reserve(&self, by: RequestId, takes: &[Take]) -> Result<Reserved, Down> {
        let mut leases = self.leases.lock();
        let reserved = self.memory.reserve(takes, clock::now(), clock::unix_now());
        if let Reserved::Granted { .. } = reserved {
            let held = leases.held.entry(by).or_default();
            for take in takes {
                *held.entry(take.id.clone()).or_default() += take.amount;
            }
        }
        Ok(reserved)
    }

    async fn give_back(&self, by: RequestId, parts: &[Settlement]) -> Result<Vec<Standing>, Down> {
        let mut leases = self.leases.lock();
        let given: Vec<Settlement> = parts
            .iter()
            .map(|part| {
                let held = leases.held.get_mut(&by).and_then(|held| held.get_mut(&part.id));
                let reserved = held.map_or(0, |held| {
                    let given = part.reserved.min(*held);
                    *held -= given;
                    given
                });
                Settlement { reserved, ..part.clone() }
            })
            .collect();
        Ok(self.memory.give_back(&given, clock::now(), clock::unix_now()))
    }

    async fn settle(&self, by: RequestId, settlements: &[Settlement]) -> Result<Vec<Standing>, Down> {
        Ok(self.settle_lease(by, settlements))
    }

    async fn raise(&self, spent: &[(CounterId, Rule, u64)]) -> Result<(), Down> {
        self.memory.raise(spent);
        Ok(())
    }
}

impl LocalCounters {
    /// Where a counter stands.
    #[must_use]
    pub fn standing(&self, id: &CounterId, rule: Rule) -> Standing {
        let at: UnixTime = clock::unix_now();
        self.memory.standings([(id, rule)], clock::now(), at).first().copied().unwrap_or_default()
    }
}
