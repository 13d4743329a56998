//! Which call a method and a path are.

use http::Method;

use crate::{live::LevelName, types::KeyId};

/// What can be asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    OpenApi,
    ListKeys,
    CreateKey,
    /// By id, or by name.
    ShowKey(String),
    ChangeKey(KeyId),
    RotateKey(KeyId),
    RevokeKey(KeyId),
    ListOrganisations,
    ListTeams,
    ShowLevel(LevelName),
    PutLevel(LevelName),
    RemoveLevel(LevelName),
}

/// What a path is.
#[derive(Debug)]
pub(super) enum Routed {
    Call(Call),
    /// It is there with these methods.
    OtherMethod(String),
    Nowhere,
}

/// Makes a call of the parts of a path that its braces stand for.
type Make = fn(&[&str]) -> Option<Call>;

/// Every route: what `openapi.json` describes.
pub(super) const ROUTES: &[(Method, &str, Make)] = &[
    (Method::GET, "/api/openapi.json", |_| Some(Call::OpenApi)),
    (Method::GET, "/api/keys", |_| Some(Call::ListKeys)),
    (Method::POST, "/api/keys", |_| Some(Call::CreateKey)),
    (Method::GET, "/api/keys/{id}", |parts| Some(Call::ShowKey(first(parts)?.to_owned()))),
    (Method::PATCH, "/api/keys/{id}", |parts| Some(Call::ChangeKey(first(parts)?.into()))),
    (Method::DELETE, "/api/keys/{id}", |parts| Some(Call::RevokeKey(first(parts)?.into()))),
    (Method::POST, "/api/keys/{id}/rotate", |parts| Some(Call::RotateKey(first(parts)?.into()))),
    (Method::GET, "/api/organisations", |_| Some(Call::ListOrganisations)),
    (Method::GET, "/api/organisations/{name}", |parts| Some(Call::ShowLevel(organisation(parts)?))),
    (Method::PUT, "/api/organisations/{name}", |parts| Some(Call::PutLevel(organisation(parts)?))),
    (Method::DELETE, "/api/organisations/{name}", |parts| Some(Call::RemoveLevel(organisation(parts)?))),
    (Method::GET, "/api/teams", |_| Some(Call::ListTeams)),
    (Method::GET, "/api/teams/{organisation}/{name}", |parts| Some(Call::ShowLevel(team(parts)?))),
    (Method::PUT, "/api/teams/{organisation}/{name}", |parts| Some(Call::PutLevel(team(parts)?))),
    (Method::DELETE, "/api/teams/{organisation}/{name}", |parts| Some(Call::RemoveLevel(team(parts)?))),
];

fn first<'a>(parts: &[&'a str]) -> Option<&'a str> {
    parts.first().copied()
}

fn organisation(parts: &[&str]) -> Option<LevelName> {
    Some(LevelName::Organisation(first(parts)?.into()))
}

fn team(parts: &[&str]) -> Option<LevelName> {
    let [organisation, name] = parts else { return None };
    Some(LevelName::Team((*organisation).into(), (*name).into()))
}

/// Finds the call. `HEAD` is answered as `GET`.
pub(super) fn find(method: &Method, path: &str) -> Routed {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allowed: Vec<&str> = Vec::new();
    for (method, pattern, make) in ROUTES {
        let Some(parts) = parts(pattern, path) else { continue };
        if method == wanted
            && let Some(call) = make(&parts)
        {
            return Routed::Call(call);
        }
        allowed.push(method.as_str());
    }
    if allowed.is_empty() { Routed::Nowhere } else { Routed::OtherMethod(allowed.join(", ")) }
}

/// What the braces of `pattern` stand for in `path`. Names and ids are plain: nothing is decoded.
fn parts<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut given = path.split('/');
    for wanted in pattern.split('/') {
        let part = given.next()?;
        if wanted.starts_with('{') {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if part.is_empty() || part.len() > 64 || !part.bytes().all(plain) {
                return None;
            }
            found.push(part);
        } else if wanted != part {
            return None;
        }
    }
    given.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: Method, path: &str) -> Option<Call> {
        match find(&method, path) {
            Routed::Call(call) => Some(call),
            Routed::OtherMethod(_) | Routed::Nowhere => None,
        }
    }

    #[test]
    fn a_path_is_one_call() {
        assert_eq!(call(Method::GET, "/api/keys"), Some(Call::ListKeys));
        assert_eq!(call(Method::HEAD, "/api/keys"), Some(Call::ListKeys));
        assert_eq!(call(Method::DELETE, "/api/keys/k_1"), Some(Call::RevokeKey("k_1".into())));
        assert_eq!(call(Method::POST, "/api/keys/k_1/rotate"), Some(Call::RotateKey("k_1".into())));
        let team = LevelName::Team("acme".into(), "core".into());
        assert_eq!(call(Method::PUT, "/api/teams/acme/core"), Some(Call::PutLevel(team)));
        for path in
            ["/api", "/api/", "/api/keys/", "/api/keys/a/b", "/api/keys/..%2f", "/api/teams/acme", "/api/x"]
        {
            assert!(matches!(find(&Method::DELETE, path), Routed::Nowhere), "{path}");
        }
        assert!(
            matches!(find(&Method::PUT, "/api/keys"), Routed::OtherMethod(allowed) if allowed == "GET, POST")
        );
    }
}
