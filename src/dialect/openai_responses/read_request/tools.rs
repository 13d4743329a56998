//! Tools, and which of them is to be called.

use super::{
    ELSEWHERE,
    take::{self, Here},
};
use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Key, Kind, Walker},
    neutral::{At, Escaped, Json, Losses, Malformed, Request, Tool, ToolChoice, ToolKind, Weight},
};

/// Reads `tools`.
pub(super) fn read<'a>(
    walker: &mut Walker<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    request.tools.clear();
    take::elements(walker, Here::top("tools"), |walker, number| {
        let tool = tool(walker, At::Tool(number), losses)?;
        request.tools.push(tool);
        Ok(())
    })
}

/// What a tool says of itself.
#[derive(Default)]
struct Found<'a> {
    kind: Option<Escaped<'a>>,
    name: Option<Escaped<'a>>,
    description: Option<Escaped<'a>>,
    parameters: Option<Json<'a>>,
    format: Option<Json<'a>>,
    strict: Option<bool>,
    /// Members that change what the tool is, and which no other dialect has a word for.
    others: Vec<(&'a [u8], Weight)>,
}

fn tool<'a>(walker: &mut Walker<'a>, at: At, losses: &mut Losses) -> Result<Tool<'a>, Malformed> {
    let here = |name| Here::of(at, name);
    if walker.kind()? != Kind::Object {
        return Err(here("").wrong("must be an object"));
    }
    let start = walker.at();
    let mut found = Found::default();
    walker.members(|walker, key| found.member(walker, &key, at))?;
    let Some(kind) = found.kind.take() else { return Err(here("type").wrong("is missing")) };
    let takes = match kind.raw() {
        "function" => ToolKind::Function(found.parameters),
        "custom" => ToolKind::Custom(found.format),
        _ => {
            // Its definition is copied as a whole: it has to be JSON through and through.
            let definition = Json::read(&mut Walker::new(walker.bytes(&(start..walker.at())), MAX_DEPTH))?;
            let name = found.name.unwrap_or_else(|| kind.clone());
            let kind = ToolKind::Hosted { kind, definition };
            return Ok(Tool { at, name, description: None, kind, strict: None, mark: None });
        }
    };
    let Some(name) = found.name.filter(|name| !name.is_empty()) else {
        return Err(here("name").wrong("is missing"));
    };
    for (key, weight) in found.others {
        let path = Here::of(at, "").path();
        losses.add(format!("{path}.{}", take::name(key)), weight, ELSEWHERE);
    }
    Ok(Tool { at, name, description: found.description, kind: takes, strict: found.strict, mark: None })
}

impl<'a> Found<'a> {
    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>, at: At) -> Result<(), Malformed> {
        let here = |name| Here::of(at, name);
        match (key.raw, walker.kind()?) {
            (b"type", _) => self.kind = take::string(walker, here("type"))?,
            (b"name", _) => self.name = take::string(walker, here("name"))?,
            (b"description", Kind::String | Kind::Scalar) => {
                self.description = take::string(walker, here("description"))?;
            }
            // Hosted tools have members of these names, too, of whatever type.
            (b"parameters", Kind::Object) => self.parameters = Some(Json::read(walker)?),
            (b"format", Kind::Object) => self.format = Some(Json::read(walker)?),
            (b"strict", Kind::Scalar) => self.strict = take::boolean(walker, here("strict"))?,
            (b"output_schema", _) => self.other(walker, key, Weight::Hint)?,
            (b"allowed_callers", Kind::Array) => {
                let span = walker.skip()?;
                if walker.bytes(&span) != br#"["direct"]"# {
                    self.others.push((key.raw, Weight::Meaning));
                }
            }
            _ => self.other(walker, key, Weight::Meaning)?,
        }
        Ok(())
    }

    fn other(&mut self, walker: &mut Walker<'a>, key: &Key<'a>, weight: Weight) -> Result<(), Malformed> {
        if !take::is_unset(walker)? {
            self.others.push((key.raw, weight));
        }
        Ok(())
    }
}

/// Reads `tool_choice`.
pub(super) fn choice<'a>(
    walker: &mut Walker<'a>,
    losses: &mut Losses,
) -> Result<Option<ToolChoice<'a>>, Malformed> {
    let here = Here::top("tool_choice");
    if walker.kind()? != Kind::Object {
        let Some(word) = take::string(walker, here)? else { return Ok(None) };
        return match word.raw() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Any)),
            "none" => Ok(Some(ToolChoice::None)),
            _ => Err(here.wrong("must be auto, required, none or an object")),
        };
    }
    let (mut kind, mut name, mut mode) = (None, None, None);
    walker.members(|walker, key| {
        match key.raw {
            b"type" => kind = take::string(walker, Here::top("tool_choice.type"))?,
            b"name" => name = take::string(walker, Here::top("tool_choice.name"))?,
            b"mode" => mode = take::string(walker, Here::top("tool_choice.mode"))?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    match (kind.as_ref().map(Escaped::raw), name) {
        (Some("function" | "custom"), Some(name)) => Ok(Some(ToolChoice::Named(name))),
        (Some("function" | "custom"), None) => Err(Here::top("tool_choice.name").wrong("is missing")),
        (Some("allowed_tools"), _) => {
            losses.add(
                "tool_choice.tools",
                Weight::Meaning,
                "lists some of the tools: all are offered there",
            );
            let some = mode.is_some_and(|mode| mode.raw() == "required");
            Ok(Some(if some { ToolChoice::Any } else { ToolChoice::Auto }))
        }
        (Some(_), _) => {
            losses.add("tool_choice", Weight::Meaning, "names a tool that the provider does not have");
            Ok(None)
        }
        (None, _) => Err(Here::top("tool_choice.type").wrong("is missing")),
    }
}
