//! Which endpoints share what: rate and cache domains, configured or learned.
//!
//! Until something is known each endpoint is a domain of its own. Every authenticated answer of
//! Anthropic's and OpenAI's names the organisation (providers 0.1), so endpoints whose answers name
//! the same one are merged: eight keys may well be three limits. What the configuration names wins;
//! where the headers contradict it, that is reported and not applied.
//!
//! Trap: the headers come from outside. They are short and plain or they are ignored, they are
//! scoped by host, and an endpoint changes its domain only so many times.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::HeaderMap;
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::{
    failure::FailureGate,
    lane::Classes,
    rate_domain::{RateDomain, Terms},
};
use crate::types::{DomainName, Family};

/// Longer ids than this are nobody's.
const MAX_ID: usize = 96;
/// An endpoint whose answers keep naming other organisations is not followed beyond this.
const MAX_CHANGES: u32 = 16;

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// The domains of one process by name; shared by the pools before and after a reload.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) classes: Classes,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rate: Map<DomainName, Weak<RateDomain>>,
    failure: Map<DomainName, Weak<FailureGate>>,
    /// (host, organisation) -> the domain that it is.
    organisations: Map<String, Weak<RateDomain>>,
    /// Configured domain -> the organisation that its answers named first.
    configured: Map<DomainName, String>,
}

impl Registry {
    pub(super) fn rate(&self, name: &DomainName, configured: bool) -> Arc<RateDomain> {
        self.inner.lock().rate(name, configured)
    }

    pub(super) fn failure(&self, name: &DomainName) -> Arc<FailureGate> {
        let mut inner = self.inner.lock();
        if let Some(gate) = inner.failure.get(name).and_then(Weak::upgrade) {
            return gate;
        }
        inner.failure.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(FailureGate::new(name.clone()));
        inner.failure.insert(name.clone(), Arc::downgrade(&gate));
        gate
    }
}

impl Inner {
    fn rate(&mut self, name: &DomainName, configured: bool) -> Arc<RateDomain> {
        if let Some(domain) = self.rate.get(name).and_then(Weak::upgrade)
            && domain.is_configured() == configured
        {
            return domain;
        }
        self.rate.retain(|_, domain| domain.strong_count() > 0);
        self.organisations.retain(|_, domain| domain.strong_count() > 0);
        let domain = Arc::new(RateDomain::new(name.clone(), configured));
        self.rate.insert(name.clone(), Arc::downgrade(&domain));
        domain
    }
}

/// Where an endpoint belongs at present.
pub(super) struct Membership {
    pub(super) rate: ArcSwap<RateDomain>,
    pub(super) cache: ArcSwap<DomainName>,
    pub(super) cache_configured: bool,
    organisation: Mutex<Option<String>>,
    /// Hash of the ids that were looked at last; 0: none.
    seen: AtomicU64,
    changes: AtomicU32,
}

impl Membership {
    pub(super) fn new(rate: Arc<RateDomain>, cache: DomainName, cache_configured: bool) -> Self {
        Self {
            rate: ArcSwap::new(rate),
            cache: ArcSwap::from_pointee(cache),
            cache_configured,
            organisation: Mutex::new(None),
            seen: AtomicU64::new(0),
            changes: AtomicU32::new(0),
        }
    }

    pub(super) fn organisation(&self) -> Option<String> {
        self.organisation.lock().clone()
    }
}

/// What an answer's headers taught us, when it was new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Learned {
    /// The organisation behind the endpoint's key.
    pub organisation: String,
    /// The endpoint belongs to another rate or cache domain now: weights are to be shared anew.
    pub changed: bool,
    /// The configuration says otherwise.
    pub warning: Option<DomainWarning>,
}

/// The configuration and the provider disagree about who shares limits. The configuration wins.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DomainWarning {
    /// One configured domain, two organisations: their limits are not shared after all.
    #[error(
        "rate domain `{domain}` holds keys of two organisations, `{first}` and `{second}`: limits are not shared between them"
    )]
    TwoOrganisations {
        /// The domain.
        domain: DomainName,
        /// The organisation that was seen first.
        first: String,
        /// The one seen now.
        second: String,
    },
    /// Two domains, one organisation: they share limits after all.
    #[error(
        "rate domains `{domain}` and `{other}` are one organisation, `{organisation}`: they share its limits"
    )]
    SplitOrganisation {
        /// The domain of the endpoint that answered.
        domain: DomainName,
        /// The other one.
        other: DomainName,
        /// The organisation.
        organisation: String,
    },
    /// The answers keep naming other organisations; they are no longer followed.
    #[error("answers keep naming other organisations, `{organisation}` at last: no longer followed")]
    Unsteady {
        /// The newest.
        organisation: String,
    },
}

/// The ids in an answer's headers.
struct Ids<'a> {
    organisation: &'a str,
    workspace: Option<&'a str>,
}

impl<'a> Ids<'a> {
    fn read(family: Family, headers: &'a HeaderMap) -> Option<Self> {
        // OpenAI's cache belongs to the organisation, so its project header does not matter here.
        let (organisation, workspace) = match family {
            // They name neither project nor account.
            Family::Gemini | Family::Bedrock => return None,
            Family::Anthropic => ("anthropic-organization-id", Some("anthropic-workspace-id")),
            Family::OpenAi => ("openai-organization", None),
        };
        Some(Self {
            organisation: id(headers, organisation)?,
            workspace: workspace.and_then(|name| id(headers, name)),
        })
    }

    /// Never 0.
    fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(self.organisation.as_bytes());
        hash.update(b"\0");
        hash.update(self.workspace.unwrap_or_default().as_bytes());
        hash.digest() | 1
    }
}

fn id<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}

/// Reads an answer's headers on behalf of the endpoint of `membership`, which weighs `weight`.
pub(super) fn learn(
    registry: &Registry,
    membership: &Membership,
    (family, host, weight, terms): (Family, &str, u32, Terms),
    headers: &HeaderMap,
) -> Option<Learned> {
    let ids = Ids::read(family, headers)?;
    let hash = ids.hash();
    if membership.seen.swap(hash, Ordering::AcqRel) == hash {
        return None;
    }
    let organisation = ids.organisation.to_owned();
    match membership.changes.fetch_add(1, Ordering::AcqRel) {
        MAX_CHANGES => {
            let warning = DomainWarning::Unsteady { organisation: organisation.clone() };
            return Some(Learned { organisation, changed: false, warning: Some(warning) });
        }
        changes if changes > MAX_CHANGES => {
            // Stay beyond the bound, whatever comes.
            membership.changes.store(MAX_CHANGES + 1, Ordering::Release);
            return None;
        }
        _ => {}
    }
    *membership.organisation.lock() = Some(organisation.clone());
    let (moved, warning) = settle_rate(registry, membership, host, (weight, terms), &organisation);
    let cache_moved = !membership.cache_configured && {
        let name = match ids.workspace {
            Some(workspace) => format!("{host}/{organisation}/{workspace}"),
            None => format!("{host}/{organisation}"),
        };
        membership.cache.swap(Arc::new(name.as_str().into())).as_str() != name
    };
    Some(Learned { organisation, changed: moved || cache_moved, warning })
}

fn settle_rate(
    registry: &Registry,
    membership: &Membership,
    host: &str,
    (weight, terms): (u32, Terms),
    organisation: &str,
) -> (bool, Option<DomainWarning>) {
    let mut inner = registry.inner.lock();
    let scoped = format!("{host}/{organisation}");
    let ours = membership.rate.load_full();
    let known = inner.organisations.get(&scoped).and_then(Weak::upgrade);
    if ours.is_configured() {
        let first = inner.configured.entry(ours.name().clone()).or_insert_with(|| organisation.to_owned());
        let warning = if first != organisation {
            Some(DomainWarning::TwoOrganisations {
                domain: ours.name().clone(),
                first: first.clone(),
                second: organisation.to_owned(),
            })
        } else {
            known.as_ref().filter(|known| known.name() != ours.name()).map(|known| {
                DomainWarning::SplitOrganisation {
                    domain: ours.name().clone(),
                    other: known.name().clone(),
                    organisation: organisation.to_owned(),
                }
            })
        };
        if known.is_none() {
            inner.organisations.insert(scoped, Arc::downgrade(&ours));
        }
        return (false, warning);
    }
    let target = known.unwrap_or_else(|| {
        let domain = inner.rate(&scoped.as_str().into(), false);
        inner.organisations.insert(scoped, Arc::downgrade(&domain));
        domain
    });
    drop(inner);
    if Arc::ptr_eq(&target, &ours) {
        return (false, None);
    }
    target.raise_weight(weight);
    target.join_terms(terms);
    target.keep_the_stricter(&ours);
    membership.rate.store(Arc::clone(&target));
    // Once more: a 429 may have been booked to the old domain while we moved.
    target.keep_the_stricter(&ours);
    (true, None)
}
