//! What a call is to a prompt cache: the prefixes that it writes and reads, and what they cost.

use xxhash_rust::xxh3::xxh3_64;

use super::{care::Care, exchange::Exchange, identify::Identified};
use crate::{
    dialect::TtlAsked,
    routing::{Price, Prompt, PromptFacts, USUAL_RATES},
    types::Operation,
};

/// The prompt of a call of about `tokens` tokens, and its price.
pub(super) fn prompt(
    x: &Exchange,
    operation: Operation,
    who: &Identified,
    care: &Care,
    tokens: u64,
) -> (Prompt, Price) {
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    let upstream = x.upstream_model.as_ref().map_or("", |model| model.as_str());
    let rates = x.snapshot.prices.rates(upstream, u64::from(tokens)).unwrap_or(USUAL_RATES);
    let marked = x.ttl != TtlAsked::None;
    let price = Price::of(&rates, marked, x.ttl == TtlAsked::Long);
    // Counting tokens takes none from the limits.
    let tokens = if operation == Operation::CountTokens { 0 } else { tokens };
    // The endpoints of a model speak one family; where their cache rules differ, the first speaks for all.
    let provider = who.model.endpoints.first().map(|endpoint| &endpoint.provider().params);
    let (Some(identity), Some(provider), true) = (&x.identity, provider, operation.generates()) else {
        return (Prompt::opaque(tokens), price);
    };
    let facts = PromptFacts {
        marks: &care.marks,
        cache: provider.cache,
        model: xxh3_64(upstream.as_bytes()),
        settings: who.view.settings.all,
        message_settings: who.view.settings.messages,
        tokens,
        ttl: x.ttl,
    };
    (Prompt::of(&identity.chain, &facts), price)
}
