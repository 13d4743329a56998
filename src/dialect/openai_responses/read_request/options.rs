//! What is asked of the model beside the conversation: thinking, the form of the answer, the cache.

use super::{
    ELSEWHERE,
    take::{self, Here},
};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{Effort, Escaped, Format, Losses, Malformed, Reasoning, Request, Weight},
};

/// Writes down a member of an object that nobody here knows.
fn unknown(
    walker: &mut Walker<'_>,
    of: &str,
    key: &[u8],
    weight: Weight,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    if !take::is_unset(walker)? {
        losses.add(format!("{of}.{}", take::name(key)), weight, ELSEWHERE);
    }
    Ok(())
}

/// Reads `reasoning`.
pub(super) fn reasoning<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    let mut effort = None;
    let mut summary = None;
    take::members(walker, Here::top("reasoning"), |walker, key| {
        match key.raw {
            b"effort" => effort = take::string(walker, Here::top("reasoning.effort"))?,
            b"summary" => summary = take::string(walker, Here::top("reasoning.summary"))?,
            // The older name of `summary`.
            b"generate_summary" => {
                let older = take::string(walker, Here::top("reasoning.generate_summary"))?;
                summary = summary.take().or(older);
            }
            b"context" => {
                let context = take::string(walker, Here::top("reasoning.context"))?;
                if context.is_some_and(|context| context.raw() != "auto") {
                    losses.add("reasoning.context", Weight::Hint, ELSEWHERE);
                }
            }
            b"mode" => {
                let mode = take::string(walker, Here::top("reasoning.mode"))?;
                if mode.is_some_and(|mode| mode.raw() != "standard") {
                    losses.add("reasoning.mode", Weight::Meaning, ELSEWHERE);
                }
            }
            _ => unknown(walker, "reasoning", key.raw, Weight::Meaning, losses)?,
        }
        Ok(())
    })?;
    let effort = effort.map(|effort: Escaped<'a>| match effort.raw() {
        "none" => Effort::Off,
        _ => Effort::Level(effort),
    });
    if effort.is_some() || summary.is_some() {
        request.reasoning = Some(Reasoning { effort: effort.unwrap_or(Effort::Adaptive(None)), summary });
    }
    Ok(())
}

/// Reads `text`.
pub(super) fn text<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    take::members(walker, Here::top("text"), |walker, key| {
        match key.raw {
            b"format" => request.format = format(walker, losses)?,
            b"verbosity" => request.verbosity = take::string(walker, Here::top("text.verbosity"))?,
            _ => unknown(walker, "text", key.raw, Weight::Meaning, losses)?,
        }
        Ok(())
    })
}

fn format<'a>(walker: &mut Walker<'a>, losses: &mut Losses) -> Result<Option<Format<'a>>, Malformed> {
    let here = Here::top;
    let (mut kind, mut name, mut description, mut schema, mut strict) = (None, None, None, None, None);
    take::members(walker, here("text.format"), |walker, key| {
        match key.raw {
            b"type" => kind = take::string(walker, here("text.format.type"))?,
            b"name" => name = take::string(walker, here("text.format.name"))?,
            b"description" => description = take::string(walker, here("text.format.description"))?,
            b"schema" => schema = take::object(walker, here("text.format.schema"))?,
            b"strict" => strict = take::boolean(walker, here("text.format.strict"))?,
            _ => unknown(walker, "text.format", key.raw, Weight::Meaning, losses)?,
        }
        Ok(())
    })?;
    let Some(kind) = kind else { return Ok(None) };
    match (kind.raw(), schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::JsonObject)),
        ("json_schema", Some(schema)) => Ok(Some(Format::Schema { name, description, schema, strict })),
        ("json_schema", None) => Err(here("text.format.schema").wrong("is missing")),
        _ => {
            losses.add("text.format", Weight::Meaning, "is of a type that is unknown to the provider");
            Ok(None)
        }
    }
}

/// Reads `include`; whether it asks for log probabilities.
pub(super) fn include(walker: &mut Walker<'_>, losses: &mut Losses) -> Result<bool, Malformed> {
    let mut logprobs = false;
    take::elements(walker, Here::top("include"), |walker, number| {
        if walker.kind()? != Kind::String {
            return Err(Malformed::new(format!("include[{number}]"), "must be a string"));
        }
        let span = walker.string()?;
        match walker.bytes(&span) {
            // Whatever is sealed is always handed over.
            b"reasoning.encrypted_content" => {}
            b"message.output_text.logprobs" => logprobs = true,
            _ => losses.add(format!("include[{number}]"), Weight::Hint, ELSEWHERE),
        }
        Ok(())
    })?;
    Ok(logprobs)
}

/// Reads `prompt_cache_retention`.
pub(super) fn retention<'a>(walker: &mut Walker<'a>, request: &mut Request<'a>) -> Result<(), Malformed> {
    let kept = take::string(walker, Here::top("prompt_cache_retention"))?;
    request.cache.long |= kept.is_some_and(|kept| kept.raw() == "24h");
    Ok(())
}

/// Reads `prompt_cache_options`.
pub(super) fn cache<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    take::members(walker, Here::top("prompt_cache_options"), |walker, key| {
        match key.raw {
            b"ttl" => {
                let ttl = take::string(walker, Here::top("prompt_cache_options.ttl"))?;
                request.cache.long |= ttl.is_some_and(|ttl| ttl.raw() == "12h");
            }
            b"mode" => {
                let mode = take::string(walker, Here::top("prompt_cache_options.mode"))?;
                if mode.is_some_and(|mode| mode.raw() != "implicit") {
                    losses.add("prompt_cache_options.mode", Weight::Hint, ELSEWHERE);
                }
            }
            // It asks for no answer at all.
            b"prewarm" => {
                if take::boolean(walker, Here::top("prompt_cache_options.prewarm"))? == Some(true) {
                    losses.add("prompt_cache_options.prewarm", Weight::Meaning, ELSEWHERE);
                }
            }
            _ => unknown(walker, "prompt_cache_options", key.raw, Weight::Hint, losses)?,
        }
        Ok(())
    })
}
