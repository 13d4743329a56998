//! Members that say how to answer.

use super::{Reader, Thinking, flag, is_null, number, says_nothing, text};
use crate::{
    dialect::{
        json::{Key, Kind, Walker},
        neutral::{At, CacheMark, Format, Json, Malformed, ToolChoice, Weight},
    },
    types::Dialect,
};

impl<'a> Reader<'a, '_> {
    /// Visits the members of an object; `null` has none.
    pub(super) fn object(
        &mut self,
        walker: &mut Walker<'a>,
        field: &str,
        mut each: impl FnMut(&mut Self, &mut Walker<'a>, Key<'a>) -> Result<(), Malformed>,
    ) -> Result<bool, Malformed> {
        if is_null(walker)? {
            return Ok(false);
        }
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(field, "must be an object"));
        }
        walker.members(|walker, key| each(self, walker, key))?;
        Ok(true)
    }

    /// Passes a member that has no place in the neutral form, and writes it down if it says something.
    pub(super) fn lost(
        &mut self,
        walker: &mut Walker<'a>,
        field: impl FnOnce() -> String,
        weight: Weight,
        why: &'static str,
    ) -> Result<(), Malformed> {
        let value = Json::read(walker)?;
        if !says_nothing(&value) {
            self.losses.add(field(), weight, why);
        }
        Ok(())
    }

    /// A `cache_control`, of the block or tool there or of the request.
    pub(super) fn mark(
        &mut self,
        walker: &mut Walker<'a>,
        at: Option<At>,
    ) -> Result<Option<CacheMark>, Malformed> {
        const NAME: &str = "cache_control";
        let mut mark = CacheMark::Short;
        let is_there = self.object(walker, NAME, |reader, walker, key| {
            match key.raw {
                b"type" => walker.pass()?,
                b"ttl" => {
                    if text(walker, "cache_control.ttl")?.is_some_and(|ttl| ttl.raw() == "1h") {
                        mark = CacheMark::Long;
                    }
                }
                // `scope`, sent by builds of Claude Code: who shares the entry.
                key => {
                    let name = || {
                        let key = String::from_utf8_lossy(key);
                        match at {
                            Some(at) => format!("{}.{NAME}.{key}", at.path(Dialect::Anthropic)),
                            None => format!("{NAME}.{key}"),
                        }
                    };
                    reader.lost(walker, name, Weight::Hint, "is known to Anthropic's own API only")?;
                }
            }
            Ok(())
        })?;
        Ok(is_there.then_some(mark))
    }

    pub(super) fn stop_sequences(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if is_null(walker)? {
            return Ok(());
        }
        if walker.kind()? != Kind::Array {
            return Err(Malformed::new("stop_sequences", "must be an array"));
        }
        walker.elements(|walker| match text(walker, "stop_sequences")? {
            Some(sequence) => {
                self.request.sampling.stop.push(sequence);
                Ok(())
            }
            None => Err(Malformed::new("stop_sequences", "must hold strings only")),
        })
    }

    pub(super) fn metadata(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        self.object(walker, "metadata", |reader, walker, key| match key.raw {
            b"user_id" => {
                reader.request.user = text(walker, "metadata.user_id")?;
                Ok(())
            }
            other => {
                let name = || format!("metadata.{}", String::from_utf8_lossy(other));
                reader.lost(walker, name, Weight::Hint, "is not known here")
            }
        })?;
        Ok(())
    }

    pub(super) fn thinking(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        let (mut kind, mut budget, mut display) = (None, None, None);
        let is_there = self.object(walker, "thinking", |reader, walker, key| {
            match key.raw {
                b"type" => kind = text(walker, "thinking.type")?,
                b"budget_tokens" => budget = number(walker, "thinking.budget_tokens")?,
                b"display" => display = text(walker, "thinking.display")?,
                other => {
                    let name = || format!("thinking.{}", String::from_utf8_lossy(other));
                    reader.lost(walker, name, Weight::Meaning, "is not known here")?;
                }
            }
            Ok(())
        })?;
        if !is_there {
            return Ok(());
        }
        let kind = kind.ok_or_else(|| Malformed::new("thinking.type", "is missing"))?;
        let missing = || Malformed::new("thinking.budget_tokens", "is missing");
        self.settings.thinking = Some(match kind.raw() {
            "disabled" => Thinking::Disabled,
            "adaptive" => Thinking::Adaptive,
            "enabled" => Thinking::Enabled(budget.ok_or_else(missing)?),
            "between_tools" => {
                let why = "asks for thinking between tool calls alone, which only Anthropic knows";
                self.losses.add("thinking.type", Weight::Hint, why);
                Thinking::Adaptive
            }
            _ => return Err(Malformed::new("thinking.type", "is none that is known")),
        });
        self.settings.unseen = display.is_some_and(|display| display.raw() == "omitted");
        Ok(())
    }

    pub(super) fn output_config(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        self.object(walker, "output_config", |reader, walker, key| match key.raw {
            b"effort" => {
                reader.settings.effort = text(walker, "output_config.effort")?;
                Ok(())
            }
            b"format" => reader.format(walker, "output_config.format"),
            b"task_budget" => {
                let name = || "output_config.task_budget".to_owned();
                reader.lost(walker, name, Weight::Meaning, "is known to Anthropic's own API only")
            }
            other => {
                let name = || format!("output_config.{}", String::from_utf8_lossy(other));
                reader.lost(walker, name, Weight::Meaning, "is not known here")
            }
        })?;
        Ok(())
    }

    /// `output_config.format`, or `output_format`, as it was called while it was a beta.
    pub(super) fn format(&mut self, walker: &mut Walker<'a>, field: &'static str) -> Result<(), Malformed> {
        let (mut kind, mut schema) = (None, None);
        let is_there = self.object(walker, field, |reader, walker, key| {
            match key.raw {
                b"type" => kind = text(walker, field)?,
                b"schema" => schema = Some(Json::read(walker)?),
                other => {
                    let name = || format!("{field}.{}", String::from_utf8_lossy(other));
                    reader.lost(walker, name, Weight::Meaning, "is not known here")?;
                }
            }
            Ok(())
        })?;
        if !is_there {
            return Ok(());
        }
        if kind.is_none_or(|kind| kind.raw() != "json_schema") {
            return Err(Malformed::new(format!("{field}.type"), "must be `json_schema`"));
        }
        let Some(schema) = schema.filter(Json::is_object) else {
            return Err(Malformed::new(format!("{field}.schema"), "must be an object"));
        };
        // Schemas may leave members optional here; strictness in OpenAI's sense does not let them.
        let format = Format::Schema { name: None, description: None, schema, strict: None };
        self.request.format = Some(format);
        Ok(())
    }

    pub(super) fn tool_choice(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        let (mut kind, mut name) = (None, None);
        let is_there = self.object(walker, "tool_choice", |reader, walker, key| {
            match key.raw {
                b"type" => kind = text(walker, "tool_choice.type")?,
                b"name" => name = text(walker, "tool_choice.name")?,
                b"disable_parallel_tool_use" => {
                    let disabled = flag(walker, "tool_choice.disable_parallel_tool_use")?;
                    reader.request.parallel_tools = disabled.map(|disabled| !disabled);
                }
                other => {
                    let name = || format!("tool_choice.{}", String::from_utf8_lossy(other));
                    reader.lost(walker, name, Weight::Meaning, "is not known here")?;
                }
            }
            Ok(())
        })?;
        if !is_there {
            return Ok(());
        }
        let kind = kind.ok_or_else(|| Malformed::new("tool_choice.type", "is missing"))?;
        let missing = || Malformed::new("tool_choice.name", "is missing");
        self.request.tool_choice = Some(match kind.raw() {
            "auto" => ToolChoice::Auto,
            "any" => ToolChoice::Any,
            "none" => ToolChoice::None,
            "tool" => ToolChoice::Named(name.ok_or_else(missing)?),
            _ => return Err(Malformed::new("tool_choice.type", "is none that is known")),
        });
        Ok(())
    }
}
