//! What an answer means for the account that gave it: pure, from status, headers and error body.
//!
//! Rules from providers 1.4 (Anthropic errors) and 2.3 (OpenAI limits and errors). Blame is the point:
//! most 4xx are the caller's and touch nothing that others use; a 429 is the account's unless the
//! request alone is too large; what speaks against a key is only a suspicion here (see `key`).

use std::time::Duration;

use http::HeaderMap;

use super::{
    failure_kind::Failure,
    headroom::{LimitKind, buckets},
    key::KeyTrouble,
    retry_after,
};
use crate::{clock::UnixTime, dialect::UpstreamFault, types::Operation};

/// What was asked, as far as the meaning of a refusal depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The call.
    pub operation: Operation,
    /// Our estimate of the input tokens that count towards limits; 0 when there is none. (Cache
    /// reads do not count at Anthropic, providers 0.3.)
    pub estimated_tokens: u64,
}

impl Asked {
    /// A call that generates nothing, such as a stored object's: a limit on it says nothing of
    /// messages.
    pub const ASIDE: Self = Self { operation: Operation::Embeddings, estimated_tokens: 0 };
}

/// A 429, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// For how long to stay away, if it was said.
    pub retry_after: Option<Duration>,
    /// Which limit was hit.
    pub kind: LimitKind,
    /// The request is larger than the whole limit: no account of this size will ever take it, and
    /// none must cool for it.
    pub request_exceeds_limit: bool,
    /// A header that should have said for how long could not be understood.
    pub garbage: bool,
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is an answer.
    Answered,
    /// The request is at fault; it goes to the caller verbatim.
    Request,
    /// A limit of the account's was hit.
    RateLimited(RateLimit),
    /// The provider has no capacity just now.
    Overloaded {
        /// For how long to stay away, if it was said.
        retry_after: Option<Duration>,
    },
    /// The provider failed.
    ServerError,
    /// Something speaks against the key.
    KeySuspect(KeyTrouble),
    /// The key may not use this model.
    ModelBarred,
    /// It does not know `stream_options`, which we may have put in: try once without.
    UsageOptionRefused,
    /// Reasoning in the history was made by another account, which alone can read it.
    ProvenanceRefused,
}

impl Verdict {
    /// What to book at the endpoint; `None` when the answer says nothing against it.
    /// `refused_elsewhere`: another rate domain has refused this very request with a 429 before.
    #[must_use]
    pub fn failure(&self, refused_elsewhere: bool) -> Option<Failure> {
        match *self {
            Self::Answered | Self::Request | Self::UsageOptionRefused | Self::ProvenanceRefused => None,
            Self::RateLimited(limit) => Some(Failure::RateLimited { limit, refused_elsewhere }),
            Self::Overloaded { retry_after } => Some(Failure::Overloaded { retry_after }),
            Self::ServerError => Some(Failure::ServerError),
            Self::KeySuspect(trouble) => Some(Failure::Key(trouble)),
            Self::ModelBarred => Some(Failure::ModelBarred),
        }
    }
}

/// `error.code`s and `error.type`s that mean: no money (providers 1.4, 2.3).
const SPENT: [&str; 12] = [
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "organization_on_hold",
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
];

/// Beginnings of the `error.code`s of events that are about the request.
const REQUEST_CODES: [&str; 9] = [
    "invalid_",
    "context_length_exceeded",
    "content_policy_violation",
    "content_filter",
    "cyber_policy",
    "bio_policy",
    "unsupported_",
    "image_",
    "string_above_max_length",
];

const OVERLOADED: [&str; 4] = ["overloaded_error", "slow_down", "server_overloaded", "engine_overloaded"];

/// What the answer with this status, these headers and this error means. An empty fault is fine:
/// the body may have been no JSON.
#[must_use]
pub fn classify(
    status: u16,
    headers: &HeaderMap,
    fault: &UpstreamFault,
    asked: &Asked,
    now: UnixTime,
) -> Verdict {
    if status < 400 {
        return Verdict::Answered;
    }
    if let Some(verdict) = by_name(fault).or_else(|| by_error_type(headers)) {
        return verdict;
    }
    match status {
        401 => Verdict::KeySuspect(KeyTrouble::Invalid),
        402 => Verdict::KeySuspect(KeyTrouble::Billing),
        403 if concerns_a_model(fault) => Verdict::ModelBarred,
        403 => Verdict::KeySuspect(KeyTrouble::Forbidden),
        429 => rate_limited(headers, fault, asked, now),
        503 | 529 => {
            Verdict::Overloaded { retry_after: retry_after::read(headers, now).wait.or(fault.retry_after) }
        }
        // 408 is the provider's own time-out here: we always send the whole request at once. 424 is
        // Bedrock's for a model that failed.
        408 | 424 | 500.. => Verdict::ServerError,
        400 => bad_request(fault),
        _ => Verdict::Request,
    }
}

/// What an `error` event in place of content (inside a 200) means.
#[must_use]
pub fn classify_event(fault: &UpstreamFault, asked: &Asked, now: UnixTime) -> Verdict {
    if let Some(verdict) = by_name(fault) {
        return verdict;
    }
    let status = match fault.kind.as_str() {
        "rate_limit_error" | "rate_limit_exceeded" => 429,
        "authentication_error" => 401,
        "permission_error" => 403,
        "invalid_request_error" | "request_too_large" | "not_found_error" => 400,
        _ => match fault.code.as_str() {
            "rate_limit_exceeded" => 429,
            "invalid_api_key" => 401,
            // `response.failed` has a code only; what begins so is about the request (providers 2.3),
            // and must neither be carried around nor count against anybody.
            code if REQUEST_CODES.iter().any(|head| code.starts_with(head)) => 400,
            _ => 500,
        },
    };
    classify(status, &HeaderMap::new(), fault, asked, now)
}

/// Errors whose name says more than their status.
fn by_name(fault: &UpstreamFault) -> Option<Verdict> {
    let named = |names: &[&str]| names.contains(&fault.kind.as_str()) || names.contains(&fault.code.as_str());
    if named(&SPENT) {
        let billing = fault.kind == "billing_error" || fault.code == "billing_not_active";
        let trouble = if billing { KeyTrouble::Billing } else { KeyTrouble::SpendCap };
        return Some(Verdict::KeySuspect(trouble));
    }
    // Google's words: a wrong key is a 400 there.
    if fault.code == "API_KEY_INVALID" {
        return Some(Verdict::KeySuspect(KeyTrouble::Invalid));
    }
    if fault.code == "BILLING_DISABLED" {
        return Some(Verdict::KeySuspect(KeyTrouble::Billing));
    }
    named(&OVERLOADED).then_some(Verdict::Overloaded { retry_after: fault.retry_after })
}

/// AWS names its errors in a header (`ThrottlingException:http://...`). Those whose status says too
/// little.
fn by_error_type(headers: &HeaderMap) -> Option<Verdict> {
    let name = headers.get("x-amzn-errortype")?.to_str().ok()?;
    match name.split(':').next().unwrap_or_default() {
        "ModelNotReadyException" => Some(Verdict::Overloaded { retry_after: None }),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException" => Some(Verdict::KeySuspect(KeyTrouble::Invalid)),
        _ => None,
    }
}

fn concerns_a_model(fault: &UpstreamFault) -> bool {
    fault.code.contains("model")
        || fault.param == "model"
        || fault.message.to_ascii_lowercase().contains("model")
}

fn bad_request(fault: &UpstreamFault) -> Verdict {
    let message = fault.message.as_str();
    // Self-set spend limits come as 400; only how the message *begins* counts, since the rest of
    // it may quote what the caller sent.
    if message.starts_with("You have reached your specified") && message.contains("API usage limits") {
        return Verdict::KeySuspect(KeyTrouble::SpendCap);
    }
    if message.starts_with("Your credit balance is too low") {
        return Verdict::KeySuspect(KeyTrouble::Billing);
    }
    if fault.param.starts_with("stream_options")
        || (message.contains("stream_options") || message.contains("include_usage"))
    {
        return Verdict::UsageOptionRefused;
    }
    let lower = message.to_ascii_lowercase();
    let bound = lower.contains("bound to a different conversation")
        || (lower.contains("signature") && (lower.contains("thinking") || lower.contains("thought")));
    if bound || fault.code == "invalid_encrypted_content" {
        return Verdict::ProvenanceRefused;
    }
    Verdict::Request
}

fn rate_limited(headers: &HeaderMap, fault: &UpstreamFault, asked: &Asked, now: UnixTime) -> Verdict {
    let said = retry_after::read(headers, now);
    let kind = limit_kind(headers, fault);
    let by_message = requested_and_limit(&fault.message).is_some_and(|(requested, limit)| requested > limit)
        || fault.message.starts_with("Request too large");
    Verdict::RateLimited(RateLimit {
        // Google says it in the body.
        retry_after: said.wait.or(fault.retry_after),
        kind,
        request_exceeds_limit: by_message || estimate_exceeds(headers, kind, asked),
        garbage: said.garbage,
    })
}

/// Estimates are off by 15 % either way (routing 3.6): only a clear excess counts, else one wrong
/// guess would let a throttled account be hit again and again.
fn estimate_exceeds(headers: &HeaderMap, kind: LimitKind, asked: &Asked) -> bool {
    let surely = asked.estimated_tokens.saturating_sub(asked.estimated_tokens / 7);
    let same_kind = |of: LimitKind| of.counts_input() && (kind == of || kind == LimitKind::Unknown);
    buckets(headers)
        .filter(|bucket| same_kind(bucket.kind))
        .filter_map(|bucket| bucket.limit)
        .any(|limit| limit > 0 && surely > limit)
}

fn limit_kind(headers: &HeaderMap, fault: &UpstreamFault) -> LimitKind {
    if let Some(bucket) = retry_after::exhausted(headers) {
        return bucket.kind;
    }
    let message = fault.message.to_ascii_lowercase();
    if message.contains("output token") {
        LimitKind::OutputTokens
    } else if message.contains("input token") {
        LimitKind::InputTokens
    } else if message.contains("tokens per") || message.contains("tpm") || fault.kind == "tokens" {
        LimitKind::Tokens
    } else if message.contains("requests per") || message.contains("rpm") || fault.kind == "requests" {
        LimitKind::Requests
    } else {
        LimitKind::Unknown
    }
}

/// `... Limit 30000, Requested 41250.` (OpenAI): what was asked for, and what there is at all.
fn requested_and_limit(message: &str) -> Option<(u64, u64)> {
    Some((number_after(message, "Requested ")?, number_after(message, "Limit ")?))
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, tail) = text.rsplit_once(word)?;
    let digits: String = tail.chars().take_while(|c| c.is_ascii_digit() || *c == ',').take(24).collect();
    digits.replace(',', "").parse().ok()
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
