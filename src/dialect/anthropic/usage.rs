//! What an answer says it used.

use crate::{
    dialect::{
        answer::{count, id, members_or_skip},
        json::{Fault, Walker},
    },
    types::ReportedUsage,
};

/// Reads the figures of one answer.
#[derive(Default)]
pub(super) struct Figures {
    /// Tokens written for the long time, as far as reported: a later total includes them.
    long_writes: u64,
    /// Named by the usage that was read last.
    pub(super) tier: Option<String>,
}

impl Figures {
    pub(super) const fn new() -> Self {
        Self { long_writes: 0, tier: None }
    }

    /// Reads a `usage` (providers: Anthropic usage); `None` for `null`. Any figure may be `null` or
    /// missing: it says nothing then.
    pub(super) fn read(&mut self, walker: &mut Walker<'_>) -> Result<Option<ReportedUsage>, Fault> {
        let mut usage = ReportedUsage::default();
        let (mut written, mut is_object) = (None, false);
        members_or_skip(walker, |walker, key| {
            is_object = true;
            match key.raw {
                b"input_tokens" => usage.input = count(walker)?,
                b"cache_read_input_tokens" => usage.cached_read = count(walker)?,
                b"cache_creation_input_tokens" => written = count(walker)?,
                b"cache_creation" => members_or_skip(walker, |walker, key| {
                    match key.raw {
                        b"ephemeral_5m_input_tokens" => usage.write_5m = count(walker)?,
                        b"ephemeral_1h_input_tokens" => usage.write_1h = count(walker)?,
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?,
                b"output_tokens" => usage.output = count(walker)?,
                b"service_tier" => {
                    let inner = walker.string_or_skip()?;
                    self.tier = inner.and_then(|inner| id(walker, &inner));
                }
                b"output_tokens_details" => members_or_skip(walker, |walker, key| {
                    match key.raw {
                        b"thinking_tokens" | b"reasoning_tokens" => usage.reasoning = count(walker)?,
                        _ => walker.pass()?,
                    }
                    Ok(())
                })?,
                _ => walker.pass()?,
            }
            Ok(())
        })?;
        self.long_writes = usage.write_1h.unwrap_or(self.long_writes);
        if usage.write_5m.is_none()
            && let Some(written) = written
        {
            // A total without its split: short writes, but for the long ones already known.
            usage.write_5m = Some(written.saturating_sub(self.long_writes));
        }
        Ok(is_object.then_some(usage))
    }
}
