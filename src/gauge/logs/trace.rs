//! warmkey's traces (`[trace] file`): hashed blocks, no usage.
//!
//! They say what was repeated of each prompt and after which pause, so what a cache *could* have read; what one
//! did read is not in them. Members: see `replay`, which reads the same lines to play them again.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use ahash::RandomState;
use lru::LruCache;
use serde::Deserialize;

use super::{Seen, members::Members};
use crate::{
    gauge::{Observation, tally::Extra},
    metering::Ratios,
    types::{BreakCause, BreakPlace, CacheBreak, Dialect, ModelName},
};

/// Blocks that are remembered over all agents, sixteen bytes each...
const MOST_BLOCKS: usize = 4 << 20;
/// ...and agents.
const AGENTS: usize = 50_000;
/// What a client changes in its newest message is no break.
const LEAST_LOSS: u64 = 512;

#[derive(Deserialize)]
struct Line {
    session: String,
    agent: String,
    #[serde(default)]
    parent: Option<String>,
    turn: u32,
    at: f64,
    #[serde(default)]
    took: Option<f64>,
    model: String,
    #[serde(default)]
    keep: usize,
    blocks: Vec<(String, u64, Part)>,
    #[serde(default)]
    marks: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Tools,
    System,
    User,
    Assistant,
}

/// An agent's last prompt.
#[derive(Debug, Default)]
struct Last {
    /// The bytes up to the end of each block, and where it stands.
    blocks: Vec<(u64, Part)>,
    over: Duration,
}

/// Reads lines of traces.
#[derive(Debug)]
pub(super) struct Traces {
    agents: LruCache<String, Last, RandomState>,
    blocks: usize,
}

impl Default for Traces {
    fn default() -> Self {
        let most = NonZeroUsize::new(AGENTS).unwrap_or(NonZeroUsize::MIN);
        Self { agents: LruCache::with_hasher(most, RandomState::new()), blocks: 0 }
    }
}

/// Whether a line is one of them.
pub(super) fn knows(line: &Members<'_>) -> bool {
    ["session", "agent", "turn", "blocks", "marks"].iter().all(|name| line.has(name))
}

impl Traces {
    /// One turn, or what is wrong with the line.
    pub(super) fn line(&mut self, text: &[u8]) -> Result<Seen, String> {
        let line: Line = serde_json::from_slice(text)
            .map_err(|error| format!("a trace's line that is not understood at column {}", error.column()))?;
        let seconds = |value: f64| Duration::try_from_secs_f64(value).ok();
        let at = seconds(line.at).ok_or("`at` is no time in seconds")?;
        let name = format!("{}/{}", line.session, line.agent);
        let mut last = self.agents.pop(&name).unwrap_or_default();
        self.blocks = self.blocks.saturating_sub(last.blocks.len());
        let before = last.blocks.last().map_or(0, |(end, _)| *end);
        let had = last.blocks.len();
        let keep = line.keep.min(had);
        let shared = keep.checked_sub(1).and_then(|end| last.blocks.get(end)).map_or(0, |(end, _)| *end);
        last.blocks.truncate(keep);
        let mut end = shared;
        for (_, bytes, part) in &line.blocks {
            end = end.saturating_add(*bytes);
            last.blocks.push((end, *part));
        }
        let tokens = |bytes: u64| Ratios::default().input_tokens(bytes);
        let lost = tokens(before.saturating_sub(shared));
        let broke = (keep < had && lost >= LEAST_LOSS).then(|| CacheBreak {
            cause: cause(&line, before, end),
            at: place(&last.blocks, keep),
            offset: shared,
            tools: None,
            tokens: lost,
            cost: None,
        });
        let over = at + line.took.and_then(seconds).unwrap_or_default();
        let claude = line.model.contains("claude");
        let observation = Observation {
            sub_agent: line.parent.is_some(),
            conversation: Arc::from(name.as_str()),
            turn: line.turn,
            at,
            gap: (had > 0).then(|| at.saturating_sub(last.over)),
            dialect: if claude { Dialect::Anthropic } else { Dialect::OpenAiChat },
            model: Some(ModelName::from(line.model.as_str())),
            status: 200,
            trouble: None,
            usage: None,
            repeated: Some(tokens(shared)),
            marked: claude.then_some(!line.marks.is_empty()),
            account: None,
            first_token: None,
            between: Vec::new(),
            total: line.took.and_then(seconds),
            broke,
        };
        last.over = over;
        self.keep(name, last);
        let extra = Extra { prompt: Some(tokens(end)), body: true, ..Extra::default() };
        Ok(Seen { observation, extra })
    }

    fn keep(&mut self, name: String, last: Last) {
        self.blocks += last.blocks.len();
        if let Some((_, gone)) = self.agents.push(name, last) {
            self.blocks = self.blocks.saturating_sub(gone.blocks.len());
        }
        while self.blocks > MOST_BLOCKS {
            let Some((_, gone)) = self.agents.pop_lru() else { break };
            self.blocks = self.blocks.saturating_sub(gone.blocks.len());
        }
    }
}

/// Where block `at` stands, as people count.
fn place(blocks: &[(u64, Part)], at: usize) -> BreakPlace {
    let before = blocks.get(..at).unwrap_or_default();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let of = |wanted: Part| number(before.iter().filter(|(_, part)| *part == wanted).count());
    let messages: Vec<Part> =
        blocks.iter().take(at + 1).map(|(_, part)| *part).filter(|part| is_message(*part)).collect();
    match blocks.get(at).map(|(_, part)| *part) {
        Some(Part::Tools) => BreakPlace::Tool(of(Part::Tools)),
        Some(Part::System) => BreakPlace::System(of(Part::System)),
        // Where one message ends and the next of the same side begins is not in a trace.
        Some(Part::User | Part::Assistant) | None => {
            let turns = messages.windows(2).filter(|pair| pair.first() != pair.last()).count();
            let block = messages.iter().rev().take_while(|part| Some(*part) == messages.last()).count();
            BreakPlace::Message { message: number(turns), block: number(block.saturating_sub(1)) }
        }
    }
}

const fn is_message(part: Part) -> bool {
    matches!(part, Part::User | Part::Assistant)
}

fn cause(line: &Line, before: u64, now: u64) -> BreakCause {
    match line.blocks.first().map(|(_, _, part)| *part) {
        Some(Part::Tools) => BreakCause::ToolsChanged,
        Some(Part::System) => BreakCause::SystemChanged,
        Some(Part::User | Part::Assistant) | None if now < before / 4 * 3 => BreakCause::Compaction,
        Some(Part::User | Part::Assistant) | None => BreakCause::EditedHistory,
    }
}
