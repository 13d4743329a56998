//! What agents send, and when: turns of block hashes and sizes, without a word of text.
//!
//! A trace is the same for every policy: gaps follow the answer before (so that throttling really
//! ages caches), and nothing in it depends on the order of events.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    sim::{self, Chain, Model, Position, Ttl},
    types::Section,
};

/// Everything that the agents of a run will do.
#[derive(Debug, Default)]
pub struct Trace {
    /// All agents; a parent stands before its children.
    pub agents: Vec<Agent>,
}

/// One agent: a sequence of turns with a context of its own.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The conversation it belongs to.
    pub session: Arc<str>,
    /// Which agent of it.
    pub name: Arc<str>,
    /// Whose sub-agent it is.
    pub parent: Option<usize>,
    /// Its parent's next turn waits for its last.
    pub awaited: bool,
    /// On whose behalf: the caller's key or address.
    pub caller: u32,
    /// What it asks for.
    pub model: &'static Model,
    /// When it begins; a sub-agent begins when the turn that spawned it is over.
    pub start: Duration,
    /// What was in its prompts, in order: another one after each compaction.
    pub contexts: Vec<Context>,
    /// Its requests.
    pub turns: Vec<Turn>,
}

/// A prompt that grows from turn to turn.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Where its blocks end.
    pub points: Vec<Point>,
}

/// The end of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Hash of everything up to here.
    pub hash: u64,
    /// Tokens up to here.
    pub tokens: u64,
    /// Bytes up to here.
    pub bytes: u64,
    /// What the block is part of.
    pub section: Section,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Time between the answer before (or the spawning of the agent) and this request.
    pub gap: Duration,
    /// Which of the agent's contexts it sends ..
    pub context: usize,
    /// .. and how many blocks of it.
    pub blocks: usize,
    /// The blocks that bear a breakpoint, in order.
    pub marks: Marks,
    /// How long the client asks for what it marks to be kept.
    pub ttl: Ttl,
    /// Tokens of the answer.
    pub output: u64,
    /// The sub-agents that begin after it. The next turn waits for those that are awaited.
    pub spawns: Vec<usize>,
}

/// Blocks that bear a breakpoint.
pub type Marks = SmallVec<[usize; 4]>;

impl Context {
    /// Adds a block of so many tokens.
    pub(super) fn push(&mut self, section: Section, content: u64, tokens: u64) {
        let before = self.points.last().map_or((0, 0, 0), |p| (p.hash, p.tokens, p.bytes));
        self.points.push(Point {
            hash: xxh3_64_with_seed(&content.to_le_bytes(), before.0),
            tokens: before.1 + tokens,
            bytes: before.2 + tokens * 4,
            section,
        });
    }

    /// Adds a block by the hash of everything up to it, as a file has it.
    pub(super) fn push_read(&mut self, section: Section, hash: u64, bytes: u64) {
        let before = self.points.last().map_or((0, 0), |p| (p.tokens, p.bytes));
        let tokens = before.0 + sim::tokens(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.points.push(Point { hash, tokens, bytes: before.1 + bytes, section });
    }

    /// Tokens of all of it.
    pub(super) fn tokens(&self) -> u64 {
        self.points.last().map_or(0, |point| point.tokens)
    }
}

impl Agent {
    /// What turn `n` sends.
    #[must_use]
    pub fn prompt(&self, turn: &Turn) -> &[Point] {
        let points = self.contexts.get(turn.context).map_or(&[][..], |context| &context.points);
        points.get(..turn.blocks).unwrap_or(points)
    }

    /// What a provider's cache sees of it.
    pub(super) fn chain(&self, turn: &Turn, chain: &mut Chain) {
        chain.positions.clear();
        let points = self.prompt(turn);
        chain.positions.extend(points.iter().map(|p| Position {
            hash: p.hash,
            tokens: p.tokens,
            mark: None,
        }));
        for &mark in &turn.marks {
            if let Some(position) = chain.positions.get_mut(mark) {
                position.mark = Some(turn.ttl);
            }
        }
        chain.total = points.last().map_or(0, |point| point.tokens);
    }
}

impl Trace {
    /// The same with other lives asked for at all breakpoints.
    pub(super) fn with_life(&self, ttl: Ttl) -> Self {
        let lengthened = |turn: &Turn| Turn { ttl, ..turn.clone() };
        let agent =
            |agent: &Agent| Agent { turns: agent.turns.iter().map(lengthened).collect(), ..agent.clone() };
        Self { agents: self.agents.iter().map(agent).collect() }
    }

    /// Requests in it.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.agents.iter().map(|agent| agent.turns.len()).sum()
    }

    /// Leaves away the turns that would begin later than this, where nobody is ever kept waiting and an
    /// answer takes as long as `answer` says.
    pub(super) fn cut(&mut self, within: Duration, answer: &dyn Fn(&Turn) -> Duration) {
        let mut reached = vec![false; self.agents.len()];
        for n in 0..self.agents.len() {
            if self.agents[n].parent.is_none() {
                self.cut_agent(n, self.agents[n].start, (within, answer), &mut reached);
            }
        }
        // Nobody spawns them any more.
        for (agent, reached) in self.agents.iter_mut().zip(reached) {
            if !reached {
                agent.turns.clear();
            }
        }
    }

    /// Says when the agent is done, if it begins at `start`.
    fn cut_agent(
        &mut self,
        agent: usize,
        start: Duration,
        (within, answer): (Duration, &dyn Fn(&Turn) -> Duration),
        reached: &mut [bool],
    ) -> Duration {
        reached[agent] = true;
        let (mut at, mut left) = (start, 0);
        while let Some(turn) = self.agents[agent].turns.get(left) {
            let begins = at + turn.gap;
            if begins > within {
                break;
            }
            at = begins + answer(turn);
            left += 1;
            let ends = at;
            for child in turn.spawns.clone() {
                let done = self.cut_agent(child, ends, (within, answer), reached);
                if self.agents[child].awaited {
                    at = at.max(done);
                }
            }
        }
        self.agents[agent].turns.truncate(left);
        at
    }

    /// Has everybody begin within so long.
    pub(super) fn gather(&mut self, within: Duration) {
        let last = self.agents.iter().map(|agent| agent.start).max().unwrap_or_default();
        if last > within {
            let share = within.div_duration_f64(last);
            self.agents.iter_mut().for_each(|agent| agent.start = agent.start.mul_f64(share));
        }
    }

    /// Makes so many tokens one. Each block keeps one at least.
    pub(super) fn coarsen(&mut self, grain: u64) {
        for agent in &mut self.agents {
            for context in &mut agent.contexts {
                let mut before = 0;
                for point in &mut context.points {
                    before = (point.tokens / grain).max(before + 1);
                    (point.tokens, point.bytes) = (before, before * 4);
                }
            }
            for turn in &mut agent.turns {
                turn.output = (turn.output / grain).max(1);
            }
        }
    }

    /// Input tokens in it.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let of = |agent: &Agent| -> u64 {
            agent.turns.iter().map(|turn| agent.prompt(turn).last().map_or(0, |point| point.tokens)).sum()
        };
        self.agents.iter().map(of).sum()
    }
}
