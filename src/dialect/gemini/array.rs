//! A JSON array, an element at a time: what `streamGenerateContent` sends without `alt=sse`.
//!
//! An element that lies whole in a chunk is shown where it stands; one that is cut is put together, up to
//! the limit that events have everywhere. Only brackets and strings are looked at here: whoever reads an
//! element finds out whether it is JSON.

use memchr::memchr2;

use crate::dialect::{
    sse::MAX_EVENT,
    translate::{BadFrame, Frame},
};

/// A buffer that grew beyond this for one element is given back after it, as with server-sent events.
const KEEP_BUFFER: usize = 16 << 10;

/// Cuts `[{...},{...}]` into its elements as they come. An object that stands alone is one element.
#[derive(Default)]
pub(in crate::dialect) struct JsonArray {
    /// What earlier chunks brought of the current element.
    carry: Vec<u8>,
    place: Place,
    /// The array's own bracket was there.
    in_array: bool,
    /// Brackets open within the element.
    depth: usize,
    in_string: bool,
    /// The next byte of the string is escaped.
    escaped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Nothing but white space was there.
    #[default]
    Before,
    /// An element or the end may come.
    First,
    /// Within an element.
    Inside,
    /// A comma or the end must come.
    Behind,
    /// An element must come.
    Next,
    /// The array is closed.
    Over,
}

impl JsonArray {
    pub(in crate::dialect) fn push(
        &mut self,
        chunk: &[u8],
        show: &mut dyn FnMut(Frame<'_>),
    ) -> Result<(), BadFrame> {
        let mut at = 0;
        while at < chunk.len() {
            let rest = chunk.get(at..).unwrap_or_default();
            if self.place != Place::Inside {
                at += self.between(rest)?;
                continue;
            }
            let (len, complete) = self.inside(rest);
            let part = rest.get(..len).unwrap_or_default();
            if self.carry.len() + part.len() > MAX_EVENT {
                return Err(BadFrame("one of its events is too long"));
            }
            if !complete {
                self.carry.extend_from_slice(part);
                return Ok(());
            }
            if self.carry.is_empty() {
                show(Frame { kind: "", is_exception: false, data: part });
            } else {
                self.carry.extend_from_slice(part);
                show(Frame { kind: "", is_exception: false, data: &self.carry });
                self.carry.clear();
                self.carry.shrink_to(KEEP_BUFFER);
            }
            self.place = if self.in_array { Place::Behind } else { Place::Over };
            at += len;
        }
        Ok(())
    }

    /// The body ended.
    pub(in crate::dialect) const fn finish(&mut self) -> Result<(), BadFrame> {
        match self.place {
            Place::Over | Place::Before => Ok(()),
            Place::First | Place::Inside | Place::Behind | Place::Next => {
                Err(BadFrame("it ends in the middle of its array"))
            }
        }
    }

    /// Passes bytes up to where an element begins; how many.
    fn between(&mut self, rest: &[u8]) -> Result<usize, BadFrame> {
        let white = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        let Some(byte) = rest.get(white) else { return Ok(white) };
        match (self.place, byte) {
            (Place::Before, b'[') => {
                self.in_array = true;
                self.place = Place::First;
            }
            (Place::Before | Place::First | Place::Next, b'{') => {
                self.place = Place::Inside;
                return Ok(white);
            }
            (Place::Behind, b',') => self.place = Place::Next,
            (Place::First | Place::Behind, b']') => self.place = Place::Over,
            _ => return Err(BadFrame("it is no array of objects")),
        }
        Ok(white + 1)
    }

    /// Passes bytes of an element; how many, and whether it ends there.
    fn inside(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
            if std::mem::take(&mut self.escaped) {
                at += 1;
            } else if self.in_string {
                let Some(mark) = memchr2(b'"', b'\\', left) else { return (rest.len(), false) };
                self.escaped = left.get(mark) == Some(&b'\\');
                self.in_string = self.escaped;
                at += mark + 1;
            } else {
                let Some(mark) = left.iter().position(|byte| b"\"{}[]".contains(byte)) else {
                    return (rest.len(), false);
                };
                at += mark + 1;
                match left.get(mark) {
                    Some(b'"') => self.in_string = true,
                    Some(b'{' | b'[') => self.depth += 1,
                    _ => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return (at, true);
                        }
                    }
                }
            }
        }
        (rest.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Result<Vec<String>, BadFrame> {
        let (mut array, mut shown) = (JsonArray::default(), Vec::new());
        for chunk in chunks {
            array.push(chunk, &mut |frame| shown.push(String::from_utf8_lossy(frame.data).into_owned()))?;
        }
        array.finish().map(|()| shown)
    }

    const THREE: &str = "[{\"a\":\"]}\\\\\\\"\"}\n,\r\n{\"b\":[{},[]]},{}]\n";

    #[test]
    fn elements_are_shown_wherever_the_array_is_cut() {
        let whole = vec![r#"{"a":"]}\\\""}"#.to_owned(), r#"{"b":[{},[]]}"#.to_owned(), "{}".to_owned()];
        assert_eq!(cut(&[THREE.as_bytes()]), Ok(whole.clone()));
        for at in 0..THREE.len() {
            let (a, b) = THREE.as_bytes().split_at(at);
            assert_eq!(cut(&[a, b]), Ok(whole.clone()), "cut at {at}");
        }
        let bytes: Vec<&[u8]> = THREE.as_bytes().chunks(1).collect();
        assert_eq!(cut(&bytes), Ok(whole));
    }

    #[test]
    fn a_lone_object_is_one_element_and_nothing_is_none() {
        assert_eq!(cut(&[br#"{"error":{}}"#]), Ok(vec![r#"{"error":{}}"#.to_owned()]));
        assert_eq!(cut(&[b"[]"]), Ok(vec![]));
        assert_eq!(cut(&[b" \n"]), Ok(vec![]));
    }

    #[test]
    fn what_is_no_whole_array_is_an_error() {
        for bad in ["[{}", "[{},", "[{},]", "[1]", "[{}{}]", "[{}]x", "x", "[{\"a\":\"", "{}{}", "[[]]"] {
            assert!(cut(&[bad.as_bytes()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endless_element_is_an_error_and_not_kept() {
        let mut array = JsonArray::default();
        array.push(b"[{\"a\":\"", &mut |_| {}).unwrap();
        let chunk = vec![b'x'; 1 << 20];
        let results: Vec<bool> = (0..4).map(|_| array.push(&chunk, &mut |_| {}).is_ok()).collect();
        assert_eq!(results, [true, true, true, false]);
        assert!(array.carry.len() <= MAX_EVENT);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_chunking_matters(
            text in proptest::collection::vec(proptest::sample::select(b"[]{},\"\\a \n".to_vec()), 0..120),
            at in 0_usize..120,
        ) {
            let (a, b) = text.split_at(at.min(text.len()));
            prop_assert_eq!(cut(&[&text]), cut(&[a, b]));
        }
    }
}
