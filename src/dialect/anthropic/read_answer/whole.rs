//! An answer that is no stream.

use super::{block::Read, stop};
use crate::dialect::{
    answer::{MAX_DEPTH, error},
    anthropic::usage::Figures,
    json::{Kind, Walker},
    neutral::{Escaped, Event, Maker, Malformed, Show},
    signal::UpstreamFault,
};
use crate::types::ReportedUsage;

/// What the members of an answer say, whatever their order.
#[derive(Default)]
struct Message<'a> {
    kind: Option<Escaped<'a>>,
    id: Option<Escaped<'a>>,
    model: Option<Escaped<'a>>,
    blocks: Option<Vec<Read<'a>>>,
    usage: Option<ReportedUsage>,
    reason: Option<Escaped<'a>>,
    sequence: Option<Escaped<'a>>,
    error: Option<UpstreamFault>,
}

/// Reads a whole answer: shows the same events that a stream of it would.
pub(in crate::dialect) fn read_answer(body: &[u8], maker: Maker, show: Show<'_>) -> Result<(), Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let (mut message, mut figures) = (Message::default(), Figures::default());
    walker.members(|walker, key| {
        match key.raw {
            b"type" => message.kind = Escaped::read(walker)?,
            b"id" => message.id = Escaped::read(walker)?,
            b"model" => message.model = Escaped::read(walker)?,
            b"content" if walker.kind()? == Kind::Array => message.blocks = Some(blocks(walker)?),
            b"usage" => message.usage = figures.read(walker)?,
            b"stop_reason" => message.reason = Escaped::read(walker)?,
            b"stop_sequence" => message.sequence = Escaped::read(walker)?,
            b"error" => message.error = error(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish()?;
    if message.kind.is_some_and(|kind| kind.raw() == "error") || message.error.is_some() {
        show(Event::Error(message.error.unwrap_or_default()));
        return Ok(());
    }
    let Some(blocks) = message.blocks else { return Err(Malformed::new("content", "is missing")) };
    show(Event::Start { id: message.id, model: message.model });
    let mut block = 0;
    for read in blocks {
        if let Some(open) = read.open(0, block, show) {
            open.close(maker, show);
            block += 1;
        }
    }
    if let Some(tier) = figures.tier {
        show(Event::Tier(Escaped::of(&tier)));
    }
    if let Some(usage) = message.usage {
        show(Event::Usage(usage));
    }
    if let Some(reason) = message.reason {
        show(Event::Stop(stop(&reason, message.sequence)));
    }
    show(Event::End);
    Ok(())
}

fn blocks<'a>(walker: &mut Walker<'a>) -> Result<Vec<Read<'a>>, Malformed> {
    let mut blocks = Vec::new();
    walker.elements(|walker| {
        blocks.push(Read::new(walker)?);
        Ok::<(), Malformed>(())
    })?;
    Ok(blocks)
}
