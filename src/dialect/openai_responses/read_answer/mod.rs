//! Reading an answer into neutral events: the events of a stream, or one response object.
//!
//! An item that is complete says again what its deltas said. It is read all the same, and what had not
//! been said before is said then: hosts that send no deltas, no `added`, or nothing but the last event
//! are understood, and a whole answer is a stream of complete items.

mod blocks;
mod event;
mod item;

use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Kind, Walker},
    neutral::{Event, Maker, Malformed, Show, Stop, StopReason},
    signal::UpstreamFault,
    translate::Frame,
};

use blocks::{Blocks, Place};
use event::{Read, Response};
use item::Item;

/// Reads the events of one stream.
pub(in crate::dialect) struct AnswerReader {
    blocks: Blocks,
    started: bool,
    ended: bool,
}

impl AnswerReader {
    pub(in crate::dialect) const fn new(maker: Maker) -> Self {
        Self { blocks: Blocks::new(maker), started: false, ended: false }
    }

    /// Shows what one event of the stream says.
    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.ended || frame.data == b"[DONE]" {
            return;
        }
        if frame.data.is_empty() {
            return show(Event::Ping);
        }
        let mut walker = Walker::new(frame.data, MAX_DEPTH);
        match event::read(&mut walker) {
            Ok(read) => {
                if let Err(why) = self.event(read, show) {
                    self.broken(&why, show);
                }
            }
            Err(why) => self.broken(&why, show),
        }
    }

    /// The stream ended cleanly. There is no answer without a terminal event: nothing is left to say.
    pub(in crate::dialect) const fn end(&mut self, _show: Show<'_>) {
        self.ended = true;
    }

    fn broken(&mut self, why: &Malformed, show: Show<'_>) {
        self.ended = true;
        show(Event::Error(UpstreamFault {
            kind: "api_error".to_owned(),
            message: format!("the provider's event cannot be read: {}", why.what),
            ..UpstreamFault::default()
        }));
    }

    fn event(&mut self, read: Read<'_>, show: Show<'_>) -> Result<(), Malformed> {
        let Read { kind, place, item, delta, whole, annotation, response, fault } = read;
        let kind = kind.strip_prefix("response.").unwrap_or(kind);
        if !self.started && !matches!(kind, "error") {
            self.start(response.as_ref(), show);
        }
        match kind {
            "output_item.added" => self.blocks.added(place, item.as_ref(), show)?,
            "output_item.done" => {
                if let Some(item) = item {
                    self.blocks.done(place, item, show)?;
                }
            }
            "content_part.done" => self.blocks.part_done(place, show),
            "output_text.done"
            | "refusal.done"
            | "function_call_arguments.done"
            | "custom_tool_call_input.done"
                if self.blocks.has_said(place) => {}
            "output_text.delta" => self.blocks.text(place, delta, show)?,
            "output_text.done" => self.blocks.text(place, whole, show)?,
            "refusal.delta" => self.blocks.refusal(place, delta, show)?,
            "refusal.done" => self.blocks.refusal(place, whole, show)?,
            "reasoning_summary_text.delta" | "reasoning_text.delta" => {
                self.blocks.thought(place, delta, show)?;
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.blocks.arguments(place, delta, show);
            }
            "function_call_arguments.done" | "custom_tool_call_input.done" => {
                self.blocks.arguments(place, whole, show);
            }
            "output_text.annotation.added" => self.blocks.cites(place, annotation, show)?,
            "completed" | "incomplete" | "cancelled" => self.finish(kind, response, show)?,
            "failed" => {
                let fault = response.and_then(|response| response.error);
                self.fail(fault.unwrap_or_default(), show);
            }
            "error" => self.fail(fault, show),
            // Signs of life, the progress of tools that the provider runs, and what is not known yet.
            _ => show(Event::Ping),
        }
        Ok(())
    }

    fn start(&mut self, response: Option<&Response<'_>>, show: Show<'_>) {
        self.started = true;
        let (id, model) = match response {
            Some(response) => (response.id.clone(), response.model.clone()),
            None => (None, None),
        };
        if let Some(id) = &id {
            self.blocks.named(id);
        }
        show(Event::Start { id, model });
        if let Some(tier) = response.and_then(|response| response.tier.clone()) {
            show(Event::Tier(tier));
        }
    }

    fn fail(&mut self, fault: UpstreamFault, show: Show<'_>) {
        self.ended = true;
        show(Event::Error(fault));
    }

    /// The end, and whatever had not been said until then.
    fn finish(
        &mut self,
        status: &str,
        response: Option<Response<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        let response = response.unwrap_or_default();
        if !self.blocks.any() {
            for (index, item) in response.output.into_iter().enumerate() {
                self.blocks.done(Place::item(index as u64), item, show)?;
            }
        }
        self.blocks.close(show);
        if let Some(tier) = response.tier {
            show(Event::Tier(tier));
        }
        if let Some(usage) = response.usage {
            show(Event::Usage(usage));
        }
        let reason = match (status, response.why_incomplete) {
            ("completed", _) if self.blocks.called => StopReason::ToolUse,
            ("completed", _) if self.blocks.refused => StopReason::Refusal,
            ("completed", _) => StopReason::EndTurn,
            ("incomplete", "max_output_tokens") => StopReason::MaxTokens,
            ("incomplete", "content_filter") => StopReason::Refusal,
            _ => StopReason::Other,
        };
        self.ended = true;
        show(Event::Stop(Stop { reason, sequence: None }));
        show(Event::End);
        Ok(())
    }
}

/// Reads a whole answer: shows the same events that a stream of it would. One that still runs in the
/// background has no end yet.
pub(in crate::dialect) fn read_answer(body: &[u8], maker: Maker, show: Show<'_>) -> Result<(), Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    if walker.kind()? != Kind::Object {
        return Err(Malformed::new("", "it is no object"));
    }
    let mut response = Response::read(&mut walker)?;
    walker.finish()?;
    let mut reader = AnswerReader::new(maker);
    let status = response.status;
    if let Some(fault) = response.error.take() {
        reader.fail(fault, show);
        return Ok(());
    }
    reader.start(Some(&response), show);
    match status {
        "queued" | "in_progress" => {}
        "failed" => reader.fail(UpstreamFault::default(), show),
        // Hosts that leave the status out answer when they are done.
        "" => reader.finish("completed", Some(response), show)?,
        status => reader.finish(status, Some(response), show)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests;
