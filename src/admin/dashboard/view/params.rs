//! What stands behind the `?` of a view, checked: what nobody knows, or is out of range, is refused with what is
//! allowed.

use std::ops::RangeInclusive;

use super::{super::super::api::query, fault::Fault};

/// The members of a query, decoded.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query that may have these members; those without a value are not there.
    pub(super) fn read(text: &str, known: &[&str]) -> Result<Self, Fault> {
        let mut members: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some((name, value)) = query::decoded(name).zip(query::decoded(value)) else {
                return Err(Fault::bad(
                    "the query is not readable: `%` is followed by two hexadecimal digits, and text is UTF-8",
                ));
            };
            if !known.contains(&name.as_str()) {
                return Err(Fault::bad(match known {
                    [] => format!("unknown parameter `{name}`; this view has none"),
                    known => format!("unknown parameter `{name}`; this view knows {}", listed(known)),
                }));
            }
            if members.iter().any(|(other, _)| *other == name) {
                return Err(Fault::bad(format!("`{name}` stands there twice; write it once")));
            }
            members.push((name, value));
        }
        members.retain(|(_, value)| !value.is_empty());
        Ok(Self(members))
    }

    /// Reads a query that must be empty.
    pub(super) fn none(text: &str) -> Result<(), Fault> {
        Self::read(text, &[]).map(|_| ())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within `range`, if there is one.
    pub(super) fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (from, to) = (range.start(), range.end());
            Fault::bad(format!("`{name}` takes a whole number from {from} to {to}"))
        })
    }

    /// Seconds since 1970, fractions allowed, if they are there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<f64>, Fault> {
        const MOST: f64 = 253_402_300_799.0;
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=MOST).contains(seconds));
        let says = || Fault::bad(format!("`{name}` takes seconds since 1970, such as `1795262400`"));
        seconds.map(Some).ok_or_else(says)
    }

    /// One of several words, if there is one.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Fault::bad(format!("`{name}` is one of {}", listed(&words)))
        })
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        let says = |text: &str| match Params::read(text, &["by", "top"]).and_then(|params| {
            params.whole("top", 1..=9)?;
            params.word("by", &[("day", 1), ("key", 2)])
        }) {
            Ok(found) => format!("{found:?}"),
            Err(fault) => fault.message().to_owned(),
        };
        for (text, expected) in [
            ("", "None"),
            ("by=&top=", "None"),
            ("top=9&by=k%65y", "Some(2)"),
            ("top=0", "`top` takes a whole number from 1 to 9"),
            ("top=-1", "`top` takes a whole number from 1 to 9"),
            ("by=hour", "`by` is one of `day`, `key`"),
            ("of=%3Cscript%3E", "unknown parameter `of`; this view knows `by`, `top`"),
            ("top=1&top=2", "`top` stands there twice; write it once"),
        ] {
            assert_eq!(says(text), expected, "{text}");
        }
        assert!(says("by=%f").starts_with("the query is not readable"));
        assert!(Params::none("x").unwrap_err().message().contains("has none"));
    }

    #[test]
    fn times_are_seconds_within_reason() {
        let read =
            |text: &str| Params::read(&format!("at={text}"), &["at"]).and_then(|params| params.seconds("at"));
        assert_eq!(read("1795262400.5").unwrap(), Some(1_795_262_400.5));
        for bad in ["NaN", "inf", "-1", "1e99", "today"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
