//! An answer put together: what a client gets that did not ask for a stream.

use super::{BlockKind, Carrier, Escaped, Event, Json, StopReason};
use crate::{dialect::signal::UpstreamFault, types::ReportedUsage};

/// A whole answer.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Answer {
    pub id: Option<Escaped<'static>>,
    pub model: Option<Escaped<'static>>,
    pub blocks: Vec<AnswerBlock>,
    pub usage: ReportedUsage,
    pub tier: Option<Escaped<'static>>,
    pub stop: Option<StopReason>,
    pub sequence: Option<Escaped<'static>>,
    pub error: Option<UpstreamFault>,
    /// Its end has come.
    pub complete: bool,
}

/// One block of it.
#[derive(Debug)]
pub(in crate::dialect) struct AnswerBlock {
    number: u32,
    pub kind: BlockKind<'static>,
    /// What was said in it, escaped: text, or the JSON text of arguments as a string's contents.
    text: String,
    pub seal: Option<Carrier>,
    pub citations: Vec<Json<'static>>,
}

impl AnswerBlock {
    /// What was said in it.
    pub(in crate::dialect) fn text(&self) -> Escaped<'_> {
        Escaped::plain(&self.text)
    }

    /// A tool call's arguments as a JSON object; `{}` where none came, `None` where they are none.
    pub(in crate::dialect) fn arguments(&self) -> Option<Json<'static>> {
        if self.text.trim().is_empty() {
            return Some(Json::written("{}"));
        }
        self.text().spelled().filter(Json::is_object)
    }
}

/// Puts an answer together from its events.
#[derive(Debug, Default)]
pub(in crate::dialect) struct Collector {
    answer: Answer,
}

impl Collector {
    /// Takes in the next event.
    pub(in crate::dialect) fn event(&mut self, event: Event<'_>) {
        let answer = &mut self.answer;
        match event {
            Event::Start { id, model } => {
                answer.id = id.map(Escaped::into_owned);
                answer.model = model.map(Escaped::into_owned);
            }
            Event::Open { block, kind } => answer.blocks.push(AnswerBlock {
                number: block,
                kind: kind.into_owned(),
                text: String::new(),
                seal: None,
                citations: Vec::new(),
            }),
            Event::Delta { block, text } => {
                if let Some(block) = self.block(block) {
                    block.text.push_str(text.raw());
                }
            }
            Event::Sealed { block, carrier } => {
                if let Some(block) = self.block(block) {
                    block.seal = Some(carrier);
                }
            }
            Event::Citation { block, citation } => {
                if let Some(block) = self.block(block) {
                    block.citations.push(citation.into_owned());
                }
            }
            Event::Close { .. } | Event::Ping => {}
            Event::Usage(usage) => answer.usage.overwrite(&usage),
            Event::Tier(tier) => answer.tier = Some(tier.into_owned()),
            Event::Stop(stop) => {
                answer.stop = Some(stop.reason);
                answer.sequence = stop.sequence.map(Escaped::into_owned);
            }
            Event::End => answer.complete = true,
            Event::Error(fault) => answer.error = Some(fault),
        }
    }

    fn block(&mut self, number: u32) -> Option<&mut AnswerBlock> {
        self.answer.blocks.iter_mut().rev().find(|block| block.number == number)
    }

    /// What it came to.
    pub(in crate::dialect) fn finish(self) -> Answer {
        self.answer
    }
}

impl BlockKind<'_> {
    /// Keeps it for longer than the text it stands in.
    pub(in crate::dialect) fn into_owned(self) -> BlockKind<'static> {
        match self {
            Self::Text => BlockKind::Text,
            Self::Thinking => BlockKind::Thinking,
            Self::Refusal => BlockKind::Refusal,
            Self::ToolCall { id, name, carrier, custom } => {
                BlockKind::ToolCall { id: id.into_owned(), name: name.into_owned(), carrier, custom }
            }
        }
    }
}
