//! How many tokens a text will be, byte by byte, before anybody has taught us better.
//!
//! Weights are thousandths of a token, summed as integers. They stand for what a tokeniser does
//! with each kind of character: a word of small letters is about one token and a quarter whatever
//! its length, so the space in front of it weighs most; punctuation and digits are tokens of their
//! own; further white space joins the first. ASCII and Han are fitted by least squares over English,
//! source code, JSON and Chinese with OpenAI's `o200k_base`; the other scripts are set by hand from
//! what it makes of ordinary words. Other tokenisers differ by a factor, which [`super::Learned`]
//! finds out.
//!
//! A character beyond ASCII is weighed once, by the first byte of its UTF-8 form, so that text may be
//! cut anywhere, also inside a character or an escape.

/// Expected thousandths of tokens, of ASCII and of everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Weight {
    pub(super) ascii: u64,
    pub(super) other: u64,
}

/// Weighs JSON string contents as they stream past, still escaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Scale {
    weight: Weight,
    escape: Escape,
    /// The character before was white space.
    after_space: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Escape {
    #[default]
    None,
    Backslash,
    Unicode {
        digits: u8,
        value: u16,
    },
}

impl Scale {
    /// The weight so far.
    pub(super) const fn weight(&self) -> Weight {
        self.weight
    }

    /// Adds a fixed weight: what is billed, but never shown as text.
    pub(super) const fn add(&mut self, thousandths: u64) {
        self.weight.ascii = self.weight.ascii.saturating_add(thousandths);
    }

    /// Weighs the next piece.
    pub(super) fn push(&mut self, raw: &[u8]) {
        for &byte in raw {
            match self.escape {
                Escape::None if byte == b'\\' => self.escape = Escape::Backslash,
                Escape::None => self.byte(byte),
                Escape::Backslash => {
                    self.escape = Escape::None;
                    match byte {
                        b'n' => self.byte(b'\n'),
                        b't' => self.byte(b'\t'),
                        b'u' => self.escape = Escape::Unicode { digits: 0, value: 0 },
                        other => self.byte(other),
                    }
                }
                Escape::Unicode { digits, value } => self.digit(byte, digits, value),
            }
        }
    }

    fn digit(&mut self, byte: u8, digits: u8, value: u16) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => 0,
        };
        let value = value << 4 | u16::from(digit);
        if digits < 3 {
            self.escape = Escape::Unicode { digits: digits + 1, value };
            return;
        }
        self.escape = Escape::None;
        let mut utf8 = [0; 4];
        match value {
            // The first half stands for the character, the second was weighed with it.
            0xd800..=0xdbff => self.byte(0xf0),
            0xdc00..=0xdfff => {}
            _ => {
                let decoded = char::from_u32(u32::from(value)).unwrap_or(char::REPLACEMENT_CHARACTER);
                let first = decoded.encode_utf8(&mut utf8).as_bytes().first();
                self.byte(first.copied().unwrap_or(b'?'));
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let weight = match byte {
            _ if space && self.after_space => 90,
            b' ' | b'\t' => 500,
            b'\n' | b'\r' => 600,
            b'a'..=b'z' => 125,
            b'A'..=b'Z' => 310,
            b'0'..=b'9' => 700,
            0x00..=0x7f => 630,
            // Inside a character.
            0x80..=0xbf => 0,
            // Letters with accents (up to U+02FF): they break words apart.
            0xc0..=0xcb => 500,
            // Greek, Cyrillic, Hebrew, Arabic (up to U+07FF).
            0xcc..=0xdf => 240,
            // Indic scripts, Thai, Georgian (up to U+1FFF).
            0xe0..=0xe1 => 420,
            // Punctuation, arrows, box drawing (up to U+2FFF).
            0xe2 => 900,
            // Kana, Han, Hangul.
            0xe3..=0xed => 680,
            // Full-width punctuation: hardly ever joined to anything.
            0xee..=0xef => 900,
            // Emoji and rare Han.
            0xf0..=0xff => 1600,
        };
        self.after_space = space;
        let sum = if byte < 0x80 { &mut self.weight.ascii } else { &mut self.weight.other };
        *sum = sum.saturating_add(weight);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weigh(pieces: &[&[u8]]) -> Weight {
        let mut scale = Scale::default();
        pieces.iter().for_each(|piece| scale.push(piece));
        scale.weight()
    }

    #[test]
    fn an_escaped_text_weighs_what_the_plain_one_does() {
        assert_eq!(weigh(&["привет\n".as_bytes()]), weigh(&[br"\u043f\u0440\u0438\u0432\u0435\u0442\n"]));
        assert_eq!(weigh(&["你好😀".as_bytes()]), weigh(&[br"\u4f60\u597D\ud83d\ude00"]));
        assert_eq!(weigh(&[br#"say \"hi\""#]), weigh(&[br#"say "hi""#]));
    }

    #[test]
    fn english_is_about_four_bytes_a_token() {
        let text = "The gateway keeps every conversation on the account where its prompt is already warm, \
                    and only moves it when waiting would cost more than starting again somewhere else.";
        let tokens = weigh(&[text.as_bytes()]).ascii as f64 / 1000.0;
        let bytes_a_token = text.len() as f64 / tokens;
        assert!((3.8..5.2).contains(&bytes_a_token), "{bytes_a_token}");
    }

    proptest! {
        #[test]
        fn a_text_weighs_the_same_however_it_is_cut(raw in ".{0,60}", escapes in any::<bool>(), cuts in proptest::collection::vec(0_usize..200, 0..6)) {
            let text = if escapes { serde_json::to_string(&raw).unwrap() } else { raw };
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(weigh(&pieces), weigh(&[bytes]));
        }

        #[test]
        fn any_bytes_can_be_weighed(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let weight = weigh(&[&raw]);
            prop_assert!(weight.ascii + weight.other <= 1600 * raw.len() as u64);
        }
    }
}
