//! AWS's refusals.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{super::refusal::Refusal, frames};

/// The body of a refusal; its name stands in a header.
pub(in crate::sim) fn error_body(refusal: &Refusal) -> Value {
    json!({"message": refusal.message})
}

/// `x-amzn-ErrorType`
pub(in crate::sim) fn error_type(refusal: &Refusal) -> &'static str {
    if let Some(code) = refusal.code.filter(|code| code.ends_with("Exception")) {
        return code;
    }
    match refusal.status {
        401 => "UnrecognizedClientException",
        402 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

/// AWS has fewer statuses than others.
pub(in crate::sim) const fn status(refusal: &Refusal) -> u16 {
    match refusal.status {
        401 | 402 => 403,
        504 => 408,
        529 => 503,
        413 | 415 => 400,
        status => status,
    }
}

/// The same inside a stream.
pub(in crate::sim) fn error_event(refusal: &Refusal) -> Bytes {
    let name = error_type(refusal);
    // Written small there.
    let mut small = name.to_owned();
    if let Some(first) = small.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    frames::exception(&small, &error_body(refusal))
}
