//! How an answer ends: why, and what it cost.

use crate::{
    dialect::{
        answer::{count, members_or_skip, objects_or_skip},
        json::{Kind, Walker},
        neutral::{Escaped, Event, Malformed, Show, Stop, StopReason},
    },
    types::ReportedUsage,
};

/// What is known of the end.
#[derive(Default)]
pub(super) struct Ending<'a> {
    pub reason: Option<StopReason>,
    pub sequence: Option<Escaped<'a>>,
    pub usage: Option<ReportedUsage>,
    pub tier: Option<Escaped<'a>>,
}

impl<'a> Ending<'a> {
    /// Takes in a member of `messageStop`, `metadata` or of a whole answer.
    pub(super) fn member(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<(), Malformed> {
        match key {
            b"stopReason" => self.reason = Escaped::read(walker)?.map(|word| reason(word.raw())),
            b"additionalModelResponseFields" => self.extra(walker)?,
            b"usage" => self.usage = usage(walker)?,
            b"serviceTier" => {
                object(walker, |walker, key| match key {
                    b"type" => {
                        self.tier = Escaped::read(walker)?;
                        Ok(())
                    }
                    _ => Ok(walker.pass()?),
                })?;
            }
            _ => walker.pass()?,
        }
        Ok(())
    }

    /// `/stop_sequence` of a whole answer, `/delta/stop_sequence` of a stream; Claude's hosts differ in
    /// which they fill.
    fn extra(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        object(walker, |walker, key| match key {
            b"stop_sequence" => self.stop_sequence(walker),
            b"delta" => object(walker, |walker, key| match key {
                b"stop_sequence" => self.stop_sequence(walker),
                _ => Ok(walker.pass()?),
            }),
            _ => Ok(walker.pass()?),
        })
    }

    fn stop_sequence(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if let Some(sequence) = Escaped::read(walker)? {
            self.sequence = Some(sequence);
        }
        Ok(())
    }

    /// Shows it, in the order of the neutral form.
    pub(super) fn show(self, show: Show<'_>) {
        if let Some(usage) = self.usage {
            show(Event::Usage(usage));
        }
        if let Some(tier) = self.tier {
            show(Event::Tier(tier));
        }
        let reason = self.reason.unwrap_or(StopReason::Other);
        show(Event::Stop(Stop { reason, sequence: self.sequence }));
        show(Event::End);
    }

    /// Keeps it for longer than the event it stands in.
    pub(super) fn into_owned(self) -> Ending<'static> {
        Ending {
            reason: self.reason,
            sequence: self.sequence.map(Escaped::into_owned),
            usage: self.usage,
            tier: self.tier.map(Escaped::into_owned),
        }
    }
}

/// Visits the members of an object; passes anything else.
pub(super) fn object<'a>(
    walker: &mut Walker<'a>,
    mut each: impl FnMut(&mut Walker<'a>, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if walker.kind()? == Kind::Object {
        walker.members(|walker, key| each(walker, key.raw))
    } else {
        Ok(walker.pass()?)
    }
}

fn reason(word: &str) -> StopReason {
    match word {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "stop_sequence" => StopReason::StopSequence,
        "guardrail_intervened" | "content_filtered" => StopReason::Refusal,
        // `malformed_model_output`, `malformed_tool_use`: the model wrote nonsense.
        _ => StopReason::Other,
    }
}

/// Reads `TokenUsage`; its input counts neither what was read from a cache nor what was written to it.
fn usage(walker: &mut Walker<'_>) -> Result<Option<ReportedUsage>, Malformed> {
    if walker.kind()? != Kind::Object {
        walker.pass()?;
        return Ok(None);
    }
    let mut usage = ReportedUsage::default();
    let (mut written, mut long) = (None, None);
    members_or_skip(walker, |walker, key| {
        match key.raw {
            b"inputTokens" => usage.input = count(walker)?,
            b"outputTokens" => usage.output = count(walker)?,
            b"cacheReadInputTokens" => usage.cached_read = count(walker)?,
            b"cacheWriteInputTokens" => written = count(walker)?,
            b"cacheDetails" => {
                objects_or_skip(walker, |walker| {
                    let (mut is_long, mut tokens) = (false, None);
                    walker.members(|walker, key| {
                        match key.raw {
                            b"ttl" => {
                                is_long = walker.string_or_skip()?.is_some_and(|s| walker.bytes(&s) == b"1h");
                            }
                            b"inputTokens" => tokens = count(walker)?,
                            _ => walker.pass()?,
                        }
                        Ok(())
                    })?;
                    if is_long {
                        long = Some(tokens.unwrap_or(0).saturating_add(long.unwrap_or(0)));
                    }
                    Ok(())
                })?;
            }
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    usage.write_1h = long;
    usage.write_5m = written.map(|written: u64| written.saturating_sub(long.unwrap_or(0)));
    Ok(Some(usage))
}
