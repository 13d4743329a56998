//! Tools and which of them to call.

use super::value;
use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Kind, Walker},
    neutral::{At, Escaped, Json, Losses, Malformed, Tool, ToolChoice, ToolKind, Weight},
};

pub(super) fn definitions<'a>(
    walker: &mut Walker<'a>,
    tools: &mut Vec<Tool<'a>>,
    losses: &mut Losses,
) -> Result<(), Malformed> {
    if !value::is_array(walker, &"tools")? {
        return Ok(());
    }
    let mut i = 0;
    walker.elements(|walker| {
        tools.push(definition(walker, i, losses)?);
        i += 1;
        Ok(())
    })
}

/// The members of `function` or `custom`.
#[derive(Default)]
struct Inner<'a> {
    name: Option<Escaped<'a>>,
    description: Option<Escaped<'a>>,
    parameters: Option<Json<'a>>,
    format: Option<Json<'a>>,
    strict: Option<bool>,
}

fn definition<'a>(walker: &mut Walker<'a>, i: u32, losses: &mut Losses) -> Result<Tool<'a>, Malformed> {
    if walker.kind()? != Kind::Object {
        return Err(Malformed::new(format!("tools[{i}]"), "must be an object"));
    }
    let start = walker.at();
    let (mut kind, mut inner, mut mark) = (None, Inner::default(), None);
    walker.members(|walker, key| {
        match key.raw {
            b"type" => kind = value::string(walker, &format_args!("tools[{i}].type"))?,
            b"function" | b"custom" => {
                let name = String::from_utf8_lossy(key.raw);
                if value::is_object(walker, &format_args!("tools[{i}].{name}"))? {
                    inner = self::inner(walker, i, &name, losses)?;
                }
            }
            b"cache_control" => mark = value::mark(walker, &format_args!("tools[{i}].cache_control"))?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    let Inner { name, description, parameters, format, strict } = inner;
    let (name, kind) = match kind.as_ref().map_or("function", Escaped::raw) {
        "function" => (required(name, i, "function")?, ToolKind::Function(parameters)),
        "custom" => (required(name, i, "custom")?, ToolKind::Custom(format)),
        _ => {
            let kind = kind.unwrap_or_default();
            let whole = walker.bytes(&(start..walker.at()));
            let definition = Json::read(&mut Walker::new(whole, MAX_DEPTH))?;
            (name.unwrap_or_else(|| kind.clone()), ToolKind::Hosted { kind, definition })
        }
    };
    Ok(Tool { at: At::Tool(i), name, description, kind, strict, mark })
}

fn required<'a>(name: Option<Escaped<'a>>, i: u32, of: &str) -> Result<Escaped<'a>, Malformed> {
    name.ok_or_else(|| Malformed::new(format!("tools[{i}].{of}.name"), "is missing"))
}

fn inner<'a>(walker: &mut Walker<'a>, i: u32, of: &str, losses: &mut Losses) -> Result<Inner<'a>, Malformed> {
    let mut inner = Inner::default();
    walker.members(|walker, key| {
        let at = |member: &'static str| format!("tools[{i}].{of}.{member}");
        match key.raw {
            b"name" => inner.name = value::string(walker, &format_args!("tools[{i}].{of}.name"))?,
            b"description" => {
                inner.description = value::string(walker, &format_args!("tools[{i}].{of}.description"))?;
            }
            b"parameters" => {
                inner.parameters = value::object(walker, &format_args!("tools[{i}].{of}.parameters"))?;
            }
            b"strict" => inner.strict = value::bool(walker, &format_args!("tools[{i}].{of}.strict"))?,
            b"format" => inner.format = grammar(walker, &at("format"))?,
            _ => {
                if value::says_something(walker)? {
                    let name = format!("tools[{i}].{of}.{}", String::from_utf8_lossy(key.raw));
                    losses.add(name, Weight::Meaning, "is not translated");
                }
            }
        }
        Ok::<(), Malformed>(())
    })?;
    Ok(inner)
}

/// The format of a free-form tool, in the neutral form's words, which are Responses': what Chat nests
/// in `grammar` stands beside `type` there. `None` for free text.
fn grammar<'a>(walker: &mut Walker<'a>, name: &str) -> Result<Option<Json<'a>>, Malformed> {
    if !value::is_object(walker, &name)? {
        return Ok(None);
    }
    let (mut definition, mut syntax) = (None, None);
    walker.members(|walker, key| {
        if key.raw != b"grammar" {
            return Ok(walker.pass()?);
        }
        if !value::is_object(walker, &format_args!("{name}.grammar"))? {
            return Ok(());
        }
        walker.members(|walker, key| {
            match key.raw {
                b"definition" => {
                    definition = value::string(walker, &format_args!("{name}.grammar.definition"))?;
                }
                b"syntax" => syntax = value::string(walker, &format_args!("{name}.grammar.syntax"))?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })
    })?;
    let (Some(definition), Some(syntax)) = (definition, syntax) else { return Ok(None) };
    Ok(Some(Json::from_text(format!(
        r#"{{"type":"grammar","syntax":"{}","definition":"{}"}}"#,
        syntax.raw(),
        definition.raw()
    ))))
}

/// Which tool to call.
pub(super) fn choice<'a>(
    walker: &mut Walker<'a>,
    losses: &mut Losses,
) -> Result<Option<ToolChoice<'a>>, Malformed> {
    if walker.kind()? != Kind::Object {
        let Some(word) = value::string(walker, &"tool_choice")? else { return Ok(None) };
        return match word.raw() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            // Mistral's word for it stands beside OpenAI's.
            "required" | "any" => Ok(Some(ToolChoice::Any)),
            _ => Err(Malformed::new("tool_choice", "must be \"none\", \"auto\", \"required\" or an object")),
        };
    }
    let (mut named, mut other) = (None, false);
    walker.members(|walker, key| {
        match key.raw {
            b"type" => walker.pass()?,
            b"function" | b"custom" => named = chosen(walker)?,
            _ => other |= value::says_something(walker)?,
        }
        Ok::<(), Malformed>(())
    })?;
    match named {
        Some(name) => Ok(Some(ToolChoice::Named(name))),
        None if other => {
            losses.add("tool_choice", Weight::Meaning, "is of a form that is not translated");
            Ok(None)
        }
        None => Err(Malformed::new("tool_choice", "names no function")),
    }
}

/// The name in `{"name": "..."}`.
fn chosen<'a>(walker: &mut Walker<'a>) -> Result<Option<Escaped<'a>>, Malformed> {
    let mut named = None;
    if value::is_object(walker, &"tool_choice.function")? {
        walker.members(|walker, key| {
            match key.raw {
                b"name" => named = value::string(walker, &"tool_choice.function.name")?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
    }
    Ok(named)
}
