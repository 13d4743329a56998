//! The events of a stream. Every member that the official types ask for is there.

use super::item::{Form, Item, Kind};
use crate::dialect::neutral::{Escaped, Json, Writer};

/// Numbers events and writes them.
#[derive(Default)]
pub(super) struct Events {
    next: u64,
}

/// An event's name without `response.`, and the name of its text, as the item has them.
struct Names {
    delta: &'static str,
    done: &'static str,
    whole: &'static str,
}

const fn names(kind: &Kind) -> Names {
    let (delta, done, whole) = match kind {
        Kind::Text => ("response.output_text.delta", "response.output_text.done", "text"),
        Kind::Refusal => ("response.refusal.delta", "response.refusal.done", "refusal"),
        Kind::Thinking => {
            ("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "text")
        }
        Kind::Call { form: Form::Json, .. } => {
            ("response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments")
        }
        Kind::Call { form: Form::Free | Form::Wrapped, .. } => {
            ("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input")
        }
    };
    Names { delta, done, whole }
}

impl Events {
    /// The last number given.
    pub(super) const fn last(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Writes one event.
    pub(super) fn write(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Writer<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        Writer::new(out).object(|w| {
            w.key("type").escaped(&Escaped::plain(kind));
            w.key("sequence_number").number(self.next);
            members(w);
        });
        out.extend_from_slice(b"\n\n");
        self.next += 1;
    }

    /// Writes one that belongs to a piece of an item.
    fn of_item(
        &mut self,
        kind: &str,
        item: &Item,
        at: usize,
        out: &mut Vec<u8>,
        members: impl FnOnce(&mut Writer<'_>),
    ) {
        self.write(kind, out, |w| {
            w.key("item_id").escaped(&Escaped::plain(&item.id));
            w.key("output_index").number(at as u64);
            match item.kind {
                Kind::Text | Kind::Refusal => w.key("content_index").number(0),
                Kind::Thinking => w.key("summary_index").number(0),
                Kind::Call { .. } => {}
            }
            members(w);
        });
    }

    /// An item begins.
    pub(super) fn added(&mut self, item: &Item, at: usize, out: &mut Vec<u8>) {
        self.write("response.output_item.added", out, |w| {
            w.key("output_index").number(at as u64);
            w.key("item");
            item.write(w);
        });
        if matches!(item.kind, Kind::Text | Kind::Refusal) {
            self.of_item("response.content_part.added", item, at, out, |w| {
                w.key("part");
                item.part(w);
            });
        }
    }

    /// More of an item; `text` is not yet in it.
    pub(super) fn delta(&mut self, item: &Item, at: usize, text: &Escaped<'_>, out: &mut Vec<u8>) {
        match &item.kind {
            Kind::Thinking if item.text.is_empty() => {
                self.of_item("response.reasoning_summary_part.added", item, at, out, |w| {
                    w.key("part");
                    item.summary(w);
                });
            }
            // Shown when it is complete.
            Kind::Call { form: Form::Wrapped, .. } => return,
            Kind::Call { form: Form::Json | Form::Free, .. }
            | Kind::Text
            | Kind::Refusal
            | Kind::Thinking => {}
        }
        self.said(item, at, text, out);
    }

    /// This much of an item is said.
    pub(super) fn said(&mut self, item: &Item, at: usize, text: &Escaped<'_>, out: &mut Vec<u8>) {
        self.of_item(names(&item.kind).delta, item, at, out, |w| {
            w.key("delta").escaped(text);
            if matches!(item.kind, Kind::Text) {
                w.key("logprobs").array(|_| {});
            }
        });
    }

    /// A source of what was said last.
    pub(super) fn annotation(&mut self, item: &Item, at: usize, annotation: &Json<'_>, out: &mut Vec<u8>) {
        self.of_item("response.output_text.annotation.added", item, at, out, |w| {
            w.key("annotation_index").number(item.annotations.len() as u64);
            w.key("annotation").json(annotation);
        });
    }

    /// An item is done.
    pub(super) fn done(&mut self, item: &Item, at: usize, out: &mut Vec<u8>) {
        let is_silent = matches!(item.kind, Kind::Thinking) && item.text.is_empty();
        if !is_silent {
            let Names { done, whole, .. } = names(&item.kind);
            self.of_item(done, item, at, out, |w| {
                w.key(whole).escaped(&item.text());
                if matches!(item.kind, Kind::Text) {
                    w.key("logprobs").array(|_| {});
                }
            });
        }
        match item.kind {
            Kind::Text | Kind::Refusal => self.of_item("response.content_part.done", item, at, out, |w| {
                w.key("part");
                item.part(w);
            }),
            Kind::Thinking if !is_silent => {
                self.of_item("response.reasoning_summary_part.done", item, at, out, |w| {
                    w.key("part");
                    item.summary(w);
                });
            }
            Kind::Thinking | Kind::Call { .. } => {}
        }
        self.write("response.output_item.done", out, |w| {
            w.key("output_index").number(at as u64);
            w.key("item");
            item.write(w);
        });
    }
}
