//! Answers: the events of a stream, or one message.

use memchr::memchr;

use crate::{
    dialect::{
        answer::{EventKind, MAX_DEPTH, See, delta, error, id, members_or_skip, objects_or_skip},
        anthropic::usage::Figures,
        json::{Fault, Walker},
        signal::{DeltaKind, Signal, StopKind, UpstreamFault},
        view::Span,
    },
    types::ReportedUsage,
};

/// Reads the events of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Answer {
    figures: Figures,
    stopped: bool,
    ended: bool,
}

/// One event, or one message: what its members said.
#[derive(Default)]
struct Seen<'a> {
    kind: &'a [u8],
    id: Option<Span>,
    model: Option<Span>,
    /// Of a delta or of a starting block.
    part: Part<'a>,
    usage: Option<ReportedUsage>,
    stop: Option<StopKind>,
    error: Option<UpstreamFault>,
}

#[derive(Default)]
struct Part<'a> {
    kind: &'a [u8],
    id: Option<Span>,
    output: Option<(DeltaKind, Span)>,
}

impl Answer {
    /// Whether a clean end now is a complete answer.
    pub(in crate::dialect) const fn is_complete(&self) -> bool {
        self.stopped || self.ended
    }

    /// Reads one event's data.
    pub(in crate::dialect) fn event(&mut self, data: &[u8], see: See<'_>) -> EventKind {
        if let Some((_, kind, raw)) = usual_delta(data) {
            if !delta(see, kind, raw) {
                see(Signal::Lifecycle);
            }
            return EventKind::Answer;
        }
        let mut walker = Walker::new(data, MAX_DEPTH);
        let mut seen = Seen::default();
        // An event that is not JSON is the client's to complain about; it passes.
        if self.read(&mut walker, &mut seen).is_ok() {
            self.show(&walker, seen, see);
        }
        EventKind::Answer
    }

    fn read<'a>(&mut self, walker: &mut Walker<'a>, seen: &mut Seen<'a>) -> Result<(), Fault> {
        walker.members(|walker, key| {
            match key.raw {
                b"type" => seen.kind = text(walker)?,
                b"delta" => members_or_skip(walker, |walker, key| match key.raw {
                    b"stop_reason" => {
                        seen.stop = stop(text(walker)?);
                        Ok(())
                    }
                    _ => part(walker, key.raw, &mut seen.part),
                })?,
                b"content_block" => {
                    members_or_skip(walker, |walker, key| part(walker, key.raw, &mut seen.part))?;
                }
                b"message" => members_or_skip(walker, |walker, key| {
                    match key.raw {
                        b"id" => seen.id = walker.string_or_skip()?,
                        b"model" => seen.model = walker.string_or_skip()?,
                        b"usage" => seen.usage = self.figures.read(walker)?,
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?,
                b"usage" => seen.usage = self.figures.read(walker)?,
                b"error" => seen.error = error(walker)?,
                _ => walker.pass()?,
            }
            Ok(())
        })
    }

    fn show(&mut self, walker: &Walker<'_>, seen: Seen<'_>, see: See<'_>) {
        let part = seen.part;
        match seen.kind {
            b"content_block_delta" => {
                let shown = part.output.is_some_and(|(kind, raw)| delta(see, kind, walker.bytes(&raw)));
                if !shown {
                    see(Signal::Lifecycle);
                }
                return;
            }
            b"content_block_start" if part.kind == b"tool_use" => {
                if let Some(id) = part.id.and_then(|inner| id(walker, &inner)) {
                    return see(Signal::ToolCall { id });
                }
            }
            b"message_start" => {
                if let Some(id) = seen.id.and_then(|inner| id(walker, &inner)) {
                    see(Signal::Started { id });
                }
                if let Some(model) = seen.model.and_then(|inner| id(walker, &inner)) {
                    see(Signal::Model(model));
                }
            }
            b"message_stop" => {
                self.ended = true;
                return see(Signal::Terminal);
            }
            b"error" => {
                return see(Signal::Error(seen.error.unwrap_or_default()));
            }
            _ => {}
        }
        let tells = seen.usage.is_some() || seen.stop.is_some();
        if let Some(tier) = self.figures.tier.take() {
            see(Signal::Tier(tier));
        }
        if let Some(usage) = seen.usage {
            see(Signal::Usage(usage));
        }
        if let Some(stop) = seen.stop {
            self.stopped = true;
            see(Signal::Stop(stop));
        }
        if !tells {
            see(Signal::Lifecycle);
        }
    }
}

/// Reads a delta in the very form in which the provider writes it: nine events in ten, at a fraction of
/// a walk's cost. Gives the block's index, too. Any other form, or a quote in the text, is left to the walk.
pub(super) fn usual_delta(data: &[u8]) -> Option<(u64, DeltaKind, &[u8])> {
    let rest = data.strip_prefix(br#"{"type":"content_block_delta","index":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let index = std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()?;
    let rest = rest.get(digits..)?.strip_prefix(br#","delta":{"type":""#)?;
    let (kind, rest) = if let Some(rest) = rest.strip_prefix(br#"text_delta","text":""#) {
        (DeltaKind::Text, rest)
    } else if let Some(rest) = rest.strip_prefix(br#"input_json_delta","partial_json":""#) {
        (DeltaKind::ToolArguments, rest)
    } else {
        (DeltaKind::Thinking, rest.strip_prefix(br#"thinking_delta","thinking":""#)?)
    };
    // Events are padded with spaces before their last brace.
    let raw = rest.strip_suffix(b"}")?.trim_ascii_end().strip_suffix(br#""}"#)?;
    // Without a quote inside, and with no backslash before it, the last quote is the closing one.
    (!raw.ends_with(b"\\") && memchr(b'"', raw).is_none()).then_some((index, kind, raw))
}

/// Reads a whole answer that was not streamed.
pub(in crate::dialect) fn whole(body: &[u8], see: See<'_>) -> Result<(), Fault> {
    let mut answer = Answer::default();
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut seen = Seen::default();
    walker.members(|walker, key| {
        match key.raw {
            b"type" => seen.kind = text(walker)?,
            b"id" => {
                if let Some(id) = walker.string_or_skip()?.and_then(|inner| id(walker, &inner)) {
                    see(Signal::Started { id });
                }
            }
            b"model" => {
                if let Some(model) = walker.string_or_skip()?.and_then(|inner| id(walker, &inner)) {
                    see(Signal::Model(model));
                }
            }
            b"content" => {
                objects_or_skip(walker, |walker| {
                    let mut seen = Part::default();
                    walker.members(|walker, key| part(walker, key.raw, &mut seen))?;
                    if seen.kind == b"tool_use"
                        && let Some(id) = seen.id.and_then(|inner| id(walker, &inner))
                    {
                        see(Signal::ToolCall { id });
                    }
                    if let Some((kind, raw)) = seen.output {
                        delta(see, kind, walker.bytes(&raw));
                    }
                    Ok(())
                })?;
            }
            b"usage" => seen.usage = answer.figures.read(walker)?,
            b"stop_reason" => seen.stop = stop(text(walker)?),
            b"error" => seen.error = error(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    })?;
    walker.finish()?;
    if seen.kind == b"error" {
        see(Signal::Error(seen.error.unwrap_or_default()));
        return Ok(());
    }
    if let Some(tier) = answer.figures.tier.take() {
        see(Signal::Tier(tier));
    }
    if let Some(usage) = seen.usage {
        see(Signal::Usage(usage));
    }
    if let Some(stop) = seen.stop {
        see(Signal::Stop(stop));
    }
    see(Signal::Terminal);
    Ok(())
}

/// Reads one member of a block or of a delta to it.
fn part<'a>(walker: &mut Walker<'a>, key: &[u8], seen: &mut Part<'a>) -> Result<(), Fault> {
    match key {
        b"type" => seen.kind = text(walker)?,
        b"id" => seen.id = walker.string_or_skip()?,
        b"text" => output(walker, DeltaKind::Text, seen)?,
        b"thinking" => output(walker, DeltaKind::Thinking, seen)?,
        b"partial_json" => output(walker, DeltaKind::ToolArguments, seen)?,
        // A whole answer's arguments are an object: its text is what the model wrote.
        b"input" => seen.output = Some((DeltaKind::ToolArguments, walker.skip()?)),
        _ => walker.pass()?,
    }
    Ok(())
}

fn output(walker: &mut Walker<'_>, kind: DeltaKind, seen: &mut Part<'_>) -> Result<(), Fault> {
    seen.output = walker.string_or_skip()?.map(|raw| (kind, raw));
    Ok(())
}

/// What a string says, if it needs no decoding: names of types never do.
fn text<'a>(walker: &mut Walker<'a>) -> Result<&'a [u8], Fault> {
    Ok(walker.string_or_skip()?.map(|inner| walker.bytes(&inner)).unwrap_or_default())
}

fn stop(reason: &[u8]) -> Option<StopKind> {
    match reason {
        b"" => None,
        b"end_turn" | b"stop_sequence" => Some(StopKind::End),
        b"tool_use" => Some(StopKind::ToolUse),
        b"max_tokens" | b"model_context_window_exceeded" => Some(StopKind::Length),
        _ => Some(StopKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_finds_what_the_walk_finds() {
        for text in ["", "hi", r"a\n\u00e9 {}", r#"say \"x\""#, r"back\\", r"\\\\ x"] {
            for (name, key) in
                [("text_delta", "text"), ("input_json_delta", "partial_json"), ("thinking_delta", "thinking")]
            {
                for pad in ["", "    "] {
                    let data = format!(
                        r#"{{"type":"content_block_delta","index":12,"delta":{{"type":"{name}","{key}":"{text}"}}{pad}}}"#
                    );
                    let spaced = data.replace(r#"{"type":"content"#, r#"{ "type":"content"#);
                    let seen = |data: &str| {
                        let mut seen = Vec::new();
                        Answer::default()
                            .event(data.as_bytes(), &mut |signal| seen.push(format!("{signal:?}")));
                        seen
                    };
                    assert!(usual_delta(spaced.as_bytes()).is_none());
                    assert_eq!(seen(&data), seen(&spaced), "{data}");
                    assert_eq!(seen(&data).len(), 1, "{data}");
                }
            }
        }
        assert!(
            usual_delta(
                br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#
            )
            .is_some()
        );
    }
}
