//! What is told to the ledger beside receipts.

use std::sync::Arc;

use crate::{
    clock::UnixTime,
    store::counters::Charged,
    types::{
        CallerName, KeyId, ModelName, NanoUsd, RequestId, SessionKey, Tag, TeamName, TenantId, Usage,
        VirtualKey,
    },
};

/// A request that was let in. Should the gateway die, this is what it is charged.
#[derive(Clone, Debug)]
pub struct OpenRecord {
    /// Its id: the receipt has the same.
    pub id: RequestId,
    /// When its head arrived.
    pub at: UnixTime,
    /// Who asked.
    pub caller: CallerName,
    /// The id of the key.
    pub key: Option<KeyId>,
    /// On whose behalf.
    pub organisation: TenantId,
    /// Of which team.
    pub team: Option<TeamName>,
    /// The key's tags.
    pub tags: Vec<Tag>,
    /// Which conversation.
    pub session: Option<SessionKey>,
    /// Whose sub-agent it is.
    pub parent: Option<SessionKey>,
    /// The configured name or pattern of the model.
    pub model: Option<ModelName>,
    /// What budgets hold for it.
    pub reserved: Vec<Charged>,
    /// The tokens that it may come to.
    pub estimate: Usage,
    /// What those cost; `None` when no price is known.
    pub charge: Option<NanoUsd>,
    /// What the caller would be billed for them.
    pub billed: Option<NanoUsd>,
}

impl OpenRecord {
    /// The record of a request by this key, with nothing reserved and nothing estimated yet.
    #[must_use]
    pub fn of(id: RequestId, at: UnixTime, tenant: &TenantId, key: Option<&Arc<VirtualKey>>) -> Self {
        Self {
            id,
            at,
            caller: key.map_or_else(|| "anonymous".into(), |key| key.name.clone()),
            key: key.map(|key| key.id.clone()),
            organisation: tenant.clone(),
            team: key.and_then(|key| key.team.clone()),
            tags: key.map(|key| key.tags.clone()).unwrap_or_default(),
            session: None,
            parent: None,
            model: None,
            reserved: Vec::new(),
            estimate: Usage::default(),
            charge: None,
            billed: None,
        }
    }
}

/// What is held for an open request from now on, in place of what was: a stream took its next slice, or
/// its input was corrected. Whole figures, not differences.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Of which request.
    pub id: RequestId,
    /// What budgets hold for it now.
    pub reserved: Vec<Charged>,
    /// The tokens that it may come to now.
    pub estimate: Usage,
    /// What those cost.
    pub charge: Option<NanoUsd>,
    /// What the caller would be billed for them.
    pub billed: Option<NanoUsd>,
}

/// What somebody thinks of an answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Feedback {
    /// `wk_...`, as the client was told.
    pub request: String,
    /// Who says it; only requests of the same organisation are found.
    pub organisation: TenantId,
    /// The name of the key.
    pub caller: CallerName,
    /// When.
    pub at: UnixTime,
    /// How good it was, by the client's own scale; must be finite.
    pub score: Option<f64>,
    /// A word for it.
    pub label: Option<String>,
}
