//! What the answer should look like: directives, and the rules where there are none.
//!
//! A gateway forwards no `x-sim` header, so directives may also stand in the last user text:
//! `[sim:output_tokens=200] [sim:tool=lookup] [sim:thinking]`.

use super::json::Json;

/// Words that steer an answer, from a header or from the last user text.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Directives {
    output_tokens: Option<u64>,
    thinking_tokens: Option<u64>,
    tool: Option<String>,
    tool_rounds: Option<u32>,
    parallel_tools: Option<u32>,
    argument_tokens: Option<u64>,
}

impl Directives {
    /// Reads the value of an `x-sim` header: `output_tokens=200; tool=lookup`.
    pub(super) fn from_header(value: &str) -> Self {
        let mut all = Self::default();
        value.split(';').for_each(|word| all.read(word));
        all
    }

    /// Adds the `[sim:..]` words in a text; they win over what is there.
    pub(super) fn and_text(mut self, text: &str) -> Self {
        for (start, _) in text.match_indices("[sim:") {
            let rest = &text[start + "[sim:".len()..];
            if let Some(end) = rest.find(']') {
                self.read(&rest[..end]);
            }
        }
        self
    }

    fn read(&mut self, word: &str) {
        let (name, value) = word.trim().split_once('=').unwrap_or((word.trim(), ""));
        let number = value.parse::<u64>().ok();
        let small = value.parse::<u32>().ok();
        match name {
            "output_tokens" => self.output_tokens = number,
            "thinking" => self.thinking_tokens = Some(DEFAULT_THINKING),
            "thinking_tokens" => self.thinking_tokens = number,
            "tool" => self.tool = Some(value.to_owned()),
            "tool_rounds" => self.tool_rounds = small,
            "parallel_tools" => self.parallel_tools = small,
            "argument_tokens" => self.argument_tokens = number,
            _ => {}
        }
    }
}

/// Tokens of thought when thinking was asked for without a figure.
const DEFAULT_THINKING: u64 = 24;
/// No answer is longer than this, whatever a directive says.
const MAX_OUTPUT: u64 = 200_000;
/// No more calls at once than this.
const MAX_PARALLEL: u32 = 32;

/// What the request itself says about its tools and where its conversation stands.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// Names of the tools on offer.
    pub(super) tools: Vec<String>,
    /// `tool_choice` leaves no choice; the name when it names one.
    pub(super) forced: Option<Option<String>>,
    /// `tool_choice: none`.
    pub(super) forbidden: bool,
    /// Tool rounds since the last user text.
    pub(super) rounds: u32,
    /// The last message is a user's, or a tool's result.
    pub(super) open: bool,
    /// The request asks for thought.
    pub(super) thinking: bool,
    /// Only one call at a time.
    pub(super) serial: bool,
}

/// What to answer.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Wants {
    /// Length of the text; `None` leaves it to the seed.
    pub(super) output_tokens: Option<u64>,
    /// Length of the thought; 0 is none.
    pub(super) thinking_tokens: u64,
    /// Tools to call, in place of a text.
    pub(super) calls: Vec<String>,
    /// How long the arguments of each call are; 0 is short.
    pub(super) argument_tokens: u64,
}

impl Wants {
    /// Weighs what a request says against its directives. `rounds` is the provider's own setting.
    pub(super) fn of(standing: &Standing, directives: &Directives, rounds: u32) -> Self {
        let allowed =
            directives.tool_rounds.unwrap_or(if directives.tool.is_some() { rounds.max(1) } else { rounds });
        let wanted = standing.forced.is_some() || (standing.open && standing.rounds < allowed);
        let calls = if wanted && !standing.forbidden { calls(standing, directives) } else { Vec::new() };
        let unasked = if standing.thinking { DEFAULT_THINKING } else { 0 };
        Self {
            output_tokens: directives.output_tokens.map(|n| n.min(MAX_OUTPUT)),
            thinking_tokens: directives.thinking_tokens.unwrap_or(unasked).min(MAX_OUTPUT),
            calls,
            argument_tokens: directives.argument_tokens.unwrap_or(0).min(MAX_OUTPUT),
        }
    }
}

fn calls(standing: &Standing, directives: &Directives) -> Vec<String> {
    let named = standing.forced.clone().flatten().or_else(|| directives.tool.clone());
    let offered = |name: &String| standing.tools.contains(name);
    let Some(name) = named.filter(offered).or_else(|| standing.tools.first().cloned()) else {
        return Vec::new();
    };
    let many =
        if standing.serial { 1 } else { directives.parallel_tools.unwrap_or(1).clamp(1, MAX_PARALLEL) };
    std::iter::repeat_n(name, usize::try_from(many).unwrap_or(1)).collect()
}

/// The text of a content value: a string, or the `text` of its blocks.
pub(super) fn text_in(content: &Json) -> Option<String> {
    match content {
        Json::Text(text) => Some(text.clone()),
        Json::List(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block.text_of("text")).collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(rounds: u32) -> Standing {
        Standing { tools: vec!["read".into(), "lookup".into()], rounds, open: true, ..Standing::default() }
    }

    fn directives(text: &str) -> Directives {
        Directives::default().and_text(text)
    }

    #[test]
    fn a_tool_directive_gets_one_round_and_then_a_text() {
        let asked = directives("please [sim:tool=lookup]");
        assert_eq!(Wants::of(&standing(0), &asked, 0).calls, ["lookup"]);
        assert!(Wants::of(&standing(1), &asked, 0).calls.is_empty());
    }

    #[test]
    fn rounds_and_parallel_calls_are_counted_out() {
        let asked = directives("[sim:tool_rounds=2][sim:parallel_tools=3]");
        assert_eq!(Wants::of(&standing(1), &asked, 0).calls, ["read", "read", "read"]);
        assert!(Wants::of(&standing(2), &asked, 0).calls.is_empty());
        let serial = Standing { serial: true, ..standing(1) };
        assert_eq!(Wants::of(&serial, &asked, 0).calls, ["read"]);
    }

    #[test]
    fn without_tools_or_against_the_callers_word_nothing_is_called() {
        let asked = directives("[sim:tool=lookup]");
        assert!(Wants::of(&Standing { open: true, ..Standing::default() }, &asked, 5).calls.is_empty());
        assert!(Wants::of(&Standing { forbidden: true, ..standing(0) }, &asked, 5).calls.is_empty());
    }

    #[test]
    fn a_forced_choice_is_obeyed() {
        let forced = Standing { forced: Some(Some("lookup".into())), ..standing(9) };
        assert_eq!(Wants::of(&forced, &Directives::default(), 0).calls, ["lookup"]);
    }

    #[test]
    fn the_text_wins_over_the_header_and_nonsense_is_ignored() {
        let both = Directives::from_header("output_tokens=5; thinking_tokens=7")
            .and_text("[sim:output_tokens=9][sim:x][sim:");
        let wants = Wants::of(&Standing::default(), &both, 0);
        assert_eq!((wants.output_tokens, wants.thinking_tokens), (Some(9), 7));
    }
}
