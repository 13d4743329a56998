//! Everything beside messages and tools.

use super::{Found, value};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{Effort, Escaped, Format, Json, Malformed, Reasoning, Weight},
};

/// Known to be harmless: the answer is the same without them. Storage, tags and traces, and a guess at
/// the answer that makes it come faster (`prediction`).
const HINTS: [&[u8]; 6] = [b"metadata", b"store", b"prediction", b"session_id", b"trace", b"usage"];

impl<'a> Found<'a, '_> {
    pub(super) fn setting(&mut self, walker: &mut Walker<'a>, key: &'a [u8]) -> Result<(), Malformed> {
        let request = &mut self.request;
        match key {
            b"stream" => request.stream = value::bool(walker, &"stream")?.unwrap_or(false),
            b"stream_options" => request.include_usage = stream_options(walker)?,
            b"max_completion_tokens" => {
                request.max_output = value::count(walker, &"max_completion_tokens")?;
            }
            b"max_tokens" => self.max_tokens = value::count(walker, &"max_tokens")?,
            b"safety_identifier" => request.user = value::string(walker, &"safety_identifier")?,
            b"user" => self.user = value::string(walker, &"user")?,
            b"service_tier" => {
                request.tier = value::string(walker, &"service_tier")?.filter(|tier| tier.raw() != "auto");
            }
            b"verbosity" => {
                request.verbosity =
                    value::string(walker, &"verbosity")?.filter(|verbosity| verbosity.raw() != "medium");
            }
            b"prompt_cache_key" => request.cache.key = value::string(walker, &"prompt_cache_key")?,
            b"prompt_cache_retention" => {
                let retention = value::string(walker, &"prompt_cache_retention")?;
                request.cache.long = retention.is_some_and(|retention| retention.raw() == "24h");
            }
            b"prompt_cache_options" => self.cache_options(walker)?,
            b"cache_control" => request.cache.auto = value::mark(walker, &"cache_control")?,
            b"response_format" => self.format(walker)?,
            b"reasoning_effort" => {
                if let Some(level) = value::string(walker, &"reasoning_effort")? {
                    request.reasoning = Some(reasoning(level));
                }
            }
            b"reasoning" => self.reasoning_object(walker)?,
            b"thinking" => self.thinking(walker)?,
            _ => return self.sampling(walker, key),
        }
        Ok(())
    }

    fn sampling(&mut self, walker: &mut Walker<'a>, key: &'a [u8]) -> Result<(), Malformed> {
        let name = String::from_utf8_lossy(key);
        let sampling = &mut self.request.sampling;
        // What is nothing to the model is nothing to write down either.
        let penalty = |number: Option<Json<'a>>| {
            number.filter(|number| number.as_str().parse::<f64>().is_ok_and(|number| number != 0.0))
        };
        match key {
            b"temperature" => sampling.temperature = value::number(walker, &name)?,
            b"top_p" => sampling.top_p = value::number(walker, &name)?,
            b"top_k" => sampling.top_k = value::number(walker, &name)?,
            b"seed" => sampling.seed = value::number(walker, &name)?,
            b"frequency_penalty" => sampling.frequency_penalty = penalty(value::number(walker, &name)?),
            b"presence_penalty" => sampling.presence_penalty = penalty(value::number(walker, &name)?),
            b"logit_bias" => {
                let bias = value::object(walker, &name)?;
                sampling.logit_bias = bias.filter(|bias| bias.as_str().contains(':'));
            }
            b"stop" => sampling.stop = stop(walker)?,
            b"n" => {
                if value::count(walker, &name)?.is_some_and(|n| n != 1) {
                    self.losses.add("n", Weight::Meaning, "must be 1 where the answer is translated");
                }
            }
            b"logprobs" => {
                if value::bool(walker, &name)? == Some(true) {
                    self.losses.add(
                        "logprobs",
                        Weight::Meaning,
                        "is not told where the answer is translated",
                    );
                }
            }
            // Means nothing without `logprobs`, which is refused above.
            b"top_logprobs" => value::count(walker, &name).map(drop)?,
            b"modalities" => self.modalities(walker)?,
            _ if HINTS.contains(&key) => {
                if value::says_something(walker)? {
                    self.losses.add(name.into_owned(), Weight::Hint, "is left out");
                }
            }
            _ => {
                if value::says_something(walker)? {
                    let why = match key {
                        b"functions" | b"function_call" => {
                            "is the older form, whose answers are not written: use tools"
                        }
                        _ => "is not translated",
                    };
                    self.losses.add(name.into_owned(), Weight::Meaning, why);
                }
            }
        }
        Ok(())
    }

    fn modalities(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if !value::is_array(walker, &"modalities")? {
            return Ok(());
        }
        walker.elements(|walker| {
            let kind = value::string(walker, &"modalities")?;
            if kind.is_some_and(|kind| kind.raw() != "text") {
                self.losses.add("modalities", Weight::Meaning, "may only hold \"text\"");
            }
            Ok(())
        })
    }

    fn cache_options(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if !value::is_object(walker, &"prompt_cache_options")? {
            return Ok(());
        }
        walker.members(|walker, key| {
            let said = value::string(walker, &"prompt_cache_options")?;
            let default: &str = if key.raw == b"mode" { "implicit" } else { "30m" };
            if said.is_some_and(|said| said.raw() != default) {
                self.losses.add("prompt_cache_options", Weight::Hint, "is left out");
            }
            Ok(())
        })
    }

    fn format(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if !value::is_object(walker, &"response_format")? {
            return Ok(());
        }
        let (mut kind, mut schema, mut other) = (None, None, false);
        walker.members(|walker, key| {
            match key.raw {
                b"type" => kind = value::string(walker, &"response_format.type")?,
                b"json_schema" => schema = json_schema(walker)?,
                _ => other |= value::says_something(walker)?,
            }
            Ok::<(), Malformed>(())
        })?;
        self.request.format = match kind.as_ref().map(Escaped::raw) {
            Some("text") if !other => None,
            Some("json_object") if !other => Some(Format::JsonObject),
            Some("json_schema") if !other => match schema {
                Some(schema) => Some(schema),
                None => return Err(Malformed::new("response_format.json_schema", "is missing")),
            },
            Some(_) => {
                self.losses.add("response_format", Weight::Meaning, "is of a form that is not translated");
                None
            }
            None => return Err(Malformed::new("response_format.type", "is missing")),
        };
        Ok(())
    }

    /// OpenRouter's form: `{"effort": "high"}`, `{"max_tokens": 2000}`, `{"enabled": true}`.
    fn reasoning_object(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if !value::is_object(walker, &"reasoning")? {
            return Ok(());
        }
        let (mut effort, mut enabled, mut summary) = (None, None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"effort" => {
                    if let Some(level) = value::string(walker, &"reasoning.effort")? {
                        effort = Some(reasoning(level).effort);
                    }
                }
                b"max_tokens" => {
                    if let Some(tokens) = value::count(walker, &"reasoning.max_tokens")? {
                        effort = Some(if tokens == 0 { Effort::Off } else { Effort::Budget(tokens) });
                    }
                }
                b"enabled" => enabled = value::bool(walker, &"reasoning.enabled")?,
                b"summary" => summary = value::string(walker, &"reasoning.summary")?,
                _ => {
                    if value::says_something(walker)? {
                        let name = format!("reasoning.{}", String::from_utf8_lossy(key.raw));
                        self.losses.add(name, Weight::Hint, "is left out");
                    }
                }
            }
            Ok::<(), Malformed>(())
        })?;
        let effort = match enabled {
            Some(false) => Some(Effort::Off),
            Some(true) => Some(effort.unwrap_or(Effort::Adaptive(None))),
            None => effort,
        };
        if let Some(effort) = effort {
            self.request.reasoning = Some(Reasoning { effort, summary });
        }
        Ok(())
    }

    /// The form of DeepSeek and others: `{"type": "enabled" | "disabled", "budget_tokens": 2000}`.
    fn thinking(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if !value::is_object(walker, &"thinking")? {
            return Ok(());
        }
        let (mut kind, mut budget) = (None, None);
        walker.members(|walker, key| {
            match key.raw {
                b"type" => kind = value::string(walker, &"thinking.type")?,
                b"budget_tokens" => budget = value::count(walker, &"thinking.budget_tokens")?,
                _ => {
                    if value::says_something(walker)? {
                        let name = format!("thinking.{}", String::from_utf8_lossy(key.raw));
                        self.losses.add(name, Weight::Hint, "is left out");
                    }
                }
            }
            Ok::<(), Malformed>(())
        })?;
        let effort = match (kind.as_ref().map(Escaped::raw), budget) {
            (Some("disabled"), _) => Effort::Off,
            (Some(_), Some(tokens)) => Effort::Budget(tokens),
            // An effort may be named beside it.
            (Some(_), None) if self.request.reasoning.is_some() => return Ok(()),
            (Some(_), None) => Effort::Adaptive(None),
            (None, _) => return Err(Malformed::new("thinking.type", "is missing")),
        };
        self.request.reasoning = Some(Reasoning { effort, summary: None });
        Ok(())
    }
}

fn reasoning(level: Escaped<'_>) -> Reasoning<'_> {
    let effort = if level.raw() == "none" { Effort::Off } else { Effort::Level(level) };
    Reasoning { effort, summary: None }
}

fn stream_options(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    let mut include_usage = false;
    if value::is_object(walker, &"stream_options")? {
        walker.members(|walker, key| {
            match key.raw {
                b"include_usage" => {
                    let name = "stream_options.include_usage";
                    include_usage = value::bool(walker, &name)?.unwrap_or(false);
                }
                // `include_obfuscation`: ours is never padded.
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
    }
    Ok(include_usage)
}

fn stop<'a>(walker: &mut Walker<'a>) -> Result<Vec<Escaped<'a>>, Malformed> {
    let mut stops = Vec::new();
    if walker.kind()? == Kind::Array {
        walker.elements(|walker| {
            stops.extend(value::string(walker, &"stop")?);
            Ok::<(), Malformed>(())
        })?;
    } else {
        stops.extend(value::string(walker, &"stop")?);
    }
    Ok(stops)
}

fn json_schema<'a>(walker: &mut Walker<'a>) -> Result<Option<Format<'a>>, Malformed> {
    if !value::is_object(walker, &"response_format.json_schema")? {
        return Ok(None);
    }
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    walker.members(|walker, key| {
        match key.raw {
            b"name" => name = value::string(walker, &"response_format.json_schema.name")?,
            b"description" => {
                description = value::string(walker, &"response_format.json_schema.description")?;
            }
            b"schema" => schema = value::object(walker, &"response_format.json_schema.schema")?,
            b"strict" => strict = value::bool(walker, &"response_format.json_schema.strict")?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    // A schema that is left out allows any object.
    let schema = schema.unwrap_or(Json::written(r#"{"type":"object"}"#));
    Ok(Some(Format::Schema { name, description, schema, strict }))
}
