//! Seals on their way to the next tool call's id.

use crate::dialect::{
    neutral::{Carrier, Escaped, with_carrier},
    openai_chat::seals::Load,
};

/// Thinking that is kept for its seal, in bytes over all of a turn: what is longer goes without, for no
/// client would hand an id of megabytes back. 64k tokens of thinking are a quarter of it.
const MOST: usize = 1 << 20;

/// Seals that wait for a call.
#[derive(Default)]
pub(super) struct Sealed {
    /// Thinking that no seal has come for yet, escaped.
    text: String,
    waiting: Vec<Carrier>,
    /// Bytes that wait.
    size: usize,
    /// It was too much: what is left is not whole, and no seal fits it.
    overflown: bool,
}

impl Sealed {
    /// More thinking.
    pub(super) fn think(&mut self, text: &Escaped<'_>) {
        if self.fits(text.raw().len()) {
            self.text.push_str(text.raw());
        }
    }

    /// The thinking so far is sealed.
    pub(super) fn seal(&mut self, carrier: &Carrier) {
        if self.fits(carrier.seal.data.len() + carrier.seal.text.len()) {
            let mut carrier = carrier.clone();
            if carrier.seal.text.is_empty() {
                carrier.seal.text = Escaped::plain(&self.text).decode().into_owned();
            }
            self.waiting.push(carrier);
        }
        self.text.clear();
    }

    /// A block of thinking is over: what comes next belongs to another.
    pub(super) fn close(&mut self) {
        self.text.clear();
    }

    fn fits(&mut self, more: usize) -> bool {
        self.size = self.size.saturating_add(more);
        if self.size > MOST {
            self.overflown = true;
            self.text = String::new();
            self.waiting = Vec::new();
        }
        !self.overflown
    }

    /// The id that the client is given, with all that waits behind it.
    pub(super) fn call_id<'a>(&mut self, id: &Escaped<'a>, own: Option<&Carrier>) -> Escaped<'a> {
        self.size = 0;
        let thinking = std::mem::take(&mut self.waiting);
        match (Load { own: own.cloned(), thinking }).pack() {
            Some(carrier) => with_carrier(id, &carrier),
            None => id.clone(),
        }
    }
}
