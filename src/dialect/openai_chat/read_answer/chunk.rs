//! One chunk of a stream, or a whole completion: they differ in one key only.
//!
//! Hosts add to OpenAI's form, and leave out of it; what is read here is what any of them says.

use crate::{
    dialect::{
        answer::{self, MAX_DEPTH, openai_usage},
        json::{Kind, Walker},
        neutral::{Escaped, Json, Malformed},
        signal::UpstreamFault,
    },
    types::ReportedUsage,
};

/// What a chunk says.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    pub id: Option<Escaped<'a>>,
    pub model: Option<Escaped<'a>>,
    pub tier: Option<Escaped<'a>>,
    pub usage: Option<ReportedUsage>,
    pub choice: Option<Choice<'a>>,
    pub error: Option<UpstreamFault>,
    /// vLLM's error stands bare: `{"object": "error", "message": ...}`.
    pub is_error: bool,
}

/// The first choice; no other was asked for.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub output: Output<'a>,
    pub finish: Option<Escaped<'a>>,
    /// The stop sequence that it ran into (`stop_reason` of vLLM, `matched_stop` of SGLang).
    pub sequence: Option<Escaped<'a>>,
}

/// `delta` or `message`.
#[derive(Default)]
pub(super) struct Output<'a> {
    pub reasoning_content: Option<Escaped<'a>>,
    pub reasoning: Option<Escaped<'a>>,
    pub content: Option<Escaped<'a>>,
    /// Mistral's content, where it is an array.
    pub parts: Vec<Piece<'a>>,
    pub refusal: Option<Escaped<'a>>,
    pub annotations: Vec<Json<'a>>,
    pub calls: Vec<Call<'a>>,
}

pub(super) enum Piece<'a> {
    Text(Escaped<'a>),
    Thinking(Escaped<'a>),
}

/// One of `tool_calls`: a call, or more of one.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub index: Option<u64>,
    pub id: Option<Escaped<'a>>,
    pub name: Option<Escaped<'a>>,
    pub arguments: Option<Escaped<'a>>,
    pub custom: bool,
    /// What Google's Chat wants back with the call.
    pub extra: Option<Json<'a>>,
}

/// Reads a chunk.
pub(super) fn read(data: &[u8]) -> Result<Chunk<'_>, Malformed> {
    let mut chunk = Chunk::default();
    let mut walker = Walker::new(data, MAX_DEPTH);
    walker.members(|walker, key| {
        match key.raw {
            b"id" => chunk.id = said(walker)?,
            b"model" => chunk.model = said(walker)?,
            b"service_tier" => chunk.tier = said(walker)?,
            b"object" => chunk.is_error = said(walker)?.is_some_and(|object| object.raw() == "error"),
            b"choices" => choices(walker, &mut chunk)?,
            b"usage" => chunk.usage = openai_usage(walker)?.or(chunk.usage),
            // Groq's.
            b"x_groq" => members_or_fail(walker, |walker, key| {
                match key {
                    b"usage" => chunk.usage = chunk.usage.or(openai_usage(walker)?),
                    b"error" => chunk.error = answer::error(walker)?.or(chunk.error.take()),
                    _ => walker.pass()?,
                }
                Ok(())
            })?,
            b"error" => chunk.error = answer::error(walker)?.or(chunk.error.take()),
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish()?;
    Ok(chunk)
}

/// A string that is not empty.
fn said<'a>(walker: &mut Walker<'a>) -> Result<Option<Escaped<'a>>, Malformed> {
    Ok(Escaped::read(walker)?.filter(|text| !text.is_empty()))
}

fn members_or_fail<'a>(
    walker: &mut Walker<'a>,
    mut each: impl FnMut(&mut Walker<'a>, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if walker.kind()? != Kind::Object {
        return Ok(walker.pass()?);
    }
    walker.members(|walker, key| each(walker, key.raw))
}

fn objects_or_fail<'a>(
    walker: &mut Walker<'a>,
    mut each: impl FnMut(&mut Walker<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if walker.kind()? != Kind::Array {
        return Ok(walker.pass()?);
    }
    walker.elements(|walker| if walker.kind()? == Kind::Object { each(walker) } else { Ok(walker.pass()?) })
}

fn choices<'a>(walker: &mut Walker<'a>, chunk: &mut Chunk<'a>) -> Result<(), Malformed> {
    objects_or_fail(walker, |walker| {
        let mut choice = Choice::default();
        let (mut index, mut usage) = (0, None);
        members_or_fail(walker, |walker, key| {
            match key {
                b"index" => index = answer::count(walker)?.unwrap_or(0),
                b"delta" | b"message" => output(walker, &mut choice.output)?,
                b"finish_reason" => choice.finish = said(walker)?,
                b"stop_reason" | b"matched_stop" => {
                    choice.sequence = said(walker)?.or(choice.sequence.take());
                }
                // Kimi's.
                b"usage" => usage = openai_usage(walker)?,
                b"error" => chunk.error = answer::error(walker)?.or(chunk.error.take()),
                _ => walker.pass()?,
            }
            Ok(())
        })?;
        if index == 0 && chunk.choice.is_none() {
            chunk.usage = chunk.usage.or(usage);
            chunk.choice = Some(choice);
        }
        Ok(())
    })
}

fn output<'a>(walker: &mut Walker<'a>, output: &mut Output<'a>) -> Result<(), Malformed> {
    members_or_fail(walker, |walker, key| {
        match key {
            b"content" => content(walker, output)?,
            b"reasoning_content" => output.reasoning_content = said(walker)?,
            b"reasoning" => output.reasoning = said(walker)?,
            b"refusal" => output.refusal = said(walker)?,
            b"tool_calls" => objects_or_fail(walker, |walker| {
                output.calls.push(call(walker)?);
                Ok(())
            })?,
            // The older form, of which there is one at most.
            b"function_call" => {
                let mut called = Call { index: Some(0), ..Call::default() };
                if walker.kind()? == Kind::Object {
                    function(walker, &mut called)?;
                    output.calls.push(called);
                } else {
                    walker.pass()?;
                }
            }
            b"annotations" => objects_or_fail(walker, |walker| {
                output.annotations.push(Json::read(walker)?);
                Ok(())
            })?,
            _ => walker.pass()?,
        }
        Ok(())
    })
}

/// A string, or Mistral's parts.
fn content<'a>(walker: &mut Walker<'a>, output: &mut Output<'a>) -> Result<(), Malformed> {
    if walker.kind()? != Kind::Array {
        output.content = said(walker)?;
        return Ok(());
    }
    objects_or_fail(walker, |walker| {
        members_or_fail(walker, |walker, key| {
            match key {
                b"text" => output.parts.extend(said(walker)?.map(Piece::Text)),
                b"thinking" if walker.kind()? == Kind::Array => objects_or_fail(walker, |walker| {
                    members_or_fail(walker, |walker, key| {
                        match key {
                            b"text" => output.parts.extend(said(walker)?.map(Piece::Thinking)),
                            _ => walker.pass()?,
                        }
                        Ok(())
                    })
                })?,
                b"thinking" => output.parts.extend(said(walker)?.map(Piece::Thinking)),
                _ => walker.pass()?,
            }
            Ok(())
        })
    })
}

fn call<'a>(walker: &mut Walker<'a>) -> Result<Call<'a>, Malformed> {
    let mut called = Call::default();
    members_or_fail(walker, |walker, key| {
        match key {
            b"index" => called.index = answer::count(walker)?,
            b"id" => called.id = said(walker)?,
            b"function" => function(walker, &mut called)?,
            b"custom" => {
                called.custom = true;
                function(walker, &mut called)?;
            }
            b"extra_content" if walker.kind()? == Kind::Object => called.extra = Some(Json::read(walker)?),
            _ => walker.pass()?,
        }
        Ok(())
    })?;
    Ok(called)
}

fn function<'a>(walker: &mut Walker<'a>, called: &mut Call<'a>) -> Result<(), Malformed> {
    members_or_fail(walker, |walker, key| {
        match key {
            b"name" => called.name = said(walker)?,
            // Some hosts write the object where its text is due.
            b"arguments" if walker.kind()? == Kind::Object => {
                called.arguments = Some(Json::read(walker)?.spelled());
            }
            b"arguments" | b"input" => called.arguments = said(walker)?,
            _ => walker.pass()?,
        }
        Ok(())
    })
}
