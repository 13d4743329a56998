//! `openapi.json` against the routes, the words and the forms.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{OPENAPI, route::ROUTES};
use crate::live::{KeySettings, LevelSettings};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        described.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let routes: BTreeSet<String> =
        ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(described, routes);
    assert_eq!(routes.len(), ROUTES.len(), "no route is there twice");
}

#[test]
fn settings_are_described_whole() {
    let schemas = &document()["components"]["schemas"];
    let full: KeySettings = serde_json::from_str(
        r#"{"name": "a", "team": "t", "tags": ["x"], "expires": "2999-01-01T00:00:00Z", "models": ["m"],
            "providers": ["p"], "regions": ["r"], "budgets": [{"usd": 1, "per": "day"}],
            "session_budgets": [{"tokens": 1, "per": "total", "soft": true}], "cache_ttl": "1h", "keep_alive": true,
            "limits": {"rpm": 1, "tpm": 1, "itpm": 1, "otpm": 1, "count_cached": true, "concurrent": 1, "sessions": 1, "turns": 1}}"#,
    )
    .unwrap();
    let written: Value = serde_json::from_str(&serde_json::to_string(&full).unwrap()).unwrap();
    for schema in ["KeySettings", "KeyPatch"] {
        assert_eq!(keys(&schemas[schema]["properties"]), keys(&written), "{schema}");
    }
    for schema in
        [&schemas["Limits"]["properties"], &schemas["KeyPatch"]["properties"]["limits"]["properties"]]
    {
        assert_eq!(keys(schema), keys(&written["limits"]));
    }
    let budgets = [&written["budgets"][0], &written["session_budgets"][0]];
    let members: BTreeSet<String> = budgets.into_iter().flat_map(keys).collect();
    assert_eq!(keys(&schemas["Budget"]["properties"]), members);
    let level = serde_json::to_value(LevelSettings::default()).unwrap();
    assert_eq!(keys(&schemas["LevelSettings"]["properties"]), keys(&level));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{to}");
                }
                members.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    walk(&document, &document);
}
