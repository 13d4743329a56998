//! Structured output: an answer that keeps to the JSON schema that a request asks for.

use serde_json::{Map, Value};

/// Where the dialects put the schema.
const PLACES: [&str; 4] = [
    "/output_config/format/schema",
    "/response_format/json_schema/schema",
    "/text/format/schema",
    "/generationConfig/responseJsonSchema",
];
/// Converse has it as text.
const CONVERSE: &str = "/outputConfig/textFormat/structure/jsonSchema/schema";

/// No schema goes deeper than this, whatever it refers to.
const DEEPEST: usize = 16;

/// An answer to a body that asks for a form; `None` when it asks for none.
pub(super) fn wanted(body: &[u8]) -> Option<String> {
    // Nearly all ask for none, and are long.
    memchr::memmem::find(body, b"chema\":")?;
    let body: Value = serde_json::from_slice(body).ok()?;
    let spelled =
        body.pointer(CONVERSE).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    let schema = spelled.or_else(|| PLACES.iter().find_map(|place| body.pointer(place)).cloned())?;
    Some(sample(&schema, &schema, 0).to_string())
}

/// The least that a schema allows. `root` is where references begin.
fn sample(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let inner = |schema: &Value| sample(schema, root, depth + 1);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#')))
    {
        return inner(target);
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    for one_of in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[one_of].get(0) {
            return inner(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0).and_then(Value::as_str));
    match kind {
        Some("object") => {
            let members = schema["properties"].as_object().into_iter().flatten();
            Value::Object(members.map(|(name, schema)| (name.clone(), inner(schema))).collect::<Map<_, _>>())
        }
        Some("array") => Value::from(vec![inner(&schema["items"])]),
        Some("string") => "warm".into(),
        Some("integer") => 1.into(),
        Some("number") => 0.5.into(),
        Some("boolean") => true.into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Option<&str>) {
        assert_eq!(wanted(body.as_bytes()).as_deref(), expected, "{body}");
    }

    #[test]
    fn every_dialect_says_it_elsewhere() {
        let schema = r#"{"type":"object","properties":{"sure":{"type":"boolean"}}}"#;
        let form = Some(r#"{"sure":true}"#);
        check(
            &format!(r#"{{"output_config":{{"format":{{"type":"json_schema","schema":{schema}}}}}}}"#),
            form,
        );
        check(&format!(r#"{{"response_format":{{"json_schema":{{"schema":{schema}}}}}}}"#), form);
        check(&format!(r#"{{"text":{{"format":{{"schema":{schema}}}}}}}"#), form);
        check(&format!(r#"{{"generationConfig":{{"responseJsonSchema":{schema}}}}}"#), form);
        let text = Value::from(schema);
        check(
            &format!(
                r#"{{"outputConfig":{{"textFormat":{{"structure":{{"jsonSchema":{{"schema":{text}}}}}}}}}}}"#
            ),
            form,
        );
        check(r#"{"tools":[{"input_schema":{"type":"object"}}]}"#, None);
    }

    #[test]
    fn references_lead_somewhere_and_end() {
        let schema = r##"{"type":"array","items":{"$ref":"#/$defs/node"},
            "$defs":{"node":{"anyOf":[{"enum":["yes","no"]},{"$ref":"#/$defs/node"}]}}}"##;
        check(&format!(r#"{{"text":{{"format":{{"schema":{schema}}}}}}}"#), Some(r#"["yes"]"#));
        let round = r##"{"$ref":"#"}"##;
        check(&format!(r#"{{"text":{{"format":{{"schema":{round}}}}}}}"#), Some("null"));
    }
}
