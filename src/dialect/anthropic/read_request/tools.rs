//! Tools.

use super::{Reader, flag, is_null, text};
use crate::dialect::{
    json::{Kind, Walker},
    neutral::{At, CacheMark, Escaped, Json, Malformed, Tool, ToolKind, Weight},
};

/// The members of one tool.
#[derive(Default)]
struct Read<'a> {
    kind: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    description: Option<Escaped<'a>>,
    schema: Option<Json<'a>>,
    strict: Option<bool>,
    mark: Option<CacheMark>,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn tools(&mut self, walker: &mut Walker<'a>) -> Result<(), Malformed> {
        if is_null(walker)? {
            return Ok(());
        }
        if walker.kind()? != Kind::Array {
            return Err(Malformed::new("tools", "must be an array"));
        }
        let mut index = 0;
        walker.elements(|walker| {
            let tool = self.tool(walker, index)?;
            self.request.tools.push(tool);
            index += 1;
            Ok(())
        })
    }

    fn tool(&mut self, walker: &mut Walker<'a>, index: u32) -> Result<Tool<'a>, Malformed> {
        let at = At::Tool(index);
        let field = |name: &str| format!("tools[{index}].{name}");
        if walker.kind()? != Kind::Object {
            return Err(Malformed::new(format!("tools[{index}]"), "must be an object"));
        }
        // Whose tool it is may be said behind everything else: a server's is kept as a whole.
        let mut ahead = walker.clone();
        let mut read = Read::default();
        let mut unknown = Vec::new();
        walker.members(|walker, key| {
            match key.raw {
                b"type" => read.kind = text(walker, &field("type"))?,
                b"name" => read.name = text(walker, &field("name"))?,
                b"description" => read.description = text(walker, &field("description"))?,
                b"input_schema" => read.schema = Some(Json::read(walker)?),
                b"strict" => read.strict = flag(walker, &field("strict"))?,
                b"cache_control" => read.mark = self.mark(walker, Some(at))?,
                other => unknown.push((other, Json::read(walker)?)),
            }
            Ok::<(), Malformed>(())
        })?;
        let Read { kind, name, description, schema, strict, mark } = read;
        let hosted = kind.filter(|kind| kind.raw() != "custom");
        if hosted.is_none() {
            for (name, value) in unknown {
                self.unknown(name, &value, &field);
            }
        }
        let kind = match hosted {
            Some(kind) => ToolKind::Hosted { kind, definition: Json::read(&mut ahead)? },
            None => match schema {
                Some(schema) if schema.is_object() => ToolKind::Function(Some(schema)),
                Some(_) => return Err(Malformed::new(field("input_schema"), "must be an object")),
                None => return Err(Malformed::new(field("input_schema"), "is missing")),
            },
        };
        let is_hosted = matches!(kind, ToolKind::Hosted { .. });
        let missing = || Malformed::new(field("name"), "is missing");
        let name = if is_hosted { name.unwrap_or_default() } else { name.ok_or_else(missing)? };
        Ok(Tool { at, name, description, kind, strict, mark })
    }

    /// Writes down a member of a client's tool that the neutral form has no word for.
    fn unknown(&mut self, name: &[u8], value: &Json<'_>, field: &dyn Fn(&str) -> String) {
        if super::says_nothing(value) {
            return;
        }
        let (weight, why) = match name {
            b"defer_loading" => {
                (Weight::Hint, "is known to Anthropic only; the tool is there from the start")
            }
            b"eager_input_streaming" => (Weight::Hint, "is known to Anthropic only"),
            b"input_examples" => (Weight::Hint, "is known to Anthropic only; the schema stays"),
            b"allowed_callers" if value.as_str().trim_ascii() == "[\"direct\"]" => return,
            b"allowed_callers" => (Weight::Meaning, "is known to Anthropic only"),
            _ => (Weight::Meaning, "is not known here"),
        };
        self.losses.add(field(&String::from_utf8_lossy(name)), weight, why);
    }
}
