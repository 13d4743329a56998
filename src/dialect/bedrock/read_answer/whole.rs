//! `Converse`: the whole answer in one piece.

use super::{
    super::fault::{exception, unreadable},
    blocks::{Blocks, Filling, Wrong},
    end::{Ending, object},
};
use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Kind, Walker},
    neutral::{Escaped, Event, Json, Maker, Malformed, Show},
};

/// Reads a whole answer: shows the same events that a stream of it would.
pub(in crate::dialect) fn read_answer(body: &[u8], maker: Maker, show: Show<'_>) -> Result<(), Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut ending = Ending::default();
    let mut content = Content { blocks: Blocks::new(maker), next: 0, seen: false, wrong: None };
    walker.members(|walker, key| match key.raw {
        b"output" => object(walker, |walker, key| match key {
            b"message" => object(walker, |walker, key| match key {
                b"content" => content.read(walker, show),
                _ => Ok(walker.pass()?),
            }),
            _ => Ok(walker.pass()?),
        }),
        key => ending.member(walker, key),
    })?;
    walker.finish()?;
    if let Some(wrong) = content.wrong {
        show(Event::Error(unreadable(wrong)));
    } else if content.seen {
        ending.show(show);
    } else {
        show(Event::Error(exception("", body)));
    }
    Ok(())
}

struct Content {
    blocks: Blocks,
    next: u64,
    /// There is an answer.
    seen: bool,
    /// A block that has no place in the neutral form.
    wrong: Option<Wrong>,
}

impl Content {
    fn read(&mut self, walker: &mut Walker<'_>, show: Show<'_>) -> Result<(), Malformed> {
        if walker.kind()? != Kind::Array || std::mem::replace(&mut self.seen, true) {
            return Err(Malformed::new("output.message.content", "one array is expected"));
        }
        show(Event::Start { id: None, model: None });
        walker.elements(|walker| {
            let index = self.next;
            self.next += 1;
            object(walker, |walker, key| {
                if let Err(wrong) = self.block(walker, key, index, show)? {
                    self.wrong = self.wrong.or(Some(wrong));
                }
                Ok(())
            })?;
            self.blocks.close(index, show);
            Ok(())
        })
    }

    fn block<'a>(
        &mut self,
        walker: &mut Walker<'a>,
        key: &[u8],
        index: u64,
        show: Show<'_>,
    ) -> Result<Result<(), Wrong>, Malformed> {
        Ok(match key {
            b"text" => match Escaped::read(walker)? {
                Some(text) => self.blocks.fill(index, Filling::Text, text, show),
                None => Err("a text is no string"),
            },
            b"toolUse" => self.call(walker, index, show)?,
            b"reasoningContent" => self.thinking(walker, index, show)?,
            b"citationsContent" => self.cited(walker, index, show)?,
            _ => {
                walker.pass()?;
                Err("a block is of an unknown kind")
            }
        })
    }

    fn call(
        &mut self,
        walker: &mut Walker<'_>,
        index: u64,
        show: Show<'_>,
    ) -> Result<Result<(), Wrong>, Malformed> {
        let (mut id, mut name, mut input, mut ours) = (None, None, None, true);
        object(walker, |walker, key| {
            match key {
                b"toolUseId" => id = Escaped::read(walker)?,
                b"name" => name = Escaped::read(walker)?,
                b"input" => input = Some(Json::read(walker)?),
                b"type" => ours &= Escaped::read(walker)?.is_none(),
                _ => walker.pass()?,
            }
            Ok(())
        })?;
        let (Some(id), Some(name), true) = (id, name, ours) else {
            return Ok(Err("a block of an unknown kind begins"));
        };
        let arguments = input.map(|input| input.spelled()).unwrap_or_default();
        let opened = self.blocks.call(index, id, name, show);
        Ok(opened.and_then(|()| self.blocks.fill(index, Filling::Arguments, arguments, show)))
    }

    fn thinking(
        &mut self,
        walker: &mut Walker<'_>,
        index: u64,
        show: Show<'_>,
    ) -> Result<Result<(), Wrong>, Malformed> {
        let (mut text, mut signature, mut redacted) = (None, None, None);
        object(walker, |walker, key| match key {
            b"reasoningText" => object(walker, |walker, key| {
                match key {
                    b"text" => text = Escaped::read(walker)?,
                    b"signature" => signature = Escaped::read(walker)?,
                    _ => walker.pass()?,
                }
                Ok(())
            }),
            b"redactedContent" => {
                redacted = Escaped::read(walker)?;
                Ok(())
            }
            _ => Ok(walker.pass()?),
        })?;
        let mut done = self.blocks.fill(index, Filling::Thinking, text.unwrap_or_default(), show);
        if let Some(signature) = signature {
            done = done.and_then(|()| self.blocks.sign(index, &signature, show));
        }
        if let Some(redacted) = redacted {
            done = done.and_then(|()| self.blocks.redact(index, &redacted, show));
        }
        Ok(done)
    }

    /// Text with its sources.
    fn cited(
        &mut self,
        walker: &mut Walker<'_>,
        index: u64,
        show: Show<'_>,
    ) -> Result<Result<(), Wrong>, Malformed> {
        let mut done = Ok(());
        // Sources stand behind what they are for, whichever member comes first.
        let mut sources = Vec::new();
        object(walker, |walker, key| match key {
            b"content" if walker.kind()? == Kind::Array => walker.elements(|walker| {
                object(walker, |walker, key| {
                    match (key, walker.kind()?) {
                        (b"text", Kind::String) => {
                            let text = Escaped::read(walker)?.unwrap_or_default();
                            done = done.and_then(|()| self.blocks.fill(index, Filling::Text, text, show));
                        }
                        _ => walker.pass()?,
                    }
                    Ok(())
                })
            }),
            b"citations" if walker.kind()? == Kind::Array => walker.elements(|walker| {
                sources.push(Json::read(walker)?);
                Ok::<(), Malformed>(())
            }),
            _ => Ok(walker.pass()?),
        })?;
        for source in sources {
            done = done.and_then(|()| self.blocks.cite(index, source, show));
        }
        Ok(done)
    }
}
