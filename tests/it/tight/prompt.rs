//! Bodies of the Messages dialect whose blocks have the sizes, the sharing and the breakpoints of a
//! trace.

use std::{collections::BTreeMap, fmt::Write as _};

use warmkey::{
    replay::{Agent, Point, Turn},
    types::Section,
};

/// One agent's contexts as text, made once; a turn's body is put together from them.
pub struct Prompts {
    model: &'static str,
    /// By context and block: a JSON object without its closing brace.
    blocks: Vec<Vec<String>>,
}

impl Prompts {
    pub fn of(agent: &Agent) -> Self {
        // How long the answer is to be stands in the last block of what is asked.
        let mut said: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for turn in &agent.turns {
            said.insert((turn.context, turn.blocks - 1), turn.output);
        }
        let blocks = agent.contexts.iter().enumerate().map(|(n, context)| {
            let mut before = 0;
            let block = |(at, point): (usize, &Point)| {
                let tokens = point.tokens - std::mem::replace(&mut before, point.tokens);
                block(point, tokens, said.get(&(n, at)).copied())
            };
            context.points.iter().enumerate().map(block).collect()
        });
        Self { model: agent.model.id(), blocks: blocks.collect() }
    }

    pub fn body(&self, agent: &Agent, turn: &Turn) -> String {
        let points = agent.prompt(turn);
        let block = |n: usize| {
            let marked = turn.marks.contains(&n);
            let mark = if marked { ",\"cache_control\":{\"type\":\"ephemeral\"}}" } else { "}" };
            self.blocks[turn.context][n].clone() + mark
        };
        let of = |section: Section| {
            let blocks = points.iter().enumerate().filter(|(_, point)| point.section == section);
            blocks.map(|(n, _)| block(n)).collect::<Vec<_>>().join(",")
        };
        let mut messages: Vec<(&str, Vec<String>)> = Vec::new();
        for (n, point) in points.iter().enumerate() {
            let role = match point.section {
                Section::User => "user",
                Section::Assistant => "assistant",
                Section::Tools | Section::System => continue,
            };
            match messages.last_mut() {
                Some((last, blocks)) if *last == role => blocks.push(block(n)),
                _ => messages.push((role, vec![block(n)])),
            }
        }
        let messages: Vec<String> = messages
            .into_iter()
            .map(|(role, blocks)| format!("{{\"role\":\"{role}\",\"content\":[{}]}}", blocks.join(",")))
            .collect();
        format!(
            "{{\"model\":\"{}\",\"max_tokens\":100000,\"stream\":true,\"tools\":[{}],\"system\":[{}],\"messages\":[{}]}}",
            self.model,
            of(Section::Tools),
            of(Section::System),
            messages.join(",")
        )
    }
}

/// A block that the simulated provider counts as so many tokens of four bytes, if it can be so short.
fn block(point: &Point, tokens: u64, output: Option<u64>) -> String {
    let hash = point.hash;
    let (before, after) = if point.section == Section::Tools {
        let name = format!("{{\"name\":\"t{hash:016x}\",\"description\":\"");
        (name, "\",\"input_schema\":{\"type\":\"object\"}")
    } else {
        ("{\"type\":\"text\",\"text\":\"".to_owned(), "\"")
    };
    let mut text = output.map_or_else(String::new, |n| format!("[sim:output_tokens={n}]"));
    let wanted =
        usize::try_from(tokens * 4).expect("a prompt").saturating_sub(before.len() + after.len() + 1);
    while text.len() < wanted.max(1) {
        write!(text, "{hash:016x} ").expect("memory");
    }
    text.truncate(wanted.max(output.map_or(1, |_| text.find(']').map_or(1, |n| n + 1))));
    before + &text + after
}
