//! The breaks that cost most: a line a session and cause, so that one client's clock does not fill
//! the list.

use std::{cmp::Reverse, time::Duration};

use serde::Serialize;

use super::Verdict;
use crate::{
    clock::UnixTime,
    types::{BreakCause, CacheBreak, NanoUsd, RequestId, SessionKey},
};

/// Lines at most; the cheapest goes first.
const MOST: usize = 256;
/// What happened so long ago is no news.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// A session's breaks of one cause.
#[derive(Clone, Debug)]
struct Line {
    session: SessionKey,
    times: u64,
    tokens: u64,
    cost: Option<NanoUsd>,
    last: CacheBreak,
    at: UnixTime,
    request: RequestId,
}

/// Break lines, in no order.
#[derive(Debug, Default)]
pub(super) struct Worst {
    lines: Vec<Line>,
}

/// A session's breaks of one cause, as `/status` shows them.
#[derive(Clone, Debug, Serialize)]
pub struct BreakView {
    /// The session's hash, short.
    pub session: String,
    /// Why.
    pub cause: &'static str,
    /// The first block that differed, last time.
    pub break_at: String,
    /// Bytes of prompt in front of it.
    pub offset: u64,
    /// What happened to the tools, where they changed.
    pub tools: Option<String>,
    /// How often.
    pub times: u64,
    /// Tokens paid for again, in all.
    pub tokens: u64,
    /// What that cost, in all; `null` without a price.
    pub usd: Option<f64>,
    /// When it happened last, in seconds since 1970.
    pub last_unix: u64,
    /// In which request.
    pub last_request: String,
}

/// A session's latest break.
#[derive(Clone, Debug, Serialize)]
pub struct LastBreak {
    /// Why.
    pub cause: &'static str,
    /// The first block that differed.
    pub break_at: String,
    /// Bytes of prompt in front of it.
    pub offset: u64,
    /// What happened to the tools, where they changed.
    pub tools: Option<String>,
    /// Tokens paid for again.
    pub tokens: u64,
    /// What that cost; `null` without a price.
    pub usd: Option<f64>,
    /// When, in seconds since 1970.
    pub at_unix: u64,
    /// In which request.
    pub request: String,
}

impl LastBreak {
    pub(super) fn new(broken: &CacheBreak, verdict: &Verdict) -> Self {
        Self {
            cause: broken.cause.label(),
            break_at: broken.at.to_string(),
            offset: broken.offset,
            tools: broken.tools.map(|tools| tools.to_string()),
            tokens: broken.tokens,
            usd: broken.cost.map(NanoUsd::as_usd),
            at_unix: verdict.at.0.as_secs(),
            request: verdict.request.to_string(),
        }
    }
}

impl Worst {
    pub(super) fn note(&mut self, session: SessionKey, broken: &CacheBreak, verdict: &Verdict) {
        let same = |line: &&mut Line| line.session == session && line.last.cause == broken.cause;
        if let Some(line) = self.lines.iter_mut().find(same) {
            line.times += 1;
            line.tokens = line.tokens.saturating_add(broken.tokens);
            line.cost = match (line.cost, broken.cost) {
                (Some(a), Some(b)) => Some(NanoUsd(a.0.saturating_add(b.0))),
                (one, other) => one.or(other),
            };
            (line.last, line.at, line.request) = (*broken, verdict.at, verdict.request);
            return;
        }
        self.lines.retain(|line| verdict.at.0.saturating_sub(line.at.0) < FORGET);
        if self.lines.len() >= MOST
            && let Some(cheapest) = (0..self.lines.len()).min_by_key(|n| self.lines.get(*n).map(Line::rank))
        {
            self.lines.swap_remove(cheapest);
        }
        self.lines.push(Line {
            session,
            times: 1,
            tokens: broken.tokens,
            cost: broken.cost,
            last: *broken,
            at: verdict.at,
            request: verdict.request,
        });
    }

    pub(super) fn views(&self, limit: usize) -> Vec<BreakView> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| Reverse(line.rank()));
        lines.into_iter().take(limit).map(Line::view).collect()
    }
}

impl Line {
    /// By dollars, then by tokens.
    fn rank(&self) -> (NanoUsd, u64) {
        (self.cost.unwrap_or_default(), self.tokens)
    }

    fn view(&self) -> BreakView {
        let cause: BreakCause = self.last.cause;
        BreakView {
            session: self.session.to_string(),
            cause: cause.label(),
            break_at: self.last.at.to_string(),
            offset: self.last.offset,
            tools: self.last.tools.map(|tools| tools.to_string()),
            times: self.times,
            tokens: self.tokens,
            usd: self.cost.map(NanoUsd::as_usd),
            last_unix: self.at.0.as_secs(),
            last_request: self.request.to_string(),
        }
    }
}
