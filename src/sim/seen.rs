//! What the provider saw: the other side of every claim a gateway makes.

use http::{HeaderMap, Method};

use crate::{
    clock::Moment,
    types::{NanoUsd, Usage},
};

/// One request, from its head to the end of its answer.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// Counts from 1 over the life of the provider.
    pub number: u64,
    /// What its answer calls itself in `request-id` or `x-request-id`.
    pub request_id: String,
    /// The key it presented; empty when it presented none.
    pub key: String,
    /// Whose key that is; empty when nobody's.
    pub organization: String,
    /// The workspace of that key; empty when nobody's.
    pub workspace: String,
    /// Its method.
    pub method: Method,
    /// Its path, without query.
    pub path: String,
    /// Its query, without `?`.
    pub query: String,
    /// Its headers; credentials are marked sensitive, so that `Debug` does not show them.
    pub headers: HeaderMap,
    /// SHA-256 of its body as it came, in hex; empty until the body was read whole.
    pub body_sha256: String,
    /// Bytes of its body that were read.
    pub body_len: usize,
    /// The model it named; empty when it named none.
    pub model: String,
    /// Whether it asked for a stream.
    pub stream: bool,
    /// The status it was answered with; 0 while there is none.
    pub status: u16,
    /// What it was billed for, in tokens; final once `done`.
    pub usage: Usage,
    /// What it was billed; final once `done`.
    pub cost: NanoUsd,
    /// When its head arrived (real time).
    pub at: Moment,
    /// Events (or one body) handed to the connection.
    pub events_sent: u64,
    /// The client went away before the answer was complete.
    pub cancelled: bool,
    /// Nothing more will happen to it.
    pub done: bool,
    /// The fault that struck it, by its name in `Debug` output.
    pub fault: Option<String>,
}

impl SeenRequest {
    /// The text of a header, or "".
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}
