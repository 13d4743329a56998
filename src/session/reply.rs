//! A fingerprint of an answer's text, taken while it streams, and of the same text when it comes
//! back in the history of the next request.
//!
//! Both sides hash the *decoded* text without its white space: a provider escapes `\u00e9` where a
//! client writes `é`, and clients trim what they show.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Text is hashed in runs of this many decoded bytes, so that splits do not matter.
const RUN: usize = 128;

/// Where in an escape sequence the last piece ended.
#[derive(Clone, Copy, Debug, Default)]
enum Escape {
    /// In none.
    #[default]
    None,
    /// Behind a backslash.
    Backslash,
    /// Behind `\u` and some digits.
    Unicode {
        /// How many digits were read.
        digits: u8,
        /// Their value.
        value: u32,
    },
}

/// Hashes text as it streams past, still escaped as in JSON. Pieces may be cut anywhere, also inside
/// an escape or a character.
#[derive(Clone)]
pub struct ReplyHasher {
    run: [u8; RUN],
    filled: usize,
    hash: u64,
    any: bool,
    escape: Escape,
    /// A high surrogate that waits for its other half.
    high: Option<u32>,
}

impl Default for ReplyHasher {
    fn default() -> Self {
        Self { run: [0; RUN], filled: 0, hash: 0, any: false, escape: Escape::None, high: None }
    }
}

impl fmt::Debug for ReplyHasher {
    /// Not the text that waits to be hashed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyHasher(..)")
    }
}

impl ReplyHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of JSON string content.
    pub fn push(&mut self, raw: &[u8]) {
        for &byte in raw {
            match self.escape {
                Escape::None if byte == b'\\' => self.escape = Escape::Backslash,
                Escape::None => self.byte(byte),
                Escape::Backslash => self.escaped(byte),
                Escape::Unicode { digits, value } => self.digit(byte, digits, value),
            }
        }
    }

    /// The fingerprint of what was seen; `None` when there was no text.
    #[must_use]
    pub fn finish(&self) -> Option<u64> {
        let mut last = self.clone();
        last.lone_surrogate();
        let rest = last.run.get(..last.filled).unwrap_or_default();
        last.any.then(|| xxh3_64_with_seed(rest, last.hash))
    }

    fn escaped(&mut self, byte: u8) {
        self.escape = Escape::None;
        match byte {
            b'u' => self.escape = Escape::Unicode { digits: 0, value: 0 },
            // All of them white space, or no text anybody would miss.
            b'n' | b'r' | b't' | b'b' | b'f' => self.lone_surrogate(),
            other => self.byte(other),
        }
    }

    fn digit(&mut self, byte: u8, digits: u8, value: u32) {
        let digit = char::from(byte).to_digit(16).unwrap_or(0);
        let value = value << 4 | digit;
        if digits < 3 {
            self.escape = Escape::Unicode { digits: digits + 1, value };
            return;
        }
        self.escape = Escape::None;
        match (self.high.take(), value) {
            (Some(high), 0xdc00..=0xdfff) => {
                self.code_point(0x1_0000 + ((high - 0xd800) << 10) + (value - 0xdc00));
            }
            (other, 0xd800..=0xdbff) => {
                self.high = other;
                self.lone_surrogate();
                self.high = Some(value);
            }
            (other, _) => {
                self.high = other;
                self.lone_surrogate();
                self.code_point(value);
            }
        }
    }

    /// A character that came as an escape; what is none becomes U+FFFD.
    fn code_point(&mut self, value: u32) {
        let mut utf8 = [0; 4];
        let decoded = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
        for &byte in decoded.encode_utf8(&mut utf8).as_bytes() {
            self.put(byte);
        }
    }

    /// A byte that came as itself.
    fn byte(&mut self, byte: u8) {
        self.lone_surrogate();
        self.put(byte);
    }

    fn lone_surrogate(&mut self) {
        if self.high.take().is_some() {
            self.code_point(0xfffd);
        }
    }

    fn put(&mut self, byte: u8) {
        if byte <= b' ' {
            return;
        }
        if let Some(place) = self.run.get_mut(self.filled) {
            *place = byte;
        }
        self.filled += 1;
        self.any = true;
        if self.filled == RUN {
            self.hash = xxh3_64_with_seed(&self.run, self.hash);
            self.filled = 0;
        }
    }
}
