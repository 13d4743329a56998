//! What lets a request in, put into its head.
//!
//! Last of all, because a signature covers what is sent; and marked, so that no debug output shows it.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, header};
use pingora::{ErrorType, http::RequestHeader};

use super::forward;
use crate::{
    clock,
    upstream::{AuthScheme, AwsKeys, Credential, ProviderParams, Signable, Token, sign},
};

/// What Bedrock's requests are signed for.
const SERVICE: &str = "bedrock";

/// Puts `key` into the head of a request with this body. What kind of credential it is decides first:
/// a token is a bearer's, AWS keys sign; a plain key goes where the provider wants it.
///
/// # Errors
/// When the key is no header value, or a token is not there.
pub(crate) fn authorise(
    head: &mut RequestHeader,
    provider: &ProviderParams,
    key: &Credential,
    body: &[u8],
) -> pingora::Result<()> {
    let Some(key) = key.secret() else {
        let Some(granted) = key.token(clock::now()) else {
            // Looked at before; it expired since.
            return fault("there is no token to be let in with");
        };
        return match &granted.token {
            Token::Bearer(token) => bearer(head, token.expose()),
            Token::Aws(keys) => signature(head, provider, keys, body),
        };
    };
    let key = key.expose();
    match provider.auth {
        AuthScheme::XApiKey => insert(head, HeaderName::from_static("x-api-key"), key),
        AuthScheme::ApiKey => insert(head, HeaderName::from_static("api-key"), key),
        AuthScheme::GoogApiKey => insert(head, HeaderName::from_static("x-goog-api-key"), key),
        AuthScheme::QueryKey => query(head, key),
        // Such hosts take keys of their own as bearers, too (Bedrock API keys).
        AuthScheme::Bearer
        | AuthScheme::SigV4
        | AuthScheme::GoogleServiceAccount
        | AuthScheme::AzureEntra => bearer(head, key),
    }
}

fn bearer(head: &mut RequestHeader, token: &str) -> pingora::Result<()> {
    insert(head, header::AUTHORIZATION, &format!("Bearer {token}"))
}

fn insert(head: &mut RequestHeader, name: HeaderName, value: &str) -> pingora::Result<()> {
    let Ok(mut value) = HeaderValue::from_str(value) else {
        return fault("the upstream key is no header value");
    };
    value.set_sensitive(true);
    head.insert_header(name, value)
}

/// `?key=`; what cannot stand in a query is escaped.
fn query(head: &mut RequestHeader, key: &str) -> pingora::Result<()> {
    let mut path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    path.push_str(if path.contains('?') { "&key=" } else { "?key=" });
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    let Ok(uri) = path.parse() else { return fault("the upstream key cannot stand in a query") };
    head.set_uri(uri);
    Ok(())
}

fn signature(
    head: &mut RequestHeader,
    provider: &ProviderParams,
    keys: &AwsKeys,
    body: &[u8],
) -> pingora::Result<()> {
    let Some(region) = &provider.region else { return fault("the provider has no region to sign for") };
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let scheme = if provider.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{path}", forward::authority(provider));
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let headers: &[_] = &[("content-type", kind.unwrap_or_default())];
    let headers = if kind.is_some() { headers } else { &[] };
    let request = Signable { method: head.method.as_str(), url: &url, headers, body };
    let Ok(signed) = sign(&request, (region, SERVICE), keys, clock::unix_now()) else {
        return fault("the request cannot be signed");
    };
    for (name, value) in signed {
        insert(head, HeaderName::from_static(name), &value)?;
    }
    Ok(())
}

fn fault(what: &'static str) -> pingora::Result<()> {
    pingora::Error::e_explain(ErrorType::InvalidHTTPHeader, what)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        types::Secret,
        upstream::{AwsSource, Grant, testing},
    };

    fn head(path: &str) -> RequestHeader {
        let mut head = RequestHeader::build("POST", path.as_bytes(), None).expect("a head");
        head.insert_header("host", "p.test").expect("a header");
        head.insert_header("content-type", "application/json").expect("a header");
        head
    }

    fn value<'a>(head: &'a RequestHeader, name: &str) -> &'a str {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A plain key under `auth`: where it stands then.
    fn check(auth: AuthScheme, name: &str, expected: &str) {
        let provider = ProviderParams { auth, ..testing::provider("p") };
        let mut head = head("/v1/messages");
        let key = Credential::key(Secret::new("sk-1".into()));
        authorise(&mut head, &provider, &key, b"{}").expect("authorised");
        assert_eq!(value(&head, name), expected);
        assert_eq!(head.headers.len(), 3, "nothing else was added: {:?}", head.headers);
        assert!(head.headers[name].is_sensitive());
        assert!(!format!("{head:?}").contains("sk-1"), "debug output shows no key");
    }

    #[test]
    fn a_plain_key_stands_where_its_provider_wants_it() {
        check(AuthScheme::XApiKey, "x-api-key", "sk-1");
        check(AuthScheme::ApiKey, "api-key", "sk-1");
        check(AuthScheme::GoogApiKey, "x-goog-api-key", "sk-1");
        check(AuthScheme::Bearer, "authorization", "Bearer sk-1");
        check(AuthScheme::SigV4, "authorization", "Bearer sk-1");
    }

    #[test]
    fn a_key_in_the_query_is_escaped() {
        let provider = ProviderParams { auth: AuthScheme::QueryKey, ..testing::provider("p") };
        let check = |path: &str, expected: &str| {
            let mut head = head(path);
            let key = Credential::key(Secret::new("a+b&c".into()));
            authorise(&mut head, &provider, &key, b"").expect("authorised");
            assert_eq!(head.uri, expected);
        };
        check("/v1beta/models", "/v1beta/models?key=a%2Bb%26c");
        check("/m:streamGenerateContent?alt=sse", "/m:streamGenerateContent?alt=sse&key=a%2Bb%26c");
    }

    #[test]
    fn aws_keys_sign_and_are_never_sent() {
        let region = Some("eu-west-1".to_owned());
        let provider = ProviderParams { auth: AuthScheme::SigV4, region, ..testing::provider("p") };
        let keys = AwsKeys {
            id: "AKIA1".into(),
            secret: Secret::new("hush".into()),
            session: Some(Secret::new("st".into())),
        };
        let key = Credential::grant(Grant::Aws(AwsSource::Keys(keys)));
        let mut head = head("/model/m%3A0/converse");
        authorise(&mut head, &provider, &key, b"{}").expect("signed");
        let authorization = value(&head, "authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIA1/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/bedrock/aws4_request"));
        let signed = "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(value(&head, "x-amz-security-token"), "st");
        assert_eq!(
            value(&head, "x-amz-content-sha256"),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "SHA-256 of the very body"
        );
        assert!(!head.headers.values().any(|value| value.as_bytes().windows(4).any(|four| four == b"hush")));
    }

    #[test]
    fn without_a_token_nothing_is_sent() {
        let source = AwsSource::Profile { file: "none".into(), name: "default".into() };
        let key = Arc::new(Credential::grant(Grant::Aws(source)));
        assert!(authorise(&mut head("/"), &testing::provider("p"), &key, b"").is_err());
    }
}
