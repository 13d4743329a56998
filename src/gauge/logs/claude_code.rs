//! Claude Code's session logs (`~/.claude/projects/*/*.jsonl`).
//!
//! | member | means |
//! |---|---|
//! | `type` | `assistant`: a part of an answer; `user`: what was asked; `system`: what happened |
//! | `timestamp` | when the line was written |
//! | `sessionId`, `agentId`, `isSidechain` | the conversation, and who of it |
//! | `message.id`, `requestId` | the answer that a line is a part of: each content block has a line of its own |
//! | `message.usage` | the provider's figures; of an answer's lines the last counts |
//! | `isApiErrorMessage`, `subtype: api_error` | an answer that was none |
//! | `subtype: compact_boundary`, `isCompactSummary` | the history was summed up |
//!
//! What is not there: bodies, accounts, the time of the first token. A request is taken to be sent when the
//! last line before its answer was written.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use ahash::RandomState;
use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Give, Seen,
    members::{Members, time, usage},
    pace::Pace,
};
use crate::{
    gauge::{Observation, Trouble, tally::Extra},
    types::{BreakCause, Dialect, ModelName, Usage},
};

/// Answers whose ids are remembered: a session that was resumed repeats its lines in another file.
const ANSWERS: usize = 200_000;
/// Conversations whose answer may be incomplete.
const OPEN: usize = 1_024;

/// One answer, as far as it was read.
#[derive(Clone, Debug)]
struct Answer {
    id: u64,
    model: Option<ModelName>,
    usage: Option<Usage>,
    asked: Duration,
    last: Duration,
    sub_agent: bool,
    /// It was counted before.
    again: bool,
    compacted: bool,
}

#[derive(Clone, Debug, Default)]
struct Open {
    asked: Option<Duration>,
    answer: Option<Answer>,
    /// The next prompt does not go on from the last one.
    compacted: bool,
}

/// Reads lines of session logs.
#[derive(Debug)]
pub(super) struct ClaudeCode {
    open: LruCache<String, Open, RandomState>,
    counted: LruCache<u64, (), RandomState>,
    /// Answers that stood in another file, too.
    pub(super) repeated: u64,
}

impl Default for ClaudeCode {
    fn default() -> Self {
        let bound = |entries| NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self {
            open: LruCache::with_hasher(bound(OPEN), RandomState::new()),
            counted: LruCache::with_hasher(bound(ANSWERS), RandomState::new()),
            repeated: 0,
        }
    }
}

/// Whether a line is one of them.
pub(super) fn knows(line: &Members<'_>) -> bool {
    line.has("sessionId") && line.has("type") && (line.has("uuid") || line.has("message"))
}

impl ClaudeCode {
    /// One line.
    pub(super) fn line(&mut self, line: &Members<'_>, pace: &mut Pace, give: Give<'_>) {
        let (Some(session), Some(kind)) = (line.text("sessionId"), line.text("type")) else { return };
        let sub_agent = line.is_true("isSidechain");
        let name = match line.text("agentId") {
            Some(agent) => format!("{session}/{agent}"),
            None if sub_agent => format!("{session}/sidechain"),
            None => session,
        };
        let at = line.raw("timestamp").and_then(time);
        if !self.open.contains(&name) {
            let gone = self.open.push(name.clone(), Open::default());
            if let Some((gone, open)) = gone {
                self.close(&gone, open.answer, pace, give);
            }
        }
        match kind.as_str() {
            "assistant" => self.answer(&name, line, at, sub_agent, pace, give),
            "user" | "system" => {
                let failed = line.text("subtype").as_deref() == Some("api_error");
                if failed {
                    let status = line.object("error").and_then(|error| error.count("status"));
                    give(failure(&name, status.and_then(|status| u16::try_from(status).ok()), at, sub_agent));
                    return;
                }
                let Some(open) = self.open.get_mut(&name) else { return };
                open.compacted |= line.is_true("isCompactSummary")
                    || line.text("subtype").as_deref() == Some("compact_boundary");
                open.asked = at.or(open.asked);
            }
            _ => {}
        }
    }

    fn answer(
        &mut self,
        name: &str,
        line: &Members<'_>,
        at: Option<Duration>,
        sub_agent: bool,
        pace: &mut Pace,
        give: Give<'_>,
    ) {
        let Some(message) = line.object("message") else { return };
        if line.is_true("isApiErrorMessage") {
            give(failure(name, status_in(message.raw("content").unwrap_or_default()), at, sub_agent));
            return;
        }
        let model = message.text("model");
        if model.as_deref() == Some("<synthetic>") {
            return;
        }
        let id = message.text("id").or_else(|| line.text("requestId")).or_else(|| line.text("uuid"));
        let id = xxh3_64(id.unwrap_or_default().as_bytes());
        let figures = message.raw("usage").and_then(usage);
        let Some(open) = self.open.get_mut(name) else { return };
        if let Some(answer) = open.answer.as_mut().filter(|answer| answer.id == id) {
            answer.usage = figures.or(answer.usage);
            answer.last = at.unwrap_or(answer.last);
            return;
        }
        let before = open.answer.take();
        let last = before.as_ref().map(|answer| answer.last);
        let asked = open.asked.take().or(at).or(last).unwrap_or_default();
        open.answer = Some(Answer {
            id,
            model: model.map(|model| ModelName::from(model.as_str())),
            usage: figures,
            asked,
            last: at.unwrap_or(asked),
            sub_agent,
            again: self.counted.put(id, ()).is_some(),
            compacted: std::mem::take(&mut open.compacted),
        });
        self.close(name, before, pace, give);
    }

    /// A file is over: so are the answers in it.
    pub(super) fn end(&mut self, pace: &mut Pace, give: Give<'_>) {
        while let Some((name, open)) = self.open.pop_lru() {
            self.close(&name, open.answer, pace, give);
        }
    }

    fn close(&mut self, name: &str, answer: Option<Answer>, pace: &mut Pace, give: Give<'_>) {
        let Some(answer) = answer else { return };
        if answer.again {
            self.repeated += 1;
            return;
        }
        let (turn, gap) = pace.turn(name, answer.asked, answer.last);
        let observation = Observation {
            turn,
            gap,
            model: answer.model,
            usage: answer.usage,
            total: answer.last.checked_sub(answer.asked).filter(|span| !span.is_zero()),
            ..blank(name, 200, answer.asked, answer.sub_agent)
        };
        // How much was lost by it, the figures of the turn say.
        let cause = answer.compacted.then_some((BreakCause::Compaction, 0));
        give(Seen { observation, extra: Extra { cause, ..Extra::default() } });
    }
}

fn blank(name: &str, status: u16, at: Duration, sub_agent: bool) -> Observation {
    Observation {
        conversation: Arc::from(name),
        sub_agent,
        turn: 0,
        at,
        gap: None,
        dialect: Dialect::Anthropic,
        model: None,
        status,
        trouble: None,
        usage: None,
        repeated: None,
        marked: None,
        account: None,
        first_token: None,
        between: Vec::new(),
        total: None,
        broke: None,
    }
}

fn failure(name: &str, status: Option<u16>, at: Option<Duration>, sub_agent: bool) -> Seen {
    let status = status.unwrap_or(0);
    let trouble = if status == 0 {
        Trouble::Broken(String::new())
    } else {
        Trouble::Refused { status, kind: None, message: String::new() }
    };
    let observation =
        Observation { trouble: Some(trouble), ..blank(name, status, at.unwrap_or_default(), sub_agent) };
    Seen { observation, extra: Extra::default() }
}

/// The status in `API Error: 529 {...}`.
fn status_in(content: &str) -> Option<u16> {
    let (_, behind) = content.split_once("API Error: ")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).take(3).collect();
    digits.parse().ok().filter(|status| (400..600).contains(status))
}
