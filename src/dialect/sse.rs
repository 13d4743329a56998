//! Server-sent events, cut at any byte.
//!
//! Owns lines and events, not what they mean. An event that lies whole in a chunk is read where it
//! stands; one that is cut is put together, up to a limit. Line ends are `\n`, `\r\n` or `\r`, and
//! the trap is the second: its halves may come in two chunks, and by then the event is over.

use std::ops::Range;

use memchr::memchr2;

/// An event may be this long to be read. Responses repeats the whole request and answer in its last
/// event, with the usage: what fits in a context window fits in here.
pub(super) const MAX_EVENT: usize = 4 << 20;
/// A buffer that grew beyond this for one event is given back after it: a thousand idle streams
/// must not each keep their largest event.
const KEEP_BUFFER: usize = 16 << 10;

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    /// The `data` lines, joined by line feeds. Empty for comments, and for an event that was too long.
    pub data: &'a [u8],
    /// Where it begins in this chunk: 0 when it began in an earlier one.
    pub start: usize,
    /// Just behind it in this chunk.
    pub end: usize,
    /// Its length, with whatever came in earlier chunks.
    pub size: usize,
}

/// Puts events together.
#[derive(Default)]
pub(super) struct Splitter {
    /// What earlier chunks brought of the current event.
    carry: Vec<u8>,
    /// The current event has begun in an earlier chunk.
    open: bool,
    /// Its bytes in earlier chunks, kept or not.
    size: usize,
    /// It is too long: its bytes are not kept.
    too_long: bool,
    /// While too long: the current line has no byte yet.
    line_empty: bool,
    /// Where the current line begins, counted from the event's start.
    line: usize,
    fields: Fields,
    /// The last byte was a `\r`: a `\n` right behind it belongs to it.
    after_cr: bool,
    /// A line was seen: a byte order mark can only stand before it.
    begun: bool,
}

/// The fields of the current event.
#[derive(Default)]
struct Fields {
    lines: usize,
    data: Range<usize>,
    joined: Vec<u8>,
}

impl Splitter {
    /// Whether the last byte ended an event (or there was none yet).
    pub(super) const fn at_boundary(&self) -> bool {
        !self.open
    }

    /// Whether the last byte was a `\r` that may have its `\n` still to come.
    pub(super) const fn after_cr(&self) -> bool {
        self.after_cr
    }

    /// Bytes of the current event so far.
    pub(super) const fn pending(&self) -> usize {
        self.size
    }

    /// Takes the next chunk and shows every event that it completes.
    pub(super) fn push(&mut self, chunk: &[u8], mut show: impl FnMut(Event<'_>)) {
        if chunk.is_empty() {
            return;
        }
        let mut at = 0;
        // Where the current event begins in this chunk.
        let mut start = 0;
        if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            at = 1;
            if self.open {
                self.keep(chunk.get(..1).unwrap_or_default());
                self.line += 1;
            } else {
                start = 1;
            }
        }
        while let Some((end, next)) = self.line_end(chunk, at) {
            let line = chunk.get(at..end).unwrap_or_default();
            let blank = if self.open {
                self.keep(chunk.get(at..next).unwrap_or_default());
                let carried = std::mem::take(&mut self.carry);
                let ends = carried.len().saturating_sub(next - end);
                let blank = self.line(&carried, ends, next - end, line.is_empty());
                self.carry = carried;
                blank
            } else {
                let event = chunk.get(start..).unwrap_or_default();
                self.line(event, end - start, next - end, line.is_empty())
            };
            at = next;
            if blank {
                let buffer = if self.open { &self.carry } else { chunk.get(start..).unwrap_or_default() };
                let size = if self.open { self.size } else { next - start };
                let data = if size > MAX_EVENT { &[] } else { self.fields.data(buffer) };
                show(Event { data, start, end: next, size });
                self.reset();
                start = next;
            }
        }
        if self.open {
            self.keep(chunk.get(at..).unwrap_or_default());
        } else if start < chunk.len() {
            self.open = true;
            self.keep(chunk.get(start..).unwrap_or_default());
        }
        self.line_empty &= at == chunk.len();
    }

    /// The stream ended: shows an event that only lacks its blank line.
    pub(super) fn finish(&mut self, mut show: impl FnMut(Event<'_>)) {
        if self.open && !self.too_long {
            let carried = std::mem::take(&mut self.carry);
            self.line(&carried, carried.len(), 0, carried.len() == self.line);
            show(Event { data: self.fields.data(&carried), start: 0, end: 0, size: self.size });
        }
        self.reset();
    }

    /// Where the line at `at` ends, and where the next one begins.
    #[inline]
    fn line_end(&mut self, chunk: &[u8], at: usize) -> Option<(usize, usize)> {
        let rest = chunk.get(at..)?;
        let end = at + memchr2(b'\n', b'\r', rest)?;
        if chunk.get(end) == Some(&b'\n') {
            return Some((end, end + 1));
        }
        match chunk.get(end + 1) {
            Some(b'\n') => Some((end, end + 2)),
            Some(_) => Some((end, end + 1)),
            None => {
                self.after_cr = true;
                Some((end, end + 1))
            }
        }
    }

    /// Takes bytes of an event that began in an earlier chunk.
    fn keep(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if !self.too_long && self.size > MAX_EVENT {
            self.line_empty = self.line == self.carry.len();
            self.too_long = true;
            self.carry = Vec::new();
            self.fields = Fields::default();
        }
        if !self.too_long {
            self.carry.extend_from_slice(bytes);
        }
    }

    /// Reads the line that ends at `end` of the event; whether it is the blank one.
    #[inline]
    fn line(&mut self, event: &[u8], end: usize, ending: usize, nothing_here: bool) -> bool {
        if self.too_long {
            return std::mem::replace(&mut self.line_empty, true) && nothing_here;
        }
        let mut from = self.line;
        self.line = end + ending;
        let mut line = event.get(from..end).unwrap_or_default();
        if !std::mem::replace(&mut self.begun, true)
            && let Some(rest) = line.strip_prefix("\u{feff}".as_bytes())
        {
            line = rest;
            from = end - rest.len();
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            let space = usize::from(value.first() == Some(&b' '));
            self.fields.add(event, from + 5 + space..end);
        }
        line.is_empty()
    }

    fn reset(&mut self) {
        self.open = false;
        self.size = 0;
        self.line = 0;
        self.too_long = false;
        self.fields.lines = 0;
        self.carry.clear();
        self.carry.shrink_to(KEEP_BUFFER);
        self.fields.joined.clear();
        self.fields.joined.shrink_to(KEEP_BUFFER);
    }
}

impl Fields {
    #[inline]
    fn add(&mut self, event: &[u8], value: Range<usize>) {
        if self.lines == 0 {
            self.data = value;
        } else {
            if self.lines == 1 {
                self.joined.extend_from_slice(event.get(self.data.clone()).unwrap_or_default());
            }
            self.joined.push(b'\n');
            self.joined.extend_from_slice(event.get(value).unwrap_or_default());
        }
        self.lines += 1;
    }

    #[inline]
    fn data<'a>(&'a self, event: &'a [u8]) -> &'a [u8] {
        match self.lines {
            0 => &[],
            1 => event.get(self.data.clone()).unwrap_or_default(),
            _ => &self.joined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |event| seen.push(String::from_utf8_lossy(event.data).into_owned()));
        }
        splitter.finish(|event| seen.push(String::from_utf8_lossy(event.data).into_owned()));
        seen
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                format!("event: a{end}data: one{end}{end}: note{end}{end}data:two{end}data: 2{end}{end}");
            assert_eq!(read(&[text.as_bytes()]), ["one", "", "two\n2"], "{end:?}");
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_shown_at_the_end() {
        assert_eq!(read(&[b"data: one\n\ndata: [DONE]\n"]), ["one", "[DONE]"]);
        assert_eq!(read(&[b"data: [DO", b"NE]"]), ["[DONE]"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(read(&["\u{feff}data: one\n\n".as_bytes()]), ["one"]);
        assert_eq!(read(&[b"\xef", b"\xbb\xbfdata: one\n\n"]), ["one"]);
    }

    #[test]
    fn an_event_over_the_limit_is_not_read_and_the_next_one_is() {
        let part = vec![b'x'; 1 << 20];
        let mut chunks: Vec<&[u8]> = vec![b"data: "];
        chunks.extend(std::iter::repeat_n(part.as_slice(), 5));
        chunks.extend([b"\nda".as_slice(), b"ta: y\n", b"\ndata: two\n\n"]);
        assert_eq!(read(&chunks), ["", "two"]);
    }

    proptest::proptest! {
        #[test]
        fn events_are_the_same_however_the_stream_is_cut(
            lines in proptest::collection::vec(
                proptest::sample::select(vec!["data: a", "data:b", "event: e", ": c", "", "", "data"]), 0..30),
            end in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
        ) {
            let text: String = lines.iter().flat_map(|line| [*line, end]).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]).collect();
            proptest::prop_assert_eq!(read(&chunks), read(&[text.as_bytes()]));
        }
    }
}
