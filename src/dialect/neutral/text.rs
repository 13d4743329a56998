//! Text as it stands in JSON, and values as they stand there.

use std::borrow::Cow;

use crate::dialect::json::{self, Fault, Walker};

/// Why a body could not be read: a sentence that names the member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Malformed {
    /// The member, as the caller would write it (`messages[2].content`); empty for the body as a whole.
    pub field: String,
    /// What is wrong with it, as the end of a sentence.
    pub what: Cow<'static, str>,
}

impl Malformed {
    pub(in crate::dialect) fn new(field: impl Into<String>, what: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), what: what.into() }
    }
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        Self::new("", format!("{} (at byte {})", fault.what, fault.at))
    }
}

/// The contents of a JSON string, still escaped: fit to stand between quotes in any JSON text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::dialect) struct Escaped<'a>(Cow<'a, str>);

impl<'a> Escaped<'a> {
    /// What stands between the quotes of a string of a JSON text. It is checked through and through:
    /// whoever copies it into another text, or into a line of a stream, must not break that.
    pub(in crate::dialect) fn from_raw(raw: &'a [u8]) -> Result<Self, Malformed> {
        if raw.iter().fold(false, |found, byte| found | (*byte < b' ')) {
            return Err(Malformed::new("", "a string holds a control character"));
        }
        if !escapes_are_whole(raw) {
            return Err(Malformed::new("", "a string holds a broken escape"));
        }
        match simdutf8::basic::from_utf8(raw) {
            Ok(text) => Ok(Self(Cow::Borrowed(text))),
            Err(_) => Err(Malformed::new("", "it is not UTF-8")),
        }
    }

    /// Passes the next value; gives its contents if it is a string.
    pub(in crate::dialect) fn read(walker: &mut Walker<'a>) -> Result<Option<Self>, Malformed> {
        match walker.string_or_skip()? {
            Some(span) => Self::from_raw(walker.bytes(&span)).map(Some),
            None => Ok(None),
        }
    }

    /// Plain text, escaped.
    pub(in crate::dialect) fn of(text: &str) -> Escaped<'static> {
        let quoted = json::quoted(text);
        Escaped(Cow::Owned(quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()))
    }

    /// Several texts as one.
    pub(in crate::dialect) fn joined(texts: &[&str]) -> Escaped<'static> {
        Escaped(Cow::Owned(texts.concat()))
    }

    /// Words that need no escape.
    pub(in crate::dialect) const fn plain(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// As it stands between the quotes.
    pub(in crate::dialect) fn raw(&self) -> &str {
        &self.0
    }

    /// Cuts it at a byte, which must not stand within an escape; at most at its end.
    pub(in crate::dialect) fn split_at(self, at: usize) -> (Self, Self) {
        match self.0 {
            Cow::Borrowed(text) => {
                let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
                (Self(Cow::Borrowed(head)), Self(Cow::Borrowed(tail)))
            }
            Cow::Owned(mut text) => {
                let at = if text.is_char_boundary(at) { at } else { text.len() };
                let tail = text.split_off(at);
                (Self(Cow::Owned(text)), Self(Cow::Owned(tail)))
            }
        }
    }

    pub(in crate::dialect) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing but white space.
    pub(in crate::dialect) fn is_blank(&self) -> bool {
        json::is_blank(self.0.as_bytes())
    }

    /// What it says. A lone surrogate, which no text can say, becomes a replacement character.
    pub(in crate::dialect) fn decode(&self) -> Cow<'_, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(&self.0);
        }
        let decoded = json::decode(format!("\"{}\"", self.0).as_bytes());
        Cow::Owned(decoded.unwrap_or_else(|| self.0.replace('\\', "\u{fffd}")))
    }

    /// How many characters it says, without saying them.
    pub(in crate::dialect) fn chars(&self) -> u64 {
        let mut rest = self.0.as_bytes();
        let mut count = 0;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (before, from) = rest.split_at(at);
            count += starts(before) + 1;
            let length = if from.get(1) == Some(&b'u') { 6 } else { 2 };
            // A pair of escapes is one character: its first half is not counted.
            let is_high = length == 6
                && from
                    .get(2..4)
                    .is_some_and(|hex| matches!(hex, [b'd' | b'D', b'8' | b'9' | b'a' | b'A' | b'b' | b'B']));
            rest = from.get(length..).unwrap_or_default();
            if is_high && rest.starts_with(b"\\u") {
                count -= 1;
            }
        }
        count + starts(rest)
    }

    /// The JSON value that the string spells (`"{\"a\":1}"`), or `None` where it spells none.
    pub(in crate::dialect) fn spelled(&self) -> Option<Json<'static>> {
        let text = self.decode().into_owned();
        Json::is_valid(text.as_bytes()).then_some(Json(Cow::Owned(text)))
    }

    /// Keeps it for longer than the text it stands in.
    pub(in crate::dialect) fn into_owned(self) -> Escaped<'static> {
        Escaped(Cow::Owned(self.0.into_owned()))
    }
}

/// Every backslash begins one of JSON's escapes.
fn escapes_are_whole(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = rest.get(at + 1..).unwrap_or_default();
        let len = match escape.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') if escape.get(1..5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => 5,
            _ => return false,
        };
        rest = escape.get(len..).unwrap_or_default();
    }
    true
}

/// Characters that begin in this UTF-8.
fn starts(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(byte & 0xc0 != 0x80)).sum()
}

/// One whole JSON value, as it stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// Passes the next value and keeps it. It is checked to be JSON through and through: what is
    /// copied into another body must not be able to break that body.
    pub(in crate::dialect) fn read(walker: &mut Walker<'a>) -> Result<Self, Malformed> {
        let span = walker.skip()?;
        let bytes = walker.bytes(&span);
        if !Self::is_valid(bytes) {
            return Err(Malformed::new("", format!("the value at byte {} is no JSON", span.start)));
        }
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Self(Cow::Borrowed(text))),
            Err(_) => Err(Malformed::new("", "it is not UTF-8")),
        }
    }

    /// A value written here.
    pub(in crate::dialect) const fn written(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The same, owned.
    pub(in crate::dialect) const fn from_text(text: String) -> Json<'static> {
        Json(Cow::Owned(text))
    }

    fn is_valid(text: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
    }

    pub(in crate::dialect) fn as_str(&self) -> &str {
        &self.0
    }

    pub(in crate::dialect) fn is_object(&self) -> bool {
        self.0.trim_start().starts_with('{')
    }

    /// The value spelled out as a string's contents (`{"a":1}` becomes `{\"a\":1}`).
    pub(in crate::dialect) fn spelled(&self) -> Escaped<'static> {
        Escaped::of(&self.0)
    }

    /// Keeps it for longer than the text it stands in.
    pub(in crate::dialect) fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_a_string_and_the_same_again() {
        let object = Json::written(r#"{"path":"a\"b\\c","n":[1, 2]}"#);
        let spelled = object.spelled();
        assert_eq!(spelled.raw(), r#"{\"path\":\"a\\\"b\\\\c\",\"n\":[1, 2]}"#);
        assert_eq!(spelled.spelled().unwrap().as_str(), object.as_str());
        assert!(Escaped::of("{not json").spelled().is_none());
    }

    #[test]
    fn a_value_that_is_no_json_is_not_taken() {
        for bad in [r#"{"a" 1}"#, r#"{"a":01}"#, "[1,]", "\"\\q\""] {
            let mut walker = Walker::new(bad.as_bytes(), 128);
            assert!(Json::read(&mut walker).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_is_cut_where_asked_or_at_its_end() {
        for whole in [Escaped::plain("data:é"), Escaped::plain("data:é").into_owned()] {
            let cut = |at| {
                let (head, tail) = whole.clone().split_at(at);
                (head.raw().to_owned(), tail.raw().to_owned())
            };
            assert_eq!(cut(5), ("data:".to_owned(), "é".to_owned()));
            assert_eq!(cut(6), ("data:é".to_owned(), String::new()));
            assert_eq!(cut(99), ("data:é".to_owned(), String::new()));
        }
    }

    #[test]
    fn characters_are_counted_as_they_are_read() {
        for text in ["", "plain", r#"a\n\"é\\"#, r"\u00e9x", r"\ud83d\ude00!", "日本\u{1f600}"] {
            let escaped = Escaped::from_raw(text.as_bytes()).unwrap();
            assert_eq!(escaped.chars(), escaped.decode().chars().count() as u64, "{text}");
        }
    }

    #[test]
    fn escapes_are_read_and_written() {
        assert_eq!(Escaped::of("a\n\"é").raw(), r#"a\n\"é"#);
        assert_eq!(Escaped::from_raw(br#"a\n\u00e9"#).unwrap().decode(), "a\né");
        for bad in [&b"\xff"[..], b"a\nb", b"\x00", br"\q", br"\u12g4", br"\u12", br"\\\"] {
            assert!(Escaped::from_raw(bad).is_err(), "{bad:?}");
        }
    }
}
