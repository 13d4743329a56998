//! Settings around the prompt: which of them belong to the provider's cache key, and which of them
//! ask for an answer.

use crate::{
    dialect::{
        json::{Kind, Walker},
        scan::{ScanError, fields::unescaped},
    },
    types::Operation,
};

/// A setting that is part of the provider's cache key, and whether it reaches the messages only. See
/// [`Settings`](crate::dialect::Settings).
pub(super) fn keyed(operation: Operation, name: &[u8]) -> Option<(&'static str, bool)> {
    Some(match (operation, name) {
        (Operation::Messages | Operation::CountTokens, name) => match name {
            b"tool_choice" => ("tool_choice", true),
            b"thinking" => ("thinking", true),
            b"output_config" => ("output_config", true),
            b"output_format" => ("output_format", true),
            b"context_management" => ("context_management", true),
            b"speed" => ("speed", false),
            b"mcp_servers" => ("mcp_servers", false),
            _ => return None,
        },
        (Operation::ChatCompletions, name) => match name {
            b"response_format" => ("response_format", false),
            b"reasoning_effort" => ("reasoning_effort", false),
            b"verbosity" => ("verbosity", false),
            b"functions" => ("functions", false),
            b"web_search_options" => ("web_search_options", false),
            _ => return None,
        },
        (Operation::Responses, name) => match name {
            b"text" => ("text", false),
            b"reasoning" => ("reasoning", false),
            b"prompt" => ("prompt", false),
            _ => return None,
        },
        (Operation::Embeddings | Operation::Completions, _) => return None,
    })
}

/// Whether a request with this setting cannot go without an answer (providers 0.6). What cannot be
/// read here counts as such.
pub(super) fn wants_answer(name: &str, value: &[u8]) -> bool {
    match name {
        "thinking" => member_of(value, "type").is_none_or(|kind| kind == br#""enabled""#),
        "tool_choice" => {
            member_of(value, "type").is_none_or(|kind| !matches!(kind, br#""auto""# | br#""none""#))
        }
        "output_config" => member_of(value, "format").is_some_and(|format| format != b"null"),
        "output_format" => value != b"null",
        _ => false,
    }
}

/// The raw value of a member of an object; the last one of that name.
fn member_of<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut walker = Walker::new(object, usize::MAX);
    let mut found = None;
    if walker.kind() == Ok(Kind::Object) {
        let read = walker.members(|walker, key| {
            let value = walker.skip()?;
            if unescaped(walker, &key, |key| (key == name.as_bytes()).then_some(())).is_some() {
                found = Some(walker.bytes(&value));
            }
            Ok::<(), ScanError>(())
        });
        read.ok()?;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{RequestView, ScanLimits, Settings, scan};

    fn view(operation: Operation, body: &str) -> RequestView {
        scan(operation, body.as_bytes(), &ScanLimits::default())
            .unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    #[test]
    fn settings_of_the_cache_key_are_told_apart_by_value_and_by_reach() {
        let with = |operation, more: &str| view(operation, &format!(r#"{{"model":"m"{more}}}"#)).settings;
        let anthropic = |more: &str| with(Operation::Messages, more);
        assert_eq!(anthropic(r#","temperature":1,"speed":null"#), Settings::default());
        let speed = anthropic(r#","speed":"fast""#);
        assert!(speed.all != 0 && speed.messages == 0);
        let auto = anthropic(r#","tool_choice":{"type":"auto"}"#);
        assert!(auto.all == 0 && auto.messages != 0);
        assert_ne!(auto, anthropic(r#","tool_choice":{"type":"any"}"#));
        // The same value under another name is another setting; the members' order is nothing.
        assert_ne!(anthropic(r#","thinking":{"a":1}"#), anthropic(r#","output_config":{"a":1}"#));
        let (one, two) = (r#","thinking":{"a":1}"#, r#","output_config":{"effort":"low"}"#);
        assert_eq!(anthropic(&format!("{one}{two}")), anthropic(&format!("{two}{one}")));
        for more in [r#","response_format":{"type":"json_object"}"#, r#","prompt_cache_key":"k""#] {
            assert_ne!(with(Operation::ChatCompletions, more).all, 0, "{more}");
            assert_eq!(anthropic(more), Settings::default(), "{more}");
        }
        for more in [r#","text":{"format":{"type":"json_object"}}"#, r#","prompt_cache_key":"k""#] {
            assert_ne!(with(Operation::Responses, more).all, 0, "{more}");
        }
    }

    #[test]
    fn thinking_is_signed_where_a_signature_stands() {
        let thinks = |block: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":[{block}]}}]}}"#);
            view(Operation::Messages, &body).signed_thinking
        };
        assert!(thinks(r#"{"type":"thinking","thinking":"hm","signature":"Eq"}"#));
        assert!(thinks(r#"{"signature":"Eq","type":"thinking","thinking":"hm"}"#));
        assert!(thinks(r#"{"type":"redacted_thinking","data":"x"}"#));
        assert!(!thinks(r#"{"type":"thinking","thinking":"hm","signature":""}"#));
        assert!(!thinks(r#"{"type":"text","text":"signature"}"#));
    }
}
