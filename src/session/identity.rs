//! The ladder: from the strongest sign of a conversation to the weakest.

use http::{HeaderMap, HeaderName};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    carriers::{self, Claim},
    fingerprint,
    forensics::Prints,
    key::{Conversation, IdKind, fold},
    links::{Links, Scope},
    reply::ReplyHasher,
};
use crate::{
    clock::Moment,
    dialect::{Block, PinKind, RequestView},
    types::{IdSource, ModelName, PrefixChain, Section, SessionKey, TenantId},
};

/// What the configuration says of sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionParams {
    /// Headers that carry an id of the conversation, tried before all others, in this order.
    pub headers: Vec<HeaderName>,
}

/// A request to recognise. No `Debug`: it holds credentials and the prompt.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, scanned.
    pub view: &'a RequestView,
    /// Its body.
    pub body: &'a [u8],
    /// On whose behalf: the scope of every id.
    pub tenant: &'a TenantId,
    /// The model: another one is another cache, so another session.
    pub model: &'a ModelName,
}

/// What a request belongs to.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The session; `None` when there is nothing to tell it by.
    pub key: Option<SessionKey>,
    /// The session that this one works for, if it is a sub-agent's.
    pub parent: Option<SessionKey>,
    /// What gave it away.
    pub source: IdSource,
    /// The prefix hashes of its prompt. Whoever has no more use for them may let them go.
    pub chain: PrefixChain,
    /// Hash of model, tools, system and first user message: where to place it when there is no key.
    /// 0 when there is no prompt that we can read: place it anywhere.
    pub opener: u64,
    /// The client says that it has just rewritten its history: nothing of the old prompt is warm.
    pub compacted: bool,
    /// We have seen this session before.
    pub known: bool,
    /// The blocks of its prompt, until [`Forensics::look`](super::Forensics::look) takes them.
    pub(super) prints: Prints,
    /// Tenant and model, hashed: the scope of what is learned from this request and its answer.
    pub(super) scope: Scope,
    /// Hash of the whole prompt: what the answer answers.
    pub(super) prompt: Option<u64>,
    /// The conversation whatever its model, if the client named it.
    pub(super) conversation: Option<u64>,
}

impl Identity {
    /// Whether [`Links`] wants to hear of this answer's tool calls and text: not when the client
    /// names its conversations itself.
    #[must_use]
    pub const fn wants_links(&self) -> bool {
        self.conversation.is_none() && self.key.is_some()
    }
}

/// A session, what told us, and whether we knew it.
type Found = (SessionKey, IdSource, bool);

/// Recognises the conversation that `asked` belongs to.
///
/// Hard pins are no part of this: they name an account, not a conversation, and stand in the view.
#[must_use]
pub fn identify(asked: &Asked<'_>, params: &SessionParams, links: &Links, now: Moment) -> Identity {
    let (chain, prints) = fingerprint::read(asked.view, asked.body);
    let scope = Scope::new(asked.tenant, asked.model);
    let turns = Turns::find(asked.view, &chain);
    let opener = turns.opener.map_or(0, |point| fold([point, scope.model, 0]));
    let mut identity = Identity {
        key: None,
        parent: None,
        source: IdSource::None,
        prompt: chain.last().map(|point| point.hash),
        chain,
        prints,
        opener,
        compacted: carriers::is_compacted(asked.headers),
        known: false,
        scope,
        conversation: None,
    };
    let view = asked.view;
    if let Some(claim) = carriers::claim(asked.headers, &view.ids, &view.pins, &params.headers) {
        claimed(&mut identity, asked, &claim, links, now);
        return identity;
    }
    let found = linked(asked, &identity, &turns, links, now)
        .or_else(|| opened(asked, &identity, &turns, links, now))
        .or_else(|| traced(asked, &identity, links, now));
    if let Some((key, source, known)) = found {
        (identity.key, identity.source, identity.known) = (Some(key), source, known);
    }
    identity
}

/// The client named its conversation.
fn claimed(identity: &mut Identity, asked: &Asked<'_>, claim: &Claim, links: &Links, now: Moment) {
    let named = |id, agent| Conversation { kind: IdKind::Client, id, agent };
    let conversation = named(claim.id.as_bytes(), claim.agent.as_bytes());
    let key = conversation.key(asked.tenant, asked.model);
    identity.key = Some(key);
    identity.source = claim.source;
    identity.known = links.knows(identity.scope, key, now);
    identity.conversation = Some(conversation.any_model());
    identity.parent = claim.parent.as_ref().map(|(id, agent)| {
        // The parent may well use a larger model than its sub-agent: take what it used last.
        let parent = named(id.as_bytes(), agent.as_bytes());
        links
            .latest(identity.scope, parent.any_model(), now)
            .unwrap_or_else(|| parent.key(asked.tenant, asked.model))
    });
}

/// Earlier answers, or earlier requests, lead to it.
fn linked(
    asked: &Asked<'_>,
    identity: &Identity,
    turns: &Turns,
    links: &Links,
    now: Moment,
) -> Option<Found> {
    let scope = identity.scope;
    let view = asked.view;
    let answers = view.pins.iter().filter(|pin| pin.kind == PinKind::Response).map(|pin| &pin.id);
    let by_id = view.tool_result_ids.iter().rev().chain(answers).find_map(|id| links.by_id(scope, id, now));
    if let Some((key, model)) = by_id {
        let key = if model == scope.model { key } else { switched(asked, key) };
        return Some((key, IdSource::ToolId, true));
    }
    if !view.has_history {
        return None;
    }
    Turns::reply(asked)
        .and_then(|reply| links.by_reply(scope, reply, turns.before_reply, identity.opener, now))
        .or_else(|| links.by_prefix(scope, &identity.chain, turns.opener_at, now))
        .map(|key| (key, IdSource::Prefix, true))
}

/// The same conversation with another model.
fn switched(asked: &Asked<'_>, from: SessionKey) -> SessionKey {
    let id = from.0.to_le_bytes();
    Conversation { kind: IdKind::Switched, id: &id, agent: b"" }.key(asked.tenant, asked.model)
}

/// Nothing leads to it: a first turn gets a number of its own, a later one is known by its beginning.
///
/// Fifty agents may start with the same bytes at the same moment, so equal bytes are the same
/// request only where the client says that it tries again; see [`Links::retried`].
///
/// A later turn that nothing leads to comes after a restart without state, or from another replica.
/// Its opener and the first reply (in which such agents do differ) make the same key everywhere and
/// in every further turn.
fn opened(
    asked: &Asked<'_>,
    identity: &Identity,
    turns: &Turns,
    links: &Links,
    now: Moment,
) -> Option<Found> {
    let opening = turns.opening?;
    if asked.view.has_history {
        let id = opening.to_le_bytes();
        let key = Conversation { kind: IdKind::Opening, id: &id, agent: b"" }.key(asked.tenant, asked.model);
        return Some((key, IdSource::Opener, links.knows(identity.scope, key, now)));
    }
    let whole = identity.chain.last()?.hash;
    if carriers::is_retry(asked.headers)
        && let Some(key) = links.retried(identity.scope, whole, now)
    {
        return Some((key, IdSource::Opener, true));
    }
    let id = links.mint(identity.opener);
    let key = Conversation { kind: IdKind::Minted, id: &id, agent: b"" }.key(asked.tenant, asked.model);
    links.opened(identity.scope, whole, key, now);
    Some((key, IdSource::Opener, false))
}

fn traced(asked: &Asked<'_>, identity: &Identity, links: &Links, now: Moment) -> Option<Found> {
    let id = carriers::trace(asked.headers)?.as_bytes();
    let key = Conversation { kind: IdKind::Trace, id, agent: b"" }.key(asked.tenant, asked.model);
    Some((key, IdSource::Trace, links.knows(identity.scope, key, now)))
}

/// Where the turns of a prompt stand in its chain.
#[derive(Debug, Default)]
struct Turns {
    /// Index of the point at the end of the first user message.
    opener_at: usize,
    /// Its hash; of the whole prompt where no user speaks; `None` for an empty prompt.
    opener: Option<u64>,
    /// Hash at the end of the first reply behind it, or the opener's.
    opening: Option<u64>,
    /// Hash just before the last message of the model: what the request before ended with.
    before_reply: Option<u64>,
}

impl Turns {
    fn find(view: &RequestView, chain: &PrefixChain) -> Self {
        let blocks: Vec<&Block> = view.blocks.iter().filter(|block| !block.attribution).collect();
        let is = |at: usize, section| blocks.get(at).is_some_and(|block| block.section == section);
        let hash = |at: usize| chain.points.get(at).map(|point| point.hash);
        let first = |from: usize, section| (from..blocks.len()).find(|at| is(*at, section));

        // Several blocks may make the first message...
        let opener_at = first(0, Section::User).map_or(blocks.len().saturating_sub(1), |start| {
            let more =
                |at: &usize| is(*at, Section::User) && !blocks.get(*at).is_some_and(|b| b.opens_message);
            (start + 1..blocks.len()).take_while(more).last().unwrap_or(start)
        });
        // ...and several messages of the model one reply: Responses has an item a call.
        let opening_at = first(opener_at + 1, Section::Assistant).map_or(opener_at, |start| {
            (start..blocks.len()).take_while(|at| is(*at, Section::Assistant)).last().unwrap_or(start)
        });
        let before_reply = (0..blocks.len()).rev().find(|at| is(*at, Section::Assistant)).and_then(|end| {
            let before = (0..end).rev().find(|at| !is(*at, Section::Assistant))?;
            hash(before)
        });
        Self { opener_at, opener: hash(opener_at), opening: hash(opening_at), before_reply }
    }

    /// The fingerprint of the last reply in the history.
    fn reply(asked: &Asked<'_>) -> Option<u64> {
        let mut hasher = ReplyHasher::new();
        for span in &asked.view.last_reply {
            hasher.push(asked.body.get(span.clone()).unwrap_or_default());
        }
        hasher.finish()
    }
}

/// A name as a fixed number.
#[must_use]
pub fn number(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}
