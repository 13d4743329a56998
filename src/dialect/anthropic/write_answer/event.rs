//! Events of a stream, in the very form in which Anthropic writes them.

use crate::dialect::neutral::{Json, Writer};

/// Writes one event.
pub(super) struct Event;

impl Event {
    /// `event: KIND`, and its data: `type` and what `inside` adds.
    pub(super) fn write(out: &mut Vec<u8>, kind: &str, inside: impl FnOnce(&mut Writer<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        Writer::new(out).object(|w| {
            w.key("type").text(kind);
            inside(w);
        });
        out.extend_from_slice(b"\n\n");
    }

    pub(super) fn start(out: &mut Vec<u8>, index: u32, block: impl FnOnce(&mut Writer<'_>)) {
        Self::write(out, "content_block_start", |w| {
            w.key("index").number(index.into());
            w.key("content_block").object(block);
        });
    }

    pub(super) fn stop(out: &mut Vec<u8>, index: u32) {
        Self::write(out, "content_block_stop", |w| w.key("index").number(index.into()));
    }

    pub(super) fn ping(out: &mut Vec<u8>) {
        Self::write(out, "ping", |_| {});
    }
}

/// What a delta adds to.
#[derive(Clone, Copy)]
pub(super) enum Delta {
    Text,
    Thinking,
    Signature,
    Arguments,
}

impl Delta {
    /// Writes the event, `raw` being escaped already: nine events in ten, so it is copied together.
    pub(super) fn write(self, out: &mut Vec<u8>, index: u32, raw: &str) {
        let (kind, member) = match self {
            Self::Text => ("text_delta", "text"),
            Self::Thinking => ("thinking_delta", "thinking"),
            Self::Signature => ("signature_delta", "signature"),
            Self::Arguments => ("input_json_delta", "partial_json"),
        };
        out.reserve(raw.len() + 160);
        out.extend_from_slice(
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
        );
        out.extend_from_slice(index.to_string().as_bytes());
        for piece in [",\"delta\":{\"type\":\"", kind, "\",\"", member, "\":\"", raw, "\"}}\n\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

/// A value without the line feeds that may stand between its members: in a stream they would end a line.
pub(super) fn on_one_line<'a>(value: &'a Json<'_>) -> Json<'a> {
    let text = value.as_str();
    if text.contains(['\n', '\r']) {
        // In a string they would be no JSON, and the value was checked.
        return Json::from_text(text.replace(['\n', '\r'], " "));
    }
    Json::written(text)
}
