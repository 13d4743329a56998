//! What the readers of answers share: how signals are shown, and figures read.

use crate::{
    dialect::{
        fault,
        json::{self, Fault, Kind, Walker},
        signal::{DeltaKind, Signal, UpstreamFault},
        view::Span,
    },
    types::ReportedUsage,
};

/// Answers nest no deeper than this but in what we skip.
pub(super) const MAX_DEPTH: usize = 128;

/// Who is shown what was seen.
pub(super) type See<'s> = &'s mut dyn FnMut(Signal<'_>);

/// What an event means for forwarding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EventKind {
    /// Part of the answer.
    Answer,
    /// Nothing but the usage that `include_usage` asks for.
    UsageOnly,
}

/// Shows output, if there is any.
pub(super) fn delta(see: See<'_>, kind: DeltaKind, raw: &[u8]) -> bool {
    if !raw.is_empty() {
        see(Signal::Delta { kind, raw });
    }
    !raw.is_empty()
}

/// The id between these quotes.
pub(super) fn id(walker: &Walker<'_>, inner: &Span) -> Option<String> {
    json::decode_id(walker.bytes(&(inner.start - 1..inner.end + 1)))
}

/// Passes a value; gives it if it is a count.
pub(super) fn count(walker: &mut Walker<'_>) -> Result<Option<u64>, Fault> {
    let span = walker.skip()?;
    Ok(json::count(walker.bytes(&span)))
}

/// Reads an error object (or the bare words that some hosts send); `None` for `null`.
pub(super) fn error(walker: &mut Walker<'_>) -> Result<Option<UpstreamFault>, Fault> {
    let mut found = UpstreamFault::default();
    match walker.kind()? {
        Kind::Object => fault::object(walker, &mut found)?,
        Kind::String => fault::member(walker, b"message", &mut found)?,
        Kind::Scalar | Kind::Array => {
            walker.skip()?;
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Visits the members of an object; passes anything else.
pub(super) fn members_or_skip<'a>(
    walker: &mut Walker<'a>,
    each: impl FnMut(&mut Walker<'a>, json::Key<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if walker.kind()? == Kind::Object { walker.members(each) } else { walker.pass() }
}

/// Visits the objects of an array; passes anything else. Gives the number of elements, `None` when
/// it is no array.
pub(super) fn objects_or_skip<'a>(
    walker: &mut Walker<'a>,
    mut each: impl FnMut(&mut Walker<'a>) -> Result<(), Fault>,
) -> Result<Option<usize>, Fault> {
    if walker.kind()? != Kind::Array {
        walker.skip()?;
        return Ok(None);
    }
    let mut count = 0;
    walker.elements(|walker| {
        count += 1;
        if walker.kind()? == Kind::Object { each(walker) } else { walker.pass() }
    })?;
    Ok(Some(count))
}

/// Reads the `usage` of OpenAI's dialects (providers: OpenAI usage); `None` for `null`.
///
/// Their input counts everything; ours counts what was neither read from nor written to a cache.
pub(super) fn openai_usage(walker: &mut Walker<'_>) -> Result<Option<ReportedUsage>, Fault> {
    if walker.kind()? != Kind::Object {
        return walker.skip().map(|_| None);
    }
    let mut usage = ReportedUsage::default();
    let mut total = None;
    let mut written = None;
    walker.members(|walker, key| {
        match key.raw {
            b"prompt_tokens" | b"input_tokens" => total = count(walker)?.or(total),
            b"completion_tokens" | b"output_tokens" => usage.output = count(walker)?.or(usage.output),
            // DeepSeek's way to say `cached_tokens`.
            b"prompt_cache_hit_tokens" => usage.cached_read = usage.cached_read.or(count(walker)?),
            b"prompt_tokens_details" | b"input_tokens_details" => {
                members_or_skip(walker, |walker, key| {
                    match key.raw {
                        b"cached_tokens" => usage.cached_read = count(walker)?.or(usage.cached_read),
                        b"cache_write_tokens" => written = count(walker)?,
                        b"cache_write_tokens_details" => members_or_skip(walker, |walker, key| {
                            match key.raw {
                                b"ttl_30m_tokens" => usage.write_5m = count(walker)?,
                                b"ttl_12h_tokens" => usage.write_1h = count(walker)?,
                                _ => walker.pass()?,
                            }
                            Ok(())
                        })?,
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?;
            }
            b"completion_tokens_details" | b"output_tokens_details" => {
                members_or_skip(walker, |walker, key| {
                    match key.raw {
                        b"reasoning_tokens" => usage.reasoning = count(walker)?.or(usage.reasoning),
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?;
            }
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    })?;
    if let Some(written) = written {
        // Written for the usual time, but for what the details name.
        usage.write_5m = Some(written.saturating_sub(usage.write_1h.unwrap_or(0)));
    }
    let elsewhere = [usage.cached_read, usage.write_5m, usage.write_1h].into_iter().flatten();
    usage.input = total.map(|total| elsewhere.fold(total, u64::saturating_sub));
    Ok(Some(usage))
}
