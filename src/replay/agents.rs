//! Agents as they behave by the model of the study (routing, section 1), from a seed.
//!
//! Everything random about an agent comes from a generator of its own, so that it does the same
//! whatever happens to the others.

use std::{f64::consts::TAU, sync::Arc, time::Duration};

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::trace::{Agent, Context, Marks, Trace, Turn};
use crate::{
    sim::{self, Ttl},
    types::Section,
};

/// A quantity that spreads log-normally.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) p95: f64,
}

impl Spread {
    pub(super) const fn new(median: f64, p95: f64) -> Self {
        Self { median, p95 }
    }

    fn draw(self, rng: &mut Rng) -> f64 {
        /// The 95th percentile of the normal distribution.
        const Z95: f64 = 1.644_853_627;
        let sigma = (self.p95 / self.median).ln() / Z95;
        let normal = (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos();
        self.median * (sigma * normal).exp()
    }

    fn span(self, rng: &mut Rng) -> Duration {
        Duration::from_secs_f64(self.draw(rng).min(86_400.0))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    fn tokens(self, rng: &mut Rng) -> u64 {
        self.draw(rng).clamp(1.0, 100_000.0) as u64
    }
}

/// How the agents of a scenario behave.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    /// How many there are.
    pub(super) agents: usize,
    /// They begin evenly spread over so long.
    pub(super) start_over: Duration,
    /// Turns of each: half to one and a half times as many.
    pub(super) turns: u64,
    /// Exactly so many turns.
    pub(super) even: bool,
    /// Callers' keys (or addresses) that they share.
    pub(super) callers: u32,
    /// Tokens of tools and system prompt that all agents share; 0: each has its own.
    pub(super) shared: u64,
    /// Tokens of its own at the beginning.
    pub(super) opening: Spread,
    /// The pause while a tool runs.
    pub(super) tool_gap: Spread,
    /// The pause while a person thinks, and the share of turns that it follows.
    pub(super) human_gap: Spread,
    pub(super) human: f64,
    /// The share of turns that spawn sub-agents.
    pub(super) spawning: f64,
    /// Tokens that a tool's results bring, in the long run ..
    pub(super) results: Spread,
    /// .. and how many times more at first: agents begin by reading.
    pub(super) reading: f64,
    /// Tokens that a tool's results bring to a sub-agent.
    pub(super) sub_results: Spread,
    /// Tokens of an answer.
    pub(super) output: Spread,
    /// A context is compacted before it grows beyond so many tokens.
    pub(super) most: u64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            agents: 1,
            start_over: Duration::from_secs(300),
            turns: 40,
            even: false,
            callers: 1,
            shared: 18_000,
            opening: Spread::new(6_000.0, 20_000.0),
            tool_gap: Spread::new(3.0, 40.0),
            human_gap: Spread::new(70.0, 900.0),
            human: 0.10,
            spawning: 0.06,
            results: Spread::new(950.0, 6_000.0),
            reading: 2.0,
            sub_results: Spread::new(700.0, 3_900.0),
            output: Spread::new(500.0, 2_500.0),
            most: 160_000,
        }
    }
}

impl Habits {
    /// What a tool's results bring at turn `n`.
    #[expect(clippy::cast_precision_loss, reason = "a few dozen turns")]
    fn at_turn(&self, n: u64) -> Spread {
        let more = 1.0 + self.reading * (-(n as f64) / 5.0).exp();
        Spread::new(self.results.median * more, self.results.p95 * more)
    }
}

/// Kinds of sub-agents; each has a prefix that is the same for all agents.
const SUB_KINDS: u64 = 3;
/// Tokens of it.
const SUB_SHARED: u64 = 12_000;
/// Tokens of an answer at most.
const LONGEST_ANSWER: u64 = 8_000;
/// A context with less room than this is compacted.
const NEARLY: u64 = 4_000;
/// Turns in which many blocks come at once.
const BURSTS: f64 = 0.01;

/// The agents of a scenario.
pub(super) fn generate(habits: &Habits, model: &'static sim::Model, seed: u64) -> Trace {
    let mut trace = Trace::default();
    for n in 0..habits.agents {
        let rng = Rng::with_seed(mix(seed, n as u64));
        let share = (n as f64 + 0.5) / habits.agents.max(1) as f64;
        let mut maker = Maker { habits, model, seed, rng, trace: &mut trace, agent: 0 };
        maker.main(n, habits.start_over.mul_f64(share));
    }
    trace
}

fn mix(seed: u64, n: u64) -> u64 {
    xxh3_64_with_seed(&n.to_le_bytes(), seed)
}

struct Maker<'a> {
    habits: &'a Habits,
    model: &'static sim::Model,
    seed: u64,
    rng: Rng,
    trace: &'a mut Trace,
    /// The one that is being made.
    agent: usize,
}

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Tool,
    Human,
    Spawn,
}

impl Maker<'_> {
    fn main(&mut self, n: usize, start: Duration) {
        let habits = self.habits;
        let session: Arc<str> = format!("s{n}").into();
        let caller = u32::try_from(n).unwrap_or(0) % habits.callers.max(1);
        self.agent = self.trace.agents.len();
        self.trace.agents.push(Agent {
            session,
            name: "main".into(),
            parent: None,
            awaited: false,
            caller,
            model: self.model,
            start,
            contexts: Vec::new(),
            turns: Vec::new(),
        });
        let prefix = self.shared_prefix(habits.shared, 0);
        let opening = habits.opening.tokens(&mut self.rng);
        let mut thread = self.open(prefix, opening);
        let turns = if habits.even {
            habits.turns
        } else {
            self.rng.u64(habits.turns * 3 / 4..=habits.turns + habits.turns / 4).max(1)
        };
        let mut gap = Duration::ZERO;
        for n in 0..turns {
            if thread.context.tokens() + NEARLY > habits.most {
                thread = self.compact(thread);
                gap = Duration::from_millis(200);
            }
            let output = habits.output.tokens(&mut self.rng).min(LONGEST_ANSWER);
            self.turn(&thread, gap, output);
            if n + 1 == turns {
                break;
            }
            let then = self.then();
            gap = match then {
                Then::Human => habits.human_gap.span(&mut self.rng),
                Then::Tool => habits.tool_gap.span(&mut self.rng),
                Then::Spawn => Duration::from_millis(self.rng.u64(100..1_000)),
            };
            let news = match then {
                Then::Human => Spread::new(200.0, 2_000.0).tokens(&mut self.rng),
                Then::Tool => habits.at_turn(n).tokens(&mut self.rng),
                Then::Spawn => self.spawn(),
            };
            // Clients cut what does not fit.
            let room = habits.most.saturating_sub(thread.context.tokens() + output);
            self.grow(&mut thread, output, news.min(room.max(1)));
        }
        self.close(thread);
    }

    fn then(&mut self) -> Then {
        let luck = self.rng.f64();
        if luck < self.habits.human {
            Then::Human
        } else if luck < self.habits.human + self.habits.spawning {
            Then::Spawn
        } else {
            Then::Tool
        }
    }

    /// Spawns sub-agents after the last turn; what they report is the result.
    fn spawn(&mut self) -> u64 {
        let (parent, count) = (self.agent, self.rng.u64(1..=4));
        let mut report = 0;
        for _ in 0..count {
            let child = self.sub(parent);
            if let Some(turn) = self.trace.agents[parent].turns.last_mut() {
                turn.spawns.push(child);
            }
            report += self.rng.u64(400..1_500);
        }
        report
    }

    fn sub(&mut self, parent: usize) -> usize {
        let rng = Rng::with_seed(self.rng.u64(..));
        let n = self.trace.agents.len();
        let (session, caller) = {
            let parent = &self.trace.agents[parent];
            (Arc::clone(&parent.session), parent.caller)
        };
        self.trace.agents.push(Agent {
            session,
            name: format!("a{n}").into(),
            parent: Some(parent),
            awaited: true,
            caller,
            model: self.model,
            start: Duration::ZERO,
            contexts: Vec::new(),
            turns: Vec::new(),
        });
        let mut maker = Maker {
            habits: self.habits,
            model: self.model,
            seed: self.seed,
            rng,
            trace: self.trace,
            agent: n,
        };
        let kind = 1 + maker.rng.u64(..SUB_KINDS);
        let prefix = maker.shared_prefix(SUB_SHARED, kind);
        let opening = maker.rng.u64(1_000..6_000);
        let mut thread = maker.open(prefix, opening);
        let turns = maker.rng.u64(4..=14);
        let mut gap = Duration::from_millis(maker.rng.u64(50..500));
        for _ in 0..turns {
            let output = maker.habits.output.tokens(&mut maker.rng).min(LONGEST_ANSWER);
            maker.turn(&thread, gap, output);
            gap = maker.habits.tool_gap.span(&mut maker.rng);
            let news = maker.habits.sub_results.tokens(&mut maker.rng);
            maker.grow(&mut thread, output, news);
        }
        maker.close(thread);
        n
    }

    /// Tools and system prompt that all agents share.
    fn shared_prefix(&self, tokens: u64, kind: u64) -> Context {
        const TOOLS: u64 = 8;
        let mut context = Context::default();
        let each = tokens * 3 / 4 / TOOLS;
        for tool in 0..TOOLS {
            if each > 0 {
                context.push(Section::Tools, mix(self.seed, (kind << 8) | tool), each);
            }
        }
        if tokens > 0 {
            context.push(Section::System, mix(self.seed, (kind << 8) | TOOLS), tokens - each * TOOLS);
        }
        context
    }

    /// A new conversation upon a prefix.
    fn open(&mut self, prefix: Context, opening: u64) -> Thread {
        let shared = prefix.points.len();
        let mut context = prefix;
        let system = (opening / 3).max(1);
        context.push(Section::System, self.rng.u64(..), system);
        let own = context.points.len();
        context.push(Section::User, self.rng.u64(..), (opening - system.min(opening)).max(1));
        Thread { context, shared, own, last_user: None }
    }

    /// Sends what there is.
    fn turn(&mut self, thread: &Thread, gap: Duration, output: u64) {
        let blocks = thread.context.points.len();
        let mut marks = Marks::new();
        let wanted = [
            thread.shared.checked_sub(1),
            thread.own.checked_sub(1),
            thread.last_user,
            blocks.checked_sub(1),
        ];
        for mark in wanted.into_iter().flatten() {
            if marks.last() != Some(&mark) {
                marks.push(mark);
            }
        }
        let agent = &mut self.trace.agents[self.agent];
        agent.turns.push(Turn {
            gap,
            context: agent.contexts.len(),
            blocks,
            marks,
            ttl: Ttl::FiveMinutes,
            output,
            spawns: Vec::new(),
        });
    }

    /// Adds the answer and what came back for it.
    fn grow(&mut self, thread: &mut Thread, output: u64, news: u64) {
        thread.last_user = thread.context.points.len().checked_sub(1);
        let (said, came) = if self.rng.f64() < BURSTS {
            let pairs = self.rng.u64(10..=20);
            (pairs, pairs)
        } else {
            (self.rng.u64(1..=2), self.rng.u64(1..=2))
        };
        self.split(&mut thread.context, Section::Assistant, said, output);
        self.split(&mut thread.context, Section::User, came, news);
    }

    fn split(&mut self, context: &mut Context, section: Section, parts: u64, tokens: u64) {
        let each = (tokens / parts).max(1);
        for _ in 1..parts {
            context.push(section, self.rng.u64(..), each);
        }
        let rest = tokens.saturating_sub(each * (parts - 1)).max(1);
        context.push(section, self.rng.u64(..), rest);
    }

    /// The compaction call reads the whole context; the conversation goes on from its summary.
    fn compact(&mut self, mut thread: Thread) -> Thread {
        let summary = self.rng.u64(3_000..6_000);
        thread.context.push(Section::User, self.rng.u64(..), 500);
        let gap = Duration::from_millis(200);
        self.turn(&thread, gap, summary);
        let (shared, own) = (thread.shared, thread.own);
        let mut context = Context { points: thread.context.points[..own].to_vec() };
        self.close(thread);
        context.push(Section::User, self.rng.u64(..), summary);
        Thread { context, shared, own, last_user: None }
    }

    fn close(&mut self, thread: Thread) {
        self.trace.agents[self.agent].contexts.push(thread.context);
    }
}

/// A conversation since it began or was compacted.
struct Thread {
    context: Context,
    /// Blocks that all agents share ..
    shared: usize,
    /// .. and those of them and the session's own system prompt.
    own: usize,
    /// The last block of the request before.
    last_user: Option<usize>,
}
