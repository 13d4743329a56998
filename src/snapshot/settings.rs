//! The settings in force, as people read them: text, without secrets.

use std::collections::{HashMap, HashSet};

/// One knob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// What it belongs to: `server`, `provider anthropic`.
    pub section: String,
    /// As in the manual: `provider.timeouts.idle`.
    pub knob: String,
    /// What it is, as the file would say it; `(secret)`, `(not set)`.
    pub value: String,
    /// What the file says by now, where that takes a restart.
    pub pending: Option<String>,
}

/// Every knob, in the order in which they are read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The file that they come from; `None`: none was named.
    pub file: Option<String>,
    /// The knobs.
    pub rows: Vec<Setting>,
}

/// What takes effect with a start alone: knobs, or all that stands under them.
const AT_START: &[&str] = &[
    // Bound once.
    "server.listen",
    "server.admin",
    "server.tls",
    // The runtime and the log are set up before anything else.
    "server.threads",
    "server.log",
    "server.watch",
    // Opened once.
    "ledger",
    "state",
    "trace",
    "sim",
    // Sizes of tables that outlive a reload.
    "routing.sessions",
    "routing.prefixes",
    "routing.tool_links",
    "routing.objects",
    "routing.forensics",
];

fn is_at_start(knob: &str) -> bool {
    let under =
        |of: &str| knob.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    AT_START.iter().any(|of| under(of))
}

impl Settings {
    /// A knob is not what reading the file made of it.
    pub fn set(&mut self, knob: &str, value: String) {
        for row in self.rows.iter_mut().filter(|row| row.knob == knob) {
            row.value.clone_from(&value);
        }
    }

    /// These were read while `old` were in force: of what takes a restart, the old ones still are.
    #[must_use]
    pub fn following(mut self, old: &Self) -> Self {
        let known: HashMap<&str, &str> =
            at_start(&old.rows).map(|row| (row.knob.as_str(), row.value.as_str())).collect();
        for row in self.rows.iter_mut().filter(|row| is_at_start(&row.knob)) {
            let before = known.get(row.knob.as_str()).copied().unwrap_or("(not set)");
            if before != row.value {
                row.pending = Some(std::mem::replace(&mut row.value, before.to_owned()));
            }
        }
        let written: HashSet<&str> = at_start(&self.rows).map(|row| row.knob.as_str()).collect();
        let gone = at_start(&old.rows).filter(|row| !written.contains(row.knob.as_str()));
        let gone: Vec<Setting> =
            gone.map(|row| Setting { pending: Some("(removed)".to_owned()), ..row.clone() }).collect();
        self.rows.extend(gone);
        self
    }
}

fn at_start(rows: &[Setting]) -> impl Iterator<Item = &Setting> {
    rows.iter().filter(|row| is_at_start(&row.knob))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rows: &[(&str, &str)]) -> Settings {
        let row = |&(knob, value): &(&str, &str)| Setting {
            section: knob.split('.').next().unwrap_or(knob).to_owned(),
            knob: knob.to_owned(),
            value: value.to_owned(),
            pending: None,
        };
        Settings { file: None, rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn what_takes_a_restart_stays_as_it_was_however_often_the_file_changes() {
        let first = settings(&[
            ("server.listen", "a"),
            ("server.admin_token", "(not set)"),
            ("sim.account[1].rpm", "5"),
            ("server.drain", "5m"),
        ]);
        let changed =
            settings(&[("server.listen", "b"), ("server.admin_token", "(secret)"), ("server.drain", "1m")]);
        let shown = |settings: &Settings| -> Vec<(String, String, Option<String>)> {
            settings
                .rows
                .iter()
                .map(|row| (row.knob.clone(), row.value.clone(), row.pending.clone()))
                .collect()
        };
        let row = |knob: &str, value: &str, pending: Option<&str>| {
            (knob.to_owned(), value.to_owned(), pending.map(str::to_owned))
        };
        let once = changed.clone().following(&first);
        let expected = [
            row("server.listen", "a", Some("b")),
            row("server.admin_token", "(secret)", None),
            row("server.drain", "1m", None),
            row("sim.account[1].rpm", "5", Some("(removed)")),
        ];
        assert_eq!(shown(&once), expected);
        assert_eq!(shown(&changed.following(&once)), expected);
        assert_eq!(shown(&first.clone().following(&once)), shown(&first));
    }
}
