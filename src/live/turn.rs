//! A turn that is over, as far as it takes to keep its prompt warm.

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    metering::Ratios,
    routing::{Price, Prompt},
    session::Identity,
    types::{CallerName, EndpointName, ModelName, TenantId},
};

/// A turn that is over. No `Debug`: it holds a prompt.
pub struct KeptTurn {
    /// Where its prompt is warm.
    pub endpoint: EndpointName,
    /// The body as it went up.
    pub body: Bytes,
    /// The client's headers that went up with it.
    pub headers: HeaderMap,
    /// Its path and query.
    pub path_and_query: String,
    /// The model as the caller wrote it.
    pub requested: ModelName,
    /// The model as the provider is asked for it.
    pub upstream_model: ModelName,
    /// What the provider's cache sees of it.
    pub prompt: Prompt,
    /// What its tokens cost.
    pub price: Price,
    /// Input tokens as the provider counted them.
    pub tokens: u64,
    /// Tokens per byte.
    pub ratios: Ratios,
    /// Who asked.
    pub caller: CallerName,
    /// On whose behalf.
    pub tenant: TenantId,
    /// Which conversation.
    pub identity: Identity,
}
