//! A prompt in compact form: eight bytes a block, no text.

use crate::{
    dialect::{Block, Settings},
    types::{BreakPlace, Section},
};

/// A text block that begins so is Claude Code's attribution block (the scanner shows text blocks as
/// their string, quotes included).
const ATTRIBUTION: &[u8] = b"\"x-anthropic-billing-header:";

const BREAKPOINT: u64 = 1;
const OPENS: u64 = 1 << 1;
const BILLING: u64 = 1 << 2;
const SECTION: u32 = 3;
const LENGTH: u32 = 5;
const LONGEST: u64 = (1 << 27) - 1;

/// One block: 32 bits of its content's hash, 27 of its length, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Print(u64);

impl Print {
    /// The print of a block whose content, marker left out, has this hash and length.
    pub(in crate::session) fn new(block: &Block, raw: &[u8], content: u64, length: u64) -> Self {
        let billing = block.section == Section::System && raw.starts_with(ATTRIBUTION);
        Self::of(block.section, block.opens_message, block.marker.is_some(), short(content), length, billing)
    }

    pub(super) fn of(
        section: Section,
        opens: bool,
        breakpoint: bool,
        hash: u32,
        length: u64,
        billing: bool,
    ) -> Self {
        let section: u64 = match section {
            Section::Tools => 0,
            Section::System => 1,
            Section::User => 2,
            Section::Assistant => 3,
        };
        let flag = |on: bool, bit: u64| if on { bit } else { 0 };
        Self(
            u64::from(hash) << 32
                | length.min(LONGEST) << LENGTH
                | section << SECTION
                | flag(billing, BILLING)
                | flag(opens, OPENS)
                | flag(breakpoint, BREAKPOINT),
        )
    }

    /// The same block; where the client puts its markers does not count.
    pub(super) const fn is(self, other: Self) -> bool {
        (self.0 ^ other.0) & !BREAKPOINT == 0
    }

    /// The same content, wherever in its message it stands.
    pub(super) const fn content(self) -> u64 {
        self.0 & !(BREAKPOINT | OPENS)
    }

    pub(super) const fn breakpoint(self) -> bool {
        self.0 & BREAKPOINT != 0
    }

    pub(super) const fn opens(self) -> bool {
        self.0 & OPENS != 0
    }

    pub(super) const fn billing(self) -> bool {
        self.0 & BILLING != 0
    }

    pub(super) const fn length(self) -> u64 {
        self.0 >> LENGTH & LONGEST
    }

    pub(super) const fn section(self) -> Section {
        match self.0 >> SECTION & 3 {
            0 => Section::Tools,
            1 => Section::System,
            2 => Section::User,
            _ => Section::Assistant,
        }
    }

    pub(super) const fn is_message(self) -> bool {
        matches!(self.section(), Section::User | Section::Assistant)
    }
}

/// 32 bits of a hash.
pub(in crate::session) const fn short(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are in it")]
    {
        (hash ^ hash >> 32) as u32
    }
}

/// A prompt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::session) struct Prints {
    /// Its blocks, without Claude Code's attribution block where that stands first.
    pub(in crate::session) blocks: Vec<Print>,
    /// Hash of that attribution block; 0 without one.
    pub(in crate::session) attribution: u32,
    /// Settings that belong to the cache key.
    pub(in crate::session) settings: Settings,
}

/// How many blocks two prompts have in common from the start.
pub(super) fn common(a: &[Print], b: &[Print]) -> usize {
    // In strides without a branch inside, which the compiler turns into vector code.
    const STRIDE: usize = 16;
    let strides = a
        .chunks_exact(STRIDE)
        .zip(b.chunks_exact(STRIDE))
        .take_while(|(a, b)| a.iter().zip(*b).fold(0, |sum, (a, b)| sum | (a.0 ^ b.0)) & !BREAKPOINT == 0)
        .count();
    let from = strides * STRIDE;
    let rest = a.iter().zip(b).skip(from).take_while(|(a, b)| a.is(**b)).count();
    from + rest
}

/// Bytes of these blocks.
pub(super) fn bytes(blocks: &[Print]) -> u64 {
    blocks.iter().map(|block| block.length()).sum()
}

/// Where the messages begin.
pub(super) fn messages_at(blocks: &[Print]) -> usize {
    blocks.iter().position(|block| block.is_message()).unwrap_or(blocks.len())
}

/// What the client would call block `at`.
pub(super) fn place(blocks: &[Print], at: usize, has_attribution: bool) -> BreakPlace {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let before = blocks.get(..at).unwrap_or(blocks);
    match blocks.get(at).map(|block| block.section()) {
        Some(Section::Tools) => BreakPlace::Tool(number(at)),
        Some(Section::System) => {
            let system = before.iter().filter(|block| block.section() == Section::System).count();
            BreakPlace::System(number(system + usize::from(has_attribution)))
        }
        Some(Section::User | Section::Assistant) | None => {
            // Chat and Responses have their system prompt among the messages: it opens some, too.
            let through = blocks.get(..=at).unwrap_or(blocks);
            let opened = through.iter().filter(|block| block.opens()).count();
            let block = through.iter().rev().take_while(|block| !block.opens()).count();
            BreakPlace::Message { message: number(opened.saturating_sub(1)), block: number(block) }
        }
    }
}
