//! A page of the session table, sorted and searched, without keeping requests waiting.
//!
//! Each shard is locked once, for as long as it takes to note a few figures of its sessions; what is
//! compared and sorted is sorted afterwards. Only the sessions of the page are written out.

use std::cmp::Reverse;

use ahash::AHashMap;

use super::{entry::Entry, saved::SessionView, sessions::SessionTable};
use crate::{
    clock::Moment,
    types::{ModelName, SessionKey},
};

/// What sessions are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortBy {
    /// When the last request went out.
    Heat,
    /// What its requests cost.
    Usd,
    /// Requests.
    Turns,
    /// Tokens of the newest prompt.
    Context,
    /// The share of its requests that went where it was warm.
    HitRate,
    /// Requests that had to go elsewhere.
    Moved,
    /// How long ago the last request went out.
    Idle,
}

impl SortBy {
    /// Every order, for tables and tests.
    pub const ALL: &[Self] =
        &[Self::Heat, Self::Usd, Self::Turns, Self::Context, Self::HitRate, Self::Moved, Self::Idle];

    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Heat => "heat",
            Self::Usd => "usd",
            Self::Turns => "turns",
            Self::Context => "context",
            Self::HitRate => "hit_rate",
            Self::Moved => "moved",
            Self::Idle => "idle",
        }
    }

    fn rank(self, entry: &Entry, now: Moment) -> u64 {
        let counts = &entry.counts;
        match self {
            Self::Heat => entry.last_start.as_nanos(),
            Self::Usd => counts.charged.0,
            Self::Turns => counts.turns,
            Self::Context => counts.context_tokens,
            // Millionths; a session without requests (it cannot be) comes last.
            Self::HitRate => counts.hits.saturating_mul(1_000_000).checked_div(counts.turns).unwrap_or(0),
            Self::Moved => counts.moved,
            Self::Idle => u64::try_from(now.since(entry.last_start).as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Which sessions, and in which order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// By what.
    pub sort: SortBy,
    /// The smallest first.
    pub ascending: bool,
    /// So many are passed over.
    pub offset: usize,
    /// So many are listed.
    pub limit: usize,
    /// Stands in the id, the model or the endpoint, in either case; empty: all.
    pub search: String,
}

/// A page of sessions.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Sessions remembered.
    pub known: usize,
    /// Those that were searched for.
    pub matched: usize,
    /// The page.
    pub rows: Vec<SessionView>,
}

/// What is noted of a session: its place in the order. Equal ranks stand by id, so pages do not jitter.
type Place = (u64, SessionKey);

impl SessionTable {
    /// A page of sessions. Takes some milliseconds with a hundred thousand of them: not for a thread that
    /// serves requests.
    #[must_use]
    pub fn list(&self, listing: &Listing, now: Moment) -> Listed {
        let mut search = Search::new(&listing.search);
        let (mut known, mut places) = (0, Vec::new());
        self.each(|session, entry| {
            known += 1;
            if search.finds(session, entry) {
                places.push((listing.sort.rank(entry, now), session));
            }
        });
        let matched = places.len();
        let page = page(places, listing);
        let rows = page.into_iter().filter_map(|(_, session)| self.peek(session, now)).collect();
        Listed { known, matched, rows }
    }

    /// The session with this short hash, whose sub-agent it is, and its own sub-agents, those first that said
    /// something last: at most `limit`.
    #[must_use]
    pub fn family(&self, id: u64, limit: usize, now: Moment) -> Option<Family> {
        let mut found = None;
        self.each(|session, entry| {
            if session.0 >> 64 == u128::from(id) {
                found = Some((session, entry.parent));
            }
        });
        let (session, parent) = found?;
        let mut children: Vec<(Moment, SessionKey)> = Vec::new();
        self.each(|child, entry| {
            if entry.parent == Some(session) {
                children.push((entry.last_start, child));
            }
        });
        children.sort_unstable_by_key(|&(last_start, child)| (Reverse(last_start), child));
        let views = children.into_iter().take(limit).filter_map(|(_, child)| self.peek(child, now));
        Some(Family {
            session: self.peek(session, now)?,
            parent: parent.and_then(|parent| self.peek(parent, now)),
            children: views.collect(),
        })
    }
}

/// A session, and those next to it.
#[derive(Clone, Debug)]
pub struct Family {
    /// The session.
    pub session: SessionView,
    /// Whose sub-agent it is, where that is remembered.
    pub parent: Option<SessionView>,
    /// Its own sub-agents.
    pub children: Vec<SessionView>,
}

fn page(mut places: Vec<Place>, listing: &Listing) -> Vec<Place> {
    let end = listing.offset.saturating_add(listing.limit);
    let key = |&(rank, session): &Place| (if listing.ascending { rank } else { !rank }, session);
    if end < places.len() {
        // Only what stands on the page, and before it, needs an order.
        places.select_nth_unstable_by_key(end, key);
        places.truncate(end);
    }
    places.sort_unstable_by_key(key);
    places.drain(..listing.offset.min(places.len()));
    places
}

/// Names are few and sessions many, so what was found of a name is kept.
struct Search {
    text: String,
    /// It may be a part of an id.
    is_hex: bool,
    models: AHashMap<ModelName, bool>,
    endpoints: AHashMap<u64, bool>,
}

impl Search {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let is_hex = text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self { is_hex, text, models: AHashMap::new(), endpoints: AHashMap::new() }
    }

    fn finds(&mut self, session: SessionKey, entry: &Entry) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let has = |name: &str| name.to_lowercase().contains(&self.text);
        let endpoint = &entry.home;
        *self.endpoints.entry(endpoint.id).or_insert_with(|| has(endpoint.endpoint.as_str()))
            || match self.models.get(&entry.model) {
                Some(found) => *found,
                None => *self.models.entry(entry.model.clone()).or_insert(has(entry.model.as_str())),
            }
            || self.is_hex && session.to_string().contains(&self.text)
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
