//! Discrete events in virtual time: agents, a chooser, and the simulated provider's own code.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    chooser::{Answer, Call, Chooser, Denial},
    outcome::Outcome,
    scenario::Conditions,
    trace::Trace,
};
use crate::{
    clock::{Moment, UnixTime},
    sim::{Account, Chain, Keeping, Look, Model, Provider, Refused, Told},
    types::Usage,
};

/// Virtual time begins here, so that subtraction has room.
const EPOCH: Moment = Moment::from_millis(3_600_000);
/// The time of day at which it begins.
const DAWN: Duration = Duration::from_secs(1_800_000_000);
/// A run that has not come to its end by then does not come to one.
const LONGEST: Duration = Duration::from_secs(2 * 86_400);
/// Time in which a refusal travels.
const REFUSAL: Duration = Duration::from_millis(100);

/// What a run is made of.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    /// What agents do.
    pub(super) trace: &'a Trace,
    /// What they meet.
    pub(super) conditions: &'a Conditions,
    /// Where chance comes from.
    pub(super) seed: u64,
    /// Caches forget nothing and show it at once: no provider, but a bound.
    pub(super) ideal: bool,
    /// Told of each finished request.
    pub(super) tell: &'a (dyn Fn() + Sync),
}

/// Runs all agents to their end.
pub(super) fn run(world: World<'_>, chooser: &mut dyn Chooser) -> Outcome {
    let mut engine = Engine::new(world);
    engine.begin(chooser);
    while let Some(Reverse((at, _, event))) = engine.events.pop() {
        if at.since(EPOCH) > LONGEST {
            engine.outcome.unfinished = true;
            break;
        }
        engine.now = at;
        engine.handle(event, chooser);
        for agent in chooser.woken() {
            engine.again(agent, chooser);
        }
        if engine.left == 0 {
            break;
        }
    }
    engine.outcome.ended = engine.now.since(EPOCH);
    engine.outcome
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// A client sends its turn, for the first time or again.
    Arrive(usize),
    /// A held request's time has come, unless it was woken (then its number has changed).
    Again(usize, u32),
    Refused(usize),
    FirstByte(usize),
    Done(usize),
    Foreign(usize),
    Reach(usize, bool),
    List(usize, bool),
}

/// What an agent is doing.
#[derive(Default, Debug)]
struct State {
    turn: usize,
    chain: Chain,
    /// When its client first sent this turn.
    asked: Option<Moment>,
    denied: u32,
    /// Counts its holds, so that a late timer is known for what it is.
    hold: u32,
    account: usize,
    refused: Option<Refused>,
    sent: Option<(Look, Moment)>,
    /// Children that have not finished.
    children: usize,
}

struct Engine<'a> {
    world: World<'a>,
    provider: Provider,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    sequence: u64,
    now: Moment,
    states: Vec<State>,
    listed: Vec<bool>,
    foreign: Vec<Rng>,
    left: usize,
    outcome: Outcome,
}

impl<'a> Engine<'a> {
    fn new(world: World<'a>) -> Self {
        let conditions = world.conditions;
        let keeping = Keeping {
            early: if world.ideal { 0.0 } else { conditions.early },
            seed: world.seed,
            forever: world.ideal,
        };
        let mut provider = Provider::new(&conditions.accounts, keeping);
        provider.set_overloaded(conditions.overloaded);
        let states = world.trace.agents.iter().map(|_| State::default()).collect();
        let foreign = (0..conditions.accounts.len())
            .map(|n| Rng::with_seed(xxh3_64_with_seed(&n.to_le_bytes(), world.seed ^ 0xf0)))
            .collect();
        Self {
            provider,
            events: BinaryHeap::new(),
            sequence: 0,
            now: EPOCH,
            states,
            listed: vec![true; conditions.accounts.len()],
            foreign,
            left: world.trace.agents.iter().filter(|agent| !agent.turns.is_empty()).count(),
            outcome: Outcome::new(conditions.accounts.len(), world.trace.agents.len()),
            world,
        }
    }

    /// Tokens that one token stands for.
    fn grain(&self) -> u64 {
        self.world.conditions.grain.max(1)
    }

    fn at(&mut self, moment: Moment, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((moment, self.sequence, event)));
    }

    fn begin(&mut self, chooser: &mut dyn Chooser) {
        let (trace, conditions) = (self.world.trace, self.world.conditions);
        for outage in &conditions.outages {
            self.at(EPOCH + outage.from, Event::Reach(outage.account, false));
            self.at(EPOCH + outage.from + outage.lasts, Event::Reach(outage.account, true));
        }
        if let Some((account, at)) = conditions.removed {
            self.at(EPOCH + at, Event::List(account, false));
        }
        if let Some((account, at)) = conditions.added {
            self.listed[account] = false;
            self.at(EPOCH + at, Event::List(account, true));
        }
        chooser.listed(&self.listed, self.now);
        if conditions.foreign > 0.0 {
            for account in 0..conditions.accounts.len() {
                self.next_foreign(account);
            }
        }
        for (n, agent) in trace.agents.iter().enumerate() {
            if let (None, Some(turn)) = (agent.parent, agent.turns.first()) {
                self.at(EPOCH + agent.start + turn.gap, Event::Arrive(n));
            }
        }
    }

    fn handle(&mut self, event: Event, chooser: &mut dyn Chooser) {
        match event {
            Event::Arrive(agent) => self.arrive(agent, chooser),
            Event::Again(agent, hold) => {
                if self.states[agent].hold == hold {
                    self.again(agent, chooser);
                }
            }
            Event::Refused(agent) => self.refused(agent, chooser),
            Event::FirstByte(agent) => self.first_byte(agent, chooser),
            Event::Done(agent) => self.done(agent, chooser),
            Event::Foreign(account) => {
                self.foreign(account);
                self.next_foreign(account);
            }
            Event::Reach(account, reachable) => self.provider.set_reachable(account, reachable),
            Event::List(account, listed) => {
                self.listed[account] = listed;
                chooser.listed(&self.listed, self.now);
            }
        }
    }

    fn arrive(&mut self, agent: usize, chooser: &mut dyn Chooser) {
        let (who, state) = (&self.world.trace.agents[agent], &mut self.states[agent]);
        if state.asked.is_none() {
            state.asked = Some(self.now);
            who.chain(&who.turns[state.turn], &mut state.chain);
        }
        let answer = chooser.arrived(&call(self.world.trace, &self.states, agent), self.now);
        self.carry_out(agent, answer);
    }

    fn again(&mut self, agent: usize, chooser: &mut dyn Chooser) {
        // Whoever woke it, the timer is not needed any more.
        self.states[agent].hold += 1;
        let answer = chooser.again(&call(self.world.trace, &self.states, agent), self.now);
        self.carry_out(agent, answer);
    }

    fn carry_out(&mut self, agent: usize, answer: Answer) {
        match answer {
            Answer::Go(account) => self.send(agent, account),
            Answer::Until(moment) => {
                self.states[agent].hold += 1;
                let hold = self.states[agent].hold;
                self.at(moment.max(self.now), Event::Again(agent, hold));
            }
            Answer::Deny(denial) => self.deny(agent, denial),
        }
    }

    fn send(&mut self, agent: usize, account: usize) {
        let model = self.world.trace.agents[agent].model;
        let grain = self.grain();
        let state = &mut self.states[agent];
        state.account = account;
        match self.provider.admit(account, model, &state.chain, self.now) {
            Ok(look) => {
                let first = first_byte_after(&look.usage, grain);
                if self.world.ideal {
                    self.provider.first_byte(account, model, &look, self.now, self.now);
                }
                state.sent = Some((look, self.now));
                self.at(self.now + first, Event::FirstByte(agent));
            }
            Err(why) => {
                state.refused = Some(why);
                self.outcome.refused += 1;
                self.at(self.now + REFUSAL, Event::Refused(agent));
            }
        }
    }

    fn refused(&mut self, agent: usize, chooser: &mut dyn Chooser) {
        let Some(why) = self.states[agent].refused.take() else { return };
        let account = self.states[agent].account;
        let model = self.world.trace.agents[agent].model;
        let (provider, now) = (&mut self.provider, self.now);
        let accounts = &self.world.conditions.accounts;
        let mut headers = || {
            let mut map = limits(provider, &accounts[account], account, model, now);
            if let Some(seconds) = why.retry_after() {
                map.insert(http::header::RETRY_AFTER, seconds.into());
            }
            map
        };
        let call = call(self.world.trace, &self.states, agent);
        let answer = chooser.refused(&call, account, why, &mut headers, now);
        self.carry_out(agent, answer);
    }

    fn first_byte(&mut self, agent: usize, chooser: &mut dyn Chooser) {
        let who = &self.world.trace.agents[agent];
        let state = &mut self.states[agent];
        let Some((look, started)) = &state.sent else { return };
        let (account, usage) = (state.account, look.usage);
        if !self.world.ideal {
            self.provider.first_byte(account, who.model, look, *started, self.now);
        }
        let waited = started.since(state.asked.unwrap_or(*started));
        self.outcome.admitted(account, &usage, who.model, started.since(EPOCH), waited);
        let (provider, now) = (&mut self.provider, self.now);
        let accounts = &self.world.conditions.accounts;
        let mut headers = || limits(provider, &accounts[account], account, who.model, now);
        let call = call(self.world.trace, &self.states, agent);
        chooser.answered(&call, account, &mut headers, now);
        let output = who.turns[self.states[agent].turn].output * self.grain();
        self.at(self.now + Duration::from_secs(output) / OUTPUT_RATE, Event::Done(agent));
    }

    fn done(&mut self, agent: usize, chooser: &mut dyn Chooser) {
        let who = &self.world.trace.agents[agent];
        let Some((look, _)) = self.states[agent].sent.take() else { return };
        let turn = &who.turns[self.states[agent].turn];
        let account = self.states[agent].account;
        self.provider.produced(account, who.model, turn.output, self.now);
        let usage = Usage { output: turn.output, ..look.usage };
        let call = call(self.world.trace, &self.states, agent);
        chooser.finished(&call, account, &usage, self.now);
        (self.world.tell)();
        let state = &mut self.states[agent];
        state.turn += 1;
        let asked = state.asked.take().unwrap_or(self.now);
        state.denied = 0;
        self.outcome.times[agent].push((asked.since(EPOCH), self.now.since(asked)));
        for &child in &turn.spawns {
            let Some(first) = self.world.trace.agents[child].turns.first() else { continue };
            self.states[agent].children += usize::from(self.world.trace.agents[child].awaited);
            self.at(self.now + first.gap, Event::Arrive(child));
        }
        self.go_on(agent);
    }

    /// The next turn, when nobody is waited for; the parent's, when this was its last child's last.
    fn go_on(&mut self, agent: usize) {
        let who = &self.world.trace.agents[agent];
        let state = &self.states[agent];
        if state.children > 0 {
            return;
        }
        if let Some(turn) = who.turns.get(state.turn) {
            self.at(self.now + turn.gap, Event::Arrive(agent));
            return;
        }
        self.left -= 1;
        if let Some(parent) = who.parent.filter(|_| who.awaited) {
            self.states[parent].children -= 1;
            self.go_on(parent);
        }
    }

    fn deny(&mut self, agent: usize, denial: Denial) {
        let state = &mut self.states[agent];
        let limited = matches!(denial, Denial::Limited { .. });
        if limited {
            self.outcome.client_429 += 1;
        } else {
            self.outcome.client_5xx += 1;
        }
        let after = match denial {
            Denial::Limited { retry_after: Some(seconds) } => Duration::from_secs(seconds),
            Denial::Limited { retry_after: None } | Denial::Unavailable => {
                sdk_delay(state.denied, xxh3_64_with_seed(&agent.to_le_bytes(), self.now.as_nanos()))
            }
        };
        state.denied += 1;
        self.at(self.now + after, Event::Arrive(agent));
    }

    /// Somebody else's request: 1k to 9k counted tokens.
    fn foreign(&mut self, account: usize) {
        let Some(model) = self.world.trace.agents.first().map(|agent| agent.model) else { return };
        let tokens = self.foreign[account].u64(1_000..9_000) / self.grain();
        self.provider.foreign(account, model, tokens, self.now);
    }

    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    fn next_foreign(&mut self, account: usize) {
        let conditions = self.world.conditions;
        let each = 5_000.0 / self.grain() as f64;
        let per_second = conditions.accounts[account].itpm as f64 * conditions.foreign / 60.0 / each;
        let pause = -(1.0 - self.foreign[account].f64()).ln() / per_second.max(1e-6);
        self.at(self.now + Duration::from_secs_f64(pause.min(1e6)), Event::Foreign(account));
    }
}

/// Output tokens a second.
const OUTPUT_RATE: u32 = 70;

/// How long an answer of so many tokens takes, to a prompt that is warm.
pub(super) fn usual_time(output: u64) -> Duration {
    Duration::from_secs(1) + Duration::from_secs(output) / OUTPUT_RATE
}

/// Time to the first byte: 0.9 s, 12k uncached and 200k cached tokens a second.
#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn first_byte_after(usage: &Usage, grain: u64) -> Duration {
    let (uncached, cached) = (usage.total_input() - usage.cached_read, usage.cached_read);
    let [uncached, cached] = [uncached, cached].map(|tokens| (tokens * grain) as f64);
    Duration::from_secs_f64(0.9 + uncached / 12_000.0 + cached / 200_000.0)
}

/// As the vendors' SDKs wait: half a second, doubled each time up to eight, less a quarter by chance.
#[expect(clippy::cast_precision_loss, reason = "53 random bits are plenty")]
fn sdk_delay(denied: u32, luck: u64) -> Duration {
    let base = 0.5 * f64::from(1_u32 << denied.min(4));
    let chance = (luck >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(base.min(8.0) * (1.0 - 0.25 * chance))
}

fn call<'a>(trace: &'a Trace, states: &'a [State], agent: usize) -> Call<'a> {
    let (who, state) = (&trace.agents[agent], &states[agent]);
    Call { id: agent, agent: who, number: state.turn, turn: &who.turns[state.turn], denied: state.denied }
}

/// The headers of an answer: whose account it was, and what is left of its limits.
fn limits(provider: &mut Provider, whose: &Account, account: usize, model: &Model, now: Moment) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let named =
        [("anthropic-organization-id", &whose.organization), ("anthropic-workspace-id", &whose.workspace)];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    provider.headers(account, model, now, &Told::at(wall(now)), &mut headers);
    headers
}

/// The time of day of a virtual moment.
#[must_use]
pub(super) fn wall(now: Moment) -> UnixTime {
    UnixTime(DAWN + now.since(EPOCH))
}
