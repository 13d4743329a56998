//! Writing an answer from the neutral form.
//!
//! Each block becomes an item; blocks of text that follow each other become one. An item is declared
//! done only when the next thing is known: whether it is whole is told by the stop reason, and some
//! providers tell that last.

mod citation;
mod events;
mod item;
mod response;

use crate::dialect::{
    neutral::{Answer, BlockKind, Carrier, Escaped, Event, Json, StopReason, Writer},
    signal::UpstreamFault,
    translate::Asked,
};

use events::Events;
use item::{Item, Kind, Status};
use response::{Head, Outcome};

/// The last event repeats all that was said, so all of it has to be kept. No model says as much as
/// this: 128k tokens are half a megabyte, and escapes and tools' arguments do not make it tenfold.
const MOST_KEPT: usize = 16 << 20;
/// What an item costs beside what is said in it.
const ITEM: usize = 512;

/// Writes a streamed answer.
pub(in crate::dialect) struct AnswerWriter {
    head: Head,
    events: Events,
    items: Vec<Item>,
    /// Blocks that are being filled, and the items that they are.
    open: Vec<(u32, usize)>,
    /// Filled, but not declared done.
    resting: Option<usize>,
    kept: usize,
    stop: Option<StopReason>,
    started: bool,
    over: bool,
}

impl AnswerWriter {
    pub(in crate::dialect) fn new(asked: Asked) -> Self {
        Self {
            head: Head::new(&asked),
            events: Events::default(),
            items: Vec::new(),
            open: Vec::new(),
            resting: None,
            kept: 0,
            stop: None,
            started: false,
            over: false,
        }
    }

    /// Appends the client's events, whole ones only, that say what `event` says.
    pub(in crate::dialect) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { model, .. } => {
                if let Some(model) = model.as_ref().filter(|model| !model.is_empty()) {
                    self.head.model = model.clone().into_owned();
                }
                self.start(out);
            }
            Event::Open { block, kind } => {
                self.start(out);
                self.opened(*block, kind, out);
            }
            Event::Delta { block, text } => self.delta(*block, text, out),
            Event::Sealed { block, carrier } => self.sealed(*block, carrier),
            Event::Citation { block, citation } => self.cited(*block, citation, out),
            Event::Close { block } => self.close(*block, out),
            Event::Usage(usage) => self.head.usage.overwrite(usage),
            Event::Tier(tier) => self.head.tier = Some(tier.clone().into_owned()),
            Event::Stop(stop) => {
                self.stop = Some(stop.reason);
                self.rest_done(out);
            }
            Event::End => self.end(out),
            // A comment: every reader of server-sent events passes it.
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::Error(fault) => self.fail(fault, out),
        }
        if self.kept > MOST_KEPT && !self.over {
            let fault = UpstreamFault {
                kind: "server_error".to_owned(),
                message: "the answer is longer than the gateway can repeat at its end".to_owned(),
                ..UpstreamFault::default()
            };
            self.fail(&fault, out);
        }
    }

    /// The last `sequence_number` written.
    pub(in crate::dialect) const fn last_sequence(&self) -> Option<u64> {
        self.events.last()
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        for kind in ["response.created", "response.in_progress"] {
            let head = &self.head;
            self.events.write(kind, out, |w| {
                w.key("response");
                head.write(Outcome::InProgress, &[], w);
            });
        }
    }

    fn opened(&mut self, block: u32, kind: &BlockKind<'_>, out: &mut Vec<u8>) {
        let is_text = |at: &usize| self.items.get(*at).is_some_and(|item| matches!(item.kind, Kind::Text));
        if matches!(kind, BlockKind::Text)
            && let Some(at) = self.resting.filter(is_text)
        {
            self.resting = None;
            self.open.push((block, at));
            return;
        }
        self.rest_done(out);
        let at = self.items.len();
        let item = Item::new(kind, at, &self.head);
        self.events.added(&item, at, out);
        self.kept += ITEM + item.size();
        self.items.push(item);
        self.open.push((block, at));
    }

    fn at(&self, block: u32) -> Option<usize> {
        self.open.iter().rev().find(|(number, _)| *number == block).map(|(_, at)| *at)
    }

    fn delta(&mut self, block: u32, text: &Escaped<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.at(block).is_none() {
            // What nobody has opened is text: it must not be lost.
            self.start(out);
            self.opened(block, &BlockKind::Text, out);
        }
        let Some(at) = self.at(block) else { return };
        let Some(item) = self.items.get_mut(at) else { return };
        self.kept += text.raw().len();
        if self.kept > MOST_KEPT {
            return;
        }
        self.events.delta(item, at, text, out);
        item.push(text);
    }

    fn sealed(&mut self, block: u32, carrier: &Carrier) {
        let Some(item) = self.at(block).and_then(|at| self.items.get_mut(at)) else { return };
        if matches!(item.kind, Kind::Thinking) {
            let packed = carrier.pack();
            self.kept += packed.raw().len();
            item.seal = Some(packed);
        }
    }

    fn cited(&mut self, block: u32, citation: &Json<'_>, out: &mut Vec<u8>) {
        let Some(at) = self.at(block) else { return };
        let Some(item) = self.items.get_mut(at).filter(|item| matches!(item.kind, Kind::Text)) else {
            return;
        };
        let Some(annotation) = citation::annotation(citation, item.chars) else { return };
        self.kept += annotation.as_str().len();
        self.events.annotation(item, at, &annotation, out);
        item.annotations.push(annotation);
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().rposition(|(number, _)| *number == block) else { return };
        let (_, at) = self.open.remove(place);
        self.rest_done(out);
        self.resting = Some(at);
        if self.stop.is_some() {
            self.rest_done(out);
        }
    }

    /// Declares done what only waited to be.
    fn rest_done(&mut self, out: &mut Vec<u8>) {
        if let Some(at) = self.resting.take() {
            self.done(at, out);
        }
    }

    fn done(&mut self, at: usize, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(at) else { return };
        item.status = Status::at(self.stop);
        if item.settle() && !item.text.is_empty() {
            self.events.said(item, at, &item.text(), out);
        }
        self.events.done(item, at, out);
    }

    fn all_done(&mut self, out: &mut Vec<u8>) {
        self.rest_done(out);
        for (_, at) in std::mem::take(&mut self.open) {
            self.done(at, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start(out);
        self.all_done(out);
        self.over = true;
        let outcome = Outcome::of(self.stop, &self.items);
        let (head, items) = (&self.head, &self.items);
        self.events.write(outcome.event(), out, |w| {
            w.key("response");
            head.write(outcome, items, w);
        });
    }

    fn fail(&mut self, fault: &UpstreamFault, out: &mut Vec<u8>) {
        self.start(out);
        self.over = true;
        for item in &mut self.items {
            item.break_off();
        }
        let (head, items) = (&self.head, &self.items);
        self.events.write("response.failed", out, |w| {
            w.key("response");
            head.write(Outcome::Failed(fault), items, w);
        });
    }
}

/// Writes a whole answer.
pub(in crate::dialect) fn write_answer(answer: &Answer, asked: &Asked) -> Vec<u8> {
    let mut head = Head::new(asked);
    if let Some(model) = answer.model.as_ref().filter(|model| !model.is_empty()) {
        head.model = model.clone();
    }
    head.tier.clone_from(&answer.tier);
    head.usage = answer.usage;
    let items = item::of(answer, &head);
    let outcome = Outcome::of(answer.stop, &items);
    let mut out = Vec::with_capacity(4_096 + items.iter().map(|item| ITEM + item.size()).sum::<usize>());
    head.write(outcome, &items, &mut Writer::new(&mut out));
    out
}

#[cfg(test)]
mod tests;
