//! Thought signatures, and whether they came back.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::{json::Json, prompt::hash_of, refusal::Refusal};

/// What Google documents for calls that its model did not make.
const FOREIGN: &[&str] = &["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

/// The signature of a call: nothing but the model that made it can know it.
pub(super) fn of(name: &str, arguments: &Json) -> String {
    let arguments = arguments.to_bytes(&[]);
    let hash = hash_of(&["thought", name, &String::from_utf8_lossy(&arguments)]);
    STANDARD.encode(format!("sim thought {hash:016x}"))
}

/// Checks the conversation since the last words of the user: the first call of each step must be signed.
/// Earlier turns are not looked at, as with the real thing.
pub(super) fn check(contents: &[Json]) -> Result<(), Refusal> {
    let is_user_text = |content: &Json| {
        content.text_of("role") != Some("model")
            && parts_of(content).iter().any(|part| part.get("functionResponse").is_none())
    };
    let turn = contents.iter().rposition(is_user_text).unwrap_or(0);
    for (n, content) in contents.iter().enumerate().skip(turn) {
        let first = parts_of(content).iter().find_map(|part| Some((part, part.get("functionCall")?)));
        if let Some((part, call)) = first {
            check_call(n, part, call)?;
        }
    }
    Ok(())
}

fn check_call(n: usize, part: &Json, call: &Json) -> Result<(), Refusal> {
    let name = call.text_of("name").unwrap_or("");
    let Some(signature) = part.text_of("thoughtSignature") else {
        return Err(Refusal::bad(format!(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:{name}` , position {}.",
            n + 1
        )));
    };
    let none = Json::Map(Vec::new());
    if FOREIGN.contains(&signature) || signature == of(name, call.get("args").unwrap_or(&none)) {
        return Ok(());
    }
    Err(Refusal::bad("Corrupted thought signature."))
}

pub(super) fn parts_of(content: &Json) -> &[Json] {
    content.get("parts").and_then(Json::as_list).unwrap_or(&[])
}
