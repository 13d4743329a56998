//! Two prompts of one session: is the second the first one gone on, and if not, where and why not?
//!
//! Pure, over hashes alone. What it finds is a suspicion: whether anything was lost is the
//! provider's word, which comes with the answer.

use smallvec::SmallVec;

use super::{
    prints::{Print, Prints, bytes, common, messages_at, place},
    sketch::Sketch,
};
use crate::types::{BreakCause, BreakPlace, Section, ToolsDelta};

/// How far back from a breakpoint a provider looks for what it has cached, the breakpoint included
/// (providers: Anthropic).
const REACH: usize = 20;
/// A history that shrank without the client's word was summed up only if it was this long, in
/// tokens: no client compacts less.
const WORTH_COMPACTING: u64 = 16_000;
/// And only if it begins with this many bytes now: a summary is long, a new question is not.
const SHORTEST_SUMMARY: u64 = 2_048;

/// The sketch of block `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketched {
    pub(super) at: u32,
    pub(super) sketch: Sketch,
}

/// A prompt, with the sketches of some of its blocks in their order.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) prints: &'a Prints,
    pub(super) sketches: &'a [Sketched],
}

impl Side<'_> {
    fn sketch(&self, at: usize) -> Option<Sketch> {
        let at = u32::try_from(at).ok()?;
        let found = self.sketches.binary_search_by_key(&at, |sketched| sketched.at).ok()?;
        self.sketches.get(found).map(|sketched| sketched.sketch)
    }
}

/// What else is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    /// The client says that it has rewritten its history.
    pub(super) compacted: bool,
    /// The provider caches at breakpoints only, and finds what is at most twenty blocks back.
    pub(super) explicit: bool,
    /// Tokens of the earlier prompt.
    pub(super) tokens: u64,
    /// The session spoke under several prompts lately: a new beginning is just one more.
    pub(super) several: bool,
}

/// What the later prompt is to the earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    /// The same, and more.
    Extends,
    /// The same, or its beginning.
    CutBack,
    /// The same conversation, with something changed in its midst.
    Changed,
    /// Another way from an earlier point on: both may go on.
    Fork,
    /// Another prompt that happens to begin alike, or does not even do that.
    Stranger,
}

/// A reason why something cached may not be found again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Suspect {
    pub(super) cause: BreakCause,
    pub(super) at: BreakPlace,
    /// Bytes in front of it.
    pub(super) offset: u64,
    pub(super) tools: Option<ToolsDelta>,
    /// Bytes of the earlier prompt that the later one has, too: what might have been read.
    pub(super) shared: u64,
    /// Bytes of it that can be read all the same.
    pub(super) reach: u64,
    /// Only where the provider does not strip the attribution block.
    pub(super) unless_stripped: bool,
}

/// The finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Comparison {
    /// Blocks in common from the start.
    pub(super) common: usize,
    pub(super) relation: Relation,
    /// At most three, the nearest to the start first.
    pub(super) suspects: SmallVec<[Suspect; 2]>,
}

/// Compares `now` with `before`.
pub(super) fn compare(before: Side<'_>, now: Side<'_>, hints: &Hints) -> Comparison {
    let (old, new) = (&before.prints.blocks[..], &now.prints.blocks[..]);
    let common = common(old, new);
    let pair = Pair { before, now, hints, common };
    let (relation, suspect) = match (old.get(common), new.get(common)) {
        (None, _) if old.is_empty() => (Relation::Stranger, None),
        (None, _) => (Relation::Extends, None),
        // The last tools or blocks of the system prompt are gone; of the history: cut back.
        (Some(_), None) => (Relation::CutBack, None),
        (Some(a), Some(b)) if !a.is_message() || !b.is_message() => pair.head(*a, *b),
        (Some(_), Some(_)) => pair.messages(),
    };
    let mut suspects = SmallVec::new();
    if matches!(relation, Relation::Extends | Relation::CutBack | Relation::Changed) {
        suspects.extend(pair.settings());
        suspects.extend(pair.attribution());
    }
    suspects.extend(suspect);
    suspects.sort_by_key(|suspect: &Suspect| suspect.offset);
    if relation == Relation::Extends && hints.explicit {
        suspects.extend(pair.unreached());
    }
    Comparison { common, relation, suspects }
}

struct Pair<'a> {
    before: Side<'a>,
    now: Side<'a>,
    hints: &'a Hints,
    common: usize,
}

impl Pair<'_> {
    fn earlier(&self) -> &[Print] {
        &self.before.prints.blocks
    }

    fn later(&self) -> &[Print] {
        &self.now.prints.blocks
    }

    fn suspect(&self, cause: BreakCause, shared: u64) -> Suspect {
        // A provider with breakpoints has what lies before the last one in front of the change.
        let kept = self.earlier().get(..self.common).unwrap_or_default();
        let marked = kept.iter().rposition(|block| block.breakpoint()).map_or(0, |at| at + 1);
        let reach = if self.hints.explicit { kept.get(..marked).unwrap_or_default() } else { kept };
        // Where a block is gone, the old prompt names it.
        let gone = match (self.earlier().get(self.common), self.later().get(self.common)) {
            (Some(a), Some(b)) => a.section() < b.section(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let side = if gone { &self.before } else { &self.now };
        Suspect {
            cause,
            at: place(&side.prints.blocks, self.common, side.prints.attribution != 0),
            offset: bytes(kept),
            tools: None,
            shared,
            reach: bytes(reach),
            unless_stripped: false,
        }
    }

    /// Only digits, or only the order, differ between the blocks at `at`.
    fn variant(&self, at: usize) -> Option<BreakCause> {
        let (old, new) = (self.earlier().get(at)?, self.later().get(at)?);
        if old.section() != new.section() {
            return None;
        }
        // A call by the model with another number in it is another call.
        let by_model = old.section() == Section::Assistant;
        let (old, new) = (self.before.sketch(at)?, self.now.sketch(at)?);
        if !by_model && old.same_but_for_dates(new) {
            Some(BreakCause::Timestamp)
        } else if old.same_but_for_order(new) {
            Some(BreakCause::ReorderedKeys)
        } else {
            None
        }
    }

    /// Bytes of the old prompt that stand in the new one: the beginning in common, every block that
    /// comes again, and the changed block if it is nearly the same.
    fn shared(&self, variant: bool) -> u64 {
        let (head, old) = self.earlier().split_at_checked(self.common).unwrap_or_default();
        let (_, new) = self.later().split_at_checked(self.common).unwrap_or_default();
        // The changed block and its variant are one pair: its old text may well stand further behind, too,
        // and must not count twice.
        let (changed, old, new) = match (old, new) {
            ([first, old @ ..], [_, new @ ..]) if variant => (first.length(), old, new),
            _ => (0, old, new),
        };
        bytes(head) + again(old, new) + changed
    }

    /// The tools or the system prompt differ.
    fn head(&self, old: Print, new: Print) -> (Relation, Option<Suspect>) {
        let variant = self.variant(self.common);
        if !self.is_same_conversation(variant.is_some()) {
            return (Relation::Stranger, None);
        }
        let section = old.section().min(new.section());
        let shared = self.shared(variant.is_some());
        let suspect = if old.billing() || new.billing() {
            self.suspect(BreakCause::Attribution, shared)
        } else if let Some(cause) = variant {
            self.suspect(cause, shared)
        } else if section == Section::Tools {
            let tools = Some(tools_delta(self.earlier(), self.later()));
            Suspect { tools, ..self.suspect(BreakCause::ToolsChanged, shared) }
        } else {
            self.suspect(BreakCause::SystemChanged, shared)
        };
        (Relation::Changed, Some(suspect))
    }

    /// Side requests (titles, classifiers, sub-agents) travel under the main session's id with other
    /// tools and another system prompt: the history must go on, or everything else must be alike.
    fn is_same_conversation(&self, variant: bool) -> bool {
        let (old, new) = (self.earlier(), self.later());
        let (old_at, new_at) = (messages_at(old), messages_at(new));
        let (old_head, old_messages) = old.split_at_checked(old_at).unwrap_or_default();
        let (new_head, new_messages) = new.split_at_checked(new_at).unwrap_or_default();
        let (old_first, old_rest) = first_message(old_messages);
        let (new_first, new_rest) = first_message(new_messages);
        if old_first.is_empty() || new_first.is_empty() {
            return false;
        }
        if self.hints.compacted {
            return true;
        }
        let going_on = again(old_rest, new_rest) * 2;
        if going_on > 0 && going_on >= bytes(old_rest).min(bytes(new_rest)) {
            return true;
        }
        let same_head = variant || again(old_head, new_head) * 2 >= bytes(old_head);
        let same_first = old_first.len() == new_first.len()
            && old_first.iter().zip(new_first).enumerate().all(|(n, (a, b))| {
                a.content() == b.content() || (old_at == new_at && self.variant(old_at + n).is_some())
            });
        same_head && same_first
    }

    /// The history differs.
    fn messages(&self) -> (Relation, Option<Suspect>) {
        let (_, old) = self.earlier().split_at_checked(self.common).unwrap_or_default();
        let (_, new) = self.later().split_at_checked(self.common).unwrap_or_default();
        let head = bytes(self.earlier().get(..self.common).unwrap_or_default());
        if self.hints.compacted {
            return (Relation::Changed, Some(self.suspect(BreakCause::Compaction, head)));
        }
        let comes_again = again(old, new);
        let goes_on = comes_again > 0 && comes_again * 10 >= bytes(old).min(bytes(new));
        if goes_on && self.shrank() {
            return (Relation::Changed, Some(self.suspect(BreakCause::Compaction, head)));
        }
        if let Some(cause) = self.variant(self.common) {
            return (Relation::Changed, Some(self.suspect(cause, self.shared(true))));
        }
        if goes_on {
            return (Relation::Changed, Some(self.suspect(BreakCause::EditedHistory, self.shared(false))));
        }
        let common = self.earlier().get(..self.common).unwrap_or_default();
        if !common.iter().any(|block| block.section() == Section::Assistant) {
            return if self.is_summed_up(old, new) {
                (Relation::Changed, Some(self.suspect(BreakCause::Compaction, head)))
            } else {
                (Relation::Stranger, None)
            };
        }
        // Nothing behind the change comes again: the conversation went on from an earlier point. That
        // costs only where the client had nothing cached up to there.
        let ends = !old.iter().skip(1).any(|block| block.opens());
        let relation = if ends { Relation::Changed } else { Relation::Fork };
        let cached_behind = !self.hints.explicit || old.iter().any(|block| block.breakpoint());
        (relation, cached_behind.then(|| self.suspect(BreakCause::EditedHistory, head)))
    }

    /// The history is shorter by a quarter, in messages, too.
    fn shrank(&self) -> bool {
        let of = |blocks: &[Print]| {
            let messages = blocks.get(messages_at(blocks)..).unwrap_or_default();
            (bytes(messages), messages.iter().filter(|block| block.opens()).count())
        };
        let ((old, old_count), (new, new_count)) = (of(self.earlier()), of(self.later()));
        new * 4 <= old * 3 && new_count < old_count
    }

    /// The client did not say so, but a long history has given way to a summary. (A new conversation
    /// under an old id begins with a question.)
    fn is_summed_up(&self, old: &[Print], new: &[Print]) -> bool {
        !self.hints.several
            && self.hints.tokens >= WORTH_COMPACTING
            && old.iter().any(|block| block.section() == Section::Assistant)
            && bytes(first_message(new).0) >= SHORTEST_SUMMARY
            && bytes(new) * 2 <= bytes(old)
    }

    /// Settings that are part of the provider's cache key.
    fn settings(&self) -> Option<Suspect> {
        let (old, new) = (self.before.prints.settings, self.now.prints.settings);
        let head = if old.all != new.all {
            0
        } else if old.messages != new.messages {
            bytes(self.later().get(..messages_at(self.later())).unwrap_or_default())
        } else {
            return None;
        };
        Some(Suspect {
            cause: BreakCause::SettingsChanged,
            at: BreakPlace::Settings,
            offset: head,
            tools: None,
            shared: self.shared(false),
            reach: head,
            unless_stripped: false,
        })
    }

    /// Claude Code's attribution block, which stands first in the system prompt and in no chain.
    fn attribution(&self) -> Option<Suspect> {
        let (old, new) = (self.before.prints.attribution, self.now.prints.attribution);
        if old == new {
            return None;
        }
        let is_tool = |block: &Print| block.section() == Section::Tools;
        let tools = self.later().iter().position(|block| !is_tool(block)).unwrap_or(self.later().len());
        if self.common < tools {
            return None;
        }
        let offset = bytes(self.later().get(..tools).unwrap_or_default());
        Some(Suspect {
            cause: BreakCause::Attribution,
            at: BreakPlace::System(0),
            offset,
            tools: None,
            shared: self.shared(false),
            reach: offset,
            unless_stripped: true,
        })
    }

    /// What was cached last lies further back than the provider looks from any breakpoint.
    fn unreached(&self) -> Option<Suspect> {
        let last = self.earlier().iter().rposition(|block| block.breakpoint())?;
        let near = self.later().get(last..)?.iter().take(REACH).any(|block| block.breakpoint());
        if near {
            return None;
        }
        let through = bytes(self.earlier().get(..=last).unwrap_or_default());
        let marked = |end: &usize| self.later().get(*end).is_some_and(|block| block.breakpoint());
        let reach =
            (0..last).rev().find(marked).map_or(0, |at| bytes(self.later().get(..=at).unwrap_or_default()));
        let has_attribution = self.now.prints.attribution != 0;
        Some(Suspect {
            cause: BreakCause::MarkerMissing,
            at: place(self.later(), last, has_attribution),
            offset: through - self.earlier().get(last).map_or(0, |block| block.length()),
            tools: None,
            shared: through,
            reach,
            unless_stripped: false,
        })
    }
}

/// The blocks of the first message, and the others.
fn first_message(messages: &[Print]) -> (&[Print], &[Print]) {
    let end = messages.iter().skip(1).position(|block| block.opens()).map_or(messages.len(), |at| at + 1);
    messages.split_at_checked(end).unwrap_or_default()
}

/// Bytes of `old`'s blocks that stand somewhere in `new`, each as often as it does.
fn again(old: &[Print], new: &[Print]) -> u64 {
    let sorted = |blocks: &[Print]| {
        let mut blocks: Vec<Print> = blocks.to_vec();
        blocks.sort_unstable_by_key(|block| block.content());
        blocks
    };
    let (old, new) = (sorted(old), sorted(new));
    let mut rest = new.iter().peekable();
    let mut sum = 0;
    for block in &old {
        while rest.next_if(|other| other.content() < block.content()).is_some() {}
        if rest.next_if(|other| other.content() == block.content()).is_some() {
            sum += block.length();
        }
    }
    sum
}

fn tools_delta(old: &[Print], new: &[Print]) -> ToolsDelta {
    let tools = |blocks: &[Print]| {
        let is_tool = |block: &&Print| block.section() == Section::Tools;
        let mut contents: Vec<u64> = blocks.iter().take_while(is_tool).map(|block| block.content()).collect();
        contents.sort_unstable();
        contents
    };
    let (old, new) = (tools(old), tools(new));
    let missing = |from: &[u64], of: &[u64]| {
        let mut rest = from.iter().peekable();
        let missing = of.iter().filter(|tool| {
            while rest.next_if(|other| other < tool).is_some() {}
            rest.next_if(|other| other == tool).is_none()
        });
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    };
    ToolsDelta { added: missing(&old, &new), removed: missing(&new, &old) }
}
