//! `ConverseStream`: one event after the other.

use super::{
    super::fault::{exception, unreadable},
    blocks::{Blocks, Filling, Wrong},
    end::{Ending, object},
};
use crate::dialect::{
    answer::MAX_DEPTH,
    json::{self, Walker},
    neutral::{Escaped, Event, Json, Maker, Malformed, Show},
    translate::Frame,
};

/// Reads a streamed answer.
///
/// `messageStop` says why, `metadata` behind it what it cost; only then is the end shown, so that
/// whoever writes an answer knows the cost before the reason.
pub(in crate::dialect) struct AnswerReader {
    blocks: Blocks,
    ending: Ending<'static>,
    started: bool,
    over: bool,
}

/// What one event says.
#[derive(Default)]
struct Said<'a> {
    index: u64,
    start: Option<Start<'a>>,
    delta: Vec<Delta<'a>>,
}

enum Start<'a> {
    Call { id: Escaped<'a>, name: Escaped<'a> },
    Unknown,
}

enum Delta<'a> {
    Text(Escaped<'a>),
    Arguments(Escaped<'a>),
    Thinking(Escaped<'a>),
    Signature(Escaped<'a>),
    Redacted(Escaped<'a>),
    Citation(Json<'a>),
    Unknown,
}

impl AnswerReader {
    pub(in crate::dialect) fn new(maker: Maker) -> Self {
        Self { blocks: Blocks::new(maker), ending: Ending::default(), started: false, over: false }
    }

    /// Shows what one event of the stream says.
    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.over {
            return;
        }
        if frame.is_exception {
            self.over = true;
            show(Event::Error(exception(frame.kind, frame.data)));
        } else if let Err(wrong) = self.event(frame, show) {
            self.over = true;
            show(Event::Error(unreadable(&wrong)));
        }
    }

    /// The stream ended cleanly: without `metadata`, maybe.
    pub(in crate::dialect) fn end(&mut self, show: Show<'_>) {
        if !self.over && self.ending.reason.is_some() {
            self.finish(show);
        }
    }

    fn event(&mut self, frame: &Frame<'_>, show: Show<'_>) -> Result<(), String> {
        match frame.kind {
            "messageStart" => self.start(show),
            "contentBlockStart" | "contentBlockDelta" | "contentBlockStop" => {
                self.start(show);
                let said = read(frame.data).map_err(|malformed| malformed.what.into_owned())?;
                self.block(frame.kind, said, show)?;
            }
            "messageStop" => {
                self.start(show);
                self.blocks.close_all(show);
                let known = self.ending.usage.is_some();
                // The first reason counts, should there be two.
                if self.ending.reason.is_none() {
                    self.take(frame.data)?;
                    self.ending.reason.get_or_insert(crate::dialect::neutral::StopReason::Other);
                }
                if known {
                    self.finish(show);
                }
            }
            "metadata" => {
                self.take(frame.data)?;
                if self.ending.reason.is_some() {
                    self.finish(show);
                }
            }
            // What a newer service sends beside them.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, show: Show<'_>) {
        if !std::mem::replace(&mut self.started, true) {
            show(Event::Start { id: None, model: None });
        }
    }

    fn block(&mut self, kind: &str, said: Said<'_>, show: Show<'_>) -> Result<(), Wrong> {
        let Said { index, start, delta } = said;
        if kind == "contentBlockStop" {
            self.blocks.close(index, show);
            return Ok(());
        }
        match start {
            Some(Start::Call { id, name }) => self.blocks.call(index, id, name, show)?,
            Some(Start::Unknown) => return Err("a block of an unknown kind begins"),
            None => {}
        }
        for piece in delta {
            match piece {
                Delta::Text(text) => self.blocks.fill(index, Filling::Text, text, show)?,
                Delta::Arguments(text) => self.blocks.fill(index, Filling::Arguments, text, show)?,
                Delta::Thinking(text) => self.blocks.fill(index, Filling::Thinking, text, show)?,
                Delta::Signature(signature) => self.blocks.sign(index, &signature, show)?,
                Delta::Redacted(data) => self.blocks.redact(index, &data, show)?,
                Delta::Citation(citation) => self.blocks.cite(index, citation, show)?,
                Delta::Unknown => return Err("a block is of an unknown kind"),
            }
        }
        Ok(())
    }

    fn take(&mut self, data: &[u8]) -> Result<(), String> {
        let mut walker = Walker::new(data, MAX_DEPTH);
        let mut seen = Ending::default();
        object(&mut walker, |walker, key| seen.member(walker, key))
            .map_err(|malformed| malformed.what.into_owned())?;
        let seen = seen.into_owned();
        let ending = &mut self.ending;
        ending.reason = ending.reason.or(seen.reason);
        ending.sequence = ending.sequence.take().or(seen.sequence);
        ending.tier = seen.tier.or(ending.tier.take());
        if let Some(usage) = seen.usage {
            ending.usage.get_or_insert_default().overwrite(&usage);
        }
        Ok(())
    }

    fn finish(&mut self, show: Show<'_>) {
        self.over = true;
        self.blocks.close_all(show);
        std::mem::take(&mut self.ending).show(show);
    }
}

/// Reads an event of a block; its members come in any order.
fn read(data: &[u8]) -> Result<Said<'_>, Malformed> {
    let mut said = Said::default();
    let mut walker = Walker::new(data, MAX_DEPTH);
    object(&mut walker, |walker, key| {
        match key {
            b"contentBlockIndex" => {
                let span = walker.skip()?;
                said.index = json::count(walker.bytes(&span)).ok_or_else(|| {
                    Malformed::new("contentBlockIndex", "the index of a block is no number")
                })?;
            }
            b"start" => said.start = Some(start(walker)?),
            b"delta" => object(walker, |walker, key| delta(walker, key, &mut said.delta))?,
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    Ok(said)
}

fn start<'a>(walker: &mut Walker<'a>) -> Result<Start<'a>, Malformed> {
    let (mut id, mut name, mut known) = (None, None, false);
    object(walker, |walker, key| match key {
        b"toolUse" => {
            known = true;
            object(walker, |walker, key| {
                match key {
                    b"toolUseId" => id = Escaped::read(walker)?,
                    b"name" => name = Escaped::read(walker)?,
                    // A tool that the provider runs: nobody asked for one.
                    b"type" => known &= Escaped::read(walker)?.is_none(),
                    _ => walker.pass()?,
                }
                Ok(())
            })
        }
        _ => Ok(walker.pass()?),
    })?;
    Ok(match (id, name) {
        (Some(id), Some(name)) if known => Start::Call { id, name },
        _ => Start::Unknown,
    })
}

fn delta<'a>(walker: &mut Walker<'a>, key: &[u8], to: &mut Vec<Delta<'a>>) -> Result<(), Malformed> {
    let text = |walker: &mut Walker<'a>, make: fn(Escaped<'a>) -> Delta<'a>| {
        Escaped::read(walker).map(|text| text.map_or(Delta::Unknown, make))
    };
    match key {
        b"text" => to.push(text(walker, Delta::Text)?),
        b"toolUse" => object(walker, |walker, key| {
            match key {
                b"input" => to.push(text(walker, Delta::Arguments)?),
                _ => walker.pass()?,
            }
            Ok(())
        })?,
        b"reasoningContent" => object(walker, |walker, key| {
            match key {
                b"text" => to.push(text(walker, Delta::Thinking)?),
                b"signature" => to.push(text(walker, Delta::Signature)?),
                b"redactedContent" => to.push(text(walker, Delta::Redacted)?),
                _ => walker.pass()?,
            }
            Ok(())
        })?,
        b"citation" => to.push(Delta::Citation(Json::read(walker)?)),
        // An image, a tool's result: parts of an answer that no client's dialect has.
        _ => {
            walker.pass()?;
            to.push(Delta::Unknown);
        }
    }
    Ok(())
}
