//! Words without meaning: prompts of a realistic size that are not the same twice.

use std::fmt::Write as _;

use fastrand::Rng;

const WORDS: &[&str] = &[
    "account",
    "after",
    "again",
    "along",
    "answer",
    "arrives",
    "before",
    "begins",
    "between",
    "branch",
    "build",
    "bytes",
    "cache",
    "called",
    "careful",
    "change",
    "check",
    "clear",
    "client",
    "close",
    "column",
    "common",
    "compare",
    "config",
    "copies",
    "count",
    "current",
    "daily",
    "default",
    "depends",
    "detail",
    "different",
    "early",
    "empty",
    "error",
    "every",
    "example",
    "field",
    "file",
    "final",
    "first",
    "folder",
    "follows",
    "format",
    "found",
    "function",
    "given",
    "handler",
    "header",
    "higher",
    "image",
    "import",
    "index",
    "input",
    "keeps",
    "known",
    "later",
    "length",
    "letter",
    "limit",
    "line",
    "local",
    "lower",
    "maker",
    "market",
    "means",
    "member",
    "method",
    "middle",
    "minute",
    "module",
    "moment",
    "never",
    "number",
    "object",
    "often",
    "older",
    "opens",
    "order",
    "other",
    "output",
    "parent",
    "parse",
    "passes",
    "path",
    "place",
    "plain",
    "point",
    "prefix",
    "present",
    "process",
    "query",
    "quiet",
    "range",
    "reads",
    "reason",
    "record",
    "remote",
    "report",
    "request",
    "result",
    "return",
    "rounds",
    "sample",
    "second",
    "section",
    "server",
    "session",
    "shared",
    "short",
    "simple",
    "single",
    "source",
    "stable",
    "starts",
    "status",
    "stored",
    "string",
    "system",
    "table",
    "takes",
    "target",
    "tests",
    "their",
    "thing",
    "tool",
    "total",
    "under",
    "update",
    "usual",
    "value",
    "vector",
    "version",
    "waits",
    "window",
    "without",
    "words",
    "writes",
    "yields",
];

/// About `bytes` bytes of sentences; the same seed gives the same ones.
pub(super) fn prose(seed: u64, bytes: usize) -> String {
    let mut chance = Rng::with_seed(seed);
    let mut text = String::with_capacity(bytes + 32);
    while text.len() < bytes {
        for place in 0..chance.usize(6..=14) {
            let word = WORDS.get(chance.usize(..WORDS.len())).copied().unwrap_or_default();
            if place == 0 {
                let (head, tail) = word.split_at(1);
                text.push_str(&head.to_ascii_uppercase());
                text.push_str(tail);
            } else {
                text.push(' ');
                text.push_str(word);
            }
        }
        if chance.u8(..4) == 0 {
            // Writing to a text cannot fail.
            let _ = write!(text, " {}", chance.u32(..10_000));
        }
        text.push_str(if chance.u8(..5) == 0 { ".\n" } else { ". " });
    }
    text.truncate(bytes);
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_has_the_size_that_was_asked_for_and_depends_on_its_seed_alone() {
        for bytes in [0, 1, 200, 20_000] {
            let text = prose(3, bytes);
            assert!(text.len() <= bytes && text.len() + 2 >= bytes, "{} of {bytes}", text.len());
            assert_eq!(text, prose(3, bytes));
        }
        assert_ne!(prose(3, 200), prose(4, 200));
    }
}
