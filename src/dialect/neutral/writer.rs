//! Writing JSON, a piece at a time.

use std::io::Write as _;

use super::{Escaped, Json};
use crate::dialect::json;

/// Appends JSON to a buffer and puts the commas. What is opened is closed by the same function that
/// opened it: [`Self::object`], [`Self::array`].
pub(in crate::dialect) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// A value stands before: the next one needs a comma.
    comma: bool,
}

impl<'o> Writer<'o> {
    pub(in crate::dialect) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, comma: false }
    }

    fn value(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// `{...}`
    pub(in crate::dialect) fn object(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested(b'{', inside, b'}');
    }

    /// `[...]`
    pub(in crate::dialect) fn array(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested(b'[', inside, b']');
    }

    fn nested(&mut self, open: u8, inside: impl FnOnce(&mut Self), close: u8) {
        self.value();
        self.out.push(open);
        self.comma = false;
        inside(self);
        self.out.push(close);
        self.comma = true;
    }

    /// A member's name; its value must follow. Names are ours and need no escape.
    pub(in crate::dialect) fn key(&mut self, name: &str) -> &mut Self {
        self.value();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.comma = false;
        self
    }

    /// A string of somebody's, still escaped.
    pub(in crate::dialect) fn escaped(&mut self, text: &Escaped<'_>) {
        self.value();
        self.out.push(b'"');
        self.out.extend_from_slice(text.raw().as_bytes());
        self.out.push(b'"');
    }

    /// A string made of pieces that are escaped already, or need no escape.
    pub(in crate::dialect) fn joined(&mut self, pieces: &[&str]) {
        self.value();
        self.out.push(b'"');
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.out.push(b'"');
    }

    /// A value's own text as a string (`{"a":1}` becomes `"{\"a\":1}"`), without a copy on the way.
    pub(in crate::dialect) fn spelled(&mut self, value: &Json<'_>) {
        self.value();
        self.out.push(b'"');
        let mut rest = value.as_str().as_bytes();
        // Within JSON no other control character stands bare.
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
        while let Some(at) = rest.iter().position(special) {
            let (plain, found) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            let (escape, behind) = match found {
                [b'\n', behind @ ..] => (b'n', behind),
                [b'\r', behind @ ..] => (b'r', behind),
                [b'\t', behind @ ..] => (b't', behind),
                [byte, behind @ ..] => (*byte, behind),
                [] => break,
            };
            self.out.extend_from_slice(&[b'\\', escape]);
            rest = behind;
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    /// Plain text.
    pub(in crate::dialect) fn text(&mut self, text: &str) {
        self.value();
        self.out.extend_from_slice(json::quoted(text).as_bytes());
    }

    /// A whole value.
    pub(in crate::dialect) fn json(&mut self, value: &Json<'_>) {
        self.value();
        self.out.extend_from_slice(value.as_str().as_bytes());
    }

    pub(in crate::dialect) fn number(&mut self, number: u64) {
        self.value();
        // Writing into memory cannot fail; and it allocates nothing, several times an event.
        let _ = write!(self.out, "{number}");
    }

    pub(in crate::dialect) fn bool(&mut self, value: bool) {
        self.value();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(in crate::dialect) fn null(&mut self) {
        self.value();
        self.out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_one_string_and_a_value_is_spelled() {
        let mut out = Vec::new();
        let value = Json::written("{\"a\":\n\t\"x\\\"é\",\r\"b\":[1]}");
        let mut w = Writer::new(&mut out);
        w.array(|w| {
            w.joined(&["data:", "a/b", ";base64,", "AA=="]);
            w.joined(&[]);
            w.spelled(&value);
        });
        let spelled = value.spelled();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("[\"data:a/b;base64,AA==\",\"\",\"{}\"]", spelled.raw())
        );
    }

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.object(|w| {
            w.key("a").array(|w| {
                w.number(1);
                w.object(|_| {});
                w.text("x\"");
            });
            w.key("b").bool(true);
            w.key("c").null();
            w.key("d").escaped(&Escaped::plain("\\n"));
            w.key("e").json(&Json::written("[]"));
        });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":[1,{},"x\""],"b":true,"c":null,"d":"\n","e":[]}"#
        );
    }
}
