//! An answer of the dashboard, with the headers that every one of them carries.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::super::{Answer, JSON};

/// The page runs its own files and nothing else, talks to nobody else, and stands in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// On every answer.
pub(super) const SECURITY: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// An answer that is there as a whole.
pub(super) struct Reply {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(super) fn new(status: StatusCode, kind: &'static str, body: Bytes) -> Self {
        Self { status, kind, body, more: Vec::new() }
    }

    /// Status without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self::new(status, "", Bytes::new())
    }

    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(StatusCode::OK, JSON, body.into()),
            Err(_) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written"),
        }
    }

    /// `{"error": {"message": ...}}`
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        let body = serde_json::to_vec(&json!({"error": {"message": message}})).unwrap_or_default();
        Self::new(status, JSON, body.into())
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn other_method(allowed: &'static str) -> Self {
        let reply = Self::error(StatusCode::METHOD_NOT_ALLOWED, &format!("use {allowed} here"));
        reply.with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.push((name, value));
        self
    }

    /// The answer on the wire. Nothing is kept by a browser, unless the answer says so itself.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let length = response.body().len();
        let headers = response.headers_mut();
        for (name, value) in SECURITY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !self.kind.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        if !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        for (name, value) in self.more {
            headers.insert(name, value);
        }
        response
    }
}

impl From<Answer> for Reply {
    fn from((status, kind, body): Answer) -> Self {
        Self::new(status, kind, body.into())
    }
}

/// What is wrong with a query.
impl From<String> for Reply {
    fn from(message: String) -> Self {
        Self::bad(&message)
    }
}
