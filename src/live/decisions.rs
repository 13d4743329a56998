//! Why the requests of a session went where they went: its last few decisions, for `/status`.
//!
//! Fed once a request, when it is settled, so that a decision stands beside what came of it. Bounds:
//! sessions (the one unused longest goes), decisions of each, candidates of each: some 20 MB when full.
//! Names, hashes and figures only.

use std::{collections::VecDeque, num::NonZeroUsize, time::Duration};

use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    clock::UnixTime,
    routing::{Record, Weighed},
    types::{AffinityReason, AffinityResult, EndpointName, NanoUsd, Outcome, Reason, SessionKey},
};

/// Sessions remembered.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Decisions of each.
const LAST: usize = 8;
/// Candidates of each: the one that was taken, and the cheapest others.
const CANDIDATES: usize = 6;

/// A request's last decision, and what came of it.
#[derive(Clone, Debug)]
pub struct Decided {
    /// When the request came.
    pub at: UnixTime,
    /// Where it went at last; `None`: nowhere.
    pub endpoint: Option<EndpointName>,
    /// Whether it stayed in place, and why.
    pub affinity: Option<(AffinityResult, AffinityReason)>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well.
    pub reason: Option<Reason>,
    /// How long it waited on purpose.
    pub waited: Duration,
    /// Tries, this one included.
    pub attempts: usize,
    /// What the decision rests on.
    pub record: Record,
    /// Tokens that were expected to be read from the cache.
    pub expected_read: Option<u64>,
    /// Those that the provider says were; `None` where it did not say.
    pub read: Option<u64>,
    /// What it cost, where a price is known.
    pub charge: Option<NanoUsd>,
}

/// A decision as `/status/sessions/ID` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionView {
    /// Seconds since 1970.
    pub at_unix: f64,
    /// Where it went.
    pub endpoint: Option<String>,
    /// `hit`, `moved` or `new`.
    pub affinity: Option<&'static str>,
    /// Why.
    pub why: Option<&'static str>,
    /// How it ended.
    pub outcome: &'static str,
    /// Why it did not end well.
    pub reason: Option<&'static str>,
    /// Seconds that it waited on purpose.
    pub waited_s: f64,
    /// Tries.
    pub attempts: usize,
    /// Tokens of the prompt, estimated.
    pub prompt_tokens: u32,
    /// Tokens that were expected to be read from the cache.
    pub expected_read: Option<u64>,
    /// Those that the provider says were.
    pub read: Option<u64>,
    /// What it cost.
    pub charged_nano_usd: Option<u64>,
    /// Who was weighed; empty where there was nothing to weigh.
    pub candidates: Vec<CandidateView>,
}

/// One candidate as it was weighed; the terms in dollars.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateView {
    /// Which.
    pub endpoint: String,
    /// It got the request.
    pub taken: bool,
    /// Tokens of the prompt that were expected to be warm there.
    pub warm: u32,
    /// Seconds until it could have started there.
    pub wait_s: f64,
    /// How full its account was, 0 to 1.
    pub utilisation: f32,
    /// The prompt.
    pub money_usd: f64,
    /// The agent's time.
    pub delay_usd: f64,
    /// The room that it takes from others.
    pub crowding_usd: f64,
    /// Everything else.
    pub other_usd: f64,
    /// All of it.
    pub total_usd: f64,
}

/// The last decisions of the sessions seen last.
#[derive(Debug)]
pub struct Decisions {
    /// By the half of the session's hash that people see.
    sessions: Mutex<LruCache<u64, VecDeque<Decided>, ahash::RandomState>>,
}

impl Default for Decisions {
    fn default() -> Self {
        // Grows as it fills.
        let mut sessions = LruCache::unbounded_with_hasher(ahash::RandomState::default());
        sessions.resize(SESSIONS);
        Self { sessions: Mutex::new(sessions) }
    }
}

impl Decisions {
    /// A request of `session` is over.
    pub fn note(&self, session: SessionKey, decided: Decided) {
        let decided = Decided { record: decided.record.shortened(CANDIDATES), ..decided };
        let mut sessions = self.sessions.lock();
        let last = sessions.get_or_insert_mut((session.0 >> 64) as u64, VecDeque::new);
        if last.len() >= LAST {
            last.pop_front();
        }
        last.push_back(decided);
    }

    /// The last decisions of the session with this short hash, the latest first.
    #[must_use]
    pub fn of_session(&self, id: u64) -> Vec<DecisionView> {
        let sessions = self.sessions.lock();
        sessions.peek(&id).map_or_else(Vec::new, |last| last.iter().rev().map(view).collect())
    }
}

fn view(decided: &Decided) -> DecisionView {
    let record = &decided.record;
    DecisionView {
        at_unix: decided.at.0.as_secs_f64(),
        endpoint: decided.endpoint.as_ref().map(ToString::to_string),
        affinity: decided.affinity.map(|(result, _)| result.label()),
        why: decided.affinity.map(|(_, why)| why.label()),
        outcome: decided.outcome.label(),
        reason: decided.reason.map(Reason::label),
        waited_s: decided.waited.as_secs_f64(),
        attempts: decided.attempts,
        prompt_tokens: record.tokens,
        expected_read: decided.expected_read,
        read: decided.read,
        charged_nano_usd: decided.charge.map(|charge| charge.0),
        candidates: (0..)
            .zip(&record.candidates)
            .map(|(at, weighed)| candidate(weighed, record.chosen == Some(at)))
            .collect(),
    }
}

fn candidate(weighed: &Weighed, taken: bool) -> CandidateView {
    let terms = &weighed.terms;
    CandidateView {
        endpoint: weighed.endpoint.to_string(),
        taken,
        warm: weighed.warm,
        wait_s: weighed.wait.as_secs_f64(),
        utilisation: weighed.utilisation,
        money_usd: terms.money,
        delay_usd: terms.delay,
        crowding_usd: terms.crowding,
        other_usd: terms.other,
        total_usd: terms.total(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(n: u64) -> Decided {
        Decided {
            at: UnixTime(Duration::from_secs(n)),
            endpoint: Some("a".into()),
            affinity: None,
            outcome: Outcome::Ok,
            reason: None,
            waited: Duration::ZERO,
            attempts: 1,
            record: Record::default(),
            expected_read: Some(n),
            read: None,
            charge: None,
        }
    }

    #[test]
    fn only_the_last_decisions_of_the_last_sessions_are_kept() {
        let log = Decisions::default();
        let key = |n: u64| SessionKey(u128::from(n) << 64);
        for n in 0..20 {
            log.note(key(1), decided(n));
        }
        let seen: Vec<u64> = log.of_session(1).iter().filter_map(|view| view.expected_read).collect();
        assert_eq!(seen, (12..20).rev().collect::<Vec<_>>());
        for n in 2..=SESSIONS.get() as u64 + 1 {
            log.note(key(n), decided(n));
        }
        assert!(log.of_session(1).is_empty());
        assert_eq!(log.of_session(2).len(), 1);
    }
}
