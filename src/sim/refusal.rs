//! Every way in which the provider says no, in the envelope of the dialect that was spoken.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{
    bedrock,
    fault::{Fault, RetryHint},
    gemini,
    limits::{Refused, seconds_up},
    models::Maker,
};

/// An error answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// OpenAI's `error.type`.
    openai_kind: &'static str,
    /// OpenAI's `error.code`, Anthropic's `error.details.error_code`.
    pub(super) code: Option<&'static str>,
    param: Option<&'static str>,
    pub(super) message: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// The reset headers must say so many seconds, whatever the buckets say.
    pub(super) reset_in: Option<Duration>,
}

impl Refusal {
    /// An error of this status, with the type that belongs to it.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        let openai_kind = match status {
            402 => "insufficient_quota",
            429 => "tokens",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        Self {
            status,
            openai_kind,
            code: None,
            param: None,
            message: message.into(),
            headers: Vec::new(),
            reset_in: None,
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    fn openai_kind(mut self, kind: &'static str) -> Self {
        self.openai_kind = kind;
        self
    }

    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// 404 for a model nobody offers.
    pub(super) fn no_model(name: &str) -> Self {
        Self::new(404, format!("The model `{name}` does not exist or you do not have access to it."))
            .code("model_not_found")
            .param("model")
    }

    /// 429 by the provider's own limits. `real` turns virtual into real time.
    ///
    /// A provider that runs in time of its own says `retry-after-ms`, too, in both dialects: its own whole
    /// seconds, as long as they are here. A whole second of ours would be many of its.
    pub(super) fn limited(refused: Refused, organization: &str, real: impl Fn(Duration) -> Duration) -> Self {
        match refused {
            Refused::Wait { what, span } => {
                let seconds = seconds_up(real(span));
                let own = real(Duration::from_secs(seconds_up(span)));
                let message = format!(
                    "This request would exceed the rate limit of your organization ({organization}) for {what} per minute."
                );
                let kind = if what == "requests" { "requests" } else { "tokens" };
                let refusal = Self::new(429, message)
                    .code("rate_limit_exceeded")
                    .openai_kind(kind)
                    .header("retry-after", seconds);
                if own == Duration::from_secs(seconds) {
                    refusal
                } else {
                    refusal.header("retry-after-ms", own.as_millis())
                }
            }
            Refused::Never { limit } => Self::new(
                429,
                format!(
                    "Request too large for organization {organization}: it alone exceeds the limit of {limit} tokens per minute. The input or output tokens must be reduced in order to run successfully."
                ),
            )
            .code("rate_limit_exceeded"),
            Refused::Overloaded => Self::new(529, "Overloaded"),
            Refused::Unavailable => Self::new(503, "The service is temporarily unavailable"),
        }
    }

    /// The answer that a fault consists of, when it is an answer.
    pub(super) fn of_fault(fault: &Fault, maker: Maker, model: &str) -> Option<Self> {
        let anthropic = maker == Maker::Anthropic;
        Some(match fault {
            Fault::RateLimited { hint } => limited(*hint),
            Fault::ExceedsLimitAlone => Self::new(
                429,
                "Request too large: it alone exceeds the limit of 1000 tokens per minute. The input or output tokens must be reduced in order to run successfully.",
            )
            .code("rate_limit_exceeded"),
            Fault::ServerError => Self::new(500, "Internal server error"),
            Fault::Unavailable => Self::new(503, "The service is temporarily unavailable"),
            Fault::Overloaded if anthropic => Self::new(529, "Overloaded"),
            Fault::Overloaded => Self::new(503, "The engine is currently overloaded, please try again later").code("slow_down"),
            Fault::GatewayTimeout => Self::new(504, "Request timed out"),
            Fault::KeyRejected => Self::bad_key(),
            Fault::BillingRejected => Self::new(402, "Your credit balance is too low to access the API."),
            Fault::KeyForbidden => Self::new(403, "Your API key does not have permission to use the specified resource."),
            Fault::ModelForbidden => Self::new(403, format!("Your organization does not have access to the model `{model}`."))
                .code("model_not_found")
                .param("model"),
            Fault::SpendLimitText => Self::bad(
                "You have reached your specified API usage limits. You will regain access on 2099-01-01 at 00:00 UTC.",
            ),
            Fault::WorkspaceSpendLimitText => Self::bad(
                "You have reached your specified workspace API usage limits. You will regain access on 2099-01-01 at 00:00 UTC.",
            ),
            Fault::SpendLimitEnforced => {
                Self::new(429, "Your organization has reached its enforced monthly spend limit.")
                    .code("enforced_spend_limit_reached")
                    .openai_kind("insufficient_quota")
            }
            Fault::InsufficientQuota => Self::new(
                429,
                "You exceeded your current quota, please check your plan and billing details.",
            )
            .code("insufficient_quota")
            .openai_kind("insufficient_quota"),
            Fault::StreamOptionsUnknown => Self::bad("Unrecognized request argument supplied: stream_options")
                .code("unknown_parameter")
                .param("stream_options"),
            Fault::ThinkingForeign => Self::bad("messages.1.content.0: Invalid `signature` in `thinking` block"),
            Fault::Status { status } => Self::new((*status).clamp(200, 599), "A scripted answer"),
            Fault::EarlyAnswer { status, .. } => {
                Self::new((*status).clamp(400, 599), "Request exceeds the maximum size").header("connection", "close")
            }
            Fault::HtmlPage { .. }
            | Fault::HangBeforeHeader
            | Fault::SlowHeader { .. }
            | Fault::CloseBeforeHeader
            | Fault::ResetBeforeHeader
            | Fault::StallAfter { .. }
            | Fault::ResetAfter { .. }
            | Fault::CloseAfter { .. }
            | Fault::TruncateAfter { .. }
            | Fault::ErrorFirst
            | Fault::ErrorAfter { .. }
            | Fault::SlowRead { .. }
            | Fault::Stale
            | Fault::SetCookie
            | Fault::Gzip
            | Fault::GoAway
            | Fault::GoAwayAfter
            | Fault::RefusedStream
            | Fault::BadCrc { .. } => return None,
        })
    }

    /// 401.
    pub(super) fn bad_key() -> Self {
        Self::new(401, "invalid x-api-key: Incorrect API key provided.").code("invalid_api_key")
    }

    /// The body.
    pub(super) fn body(&self, maker: Maker, request_id: &str) -> Value {
        match maker {
            Maker::Anthropic => {
                let mut error = json!({"type": self.anthropic_kind(), "message": self.message});
                // OpenAI's codes are not Anthropic's.
                if let Some(code) = self.code.filter(|code| code.ends_with("_limit_reached")) {
                    error["details"] = json!({"error_code": code});
                }
                json!({"type": "error", "error": error, "request_id": request_id})
            }
            Maker::OpenAi => json!({"error": {
                "message": self.message, "type": self.openai_kind, "param": self.param, "code": self.code,
            }}),
            Maker::Aws => bedrock::error_body(self),
            Maker::Google => gemini::error_body(self),
        }
    }

    /// Google calls a wrong key an invalid argument.
    pub(super) const fn google_status(&self) -> u16 {
        if self.status == 401 { 400 } else { self.status }
    }

    /// For how long to stay away, if it says so.
    pub(super) fn wait(&self) -> Option<Duration> {
        let said = |wanted: &str| {
            self.headers.iter().find(|(name, _)| *name == wanted).and_then(|(_, value)| value.parse().ok())
        };
        said("retry-after-ms")
            .map(Duration::from_millis)
            .or_else(|| said("retry-after").map(Duration::from_secs))
    }

    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }

    pub(super) fn status(&self, maker: Maker) -> StatusCode {
        let status = match maker {
            Maker::Aws => bedrock::status(self),
            Maker::Google => self.google_status(),
            Maker::Anthropic | Maker::OpenAi => self.status,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its own headers, checked.
    pub(super) fn own_headers(&self, maker: Maker) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let silent = matches!(maker, Maker::Aws | Maker::Google);
        let said = move |name: &str| !silent || !name.starts_with("retry-after");
        self.headers.iter().filter(move |(name, _)| said(name)).filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        })
    }
}

fn limited(hint: RetryHint) -> Refusal {
    let refusal = Refusal::new(429, "This request would exceed your organization's rate limit.")
        .code("rate_limit_exceeded")
        .openai_kind("requests");
    let (refusal, reset) = match hint {
        RetryHint::None => return refusal,
        RetryHint::RetryAfter(seconds) => {
            (refusal.header("retry-after", seconds), Duration::from_secs(seconds))
        }
        RetryHint::RetryAfterMs(millis) => {
            (refusal.header("retry-after-ms", millis), Duration::from_millis(millis))
        }
        RetryHint::ResetOnly(seconds) => (refusal, Duration::from_secs(seconds)),
    };
    Refusal { reset_in: Some(reset), ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_maker_has_its_own_envelope() {
        let refusal = Refusal::of_fault(&Fault::Overloaded, Maker::Anthropic, "m").unwrap();
        let body = refusal.body(Maker::Anthropic, "req_1");
        assert_eq!((refusal.status, &body["error"]["type"]), (529, &json!("overloaded_error")));
        let refusal = Refusal::of_fault(&Fault::InsufficientQuota, Maker::OpenAi, "m").unwrap();
        let body = refusal.body(Maker::OpenAi, "req_1");
        assert_eq!((refusal.status, &body["error"]["code"]), (429, &json!("insufficient_quota")));
    }

    #[test]
    fn an_enforced_spend_limit_names_its_code_and_no_time() {
        let refusal = Refusal::of_fault(&Fault::SpendLimitEnforced, Maker::Anthropic, "m").unwrap();
        assert!(refusal.headers.is_empty());
        let body = refusal.body(Maker::Anthropic, "req_1");
        assert_eq!(body["error"]["details"]["error_code"], "enforced_spend_limit_reached");
    }

    #[test]
    fn a_wait_is_announced_in_whole_real_seconds_rounded_up() {
        let wait = Refused::Wait { what: "requests", span: Duration::from_millis(2_100) };
        let refusal = Refusal::limited(wait, "org", |span| span);
        assert_eq!(refusal.headers, [("retry-after", "3".to_owned())]);
    }

    #[test]
    fn compressed_seconds_are_announced_in_milliseconds_beside_whole_ones() {
        let wait = Refused::Wait { what: "requests", span: Duration::from_millis(2_100) };
        let refusal = Refusal::limited(wait, "org", |span| span / 10);
        let said = [("retry-after", "1".to_owned()), ("retry-after-ms", "300".to_owned())];
        assert_eq!(refusal.headers, said);
    }
}
