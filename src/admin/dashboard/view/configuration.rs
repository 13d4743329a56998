//! `configuration`: what the gateway runs with, every knob, and how the last reload went.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    live::{LastReload, Live},
    snapshot::Setting,
};

#[derive(Serialize)]
pub(super) struct Configuration {
    file: Option<String>,
    /// When the settings in force were read.
    loaded_unix: f64,
    last_reload: Option<LastReload>,
    sections: Vec<Section>,
}

#[derive(Serialize, Debug, PartialEq)]
struct Section {
    title: String,
    rows: Vec<Row>,
}

#[derive(Serialize, Debug, PartialEq)]
struct Row {
    knob: String,
    value: String,
}

pub(super) fn view(live: &Live) -> Configuration {
    let snapshot = live.snapshot.load();
    Configuration {
        file: snapshot.settings.file.clone(),
        loaded_unix: snapshot.loaded.0.as_secs_f64(),
        last_reload: live.reloads.last(),
        sections: sections(&snapshot.settings.rows),
    }
}

/// Sections in the manual's order; any other stands between those that there are once and the lists.
const FIRST: &[&str] = &["server", "routing", "metering", "trace", "ledger", "state", "alerts"];
const LAST: &[&str] =
    &["organisation", "team", "session", "tag", "caller", "provider", "endpoint", "model", "sim"];

fn rank(title: &str) -> usize {
    let kind = title.split([' ', '[']).next().unwrap_or(title);
    let last = || LAST.iter().position(|known| *known == kind).map(|at| FIRST.len() + 1 + at);
    FIRST.iter().position(|known| *known == kind).or_else(last).unwrap_or(FIRST.len())
}

/// The rows by what they belong to.
fn sections(settings: &[Setting]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for setting in settings {
        let value = match &setting.pending {
            None => setting.value.clone(),
            Some(pending) => format!("{} (the file says {pending}: after a restart)", setting.value),
        };
        let row = Row { knob: setting.knob.clone(), value };
        let place = *places.entry(&setting.section).or_insert_with(|| {
            sections.push(Section { title: setting.section.clone(), rows: Vec::new() });
            sections.len() - 1
        });
        if let Some(section) = sections.get_mut(place) {
            section.rows.push(row);
        }
    }
    sections.sort_by_key(|section| rank(&section.title));
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_stand_under_what_they_belong_to() {
        let setting = |section: &str, knob: &str, pending: Option<&str>| Setting {
            section: section.to_owned(),
            knob: knob.to_owned(),
            value: "1".to_owned(),
            pending: pending.map(str::to_owned),
        };
        let settings = [
            setting("provider a", "provider.http", None),
            setting("server", "server.threads", Some("2")),
            setting("caller[2]", "caller.weight", None),
            setting("server", "server.drain", None),
            setting("otherwise", "otherwise.new", None),
        ];
        let row = |knob: &str, value: &str| Row { knob: knob.to_owned(), value: value.to_owned() };
        let expected = [
            Section {
                title: "server".to_owned(),
                rows: vec![
                    row("server.threads", "1 (the file says 2: after a restart)"),
                    row("server.drain", "1"),
                ],
            },
            Section { title: "otherwise".to_owned(), rows: vec![row("otherwise.new", "1")] },
            Section { title: "caller[2]".to_owned(), rows: vec![row("caller.weight", "1")] },
            Section { title: "provider a".to_owned(), rows: vec![row("provider.http", "1")] },
        ];
        assert_eq!(sections(&settings), expected);
    }
}
