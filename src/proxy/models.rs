//! `GET /v1/models`: what the configuration offers, in the shape that the caller's dialect expects.

use bytes::Bytes;
use http::HeaderMap;

use super::{denial::Denial, exchange::Exchange};
use crate::{
    dialect::{self, ModelListing},
    snapshot,
    types::{Family, ModelName, NanoUsd, Rates, Reason},
    upstream::Model,
};

/// The dialect family of a caller that asks for models: its prefix says it, or its version header.
pub(crate) fn family_of(prefix: Option<Family>, headers: &HeaderMap) -> Family {
    prefix.unwrap_or_else(|| {
        if headers.contains_key("anthropic-version") { Family::Anthropic } else { Family::OpenAi }
    })
}

/// The list, or one of it. Globs are offered as what they are made of: nobody can call `claude-*`.
/// `only`: the path names a provider, whose family's models are meant.
pub(crate) fn list(
    x: &Exchange,
    family: Family,
    only: Option<Family>,
    id: Option<&str>,
) -> Result<Bytes, Denial> {
    let mut listings: Vec<ModelListing> = x
        .snapshot
        .models
        .models()
        .filter(|model| only.is_none_or(|only| only == model.family) && offered(x, model))
        .map(|model| listing(x, model))
        .collect();
    // One name in two dialects is one model to a caller.
    let mut seen = std::collections::HashSet::new();
    listings.retain(|listing| seen.insert(listing.id.clone()));
    match id {
        None => Ok(dialect::models(family, &listings)),
        Some(id) => listings.iter().find(|listing| listing.id.as_str() == id).map_or_else(
            || {
                let shown: String = id.chars().take(100).collect();
                Err(Denial::new(Reason::UnknownModel, format!("model `{shown}` is not offered here")))
            },
            |listing| Ok(dialect::model(family, listing)),
        ),
    }
}

/// Whatever its provider speaks: what is not spoken is translated.
fn offered(x: &Exchange, model: &Model) -> bool {
    let name = model.label.as_str();
    !name.contains('*') && x.key.as_ref().is_none_or(|key| snapshot::may_use(key, name))
}

/// With prices as this caller is billed for them, its markup included.
fn listing(x: &Exchange, model: &Model) -> ModelListing {
    let upstream = model.upstream_name(model.label.as_str()).unwrap_or(model.label.as_str());
    let markup = |nano: u64| x.key.as_ref().map_or(nano, |key| key.billed(NanoUsd(nano)).0);
    let billed = |rates: Rates| Rates {
        input: markup(rates.input),
        cached_read: markup(rates.cached_read),
        write_5m: markup(rates.write_5m),
        write_1h: markup(rates.write_1h),
        output: markup(rates.output),
    };
    let prices = x.snapshot.prices.tiers(upstream).into_iter();
    ModelListing {
        prices: prices.map(|(above, rates)| (above, billed(rates))).collect(),
        id: ModelName::clone(&model.label),
        display_name: model.label.to_string(),
        created: i64::try_from(x.snapshot.loaded.0.as_secs()).unwrap_or(0),
        owned_by: model.family.label().to_owned(),
    }
}
