//! What leads from a request without an id to its session: ids and text of earlier answers, and
//! earlier prompts.
//!
//! One bounded table (least recently used goes first), every entry under its tenant's hash, good for
//! an hour. Only the *end* of each prompt is kept, no breakpoint: many first requests share marked
//! beginnings, and would all become the session that happened to come first.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    identity::{Identity, number},
    key::fold,
    table::Table,
};
use crate::{
    clock::{Moment, UnixTime},
    types::{ModelName, PrefixChain, SessionKey, TenantId},
};

/// How far back a prompt is searched for the end of an earlier one.
const LOOK_BACK: usize = 256;
/// Prompts whose first turns are under way, and how many equal ones of each can be told apart.
const OPENINGS: usize = 4096;
const EQUAL_OPENINGS: usize = 64;

/// Bounds of [`Links`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinksParams {
    /// Entries at most (about 150 bytes each). A turn without an id makes one a tool call, three more
    /// for its prompt and its text, and one a session; a turn with an id makes two a session.
    pub capacity: usize,
    /// How long an entry is good for.
    pub ttl: Duration,
}

impl Default for LinksParams {
    fn default() -> Self {
        Self { capacity: 1 << 18, ttl: Duration::from_secs(3600) }
    }
}

/// Tenant and model as numbers: entries of different tenants can never meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scope {
    pub(super) tenant: u64,
    pub(super) model: u64,
}

impl Scope {
    pub(super) fn new(tenant: &TenantId, model: &ModelName) -> Self {
        Self { tenant: number(tenant.as_str()), model: number(model.as_str()) }
    }

    fn at(self, item: Item<'_>) -> u128 {
        let item = match item {
            Item::Id(id) => fold([1, number(id), 0]),
            Item::Prompt(end) => fold([2, end, self.model]),
            Item::Reply { text, after } => fold([fold([3, text, after]), self.model, 0]),
            Item::Conversation(id) => fold([4, id, 0]),
            Item::Session(SessionKey(key)) => {
                let [low, high] = halves(key);
                fold([5, low, high])
            }
        };
        u128::from(self.tenant) << 64 | u128::from(item)
    }
}

/// What an entry is found by.
#[derive(Clone, Copy)]
enum Item<'a> {
    /// The id of a tool call or an answer.
    Id(&'a str),
    /// The hash of a whole earlier prompt.
    Prompt(u64),
    /// The text of an answer, and what it answered.
    Reply { text: u64, after: u64 },
    /// A conversation by its own name, whatever its model.
    Conversation(u64),
    /// The session itself.
    Session(SessionKey),
}

const fn halves(key: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the other half is the other element")]
    [key as u64, (key >> 64) as u64]
}

#[derive(Clone, Copy, Debug)]
struct Link {
    key: SessionKey,
    model: u64,
    /// More than one session claimed it; `key` is the latest.
    shared: bool,
    at: Moment,
}

/// First turns of equal bytes, oldest first.
type Openings = Vec<(SessionKey, Moment)>;

/// The links of all tenants. Cheap to share: every method takes `&self` and locks a shard shortly.
#[derive(Debug)]
pub struct Links {
    table: Table<Link>,
    openings: Table<Openings>,
    ttl: Duration,
    start: u64,
    minted: AtomicU64,
}

impl Links {
    /// Empty links. `start` is random, so that sessions numbered by another run, or by another
    /// replica, are not taken for ours.
    #[must_use]
    pub fn new(params: LinksParams, start: u64) -> Self {
        Self {
            table: Table::new(params.capacity),
            openings: Table::new(OPENINGS),
            ttl: params.ttl,
            start,
            minted: AtomicU64::new(0),
        }
    }

    /// Remembers that a session asked this. Call it when a request was *admitted*: what was refused
    /// need not be found again.
    pub fn learn_request(&self, of: &Identity, now: Moment) {
        let Some(key) = of.key else { return };
        self.put(of.scope, Item::Session(key), key, now);
        if let Some(conversation) = of.conversation {
            self.put(of.scope, Item::Conversation(conversation), key, now);
        } else if let Some(prompt) = of.prompt {
            self.put(of.scope, Item::Prompt(prompt), key, now);
        }
    }

    /// Remembers a tool call (or the answer itself) by the id that the provider gave it. Ids so short
    /// that engines count them up (`call_0`) lead nowhere and are not kept.
    pub fn learn_tool_call(&self, of: &Identity, id: &str, now: Moment) {
        if let (Some(key), true) = (of.key, of.wants_links() && telling(id)) {
            self.put(of.scope, Item::Id(id), key, now);
            self.answered(of, key);
        }
    }

    /// Remembers the text of an answer by its fingerprint, together with what it answered.
    pub fn learn_reply(&self, of: &Identity, text: u64, now: Moment) {
        if let (Some(key), Some(prompt), true) = (of.key, of.prompt, of.wants_links()) {
            self.put(of.scope, Item::Reply { text, after: prompt }, key, now);
            self.put(of.scope, Item::Reply { text, after: of.opener }, key, now);
            self.answered(of, key);
        }
    }

    /// How many entries are held, for a gauge.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn knows(&self, scope: Scope, key: SessionKey, now: Moment) -> bool {
        self.get(scope, Item::Session(key), now).is_some()
    }

    /// The session in which a conversation was last seen.
    pub(super) fn latest(&self, scope: Scope, conversation: u64, now: Moment) -> Option<SessionKey> {
        self.get(scope, Item::Conversation(conversation), now).map(|link| link.key)
    }

    /// The session (and model) whose answer carried this id; `None` if two did.
    pub(super) fn by_id(&self, scope: Scope, id: &str, now: Moment) -> Option<(SessionKey, u64)> {
        let link = self.get(scope, Item::Id(id), now).filter(|_| telling(id))?;
        (!link.shared).then_some((link.key, link.model))
    }

    /// The session that was answered this: to that very prompt, or else, where only one session
    /// with this opener was, anywhere in the conversation (clients edit their history).
    pub(super) fn by_reply(
        &self,
        scope: Scope,
        text: u64,
        prompt: Option<u64>,
        opener: u64,
        now: Moment,
    ) -> Option<SessionKey> {
        let exact = prompt.and_then(|after| self.get(scope, Item::Reply { text, after }, now));
        exact
            .or_else(|| self.get(scope, Item::Reply { text, after: opener }, now).filter(|link| !link.shared))
            .map(|link| link.key)
    }

    /// The session with the longest earlier prompt that this one begins with. The opener alone, at
    /// `opener_at`, tells only while no two sessions share it.
    pub(super) fn by_prefix(
        &self,
        scope: Scope,
        chain: &PrefixChain,
        opener_at: usize,
        now: Moment,
    ) -> Option<SessionKey> {
        let points = chain.points.iter().enumerate().skip(opener_at);
        points.rev().take(LOOK_BACK).find_map(|(at, point)| {
            let link = self.get(scope, Item::Prompt(point.hash), now)?;
            (at > opener_at || !link.shared).then_some(link.key)
        })
    }

    /// A number that no other first turn has, with its opener in it.
    pub(super) fn mint(&self, opener: u64) -> [u8; 24] {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 24];
        for (place, part) in id.chunks_exact_mut(8).zip([opener, self.start, number]) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        id
    }

    /// A first turn has begun: its client may try it again.
    pub(super) fn opened(&self, scope: Scope, whole: u64, key: SessionKey, now: Moment) {
        self.openings.upsert(scope.at(Item::Prompt(whole)), |old| {
            let mut equal = old.unwrap_or_default();
            if equal.len() >= EQUAL_OPENINGS {
                equal.remove(0);
            }
            equal.push((key, now));
            equal
        });
    }

    /// The session of a first turn that is tried again. Of several with equal bytes it is the one
    /// that has waited longest, and then goes to the end of the queue: until they are answered they
    /// are interchangeable, but no two retries may become one session.
    pub(super) fn retried(&self, scope: Scope, whole: u64, now: Moment) -> Option<SessionKey> {
        self.openings.with(scope.at(Item::Prompt(whole)), |equal| {
            equal.retain(|(_, at)| now.since(*at) <= self.ttl);
            let first = equal.first_mut()?;
            first.1 = now;
            let key = first.0;
            equal.rotate_left(1);
            Some(key)
        })?
    }

    /// A first turn was answered: it will not be tried again.
    fn answered(&self, of: &Identity, key: SessionKey) {
        let Some(prompt) = of.prompt else { return };
        self.openings
            .with(of.scope.at(Item::Prompt(prompt)), |equal| equal.retain(|(other, _)| *other != key));
    }

    fn get(&self, scope: Scope, item: Item<'_>, now: Moment) -> Option<Link> {
        self.table.with(scope.at(item), |link| *link).filter(|link| now.since(link.at) <= self.ttl)
    }

    fn put(&self, scope: Scope, item: Item<'_>, key: SessionKey, now: Moment) {
        self.table.upsert(scope.at(item), |old| {
            let old = old.filter(|old| now.since(old.at) <= self.ttl);
            let shared = old.is_some_and(|old| old.shared || old.key != key);
            Link { key, model: scope.model, shared, at: now }
        });
    }
}

/// Whether an id can be one of its kind: vendors use twenty random characters and more, some engines
/// count (`call_0`, `functions.bash:3`).
fn telling(id: &str) -> bool {
    (9..=256).contains(&id.len()) && !id.contains(':')
}

/// [`Links`] as plain values for a state file: hashes only, nothing a client or a provider wrote.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LinksDump {
    /// The links, in no order.
    pub entries: Vec<LinkEntry>,
}

/// One link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkEntry {
    /// Hash of the tenant.
    pub tenant: u64,
    /// Hash of what leads to the session.
    pub item: u64,
    /// The session, low half first.
    pub key: [u64; 2],
    /// Hash of the model.
    pub model: u64,
    /// More than one session claimed it.
    pub shared: bool,
    /// When it was last used, in seconds since 1970.
    pub seen: u64,
}

impl Links {
    /// Everything that is still good. `now` and `unix` are the same instant on both clocks.
    #[must_use]
    pub fn dump(&self, now: Moment, unix: UnixTime) -> LinksDump {
        let entries = self.table.collect(|at, link| {
            let age = now.since(link.at);
            let [item, tenant] = halves(at);
            (age <= self.ttl).then(|| LinkEntry {
                tenant,
                item,
                key: halves(link.key.0),
                model: link.model,
                shared: link.shared,
                seen: unix.0.saturating_sub(age).as_secs(),
            })
        });
        LinksDump { entries }
    }

    /// Takes over what an earlier run knew; what is known already wins.
    pub fn restore(&self, dump: &LinksDump, now: Moment, unix: UnixTime) {
        for entry in &dump.entries {
            let age = unix.0.saturating_sub(Duration::from_secs(entry.seen));
            if age > self.ttl {
                continue;
            }
            let [low, high] = entry.key.map(u128::from);
            let link = Link {
                key: SessionKey(high << 64 | low),
                model: entry.model,
                shared: entry.shared,
                at: now - age,
            };
            let at = u128::from(entry.tenant) << 64 | u128::from(entry.item);
            self.table.upsert(at, |known| known.unwrap_or(link));
        }
    }
}
