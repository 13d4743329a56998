//! Which cache care a request gets, at each provider that may serve it.
//!
//! Where members may go is `dialect`'s; this file knows who wants them: markers and cache keys are a
//! provider's to ask for, the long life a caller's or a model's. Worked out once, while the scan of
//! the body is at hand; which provider it will be is not known by then.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{exchange::Exchange, translation};
use crate::{
    dialect::{MarkerCare, MarkerPlan, RequestView, Settings, Splice, TtlAsked},
    types::{CareDone, Operation, SessionKey},
    upstream::{CacheRule, Model, ProviderParams},
};

/// The care for one request.
#[derive(Default)]
pub(crate) struct Plans {
    /// With breakpoints of ours; `None` where no provider wants any.
    marked: Option<Planned>,
    /// Without; the client's own may be asked to live long.
    long: Planned,
    /// Nothing done.
    came: Care,
    cache_key: Option<(Splice, u64)>,
}

/// The care for the markers, as it was worked out.
#[derive(Default)]
struct Planned {
    splices: Vec<Splice>,
    care: Care,
}

/// What a body asks of the provider's cache when it goes to a certain provider.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Care {
    /// Every breakpoint, the client's and ours, in caching order: which point of the request's
    /// [`PrefixChain`](crate::types::PrefixChain) it stands on, and what life it asks for.
    pub marks: Vec<(usize, TtlAsked)>,
    /// The longest life that is asked for.
    pub ttl: TtlAsked,
    /// XXH3 of the cache key that was put in, 0 where none was: part of the provider's cache key, to
    /// be added (wrapping) to [`Settings::all`](crate::dialect::Settings).
    pub key_hash: u64,
    /// What was done.
    pub done: CareDone,
}

impl Plans {
    /// Works out the care for a request.
    pub(crate) fn of(x: &Exchange, model: &Model, view: &RequestView, body: &Bytes) -> Self {
        let long = x.key.as_ref().and_then(|key| key.long_cache).or(model.long_cache).unwrap_or(false);
        let wants = |wish: fn(&ProviderParams) -> bool| {
            model.endpoints.iter().any(|endpoint| wish(&endpoint.provider().params))
        };
        let plan = |add, long| Planned::new(view.plan_markers(MarkerCare { add, long }), view);
        let session = x.identity.as_ref().and_then(|identity| identity.key);
        let key = session.filter(|_| wants(|params| params.care.cache_key)).map(cache_key);
        let lengthened = plan(false, long);
        // Where nothing is lengthened, it goes as it came.
        let came = if long { plan(false, false).care } else { lengthened.care.clone() };
        Self {
            marked: wants(|params| params.care.markers).then(|| plan(true, long)),
            long: lengthened,
            came,
            cache_key: key
                .and_then(|key| Some((view.splice_cache_key(body, &key)?, xxh3_64(key.as_bytes())))),
        }
    }

    /// What the body will ask for, so that the choice can know it. Where the providers of a model want
    /// other care, or other words, the first speaks for all.
    pub(crate) fn foresee(
        &self,
        x: &mut Exchange,
        (operation, carries): (Operation, bool),
        model: &Model,
        settings: &mut Settings,
    ) -> Care {
        let Some(endpoint) = model.endpoints.first() else { return Care::default() };
        let params = &endpoint.provider().params;
        let care = if translation::needed(operation, params, carries).is_some() {
            self.worded(x, params)
        } else {
            self.care(params, true)
        };
        x.ttl = care.ttl;
        settings.all = settings.all.wrapping_add(care.key_hash);
        if let Some(identity) = &mut x.identity {
            for (at, _) in &care.marks {
                if let Some(point) = identity.chain.points.get_mut(*at) {
                    point.breakpoint = true;
                }
            }
        }
        care
    }

    /// The same of a translated body: the client's own marks are carried over, and where it has none
    /// and the provider caches nothing unmarked, the translation marks its end.
    fn worded(&self, x: &Exchange, provider: &ProviderParams) -> Care {
        let mut care = Care { done: CareDone::default(), ..self.came.clone() };
        let points = x.identity.as_ref().map_or(0, |identity| identity.chain.points.len());
        if provider.cache.rule == CacheRule::Marked && care.marks.is_empty() && points > 0 {
            let ttl = if x.ttl == TtlAsked::Long { TtlAsked::Long } else { TtlAsked::Short };
            care.marks = vec![(points - 1, ttl)];
            care.ttl = ttl;
        }
        care
    }

    fn at(&self, provider: &ProviderParams) -> (&Planned, Option<&(Splice, u64)>) {
        let marked = self.marked.as_ref().filter(|_| provider.care.markers);
        let key = self.cache_key.as_ref().filter(|_| provider.care.cache_key);
        (marked.unwrap_or(&self.long), key)
    }

    /// The changes for a provider.
    pub(crate) fn splices(&self, provider: &ProviderParams) -> impl Iterator<Item = &Splice> {
        let (planned, key) = self.at(provider);
        planned.splices.iter().chain(key.map(|(splice, _)| splice))
    }

    /// What the body asks of a provider's cache, with the care or as it came.
    pub(crate) fn care(&self, provider: &ProviderParams, wanted: bool) -> Care {
        if !wanted {
            return self.came.clone();
        }
        let (planned, key) = self.at(provider);
        let mut care = planned.care.clone();
        if let Some((_, hash)) = key {
            care.key_hash = *hash;
            care.done.cache_key = true;
        }
        care
    }
}

impl Planned {
    fn new(plan: MarkerPlan, view: &RequestView) -> Self {
        let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let done = CareDone {
            markers: count(plan.added),
            lengthened: count(plan.lengthened),
            ..CareDone::default()
        };
        // The chain has no points for attribution blocks.
        let skipped = |block: usize| view.blocks.iter().take(block).filter(|block| block.attribution).count();
        let marks = plan.marks.iter().map(|&(block, ttl)| (block - skipped(block), ttl)).collect();
        Self { splices: plan.splices, care: Care { marks, ttl: plan.ttl, key_hash: 0, done } }
    }
}

/// The name of a session's cache: a hash of tenant, conversation, agent and model, hashed once more
/// because the session's own key is ours to know.
fn cache_key(session: SessionKey) -> String {
    format!("wk-{:032x}", xxh3_128(&session.0.to_le_bytes()))
}
