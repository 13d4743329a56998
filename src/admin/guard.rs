//! Where a request comes from, by its head.

use std::net::IpAddr;

use http::{HeaderName, header};
use pingora::http::RequestHeader;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_BY: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn text(head: &RequestHeader, name: HeaderName) -> Option<&str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

fn host(head: &RequestHeader) -> Option<&str> {
    text(head, header::HOST).or_else(|| head.uri.authority().map(http::uri::Authority::as_str))
}

/// Whether it names this machine. A page whose host name was pointed at 127.0.0.1 is not somebody here.
pub(super) fn is_addressed_to_loopback(head: &RequestHeader) -> bool {
    let Some(host) = host(head) else { return true };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |h| h.0);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a page in somebody's browser sent it, whichever.
pub(super) fn is_from_a_page(head: &RequestHeader) -> bool {
    head.headers.contains_key(header::ORIGIN) || head.headers.contains_key(SITE)
}

/// Whether our own page did: by the browser's word for it, or by the address that the page has.
pub(super) fn is_from_our_page(head: &RequestHeader) -> bool {
    if head.headers.contains_key(SITE) {
        return text(head, SITE) == Some("same-origin");
    }
    let Some(origin) = text(head, header::ORIGIN) else { return false };
    let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    origin
        .zip(host(head))
        .is_some_and(|(origin, host)| !origin.is_empty() && origin.eq_ignore_ascii_case(host))
}

/// Whether it may be told anything: another site's page may not, not even how long an answer takes.
pub(super) fn may_read(head: &RequestHeader) -> bool {
    !head.headers.contains_key(SITE) || matches!(text(head, SITE), Some("same-origin" | "none"))
}

/// Whether the browser's side of a proxy in front of us was TLS.
pub(super) fn came_by_https(head: &RequestHeader) -> bool {
    text(head, FORWARDED_BY).is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("POST", b"/dashboard/sign-in", None).unwrap();
        for (name, value) in headers {
            head.insert_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn only_our_own_page_acts() {
        let host = ("host", "gw.example:9090");
        for (headers, ours) in [
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "same-origin"), ("origin", "https://gw.example")], true),
            (vec![host, ("origin", "http://gw.example:9090")], true),
            (vec![host, ("origin", "https://GW.example:9090")], true),
            (vec![host], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("origin", "http://gw.example")], false),
            (vec![host, ("origin", "http://evil.example:9090")], false),
            (vec![host, ("sec-fetch-site", "same-site"), ("origin", "http://gw.example:9090")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![("origin", "http://")], false),
        ] {
            assert_eq!(is_from_our_page(&head(&headers)), ours, "{headers:?}");
        }
    }

    #[test]
    fn this_machine_has_few_names() {
        for (host, here) in [
            ("localhost:9090", true),
            ("127.0.0.1", true),
            ("127.8.9.1:80", true),
            ("[::1]:9090", true),
            ("evil.example:9090", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_addressed_to_loopback(&head(&[("host", host)])), here, "{host}");
        }
        assert!(may_read(&head(&[])) && may_read(&head(&[("sec-fetch-site", "none")])));
        assert!(!may_read(&head(&[("sec-fetch-site", "same-site")])));
    }
}
