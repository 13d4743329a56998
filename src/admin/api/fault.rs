//! How the API says no: what, where, and what to do.

use http::StatusCode;
use serde_json::json;

use super::super::{Answer, JSON};
use crate::live::{KeyFault, Problem};

/// A refusal.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    /// One of a closed set, for programs.
    code: &'static str,
    problem: Problem,
}

impl Fault {
    fn new(
        status: StatusCode,
        code: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status, code, problem: Problem::new("", what, remedy) }
    }

    /// `{"error": {"code": ..., "what": ..., "where": ..., "remedy": ...}}`
    pub(super) fn answer(&self) -> Answer {
        let mut error = json!({"code": self.code, "what": self.problem.what, "remedy": self.problem.remedy});
        if !self.problem.at.is_empty() {
            error["where"] = json!(self.problem.at);
        }
        let body = serde_json::to_vec_pretty(&json!({"error": error})).unwrap_or_default();
        (self.status, JSON, body)
    }

    pub(super) fn bad(problem: Problem) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", problem }
    }

    pub(super) fn path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_path", "no such path", "GET /api/openapi.json lists them")
    }

    pub(super) fn missing() -> Self {
        let remedy = "list what is there: GET /api/keys, /api/organisations, /api/teams";
        Self::new(StatusCode::NOT_FOUND, "not_found", "nothing of this id or name is there", remedy)
    }

    pub(super) fn method(allowed: &str) -> Self {
        let remedy = format!("use {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method", remedy)
    }

    pub(super) fn unauthenticated() -> Self {
        let remedy = "send `server.admin_token` as `authorization: Bearer`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "the admin token is missing or wrong", remedy)
    }

    pub(super) fn from_a_page() -> Self {
        let remedy = "use `warmkey key`, or another program";
        Self::new(StatusCode::FORBIDDEN, "from_a_page", "web pages are not answered here", remedy)
    }

    pub(super) fn broken_body() -> Self {
        let remedy = "send a JSON object in UTF-8";
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "the body cannot be read", remedy)
    }

    pub(super) fn large_body(most: usize) -> Self {
        let remedy = format!("at most {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large", remedy)
    }

    pub(super) fn slow_body() -> Self {
        let remedy = "send it within ten seconds";
        Self::new(StatusCode::REQUEST_TIMEOUT, "upload_timeout", "the body did not arrive", remedy)
    }

    pub(super) fn internal() -> Self {
        let remedy = "this is a fault of the gateway: please report it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer cannot be written", remedy)
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::bad(problem)
    }
}

impl From<KeyFault> for Fault {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Bad(problem) => Self::bad(problem),
            KeyFault::Conflict(problem) => Self { status: StatusCode::CONFLICT, code: "conflict", problem },
            KeyFault::Missing => Self::missing(),
            KeyFault::Configured => Self::new(
                StatusCode::CONFLICT,
                "configured",
                "it stands in the configuration file",
                "change it there",
            ),
            KeyFault::NoStore => Self::new(
                StatusCode::CONFLICT,
                "no_store",
                "this gateway has no store of keys",
                "remove `enabled = false` from `[ledger]`, or add a `[[caller]]`",
            ),
            KeyFault::Store(fault) => {
                let remedy = "what was changed before is in force; ask again when the store is back";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", fault.to_string(), remedy)
            }
            KeyFault::NoChance => {
                let remedy = "see why the system gives no random numbers";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "no_randomness", "no key could be made", remedy)
            }
        }
    }
}
