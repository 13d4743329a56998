//! A walk over a JSON text, value by value, at the pace of whoever asks.
//!
//! The trap: every value must be consumed exactly once (`string`, `scalar`, `members`, `elements` or
//! `skip`), or the next comma is not where it is looked for.

use std::ops::Range;

use super::marks::Marks;

/// How deep [`Walker::skip`] can remember which brackets are open.
const DEEPEST: usize = 128;

const TOO_DEEP: &str = "it is nested too deep";

/// The text is no JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// Byte offset.
    pub at: usize,
    /// What is wrong, as the end of a sentence.
    pub what: &'static str,
}

impl Fault {
    /// It may be JSON, but deeper than we read.
    pub(crate) fn is_depth(&self) -> bool {
        self.what == TOO_DEEP
    }
}

/// What the next value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    /// A number, `true`, `false` or `null`.
    Scalar,
}

/// A member's key, just passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    /// What stands between the quotes, still escaped.
    pub raw: &'a [u8],
    /// Where the opening quote stands.
    pub start: usize,
    /// Where the member before it ended (its comma stands behind that); `None` for the first one.
    pub before: Option<usize>,
}

/// A position in a JSON text.
#[derive(Clone)]
pub(crate) struct Walker<'a> {
    text: &'a [u8],
    marks: Marks<'a>,
    at: usize,
    depth: usize,
    max_depth: usize,
}

impl<'a> Walker<'a> {
    /// At the start of `text`, whose brackets nest `max_depth` deep at most (128 is the most).
    pub(crate) fn new(text: &'a [u8], max_depth: usize) -> Self {
        Self { text, marks: Marks::new(text), at: 0, depth: 0, max_depth: max_depth.min(DEEPEST) }
    }

    /// Just behind what was read last.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The bytes of a span of this text.
    pub(crate) fn bytes(&self, span: &Range<usize>) -> &'a [u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(crate) const fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    /// What the next value is; from here on [`Self::at`] is where it starts.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind, Fault> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(Kind::Scalar),
            Some(_) => self.fault("a value is missing or malformed"),
            None => self.fault("it ends in the middle"),
        }
    }

    /// Passes a string; gives the span between its quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Range<usize>, Fault> {
        self.mark(b'"', "a string is expected")?;
        let start = self.at;
        let Some(end) = self.marks.next_mark() else {
            return self.fault("a string is not closed");
        };
        self.at = end + 1;
        Ok(start..end)
    }

    /// Passes any value; gives the span between the quotes if it is a string.
    #[inline]
    pub(crate) fn string_or_skip(&mut self) -> Result<Option<Range<usize>>, Fault> {
        if self.kind()? == Kind::String {
            return self.string().map(Some);
        }
        self.skip().map(|_| None)
    }

    /// Passes a number, `true`, `false` or `null`.
    pub(crate) fn scalar(&mut self) -> Result<Range<usize>, Fault> {
        self.peek();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .unwrap_or(rest.len());
        if !is_scalar(rest.get(..len).unwrap_or_default()) {
            return self.fault("a value is missing or malformed");
        }
        self.at = start + len;
        Ok(start..self.at)
    }

    /// Passes any value; gives its span.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, Fault> {
        match self.kind()? {
            Kind::String => self.string().map(|inner| inner.start - 1..inner.end + 1),
            Kind::Scalar => self.scalar(),
            Kind::Object | Kind::Array => self.skip_nested(),
        }
    }

    /// Passes any value.
    #[inline]
    pub(crate) fn pass(&mut self) -> Result<(), Fault> {
        self.skip()?;
        Ok(())
    }

    fn skip_nested(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        // One bit a level, 1 for an object; the lowest is the innermost.
        let mut open = 0_u128;
        let mut levels = 0_usize;
        loop {
            let Some(at) = self.marks.next_bracket() else {
                return self.fault("a bracket is not closed");
            };
            let byte = self.text.get(at).copied().unwrap_or_default();
            let object = u128::from(byte & 0x20 != 0);
            if byte & 0x06 == 0x02 {
                levels += 1;
                if self.depth + levels > self.max_depth {
                    self.at = at;
                    return self.fault(TOO_DEEP);
                }
                open = (open << 1) | object;
            } else {
                if open & 1 != object {
                    self.at = at;
                    return self.fault("a bracket is closed by the wrong one");
                }
                open >>= 1;
                levels -= 1;
                if levels == 0 {
                    self.at = at + 1;
                    return Ok(start..self.at);
                }
            }
        }
    }

    /// Visits an object's members; `each` consumes the value.
    #[inline]
    pub(crate) fn members<E: From<Fault>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Key<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "an object is expected")?;
        let mut before = None;
        if self.closed(b'}')? {
            return Ok(());
        }
        loop {
            let raw = self.string()?;
            let key = Key { raw: self.bytes(&raw), start: raw.start - 1, before };
            self.separator(b':', "a colon is missing")?;
            each(self, key)?;
            before = Some(self.at);
            if self.closed(b'}')? {
                return Ok(());
            }
            self.separator(b',', "a comma is missing")?;
        }
    }

    /// Visits an array's elements; `each` consumes the value.
    #[inline]
    pub(crate) fn elements<E: From<Fault>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "an array is expected")?;
        if self.closed(b']')? {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.closed(b']')? {
                return Ok(());
            }
            self.separator(b',', "a comma is missing")?;
        }
    }

    /// Nothing but white space may be left.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("something stands behind its end"),
        }
    }

    /// The next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            // Most bytes that are looked at stand right where they are looked for.
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Passes one quote or bracket.
    #[inline]
    fn mark(&mut self, byte: u8, missing: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return self.fault(missing);
        }
        if self.marks.next_mark() != Some(self.at) {
            // Only behind a stray backslash does a structural character stand unmarked.
            return self.fault("an unexpected character stands here");
        }
        self.at += 1;
        Ok(())
    }

    /// Passes a comma or a colon, which no mark stands for.
    #[inline]
    fn separator(&mut self, byte: u8, missing: &'static str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return self.fault(missing);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn open(&mut self, byte: u8, missing: &'static str) -> Result<(), Fault> {
        self.mark(byte, missing)?;
        self.depth += 1;
        if self.depth > self.max_depth { self.fault(TOO_DEEP) } else { Ok(()) }
    }

    #[inline]
    fn closed(&mut self, byte: u8) -> Result<bool, Fault> {
        if self.peek() != Some(byte) {
            return Ok(false);
        }
        self.mark(byte, "a bracket is not closed")?;
        self.depth -= 1;
        Ok(true)
    }
}

/// A literal, or a number by JSON's grammar.
fn is_scalar(text: &[u8]) -> bool {
    if matches!(text, b"true" | b"false" | b"null") {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(text);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".").map(digits) {
        Some(([], _)) => return false,
        Some((_, rest)) => rest,
        None => rest,
    };
    let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
    let (power, rest) = digits(exponent);
    !power.is_empty() && rest.is_empty()
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<(), Fault> {
        let mut walker = Walker::new(text.as_bytes(), 128);
        walker.skip()?;
        walker.finish()
    }

    #[test]
    fn odd_but_valid_values_are_passed() {
        for text in [
            "1.0e+2",
            "-0",
            "123456789012345678901234567890",
            " [ ] \n",
            "\"\\ud800\"",
            "{\"a\":[{}]}",
            "1E5",
        ] {
            assert_eq!(skipped(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_fault() {
        for text in
            ["", "01", "+1", "1.", ".5", "1e", "nul", "[", "\"", "[}", "{]", "[[]", "1 2", "\\\"a\"", "NaN"]
        {
            assert!(skipped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(skipped(&nested(128)), Ok(()));
        assert!(skipped(&nested(129)).is_err());
        assert!(skipped(&"[".repeat(1_000_000)).is_err());
    }
}
