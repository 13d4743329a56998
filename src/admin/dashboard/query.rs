//! What stands behind the `?` of a path: strict, because a default in place of a typo shows the wrong thing.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::super::api::query::decoded;

/// Members of a query, decoded.
pub(super) struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads a query that may have the members `known`, each once. An empty value is no member.
    ///
    /// # Errors
    ///
    /// A sentence that says which member is wrong, and how.
    pub(super) fn read(query: &str, known: &[&'static str]) -> Result<Self, String> {
        let mut members = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wanted = decoded(name).ok_or("the query holds something that is not percent-encoded text")?;
            let Some(&name) = known.iter().find(|known| **known == wanted) else {
                return Err(match known {
                    [] => "nothing is asked behind a `?` here".to_owned(),
                    known => format!("no such member of the query; known here: {}", listed(known)),
                });
            };
            let value = decoded(value).ok_or_else(|| format!("`{name}` is not percent-encoded text"))?;
            if !value.is_empty() && members.insert(name, value).is_some() {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(Self(members))
    }

    /// A member.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is allowed.
    pub(super) fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.map(Some).ok_or_else(|| format!("`{name}` takes a whole number from {least} to {most}"))
    }

    /// Seconds since 1970, with fractions.
    ///
    /// # Errors
    ///
    /// A sentence that says what is allowed.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<f64>, String> {
        /// The year 9999.
        const MOST: f64 = 253_402_300_799.0;
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=MOST).contains(seconds));
        seconds.map(Some).ok_or_else(|| format!("`{name}` takes seconds since 1970, such as `1795262400`"))
    }

    /// One of several words.
    ///
    /// # Errors
    ///
    /// A sentence that says what is allowed.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("`{name}` is one of {}", listed(&words))
        })
    }
}

/// Words as a person reads them.
fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["q", "limit"];

    #[test]
    fn members_are_decoded_and_anything_odd_is_said() {
        let query = Query::read("q=a+b%26%C3%A9%2B&limit=20", KNOWN).unwrap();
        assert_eq!(query.text("q"), Some("a b&é+"));
        assert_eq!(query.whole("limit", 1..=20), Ok(Some(20)));
        assert_eq!(query.whole("limit", 1..=19).unwrap_err(), "`limit` takes a whole number from 1 to 19");
        assert_eq!(Query::read("", KNOWN).unwrap().whole("limit", 1..=2), Ok(None));
        assert_eq!(Query::read("q=&&", KNOWN).unwrap().text("q"), None);
        for bad in ["q=%zz", "q=%4", "q=%ff", "q=1&q=2", "limits=1", "%=1"] {
            assert!(Query::read(bad, KNOWN).is_err(), "{bad}");
        }
        for bad in ["limit=-1", "limit=x", "limit=1.5", "limit=99999999999999999999"] {
            assert!(Query::read(bad, KNOWN).unwrap().whole("limit", 1..=20).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_and_times_are_within_what_is_allowed() {
        let query = Query::read("q=day&limit=1795262400.5", KNOWN).unwrap();
        assert_eq!(query.word("q", &[("day", 1), ("key", 2)]), Ok(Some(1)));
        assert_eq!(query.word("q", &[("key", 2), ("tag", 3)]).unwrap_err(), "`q` is one of `key`, `tag`");
        assert_eq!(query.seconds("limit"), Ok(Some(1_795_262_400.5)));
        for bad in ["limit=NaN", "limit=inf", "limit=-1", "limit=1e99", "limit=today"] {
            assert!(Query::read(bad, KNOWN).unwrap().seconds("limit").is_err(), "{bad}");
        }
        let none = Query::read("x=%3Cscript%3E", &[]).err().unwrap();
        assert_eq!(none, "nothing is asked behind a `?` here");
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_its_encoding(text in "\\PC{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            proptest::prop_assert_eq!(decoded(&encoded), Some(text.clone()));
            let _ = Query::read(&text, KNOWN);
        }
    }
}
