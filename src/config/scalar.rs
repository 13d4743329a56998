//! The kinds of values that keys hold, each with its range.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use toml::{Spanned, de::DeValue};

use super::{
    read::{At, Section, did_you_mean, nearest},
    value,
};
use crate::{
    clock::UnixTime,
    types::{NAME_FORM, is_name},
};

impl<'t> Section<'t> {
    /// A text, if there is one.
    pub(super) fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "text", "put it in quotes");
            return None;
        };
        if text.is_empty() {
            self.fault(key, "empty text", "write a value, or remove the line");
            return None;
        }
        self.shows(key, text);
        Some(self.at(key, value.span(), text.to_owned()))
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &'static str, remedy: &str) -> Option<At<String>> {
        if self.get(key).is_none() {
            self.fault(key, "missing", remedy);
            return None;
        }
        self.text(key)
    }

    /// A name for people, logs, labels and URLs.
    pub(super) fn name(&self, key: &'static str) -> Option<At<String>> {
        let name = self.text(key)?;
        if !is_name(&name.value) {
            self.fault_at(&name, &format!("`{}` is not a name", name.value.escape_debug()), NAME_FORM);
            return None;
        }
        Some(name)
    }

    /// A name that must be there.
    pub(super) fn required_name(&self, key: &'static str, remedy: &str) -> Option<At<String>> {
        if self.get(key).is_none() {
            self.fault(key, "missing", remedy);
            return None;
        }
        self.name(key)
    }

    /// Several texts; a single one need not be a list.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.get(key)?;
        let remedy = "write `[\"...\", \"...\"]`";
        let item = |item: &Spanned<DeValue<'_>>| match item.get_ref().as_str() {
            Some(text) if !text.is_empty() => Some(self.at(key, item.span(), text.to_owned())),
            Some(_) => {
                self.fault_at(&self.at(key, item.span(), ()), "empty text", "write a value, or remove it");
                None
            }
            None => {
                self.wrong_type(key, item, "text", remedy);
                None
            }
        };
        if value.get_ref().is_str() {
            let only = item(value)?;
            self.shows(key, &only.value);
            return Some(vec![only]);
        }
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts", remedy);
            return None;
        };
        let found: Vec<At<String>> = items.iter().filter_map(item).collect();
        self.shows(key, found.iter().map(|text| text.value.as_str()).collect::<Vec<_>>().join(", "));
        Some(found)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let flag = self.read_flag(key, default);
        self.shows(key, flag);
        flag
    }

    fn read_flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.get(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(key, value, "`true` or `false`", "write it without quotes");
            default
        })
    }

    /// A span of time within `range`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let span = self.read_duration(key, default, &range);
        self.shows(key, value::duration_text(span));
        span
    }

    fn read_duration(
        &self,
        key: &'static str,
        default: Duration,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.get(key) else { return default };
        let remedy = format!(
            "write a time from {} to {}, such as `{}`",
            value::duration_text(*range.start()),
            value::duration_text(*range.end()),
            value::duration_text(default)
        );
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a time in quotes", &remedy);
            return default;
        };
        match value::duration(text) {
            Some(span) if range.contains(&span) => span,
            Some(_) => self.refuse(key, &format!("`{text}` is out of range"), &remedy, default),
            None => self.refuse(key, &format!("`{}` is not a time", text.escape_debug()), &remedy, default),
        }
    }

    /// A number of bytes within `range`.
    pub(super) fn size(&self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let bytes = self.read_size(key, default, &range);
        self.shows(key, value::size_text(bytes));
        bytes
    }

    fn read_size(&self, key: &'static str, default: u64, range: &RangeInclusive<u64>) -> u64 {
        let Some(value) = self.get(key) else { return default };
        let remedy = size_remedy(range, default);
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a size in quotes", &remedy);
            return default;
        };
        match value::size(text) {
            Some(bytes) if range.contains(&bytes) => bytes,
            Some(_) => self.refuse(key, &format!("`{text}` is out of range"), &remedy, default),
            None => self.refuse(key, &format!("`{}` is not a size", text.escape_debug()), &remedy, default),
        }
    }

    /// A whole number within `range`.
    pub(super) fn whole<N>(&self, key: &'static str, default: N, range: RangeInclusive<N>) -> N
    where
        N: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let number = self.read_whole(key, default, &range);
        self.shows(key, number);
        number
    }

    fn read_whole<N>(&self, key: &'static str, default: N, range: &RangeInclusive<N>) -> N
    where
        N: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let Some(value) = self.get(key) else { return default };
        let remedy = format!("write a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number", &remedy);
            return default;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|number| N::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => self.refuse(key, &format!("`{}` is out of range", integer.as_str()), &remedy, default),
        }
    }

    /// A fraction (or a whole number) within `range`.
    pub(super) fn ratio(&self, key: &'static str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let number = self.read_ratio(key, default, &range);
        self.shows(key, number);
        number
    }

    fn read_ratio(&self, key: &'static str, default: f64, range: &RangeInclusive<f64>) -> f64 {
        let Some(value) = self.get(key) else { return default };
        let remedy = format!("write a number from {} to {}", range.start(), range.end());
        let Some(text) = value::number_text(value.get_ref()) else {
            self.wrong_type(key, value, "a number", &remedy);
            return default;
        };
        match text.parse::<f64>().ok().filter(|number| range.contains(number)) {
            Some(number) => number,
            None => self.refuse(key, &format!("`{text}` is out of range"), &remedy, default),
        }
    }

    /// A point in time: RFC 3339 with its zone, in quotes or without.
    pub(super) fn time(&self, key: &'static str) -> Option<At<UnixTime>> {
        let value = self.get(key)?;
        let remedy = "write it with its zone, such as `2027-01-31T00:00:00Z`";
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type(key, value, "a point in time", remedy);
                return None;
            }
        };
        let time = UnixTime::parse(&text);
        if time.is_none() {
            self.fault(key, &format!("`{}` is not a point in time", text.escape_debug()), remedy);
        }
        let time = time?;
        self.shows(key, time.rfc3339());
        Some(self.at(key, value.span(), time))
    }

    /// One of a closed set of words.
    pub(super) fn choice<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let choice = self.choose(key, choices).unwrap_or(default);
        if let Some((word, _)) = choices.iter().find(|(_, known)| *known == choice) {
            self.shows(key, word);
        }
        choice
    }

    /// One of a closed set of words, if there is one.
    pub(super) fn choose<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            let remedy = nearest(&text.value, words.clone()).map_or_else(
                || {
                    format!(
                        "write {}",
                        words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
                    )
                },
                did_you_mean,
            );
            self.fault_at(&text, &format!("unknown word `{}`", text.value.escape_debug()), &remedy);
        }
        found.map(|&(_, choice)| choice)
    }

    /// A file; relative to the configuration's folder.
    pub(super) fn path(&self, key: &'static str) -> Option<At<PathBuf>> {
        let text = self.text(key)?;
        let path = self.reader().beside(&text.value);
        Some(At { value: path, span: text.span, path: text.path })
    }

    /// A file that must be there and readable.
    pub(super) fn existing_file(&self, key: &'static str) -> Option<PathBuf> {
        let path = self.path(key)?;
        if let Err(error) = std::fs::File::open(&path.value) {
            let what = format!("cannot read `{}`: {error}", path.value.display());
            self.fault_at(&path, &what, "name a file that the gateway's user may read");
            return None;
        }
        self.reader().depends_on(path.value.clone());
        Some(path.value)
    }

    /// An address with a port.
    pub(super) fn address(&self, key: &'static str) -> Option<SocketAddr> {
        let text = self.text(key)?;
        self.parse_address(&text)
    }

    /// Reads `127.0.0.1:8080`; `localhost:8080` and `:8080` too, because people write them.
    pub(super) fn parse_address(&self, text: &At<String>) -> Option<SocketAddr> {
        let parsed = text.value.parse::<SocketAddr>().ok().or_else(|| {
            let (host, port) = text.value.rsplit_once(':')?;
            let host = match host {
                "localhost" => IpAddr::from([127, 0, 0, 1]),
                "" | "*" => IpAddr::from([0, 0, 0, 0]),
                _ => return None,
            };
            Some(SocketAddr::new(host, port.parse().ok()?))
        });
        if parsed.is_none() {
            let what = format!("`{}` is not an address with a port", text.value.escape_debug());
            self.fault_at(text, &what, "write `127.0.0.1:8080` or `[::1]:8080`");
        }
        parsed
    }

    fn refuse<T>(&self, key: &str, what: &str, remedy: &str, default: T) -> T {
        self.fault(key, what, remedy);
        default
    }
}

/// What to write instead of a bad size.
pub(super) fn size_remedy(range: &RangeInclusive<u64>, example: u64) -> String {
    format!(
        "write a size from {} to {}, such as `{}`",
        value::size_text(*range.start()),
        value::size_text(*range.end()),
        value::size_text(example)
    )
}
