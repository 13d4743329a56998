//! Answers: the events of a stream, or one response object.

use crate::{
    dialect::{
        answer::{
            EventKind, MAX_DEPTH, See, count, delta, error, id, members_or_skip, objects_or_skip,
            openai_usage,
        },
        fault,
        json::{Fault, Key, Kind, Walker},
        signal::{DeltaKind, Signal, StopKind, UpstreamFault},
        view::Span,
    },
    types::ReportedUsage,
};

/// Reads the events of one stream.
#[derive(Default)]
pub(in crate::dialect) struct Answer {
    started: bool,
    ended: bool,
    called: bool,
    last_sequence: Option<u64>,
}

/// What an event's members said.
#[derive(Default)]
struct Event<'a> {
    kind: &'a [u8],
    delta: Option<Span>,
    call: Option<Span>,
    response: Response<'a>,
    /// An `error` event's own words.
    fault: UpstreamFault,
}

/// A response object.
#[derive(Default)]
struct Response<'a> {
    id: Option<Span>,
    model: Option<Span>,
    tier: Option<Span>,
    status: &'a [u8],
    why_incomplete: &'a [u8],
    usage: Option<ReportedUsage>,
    error: Option<UpstreamFault>,
}

impl Answer {
    /// Whether a clean end now is a complete answer. There is no stop reason before the end here.
    pub(in crate::dialect) const fn is_complete(&self) -> bool {
        self.ended
    }

    /// The last `sequence_number`.
    pub(in crate::dialect) const fn last_sequence(&self) -> Option<u64> {
        self.last_sequence
    }

    /// Reads one event's data.
    pub(in crate::dialect) fn event(&mut self, data: &[u8], see: See<'_>) -> EventKind {
        if data == b"[DONE]" {
            // OpenAI never sends it here; hosts that imitate both dialects do, after the end.
            return EventKind::Answer;
        }
        let mut walker = Walker::new(data, MAX_DEPTH);
        let mut event = Event::default();
        // An event that is not JSON is the client's to complain about; it passes.
        if walker.members(|walker, key| self.member(walker, &key, &mut event)).is_ok() {
            self.show(&walker, event, see);
        }
        EventKind::Answer
    }

    fn member<'a>(
        &mut self,
        walker: &mut Walker<'a>,
        key: &Key<'a>,
        event: &mut Event<'a>,
    ) -> Result<(), Fault> {
        match key.raw {
            b"type" => event.kind = text(walker)?,
            b"sequence_number" => self.last_sequence = count(walker)?.or(self.last_sequence),
            b"delta" => event.delta = walker.string_or_skip()?,
            b"item" => members_or_skip(walker, |walker, key| {
                match key.raw {
                    b"call_id" => event.call = walker.string_or_skip()?,
                    _ => walker.pass()?,
                }
                Ok(())
            })?,
            b"response" => {
                members_or_skip(walker, |walker, key| response(walker, &key, &mut event.response))?;
            }
            b"code" | b"message" | b"param" => fault::member(walker, key.raw, &mut event.fault)?,
            // The shape of the other dialects, from hosts that are not sure which one they speak.
            b"error" => event.fault = error(walker)?.unwrap_or_default(),
            _ => walker.pass()?,
        }
        Ok(())
    }

    fn show(&mut self, walker: &Walker<'_>, event: Event<'_>, see: See<'_>) {
        let kind = event.kind.strip_prefix(b"response.").unwrap_or(event.kind);
        if let Some(kind) = kind.strip_suffix(b".delta").and_then(delta_kind) {
            let shown = event.delta.is_some_and(|raw| delta(see, kind, walker.bytes(&raw)));
            if !shown {
                see(Signal::Lifecycle);
            }
            return;
        }
        let response = event.response;
        if !self.started
            && let Some(id) = response.id.as_ref().and_then(|inner| id(walker, inner))
        {
            self.started = true;
            see(Signal::Started { id });
            response.show_model(walker, see);
        }
        response.show_tier(walker, see);
        match kind {
            b"output_item.added" => {
                let Some(id) = event.call.and_then(|inner| id(walker, &inner)) else {
                    return see(Signal::Lifecycle);
                };
                self.called = true;
                see(Signal::ToolCall { id });
            }
            b"completed" | b"incomplete" | b"cancelled" | b"failed" => {
                self.ended = true;
                response.show_end(kind, self.called, see);
            }
            b"error" => see(Signal::Error(event.fault)),
            _ => see(Signal::Lifecycle),
        }
    }
}

/// What `response.<this>.delta` carries; `None` for what is no output of the model's.
fn delta_kind(name: &[u8]) -> Option<DeltaKind> {
    match name {
        b"output_text" | b"refusal" | b"audio.transcript" => Some(DeltaKind::Text),
        b"reasoning_text" | b"reasoning_summary_text" | b"reasoning" | b"reasoning_summary" => {
            Some(DeltaKind::Thinking)
        }
        b"function_call_arguments"
        | b"custom_tool_call_input"
        | b"mcp_call_arguments"
        | b"mcp_call.arguments"
        | b"code_interpreter_call_code" => Some(DeltaKind::ToolArguments),
        _ => None,
    }
}

impl Response<'_> {
    fn show_model(&self, walker: &Walker<'_>, see: See<'_>) {
        if let Some(model) = self.model.as_ref().and_then(|inner| id(walker, inner)) {
            see(Signal::Model(model));
        }
    }

    fn show_tier(&self, walker: &Walker<'_>, see: See<'_>) {
        if let Some(tier) = self.tier.as_ref().and_then(|inner| id(walker, inner)) {
            see(Signal::Tier(tier));
        }
    }

    /// Shows how a response ended.
    fn show_end(self, status: &[u8], called: bool, see: See<'_>) {
        if let Some(usage) = self.usage {
            see(Signal::Usage(usage));
        }
        let stop = match status {
            b"failed" => return see(Signal::Error(self.error.unwrap_or_default())),
            b"completed" if called => StopKind::ToolUse,
            b"completed" => StopKind::End,
            b"incomplete" if self.why_incomplete == b"max_output_tokens" => StopKind::Length,
            _ => StopKind::Other,
        };
        see(Signal::Stop(stop));
        see(Signal::Terminal);
    }
}

fn response<'a>(walker: &mut Walker<'a>, key: &Key<'a>, seen: &mut Response<'a>) -> Result<(), Fault> {
    match key.raw {
        b"id" => seen.id = walker.string_or_skip()?,
        b"model" => seen.model = walker.string_or_skip()?,
        b"service_tier" => seen.tier = walker.string_or_skip()?,
        b"status" => seen.status = text(walker)?,
        b"usage" => seen.usage = openai_usage(walker)?,
        b"error" => seen.error = error(walker)?,
        b"incomplete_details" => members_or_skip(walker, |walker, key| {
            match key.raw {
                b"reason" => seen.why_incomplete = text(walker)?,
                _ => walker.pass()?,
            }
            Ok(())
        })?,
        _ => walker.pass()?,
    }
    Ok(())
}

/// Reads a whole answer that was not streamed. One that still runs in the background has no end yet.
pub(in crate::dialect) fn whole(body: &[u8], see: See<'_>) -> Result<(), Fault> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut seen = Response::default();
    let mut called = false;
    walker.members(|walker, key| {
        if key.raw == b"output" {
            objects_or_skip(walker, |walker| {
                called |= item(walker, see)?;
                Ok(())
            })?;
            return Ok(());
        }
        response(walker, &key, &mut seen)?;
        if key.raw == b"id"
            && let Some(id) = seen.id.as_ref().and_then(|inner| id(walker, inner))
        {
            see(Signal::Started { id });
        }
        Ok::<(), Fault>(())
    })?;
    walker.finish()?;
    seen.show_model(&walker, see);
    seen.show_tier(&walker, see);
    match seen.status {
        b"queued" | b"in_progress" => see(Signal::Lifecycle),
        // An error body under a 200.
        b"" if seen.error.is_some() => seen.show_end(b"failed", called, see),
        // Hosts that leave the status out answer when they are done.
        b"" => seen.show_end(b"completed", called, see),
        status => seen.show_end(status, called, see),
    }
    Ok(())
}

/// Shows one item of the output; whether it calls a tool.
fn item(walker: &mut Walker<'_>, see: See<'_>) -> Result<bool, Fault> {
    let mut called = false;
    let mut reasoning = false;
    walker.members(|walker, key| {
        match (key.raw, walker.kind()?) {
            (b"type", Kind::String) => reasoning = text(walker)? == b"reasoning",
            (b"call_id", Kind::String) => {
                let inner = walker.string()?;
                if let Some(id) = id(walker, &inner) {
                    called = true;
                    see(Signal::ToolCall { id });
                }
            }
            (b"arguments" | b"input", Kind::String) => {
                let inner = walker.string()?;
                delta(see, DeltaKind::ToolArguments, walker.bytes(&inner));
            }
            (b"content" | b"summary", Kind::Array) => {
                let thinks = reasoning || key.raw == b"summary";
                let kind = if thinks { DeltaKind::Thinking } else { DeltaKind::Text };
                objects_or_skip(walker, |walker| {
                    walker.members(|walker, key| {
                        let text = walker.string_or_skip()?;
                        if let (b"text" | b"refusal", Some(inner)) = (key.raw, text) {
                            delta(see, kind, walker.bytes(&inner));
                        }
                        Ok(())
                    })
                })?;
            }
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    })?;
    Ok(called)
}

/// What a string says, if it needs no decoding: names of types never do.
fn text<'a>(walker: &mut Walker<'a>) -> Result<&'a [u8], Fault> {
    Ok(walker.string_or_skip()?.map(|inner| walker.bytes(&inner)).unwrap_or_default())
}
