//! Errors that providers report, read with tolerance: they are read in order to classify them.

use std::time::Duration;

use crate::dialect::{
    json::{self, Fault, Kind, Walker},
    signal::UpstreamFault,
    view::Span,
};

/// As much of a message as [`UpstreamFault::message`] promises.
const MAX_MESSAGE: usize = 2_000;
/// Kinds, codes and names of parameters are words.
const MAX_WORD: usize = 200;
/// Errors are flat; what nests deeper is no error that we know.
const MAX_DEPTH: usize = 32;

/// Reads an error body. Whatever is not JSON (a load balancer's HTML, a cut body) gives as much as
/// could be read, at worst nothing. The vendors' shapes tell themselves apart, so that a host that
/// answers in another one's is understood, too.
#[must_use]
pub fn read_fault(body: &[u8]) -> UpstreamFault {
    let mut fault = UpstreamFault::default();
    let mut walker = Walker::new(body, MAX_DEPTH);
    // What was read before the text broke off still helps.
    let _broken_off = envelope(&mut walker, &mut fault);
    fault
}

/// `{"error": {...}}`, `{"error": "..."}`, the error itself, or the first of several.
fn envelope(walker: &mut Walker<'_>, fault: &mut UpstreamFault) -> Result<(), Fault> {
    match walker.kind()? {
        Kind::Array => walker.elements(|walker| {
            if fault == &UpstreamFault::default() { envelope(walker, fault) } else { walker.pass() }
        }),
        Kind::Object => {
            let mut outer = UpstreamFault::default();
            let mut inner = false;
            let result = walker.members(|walker, key| {
                if key.raw == b"error" && walker.kind()? == Kind::Object {
                    inner = true;
                    return object(walker, fault);
                }
                if key.raw == b"error" && walker.kind()? == Kind::String {
                    let text = walker.string()?;
                    outer.message = words(walker, &text, MAX_MESSAGE);
                    return Ok(());
                }
                member(walker, key.raw, &mut outer)
            });
            if !inner {
                *fault = outer;
            }
            result
        }
        Kind::String | Kind::Scalar => walker.pass(),
    }
}

/// Reads `{"type", "code", "message", "param", "details"}`.
pub(super) fn object(walker: &mut Walker<'_>, fault: &mut UpstreamFault) -> Result<(), Fault> {
    walker.members(|walker, key| member(walker, key.raw, fault))
}

/// Reads one member of an error.
pub(super) fn member(walker: &mut Walker<'_>, key: &[u8], fault: &mut UpstreamFault) -> Result<(), Fault> {
    if key == b"details" {
        return details(walker, fault);
    }
    match key {
        b"type" => word(walker, &mut fault.kind, MAX_WORD),
        // Google says the HTTP status here, and a word that says more beside it.
        b"code" if !fault.code.is_empty() => walker.pass(),
        b"code" => word(walker, &mut fault.code, MAX_WORD),
        b"status" => status(walker, fault),
        // With a capital letter where AWS's front door speaks.
        b"message" | b"Message" | b"detail" => word(walker, &mut fault.message, MAX_MESSAGE),
        b"param" => word(walker, &mut fault.param, MAX_WORD),
        _ => walker.pass(),
    }
}

/// Google's canonical word for a status, which other vendors' clients know as a type.
fn status(walker: &mut Walker<'_>, fault: &mut UpstreamFault) -> Result<(), Fault> {
    let mut said = String::new();
    word(walker, &mut said, MAX_WORD)?;
    let kind = match said.as_str() {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => "invalid_request_error",
        "UNAUTHENTICATED" => "authentication_error",
        "PERMISSION_DENIED" => "permission_error",
        "NOT_FOUND" => "not_found_error",
        "RESOURCE_EXHAUSTED" => "rate_limit_error",
        "UNAVAILABLE" => "overloaded_error",
        "DEADLINE_EXCEEDED" => "timeout_error",
        "INTERNAL" | "UNKNOWN" | "ABORTED" | "CANCELLED" | "DATA_LOSS" | "UNIMPLEMENTED" => "api_error",
        // A number, or somebody else's word.
        _ => return Ok(()),
    };
    kind.clone_into(&mut fault.kind);
    fault.code = said;
    Ok(())
}

/// Anthropic's object, or Google's list of typed ones.
fn details(walker: &mut Walker<'_>, fault: &mut UpstreamFault) -> Result<(), Fault> {
    match walker.kind()? {
        Kind::Object => walker.members(|walker, key| match key.raw {
            b"error_code" => word(walker, &mut fault.code, MAX_WORD),
            _ => walker.pass(),
        }),
        Kind::Array => walker.elements(|walker| {
            if walker.kind()? != Kind::Object {
                return walker.pass();
            }
            walker.members(|walker, key| match key.raw {
                // `ErrorInfo`: `API_KEY_INVALID` and the like.
                b"reason" => word(walker, &mut fault.code, MAX_WORD),
                // `RetryInfo`
                b"retryDelay" => {
                    let mut said = String::new();
                    word(walker, &mut said, MAX_WORD)?;
                    fault.retry_after = fault.retry_after.max(seconds(&said));
                    Ok(())
                }
                // `QuotaFailure`
                b"violations" if walker.kind()? == Kind::Array => {
                    walker.elements(|walker| violation(walker, fault))
                }
                _ => walker.pass(),
            })
        }),
        Kind::String | Kind::Scalar => walker.pass(),
    }
}

/// A quota of a day comes back at midnight in California, while the delay that is said beside it is one
/// of seconds. Asking again every hour finds out soon enough.
const DAILY: Duration = Duration::from_secs(3_600);

fn violation(walker: &mut Walker<'_>, fault: &mut UpstreamFault) -> Result<(), Fault> {
    if walker.kind()? != Kind::Object {
        return walker.pass();
    }
    walker.members(|walker, key| {
        let mut said = String::new();
        match key.raw {
            b"quotaId" => word(walker, &mut said, MAX_WORD)?,
            _ => walker.pass()?,
        }
        if said.contains("PerDay") {
            fault.retry_after = fault.retry_after.max(Some(DAILY));
        }
        Ok(())
    })
}

/// A protobuf duration in JSON: `37s`, `0.25s`. More than a day is no delay.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?.parse::<f64>().ok()?;
    (0.0..=86_400.0).contains(&number).then(|| Duration::from_secs_f64(number))
}

/// A string or a number, as text; anything else leaves the field alone.
fn word(walker: &mut Walker<'_>, to: &mut String, max: usize) -> Result<(), Fault> {
    match walker.kind()? {
        Kind::String => {
            let inner = walker.string()?;
            *to = words(walker, &inner, max);
        }
        Kind::Scalar => {
            let span = walker.scalar()?;
            let text = walker.bytes(&span);
            if text.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') {
                *to = String::from_utf8_lossy(text).chars().take(max).collect();
            }
        }
        Kind::Object | Kind::Array => walker.pass()?,
    }
    Ok(())
}

fn words(walker: &Walker<'_>, inner: &Span, max: usize) -> String {
    let quoted = walker.bytes(&(inner.start - 1..inner.end + 1));
    match json::decode(quoted) {
        Some(text) => text.chars().take(max).collect(),
        // Cut in the middle of a surrogate pair: as it stands it still tells enough.
        None => String::from_utf8_lossy(walker.bytes(inner)).chars().take(max).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str, code: &str, message: &str, param: &str) -> UpstreamFault {
        UpstreamFault {
            kind: kind.into(),
            code: code.into(),
            message: message.into(),
            param: param.into(),
            retry_after: None,
        }
    }

    #[test]
    fn each_vendors_shape_is_read() {
        for (body, expected) in [
            (
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down",
                    "details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_1"}"#,
                fault("rate_limit_error", "enforced_spend_limit_reached", "slow down", ""),
            ),
            (
                r#"{"error":{"message":"no such \"model\"","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
                fault("invalid_request_error", "model_not_found", "no such \"model\"", "model"),
            ),
            (r#"{"error":{"message":"m","code":429,"param":null}}"#, fault("", "429", "m", "")),
            (r#"{"error":"overloaded"}"#, fault("", "", "overloaded", "")),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                fault("BadRequestError", "400", "m", ""),
            ),
            (r#"[{"error":{"code":429,"message":"m"}}]"#, fault("", "429", "m", "")),
            (r#"{"Message":"no"}"#, fault("", "", "no", "")),
            ("<html>502 Bad Gateway</html>", fault("", "", "", "")),
            ("", fault("", "", "", "")),
            (r#"{"error":{"type":"api_error","message":"cut of"#, fault("api_error", "", "", "")),
            (r#"{"error":{"message":"lone \ud83d","type":"t"}}"#, fault("t", "", r"lone \ud83d", "")),
        ] {
            assert_eq!(read_fault(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn googles_words_become_types_and_its_delay_is_kept() {
        let read = |body: &str| {
            let fault = read_fault(body.as_bytes());
            (fault.kind, fault.code, fault.retry_after.map(|wait| wait.as_millis()))
        };
        let is = |kind: &str, code: &str, wait| (kind.to_owned(), code.to_owned(), wait);
        let limited = |details: &str| {
            read(&format!(
                r#"{{"error":{{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{details}]}}}}"#
            ))
        };
        let retry = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37.5s"}"#;
        assert_eq!(limited(retry), is("rate_limit_error", "RESOURCE_EXHAUSTED", Some(37_500)));
        assert_eq!(limited(""), is("rate_limit_error", "RESOURCE_EXHAUSTED", None));
        let daily =
            r#"{"@type":"QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]}"#;
        let both = format!("{daily},{retry}");
        assert_eq!(limited(&both), is("rate_limit_error", "RESOURCE_EXHAUSTED", Some(3_600_000)));
        for nonsense in
            [r#"{"retryDelay":"soon"}"#, r#"{"retryDelay":"-1s"}"#, r#"{"retryDelay":"1e9s"}"#, "3"]
        {
            assert_eq!(limited(nonsense).2, None, "{nonsense}");
        }
        let key = r#"[{"error":{"status":"INVALID_ARGUMENT","code":400,"message":"API key not valid.","details":[{"reason":"API_KEY_INVALID"}]}}]"#;
        assert_eq!(read(key), is("invalid_request_error", "API_KEY_INVALID", None));
        assert_eq!(read(r#"{"error":{"message":"m","status":503}}"#), is("", "", None));
    }

    #[test]
    fn a_long_message_is_cut() {
        let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(5_000));
        assert_eq!(read_fault(body.as_bytes()).message.chars().count(), MAX_MESSAGE);
    }
}
