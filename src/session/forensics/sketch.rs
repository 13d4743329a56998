//! What is kept of a block to say later *how* another one differs from it: two hashes, no text.

use std::cell::RefCell;

use xxhash_rust::xxh3::xxh3_64;

use super::prints::short;

/// Larger blocks are not sketched: a change in them has no more exact cause than "changed".
pub(super) const LARGEST: u64 = 128 * 1024;

/// Words that are part of a date.
const DATES: [&str; 40] = [
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "sept",
    "october",
    "november",
    "december",
    "am",
    "pm",
];

thread_local! {
    static MASKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Two views of a block under which some changes do not show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sketch {
    /// Hash of the text with each number and each word of a date masked.
    masked: u32,
    /// Sum of the hashes of its pieces (strings, scalars, lines; a value goes with its key), which no
    /// order changes.
    pieces: u32,
}

impl Sketch {
    /// The sketch of a block that consists of these parts.
    pub(super) fn of(parts: [&[u8]; 2]) -> Self {
        let masked = MASKED.with_borrow_mut(|out| {
            out.clear();
            for part in parts {
                mask(part, out);
            }
            xxh3_64(out)
        });
        let pieces = parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(pieces(part)));
        Self { masked: short(masked), pieces: short(pieces) }
    }

    /// Only digits and dates differ.
    pub(super) const fn same_but_for_dates(self, other: Self) -> bool {
        self.masked == other.masked
    }

    /// Only the order of members or lines differs.
    pub(super) const fn same_but_for_order(self, other: Self) -> bool {
        self.pieces == other.pieces
    }
}

fn mask(text: &[u8], out: &mut Vec<u8>) {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic());
    for run in text.chunk_by(|a, b| kind(*a) == kind(*b)) {
        let is_digits = run.first().is_some_and(u8::is_ascii_digit);
        if is_digits || is_date(run) {
            out.push(b'0');
        } else {
            out.extend_from_slice(run);
        }
    }
}

fn is_date(word: &[u8]) -> bool {
    (2..=9).contains(&word.len())
        && word.first().is_some_and(|first| b"adfjmnopstw".contains(&first.to_ascii_lowercase()))
        && DATES.iter().any(|date| date.as_bytes().eq_ignore_ascii_case(word))
}

fn pieces(text: &[u8]) -> u64 {
    let (mut sum, mut key, mut last) = (0_u64, 0_u64, 0_u64);
    let (mut from, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        if is_delimiter(byte) {
            take(text.get(from..at), &mut sum, &mut key, &mut last);
            match byte {
                // What is escaped (a quote, an end of line) separates, too.
                b'\\' => at += 1,
                // The value that follows goes with this key.
                b':' => key = last,
                b'{' | b'[' | b',' => key = 0,
                _ => {}
            }
            from = at + 1;
        }
        at += 1;
    }
    take(text.get(from..), &mut sum, &mut key, &mut last);
    sum
}

fn take(piece: Option<&[u8]>, sum: &mut u64, key: &mut u64, last: &mut u64) {
    let piece = piece.unwrap_or_default().trim_ascii();
    if piece.is_empty() {
        return;
    }
    *last = xxh3_64(piece);
    *sum = sum.wrapping_add((*last ^ key.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    *key = 0;
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b',' | b':' | b'{' | b'}' | b'[' | b']' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Sketch {
        Sketch::of([text.as_bytes(), b""])
    }

    #[test]
    fn numbers_and_dates_do_not_show_when_masked() {
        for (a, b) in [
            ("Today is Mon Nov 30 2026, 9:59:07 AM.", "Today is Tue Dec 1 2026, 10:00:00 PM."),
            ("at 2026-11-21T16:31:00.123Z", "at 2027-01-02T03:04:05.1Z"),
            ("date: 1", "date: 20"),
        ] {
            assert!(of(a).same_but_for_dates(of(b)), "{a} / {b}");
            assert!(!of(a).same_but_for_order(of(b)), "{a} / {b}");
        }
        for (a, b) in [("Be brief.", "Be long."), ("in /home/ann", "in /home/bob"), ("a1b", "a1c")] {
            assert!(!of(a).same_but_for_dates(of(b)), "{a} / {b}");
        }
    }

    #[test]
    fn the_order_of_members_and_lines_does_not_show_in_the_pieces() {
        for (a, b) in [
            (r#"{"a":1,"b":{"c":"x","d":[true]}}"#, r#"{"b":{"d":[true],"c":"x"},"a":1}"#),
            (r#"{ "a": 1, "b": 2 }"#, r#"{"b":2,"a":1}"#),
            (r#""one\ntwo\n{\"a\":1,\"b\":2}""#, r#""two\n{\"b\":2,\"a\":1}\none""#),
        ] {
            assert!(of(a).same_but_for_order(of(b)), "{a} / {b}");
        }
        for (a, b) in [
            (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
            (r#"{"a":"x","b":"y"}"#, r#"{"a":"y","b":"x"}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
        ] {
            assert!(!of(a).same_but_for_order(of(b)), "{a} / {b}");
        }
    }

    #[test]
    fn a_block_in_two_parts_is_sketched_as_one() {
        assert_eq!(Sketch::of([b"{\"a\":1,", b"\"b\":2}"]).masked, of(r#"{"a":1,"b":2}"#).masked);
    }
}
