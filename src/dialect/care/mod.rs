//! Cache care: the few members that make a provider's cache work better, put into a body without
//! touching a byte of its content.
//!
//! Owns where they go and when they would make the provider say no; whether they are wanted is not
//! its business. Pure: a scanned body in, splices out.
//!
//! Invariant: without the members that were put in, the body means what it meant (a bare string and
//! a list of one text block with the same bytes are one prompt, providers 5.3); the same history
//! gives the same bytes but for the markers.
//!
//! The traps: four breakpoints a request, the one at the top included; a longer life never behind a
//! shorter one; no marker on thinking, on empty text, on a tool that is only loaded later; the member
//! must not be there already, not even as `null` (all providers 1.1).

use bytes::Bytes;

use crate::{
    dialect::{
        Splice,
        view::{Block, Mark, MarkLife, Place, Prewarm, RequestView, Span, TtlAsked},
    },
    types::{Operation, Section},
};

/// Breakpoints in one request, whoever put them there.
const MOST: usize = 4;

/// What is wanted for the markers of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MarkerCare {
    /// Put breakpoints where the client has set none, or only one on the last block.
    pub add: bool,
    /// Every breakpoint asks for the long life.
    pub long: bool,
}

/// What is to be done to the markers of a body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MarkerPlan {
    /// The changes.
    pub splices: Vec<Splice>,
    /// Every breakpoint that the body has with all this done, in caching order: which block (an
    /// index of [`RequestView::blocks`]) and what life.
    pub marks: Vec<(usize, TtlAsked)>,
    /// How many of them were put in.
    pub added: usize,
    /// How many of the client's own were made to ask for the long life.
    pub lengthened: usize,
    /// The life that the body asks for with all this done: the longest one.
    pub ttl: TtlAsked,
}

impl RequestView {
    /// Plans the care for the markers of this body. Nothing is done to what is no request for an
    /// answer of Anthropic's, or has markers that we do not understand.
    #[must_use]
    pub fn plan_markers(&self, care: MarkerCare) -> MarkerPlan {
        let own = || self.marks.iter().chain(&self.auto_mark);
        let mut plan = MarkerPlan { ttl: self.ttl, ..MarkerPlan::default() };
        let odd = own().any(|mark| mark.life == MarkLife::Odd);
        if self.operation != Operation::Messages || odd || self.marks.len() != usize::from(self.markers) {
            plan.marks = own().map(|mark| (mark.block, mark.life.asked())).collect();
            plan.marks.dedup_by_key(|mark| mark.0);
            return plan;
        }
        let life = if care.long || self.ttl == TtlAsked::Long { TtlAsked::Long } else { TtlAsked::Short };
        let missing = if care.add { self.missing_breakpoints() } else { Vec::new() };
        for (at, block) in missing.iter().filter_map(|at| Some((*at, self.blocks.get(*at)?))) {
            plan.splices.extend(put(block, life));
            plan.marks.push((at, life));
        }
        plan.added = plan.marks.len();
        for mark in own() {
            plan.marks.push((mark.block, if care.long { TtlAsked::Long } else { mark.life.asked() }));
        }
        if care.long {
            let before = plan.splices.len();
            plan.splices.extend(own().filter_map(lengthen));
            plan.lengthened = plan.splices.len() - before;
        }
        if !plan.splices.is_empty() {
            plan.ttl = life;
        }
        plan.marks.sort_by_key(|mark| mark.0);
        plan.marks.dedup_by_key(|mark| mark.0);
        plan
    }

    /// Where breakpoints are missing, in caching order: at the end of tools and system, which other
    /// sessions share; where the request before ended, which is what it wrote; and, if nothing else
    /// does it, at the end, for a conversation that will go on.
    fn missing_breakpoints(&self) -> Vec<usize> {
        let last = self.blocks.len().checked_sub(1);
        let only_on_last = match self.marks.as_slice() {
            [] => true,
            [mark] => Some(mark.block) == last,
            _ => false,
        };
        if !only_on_last {
            return Vec::new();
        }
        let marked = |at: usize| self.marks.iter().any(|mark| mark.block == at);
        let is_prefix = |block: &Block| matches!(block.section, Section::Tools | Section::System);
        let takes = |at: &usize| self.blocks.get(*at).is_some_and(|block| block.place != Place::Nowhere);
        let ends_prefix = self.blocks.iter().rposition(is_prefix);
        let mut places = Vec::with_capacity(MOST);
        places.extend(ends_prefix.and_then(|end| (0..=end).rev().find(takes)));
        places.extend(self.previous_turn().and_then(|mut turn| turn.rfind(takes)));
        // A question that stands alone is not asked again: its write would cost and bring nothing.
        let goes_on =
            self.has_history || self.blocks.first().is_some_and(|block| block.section == Section::Tools);
        if self.marks.is_empty() && self.auto_mark.is_none() && goes_on {
            places.extend(last.filter(takes));
        }
        places.dedup();
        places.retain(|at| !marked(*at));
        let theirs = self.marks.len() + usize::from(self.auto_mark.is_some());
        places.truncate(MOST.saturating_sub(theirs));
        places
    }

    /// The blocks of the user's message that the model's last reply answers: where the request before
    /// this one ended.
    fn previous_turn(&self) -> Option<std::ops::Range<usize>> {
        let is = |at: usize, section| self.blocks.get(at).is_some_and(|block| block.section == section);
        let reply = self.blocks.iter().rposition(|block| block.section == Section::Assistant)?;
        let end = (0..reply).rev().find(|at| !is(*at, Section::Assistant))?;
        if !is(end, Section::User) {
            return None;
        }
        let opens = |at: &usize| self.blocks.get(*at).is_some_and(|block| block.opens_message);
        let start = (0..=end).rev().find(opens)?;
        Some(start..end + 1)
    }

    /// Names the cache that this conversation shares with its other turns, where the client names
    /// none (providers 2.1). `key` is plain ASCII.
    #[must_use]
    pub fn splice_cache_key(&self, body: &[u8], key: &str) -> Option<Splice> {
        if !matches!(self.operation, Operation::ChatCompletions | Operation::Responses) {
            return None;
        }
        let Some(value) = &self.cache_key else {
            let comma = if self.empty { "" } else { "," };
            let with = format!(r#""prompt_cache_key":"{key}"{comma}"#);
            return Some(Splice { span: self.body_start..self.body_start, with: with.into() });
        };
        let is_null = body.get(value.clone()) == Some(b"null");
        is_null.then(|| Splice { span: value.clone(), with: format!(r#""{key}""#).into() })
    }
}

impl Prewarm {
    /// The changes that make the body one which warms the cache, bills no output and returns at once.
    #[must_use]
    pub fn splices(&self) -> Vec<Splice> {
        let zero = Splice { span: self.max_tokens.clone(), with: Bytes::from_static(b"0") };
        let stream = self
            .stream
            .as_ref()
            .map(|span| Splice { span: span.clone(), with: Bytes::from_static(b"false") });
        std::iter::once(zero).chain(stream).collect()
    }
}

/// Puts a breakpoint on a block.
fn put(block: &Block, life: TtlAsked) -> Vec<Splice> {
    let marker = match life {
        TtlAsked::Long => r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#,
        TtlAsked::None | TtlAsked::Short => r#""cache_control":{"type":"ephemeral"}"#,
    };
    let insert = |at: usize, with: String| Splice { span: at..at, with: with.into() };
    let Span { start, end } = block.span;
    match block.place {
        Place::Nowhere => Vec::new(),
        Place::BehindText => vec![insert(end, format!(",{marker}"))],
        Place::Inside => vec![insert(end.saturating_sub(1), format!(",{marker}"))],
        Place::Bare => {
            vec![insert(start, r#"[{"type":"text","text":"#.to_owned()), insert(end, format!(",{marker}}}]"))]
        }
    }
}

/// Makes a breakpoint of the client's ask for the long life.
fn lengthen(mark: &Mark) -> Option<Splice> {
    match &mark.life {
        MarkLife::Hour | MarkLife::Odd => None,
        MarkLife::Short(value) => Some(Splice { span: value.clone(), with: Bytes::from_static(br#""1h""#) }),
        // The object has a `type`, so a comma belongs behind.
        MarkLife::Unsaid => {
            let start = mark.value.start + 1;
            Some(Splice { span: start..start, with: Bytes::from_static(br#""ttl":"1h","#) })
        }
    }
}

#[cfg(test)]
mod tests;
