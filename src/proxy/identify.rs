//! The first verb: who asks, for what, in which conversation.
//!
//! Who asks is settled on the head alone, before the body is read or asked for. What for, and which
//! conversation, comes from one scan of the body.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use super::{denial::Denial, exchange::Exchange, headers};
use crate::{
    clock::{self, UnixTime},
    dialect::{self, RequestView, ScanLimits},
    live::Found,
    session::{self, Asked},
    types::{ModelName, Operation, Reason},
    upstream::Model,
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
///
/// Of several tokens the first good one counts. A key that is switched off or over is refused in open
/// mode, too: somebody meant that.
pub(crate) fn caller(x: &mut Exchange, headers: &HeaderMap) -> Result<(), Denial> {
    let now = clock::unix_now();
    let mut worst = Found::Unknown;
    for (name, token) in headers::caller_tokens(headers) {
        match x.live.keys.find(token, now) {
            Found::Key(key) => {
                x.own_credential = Some(name);
                x.caller = key.name.clone();
                x.tenant = key.organisation.clone();
                x.key = Some(key);
                return Ok(());
            }
            Found::Unknown => {}
            found @ (Found::Expired(_) | Found::Disabled(_)) => worst = found,
            found @ (Found::Malformed | Found::Unready) if matches!(worst, Found::Unknown) => worst = found,
            Found::Malformed | Found::Unready => {}
        }
    }
    let is_own = matches!(worst, Found::Expired(_) | Found::Disabled(_));
    if !is_own && x.live.keys.is_open(x.snapshot.server.open) {
        return Ok(());
    }
    Err(refusal(&worst).closing())
}

/// Whoever shows a key has proved that it is theirs, so it is said what became of it. Of a revoked one
/// nothing is known any more.
fn refusal(found: &Found) -> Denial {
    let what = match found {
        Found::Expired(key) => {
            let when = key.expires.map(UnixTime::rfc3339).unwrap_or_default();
            format!("the key `{}` expired at {when}; ask this gateway's operator for a new one", key.id)
        }
        Found::Disabled(key) => {
            format!("the key `{}` is switched off; ask this gateway's operator", key.id)
        }
        Found::Malformed => {
            "the key begins with `wk-`, but its check sum is wrong: it was cut off or mistyped; copy it again, whole"
                .to_owned()
        }
        Found::Unready => {
            let what = "the store of keys cannot be reached, so keys cannot be checked yet; try again shortly";
            return Denial::retry(Reason::KeysUnready, Duration::from_secs(5), what);
        }
        Found::Key(_) | Found::Unknown => {
            "no valid key; send the key that this gateway's operator gave you as `x-api-key` or `authorization: Bearer`"
                .to_owned()
        }
    };
    Denial::new(Reason::Unauthenticated, what)
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
    let model = Arc::clone(model.ok_or_else(|| unknown(&requested))?);
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

fn unknown(requested: &ModelName) -> Denial {
    // A name is the caller's own text; what is absurdly long is not worth repeating.
    let shown: String = requested.as_str().chars().take(100).collect();
    Denial::new(
        Reason::UnknownModel,
        format!("model `{shown}` is not offered here; `GET /v1/models` lists what is"),
    )
}
