use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime(Duration::from_secs(1_795_262_400));
const ASKED: Asked = Asked { operation: Operation::Messages, estimated_tokens: 0 };

fn fault(kind: &str, code: &str, message: &str) -> UpstreamFault {
    UpstreamFault {
        kind: kind.into(),
        code: code.into(),
        message: message.into(),
        ..UpstreamFault::default()
    }
}

fn read(body: &str) -> UpstreamFault {
    crate::dialect::read_fault(body.as_bytes())
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn verdict(status: u16, fault: &UpstreamFault) -> Verdict {
    classify(status, &HeaderMap::new(), fault, &ASKED, NOW)
}

fn limit(pairs: &[(&str, &str)], fault: &UpstreamFault, estimated_tokens: u64) -> RateLimit {
    let verdict = classify(429, &headers(pairs), fault, &Asked { estimated_tokens, ..ASKED }, NOW);
    let Verdict::RateLimited(limit) = verdict else { panic!("not a rate limit: {verdict:?}") };
    limit
}

#[test]
fn aws_names_its_errors_in_a_header() {
    let named = |status, name| {
        let headers = headers(&[("x-amzn-errortype", name)]);
        classify(status, &headers, &fault("", "", "the model said"), &ASKED, NOW)
    };
    let invalid = Verdict::KeySuspect(KeyTrouble::Invalid);
    assert_eq!(named(403, "UnrecognizedClientException:http://internal.amazon.com/"), invalid);
    assert_eq!(named(403, "AccessDeniedException"), Verdict::ModelBarred);
    assert_eq!(named(429, "ModelNotReadyException"), Verdict::Overloaded { retry_after: None });
    assert!(matches!(named(429, "ThrottlingException"), Verdict::RateLimited(_)));
    assert_eq!(named(424, "ModelErrorException"), Verdict::ServerError);
}

#[test]
fn the_callers_faults_say_nothing_of_the_account() {
    for status in [400, 404, 405, 409, 413, 415, 422] {
        let verdict = verdict(status, &fault("invalid_request_error", "", "messages: too many"));
        assert_eq!(verdict, Verdict::Request, "{status}");
        assert_eq!(verdict.failure(false), None);
    }
    assert_eq!(verdict(200, &UpstreamFault::default()), Verdict::Answered);
}

#[test]
fn what_google_says_in_the_body_counts() {
    let limited =
        read(r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"37s"}]}}"#);
    assert_eq!(limit(&[], &limited, 0).retry_after, Some(Duration::from_secs(37)));
    assert_eq!(limit(&[("retry-after", "2")], &limited, 0).retry_after, Some(Duration::from_secs(2)));
    let Verdict::RateLimited(_) = classify_event(&limited, &ASKED, NOW) else { panic!("{limited:?}") };
    let key = read(
        r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
    );
    assert_eq!(verdict(400, &key), Verdict::KeySuspect(KeyTrouble::Invalid));
    let busy = read(r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#);
    assert_eq!(verdict(503, &busy), Verdict::Overloaded { retry_after: None });
    let foreign = read(
        r#"{"error":{"code":400,"message":"Corrupted thought signature.","status":"INVALID_ARGUMENT"}}"#,
    );
    assert_eq!(verdict(400, &foreign), Verdict::ProvenanceRefused);
}

#[test]
fn overload_and_server_errors_are_told_apart() {
    let none = UpstreamFault::default();
    for status in [503, 529] {
        assert_eq!(verdict(status, &none), Verdict::Overloaded { retry_after: None });
    }
    for status in [408, 500, 502, 504, 599] {
        assert_eq!(verdict(status, &none), Verdict::ServerError);
    }
    assert_eq!(verdict(500, &fault("overloaded_error", "", "")), Verdict::Overloaded { retry_after: None });
    assert_eq!(verdict(429, &fault("", "slow_down", "")), Verdict::Overloaded { retry_after: None });
    assert_eq!(
        classify(503, &headers(&[("retry-after", "2")]), &none, &ASKED, NOW),
        Verdict::Overloaded { retry_after: Some(Duration::from_secs(2)) }
    );
}

#[test]
fn what_speaks_against_a_key_is_named() {
    use KeyTrouble::{Billing, Forbidden, Invalid, SpendCap};
    let cases = [
        (401, fault("authentication_error", "", "invalid x-api-key"), Invalid),
        (401, fault("invalid_request_error", "invalid_api_key", ""), Invalid),
        (402, UpstreamFault::default(), Billing),
        (402, fault("billing_error", "", ""), Billing),
        (403, fault("permission_error", "", "Request not allowed"), Forbidden),
        (429, fault("rate_limit_error", "enforced_spend_limit_reached", ""), SpendCap),
        (429, fault("insufficient_quota", "insufficient_quota", "You exceeded your current quota"), SpendCap),
        (429, fault("", "project_spend_limit_exceeded", ""), SpendCap),
        (
            400,
            fault("invalid_request_error", "", "You have reached your specified API usage limits. You will"),
            SpendCap,
        ),
        (
            400,
            fault("", "", "You have reached your specified workspace API usage limits. You will regain"),
            SpendCap,
        ),
        (400, fault("", "", "Your credit balance is too low to access the API"), Billing),
    ];
    for (status, fault, trouble) in cases {
        assert_eq!(verdict(status, &fault), Verdict::KeySuspect(trouble), "{status} {fault:?}");
    }
}

#[test]
fn a_message_that_only_quotes_the_caller_speaks_against_nothing() {
    let quoted = "messages.0: unexpected text: Your credit balance is too low. You have reached your \
                  specified API usage limits";
    assert_eq!(verdict(400, &fault("invalid_request_error", "", quoted)), Verdict::Request);
}

#[test]
fn a_403_about_one_model_bars_only_that() {
    let about = fault("permission_error", "", "Your account does not have access to this model");
    assert_eq!(verdict(403, &about), Verdict::ModelBarred);
    assert_eq!(verdict(403, &fault("", "model_not_found", "")), Verdict::ModelBarred);
}

#[test]
fn refusals_of_what_we_put_in_or_moved_have_names_of_their_own() {
    let usage = fault("invalid_request_error", "", "Unrecognized request argument: stream_options");
    assert_eq!(verdict(400, &usage), Verdict::UsageOptionRefused);
    let bound = fault("", "", "thinking block is bound to a different conversation");
    assert_eq!(verdict(400, &bound), Verdict::ProvenanceRefused);
    assert_eq!(verdict(400, &fault("", "invalid_encrypted_content", "")), Verdict::ProvenanceRefused);
}

#[test]
fn a_429_names_its_limit_and_its_time() {
    let empty = [
        ("retry-after", "12"),
        ("anthropic-ratelimit-requests-remaining", "10"),
        ("anthropic-ratelimit-output-tokens-remaining", "0"),
    ];
    let read = limit(&empty, &UpstreamFault::default(), 0);
    assert_eq!(read.kind, LimitKind::OutputTokens);
    assert_eq!(read.retry_after, Some(Duration::from_secs(12)));
    assert!(!read.request_exceeds_limit);

    let by_message = |text: &str| limit(&[], &fault("rate_limit_error", "", text), 0).kind;
    assert_eq!(
        by_message(
            "This request would exceed your organization's rate limit of 50,000 input tokens per minute"
        ),
        LimitKind::InputTokens
    );
    assert_eq!(by_message("Rate limit reached on requests per min (RPM)"), LimitKind::Requests);
    assert_eq!(by_message("Rate limit reached on tokens per min (TPM)"), LimitKind::Tokens);
    assert_eq!(by_message("no"), LimitKind::Unknown);
}

#[test]
fn a_request_larger_than_the_whole_limit_is_the_callers_own() {
    let message = "Request too large for gpt-5.6 in organization org-x on tokens per min (TPM): Limit 30,000, \
                   Requested 41250.";
    assert!(limit(&[], &fault("tokens", "rate_limit_exceeded", message), 0).request_exceeds_limit);
    let fits = "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 4125.";
    assert!(!limit(&[], &fault("tokens", "rate_limit_exceeded", fits), 0).request_exceeds_limit);

    let limits = [
        ("anthropic-ratelimit-input-tokens-limit", "50000"),
        ("anthropic-ratelimit-input-tokens-remaining", "0"),
    ];
    assert!(limit(&limits, &UpstreamFault::default(), 80_000).request_exceeds_limit);
    assert!(
        !limit(&limits, &UpstreamFault::default(), 52_000).request_exceeds_limit,
        "it may be a bad guess"
    );
}

#[test]
fn errors_inside_a_200_are_read_by_their_type() {
    let event = |kind: &str| classify_event(&fault(kind, "", ""), &ASKED, NOW);
    assert_eq!(event("overloaded_error"), Verdict::Overloaded { retry_after: None });
    assert!(matches!(event("rate_limit_error"), Verdict::RateLimited(_)));
    assert_eq!(event("api_error"), Verdict::ServerError);
    assert_eq!(event(""), Verdict::ServerError);
    assert_eq!(event("invalid_request_error"), Verdict::Request);
}

proptest! {
    #[test]
    fn any_answer_has_a_meaning(status in 0u16.., kind in ".{0,40}", code in ".{0,40}", message in ".{0,200}") {
        let fault = fault(&kind, &code, &message);
        let verdict = verdict(status, &fault);
        prop_assert_eq!(status < 400, verdict == Verdict::Answered);
        let _ = classify_event(&fault, &ASKED, NOW);
    }
}

#[test]
fn an_event_about_the_request_is_the_requests_own_fault() {
    let event = |code: &str| {
        let fault = UpstreamFault { code: code.into(), ..UpstreamFault::default() };
        classify_event(&fault, &ASKED, NOW)
    };
    for code in ["invalid_prompt", "context_length_exceeded", "invalid_image_url", "image_too_large"] {
        assert_eq!(event(code).failure(false), None, "{code}");
    }
    assert_eq!(event("server_error"), Verdict::ServerError);
    assert_eq!(event(""), Verdict::ServerError);
    assert_eq!(event("invalid_api_key"), Verdict::KeySuspect(KeyTrouble::Invalid));
    assert!(matches!(event("rate_limit_exceeded"), Verdict::RateLimited(_)));
}
