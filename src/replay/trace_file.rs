//! Traces as files: one JSON object a line and turn, without a word of text.
//!
//! ```json
//! {"session":"s7","agent":"main","turn":3,"at":61.25,"took":7.5,"model":"claude-sonnet-4-6",
//!  "keep":14,"blocks":[["9f0c3a5e77d1b2c4",1200,"assistant"],["03aa41f0be9d2c11",5400,"user"]],
//!  "marks":[8,9,13,15],"output":310}
//! ```
//!
//! | member | means |
//! |---|---|
//! | `session`, `agent` | the conversation, and who of it asks |
//! | `parent` | the agent (of that session) whose sub-agent it is; its first turn stands further up |
//! | `turn` | counts the agent's turns from 0, without gaps |
//! | `at` | when the request came, in seconds since the beginning; lines are in this order |
//! | `took` | seconds until its answer was complete; left out: guessed from `output` |
//! | `model` | a model that the simulated provider knows |
//! | `caller` | a number for whose key it was; left out: 0 |
//! | `keep` | so many blocks are those of the agent's turn before; left out: 0 |
//! | `blocks` | the others, each `[hash, bytes, section]`: the hash (hexadecimal) is over the *whole prompt up to there*, the section `tools`, `system`, `user` or `assistant` |
//! | `marks` | which blocks bear a cache breakpoint, counted from 0, ascending, four at most |
//! | `ttl` | `5m` or `1h`: what the breakpoints ask for; left out: `5m` |
//! | `output` | tokens of the answer |
//!
//! Recorded times are those of one day at one gateway. What is replayed is the pause between an answer
//! and the next request, so that a policy which makes agents wait ages their caches. A sub-agent begins
//! so long after the last turn of its parent that was over when it began; the parent's next turn waits
//! for the sub-agents that were over before it.

use std::{
    fmt,
    io::{self, BufRead, Write},
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::{
    outcome::Times,
    trace::{Agent, Context, Marks, Trace, Turn},
};
use crate::{
    sim::{self, Ttl},
    types::Section,
};

/// So many faults are told; then reading ends.
const MOST_FAULTS: usize = 20;
/// No request has more breakpoints.
const MOST_MARKS: usize = 4;
/// Seconds to the first byte, and output tokens a second, where a line does not say what it took.
const USUAL_START: f64 = 1.5;
const USUAL_RATE: f64 = 70.0;

/// What is wrong with a trace, each with its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults(pub Vec<(usize, String)>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (line, what)) in self.0.iter().enumerate() {
            let end = if n + 1 == self.0.len() { "" } else { "\n" };
            write!(f, "line {line}: {what}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    session: String,
    agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    turn: usize,
    at: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    took: Option<f64>,
    model: String,
    #[serde(default)]
    caller: u32,
    #[serde(default)]
    keep: usize,
    blocks: Vec<(String, i64, Part)>,
    marks: Vec<usize>,
    #[serde(default)]
    ttl: Life,
    output: i64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Tools,
    System,
    User,
    Assistant,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Life {
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

impl From<Part> for Section {
    fn from(part: Part) -> Self {
        match part {
            Part::Tools => Self::Tools,
            Part::System => Self::System,
            Part::User => Self::User,
            Part::Assistant => Self::Assistant,
        }
    }
}

impl From<Section> for Part {
    fn from(section: Section) -> Self {
        match section {
            Section::Tools => Self::Tools,
            Section::System => Self::System,
            Section::User => Self::User,
            Section::Assistant => Self::Assistant,
        }
    }
}

/// Reads a trace.
///
/// # Errors
/// Says what is wrong, with the number of the line: up to twenty faults.
pub fn read(file: impl BufRead) -> Result<Trace, Faults> {
    let mut reader = Reader::default();
    for (n, text) in (1..).zip(file.lines()) {
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                reader.faults.push((n, format!("cannot be read: {error}")));
                break;
            }
        };
        if text.trim().is_empty() {
            continue;
        }
        if let Err(what) = reader.take(&text) {
            reader.faults.push((n, what));
            if reader.faults.len() >= MOST_FAULTS {
                break;
            }
        }
    }
    if reader.faults.is_empty() && reader.trace.agents.is_empty() {
        reader.faults.push((1, "there is no turn in it".to_owned()));
    }
    if reader.faults.is_empty() { Ok(reader.close()) } else { Err(Faults(reader.faults)) }
}

#[derive(Default)]
struct Reader {
    trace: Trace,
    names: AHashMap<(String, String), usize>,
    /// When each agent's turns came and were over, in seconds.
    times: Vec<Vec<(f64, f64)>>,
    last: f64,
    faults: Vec<(usize, String)>,
}

impl Reader {
    fn take(&mut self, text: &str) -> Result<(), String> {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            // The text is one line: where in it is all there is to say.
            format!("{error}").replace(" at line 1 column ", " at column ")
        })?;
        let output = check(&line)?;
        if line.at < self.last {
            return Err(format!("`at` goes back from {} to {}", self.last, line.at));
        }
        self.last = line.at;
        let model = sim::model(&line.model).ok_or_else(|| format!("unknown model `{}`", line.model))?;
        let n = self.agent(&line, model)?;
        let agent = &mut self.trace.agents[n];
        if line.turn != agent.turns.len() {
            return Err(format!(
                "turn {} of {}/{} where turn {} is due: turns are missing or stand twice",
                line.turn,
                line.session,
                line.agent,
                agent.turns.len()
            ));
        }
        if agent.model.id() != model.id() {
            return Err(format!("an agent keeps its model: `{}` before", agent.model.id()));
        }
        let before = agent.turns.last().map_or(0, |turn| turn.blocks);
        if line.keep > before {
            return Err(format!("`keep` is {}, but the turn before had {before} blocks", line.keep));
        }
        // A conversation that was cut short or rewritten goes on in a context of its own.
        match agent.contexts.last_mut() {
            Some(context) if context.points.len() == line.keep => {}
            Some(context) => {
                let points = context.points.get(..line.keep).unwrap_or_default().to_vec();
                agent.contexts.push(Context { points });
            }
            None => agent.contexts.push(Context::default()),
        }
        let context = agent.contexts.len() - 1;
        let points = &mut agent.contexts[context];
        for (hash, bytes, part) in &line.blocks {
            let hash = u64::from_str_radix(hash, 16)
                .map_err(|_| format!("`{hash}` is no hash: up to 16 hexadecimal digits"))?;
            points.push_read((*part).into(), hash, u64::try_from(*bytes).unwrap_or(0));
        }
        agent.turns.push(Turn {
            gap: Duration::ZERO,
            context,
            blocks: points.points.len(),
            marks: Marks::from_slice(&line.marks),
            ttl: if line.ttl == Life::Hour { Ttl::Hour } else { Ttl::FiveMinutes },
            output,
            spawns: Vec::new(),
        });
        #[expect(clippy::cast_precision_loss, reason = "a guess at a time")]
        let took = line.took.unwrap_or(USUAL_START + output as f64 / USUAL_RATE);
        self.times[n].push((line.at, line.at + took));
        Ok(())
    }

    /// The agent of a line, known or new.
    fn agent(&mut self, line: &Line, model: &'static sim::Model) -> Result<usize, String> {
        let name = (line.session.clone(), line.agent.clone());
        if let Some(&n) = self.names.get(&name) {
            return Ok(n);
        }
        let parent = match &line.parent {
            None => None,
            Some(parent) => {
                let known = self.names.get(&(line.session.clone(), parent.clone())).copied();
                Some(known.ok_or_else(|| format!("parent `{parent}` has not appeared in this session"))?)
            }
        };
        let n = self.trace.agents.len();
        self.names.insert(name, n);
        self.times.push(Vec::new());
        self.trace.agents.push(Agent {
            session: Arc::from(line.session.as_str()),
            name: Arc::from(line.agent.as_str()),
            parent,
            awaited: false,
            caller: line.caller,
            model,
            start: Duration::ZERO,
            contexts: Vec::new(),
            turns: Vec::new(),
        });
        Ok(n)
    }

    /// Turns times into pauses.
    fn close(mut self) -> Trace {
        let begun = self.times.iter().flatten().map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
        // Until when the sub-agents of a turn kept its successor waiting.
        let mut held: AHashMap<(usize, usize), f64> = AHashMap::new();
        for n in 0..self.trace.agents.len() {
            let (Some(&(at, _)), Some(&(_, end))) = (self.times[n].first(), self.times[n].last()) else {
                continue;
            };
            let Some(parent) = self.trace.agents[n].parent else {
                self.trace.agents[n].start = span(at - begun);
                continue;
            };
            let of_parent = &self.times[parent];
            let turn = of_parent.iter().rposition(|(_, over)| *over <= at).unwrap_or(0);
            let over = of_parent.get(turn).map_or(at, |(_, over)| *over);
            if let Some(first) = self.trace.agents[n].turns.first_mut() {
                first.gap = span(at - over);
            }
            // One that nobody waited for just goes on by itself.
            self.trace.agents[n].awaited = of_parent.get(turn + 1).is_some_and(|(next, _)| end <= *next);
            if self.trace.agents[n].awaited {
                let held = held.entry((parent, turn)).or_insert(end);
                *held = held.max(end);
            }
            self.trace.agents[parent].turns[turn].spawns.push(n);
        }
        for (n, agent) in self.trace.agents.iter_mut().enumerate() {
            for turn in 1..agent.turns.len() {
                let (_, over) = self.times[n][turn - 1];
                let free = held.get(&(n, turn - 1)).map_or(over, |held| held.max(over));
                agent.turns[turn].gap = span(self.times[n][turn].0 - free);
            }
        }
        self.trace
    }
}

/// What can be checked without knowing the lines before. Returns the answer's tokens.
fn check(line: &Line) -> Result<u64, String> {
    let seconds = |name: &str, value: f64| {
        let sound = value.is_finite() && (0.0..1e9).contains(&value);
        if sound { Ok(()) } else { Err(format!("`{name}` is {value}: not a time in seconds")) }
    };
    seconds("at", line.at)?;
    seconds("took", line.took.unwrap_or(0.0))?;
    if let Some((_, bytes, _)) = line.blocks.iter().find(|(_, bytes, _)| !(1..1 << 32).contains(bytes)) {
        return Err(format!("a block of {bytes} bytes"));
    }
    let count = line.keep.saturating_add(line.blocks.len());
    if count == 0 {
        return Err("a prompt without blocks".to_owned());
    }
    if line.marks.len() > MOST_MARKS {
        return Err(format!("{} breakpoints: {MOST_MARKS} at most", line.marks.len()));
    }
    if !line.marks.is_sorted_by(|a, b| a < b) {
        return Err("`marks` are not in ascending order".to_owned());
    }
    if let Some(mark) = line.marks.iter().find(|mark| **mark >= count) {
        return Err(format!("a breakpoint on block {mark} of {count}"));
    }
    u64::try_from(line.output)
        .ok()
        .filter(|output| *output < 1 << 32)
        .ok_or_else(|| format!("an answer of {} tokens", line.output))
}

fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 1e9))
}

/// Writes a trace with the times of one run of it.
///
/// # Errors
/// When it cannot be written.
pub fn write(trace: &Trace, times: &Times, out: &mut dyn Write) -> io::Result<()> {
    let mut order: Vec<(Duration, usize, usize)> = Vec::new();
    for (n, turns) in times.iter().enumerate() {
        order.extend(turns.iter().enumerate().map(|(turn, (at, _))| (*at, n, turn)));
    }
    order.sort_unstable();
    for (at, n, number) in order {
        let agent = &trace.agents[n];
        let turn = &agent.turns[number];
        let points = agent.prompt(turn);
        let keep = match number.checked_sub(1).map(|before| agent.prompt(&agent.turns[before])) {
            None => 0,
            Some(before) => before.iter().zip(points).take_while(|(a, b)| a == b).count(),
        };
        let below = |block: usize| block.checked_sub(1).map_or(0, |below| points[below].bytes);
        let line = Line {
            session: agent.session.to_string(),
            agent: agent.name.to_string(),
            parent: agent.parent.map(|parent| trace.agents[parent].name.to_string()),
            turn: number,
            at: rounded(at),
            took: Some(rounded(times[n][number].1)),
            model: agent.model.id().to_owned(),
            caller: agent.caller,
            keep,
            blocks: (keep..points.len())
                .map(|block| {
                    let point = &points[block];
                    let bytes = i64::try_from(point.bytes - below(block)).unwrap_or(i64::MAX);
                    (format!("{:016x}", point.hash), bytes, point.section.into())
                })
                .collect(),
            marks: turn.marks.to_vec(),
            ttl: if turn.ttl == Ttl::Hour { Life::Hour } else { Life::FiveMinutes },
            output: i64::try_from(turn.output).unwrap_or(i64::MAX),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Seconds, to the microsecond.
fn rounded(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
#[path = "trace_file_tests.rs"]
mod tests;
