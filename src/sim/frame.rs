//! Server-sent events, ready to go out.

use bytes::Bytes;
use serde_json::Value;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// Output tokens produced up to and with this event.
    pub(super) output: u64,
}

/// `event: ..` and `data: ..`, as Anthropic and the Responses API send it.
pub(super) fn named(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// `data: ..` alone, as Chat Completions sends it.
pub(super) fn bare(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}
