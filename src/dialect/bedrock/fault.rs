//! Bedrock's exceptions, in the words that the other dialects have for them.

use crate::dialect::{fault, json::Walker, signal::UpstreamFault};

/// Exceptions are flat; what nests deeper is none.
const MAX_DEPTH: usize = 32;
/// Characters of an exception's name: they are words.
const MAX_NAME: usize = 200;

/// The `error.type` that an exception of this name comes to. Names are written with a small first
/// letter in streams, and with a capital one in `x-amzn-ErrorType`.
pub(in crate::dialect) fn kind_of(name: &str) -> &'static str {
    const KINDS: [(&str, &str); 18] = [
        ("ThrottlingException", "rate_limit_error"),
        ("ServiceQuotaExceededException", "rate_limit_error"),
        ("ModelNotReadyException", "overloaded_error"),
        ("ServiceUnavailableException", "overloaded_error"),
        ("ValidationException", "invalid_request_error"),
        ("ResourceNotFoundException", "not_found_error"),
        ("AccessDeniedException", "permission_error"),
        ("InvalidSignatureException", "authentication_error"),
        ("SignatureDoesNotMatch", "authentication_error"),
        ("UnrecognizedClientException", "authentication_error"),
        ("IncompleteSignatureException", "authentication_error"),
        ("MissingAuthenticationTokenException", "authentication_error"),
        ("ExpiredTokenException", "authentication_error"),
        ("InvalidClientTokenId", "authentication_error"),
        ("ModelTimeoutException", "timeout_error"),
        ("ModelStreamErrorException", "api_error"),
        ("ModelErrorException", "api_error"),
        ("InternalServerException", "api_error"),
    ];
    KINDS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map_or("api_error", |(_, kind)| kind)
}

/// An exception within a stream.
pub(super) fn exception(name: &str, body: &[u8]) -> UpstreamFault {
    let mut found = UpstreamFault::default();
    let mut walker = Walker::new(body, MAX_DEPTH);
    // What was read before the text broke off still helps.
    let _broken_off = fault::object(&mut walker, &mut found);
    kind_of(name).clone_into(&mut found.kind);
    found.code = name.chars().take(MAX_NAME).collect();
    found
}

/// What the provider said cannot be read, or has no place in any client's dialect.
pub(super) fn unreadable(what: &str) -> UpstreamFault {
    UpstreamFault {
        kind: "api_error".to_owned(),
        message: format!("the provider's answer cannot be translated: {what}"),
        ..UpstreamFault::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_kinds_that_are_understood() {
        for (name, kind) in [
            ("throttlingException", "rate_limit_error"),
            ("ThrottlingException", "rate_limit_error"),
            ("serviceUnavailableException", "overloaded_error"),
            ("validationException", "invalid_request_error"),
            ("modelStreamErrorException", "api_error"),
            ("whoKnowsException", "api_error"),
        ] {
            let fault = exception(name, br#"{"message":"m","originalStatusCode":429}"#);
            assert_eq!((fault.kind.as_str(), fault.code.as_str(), fault.message.as_str()), (kind, name, "m"));
        }
    }
}
