//! Lines of any file, one at a time, in bounded memory.

use std::io::{self, BufRead};

/// What one line was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// It stands in the buffer.
    Whole,
    /// So does it, but the file ended within it: whoever writes it may not be done.
    Unfinished,
    /// It was longer than allowed and is not kept.
    TooLong,
}

/// Reads lines into one buffer.
pub(super) struct Lines<R> {
    from: R,
    most: usize,
    buffer: Vec<u8>,
    /// The number of the line that was read last, from 1.
    pub(super) number: u64,
}

/// A buffer that grew for one long line is given back.
const KEPT: usize = 1 << 20;

impl<R: BufRead> Lines<R> {
    /// Lines of at most so many bytes.
    pub(super) const fn new(from: R, most: usize) -> Self {
        Self { from, most, buffer: Vec::new(), number: 0 }
    }

    /// The next line and its text, without its end; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<(Line, &[u8])>> {
        self.buffer.clear();
        if self.buffer.capacity() > KEPT {
            self.buffer.shrink_to(KEPT);
        }
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.from.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                if !any {
                    return Ok(None);
                }
                self.number += 1;
                let line = if too_long { Line::TooLong } else { Line::Unfinished };
                return Ok(Some((line, &self.buffer)));
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let piece = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            if self.buffer.len() + piece.len() > self.most {
                too_long = true;
                self.buffer.clear();
            }
            if !too_long {
                self.buffer.extend_from_slice(piece);
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.from.consume(used);
            if end.is_some() {
                self.number += 1;
                let line = if too_long { Line::TooLong } else { Line::Whole };
                return Ok(Some((line, &self.buffer)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &[u8], most: usize) -> Vec<(Line, Vec<u8>)> {
        // A small buffer, so that lines come in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(3, text), most);
        let mut all = Vec::new();
        while let Some((line, text)) = lines.next().expect("memory can be read") {
            all.push((line, text.to_vec()));
        }
        all
    }

    #[test]
    fn lines_come_whole_and_the_last_may_not_be() {
        assert_eq!(read(b"", 10), []);
        assert_eq!(
            read(b"one\n\nthree\nfo", 10),
            [
                (Line::Whole, b"one".to_vec()),
                (Line::Whole, Vec::new()),
                (Line::Whole, b"three".to_vec()),
                (Line::Unfinished, b"fo".to_vec())
            ]
        );
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut text = vec![b'x'; 100_000];
        text.extend(b"\nshort\n");
        let lines = read(&text, 1_000);
        assert_eq!(lines[0], (Line::TooLong, Vec::new()));
        assert_eq!(lines[1], (Line::Whole, b"short".to_vec()));
        let mut lines = Lines::new(BufReader::new(&text[..]), 1_000);
        lines.next().unwrap();
        assert!(lines.buffer.capacity() <= 16_384, "{}", lines.buffer.capacity());
    }
}
