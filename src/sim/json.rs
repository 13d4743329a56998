//! JSON that keeps the order of its keys.
//!
//! Key order is part of a prompt: a provider's cache sees `{"a":1,"b":2}` and `{"b":2,"a":1}` as
//! different text. White space and escapes are not. So [`Json`] keeps order and repeated keys, and
//! [`Json::write`] gives one spelling of a value: what prefixes are hashed over and tokens counted from.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A value, in the order it was written in.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole document.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("The request body is not valid JSON: {e}"))
    }

    /// The last value of a key, as parsers that keep maps have it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// A text under a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::as_text)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    pub(super) fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether a key holds `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Self::Bool(true)))
    }

    /// Appends the one spelling of this value. Keys in `without` are left out of this map and, one
    /// level down, of the blocks in its `content`.
    pub(super) fn write(&self, without: &[&str], out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => write_list(items, &[], out),
            Self::Map(pairs) => {
                out.push(b'{');
                let mut first = true;
                for (key, value) in pairs.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
                    if !first {
                        out.push(b',');
                    }
                    first = false;
                    write_text(key, out);
                    out.push(b':');
                    match value {
                        Self::List(items) if key == "content" => write_list(items, without, out),
                        _ => value.write(&[], out),
                    }
                }
                out.push(b'}');
            }
        }
    }

    /// The one spelling of this value.
    pub(super) fn to_bytes(&self, without: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(without, &mut out);
        out
    }

    /// The same value as `serde_json` has it, for answers that give a part of the request back.
    pub(super) fn to_value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.to_bytes(&[])).unwrap_or(serde_json::Value::Null)
    }
}

fn write_list(items: &[Json], without: &[&str], out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        item.write(without, out);
    }
    out.push(b']');
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing a string into a `Vec` cannot fail.
    let _ = serde_json::to_writer(out, text);
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = from.next_entry()? {
            pairs.push(pair);
        }
        Ok(Json::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelling(text: &str) -> String {
        String::from_utf8(Json::parse(text.as_bytes()).unwrap().to_bytes(&["cache_control"])).unwrap()
    }

    #[test]
    fn white_space_and_escapes_do_not_matter_but_key_order_does() {
        assert_eq!(spelling(r#"{ "a" : "\u0041" }"#), spelling(r#"{"a":"A"}"#));
        assert_ne!(spelling(r#"{"a":1,"b":2}"#), spelling(r#"{"b":2,"a":1}"#));
    }

    #[test]
    fn cache_control_is_left_out_of_a_block_and_of_the_blocks_in_its_content() {
        assert_eq!(
            spelling(
                r#"{"type":"tool_result","content":[{"text":"x","cache_control":{}}],"cache_control":1}"#
            ),
            r#"{"type":"tool_result","content":[{"text":"x"}]}"#
        );
    }

    #[test]
    fn a_tool_parameter_named_like_the_marker_is_content() {
        let text = r#"{"input_schema":{"cache_control":{"type":"string"}}}"#;
        assert_eq!(spelling(text), text);
    }

    #[test]
    fn odd_numbers_and_repeated_keys_are_read() {
        let json = Json::parse(br#"{"a":1,"a":123456789012345678901234567890,"b":-0,"c":1.0e+2}"#).unwrap();
        assert!(matches!(json.get("a"), Some(Json::Number(n)) if n.is_f64()));
        assert!(Json::parse(b"{").is_err());
    }
}
