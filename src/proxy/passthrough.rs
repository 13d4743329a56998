//! Paths beyond the known ones, where a provider's `passthrough` allows them.
//!
//! Uploads and reads take Pingora's native path; JSON calls are driven like stored objects, because
//! their bodies may name objects. Objects belong to the tenant that made them, and a tenant's calls
//! stay on one account, so that what it uploads and what refers to it meet.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, header};
use xxhash_rust::xxh3::xxh3_64;

use super::{access, admit, denial::Denial, exchange::Exchange, route::Target};
use crate::{
    clock,
    dialect::{HardPin, PinKind},
    routing::{Ring, endpoint_of},
    types::Reason,
    upstream::{Endpoint, Lane, Provider},
};

/// Collections whose members are owned, by the path they stand under.
const COLLECTIONS: &[(&str, PinKind)] = &[
    ("/v1/files", PinKind::File),
    ("/v1/uploads", PinKind::File),
    ("/v1/messages/batches", PinKind::Batch),
    ("/v1/batches", PinKind::Batch),
    ("/v1/conversations", PinKind::Conversation),
    ("/v1/containers", PinKind::Container),
    ("/v1/responses", PinKind::Response),
];

/// Beginnings of ids that name an object in a body.
const ID_HEADS: &[(&str, PinKind)] = &[
    ("file-", PinKind::File),
    ("file_", PinKind::File),
    ("msgbatch_", PinKind::Batch),
    ("batch_", PinKind::Batch),
    ("conv_", PinKind::Conversation),
    ("cntr_", PinKind::Container),
    ("container_", PinKind::Container),
    ("resp_", PinKind::Response),
];

/// Objects that a body may name.
const MENTIONS: usize = 64;
/// No provider's ids are longer.
const ID_LENGTH: usize = 200;

/// Where a pass-through goes.
pub(crate) struct Way {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// What kind of object a successful answer names.
    pub creates: Option<PinKind>,
}

/// Whether a body of this type is passed on unread. Whatever else may be JSON to somebody, and JSON
/// may name objects of other tenants.
pub(crate) fn is_opaque(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    [b"multipart/form-data".as_slice(), b"application/octet-stream"]
        .iter()
        .any(|opaque| kind.get(..opaque.len()).is_some_and(|head| head.eq_ignore_ascii_case(opaque)))
}

/// Finds the provider that lets a path through, and the account for it.
pub(crate) fn way(x: &Exchange, method: &Method, target: &Target, body: &[u8]) -> Result<Way, Denial> {
    let takes = |provider: &Provider| {
        target.prefix.as_deref().is_none_or(|name| answers_to(provider, name))
            && provider.params.passthrough.iter().any(|rule| rule.allows(method.as_str(), &target.path))
    };
    let Some(provider) = x.snapshot.pool.providers().iter().find(|provider| takes(provider)) else {
        return Err(Denial::new(
            Reason::UnknownPath,
            format!(
                "`{method} {}` is not served here; a provider's `passthrough` would have to allow it",
                target.path
            ),
        ));
    };
    let mut pins = mentioned(body)?;
    let (object, creates) = object_of(&target.path);
    let made = method == Method::POST && object.is_none();
    if let Some(object) = object {
        pins.push(object);
    } else if creates.is_some() && !made && x.live.keys.tenants() > 1 {
        return Err(Denial::new(
            Reason::Forbidden,
            "this list would show objects of other tenants; ask for your own by id",
        ));
    }
    let endpoint = match admit::pin(x, &pins)? {
        None => place(x, provider)?,
        Some(owner) => {
            let owner = x.snapshot.pool.endpoint(owner.as_str()).ok_or_else(|| {
                Denial::new(Reason::OwnerGone, "the account that owns this object is not configured any more")
            })?;
            if !takes(owner.provider()) {
                return Err(Denial::new(
                    Reason::UnknownPath,
                    "the provider that owns this object does not let this call through",
                ));
            }
            access::check_owner(x, owner)?;
            Arc::clone(owner)
        }
    };
    Ok(Way { endpoint, creates: creates.filter(|_| made) })
}

/// Whether a path's prefix means this provider: by its name, or by its family.
pub(crate) fn answers_to(provider: &Provider, name: &str) -> bool {
    provider.params.name.as_str() == name || provider.params.family.label() == name
}

/// Pingora's load balancer places a tenant by rendezvous over the provider's accounts.
fn place(x: &Exchange, provider: &Arc<Provider>) -> Result<Arc<Endpoint>, Denial> {
    let mut accounts = x.snapshot.pool.endpoints().iter();
    if !accounts.any(|one| Arc::ptr_eq(one.provider(), provider) && access::allows(x, one)) {
        return Err(Denial::new(
            Reason::Forbidden,
            format!("your key may not use provider `{}`, or none of its regions", provider.params.name),
        ));
    }
    let key = xxh3_64(x.tenant.as_str().as_bytes()).to_le_bytes();
    let ring: Option<&Arc<Ring>> = x.snapshot.rings.of_provider(&provider.params.name);
    let now = clock::now();
    ring.and_then(|ring| {
        let accept = |backend: &pingora_load_balancing::Backend, _healthy: bool| {
            endpoint_of(backend).is_some_and(|endpoint| {
                access::allows(x, endpoint) && endpoint.availability(Lane::PASSTHROUGH, now).usable()
            })
        };
        let backend = ring.balancer().select_with(&key, 64, accept)?;
        endpoint_of(&backend).map(Arc::clone)
    })
    .ok_or_else(|| {
        Denial::retry(
            Reason::NoEndpoint,
            std::time::Duration::from_secs(5),
            "no account of this provider is available at the moment; try again later",
        )
    })
}

/// The object that a path names, and the kind that its collection holds.
fn object_of(path: &str) -> (Option<HardPin>, Option<PinKind>) {
    for (collection, kind) in COLLECTIONS {
        if let Some(rest) = path.strip_prefix(collection) {
            let id = rest.trim_start_matches('/').split('/').next().unwrap_or("");
            if rest.is_empty() || id.is_empty() {
                return (None, Some(*kind));
            }
            if rest.starts_with('/') {
                return (Some(HardPin { kind: *kind, id: id.to_owned() }), Some(*kind));
            }
        }
    }
    (None, None)
}

/// Ids of objects that stand as whole strings in a JSON body, however they are written.
fn mentioned(body: &[u8]) -> Result<Vec<HardPin>, Denial> {
    let mut pins = Vec::new();
    let mut rest = body;
    while let Some(start) = memchr::memchr(b'"', rest) {
        rest = rest.get(start + 1..).unwrap_or_default();
        let mut end = 0;
        while rest.get(end).is_some_and(|byte| *byte != b'"') {
            end += if rest.get(end) == Some(&b'\\') { 2 } else { 1 };
        }
        let raw = rest.get(..end).unwrap_or(rest);
        rest = rest.get(end + 1..).unwrap_or_default();
        let Some(id) = object_id(raw) else { continue };
        if pins.len() >= MENTIONS {
            // What is not checked must not pass.
            return Err(Denial::new(Reason::BadRequest, "the body names more than 64 objects"));
        }
        pins.push(id);
    }
    Ok(pins)
}

/// The object that a string names; `raw` is what stands between the quotes.
fn object_id(raw: &[u8]) -> Option<HardPin> {
    let text = std::str::from_utf8(raw).ok()?;
    let decoded: Cow<'_, str> = if text.contains('\\') {
        // Six bytes a character at most: longer ones are no ids.
        let quoted = (raw.len() <= 6 * ID_LENGTH).then(|| format!("\"{text}\""))?;
        serde_json::from_str::<String>(&quoted).ok()?.into()
    } else {
        text.into()
    };
    let (_, kind) = ID_HEADS.iter().find(|(head, _)| decoded.starts_with(head))?;
    (decoded.len() <= ID_LENGTH).then(|| HardPin { kind: *kind, id: decoded.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_from_paths_and_bodies() {
        let pin = |kind, id: &str| HardPin { kind, id: id.into() };
        assert_eq!(object_of("/v1/files/file-1/content").0, Some(pin(PinKind::File, "file-1")));
        assert_eq!(object_of("/v1/files"), (None, Some(PinKind::File)));
        assert_eq!(object_of("/v1/filesystem"), (None, None));
        assert_eq!(
            mentioned(br#"{"input_file_id":"file-abc","x":["batch_1"],"text":"no \"file-here"}"#)
                .expect("few"),
            [pin(PinKind::File, "file-abc"), pin(PinKind::Batch, "batch_1")]
        );
        assert_eq!(
            mentioned(br#"{"a":"\u0066ile-abc"}"#).expect("few"),
            [pin(PinKind::File, "file-abc")],
            "however it is written"
        );
    }

    #[test]
    fn a_body_that_names_more_than_is_checked_is_refused() {
        let body = format!("[{}]", vec!["\"file-1\""; MENTIONS + 1].join(","));
        assert_eq!(mentioned(body.as_bytes()).expect_err("too many").reason, Reason::BadRequest);
    }

    #[test]
    fn only_uploads_are_passed_on_unread() {
        let with = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(is_opaque(&with("Multipart/Form-Data; boundary=x")));
        for kind in ["application/json", "Application/JSON", "text/plain", ""] {
            assert!(!is_opaque(&with(kind)), "{kind}");
        }
        assert!(!is_opaque(&HeaderMap::new()));
    }
}
