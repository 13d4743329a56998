//! Writing an answer from the neutral form.

mod error;
mod event;
#[cfg(test)]
mod tests;
mod whole;

use event::{Delta, Event as Out};

use crate::{
    dialect::{
        neutral::{BlockKind, Escaped, Event, Json, StopReason, with_carrier},
        translate::Asked,
    },
    types::ReportedUsage,
};

pub(in crate::dialect) use whole::write_answer;

/// Blocks that may be open at a time, or wait for their first word; more are a hostile provider's, and
/// what they say is left out.
const MOST_OPEN: usize = 256;

/// Writes a streamed answer.
pub(in crate::dialect) struct AnswerWriter {
    asked: Asked,
    /// What `message_start` says, until it is written.
    head: Option<Head>,
    begun: bool,
    over: bool,
    usage: ReportedUsage,
    tier: Option<Escaped<'static>>,
    ending: Ending,
    /// The index of the next block.
    next: u32,
    open: Vec<Open>,
}

/// Who answers.
#[derive(Default)]
struct Head {
    id: Option<Escaped<'static>>,
    model: Option<Escaped<'static>>,
}

/// How an answer ended, as far as `stop_reason` tells.
#[derive(Default)]
struct Ending {
    reason: Option<StopReason>,
    sequence: Option<Escaped<'static>>,
    called: bool,
    declined: bool,
}

/// A block under way.
struct Open {
    /// Its number in the provider's order.
    number: u32,
    /// Its index in ours, once it has begun. One that is never filled never begins: clients hand back
    /// what they got, and empty text is refused.
    index: Option<u32>,
    kind: Filled,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    Text,
    Thinking,
    Arguments,
    /// Free text, spelled as the only member of an object.
    FreeText,
}

impl AnswerWriter {
    pub(in crate::dialect) fn new(asked: Asked) -> Self {
        Self {
            asked,
            head: None,
            begun: false,
            over: false,
            usage: ReportedUsage::default(),
            tier: None,
            ending: Ending::default(),
            next: 0,
            open: Vec::new(),
        }
    }

    /// Appends the client's events, whole ones only, that say what `event` says.
    pub(in crate::dialect) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model } => {
                let own = |text: &Option<Escaped<'_>>| text.clone().map(Escaped::into_owned);
                self.head = Some(Head { id: own(id), model: own(model) });
                return;
            }
            Event::Usage(usage) => return self.usage.overwrite(usage),
            Event::Tier(tier) => {
                self.tier = Some(tier.clone().into_owned());
                return;
            }
            Event::Ping => {
                self.settle(out);
                return Out::ping(out);
            }
            Event::Error(fault) => {
                self.over = true;
                return error::write(fault, out);
            }
            Event::Open { .. }
            | Event::Delta { .. }
            | Event::Sealed { .. }
            | Event::Citation { .. }
            | Event::Close { .. }
            | Event::Stop(_)
            | Event::End => self.begin(out),
        }
        match event {
            Event::Open { block, kind } => self.open(*block, kind, out),
            Event::Delta { block, text } => self.delta(*block, text, out),
            Event::Sealed { block, carrier } => self.sealed(*block, &carrier.pack(), out),
            Event::Citation { block, citation } => self.cite(*block, citation, out),
            Event::Close { block } => self.close(*block, out),
            Event::Stop(stop) => {
                self.ending.reason = Some(stop.reason);
                self.ending.sequence = stop.sequence.clone().map(Escaped::into_owned);
            }
            Event::End => self.end(out),
            Event::Start { .. } | Event::Usage(_) | Event::Tier(_) | Event::Ping | Event::Error(_) => {}
        }
    }

    /// One of the provider's events is over: nothing more is held back.
    pub(in crate::dialect) fn settle(&mut self, out: &mut Vec<u8>) {
        if self.head.is_some() {
            self.begin(out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        let head = self.head.take().unwrap_or_default();
        Out::write(out, "message_start", |w| {
            w.key("message").object(|w| {
                whole::head(w, head.id.as_ref(), head.model.as_ref(), &self.asked);
                w.key("content").array(|_| {});
                w.key("stop_reason").null();
                w.key("stop_sequence").null();
                w.key("stop_details").null();
                w.key("usage").object(|w| whole::usage(w, &self.usage, self.tier.as_ref()));
            });
        });
    }

    fn open(&mut self, number: u32, kind: &BlockKind<'_>, out: &mut Vec<u8>) {
        if self.open.len() == MOST_OPEN || self.at(number).is_some() {
            return;
        }
        let mut open = Open { number, index: None, kind: Filled::Text };
        match kind {
            BlockKind::Text => {}
            BlockKind::Refusal => self.ending.declined = true,
            BlockKind::Thinking => open.kind = Filled::Thinking,
            BlockKind::ToolCall { id, name, carrier, custom } => {
                self.ending.called = true;
                open.kind = if *custom { Filled::FreeText } else { Filled::Arguments };
                let id = carrier.as_ref().map_or_else(|| id.clone(), |carrier| with_carrier(id, carrier));
                let index = self.take_index();
                open.index = Some(index);
                Out::start(out, index, |w| {
                    w.key("type").text("tool_use");
                    w.key("id").escaped(&id);
                    w.key("name").escaped(name);
                    w.key("input").object(|_| {});
                });
                if *custom {
                    Delta::Arguments.write(out, index, r#"{\"input\":\""#);
                }
            }
        }
        self.open.push(open);
    }

    fn take_index(&mut self) -> u32 {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        index
    }

    fn at(&self, number: u32) -> Option<usize> {
        self.open.iter().rposition(|open| open.number == number)
    }

    /// The block's index and kind; it begins here if it has not.
    fn begun(&mut self, number: u32, out: &mut Vec<u8>) -> Option<(u32, Filled)> {
        let at = self.at(number)?;
        let open = self.open.get(at)?;
        let kind = open.kind;
        if let Some(index) = open.index {
            return Some((index, kind));
        }
        let index = self.take_index();
        Out::start(out, index, |w| match kind {
            Filled::Thinking => {
                w.key("type").text("thinking");
                w.key("thinking").text("");
                w.key("signature").text("");
            }
            Filled::Text | Filled::Arguments | Filled::FreeText => {
                w.key("type").text("text");
                w.key("text").text("");
            }
        });
        self.open.get_mut(at)?.index = Some(index);
        Some((index, kind))
    }

    fn delta(&mut self, number: u32, text: &Escaped<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let Some((index, kind)) = self.begun(number, out) else { return };
        match kind {
            Filled::Text => Delta::Text.write(out, index, text.raw()),
            Filled::Thinking => Delta::Thinking.write(out, index, text.raw()),
            Filled::Arguments => Delta::Arguments.write(out, index, text.raw()),
            // A string in the JSON text that a string holds.
            Filled::FreeText => Delta::Arguments.write(out, index, Escaped::of(text.raw()).raw()),
        }
    }

    fn sealed(&mut self, number: u32, packed: &Escaped<'_>, out: &mut Vec<u8>) {
        let Some(at) = self.at(number) else { return };
        match self.open.get(at).map(|open| (open.kind, open.index)) {
            Some((Filled::Thinking, Some(index))) => Delta::Signature.write(out, index, packed.raw()),
            Some((Filled::Thinking, None)) => {
                // Nothing of it may be read: it is redacted, in Anthropic's words.
                let index = self.take_index();
                Out::start(out, index, |w| whole::redacted(w, packed));
                if let Some(open) = self.open.get_mut(at) {
                    open.index = Some(index);
                }
            }
            // Only thinking has a place for it.
            Some((Filled::Text | Filled::Arguments | Filled::FreeText, _)) | None => {}
        }
    }

    fn cite(&mut self, number: u32, citation: &Json<'_>, out: &mut Vec<u8>) {
        let is_text =
            self.at(number).and_then(|at| self.open.get(at)).is_some_and(|open| open.kind == Filled::Text);
        if !is_text || !whole::is_citation(citation) {
            return;
        }
        let Some((index, _)) = self.begun(number, out) else { return };
        Out::write(out, "content_block_delta", |w| {
            w.key("index").number(index.into());
            w.key("delta").object(|w| {
                w.key("type").text("citations_delta");
                w.key("citation").json(&event::on_one_line(citation));
            });
        });
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(at) = self.at(number) else { return };
        let open = self.open.remove(at);
        let Some(index) = open.index else { return };
        if open.kind == Filled::FreeText {
            Delta::Arguments.write(out, index, r#"\"}"#);
        }
        Out::stop(out, index);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        while let Some(open) = self.open.first() {
            self.close(open.number, out);
        }
        Out::write(out, "message_delta", |w| {
            w.key("delta").object(|w| {
                w.key("stop_reason").text(self.ending.reason());
                whole::sequence(w, self.ending.sequence.as_ref());
                w.key("stop_details").null();
            });
            w.key("usage").object(|w| whole::figures(w, &self.usage));
        });
        Out::write(out, "message_stop", |_| {});
    }
}

impl Ending {
    /// As a `stop_reason` (anthropic 2.12.0, `types/stop_reason.py`). Some hosts say that the model is
    /// done where it calls a tool; a client would not run the tool then.
    fn reason(&self) -> &'static str {
        match self.reason.unwrap_or(StopReason::EndTurn) {
            StopReason::EndTurn | StopReason::Other | StopReason::ToolUse if self.called => "tool_use",
            StopReason::EndTurn | StopReason::Other if self.declined => "refusal",
            StopReason::EndTurn | StopReason::Other | StopReason::ToolUse => "end_turn",
            StopReason::MaxTokens => "max_tokens",
            StopReason::ContextWindow => "model_context_window_exceeded",
            StopReason::StopSequence => "stop_sequence",
            StopReason::Refusal => "refusal",
            StopReason::Pause => "pause_turn",
        }
    }
}
