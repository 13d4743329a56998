//! The writing side: puts turns in the order in which they came, and numbers what they name.
//!
//! A turn is known when it is over, but lines stand in the order of their beginnings: so a turn waits
//! for those that began before it. Bounds: turns that wait (the first unfinished one is given up), blocks
//! remembered of agents (the one unused longest is forgotten, and is another agent if it comes back).

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use lru::LruCache;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Done, Event};
use crate::{
    clock::Moment,
    telemetry::Metrics,
    types::{CallerName, PrefixPoint, Section, SessionKey},
};

/// Turns that wait for an earlier one.
const WAITING: usize = 4_096;
/// Hashes remembered of agents' last prompts, 8 bytes each.
const REMEMBERED: usize = 8 << 20;
/// No request has more breakpoints.
const MOST_MARKS: usize = 4;
/// What is written is on the disk after so long.
const FLUSH: Duration = Duration::from_secs(1);

/// An agent's numbers, and its last prompt.
struct Agent {
    session: u64,
    name: u64,
    turns: usize,
    blocks: Vec<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    session: String,
    agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    turn: usize,
    at: f64,
    took: f64,
    model: &'a str,
    caller: u32,
    keep: usize,
    blocks: Vec<(String, u64, &'static str)>,
    marks: Vec<usize>,
    ttl: &'static str,
    output: u64,
}

pub(super) struct Writer<W> {
    out: W,
    /// Bytes that fit yet; `None`: it is over.
    left: Option<u64>,
    salt: u64,
    begun: Option<Moment>,
    last: Moment,
    waiting: BTreeMap<u64, Option<Box<Done>>>,
    agents: LruCache<SessionKey, Agent, ahash::RandomState>,
    remembered: usize,
    callers: HashMap<CallerName, u32, ahash::RandomState>,
    next: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, max_size: u64, salt: u64) -> Self {
        Self {
            out,
            left: Some(max_size),
            salt,
            begun: None,
            last: Moment::ZERO,
            waiting: BTreeMap::new(),
            agents: LruCache::unbounded_with_hasher(ahash::RandomState::default()),
            remembered: 0,
            callers: HashMap::default(),
            next: 0,
        }
    }

    pub(super) fn run(mut self, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(FLUSH) {
                Ok(Event::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => self.flush(),
            }
        }
        self.close();
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Began(number) => {
                self.waiting.insert(number, None);
            }
            Event::Over(number, None) => {
                self.waiting.remove(&number);
            }
            Event::Over(number, done) => {
                self.waiting.insert(number, done);
            }
            Event::Close => {}
        }
        if self.waiting.len() > WAITING {
            self.waiting.pop_first();
            Metrics::global().traced("dropped");
        }
        while let Some(first) = self.waiting.first_entry().filter(|first| first.get().is_some()) {
            if let Some(done) = first.remove() {
                self.write(&done);
            }
        }
    }

    /// What is not over by now never will be.
    pub(super) fn close(&mut self) {
        for done in std::mem::take(&mut self.waiting).into_values().flatten() {
            self.write(&done);
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Err(fault) = self.out.flush() {
            self.stop(&fault);
        }
    }

    fn stop(&mut self, fault: &dyn std::fmt::Display) {
        if self.left.take().is_some() {
            tracing::warn!(%fault, "the trace ends here");
        }
    }

    fn write(&mut self, done: &Done) {
        let Some(left) = self.left else { return Metrics::global().traced("dropped") };
        let Ok(mut text) = serde_json::to_vec(&self.line(done)) else { return };
        text.push(b'\n');
        let Some(rest) = left.checked_sub(text.len() as u64) else {
            Metrics::global().traced("dropped");
            return self.stop(&"it has reached its max_size");
        };
        match self.out.write_all(&text) {
            Ok(()) => {
                self.left = Some(rest);
                Metrics::global().traced("written");
            }
            Err(fault) => self.stop(&fault),
        }
    }

    fn line<'a>(&mut self, done: &'a Done) -> Line<'a> {
        let asked = &done.asked;
        let hashes: Vec<u64> = asked
            .points
            .iter()
            .map(|point| xxh3_64_with_seed(&point.hash.to_le_bytes(), self.salt))
            .collect();
        let parent = asked.parent.and_then(|parent| self.agents.get(&parent)).map(|a| (a.session, a.name));
        let agent = asked.session.and_then(|session| self.agents.pop(&session));
        if let Some(agent) = &agent {
            self.remembered -= agent.blocks.len();
        }
        let is_new = agent.is_none();
        let mut agent = agent.unwrap_or_else(|| {
            self.next += 1;
            let session = parent.map_or(self.next, |(session, _)| session);
            Agent { session, name: self.next, turns: 0, blocks: Vec::new() }
        });
        let keep = agent.blocks.iter().zip(&hashes).take_while(|(old, new)| old == new).count();
        // Another request may have begun a moment earlier, and be known a moment later.
        self.last = self.last.max(asked.at);
        let begun = *self.begun.get_or_insert(self.last);
        let callers = u32::try_from(self.callers.len()).unwrap_or(u32::MAX);
        let marks: Vec<usize> = (0..asked.points.len())
            .filter(|at| asked.points.get(*at).is_some_and(|point| point.breakpoint))
            .collect();
        let line = Line {
            session: format!("s{}", agent.session),
            agent: format!("a{}", agent.name),
            parent: parent.filter(|_| is_new).map(|(_, name)| format!("a{name}")),
            turn: agent.turns,
            at: seconds(self.last.since(begun)),
            took: seconds(done.over.since(asked.at)),
            model: asked.model.as_str(),
            caller: *self.callers.entry(asked.caller.clone()).or_insert(callers),
            keep,
            blocks: blocks(&asked.points, &hashes).skip(keep).collect(),
            marks: marks.get(marks.len().saturating_sub(MOST_MARKS)..).unwrap_or_default().to_vec(),
            ttl: if asked.long { "1h" } else { "5m" },
            output: done.output.min(u64::from(u32::MAX)),
        };
        agent.turns += 1;
        agent.blocks = hashes;
        if let Some(session) = asked.session {
            self.remembered += agent.blocks.len();
            self.agents.put(session, agent);
        }
        while self.remembered > REMEMBERED
            && let Some((_, forgotten)) = self.agents.pop_lru()
        {
            self.remembered -= forgotten.blocks.len();
        }
        line
    }
}

fn blocks<'a>(
    points: &'a [PrefixPoint],
    hashes: &'a [u64],
) -> impl Iterator<Item = (String, u64, &'static str)> + 'a {
    let mut below = 0;
    points.iter().zip(hashes).map(move |(point, hash)| {
        let bytes = point.bytes.saturating_sub(std::mem::replace(&mut below, point.bytes));
        let section = match point.section {
            Section::Tools => "tools",
            Section::System => "system",
            Section::User => "user",
            Section::Assistant => "assistant",
        };
        (format!("{hash:016x}"), bytes.clamp(1, u64::from(u32::MAX)), section)
    })
}

/// To the microsecond.
fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
