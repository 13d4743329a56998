//! The first verb: who asks, for what, in which conversation.
//!
//! Who asks is settled on the head alone, before the body is read or asked for. What for, and which
//! conversation, comes from one scan of the body.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::{denial::Denial, exchange::Exchange, headers};
use crate::{
    clock,
    dialect::{self, RequestView, ScanLimits},
    session::{self, Asked},
    snapshot::Snapshot,
    types::{ModelName, Operation, Reason},
    upstream::{Model, Unresolved},
};

/// What is known of a call once its body was read.
pub(crate) struct Identified {
    /// The model, resolved.
    pub model: Arc<Model>,
    /// The model as the caller wrote it.
    pub requested: ModelName,
    /// The body's spans.
    pub view: RequestView,
}

/// Finds out who asks. In open mode everybody may; elsewhere a known token is asked for.
pub(crate) fn caller(x: &mut Exchange, headers: &HeaderMap) -> Result<(), Denial> {
    let snapshot = Arc::clone(&x.snapshot);
    let mut tokens = headers::caller_tokens(headers);
    let known = tokens.find_map(|(name, token)| Some((name, snapshot.callers.of_token(token)?)));
    match known {
        Some((name, caller)) => {
            x.own_credential = Some(name);
            x.caller = caller.name.clone();
            x.tenant = caller.organisation.clone();
            x.key = Some(Arc::clone(caller));
            Ok(())
        }
        None if is_open(&snapshot) => Ok(()),
        None => Err(Denial::new(
            Reason::Unauthenticated,
            "no valid key; send the key that this gateway's operator gave you as `x-api-key` or `authorization: Bearer`",
        )
        .closing()),
    }
}

fn is_open(snapshot: &Snapshot) -> bool {
    snapshot.server.open || snapshot.callers.is_empty()
}

/// Reads the body's meaning.
pub(crate) fn call(
    x: &mut Exchange,
    operation: Operation,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Identified, Denial> {
    let limits = ScanLimits { max_depth: x.snapshot.server.bounds.max_depth, ..ScanLimits::default() };
    let view = dialect::scan(operation, body, &limits)
        .map_err(|fault| Denial::new(Reason::BadRequest, fault.to_string()))?;
    let requested = view.model.value.clone();
    let model = x.snapshot.models.resolve(requested.as_str(), operation.dialect().family());
    let model = Arc::clone(model.map_err(|fault| unresolved(fault, &requested, operation))?);
    x.streamed = view.stream;
    x.model = Some(model.label.clone());
    x.upstream_model =
        Some(model.upstream_name(requested.as_str()).map_or_else(|| requested.clone(), ModelName::from));
    x.ttl = view.ttl;
    if operation.generates() || operation == Operation::CountTokens {
        let asked = Asked { headers, view: &view, body, tenant: &x.tenant, model: &requested };
        let identity = session::identify(&asked, &x.snapshot.identity, &x.live.links, clock::now());
        x.identity = Some(identity);
    }
    Ok(Identified { model, requested, view })
}

fn unresolved(fault: Unresolved, requested: &ModelName, operation: Operation) -> Denial {
    // A name is the caller's own text; what is absurdly long is not worth repeating.
    let shown: String = requested.as_str().chars().take(100).collect();
    match fault {
        Unresolved::Unknown => Denial::new(
            Reason::UnknownModel,
            format!("model `{shown}` is not offered here; `GET /v1/models` lists what is"),
        ),
        Unresolved::WrongDialect => Denial::new(
            Reason::WrongDialect,
            format!(
                "model `{shown}` is not served in the `{}` dialect; use the API of its provider",
                operation.dialect().label()
            ),
        ),
    }
}
