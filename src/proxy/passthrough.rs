//! Paths beyond the known ones, where a provider's `passthrough` allows them.
//!
//! Uploads and reads take Pingora's native path; JSON calls are driven like stored objects, because
//! their bodies may name objects. Objects belong to the tenant that made them, and a tenant's calls
//! stay on one account, so that what it uploads and what refers to it meet.

use std::sync::Arc;

use globset::GlobBuilder;
use http::Method;
use xxhash_rust::xxh3::xxh3_64;

use super::{denial::Denial, exchange::Exchange, route::Target};
use crate::{
    clock,
    dialect::{HardPin, PinKind},
    routing::{Ring, endpoint_of},
    session::Owner,
    types::Reason,
    upstream::{Endpoint, Lane, PassRule, Provider},
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

/// Where a pass-through goes.
pub(crate) struct Way {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// What kind of object a successful answer names.
    pub creates: Option<PinKind>,
}

/// Whether a rule allows a method on a normalised path.
fn allows(rule: &PassRule, method: &Method, path: &str) -> bool {
    if rule.method != "*" && rule.method != method.as_str() {
        return false;
    }
    GlobBuilder::new(&rule.path)
        .literal_separator(true)
        .build()
        .is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

/// Finds the provider that lets a path through, and the account for it.
pub(crate) fn way(x: &Exchange, method: &Method, target: &Target, body: &[u8]) -> Result<Way, Denial> {
    let named = target.prefix.as_deref();
    let provider = x.snapshot.pool.providers().iter().find(|provider| {
        named.is_none_or(|name| answers_to(provider, name))
            && provider.params.passthrough.iter().any(|rule| allows(rule, method, &target.path))
    });
    let Some(provider) = provider else {
        return Err(Denial::new(
            Reason::UnknownPath,
            format!(
                "`{method} {}` is not served here; a provider's `passthrough` would have to allow it",
                target.path
            ),
        ));
    };
    let mut pins = mentioned(body);
    let (object, creates) = object_of(&target.path);
    let made = method == Method::POST && object.is_none();
    if let Some(object) = object {
        pins.push(object);
    } else if creates.is_some() && !made && x.snapshot.callers.tenants() > 1 {
        return Err(Denial::new(
            Reason::Forbidden,
            "this list would show objects of other tenants; ask for your own by id",
        ));
    }
    let owner = owner(x, &pins)?;
    let endpoint = match owner {
        Some(endpoint) => endpoint,
        None => place(x, provider)?,
    };
    Ok(Way { endpoint, creates: creates.filter(|_| made) })
}

/// Whether a path's prefix means this provider: by its name, or by its family.
pub(crate) fn answers_to(provider: &Provider, name: &str) -> bool {
    provider.params.name.as_str() == name || provider.params.family.label() == name
}

fn owner(x: &Exchange, pins: &[HardPin]) -> Result<Option<Arc<Endpoint>>, Denial> {
    let mut found = None;
    for pin in pins {
        match x.live.owners.find(&x.tenant, pin.kind, &pin.id, clock::unix_now()) {
            Owner::Ours(name) => {
                let endpoint = x.snapshot.pool.endpoint(name.as_str()).ok_or_else(|| {
                    Denial::new(
                        Reason::OwnerGone,
                        "the account that owns this object is not configured any more",
                    )
                })?;
                found = Some(Arc::clone(endpoint));
            }
            Owner::Unknown if x.snapshot.callers.tenants() <= 1 => {}
            Owner::NotYours | Owner::Unknown => {
                return Err(Denial::new(
                    Reason::UnknownObject,
                    format!(
                        "this {} is not known here; it must be made through this gateway first",
                        pin.kind.label()
                    ),
                ));
            }
        }
    }
    Ok(found)
}

/// Pingora's load balancer places a tenant by rendezvous over the provider's accounts.
fn place(x: &Exchange, provider: &Provider) -> Result<Arc<Endpoint>, Denial> {
    let key = xxh3_64(x.tenant.as_str().as_bytes()).to_le_bytes();
    let ring: Option<&Arc<Ring>> = x.snapshot.rings.of_provider(&provider.params.name);
    let now = clock::now();
    ring.and_then(|ring| {
        let accept = |backend: &pingora_load_balancing::Backend, _healthy: bool| {
            endpoint_of(backend)
                .is_some_and(|endpoint| endpoint.availability(Lane::PASSTHROUGH, now).usable())
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

/// Ids of objects that stand as whole strings in a JSON body; at most 64 of them.
fn mentioned(body: &[u8]) -> Vec<HardPin> {
    let mut pins = Vec::new();
    for (start, _) in body.iter().enumerate().filter(|(_, byte)| **byte == b'"') {
        let Some(rest) = body.get(start + 1..) else { break };
        for (head, kind) in ID_HEADS {
            if rest.starts_with(head.as_bytes()) {
                let end = rest.iter().take(200).position(|&byte| byte == b'"');
                if let Some(id) =
                    end.and_then(|end| rest.get(..end)).and_then(|id| std::str::from_utf8(id).ok())
                {
                    pins.push(HardPin { kind: *kind, id: id.to_owned() });
                }
            }
        }
        if pins.len() >= 64 {
            break;
        }
    }
    pins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_speaks_of_one_level_unless_it_says_two_stars() {
        let rule = |method: &str, path: &str| PassRule { method: method.into(), path: path.into() };
        assert!(allows(&rule("GET", "/v1/files/*"), &Method::GET, "/v1/files/file-1"));
        assert!(!allows(&rule("GET", "/v1/files/*"), &Method::GET, "/v1/files/file-1/content"));
        assert!(allows(&rule("*", "/v1/files/**"), &Method::DELETE, "/v1/files/file-1/content"));
        assert!(!allows(&rule("GET", "/v1/files/*"), &Method::POST, "/v1/files/file-1"));
    }

    #[test]
    fn objects_are_read_from_paths_and_bodies() {
        let pin = |kind, id: &str| HardPin { kind, id: id.into() };
        assert_eq!(object_of("/v1/files/file-1/content").0, Some(pin(PinKind::File, "file-1")));
        assert_eq!(object_of("/v1/files"), (None, Some(PinKind::File)));
        assert_eq!(object_of("/v1/filesystem"), (None, None));
        assert_eq!(
            mentioned(br#"{"input_file_id":"file-abc","x":["batch_1"],"text":"no file-here"}"#),
            [pin(PinKind::File, "file-abc"), pin(PinKind::Batch, "batch_1")]
        );
    }
}
