//! The settings in force, as reading the file finds them: every knob with its value, defaults included.
//!
//! The readers of values tell what they made of each key, so a new knob shows without being listed. What
//! only [`Section::get`](super::read::Section::get) was asked for shows when it is missing; its reader says
//! what it is when it is there, and a test finds whoever forgot to.
//!
//! Invariant: no secret comes in here, nor what could stand for one.

use std::collections::HashMap;

use super::read::join;
use crate::snapshot::Setting;

/// What is shown of a secret.
pub(super) const SECRET: &str = "(secret)";

/// What is shown of a knob that is not there and has no default.
const UNSET: &str = "(not set)";

/// Texts that stand for a secret, or sit beside one.
const HIDDEN: &[&str] = &["caller.token_sha256", "secret.aws_access_key_id", "sim.account.key"];

/// Kinds of tables of which only what is written shows: most of their keys exclude each other.
const SPARSE: &[&str] = &["secret", "levels", "budgets"];

/// Every knob that was read, in order.
#[derive(Default)]
pub(super) struct Shown {
    /// By path: `provider[2].timeouts.idle`.
    values: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Shown {
    /// `key` of a section has this value.
    pub(super) fn set(&mut self, kind: &str, path: &str, key: &str, value: String) {
        let is_hidden = HIDDEN.contains(&join(kind, key).as_str());
        let value = if is_hidden { SECRET.to_owned() } else { without_password(value) };
        let path = join(path, key);
        match self.places.get(&path).and_then(|at| self.values.get_mut(*at)) {
            Some(known) => known.1 = value,
            None => self.push(path, value),
        }
    }

    /// `key` of a section is not there: its default, if it has one, is told later.
    pub(super) fn unset(&mut self, kind: &str, path: &str, key: &str) {
        let path = join(path, key);
        if !SPARSE.contains(&kind) && !self.places.contains_key(&path) {
            self.push(path, UNSET.to_owned());
        }
    }

    fn push(&mut self, path: String, value: String) {
        self.places.insert(path.clone(), self.values.len());
        self.values.push((path, value));
    }

    /// The rows: under `provider anthropic` what stands at `provider[1]`, if that is its name.
    pub(super) fn settings(self) -> Vec<Setting> {
        let Self { values, places } = self;
        let name = |owner: &str| {
            let at = places.get(&join(owner, "name"))?;
            values.get(*at).map(|(_, name)| name.as_str())
        };
        let row = |(path, value): &(String, String)| {
            let (owner, rest) = path.split_once('.').unwrap_or((path, ""));
            let kind = owner.split_once('[').map_or(owner, |(kind, _)| kind);
            let section = match name(owner) {
                Some(name) if kind != owner => format!("{kind} {name}"),
                Some(_) | None => owner.to_owned(),
            };
            Setting { section, knob: join(kind, rest), value: value.clone(), pending: None }
        };
        values.iter().filter(|(path, _)| path.contains('.')).map(row).collect()
    }
}

/// URLs with a password are secrets and are read as such; should one stand elsewhere, it does not show.
fn without_password(value: String) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://(secret){}", rest.get(user.len()..).unwrap_or_default()),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_holds_and_what_is_hidden_stays_so() {
        let mut shown = Shown::default();
        shown.set("provider", "provider[2]", "name", "acme".into());
        shown.unset("provider", "provider[2]", "auth");
        shown.set("provider", "provider[2]", "auth", "bearer".into());
        shown.unset("provider", "provider[2]", "auth");
        shown.set("caller", "caller[1]", "token_sha256", "93fd".into());
        shown.set("server", "server", "proxy", "http://me:hush@host/@x".into());
        shown.unset("secret", "endpoint[1].key", "env");
        let rows: Vec<_> =
            shown.settings().into_iter().map(|row| (row.section, row.knob, row.value)).collect();
        let row = |section: &str, knob: &str, value: &str| (section.into(), knob.into(), value.into());
        let expected: [(String, String, String); 4] = [
            row("provider acme", "provider.name", "acme"),
            row("provider acme", "provider.auth", "bearer"),
            row("caller[1]", "caller.token_sha256", "(secret)"),
            row("server", "server.proxy", "http://(secret)@host/@x"),
        ];
        assert_eq!(rows, expected);
    }
}
