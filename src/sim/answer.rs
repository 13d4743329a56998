//! What the provider says: made from the conversation and a seed, so that a run can be repeated.

use std::fmt::Write as _;

use super::{models::tokens, prompt::Ask};

const WORDS: &[&str] = &[
    "the", "cache", "is", "warm", "when", "session", "stays", "where", "its", "prefix", "was", "written",
    "and", "a", "turn", "reads", "what", "one", "before", "it", "left", "behind", "so", "cost", "falls",
    "with", "each", "step", "that", "keeps", "home", "naïve", "→",
];

/// Bytes of one delta: four tokens.
const PIECE: usize = 16;

/// A complete answer, before it is put into a dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// Unique: no two answers share it.
    pub(super) id: String,
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) end: End,
}

/// One tool call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON text.
    pub(super) arguments: String,
}

/// Why the answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Done,
    Length,
    Tools,
}

impl Answer {
    /// Makes the answer to `ask`. `id` must be unique (see [`fresh_id`]).
    pub(super) fn to(ask: &Ask, seed: u64, id: String) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ ask.topic);
        let cap = ask.max_output.unwrap_or(u64::MAX);
        let thinking_tokens = ask.wants.thinking_tokens.min(cap);
        let thinking = prose(&mut rng, thinking_tokens);
        let left = cap - thinking_tokens;
        let calls: Vec<Call> = ask
            .wants
            .calls
            .iter()
            .enumerate()
            .map(|(n, name)| call(&mut rng, &id, n, name, ask.wants.argument_tokens))
            .collect();
        let needed: u64 = calls.iter().map(Call::tokens).sum();
        if !calls.is_empty() && needed <= left {
            return Self { id, thinking, text: String::new(), calls, end: End::Tools };
        }
        let wanted = ask.wants.output_tokens.unwrap_or_else(|| rng.u64(16..64));
        let text = prose(&mut rng, wanted.min(left));
        let end = if wanted > left { End::Length } else { End::Done };
        Self { id, thinking, text, calls: Vec::new(), end }
    }

    /// An answer that says nothing: a request with `max_tokens: 0`.
    pub(super) fn empty(id: String) -> Self {
        Self { id, thinking: String::new(), text: String::new(), calls: Vec::new(), end: End::Length }
    }

    /// Output tokens in all.
    pub(super) fn tokens(&self) -> u64 {
        self.thinking_tokens() + tokens(self.text.len()) + self.calls.iter().map(Call::tokens).sum::<u64>()
    }

    pub(super) fn thinking_tokens(&self) -> u64 {
        tokens(self.thinking.len())
    }
}

impl Call {
    pub(super) fn tokens(&self) -> u64 {
        tokens(self.name.len() + self.arguments.len())
    }
}

/// Exactly `tokens` tokens of words.
fn prose(rng: &mut fastrand::Rng, tokens: u64) -> String {
    let bytes = usize::try_from(tokens.saturating_mul(4)).unwrap_or(usize::MAX);
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.push_str(WORDS[rng.usize(..WORDS.len())]);
        text.push(' ');
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    // A cut inside a character leaves room for plain letters.
    while text.len() < bytes {
        text.push('.');
    }
    text
}

fn call(rng: &mut fastrand::Rng, answer: &str, n: usize, name: &str, argument_tokens: u64) -> Call {
    let query = prose(rng, argument_tokens.max(5));
    let mut arguments = String::new();
    // Writing into a `String` cannot fail.
    let _ =
        write!(arguments, r#"{{"query": {}, "limit": {}}}"#, serde_json::Value::from(query), rng.u32(1..100));
    Call { id: format!("{answer}{n:02}"), name: name.to_owned(), arguments }
}

/// The pieces in which a text is streamed.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = PIECE.min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Twenty-two letters and digits that nobody else has.
pub(super) fn fresh_id() -> String {
    (0..22).map(|_| fastrand::alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_has_exactly_the_tokens_that_were_asked_for() {
        let mut rng = fastrand::Rng::with_seed(3);
        for n in 0..200 {
            assert_eq!(tokens(prose(&mut rng, n).len()), n);
        }
    }

    #[test]
    fn pieces_are_the_text_again() {
        let mut rng = fastrand::Rng::with_seed(9);
        let text = prose(&mut rng, 333);
        assert_eq!(pieces(&text).collect::<String>(), text);
        assert!(pieces(&text).count() > 80);
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids: std::collections::HashSet<String> = (0..10_000).map(|_| fresh_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
