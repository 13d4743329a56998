//! The structural characters of a JSON text, by SIMD in safe code.
//!
//! The idea is simdjson's first stage, without its index: masks of 64 bytes are made as the walk
//! asks for them, so nothing is allocated and a long string costs a dozen instructions a block, with
//! or without escapes.

use wide::u8x64;

const BLOCK: usize = 64;
const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// An iterator over the positions of `{ } [ ]` outside strings, and of the quotes that open and close
/// strings. Commas and colons need no mark: between two values whoever walks stands on them.
#[derive(Clone)]
pub(super) struct Marks<'a> {
    blocks: &'a [[u8; BLOCK]],
    rest: &'a [u8],
    /// Blocks made into masks so far; the last, partial one counts.
    made: usize,
    /// Where the current block begins.
    base: usize,
    /// Marks of the current block not yet given out.
    all: u64,
    /// The brackets among the current block's marks; those given out count until the next block.
    brackets: u64,
    /// All ones while a string is open at the end of the current block.
    in_string: u64,
    /// 1 when the first byte of the next block is escaped.
    escaped: u64,
}

impl<'a> Marks<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let (blocks, rest) = text.as_chunks();
        Self { blocks, rest, made: 0, base: 0, all: 0, brackets: 0, in_string: 0, escaped: 0 }
    }

    /// The next mark.
    #[inline]
    pub(super) fn next_mark(&mut self) -> Option<usize> {
        while self.all == 0 {
            if !self.refill() {
                return None;
            }
        }
        let bit = self.all.trailing_zeros() as usize;
        self.all &= self.all - 1;
        Some(self.base + bit)
    }

    /// The next bracket; marks before it are passed over.
    #[inline]
    pub(super) fn next_bracket(&mut self) -> Option<usize> {
        loop {
            let left = self.brackets & self.all;
            if left != 0 {
                // Every mark up to this bracket is done with.
                self.all &= !(left ^ (left - 1));
                return Some(self.base + left.trailing_zeros() as usize);
            }
            if !self.refill() {
                return None;
            }
        }
    }

    /// Moves on to the next block that has a mark. `false` at the end of the text.
    fn refill(&mut self) -> bool {
        self.all = 0;
        while let Some(block) = self.blocks.get(self.made) {
            self.base = self.made * BLOCK;
            self.made += 1;
            self.masks(block);
            if self.all != 0 {
                return true;
            }
        }
        if self.made > self.blocks.len() {
            return false;
        }
        let mut last = [b' '; BLOCK];
        if let Some(start) = last.get_mut(..self.rest.len()) {
            start.copy_from_slice(self.rest);
        }
        self.base = self.made * BLOCK;
        self.made += 1;
        self.masks(&last);
        self.all != 0
    }

    #[inline]
    fn masks(&mut self, block: &[u8; BLOCK]) {
        let bytes = u8x64::new(*block);
        let backslash = bytes.simd_eq(u8x64::splat(b'\\')).to_bitmask();
        let mut quotes = bytes.simd_eq(u8x64::splat(b'"')).to_bitmask();
        if backslash | self.escaped != 0 {
            quotes &= !self.escaped_bytes(backslash);
        }
        if quotes == 0 && self.in_string != 0 {
            return;
        }
        // `{` and `[`, `}` and `]` differ in one bit, which these characters alone share here.
        let folded = bytes | u8x64::splat(0x20);
        let brackets = folded.simd_eq(u8x64::splat(b'{')) | folded.simd_eq(u8x64::splat(b'}'));
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = 0_u64.wrapping_sub(inside >> 63);
        self.brackets = brackets.to_bitmask() & !inside;
        self.all = quotes | self.brackets;
    }

    /// The bytes that stand behind an odd run of backslashes: escapes cancel each other in pairs,
    /// which the borrow of a subtraction works out for the whole block at once.
    #[inline]
    fn escaped_bytes(&mut self, backslash: u64) -> u64 {
        let starts = backslash & !self.escaped;
        let behind_or_odd = (starts << 1) | ODD;
        let flipped = behind_or_odd.wrapping_sub(starts) ^ ODD;
        let escaped = flipped ^ (backslash | self.escaped);
        self.escaped = (flipped & backslash) >> 63;
        escaped
    }
}

/// Bit n is the parity of bits 0..=n: between an opening quote and its closing one it is set.
#[inline]
const fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, one byte at a time.
    fn plain(text: &[u8]) -> Vec<usize> {
        let (mut marks, mut inside, mut escaped) = (Vec::new(), false, false);
        for (at, byte) in text.iter().enumerate() {
            let was_escaped = escaped;
            escaped = *byte == b'\\' && !was_escaped;
            match byte {
                b'"' if !was_escaped => {
                    inside = !inside;
                    marks.push(at);
                }
                b'{' | b'}' | b'[' | b']' if !inside => marks.push(at),
                _ => {}
            }
        }
        marks
    }

    fn all(text: &[u8]) -> Vec<usize> {
        let mut marks = Marks::new(text);
        std::iter::from_fn(|| marks.next_mark()).collect()
    }

    proptest::proptest! {
        #[test]
        fn marks_are_those_that_a_byte_by_byte_reading_finds(
            text in proptest::collection::vec(proptest::sample::select(b"\\\\\\\"\"{}[],:a \n".to_vec()), 0..400)
        ) {
            proptest::prop_assert_eq!(all(&text), plain(&text));
        }

        #[test]
        fn brackets_are_the_marks_that_are_brackets(
            text in proptest::collection::vec(proptest::sample::select(b"\\\"{}[],:a".to_vec()), 0..400)
        ) {
            let mut marks = Marks::new(&text);
            let brackets: Vec<usize> = std::iter::from_fn(|| marks.next_bracket()).collect();
            let expected: Vec<usize> =
                plain(&text).into_iter().filter(|at| b"{}[]".contains(&text[*at])).collect();
            proptest::prop_assert_eq!(brackets, expected);
        }
    }
}
