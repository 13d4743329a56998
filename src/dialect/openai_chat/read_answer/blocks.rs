//! Blocks, of which Chat has none: they begin where something else is said than before.

use super::{
    chunk::{Call, Output, Piece},
    depth::Depth,
};
use crate::{
    dialect::{
        neutral::{BlockKind, Carrier, Escaped, Event, Maker, Seal, Show, fit},
        openai_chat::thinking,
    },
    types::ProviderDialect,
};

/// More calls in one answer than any model makes; each is remembered until the end.
const MOST_CALLS: usize = 1_024;
/// Ids longer than this are nobody's.
const LONGEST_ID: usize = 512;

/// The answer's blocks.
pub(super) struct Blocks {
    maker: Maker,
    next: u32,
    prose: Option<(u32, Prose)>,
    /// The text that citations belong to.
    text: Option<u32>,
    calls: Vec<Open>,
    pub has_calls: bool,
    pub has_refusal: bool,
}

/// What is said in words. Thinking with what the host calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prose {
    Text,
    Thinking(&'static str),
    Refusal,
}

/// A tool call.
struct Open {
    index: u64,
    /// The host's; `None` where it has given none.
    id: Option<Escaped<'static>>,
    block: u32,
    arguments: Depth,
    closed: bool,
}

/// Why the answer cannot be read on.
pub(super) type Broken = &'static str;

impl Blocks {
    pub(super) const fn new(maker: Maker) -> Self {
        Self {
            maker,
            next: 0,
            prose: None,
            text: None,
            calls: Vec::new(),
            has_calls: false,
            has_refusal: false,
        }
    }

    /// Shows what a chunk adds.
    pub(super) fn take(&mut self, output: Output<'_>, answer: &str, show: Show<'_>) -> Result<(), Broken> {
        // Hosts that know both names say the same under both.
        let reasoning = output.reasoning_content.map(|text| (thinking::REASONING_CONTENT, text));
        let reasoning = reasoning.or(output.reasoning.map(|text| (thinking::REASONING, text)));
        if let Some((name, text)) = reasoning {
            self.say(Prose::Thinking(name), text, show);
        }
        if let Some(text) = output.content {
            self.say(Prose::Text, text, show);
        }
        for piece in output.parts {
            match piece {
                Piece::Text(text) => self.say(Prose::Text, text, show),
                Piece::Thinking(text) => self.say(Prose::Thinking(thinking::PARTS), text, show),
            }
        }
        if let Some(text) = output.refusal {
            self.has_refusal = true;
            self.say(Prose::Refusal, text, show);
        }
        if let Some(block) = self.text.filter(|_| self.prose.is_some()) {
            for citation in output.annotations {
                show(Event::Citation { block, citation });
            }
        }
        for call in output.calls {
            self.call(call, answer, show)?;
        }
        Ok(())
    }

    fn open(&mut self, kind: BlockKind<'_>, show: Show<'_>) -> u32 {
        let block = self.next;
        self.next = self.next.saturating_add(1);
        show(Event::Open { block, kind });
        block
    }

    fn say(&mut self, what: Prose, text: Escaped<'_>, show: Show<'_>) {
        let block = match self.prose {
            Some((block, open)) if open == what => block,
            Some(_) | None => {
                self.close_prose(show);
                self.close_calls(show, false);
                let kind = match what {
                    Prose::Text => BlockKind::Text,
                    Prose::Thinking(_) => BlockKind::Thinking,
                    Prose::Refusal => BlockKind::Refusal,
                };
                let block = self.open(kind, show);
                self.prose = Some((block, what));
                self.text = (what == Prose::Text).then_some(block);
                block
            }
        };
        show(Event::Delta { block, text });
    }

    fn close_prose(&mut self, show: Show<'_>) {
        let Some((block, what)) = self.prose.take() else { return };
        if let Prose::Thinking(name) = what {
            let seal = Seal {
                dialect: ProviderDialect::OpenAiChat,
                id: String::new(),
                text: String::new(),
                data: name.to_owned(),
            };
            show(Event::Sealed { block, carrier: Carrier { maker: self.maker, seal } });
        }
        show(Event::Close { block });
    }

    /// Closes the calls whose arguments are complete, or all.
    fn close_calls(&mut self, show: Show<'_>, all: bool) {
        for call in &mut self.calls {
            if !call.closed && (all || call.arguments.is_complete()) {
                call.closed = true;
                show(Event::Close { block: call.block });
            }
        }
    }

    pub(super) fn close_all(&mut self, show: Show<'_>) {
        self.close_prose(show);
        self.close_calls(show, true);
    }

    fn call(&mut self, call: Call<'_>, answer: &str, show: Show<'_>) -> Result<(), Broken> {
        let found = match (call.index, &call.id) {
            (Some(index), _) => self.calls.iter().rposition(|open| open.index == index),
            (None, Some(id)) => self.calls.iter().rposition(|open| open.id.as_ref() == Some(id)),
            (None, None) => self.calls.len().checked_sub(1),
        };
        let found = found.filter(|at| self.calls.get(*at).is_some_and(|open| !is_another(open, &call)));
        let at = match found {
            Some(at) => at,
            None => self.begin(&call, answer, show)?,
        };
        let Some(open) = self.calls.get_mut(at) else { return Ok(()) };
        let Some(text) = call.arguments.filter(|_| !open.closed) else { return Ok(()) };
        if !call.custom {
            open.arguments.read(&text.decode());
        }
        show(Event::Delta { block: open.block, text });
        Ok(())
    }

    fn begin(&mut self, call: &Call<'_>, answer: &str, show: Show<'_>) -> Result<usize, Broken> {
        let Some(name) = call.name.clone() else {
            return Err("it goes on with a tool call that it never began");
        };
        if self.calls.len() >= MOST_CALLS {
            return Err("it holds too many tool calls");
        }
        self.close_prose(show);
        self.close_calls(show, false);
        let number = self.calls.len();
        let own = call.id.clone().filter(|id| id.raw().len() <= LONGEST_ID);
        let made = || fit(&Escaped::plain(&format!("call_{number}_{answer}")), 40, true).into_owned();
        let id = own.clone().map_or_else(made, Escaped::into_owned);
        let carrier = call.extra.as_ref().map(|extra| {
            let data = extra.as_str().to_owned();
            let seal =
                Seal { dialect: ProviderDialect::OpenAiChat, id: String::new(), text: String::new(), data };
            Carrier { maker: self.maker, seal }
        });
        let block = self.open(BlockKind::ToolCall { id, name, carrier, custom: call.custom }, show);
        self.has_calls = true;
        let index = call.index.unwrap_or(u64::try_from(number).unwrap_or(u64::MAX));
        let id = own.map(Escaped::into_owned);
        self.calls.push(Open { index, id, block, arguments: Depth::default(), closed: false });
        Ok(number)
    }
}

/// It is not more of this call, but the next: hosts that number all of them 0, or none.
fn is_another(open: &Open, call: &Call<'_>) -> bool {
    match (&call.id, &call.name) {
        (_, None) => false,
        (Some(id), Some(_)) => open.id.as_ref() != Some(id),
        (None, Some(_)) => call.index.is_none() && open.arguments.is_complete(),
    }
}
