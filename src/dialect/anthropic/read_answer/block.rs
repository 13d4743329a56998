//! The blocks of an answer.

use crate::dialect::{
    anthropic::{REDACTED, members},
    json::{Kind, Walker},
    neutral::{BlockKind, Carrier, Escaped, Event, Json, Maker, Malformed, Seal, Show},
    signal::DeltaKind,
};
use crate::types::ProviderDialect;

/// One block, as its members say: whole, or the start of a streamed one.
#[derive(Default)]
pub(super) struct Read<'a> {
    kind: Option<Escaped<'a>>,
    id: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    text: Option<Escaped<'a>>,
    thinking: Option<Escaped<'a>>,
    signature: Option<Escaped<'a>>,
    data: Option<Escaped<'a>>,
    input: Option<Json<'a>>,
    citations: Vec<Json<'a>>,
}

impl<'a> Read<'a> {
    pub(super) fn new(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        members(walker, |walker, key| {
            match key.raw {
                b"type" => read.kind = Escaped::read(walker)?,
                b"id" => read.id = Escaped::read(walker)?,
                b"name" => read.name = Escaped::read(walker)?,
                b"text" => read.text = Escaped::read(walker)?,
                b"thinking" => read.thinking = Escaped::read(walker)?,
                b"signature" => read.signature = Escaped::read(walker)?,
                b"data" => read.data = Escaped::read(walker)?,
                b"input" => read.input = Some(Json::read(walker)?).filter(Json::is_object),
                b"citations" if walker.kind()? == Kind::Array => walker.elements(|walker| {
                    read.citations.push(Json::read(walker)?);
                    Ok::<(), Malformed>(())
                })?,
                _ => walker.pass()?,
            }
            Ok(())
        })?;
        Ok(read)
    }

    /// Shows that it opens, and what it holds already. `None`: it is of a kind that the neutral form does
    /// not know, a server's tool or its result; those are asked for in Anthropic's own words alone.
    pub(super) fn open(self, wire: u64, block: u32, show: Show<'_>) -> Option<Open> {
        let mut open = Open { wire, block, filled: false, ..Open::of(DeltaKind::Text) };
        match self.kind.as_ref().map_or("", Escaped::raw) {
            "text" => {
                show(Event::Open { block, kind: BlockKind::Text });
                open.delta(self.text, show);
                for citation in self.citations {
                    show(Event::Citation { block, citation });
                }
            }
            "thinking" => {
                open.what = DeltaKind::Thinking;
                show(Event::Open { block, kind: BlockKind::Thinking });
                open.delta(self.thinking, show);
                open.sign(self.signature.as_ref());
            }
            REDACTED => {
                open.what = DeltaKind::Thinking;
                open.redacted = true;
                show(Event::Open { block, kind: BlockKind::Thinking });
                open.sign(self.data.as_ref());
            }
            "tool_use" => {
                open.what = DeltaKind::ToolArguments;
                open.input = self.input.filter(|input| !is_empty(input)).map(Json::into_owned);
                let (id, name) = (self.id.unwrap_or_default(), self.name.unwrap_or_default());
                let kind = BlockKind::ToolCall { id, name, carrier: None, custom: false };
                show(Event::Open { block, kind });
            }
            _ => return None,
        }
        Some(open)
    }
}

/// `{}`, which is what a streamed call's input starts as.
fn is_empty(input: &Json<'_>) -> bool {
    input.as_str().bytes().all(|byte| matches!(byte, b'{' | b'}') || byte.is_ascii_whitespace())
}

/// A block that is being filled.
pub(super) struct Open {
    /// Its index in the provider's words.
    pub wire: u64,
    /// Its number in ours.
    pub block: u32,
    pub what: DeltaKind,
    filled: bool,
    /// The signature, or what is redacted. Shown at the end: a later one counts.
    signature: String,
    redacted: bool,
    /// Arguments that came with the start: they count where no delta follows.
    input: Option<Json<'static>>,
}

impl Open {
    const fn of(what: DeltaKind) -> Self {
        Self {
            wire: 0,
            block: 0,
            what,
            filled: false,
            signature: String::new(),
            redacted: false,
            input: None,
        }
    }

    /// Opens a block that the provider began to fill without a start.
    pub(super) fn unannounced(wire: u64, block: u32, what: DeltaKind, show: Show<'_>) -> Option<Self> {
        let kind = match what {
            DeltaKind::Text => BlockKind::Text,
            DeltaKind::Thinking => BlockKind::Thinking,
            // Nobody knows which tool.
            DeltaKind::ToolArguments => return None,
        };
        show(Event::Open { block, kind });
        Some(Self { wire, block, ..Self::of(what) })
    }

    pub(super) fn delta(&mut self, text: Option<Escaped<'_>>, show: Show<'_>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.filled = true;
            show(Event::Delta { block: self.block, text });
        }
    }

    pub(super) fn sign(&mut self, signature: Option<&Escaped<'_>>) {
        if let Some(signature) = signature.filter(|signature| !signature.is_empty()) {
            self.signature = signature.decode().into_owned();
        }
    }

    pub(super) fn close(self, maker: Maker, show: Show<'_>) {
        let block = self.block;
        if let Some(input) = self.input.filter(|_| !self.filled) {
            show(Event::Delta { block, text: input.spelled() });
        }
        if self.what == DeltaKind::Thinking && !self.signature.is_empty() {
            let seal = Seal {
                dialect: ProviderDialect::Anthropic,
                id: if self.redacted { REDACTED.to_owned() } else { String::new() },
                text: String::new(),
                data: self.signature,
            };
            show(Event::Sealed { block, carrier: Carrier { maker, seal } });
        }
        show(Event::Close { block });
    }
}
