//! `usageMetadata`.

use crate::{
    dialect::{
        answer::count,
        json::{Fault, Kind, Walker},
    },
    types::ReportedUsage,
};

pub(super) struct Read {
    pub reported: ReportedUsage,
    /// The tier that served, where it is not the usual one.
    pub tier: Option<&'static str>,
}

/// Google's prompt includes what was read from the cache, and neither what its own tools brought nor,
/// among the candidates' tokens, what was thought. Its total is the sum of these. Each chunk has the
/// figures anew, so that one without cached tokens means that there are none.
pub(super) fn read(walker: &mut Walker<'_>) -> Result<Option<Read>, Fault> {
    if walker.kind()? != Kind::Object {
        walker.pass()?;
        return Ok(None);
    }
    let (mut prompt, mut cached, mut tools) = (None, None, None);
    let (mut said, mut thought, mut tier) = (None, None, None);
    walker.members(|walker, key| {
        match key.raw {
            b"promptTokenCount" => prompt = count(walker)?,
            b"cachedContentTokenCount" => cached = count(walker)?,
            b"toolUsePromptTokenCount" => tools = count(walker)?,
            b"candidatesTokenCount" => said = count(walker)?,
            b"thoughtsTokenCount" => thought = count(walker)?,
            b"trafficType" => {
                let value = walker.skip()?;
                tier = match walker.bytes(&value) {
                    b"\"ON_DEMAND_PRIORITY\"" => Some("priority"),
                    b"\"ON_DEMAND_FLEX\"" => Some("flex"),
                    _ => None,
                };
            }
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    })?;
    let read = cached.unwrap_or(0);
    let output = [said, thought].into_iter().flatten().reduce(u64::saturating_add);
    let reported = ReportedUsage {
        input: prompt.map(|prompt: u64| prompt.saturating_sub(read).saturating_add(tools.unwrap_or(0))),
        cached_read: prompt.map(|prompt| read.min(prompt)),
        output,
        reasoning: thought,
        ..ReportedUsage::default()
    };
    Ok(Some(Read { reported, tier }))
}
