//! Which headers cross the gateway, and which never do.
//!
//! Upstream by allow-list: what a provider or its SDK needs, nothing that selects an account. Down
//! by deny-list: everything the provider says, but for connection management, cookies, and what
//! names the account that served.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that go up as they came.
const UP: &[&str] = &[
    "content-type",
    "accept",
    "user-agent",
    "originator",
    "session-id",
    "session_id",
    "thread-id",
    "conversation-id",
    "conversation_id",
    "x-client-request-id",
    "x-session-id",
    "x-session-affinity",
    "x-parent-session-id",
    "x-conversation-id",
    "x-task-id",
    "x-grok-conv-id",
    "x-openai-subagent",
    "x-app",
    "openai-beta",
    "idempotency-key",
];

/// Families of headers that go up as they came.
const UP_PREFIXES: &[&str] = &["anthropic-", "x-stainless-", "x-codex-", "x-claude-code-", "x-opencode-"];

/// Headers that choose an account: ours to choose.
const ACCOUNT: &[&str] =
    &["openai-organization", "openai-project", "anthropic-organization-id", "anthropic-workspace-id"];

/// Headers that carry a caller's credential in any dialect.
pub(crate) const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Our own token beside a caller's provider key, in observe mode.
pub(crate) const OWN_TOKEN: &str = "x-warmkey-key";

/// Headers that speak of one connection only (RFC 9110 section 7.6.1), or of framing.
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// Headers of an answer that stay here.
const DOWN_NEVER: &[&str] = &["set-cookie", "alt-svc", "strict-transport-security", "nel", "report-to"];

fn goes_up(name: &str) -> bool {
    if ACCOUNT.contains(&name) || name.starts_with("x-warmkey-") {
        return false;
    }
    UP.contains(&name)
        || UP_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (name.starts_with("x-") && name.ends_with("-session-id"))
}

/// The headers of a request that may go upstream. In observe mode the caller's credential and its
/// choice of account go too: it is its own account.
pub(crate) fn upward(from: &HeaderMap, observe: bool) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    from.iter().filter(move |(name, _)| {
        let name = name.as_str();
        goes_up(name) || (observe && (CREDENTIALS.contains(&name) || ACCOUNT.contains(&name)))
    })
}

/// The headers of an answer that may come down.
pub(crate) fn downward(from: &HeaderMap, observe: bool) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    from.iter().filter(move |(name, _)| comes_down(name, observe) && !is_named_hop(from, name))
}

/// Whether a header of an answer may come down.
pub(crate) fn comes_down(name: &HeaderName, observe: bool) -> bool {
    let name = name.as_str();
    !HOP.contains(&name)
        && !DOWN_NEVER.contains(&name)
        && !CREDENTIALS.contains(&name)
        && !name.starts_with("x-warmkey-")
        && (observe || !ACCOUNT.contains(&name))
}

/// `connection` names further headers that speak of one connection only.
fn is_named_hop(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    named.any(|list| list.split(',').any(|each| each.trim().eq_ignore_ascii_case(name.as_str())))
}

/// What may be a caller's token, in whichever header its dialect puts it, and that header. Several
/// may be there: in observe mode one of them is a provider's key.
pub(crate) fn caller_tokens(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, &[u8])> {
    let names = std::iter::once(OWN_TOKEN).chain(CREDENTIALS.iter().copied());
    names.filter_map(|name| {
        let (name, value) = (HeaderName::from_static(name), headers.get(name)?.as_bytes());
        if name != header::AUTHORIZATION {
            return Some((name, value));
        }
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| (name, token.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    fn names(headers: &HeaderMap, observe: bool) -> Vec<&str> {
        let mut names: Vec<_> = upward(headers, observe).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_callers_credential_and_choice_of_account_stay_here() {
        let headers = map(&[
            ("authorization", "Bearer caller"),
            ("x-api-key", "caller"),
            ("openai-organization", "org-x"),
            ("openai-project", "proj-x"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "10.0.0.1"),
            ("anthropic-beta", "a,b"),
            ("anthropic-organization-id", "org"),
            ("content-type", "application/json"),
            ("x-litellm-session-id", "abcdefgh"),
        ]);
        assert_eq!(names(&headers, false), ["anthropic-beta", "content-type", "x-litellm-session-id"]);
        assert!(names(&headers, true).contains(&"authorization"));
        assert!(names(&headers, true).contains(&"openai-organization"));
        assert!(!names(&headers, true).contains(&"cookie"));
    }

    #[test]
    fn cookies_framing_and_account_names_do_not_come_down() {
        for name in ["set-cookie", "transfer-encoding", "content-length", "anthropic-organization-id"] {
            assert!(!comes_down(&HeaderName::from_static(name), false), "{name}");
        }
        for name in ["request-id", "anthropic-ratelimit-unified-5h-status", "content-type", "retry-after"] {
            assert!(comes_down(&HeaderName::from_static(name), false), "{name}");
        }
    }

    #[test]
    fn a_token_is_found_in_any_dialects_header() {
        let tokens = |pairs| {
            let headers = map(pairs);
            let found = caller_tokens(&headers);
            found.map(|(_, token)| String::from_utf8_lossy(token).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tokens(&[("authorization", "bearer  tok ")]), ["tok"]);
        assert_eq!(tokens(&[("x-api-key", "tok")]), ["tok"]);
        assert_eq!(tokens(&[("api-key", "tok")]), ["tok"]);
        assert_eq!(
            tokens(&[("authorization", "Bearer sk-theirs"), ("x-api-key", "tok")]),
            ["sk-theirs", "tok"]
        );
        assert_eq!(tokens(&[("authorization", "Basic abc"), ("x-api-key", "tok")]), ["tok"]);
        assert!(tokens(&[("authorization", "Basic abc")]).is_empty());
        assert!(tokens(&[]).is_empty());
    }

    #[test]
    fn what_a_connection_header_names_stays_here() {
        let named = map(&[("connection", "close, X-Hop"), ("x-hop", "1"), ("x-stay", "2")]);
        let down: Vec<_> = downward(&named, false).map(|(name, _)| name.as_str()).collect();
        assert_eq!(down, ["x-stay"]);
    }
}
