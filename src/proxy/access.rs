//! Where a caller's key may go: providers and regions.
//!
//! The rule for choosing is routing's (`Ask::allowed`); here is what is said when there is nothing left
//! to choose, and the check of what names its account itself.

use std::sync::Arc;

use super::{denial::Denial, exchange::Exchange};
use crate::{
    types::{Access, Reason},
    upstream::{Endpoint, Model},
};

/// What narrows the choice; `None` where the caller may go everywhere.
pub(crate) fn narrowed(x: &Exchange) -> Option<&Access> {
    x.key.as_ref().map(|key| &key.access).filter(|access| !access.allows_every_endpoint())
}

/// Whether the caller may use this endpoint.
pub(crate) fn allows(x: &Exchange, endpoint: &Endpoint) -> bool {
    narrowed(x).is_none_or(|access| access.allows(&endpoint.provider().params.name, endpoint.region()))
}

/// Refuses a model that is served only where the caller may not go.
pub(crate) fn check_model(x: &Exchange, model: &Model) -> Result<(), Denial> {
    if model.endpoints.iter().any(|endpoint| allows(x, endpoint)) {
        return Ok(());
    }
    Err(Denial::new(
        Reason::Forbidden,
        format!(
            "model `{}` is not served by any provider or in any region that your key may use",
            model.label
        ),
    ))
}

/// Refuses what lives at an account that the caller may not use.
pub(crate) fn check_owner(x: &Exchange, endpoint: &Arc<Endpoint>) -> Result<(), Denial> {
    if allows(x, endpoint) {
        return Ok(());
    }
    Err(Denial::new(
        Reason::Forbidden,
        "what the request refers to lives at a provider or in a region that your key may not use",
    ))
}
