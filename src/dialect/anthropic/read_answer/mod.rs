//! Reading an answer into the neutral form.

mod block;
#[cfg(test)]
mod tests;
mod whole;

use crate::{
    dialect::{
        answer::{MAX_DEPTH, count, error},
        anthropic::{answer::usual_delta, members, usage::Figures},
        json::Walker,
        neutral::{Escaped, Event, Json, Maker, Malformed, Show, Stop, StopReason},
        signal::{DeltaKind, UpstreamFault},
        translate::Frame,
    },
    types::ReportedUsage,
};
use block::{Open, Read};

pub(in crate::dialect) use whole::read_answer;

/// Blocks that may be open at a time. Anthropic fills one; more than this are a hostile host's.
const MOST_OPEN: usize = 64;

/// Reads a streamed answer.
pub(in crate::dialect) struct AnswerReader {
    maker: Maker,
    figures: Figures,
    started: bool,
    stopped: bool,
    /// The last event has been shown.
    over: bool,
    /// The number of the next block.
    next: u32,
    open: Vec<Open>,
}

/// What the members of one event say.
#[derive(Default)]
struct Seen<'a> {
    kind: Option<Escaped<'a>>,
    index: u64,
    id: Option<Escaped<'a>>,
    model: Option<Escaped<'a>>,
    block: Option<Read<'a>>,
    delta: Delta<'a>,
    usage: Option<ReportedUsage>,
    error: Option<UpstreamFault>,
}

/// What the members of its `delta` say.
#[derive(Default)]
struct Delta<'a> {
    text: Option<(DeltaKind, Escaped<'a>)>,
    signature: Option<Escaped<'a>>,
    citation: Option<Json<'a>>,
    reason: Option<Escaped<'a>>,
    sequence: Option<Escaped<'a>>,
}

impl AnswerReader {
    pub(in crate::dialect) const fn new(maker: Maker) -> Self {
        Self {
            maker,
            figures: Figures::new(),
            started: false,
            stopped: false,
            over: false,
            next: 0,
            open: Vec::new(),
        }
    }

    /// Shows what one event of the stream says.
    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.over || frame.data.is_empty() {
            return;
        }
        if let Some((index, kind, raw)) = usual_delta(frame.data)
            && let Ok(text) = Escaped::from_raw(raw)
        {
            return self.delta(index, kind, text, show);
        }
        let mut walker = Walker::new(frame.data, MAX_DEPTH);
        match self.read(&mut walker) {
            Ok(seen) => self.show(seen, show),
            Err(_) => self.fail("the provider's stream cannot be read", show),
        }
    }

    /// The stream ended cleanly.
    pub(in crate::dialect) fn end(&mut self, show: Show<'_>) {
        // A stream may end without `message_stop` (providers: 1.2).
        if self.stopped {
            self.finish(show);
        }
    }

    fn read<'a>(&mut self, walker: &mut Walker<'a>) -> Result<Seen<'a>, Malformed> {
        let mut seen = Seen::default();
        walker.members(|walker, key| {
            match key.raw {
                b"type" => seen.kind = Escaped::read(walker)?,
                // An index that is no count belongs to no block.
                b"index" => seen.index = count(walker)?.unwrap_or(u64::MAX),
                b"content_block" => seen.block = Some(Read::new(walker)?),
                b"delta" => seen.delta = Delta::read(walker)?,
                b"message" => members(walker, |walker, key| {
                    match key.raw {
                        b"id" => seen.id = Escaped::read(walker)?,
                        b"model" => seen.model = Escaped::read(walker)?,
                        b"usage" => seen.usage = self.figures.read(walker)?,
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?,
                b"usage" => seen.usage = self.figures.read(walker)?,
                b"error" => seen.error = error(walker)?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        walker.finish()?;
        Ok(seen)
    }

    fn show(&mut self, seen: Seen<'_>, show: Show<'_>) {
        match seen.kind.as_ref().map_or("", Escaped::raw) {
            "content_block_delta" => self.any_delta(seen.index, seen.delta, show),
            "content_block_start" => self.open(seen.index, seen.block.unwrap_or_default(), show),
            "content_block_stop" => self.close(seen.index, show),
            "message_start" if !self.started => {
                self.started = true;
                show(Event::Start { id: seen.id, model: seen.model });
                self.figures(seen.usage, show);
            }
            "message_delta" => {
                self.figures(seen.usage, show);
                if let Some(reason) = seen.delta.reason.filter(|_| !self.stopped) {
                    self.stopped = true;
                    show(Event::Stop(stop(&reason, seen.delta.sequence)));
                }
            }
            "message_stop" => self.finish(show),
            "ping" => show(Event::Ping),
            "error" => {
                self.over = true;
                show(Event::Error(seen.error.unwrap_or_default()));
            }
            // "New event types may be added": they are to be tolerated.
            _ => {}
        }
    }

    fn figures(&mut self, usage: Option<ReportedUsage>, show: Show<'_>) {
        if let Some(tier) = self.figures.tier.take() {
            show(Event::Tier(Escaped::of(&tier)));
        }
        if let Some(usage) = usage {
            show(Event::Usage(usage));
        }
    }

    fn open(&mut self, index: u64, read: Read<'_>, show: Show<'_>) {
        // One that is opened again has ended.
        self.close(index, show);
        if self.open.len() == MOST_OPEN {
            return self.fail("the provider has too many blocks open", show);
        }
        if let Some(open) = read.open(index, self.next, show) {
            self.next = self.next.saturating_add(1);
            self.open.push(open);
        }
    }

    fn close(&mut self, index: u64, show: Show<'_>) {
        if let Some(at) = self.open.iter().position(|open| open.wire == index) {
            self.open.remove(at).close(self.maker, show);
        }
    }

    fn any_delta(&mut self, index: u64, delta: Delta<'_>, show: Show<'_>) {
        if let Some((kind, text)) = delta.text {
            return self.delta(index, kind, text, show);
        }
        let Some(open) = self.open.iter_mut().find(|open| open.wire == index) else { return };
        open.sign(delta.signature.as_ref());
        if let Some(citation) = delta.citation {
            show(Event::Citation { block: open.block, citation });
        }
    }

    fn delta(&mut self, index: u64, kind: DeltaKind, text: Escaped<'_>, show: Show<'_>) {
        if !self.open.iter().any(|open| open.wire == index) {
            if self.open.len() == MOST_OPEN {
                return self.fail("the provider has too many blocks open", show);
            }
            let Some(open) = Open::unannounced(index, self.next, kind, show) else { return };
            self.next = self.next.saturating_add(1);
            self.open.push(open);
        }
        // Text in a block of thinking is neither.
        if let Some(open) = self.open.iter_mut().find(|open| open.wire == index && open.what == kind) {
            open.delta(Some(text), show);
        }
    }

    fn finish(&mut self, show: Show<'_>) {
        if self.over {
            return;
        }
        self.over = true;
        for open in std::mem::take(&mut self.open) {
            open.close(self.maker, show);
        }
        show(Event::End);
    }

    fn fail(&mut self, message: &str, show: Show<'_>) {
        self.over = true;
        let (kind, message) = ("api_error".to_owned(), message.to_owned());
        show(Event::Error(UpstreamFault { kind, message, ..UpstreamFault::default() }));
    }
}

impl<'a> Delta<'a> {
    fn read(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let mut delta = Self::default();
        members(walker, |walker, key| {
            let mut text = |walker: &mut Walker<'a>, kind| -> Result<(), Malformed> {
                delta.text = Escaped::read(walker)?.map(|text| (kind, text));
                Ok(())
            };
            match key.raw {
                b"text" => text(walker, DeltaKind::Text)?,
                b"thinking" => text(walker, DeltaKind::Thinking)?,
                b"partial_json" => text(walker, DeltaKind::ToolArguments)?,
                b"signature" => delta.signature = Escaped::read(walker)?,
                b"citation" => delta.citation = Some(Json::read(walker)?).filter(Json::is_object),
                b"stop_reason" => delta.reason = Escaped::read(walker)?,
                b"stop_sequence" => delta.sequence = Escaped::read(walker)?,
                _ => walker.pass()?,
            }
            Ok(())
        })?;
        Ok(delta)
    }
}

/// A `stop_reason` (anthropic 2.12.0, `types/stop_reason.py`).
fn stop<'a>(reason: &Escaped<'_>, sequence: Option<Escaped<'a>>) -> Stop<'a> {
    let reason = match reason.raw() {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "stop_sequence" => StopReason::StopSequence,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        _ => StopReason::Other,
    };
    Stop { reason, sequence }
}
