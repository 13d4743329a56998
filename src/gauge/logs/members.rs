//! One line of JSON, as far as we have to look: its members by name, untouched.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, value::RawValue};

use crate::{clock::UnixTime, types::Usage};

/// An object whose values are still text. Of a member that is there twice the last counts.
#[derive(Debug)]
pub(super) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Reads an object; `None` of anything else.
    pub(super) fn of(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }

    /// Says what is wrong with a text that is no object, without quoting it.
    pub(super) fn fault(text: &[u8]) -> String {
        match serde_json::from_slice::<BTreeMap<String, &RawValue>>(text) {
            Ok(_) => "not understood".to_owned(),
            Err(error) if error.is_data() => "a value that is no object".to_owned(),
            Err(error) => format!("no JSON at column {}", error.column()),
        }
    }

    /// The text of a member that is there and not `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    /// The first of these members.
    pub(super) fn first(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.raw(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::of(self.raw(name)?.as_bytes())
    }

    /// A member that is a text, or a number taken as one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        match serde_json::from_str(raw).ok()? {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(super) fn first_text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A member that is a number, also one written as a text.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let raw = self.raw(name)?;
        raw.trim_matches('"').parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A member that counts something.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.raw(name)?.parse().ok()
    }

    /// Names and texts of all members that are texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.keys().filter_map(|name| Some((name.as_str(), self.text(name)?)))
    }
}

/// When a value says it was, since 1970: RFC 3339, the same with a blank and without a zone (taken for UTC),
/// or seconds, milliseconds, microseconds or nanoseconds, told apart by their size.
pub(super) fn time(raw: &str) -> Option<Duration> {
    let text = raw.trim_matches('"');
    if let Ok(number) = text.parse::<f64>() {
        let seconds = match number {
            small if !small.is_finite() || small < 0.0 => return None,
            seconds if seconds < 1e11 => seconds,
            millis if millis < 1e14 => millis / 1e3,
            micros if micros < 1e17 => micros / 1e6,
            nanos => nanos / 1e9,
        };
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Some(time) = UnixTime::parse(text) {
        return Some(time.0);
    }
    // Python's `logging` writes a comma in front of milliseconds.
    let civil: jiff::civil::DateTime = text.replace(',', ".").parse().ok()?;
    let stamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Duration::try_from_secs_f64(stamp.as_duration().as_secs_f64()).ok()
}

/// What a `usage` says, by any provider's names (providers: Anthropic, `OpenAI` Chat and Responses, `DeepSeek`).
///
/// Where input is counted with what was cached (`prompt_tokens`, or `input_tokens` with details), the cached
/// part is taken off; where it is counted without (Anthropic's `input_tokens`), it stays.
pub(super) fn usage(raw: &str) -> Option<Usage> {
    let value: Value = serde_json::from_str(raw).ok()?;
    value.as_object()?;
    let at = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| at(pointer));
    let output = first(&["/output_tokens", "/completion_tokens"]);
    let anthropic_read = at("/cache_read_input_tokens");
    let written = at("/cache_creation_input_tokens");
    let details = first(&[
        "/prompt_tokens_details/cached_tokens",
        "/input_tokens_details/cached_tokens",
        "/prompt_cache_hit_tokens",
    ]);
    let read = anthropic_read.or(details).unwrap_or(0);
    let long = at("/cache_creation/ephemeral_1h_input_tokens").unwrap_or(0);
    let short = match (at("/cache_creation/ephemeral_5m_input_tokens"), written) {
        (Some(short), _) => short,
        (None, Some(written)) => written.saturating_sub(long),
        (None, None) => {
            first(&["/prompt_tokens_details/cache_write_tokens", "/input_tokens_details/cache_write_tokens"])
                .unwrap_or(0)
        }
    };
    let with_cached = at("/prompt_tokens").or_else(|| {
        let plain = anthropic_read.is_none() && written.is_none();
        at("/input_tokens").filter(|_| plain)
    });
    let input = match with_cached {
        Some(all) => all.saturating_sub(read).saturating_sub(short).saturating_sub(long),
        None => first(&["/input_tokens"])?,
    };
    let reasoning =
        first(&["/output_tokens_details/reasoning_tokens", "/completion_tokens_details/reasoning_tokens"]);
    Some(Usage {
        input,
        cached_read: read,
        write_5m: short,
        write_1h: long,
        output: output.unwrap_or(0),
        reasoning: reasoning.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_many_forms() {
        let at = Duration::from_millis(1_800_000_000_250);
        for raw in [
            "1800000000.25",
            "1800000000250",
            "1800000000250000",
            "1800000000250000000",
            "\"2027-01-15T08:00:00.25Z\"",
            "\"2027-01-15T09:00:00.250+01:00\"",
            "\"2027-01-15 08:00:00,250\"",
            "\"2027-01-15T08:00:00.250\"",
        ] {
            let read = time(raw).unwrap_or_else(|| panic!("{raw}"));
            assert!(read.abs_diff(at) < Duration::from_micros(2), "{raw}: {read:?}");
        }
        for raw in ["\"\"", "\"yesterday\"", "-1", "{}", "\"1969-01-01T00:00:00Z\"", "1e999"] {
            assert_eq!(time(raw), None, "{raw}");
        }
    }

    #[test]
    fn usage_has_one_meaning_under_all_names() {
        let anthropic = r#"{"input_tokens":10,"cache_read_input_tokens":5000,"cache_creation_input_tokens":300,
            "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":7}"#;
        let expected =
            Usage { input: 10, cached_read: 5_000, write_5m: 100, write_1h: 200, output: 7, reasoning: 0 };
        assert_eq!(usage(anthropic), Some(expected));
        let chat = r#"{"prompt_tokens":5310,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":5000,
            "cache_write_tokens":300},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        let expected =
            Usage { input: 10, cached_read: 5_000, write_5m: 300, write_1h: 0, output: 7, reasoning: 3 };
        assert_eq!(usage(chat), Some(expected));
        let responses =
            r#"{"input_tokens":5010,"input_tokens_details":{"cached_tokens":5000},"output_tokens":7}"#;
        assert_eq!(usage(responses).map(|usage| (usage.input, usage.cached_read)), Some((10, 5_000)));
        // A gateway that speaks both tongues at once.
        let both = r#"{"prompt_tokens":5310,"cache_read_input_tokens":5000,"cache_creation_input_tokens":300,
            "completion_tokens":7}"#;
        assert_eq!(usage(both).map(|usage| (usage.input, usage.write_5m)), Some((10, 300)));
        for nothing in ["{}", "[]", "3", r#"{"output_tokens":3}"#, r#"{"input_tokens":-1}"#] {
            assert_eq!(usage(nothing), None, "{nothing}");
        }
    }
}
