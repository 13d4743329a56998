//! Reading an answer into the neutral form.
//!
//! Why it stopped is shown last, behind the usage: Chat says it first, and other dialects say both at
//! once.

mod blocks;
mod chunk;
mod depth;
#[cfg(test)]
mod tests;

use self::{
    blocks::Blocks,
    chunk::{Choice, Chunk},
};
use crate::dialect::{
    fault::read_fault,
    neutral::{Escaped, Event, Maker, Malformed, Show, Stop, StopReason},
    signal::UpstreamFault,
    translate::Frame,
};

/// Ids longer than this are nobody's.
const LONGEST_ID: usize = 512;

/// Reads a streamed answer.
pub(in crate::dialect) struct AnswerReader {
    blocks: Blocks,
    /// The answer's own id, to make those of calls that have none.
    id: String,
    started: bool,
    tiered: bool,
    /// Why it stopped, as soon as it is known.
    finish: Option<Stop<'static>>,
    stopped: bool,
    /// Nothing counts behind its end, or an error.
    over: bool,
}

impl AnswerReader {
    pub(in crate::dialect) const fn new(maker: Maker) -> Self {
        Self {
            blocks: Blocks::new(maker),
            id: String::new(),
            started: false,
            tiered: false,
            finish: None,
            stopped: false,
            over: false,
        }
    }

    /// Shows what one event of the stream says.
    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.over {
            return;
        }
        match frame.data {
            // A comment that says that the host still works.
            [] => show(Event::Ping),
            b"[DONE]" if self.started => self.finish(show),
            b"[DONE]" => self.broken("it is empty", show),
            data => match chunk::read(data) {
                Ok(chunk) => self.take(chunk, data, show),
                Err(_) => self.broken("an event is no chunk of a completion", show),
            },
        }
    }

    /// The stream ended cleanly: not every host says that it is done.
    pub(in crate::dialect) fn end(&mut self, show: Show<'_>) {
        if !self.over && self.finish.is_some() {
            self.finish(show);
        }
    }

    fn take(&mut self, chunk: Chunk<'_>, data: &[u8], show: Show<'_>) {
        if let Some(fault) = chunk.error.or_else(|| chunk.is_error.then(|| read_fault(data))) {
            self.fail(fault, show);
            return;
        }
        // Azure's first chunk holds its filters' findings and nothing else.
        let begins = chunk.choice.is_some() || chunk.usage.is_some() || chunk.id.is_some();
        if begins && !self.started {
            self.started = true;
            let id = chunk.id.filter(|id| id.raw().len() <= LONGEST_ID);
            self.id = id.as_ref().map(|id| id.raw().to_owned()).unwrap_or_default();
            show(Event::Start { id, model: chunk.model });
        }
        if let Some(tier) = chunk.tier.filter(|_| self.started && !self.tiered) {
            self.tiered = true;
            show(Event::Tier(tier));
        }
        let is_last = chunk.choice.is_none();
        if let Some(choice) = chunk.choice
            && let Err(fault) = self.choice(choice, show)
        {
            self.fail(fault, show);
            return;
        }
        if let Some(usage) = chunk.usage {
            show(Event::Usage(usage));
            if is_last {
                self.stop(show);
            }
        }
    }

    fn choice(&mut self, choice: Choice<'_>, show: Show<'_>) -> Result<(), UpstreamFault> {
        if self.stopped {
            // Said behind the usage, which is the last thing to be said.
            return Ok(());
        }
        self.blocks.take(choice.output, &self.id, show).map_err(broken)?;
        let Some(finish) = choice.finish else { return Ok(()) };
        let reason = match finish.raw() {
            "length" => StopReason::MaxTokens,
            "model_length" => StopReason::ContextWindow,
            "content_filter" => StopReason::Refusal,
            // Mistral, OpenRouter; DeepSeek.
            "error" | "insufficient_system_resource" => {
                return Err(UpstreamFault {
                    kind: "server_error".to_owned(),
                    code: finish.decode().into_owned(),
                    message: "the provider broke off its answer".to_owned(),
                    ..UpstreamFault::default()
                });
            }
            "stop" if choice.sequence.is_some() && !self.blocks.has_calls => StopReason::StopSequence,
            // Some hosts say `stop` where they called tools, or the other way round.
            "stop" | "eos" | "eos_token" | "end_turn" | "tool_calls" | "function_call" => self.done(),
            _ => StopReason::Other,
        };
        let sequence = choice.sequence.filter(|_| reason == StopReason::StopSequence);
        self.finish = Some(Stop { reason, sequence: sequence.map(Escaped::into_owned) });
        self.blocks.close_all(show);
        Ok(())
    }

    const fn done(&self) -> StopReason {
        if self.blocks.has_calls {
            StopReason::ToolUse
        } else if self.blocks.has_refusal {
            StopReason::Refusal
        } else {
            StopReason::EndTurn
        }
    }

    fn stop(&mut self, show: Show<'_>) {
        if self.stopped {
            return;
        }
        if let Some(stop) = self.finish.clone() {
            self.stopped = true;
            self.blocks.close_all(show);
            show(Event::Stop(stop));
        }
    }

    /// It is complete.
    fn finish(&mut self, show: Show<'_>) {
        if self.finish.is_none() {
            // Not every host says why.
            self.finish = Some(Stop { reason: self.done(), sequence: None });
        }
        self.stop(show);
        self.over = true;
        show(Event::End);
    }

    fn fail(&mut self, fault: UpstreamFault, show: Show<'_>) {
        self.over = true;
        show(Event::Error(fault));
    }

    fn broken(&mut self, what: &'static str, show: Show<'_>) {
        self.fail(broken(what), show);
    }
}

fn broken(what: &'static str) -> UpstreamFault {
    UpstreamFault {
        kind: "api_error".to_owned(),
        message: format!("the provider's answer cannot be read: {what}"),
        ..UpstreamFault::default()
    }
}

/// Reads a whole answer: shows the same events that a stream of it would.
pub(in crate::dialect) fn read_answer(body: &[u8], maker: Maker, show: Show<'_>) -> Result<(), Malformed> {
    let chunk = chunk::read(body)?;
    if chunk.choice.is_none() && chunk.error.is_none() && !chunk.is_error {
        return Err(Malformed::new("choices", "is missing"));
    }
    let mut reader = AnswerReader::new(maker);
    reader.take(chunk, body, show);
    if !reader.over {
        reader.finish(show);
    }
    Ok(())
}
