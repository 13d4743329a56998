//! The blocks of an answer: which are open, and what seals them.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    dialect::neutral::{BlockKind, Carrier, Escaped, Event, Json, Maker, Seal, Show},
    types::ProviderDialect,
};

/// Blocks open at a time. Models write one after the other; more are a hostile provider's.
const MOST_OPEN: usize = 256;
/// Bytes of a signature, or of what is encrypted: Claude's are some kilobytes, and a carrier of twice
/// the size would not come back.
const MOST_SEAL: usize = 1 << 20;
/// The `id` of a seal whose data is a `redactedContent`, and no signature.
pub(in crate::dialect::bedrock) const REDACTED: &str = "redacted_thinking";

/// What is wrong with an answer.
pub(super) type Wrong = &'static str;

/// What fills a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    Text,
    Thinking,
    Arguments,
}

struct Block {
    /// Theirs.
    index: u64,
    /// Ours.
    number: u32,
    filling: Filling,
    signature: String,
    redacted: Vec<u8>,
}

/// The blocks that are open.
pub(super) struct Blocks {
    maker: Maker,
    open: Vec<Block>,
    next: u32,
}

impl Blocks {
    pub(super) const fn new(maker: Maker) -> Self {
        Self { maker, open: Vec::new(), next: 0 }
    }

    /// A tool call begins.
    pub(super) fn call(
        &mut self,
        index: u64,
        id: Escaped<'_>,
        name: Escaped<'_>,
        show: Show<'_>,
    ) -> Result<(), Wrong> {
        self.close(index, show);
        let kind = BlockKind::ToolCall { id, name, carrier: None, custom: false };
        self.open(index, Filling::Arguments, kind, show)?;
        Ok(())
    }

    /// More of a block. Text and thinking begin without a word, and the one may follow the other.
    pub(super) fn fill(
        &mut self,
        index: u64,
        filling: Filling,
        text: Escaped<'_>,
        show: Show<'_>,
    ) -> Result<(), Wrong> {
        let block = self.block(index, filling, show)?.number;
        if !text.is_empty() {
            show(Event::Delta { block, text });
        }
        Ok(())
    }

    /// A source of a text block.
    pub(super) fn cite(&mut self, index: u64, citation: Json<'_>, show: Show<'_>) -> Result<(), Wrong> {
        let block = self.block(index, Filling::Text, show)?.number;
        show(Event::Citation { block, citation });
        Ok(())
    }

    /// A signature, or the next piece of it.
    pub(super) fn sign(&mut self, index: u64, signature: &Escaped<'_>, show: Show<'_>) -> Result<(), Wrong> {
        let block = self.block(index, Filling::Thinking, show)?;
        block.signature.push_str(&signature.decode());
        if block.signature.len() > MOST_SEAL { Err("a signature is too long") } else { Ok(()) }
    }

    /// Thinking that nobody may read, or the next piece of it.
    pub(super) fn redact(&mut self, index: u64, data: &Escaped<'_>, show: Show<'_>) -> Result<(), Wrong> {
        let block = self.block(index, Filling::Thinking, show)?;
        let read = STANDARD.decode_vec(data.decode().as_bytes(), &mut block.redacted);
        if read.is_err() {
            return Err("redacted thinking is no base64");
        }
        if block.redacted.len() > MOST_SEAL { Err("redacted thinking is too long") } else { Ok(()) }
    }

    /// A block is over. Where none was opened there is nothing to close: an empty text.
    pub(super) fn close(&mut self, index: u64, show: Show<'_>) {
        if let Some(at) = self.open.iter().position(|block| block.index == index) {
            let block = self.open.remove(at);
            self.seal(block, show);
        }
    }

    /// The answer is over.
    pub(super) fn close_all(&mut self, show: Show<'_>) {
        for block in std::mem::take(&mut self.open) {
            self.seal(block, show);
        }
    }

    fn seal(&self, block: Block, show: Show<'_>) {
        let Block { number, signature, redacted, .. } = block;
        let (id, data) = if redacted.is_empty() {
            (String::new(), signature)
        } else {
            (REDACTED.to_owned(), STANDARD.encode(redacted))
        };
        if !data.is_empty() {
            let seal = Seal { dialect: ProviderDialect::Bedrock, id, text: String::new(), data };
            show(Event::Sealed { block: number, carrier: Carrier { maker: self.maker, seal } });
        }
        show(Event::Close { block: number });
    }

    /// The open block of this index, if it takes this; else a new one.
    fn block(&mut self, index: u64, filling: Filling, show: Show<'_>) -> Result<&mut Block, Wrong> {
        let at = self.open.iter().position(|block| block.index == index);
        let at = match at.filter(|at| self.open.get(*at).is_some_and(|block| block.filling == filling)) {
            Some(at) => at,
            None => {
                self.close(index, show);
                let kind = match filling {
                    Filling::Text => BlockKind::Text,
                    Filling::Thinking => BlockKind::Thinking,
                    Filling::Arguments => return Err("arguments come for no tool"),
                };
                self.open(index, filling, kind, show)?
            }
        };
        self.open.get_mut(at).ok_or("a block is missing")
    }

    /// Gives where it stands.
    fn open(
        &mut self,
        index: u64,
        filling: Filling,
        kind: BlockKind<'_>,
        show: Show<'_>,
    ) -> Result<usize, Wrong> {
        if self.open.len() >= MOST_OPEN {
            return Err("too many blocks are open");
        }
        let number = self.next;
        self.next = self.next.checked_add(1).ok_or("there are too many blocks")?;
        self.open.push(Block { index, number, filling, signature: String::new(), redacted: Vec::new() });
        show(Event::Open { block: number, kind });
        Ok(self.open.len() - 1)
    }
}
