//! What we say ourselves, in the caller's dialect.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::types::{Dialect, Family, ModelName, NanoUsd, Rates};

/// The error type that the dialect's own clients expect for a status.
///
/// Source: providers, Anthropic errors and OpenAI errors.
const fn kind(dialect: Dialect, status: u16) -> &'static str {
    match dialect {
        Dialect::Anthropic => match status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        },
        Dialect::OpenAiChat | Dialect::OpenAiResponses => match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            503 | 529 => "service_unavailable_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        },
    }
}

/// The code that tells clients to try again or not: OpenAI's own for what it has a word for.
fn code(status: u16, reason: &str) -> &str {
    match status {
        _ if reason == BUDGET => QUOTA,
        401 => "invalid_api_key",
        429 => "rate_limit_exceeded",
        404 if reason == "unknown_model" => "model_not_found",
        _ => reason,
    }
}

/// The reason of a budget that is spent. `OpenAI`'s clients know that as a quota, and give up.
const BUDGET: &str = "budget_exceeded";
const QUOTA: &str = "insufficient_quota";

/// The body of an error answer. `reason` is a label of ours, `message` a sentence for the caller that
/// quotes neither secrets nor prompts.
#[must_use]
pub fn error_body(dialect: Dialect, status: u16, reason: &str, message: &str, request_id: &str) -> Bytes {
    let body = match dialect {
        Dialect::Anthropic => anthropic(status, reason, message, request_id),
        Dialect::OpenAiChat | Dialect::OpenAiResponses => openai(dialect, status, reason, message),
    };
    body.to_string().into()
}

/// One well-formed event that ends a stream with an error. It may only be written where an event may
/// begin. `last_sequence` is what a Responses stream had counted up to.
#[must_use]
pub fn stream_error(
    dialect: Dialect,
    status: u16,
    reason: &str,
    message: &str,
    request_id: &str,
    last_sequence: Option<u64>,
) -> Bytes {
    match dialect {
        Dialect::Anthropic => {
            format!("event: error\ndata: {}\n\n", anthropic(status, reason, message, request_id))
        }
        Dialect::OpenAiChat => format!("data: {}\n\n", openai(dialect, status, reason, message)),
        Dialect::OpenAiResponses => {
            let number = last_sequence.map_or(0, |last| last.saturating_add(1));
            let mut event = json!({
                "type": "error",
                "code": code(status, reason),
                "message": message,
                "param": null,
                "sequence_number": number,
            });
            say_budget(&mut event, reason);
            format!("event: error\ndata: {event}\n\n")
        }
    }
    .into()
}

fn anthropic(status: u16, reason: &str, message: &str, request_id: &str) -> Value {
    json!({
        "type": "error",
        "error": {
            "type": kind(Dialect::Anthropic, status),
            "message": message,
            "details": { "error_code": reason },
        },
        "request_id": request_id,
    })
}

fn openai(dialect: Dialect, status: u16, reason: &str, message: &str) -> Value {
    let mut error = json!({
        "message": message,
        "type": if reason == BUDGET { QUOTA } else { kind(dialect, status) },
        "param": null,
        "code": code(status, reason),
    });
    say_budget(&mut error, reason);
    json!({ "error": error })
}

/// `OpenAI`'s word for it stands in `code`; ours stands beside it, the same in every dialect.
fn say_budget(error: &mut Value, reason: &str) {
    if let (BUDGET, Value::Object(members)) = (reason, error) {
        members.insert("reason".to_owned(), reason.into());
    }
}

/// A comment that keeps a waiting client's connection alive; no client reads it.
#[must_use]
pub const fn heartbeat() -> Bytes {
    Bytes::from_static(b": waiting\n\n")
}

/// A model that the configuration offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelListing {
    /// The name that callers use.
    pub id: ModelName,
    /// A name for people.
    pub display_name: String,
    /// Unix seconds.
    pub created: i64,
    /// Who serves it.
    pub owned_by: String,
    /// What it costs the caller, and above so many input tokens; empty where nobody has said.
    pub prices: Vec<(u64, Rates)>,
}

/// The list of models. It is whole: there is never a next page.
#[must_use]
pub fn models(family: Family, listing: &[ModelListing]) -> Bytes {
    let data: Vec<Value> = listing.iter().map(|listing| one(family, listing)).collect();
    let body = match family {
        Family::Anthropic => json!({
            "data": data,
            "has_more": false,
            "first_id": listing.first().map(|listing| listing.id.as_str()),
            "last_id": listing.last().map(|listing| listing.id.as_str()),
        }),
        Family::OpenAi | Family::Gemini | Family::Bedrock => json!({ "object": "list", "data": data }),
    };
    body.to_string().into()
}

/// One model.
#[must_use]
pub fn model(family: Family, listing: &ModelListing) -> Bytes {
    one(family, listing).to_string().into()
}

/// `pricing` is ours: dollars per million tokens. Clients that do not know it pass over it.
fn pricing(prices: &[(u64, Rates)]) -> Option<Value> {
    let ((_, first), tiers) = prices.split_first()?;
    let of = |rates: &Rates| {
        // The nearest fraction to an exact text is written as that text again.
        let dollars = |nano: u64| NanoUsd(nano).dollars().parse::<f64>().unwrap_or_default();
        json!({
            "input": dollars(rates.input),
            "cached_read": dollars(rates.cached_read),
            "write_5m": dollars(rates.write_5m),
            "write_1h": dollars(rates.write_1h),
            "output": dollars(rates.output),
        })
    };
    let mut pricing = of(first);
    pricing["unit"] = "usd_per_million_tokens".into();
    if !tiers.is_empty() {
        let tiers = tiers.iter().map(|(above, rates)| {
            let mut tier = of(rates);
            tier["input_tokens"] = (*above).into();
            tier
        });
        pricing["above"] = tiers.collect();
    }
    Some(pricing)
}

fn one(family: Family, listing: &ModelListing) -> Value {
    let mut model = bare(family, listing);
    if let Some(pricing) = pricing(&listing.prices) {
        model["pricing"] = pricing;
    }
    model
}

fn bare(family: Family, listing: &ModelListing) -> Value {
    match family {
        Family::Anthropic => json!({
            "type": "model",
            "id": listing.id.as_str(),
            "display_name": listing.display_name,
            "created_at": jiff::Timestamp::from_second(listing.created).unwrap_or_default().to_string(),
        }),
        Family::OpenAi | Family::Gemini | Family::Bedrock => json!({
            "id": listing.id.as_str(),
            "object": "model",
            "created": listing.created,
            "owned_by": listing.owned_by,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::read_fault;

    fn value(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn the_error_type_follows_the_status() {
        for (status, expected) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (503, "overloaded_error"),
            (504, "timeout_error"),
        ] {
            let body = error_body(Dialect::Anthropic, status, "why", "a \"message\"", "wk_1");
            let fault = read_fault(&body);
            assert_eq!((fault.kind.as_str(), fault.code.as_str()), (expected, "why"), "{status}");
            assert_eq!(fault.message, "a \"message\"");
            assert_eq!(value(&body)["request_id"], "wk_1");
        }
        let body = error_body(Dialect::OpenAiChat, 429, "rate_limited", "m", "wk_1");
        assert_eq!(
            value(&body),
            json!({"error": {"message": "m", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}})
        );
    }

    #[test]
    fn an_error_in_a_stream_is_one_event_that_counts_on() {
        for dialect in Dialect::ALL {
            let event = stream_error(dialect, 502, "stream_broken", "line one\nline two", "wk_1", Some(41));
            let text = std::str::from_utf8(&event).unwrap();
            assert_eq!(text.matches("\n\n").count(), 1);
            assert!(text.ends_with("\n\n"));
        }
        let event = stream_error(Dialect::OpenAiResponses, 502, "stream_broken", "m", "wk_1", Some(41));
        assert_eq!(
            value(event.strip_prefix(b"event: error\ndata: ").unwrap()),
            json!({"type": "error", "code": "stream_broken", "message": "m", "param": null, "sequence_number": 42})
        );
    }

    #[test]
    fn a_spent_budget_is_named_in_every_dialect() {
        let said =
            |dialect| value(&error_body(dialect, 429, "budget_exceeded", "m", "wk_1"))["error"].clone();
        let claude = said(Dialect::Anthropic);
        assert_eq!(
            (&claude["type"], &claude["details"]["error_code"]),
            (&json!("rate_limit_error"), &json!(BUDGET))
        );
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
            let error = said(dialect);
            assert_eq!(
                (&error["type"], &error["code"], &error["reason"]),
                (&json!(QUOTA), &json!(QUOTA), &json!(BUDGET))
            );
        }
        let event = stream_error(Dialect::OpenAiResponses, 429, "budget_exceeded", "m", "wk_1", Some(1));
        let event = value(event.strip_prefix(b"event: error\ndata: ").unwrap());
        assert_eq!((&event["code"], &event["reason"]), (&json!(QUOTA), &json!(BUDGET)));
    }

    #[test]
    fn models_are_listed_in_the_familys_shape() {
        let listing = |id: &str| ModelListing {
            id: id.into(),
            display_name: format!("{id} for people"),
            created: 1_760_000_000,
            owned_by: "warmkey".to_owned(),
            prices: Vec::new(),
        };
        let list = [listing("claude-a"), listing("claude-b")];
        let body = value(&models(Family::Anthropic, &list));
        assert_eq!((&body["first_id"], &body["last_id"]), (&json!("claude-a"), &json!("claude-b")));
        assert_eq!(body["data"][0]["type"], "model");
        assert_eq!(body["data"][0]["created_at"], "2025-10-09T08:53:20Z");
        assert_eq!(value(&models(Family::Anthropic, &[]))["first_id"], Value::Null);
        assert_eq!(value(&models(Family::OpenAi, &list))["object"], "list");
        assert_eq!(value(&model(Family::OpenAi, &list[0]))["object"], "model");
    }
}
