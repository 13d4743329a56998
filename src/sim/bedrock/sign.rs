//! Signature Version 4, checked over the very bytes that came.
//!
//! Written a second time on purpose, from AWS's description ("Create a signed AWS API request"): a
//! mistake of the gateway's signer must not be made here, too.

use std::fmt::Write as _;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::super::{handler::Call, refusal::Refusal};
use crate::clock::UnixTime;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How old or young a signature may be, in seconds.
const SKEW: i64 = 300;

/// The secret access key that belongs to an account's key, which is its access key id.
#[must_use]
pub fn secret(key: &str) -> String {
    format!("secret-of-{key}")
}

/// The access key id of an `Authorization` header.
pub(in crate::sim) fn access_key(authorization: &str) -> Option<&str> {
    Some(Signed::read(authorization)?.key)
}

/// An `Authorization` header, read.
struct Signed<'a> {
    key: &'a str,
    /// `20261121/us-east-1/bedrock/aws4_request`
    scope: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    fn read(authorization: &'a str) -> Option<Self> {
        let rest = authorization.strip_prefix(ALGORITHM)?;
        let field =
            |name: &str| rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (key, scope) = field("Credential")?.split_once('/')?;
        let headers = field("SignedHeaders")?.split(';').collect();
        Some(Self { key, scope, headers, signature: field("Signature")? })
    }
}

/// Whether a call is signed as it must be. A Bedrock API key (`Bearer`) needs no signature.
pub(in crate::sim) fn verify(call: &Call, now: UnixTime) -> Result<(), Refusal> {
    let sent = Sent {
        method: call.method.as_str(),
        path: &call.path,
        query: &call.query,
        headers: &call.headers,
        body: &call.body,
    };
    check(&sent, &call.account.key, now)
}

/// What is signed.
struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

fn check(call: &Sent<'_>, key: &str, now: UnixTime) -> Result<(), Refusal> {
    let text = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let authorization = text("authorization");
    if authorization.starts_with("Bearer ") {
        return Ok(());
    }
    let Some(signed) = Signed::read(authorization) else {
        return Err(refusal("IncompleteSignatureException", "Authorization header is incomplete."));
    };
    let date = text("x-amz-date");
    let age = seconds(date).zip(i64::try_from(now.0.as_secs()).ok()).map(|(at, now)| now - at);
    if age.is_none_or(|age| age.abs() > SKEW) {
        return Err(wrong("Signature expired: its date is too far from the present."));
    }
    let scope: Vec<&str> = signed.scope.split('/').collect();
    let [day, region, service, last] = scope.as_slice() else {
        return Err(wrong("Credential should be scoped to a day, a region and a service."));
    };
    if !date.starts_with(day) || *service != "bedrock" || *last != "aws4_request" {
        return Err(wrong("Credential should be scoped to correct service: 'bedrock'."));
    }
    let payload = hex(&sha256(call.body));
    let said = text("x-amz-content-sha256");
    if !said.is_empty() && said != payload {
        return Err(wrong("The provided 'x-amz-content-sha256' header does not match what was computed."));
    }
    let forgotten = call
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| (*name == "host" || name.starts_with("x-amz-")) && !signed.headers.contains(name));
    if forgotten.is_some() || !signed.headers.contains(&"host") {
        return Err(wrong("'host' and all 'x-amz-' headers must be signed."));
    }
    let canonical = canonical(call, &signed.headers, &payload);
    let to_sign = format!("{ALGORITHM}\n{date}\n{}\n{}", signed.scope, hex(&sha256(canonical.as_bytes())));
    let mut derived = format!("AWS4{}", secret(key)).into_bytes();
    for part in [*day, *region, *service, *last] {
        derived = hmac(&derived, part.as_bytes()).to_vec();
    }
    if hex(&hmac(&derived, to_sign.as_bytes())) != signed.signature {
        return Err(wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        ));
    }
    Ok(())
}

fn wrong(why: &str) -> Refusal {
    refusal("InvalidSignatureException", why)
}

fn refusal(name: &'static str, why: &str) -> Refusal {
    Refusal::new(403, why).code(name)
}

/// The request in the one spelling that is signed.
fn canonical(call: &Sent<'_>, headers: &[&str], payload: &str) -> String {
    // The path as it came, each segment escaped once more (all services but S3).
    let path: Vec<String> = call.path.split('/').map(escaped).collect();
    let mut query: Vec<&str> = call.query.split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let mut out = format!("{}\n{}\n{}\n", call.method, path.join("/"), query.join("&"));
    for name in headers {
        // Writing into a `String` cannot fail.
        let _ = writeln!(out, "{name}:{}", value_of(call.headers, name));
    }
    let _ = write!(out, "\n{}\n{payload}", headers.join(";"));
    out
}

/// All values of a header, trimmed, each run of spaces one.
fn value_of(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let values: Vec<String> =
        values.map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
    values.join(",")
}

fn escaped(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `20261121T234041Z` in seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    let digits = |from: usize, to: usize| date.get(from..to);
    let usual = format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0, 4)?,
        digits(4, 6)?,
        digits(6, 8)?,
        digits(9, 11)?,
        digits(11, 13)?,
        digits(13, 15)?
    );
    usual.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    let short = sha256(key);
    let key = if key.len() > block.len() { &short } else { key };
    block[..key.len()].copy_from_slice(key);
    let with = |pad: u8, rest: &[u8]| -> [u8; 32] {
        let mut text: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        text.extend_from_slice(rest);
        sha256(&text)
    };
    with(0x5c, &with(0x36, message))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1 and 6.
    #[test]
    fn the_keyed_hash_is_the_published_one() {
        assert_eq!(
            hex(&hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"Hi ü"}]}]}"#;
    /// Noon of 2026-11-21.
    const NOON: u64 = 1_795_262_400;

    /// What botocore 1.44.5 signed (`SigV4Auth` with access key `sim-key-1`, its secret as above, the token
    /// `TOKEN`, at noon of 2026-11-21), after `change`.
    fn checked(now: u64, change: impl FnOnce(&mut HeaderMap, &mut String)) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "bedrock-runtime.us-east-1.amazonaws.com"),
            ("content-type", "application/json"),
            ("x-amzn-bedrock-trace", "  a   b "),
            ("x-amz-date", "20261121T120000Z"),
            ("x-amz-security-token", "TOKEN"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=sim-key-1/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-trace, Signature=f06a93af8e784595fc947a7074ccb98e83d207fd61ae7a09c063fb03115aec28",
            ),
        ] {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        let mut body = BODY.to_owned();
        change(&mut headers, &mut body);
        let sent = Sent {
            method: "POST",
            path: "/model/us.amazon.nova-pro-v1%3A0/converse-stream",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        let now = UnixTime(std::time::Duration::from_secs(now));
        check(&sent, "sim-key-1", now).err().and_then(|refusal| refusal.code)
    }

    #[test]
    fn botocores_signature_is_right_and_any_change_makes_it_wrong() {
        const WRONG: Option<&str> = Some("InvalidSignatureException");
        let value = http::HeaderValue::from_static;
        assert_eq!(checked(NOON, |_, _| {}), None);
        assert_eq!(checked(NOON + 301, |_, _| {}), WRONG);
        assert_eq!(checked(NOON, |_, body| body.push(' ')), WRONG);
        assert_eq!(checked(NOON, |headers, _| drop(headers.insert("host", value("x")))), WRONG);
        assert_eq!(checked(NOON, |headers, _| drop(headers.insert("x-amz-target", value("x")))), WRONG);
        assert_eq!(
            checked(NOON, |headers, _| drop(headers.insert("x-amz-content-sha256", value("x")))),
            WRONG
        );
        assert_eq!(
            checked(NOON, |headers, _| drop(headers.insert("authorization", value("Bearer x")))),
            None
        );
        let none = |headers: &mut HeaderMap, _: &mut String| drop(headers.remove("authorization"));
        assert_eq!(checked(NOON, none), Some("IncompleteSignatureException"));
    }

    #[test]
    fn a_header_and_a_date_are_read() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20261121/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab";
        assert_eq!(access_key(header), Some("AKID"));
        assert_eq!(access_key("Bearer x"), None);
        assert_eq!(seconds("19700102T000001Z"), Some(86_401));
        assert_eq!(seconds("1970"), None);
    }
}
