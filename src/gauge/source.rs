//! What is measured: an endpoint by its address, or files.

use serde::Serialize;

use crate::types::{Dialect, ModelName};

/// How observations were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By sending requests.
    Driven,
    /// By reading what was recorded of others' requests.
    Logs,
}

/// What a report is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// As people know it: its URL, or its file.
    pub name: String,
    /// How it was observed.
    pub via: Via,
    /// What was spoken, where it is the same for all requests.
    pub dialect: Option<Dialect>,
    /// The model, where an observation names none.
    pub model: Option<ModelName>,
    /// The model whose prices hold instead of those of the observed models.
    pub priced_as: Option<ModelName>,
}

/// Characters of a name that are kept.
const LONGEST: usize = 120;

/// A name that somebody else chose, fit for a terminal: no control characters, none that turn the reading
/// direction around, and not too long.
#[must_use]
pub fn clean(name: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut kept: String = name.chars().take(LONGEST).map(|c| if odd(c) { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(LONGEST).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(clean("claude-sonnet-4-6"), "claude-sonnet-4-6");
        assert_eq!(clean("\u{1b}[2Jgpt\n\u{202e}x"), "\u{fffd}[2Jgpt\u{fffd}\u{fffd}x");
        assert_eq!(clean(&"a".repeat(5_000)).chars().count(), LONGEST + 1);
    }
}
