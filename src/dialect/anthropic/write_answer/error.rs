//! Errors in the midst of a stream.

use super::event::Event;
use crate::dialect::signal::UpstreamFault;

/// What Anthropic calls errors (anthropic 2.12.0, `types/shared/error_type.py`).
const KINDS: [&str; 11] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "conflict_error",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
];

/// Writes the event.
pub(super) fn write(fault: &UpstreamFault, out: &mut Vec<u8>) {
    let message = if fault.message.is_empty() { "the provider failed" } else { &fault.message };
    Event::write(out, "error", |w| {
        w.key("error").object(|w| {
            w.key("type").text(kind(fault));
            w.key("message").text(message);
        });
        w.key("request_id").null();
    });
}

/// Anthropic's word for an error of anybody's: clients decide by it whether to try again.
fn kind(fault: &UpstreamFault) -> &'static str {
    let said = |words: &[&str]| {
        let has = |text: &str| words.iter().any(|word| text.to_ascii_lowercase().contains(word));
        has(&fault.kind) || has(&fault.code)
    };
    if let Some(known) = KINDS.into_iter().find(|known| *known == fault.kind) {
        return known;
    }
    if said(&["rate_limit", "throttl", "resource_exhausted", "insufficient_quota", "429"]) {
        "rate_limit_error"
    } else if said(&["overload", "unavailable", "503", "529"]) {
        "overloaded_error"
    } else if said(&["timeout", "deadline", "504"]) {
        "timeout_error"
    } else if said(&["permission", "accessdenied", "403"]) {
        "permission_error"
    } else if said(&["authentication", "unauthenticated", "invalid_api_key", "401"]) {
        "authentication_error"
    } else if said(&["not_found", "404"]) {
        "not_found_error"
    } else if said(&["invalid", "validation", "badrequest", "bad_request", "context_length", "400"]) {
        "invalid_request_error"
    } else {
        "api_error"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_heard_too() {
        let fault = UpstreamFault { code: "429".to_owned(), ..UpstreamFault::default() };
        assert_eq!(kind(&fault), "rate_limit_error");
    }

    #[test]
    fn each_makers_word_becomes_anthropics() {
        for (said, expected) in [
            ("overloaded_error", "overloaded_error"),
            ("rate_limit_exceeded", "rate_limit_error"),
            ("throttlingException", "rate_limit_error"),
            ("RESOURCE_EXHAUSTED", "rate_limit_error"),
            ("serviceUnavailableException", "overloaded_error"),
            ("validationException", "invalid_request_error"),
            ("server_error", "api_error"),
            ("", "api_error"),
        ] {
            let fault = UpstreamFault { kind: said.to_owned(), ..UpstreamFault::default() };
            assert_eq!(kind(&fault), expected, "{said}");
        }
    }
}
