//! One agent: its conversation, its gaps, and what it notes of every request.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::{
    Observation,
    cap::{Cap, Tariff},
    dialog::{Dialog, Manner, Opening},
    plan::Turn,
    prose::prose,
    talk::{Heard, Line},
};
use crate::{
    clock::{self, Moment},
    types::{Dialect, ModelName},
};

/// Tries after the first one, as SDKs make them.
const RETRIES: u32 = 2;
/// No SDK waits longer, whatever it is told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What all agents of a run share.
pub(super) struct Common {
    pub(super) dialect: Dialect,
    pub(super) model: String,
    pub(super) max_tokens: u32,
    pub(super) ids: bool,
    pub(super) timeout: Duration,
    /// Told apart from every other run.
    pub(super) nonce: String,
    pub(super) tariff: Tariff,
    pub(super) cap: Arc<Cap>,
    pub(super) start: Moment,
    pub(super) seen: mpsc::Sender<Observation>,
    /// Tokens of what agents, and sub-agents, begin with, about; 0 until one was answered.
    pub(super) openings: [AtomicU64; 2],
    /// Tokens of 1,024 bytes of a first prompt, at the most; 0 until one was answered.
    pub(super) density: AtomicU64,
}

/// How a request went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Went {
    /// Answered; the answer is in the history.
    Well,
    /// Given up after the last try.
    Wrong,
    /// It no longer fits under the cap.
    Spent,
}

/// What was sent last and answered: the next prompt begins with it.
#[derive(Clone, Copy, Debug)]
struct Before {
    tokens: u64,
    bytes: usize,
    ended: Moment,
}

/// One conversation and its connection.
pub(super) struct Conversation {
    common: Arc<Common>,
    name: Arc<str>,
    opening: Opening,
    session: String,
    /// The session of the agent that it helps.
    parent: Option<String>,
    pub(super) dialog: Dialog,
    line: Line,
    turn: u32,
    before: Option<Before>,
    max_tokens: u32,
    /// Others wait until its first request is over.
    leads: Option<watch::Sender<bool>>,
}

impl Conversation {
    pub(super) fn new(
        common: &Arc<Common>,
        name: &str,
        opening: Opening,
        parent: Option<&Self>,
        max_tokens: u32,
        line: Line,
    ) -> Self {
        let session = Uuid::from_u128(fastrand::u128(..)).to_string();
        let manner = Manner {
            dialect: common.dialect,
            model: common.model.clone(),
            max_tokens,
            nonce: common.nonce.clone(),
            session: common.ids.then(|| session.clone()),
        };
        Self {
            common: Arc::clone(common),
            name: name.into(),
            opening,
            session,
            parent: parent.map(|parent| parent.session.clone()),
            dialog: Dialog::new(manner, opening),
            line,
            turn: 0,
            before: None,
            max_tokens,
            leads: None,
        }
    }

    /// Tells `others` once its first request is over.
    pub(super) fn lead(&mut self, others: watch::Sender<bool>) {
        self.leads = Some(others);
    }

    /// Turns with their tool loops; `number` makes what is said this agent's own. Ends early when the cap
    /// is reached.
    pub(super) async fn live(&mut self, number: u64, turns: &[Turn]) -> Went {
        for (n, turn) in turns.iter().enumerate() {
            let seed = (number << 16) | ((n as u64) << 8);
            self.rest(if n == 0 { Duration::ZERO } else { turn.gap }).await;
            self.dialog.say(&format!("{}, turn {n}: {}", self.name, prose(seed, turn.bytes)));
            let mut went = self.request().await;
            for (round, tool) in turn.rounds.iter().enumerate() {
                if went != Went::Well {
                    break;
                }
                self.rest(tool.gap).await;
                self.dialog.find(&prose(seed + round as u64 + 1, tool.bytes));
                went = self.request().await;
            }
            if went == Went::Well && !turn.helper.is_empty() {
                went = self.be_helped(number, &turn.helper).await;
            }
            if went == Went::Spent {
                return Went::Spent;
            }
        }
        Went::Well
    }

    /// A sub-agent does its turns, and what it found is told. (In a box, because it could be helped in turn.)
    fn be_helped<'s>(
        &'s mut self,
        number: u64,
        turns: &'s [Turn],
    ) -> Pin<Box<dyn Future<Output = Went> + Send + 's>> {
        let name = format!("{}, helper", self.name);
        let line = self.line.another();
        let mut helper = Self::new(&self.common, &name, Opening::Helper, Some(self), self.max_tokens, line);
        Box::pin(async move {
            if helper.live(number | (1 << 40), turns).await == Went::Spent {
                return Went::Spent;
            }
            self.dialog.find(&prose(number | (2 << 40), 1_500));
            self.request().await
        })
    }

    async fn rest(&self, gap: Duration) {
        if !gap.is_zero() {
            tokio::time::sleep(gap).await;
        }
    }

    /// One request, tried again as SDKs do. Every try is an observation.
    pub(super) async fn request(&mut self) -> Went {
        let body = self.dialog.body();
        let known = self.known(body.len());
        let headers = self.headers();
        let mut went = Went::Wrong;
        for retry in 0..=RETRIES {
            let common = &self.common;
            let bound = common.tariff.most_for(body.len(), known, self.max_tokens.into());
            let Some(held) = common.cap.reserve(bound).await else { return Went::Spent };
            let sent = clock::now();
            let (dialect, limit) = (common.dialect, common.timeout);
            let heard = self.line.ask(dialect, &headers, body.clone(), self.max_tokens, limit).await;
            match (&heard.usage, &heard.fault) {
                (Some(usage), None) => held.settle(self.common.tariff.charge(usage)),
                _ if !heard.may_cost => held.settle(crate::types::NanoUsd::default()),
                // Nobody said what it cost, so it is the most that it can have.
                _ => drop(held),
            }
            let wait = wait_after(&heard, retry);
            went = self.take(heard, sent, body.len()).await;
            match wait {
                Some(wait) if retry < RETRIES => tokio::time::sleep(wait).await,
                Some(_) | None => break,
            }
        }
        self.turn += 1;
        if let Some(others) = self.leads.take() {
            others.send_replace(true);
        }
        went
    }

    /// Notes what came back, and goes on from there.
    async fn take(&mut self, heard: Heard, sent: Moment, bytes: usize) -> Went {
        let observation = self.observe(&heard, sent, bytes);
        let well = heard.fault.is_none();
        if well {
            let tokens = heard.usage.map_or(0, |usage| usage.total_input());
            self.learn(tokens, bytes);
            self.before = Some(Before { tokens, bytes, ended: clock::now() });
            if self.opening != Opening::Probe {
                self.dialog.hear(heard.said);
            }
        }
        // Nobody listens any more when the run was interrupted.
        let _ = self.common.seen.send(observation).await;
        if well { Went::Well } else { Went::Wrong }
    }

    fn observe(&self, heard: &Heard, sent: Moment, bytes: usize) -> Observation {
        let common = &self.common;
        Observation {
            conversation: Arc::clone(&self.name),
            sub_agent: self.opening == Opening::Helper,
            turn: self.turn,
            at: sent.since(common.start),
            gap: self.before.map(|before| sent.since(before.ended)),
            dialect: common.dialect,
            model: Some(ModelName::from(common.model.as_str())),
            status: heard.status,
            trouble: heard.fault.as_ref().map(super::talk::Fault::trouble),
            usage: heard.usage,
            repeated: Some(self.repeated(heard, bytes)),
            marked: self.dialog.marked_at_all(),
            account: heard.account.clone(),
            first_token: heard.first_token,
            between: heard.between.clone(),
            total: heard.total,
            broke: None,
        }
    }

    /// What a warm cache would have read: the last prompt of the conversation; of its first, what others
    /// began with, too.
    fn repeated(&self, heard: &Heard, bytes: usize) -> u64 {
        let all = heard.usage.map_or(bytes as u64 / 4, |usage| usage.total_input());
        let known = match self.before {
            Some(before) if before.tokens > 0 => before.tokens,
            Some(before) => before.bytes as u64 / 4,
            None => self.opening_tokens().map_or(0, |opening| opening.load(Ordering::Relaxed)),
        };
        known.min(all)
    }

    /// How many tokens so many bytes of the next prompt are at the most, as far as that was learned. A first
    /// prompt holds nothing but our own words, which are those of every other one: twice what those came to
    /// leaves room for chance and for another tokenizer.
    fn known(&self, bytes: usize) -> Option<(u64, usize)> {
        if let Some(before) = self.before {
            return (before.tokens > 0).then_some((before.tokens, before.bytes));
        }
        let density = self.common.density.load(Ordering::Relaxed);
        (density > 0).then(|| (density.saturating_mul(2 * bytes as u64) / 1_024, bytes))
    }

    fn opening_tokens(&self) -> Option<&AtomicU64> {
        match self.opening {
            Opening::Agent => self.common.openings.first(),
            Opening::Helper => self.common.openings.last(),
            Opening::Probe | Opening::Check => None,
        }
    }

    fn learn(&self, tokens: u64, bytes: usize) {
        if self.before.is_some() || tokens == 0 || bytes == 0 {
            return;
        }
        let of =
            |part: usize| u64::try_from(u128::from(tokens) * part as u128 / bytes as u128).unwrap_or(tokens);
        self.common.density.fetch_max(of(1_024) + 1, Ordering::Relaxed);
        if let Some(opening) = self.opening_tokens() {
            opening.store(of(self.opening.bytes()), Ordering::Relaxed);
        }
    }

    /// The headers by which real clients of each dialect name their session.
    fn headers(&self) -> Vec<(&'static str, String)> {
        if !self.common.ids {
            return Vec::new();
        }
        let own = |name: &'static str| (name, self.session.clone());
        match (self.common.dialect, &self.parent) {
            (Dialect::Anthropic, None) => vec![own("x-claude-code-session-id")],
            (Dialect::Anthropic, Some(parent)) => {
                vec![("x-claude-code-session-id", parent.clone()), own("x-claude-code-agent-id")]
            }
            (Dialect::OpenAiChat, None) => vec![own("x-session-affinity"), own("x-session-id")],
            (Dialect::OpenAiChat, Some(parent)) => {
                vec![own("x-session-affinity"), own("x-session-id"), ("x-parent-session-id", parent.clone())]
            }
            (Dialect::OpenAiResponses, _) => vec![own("session-id"), own("thread-id")],
        }
    }
}

/// How long SDKs wait before they try again; `None`: they do not.
fn wait_after(heard: &Heard, retry: u32) -> Option<Duration> {
    let fault = heard.fault.as_ref()?;
    if !heard.again.unwrap_or_else(|| fault.is_passing()) {
        return None;
    }
    let asked = heard.wait.filter(|wait| !wait.is_zero() && *wait <= LONGEST_WAIT);
    Some(asked.unwrap_or_else(|| {
        let backoff = Duration::from_millis(500 << retry.min(4));
        backoff.mul_f64(1.0 - 0.25 * fastrand::f64())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauge::talk::Fault;

    fn heard(status: u16, wait: Option<u64>, again: Option<bool>) -> Heard {
        let fault = Fault::Refused { status, kind: None, message: String::new() };
        Heard { status, fault: Some(fault), wait: wait.map(Duration::from_secs), again, ..Heard::default() }
    }

    #[test]
    fn waits_are_those_of_the_sdks() {
        assert_eq!(wait_after(&Heard::default(), 0), None, "an answer");
        assert_eq!(wait_after(&heard(400, None, None), 0), None);
        assert_eq!(wait_after(&heard(429, Some(3), None), 0), Some(Duration::from_secs(3)));
        assert_eq!(wait_after(&heard(429, None, Some(false)), 0), None, "a spent budget");
        let own = |retry| wait_after(&heard(529, Some(3_600), None), retry).expect("another try");
        assert!((375..=500).contains(&own(0).as_millis()) && (750..=1_000).contains(&own(1).as_millis()));
    }
}
