//! What one event's members say.

use super::{Item, Place};
use crate::{
    dialect::{
        answer::{count, error, members_or_skip, openai_usage},
        fault,
        json::{Key, Kind, Walker},
        neutral::{Escaped, Json, Malformed},
        signal::UpstreamFault,
    },
    types::ReportedUsage,
};

/// An event.
#[derive(Default)]
pub(super) struct Read<'a> {
    pub kind: &'a str,
    pub place: Place,
    pub item: Option<Item<'a>>,
    pub delta: Option<Escaped<'a>>,
    /// All of what the deltas said (`text`, `refusal`, `arguments`, `input`).
    pub whole: Option<Escaped<'a>>,
    pub annotation: Option<Json<'a>>,
    pub response: Option<Response<'a>>,
    /// An `error` event's own words.
    pub fault: UpstreamFault,
}

/// A response object.
#[derive(Default)]
pub(super) struct Response<'a> {
    pub id: Option<Escaped<'a>>,
    pub model: Option<Escaped<'a>>,
    pub tier: Option<Escaped<'a>>,
    pub status: &'a str,
    pub why_incomplete: &'a str,
    pub output: Vec<Item<'a>>,
    pub usage: Option<ReportedUsage>,
    pub error: Option<UpstreamFault>,
}

/// Reads one event.
pub(super) fn read<'a>(walker: &mut Walker<'a>) -> Result<Read<'a>, Malformed> {
    let mut read = Read::default();
    walker.members(|walker, key| member(walker, &key, &mut read))?;
    walker.finish()?;
    Ok(read)
}

fn member<'a>(walker: &mut Walker<'a>, key: &Key<'a>, read: &mut Read<'a>) -> Result<(), Malformed> {
    match (key.raw, walker.kind()?) {
        (b"type", _) => read.kind = word(walker)?,
        (b"output_index", _) => read.place.item = count(walker)?.unwrap_or(0),
        (b"content_index" | b"summary_index", _) => read.place.part = count(walker)?.unwrap_or(0),
        (b"delta", _) => read.delta = Escaped::read(walker)?,
        (b"text" | b"refusal" | b"arguments" | b"input", _) => read.whole = Escaped::read(walker)?,
        (b"item", Kind::Object) => read.item = Some(Item::read(walker)?),
        (b"annotation", Kind::Object) => read.annotation = Some(Json::read(walker)?),
        (b"response", Kind::Object) => read.response = Some(Response::read(walker)?),
        (b"code" | b"message" | b"param", _) => fault::member(walker, key.raw, &mut read.fault)?,
        // The shape of the other dialects, from hosts that are not sure which one they speak.
        (b"error", _) => {
            if let Some(fault) = error(walker)? {
                read.fault = fault;
                if read.kind.is_empty() {
                    read.kind = "error";
                }
            }
        }
        _ => walker.pass()?,
    }
    Ok(())
}

impl<'a> Response<'a> {
    pub(super) fn read(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let mut response = Self::default();
        walker.members(|walker, key| response.member(walker, &key))?;
        Ok(response)
    }

    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>) -> Result<(), Malformed> {
        match (key.raw, walker.kind()?) {
            (b"id", _) => self.id = Escaped::read(walker)?,
            (b"model", _) => self.model = Escaped::read(walker)?,
            (b"service_tier", _) => self.tier = Escaped::read(walker)?,
            (b"status", _) => self.status = word(walker)?,
            (b"usage", _) => self.usage = openai_usage(walker)?,
            (b"error", _) => self.error = error(walker)?,
            (b"incomplete_details", _) => members_or_skip(walker, |walker, key| {
                if key.raw == b"reason" {
                    let span = walker.string_or_skip()?;
                    let reason = span.map(|span| walker.bytes(&span)).unwrap_or_default();
                    self.why_incomplete = std::str::from_utf8(reason).unwrap_or_default();
                    return Ok(());
                }
                walker.pass()
            })?,
            (b"output", Kind::Array) => walker.elements(|walker| {
                if walker.kind()? == Kind::Object {
                    self.output.push(Item::read(walker)?);
                    return Ok(());
                }
                walker.pass().map_err(Malformed::from)
            })?,
            _ => walker.pass()?,
        }
        Ok(())
    }
}

/// What a string says, if it needs no decoding: names of types never do.
pub(super) fn word<'a>(walker: &mut Walker<'a>) -> Result<&'a str, Malformed> {
    let span = walker.string_or_skip()?;
    let bytes = span.map(|span| walker.bytes(&span)).unwrap_or_default();
    Ok(std::str::from_utf8(bytes).unwrap_or_default())
}
