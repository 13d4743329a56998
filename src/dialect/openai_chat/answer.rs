//! Answers: the chunks of a stream, or one completion. Legacy completions and embeddings, too.

use crate::dialect::{
    answer::{
        EventKind, MAX_DEPTH, See, count, delta, error, id, members_or_skip, objects_or_skip, openai_usage,
    },
    json::{Fault, Kind, Walker},
    signal::{DeltaKind, Signal, StopKind},
};

/// Reads the chunks of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Answer {
    started: bool,
    named: bool,
    tiered: bool,
    ended: bool,
    /// Choices that began, and those that stopped: one bit each, the last one for all beyond.
    begun: u64,
    stopped: u64,
    /// The tool call named last: some hosts name it in every chunk.
    last_call: Option<String>,
}

impl Answer {
    /// Whether a clean end now is a complete answer: every choice stopped.
    pub(in crate::dialect) const fn is_complete(&self) -> bool {
        self.ended || (self.stopped != 0 && self.stopped == self.begun)
    }

    /// Reads one chunk's data.
    pub(in crate::dialect) fn event(&mut self, data: &[u8], see: See<'_>) -> EventKind {
        if data == b"[DONE]" {
            self.ended = true;
            see(Signal::Terminal);
            return EventKind::Answer;
        }
        let mut walker = Walker::new(data, MAX_DEPTH);
        // A chunk that is not JSON is the client's to complain about; it passes.
        self.read(&mut walker, see).unwrap_or(EventKind::Answer)
    }

    /// Reads a chunk, or a whole completion: they differ in one key only.
    fn read(&mut self, walker: &mut Walker<'_>, see: See<'_>) -> Result<EventKind, Fault> {
        let (mut told, mut failed) = (false, false);
        let (mut usage, mut choices) = (None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"id" => {
                    let inner = walker.string_or_skip()?;
                    if !std::mem::replace(&mut self.started, true)
                        && let Some(id) = inner.and_then(|inner| id(walker, &inner))
                    {
                        see(Signal::Started { id });
                    }
                }
                b"model" => {
                    let inner = walker.string_or_skip()?.filter(|_| !self.named);
                    if let Some(model) = inner.and_then(|inner| id(walker, &inner)) {
                        self.named = true;
                        see(Signal::Model(model));
                    }
                }
                b"service_tier" => {
                    let inner = walker.string_or_skip()?.filter(|_| !self.tiered);
                    if let Some(tier) = inner.and_then(|inner| id(walker, &inner)) {
                        self.tiered = true;
                        see(Signal::Tier(tier));
                    }
                }
                b"choices" => {
                    choices = objects_or_skip(walker, |walker| {
                        told |= self.choice(walker, see)?;
                        Ok(())
                    })?;
                }
                b"usage" => usage = openai_usage(walker)?,
                b"error" => {
                    if let Some(fault) = error(walker)? {
                        failed = true;
                        see(Signal::Error(fault));
                    }
                }
                _ => walker.pass()?,
            }
            Ok::<(), Fault>(())
        })?;
        let usage_only = usage.is_some() && choices == Some(0) && !failed;
        told |= failed || usage.is_some();
        if let Some(usage) = usage {
            see(Signal::Usage(usage));
        }
        if !told {
            see(Signal::Lifecycle);
        }
        Ok(if usage_only { EventKind::UsageOnly } else { EventKind::Answer })
    }

    /// Reads one choice; whether it told anything.
    fn choice(&mut self, walker: &mut Walker<'_>, see: See<'_>) -> Result<bool, Fault> {
        let (mut told, mut index, mut stopped) = (false, 0, None);
        walker.members(|walker, key| {
            match key.raw {
                b"index" => index = count(walker)?.unwrap_or(0),
                b"delta" | b"message" => members_or_skip(walker, |walker, key| {
                    told |= self.output(walker, key.raw, see)?;
                    Ok(())
                })?,
                b"text" => told |= text(walker, DeltaKind::Text, see)?,
                b"finish_reason" => {
                    stopped = walker.string_or_skip()?.map(|reason| stop(walker.bytes(&reason)));
                }
                _ => walker.pass()?,
            }
            Ok::<(), Fault>(())
        })?;
        let bit = 1 << index.min(63);
        self.begun |= bit;
        if let Some(stop) = stopped {
            self.stopped |= bit;
            see(Signal::Stop(stop));
        }
        Ok(told || stopped.is_some())
    }

    fn output(&mut self, walker: &mut Walker<'_>, key: &[u8], see: See<'_>) -> Result<bool, Fault> {
        let mut told = false;
        match key {
            b"content" | b"refusal" => told = text(walker, DeltaKind::Text, see)?,
            // Not OpenAI's own: DeepSeek, vLLM and others; OpenRouter.
            b"reasoning_content" | b"reasoning" => told = text(walker, DeltaKind::Thinking, see)?,
            b"tool_calls" => {
                objects_or_skip(walker, |walker| {
                    walker.members(|walker, key| {
                        match key.raw {
                            b"id" => told |= self.call(walker, see)?,
                            b"function" | b"custom" => told |= arguments(walker, see)?,
                            _ => walker.pass()?,
                        }
                        Ok(())
                    })
                })?;
            }
            b"function_call" => told = arguments(walker, see)?,
            _ => walker.pass()?,
        }
        Ok(told)
    }

    fn call(&mut self, walker: &mut Walker<'_>, see: See<'_>) -> Result<bool, Fault> {
        let named = walker.string_or_skip()?.and_then(|inner| id(walker, &inner));
        let Some(named) = named.filter(|named| self.last_call.as_ref() != Some(named)) else {
            return Ok(false);
        };
        self.last_call = Some(named.clone());
        see(Signal::ToolCall { id: named });
        Ok(true)
    }
}

fn arguments(walker: &mut Walker<'_>, see: See<'_>) -> Result<bool, Fault> {
    let mut told = false;
    members_or_skip(walker, |walker, key| {
        match key.raw {
            b"arguments" | b"input" => told |= text(walker, DeltaKind::ToolArguments, see)?,
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    Ok(told)
}

/// Shows a string, or the `text` of the parts that some hosts make of it.
fn text(walker: &mut Walker<'_>, kind: DeltaKind, see: See<'_>) -> Result<bool, Fault> {
    if walker.kind()? == Kind::Array {
        let mut told = false;
        objects_or_skip(walker, |walker| {
            walker.members(|walker, key| {
                match key.raw {
                    b"text" => told |= text(walker, kind, see)?,
                    _ => walker.pass()?,
                }
                Ok(())
            })
        })?;
        return Ok(told);
    }
    let inner = walker.string_or_skip()?;
    Ok(inner.is_some_and(|inner| delta(see, kind, walker.bytes(&inner))))
}

/// Reads a whole answer that was not streamed.
pub(in crate::dialect) fn whole(body: &[u8], see: See<'_>) -> Result<(), Fault> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut failed = false;
    Answer::default().read(&mut walker, &mut |signal| {
        failed |= matches!(signal, Signal::Error(_));
        see(signal);
    })?;
    walker.finish()?;
    if !failed {
        see(Signal::Terminal);
    }
    Ok(())
}

fn stop(reason: &[u8]) -> StopKind {
    match reason {
        b"stop" | b"eos" => StopKind::End,
        b"tool_calls" | b"function_call" => StopKind::ToolUse,
        b"length" => StopKind::Length,
        _ => StopKind::Other,
    }
}
