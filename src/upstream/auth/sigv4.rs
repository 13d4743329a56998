//! AWS Signature Version 4 over exactly what is sent.
//!
//! Signed are `host`, `content-type`, the `x-amz-*` members that signing adds, and the body; whatever
//! else a client sent along may be changed on the way without harm.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{self, PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings},
    sign::v4,
};

use super::grant::AwsKeys;
use crate::clock::UnixTime;

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// `POST`, mostly.
    pub method: &'a str,
    /// Scheme, authority as in `host`, path and query as they are sent: escaped.
    pub url: &'a str,
    /// The headers that are signed beside `host` and signing's own.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, byte by byte.
    pub body: &'a [u8],
}

/// Nothing can be signed: the request's head is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the request cannot be signed")]
pub struct Unsigned;

/// Signs a request to `service` in `region`: the headers that go along.
///
/// # Errors
/// When URL or headers are none.
pub fn sign(
    request: &Signable<'_>,
    (region, service): (&str, &str),
    keys: &AwsKeys,
    now: UnixTime,
) -> Result<Vec<(&'static str, String)>, Unsigned> {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    sign_with(settings, request, (region, service), keys, now)
}

fn sign_with(
    settings: SigningSettings,
    request: &Signable<'_>,
    (region, service): (&str, &str),
    keys: &AwsKeys,
    now: UnixTime,
) -> Result<Vec<(&'static str, String)>, Unsigned> {
    let session = keys.session.as_ref().map(|token| token.expose().to_owned());
    let identity = Credentials::new(keys.id.as_str(), keys.secret.expose(), session, None, "warmkey").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + now.0)
        .settings(settings)
        .build()
        .map_err(|_| Unsigned)?
        .into();
    let body = SignableBody::Bytes(request.body);
    let signable = SignableRequest::new(request.method, request.url, request.headers.iter().copied(), body)
        .map_err(|_| Unsigned)?;
    let (instructions, _) = http_request::sign(signable, &params).map_err(|_| Unsigned)?.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    fn keys(session: Option<&str>) -> AwsKeys {
        AwsKeys {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
            session: session.map(|token| Secret::new(token.into())),
        }
    }

    fn header<'a>(headers: &'a [(&'static str, String)], name: &str) -> &'a str {
        headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Headers that are signed, and a body.
    type Signed<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

    /// A case of AWS's published test-suite: `(signed headers, signature)` at 2015-08-30T12:36:00Z.
    fn check_suite(
        (method, path): (&str, &str),
        body: Option<Signed<'_>>,
        session: Option<&str>,
        (signed, signature): (&str, &str),
    ) {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind =
            if body.is_some() { PayloadChecksumKind::XAmzSha256 } else { PayloadChecksumKind::NoHeader };
        let (headers, body) = body.unwrap_or_default();
        let url = format!("https://example.amazonaws.com{path}");
        let request = Signable { method, url: &url, headers, body };
        let now = UnixTime::parse("2015-08-30T12:36:00Z").expect("a time");
        let headers = sign_with(settings, &request, ("us-east-1", "service"), &keys(session), now);
        let headers = headers.expect("signed");
        assert_eq!(
            header(&headers, "authorization"),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={signed}, Signature={signature}"
            )
        );
        assert_eq!(header(&headers, "x-amz-date"), "20150830T123600Z");
        assert_eq!(header(&headers, "x-amz-security-token"), session.unwrap_or_default());
    }

    #[test]
    fn aws_own_examples_come_out_as_published() {
        let plain = "host;x-amz-date";
        check_suite(
            ("GET", "/"),
            None,
            None,
            (plain, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        );
        check_suite(
            ("GET", "/?Param2=value2&Param1=value1"),
            None,
            None,
            (plain, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        );
        check_suite(
            ("POST", "/"),
            None,
            Some(
                "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxf\
                 pSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPk\
                 yQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBA\
                 z+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
            ),
            (
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        );
        let form: &[(&str, &str)] =
            &[("content-type", "application/x-www-form-urlencoded"), ("content-length", "13")];
        check_suite(
            ("POST", "/"),
            Some((form, b"Param1=value1")),
            None,
            (
                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
        );
    }

    /// What botocore 1.44.5 (`SigV4Auth`) makes of the same request.
    fn check_botocore(path: &str, session: Option<&str>, (signed, signature): (&str, &str)) {
        let request = Signable {
            method: "POST",
            url: &format!("https://bedrock-runtime.eu-west-1.amazonaws.com{path}"),
            headers: &[("content-type", "application/json")],
            body: "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"café\"}]}]}".as_bytes(),
        };
        let now = UnixTime::parse("2026-11-21T12:34:56Z").expect("a time");
        let headers = sign(&request, ("eu-west-1", "bedrock"), &keys(session), now).expect("signed");
        assert_eq!(
            header(&headers, "authorization"),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-west-1/bedrock/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date{signed}, \
                 Signature={signature}"
            )
        );
        assert_eq!(
            header(&headers, "x-amz-content-sha256"),
            "83fc36566dc9ac9cd152d5c14f7bcb9d79d05f4e78412258aa8d2a4f16e4c3cb"
        );
    }

    #[test]
    fn calls_of_bedrock_are_signed_as_botocore_signs_them() {
        check_botocore(
            "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse",
            None,
            ("", "7dd3326b041184a40fbe4e73fe7e4c83c6121cbe5bd37549c4ee35477cad3b6c"),
        );
        check_botocore(
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/invoke",
            Some("SESSION/TOKEN=="),
            (";x-amz-security-token", "66a0319ec2ba56eafb25b79462bb8be86784ac84247456d01a095c23d49009b3"),
        );
    }

    #[test]
    fn what_is_no_request_is_not_signed() {
        let request = Signable { method: "POST", url: "no url at all", headers: &[], body: b"" };
        let now = UnixTime::parse("2026-11-21T12:34:56Z").expect("a time");
        assert_eq!(sign(&request, ("r", "s"), &keys(None), now), Err(Unsigned));
    }
}
