//! How far a run is: a bar on a terminal, a line each tenth elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use crate::types::{NanoUsd, Usage};

const WIDTH: usize = 24;

/// One run's progress, on standard error.
pub(super) struct Progress {
    name: String,
    whole: usize,
    done: usize,
    tenths: usize,
    sum: Usage,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(name: &str, whole: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        Self {
            name: name.to_owned(),
            whole: whole.max(1),
            done: 0,
            tenths: 0,
            sum: Usage::default(),
            terminal,
        }
    }

    /// One more request has ended.
    pub(super) fn step(&mut self, usage: Option<Usage>, spent: NanoUsd) {
        // Tries that are repeated are no further.
        self.done = (self.done + 1).min(self.whole);
        self.sum += usage.unwrap_or_default();
        let tenths = self.done * 10 / self.whole;
        // Nobody to tell is no reason to stop.
        if self.terminal {
            let _ = write!(io::stderr(), "\r{}\x1b[K", self.line(spent));
        } else if tenths > self.tenths {
            self.tenths = tenths;
            let _ = writeln!(io::stderr(), "{}", self.line(spent));
        }
    }

    fn line(&self, spent: NanoUsd) -> String {
        let Self { name, whole, done, sum, .. } = self;
        let hits = (u128::from(sum.cached_read) * 100).checked_div(sum.total_input().into());
        let hits = hits.map_or_else(String::new, |hits| format!(", {hits} % read from caches"));
        let cents = spent.0 / 10_000_000;
        let filled = done * WIDTH / whole;
        let bar = if self.terminal {
            format!("[{}{}] ", "#".repeat(filled), " ".repeat(WIDTH - filled))
        } else {
            String::new()
        };
        format!("{bar}{name}: {done} of {whole} requests{hits}, ${}.{:02}", cents / 100, cents % 100)
    }

    /// Leaves the line to others.
    pub(super) fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_what_it_cost() {
        let mut progress = Progress::new("http://h", 4);
        progress.terminal = false;
        let usage = Usage { input: 50, cached_read: 50, ..Usage::default() };
        progress.step(Some(usage), NanoUsd(0));
        assert_eq!(
            progress.line(NanoUsd(1_250_000_000)),
            "http://h: 1 of 4 requests, 50 % read from caches, $1.25"
        );
        progress.terminal = true;
        assert!(progress.line(NanoUsd(0)).starts_with("[######                  ] http://h: 1 of 4"));
    }
}
