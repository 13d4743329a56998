//! `[[organisation]]`, `[[team]]`, `[session]` and `[[tag]]`: what stands above and beside callers.

use std::collections::HashMap;

use super::{
    allowance::{allowance, at, budgets, limits, note_larger, session_budgets},
    read::{At, Section, known_names},
};
use crate::types::{Allowance, Budget, Levels, TAG_FORM, Tag, TeamName, TenantId, VirtualKey, is_tag};

/// The organisation of whoever names none.
pub(super) const DEFAULT: &str = "default";

/// Reads all levels but budgets of models, providers and endpoints, which stand with them.
pub(super) fn read(root: &Section<'_>) -> Levels {
    let organisations = organisations(root);
    let teams = teams(root, &organisations);
    Levels { organisations, teams, sessions: root.table("session", session), ..Levels::default() }
}

fn organisations(root: &Section<'_>) -> HashMap<TenantId, Allowance> {
    let mut found = HashMap::new();
    root.tables("organisation", |section| {
        let name = section.required_name("name", "name it as the `tenant` of its callers");
        let allowance = allowance(section);
        let Some(name) = name else { return };
        let twin = found.insert(TenantId::from(name.value.as_str()), allowance);
        refuse_twin(section, &name, twin.is_some());
    });
    found
}

fn teams(
    root: &Section<'_>,
    organisations: &HashMap<TenantId, Allowance>,
) -> HashMap<(TenantId, TeamName), Allowance> {
    let mut found = HashMap::new();
    root.tables("team", |section| {
        let name = section.required_name("name", "name it as the `team` of its callers");
        let organisation = section.name("organisation");
        let allowance = allowance(section);
        if let Some(of) = &organisation {
            check_organisation(section, of, organisations);
        }
        let of = TenantId::from(organisation.map_or_else(|| DEFAULT.to_owned(), |name| name.value));
        if let Some(above) = organisations.get(of.as_str()) {
            note_larger(section, &allowance.budgets, &above.budgets, &format!("organisation `{of}`"));
        }
        let Some(name) = name else { return };
        let twin = found.insert((of, TeamName::from(name.value.as_str())), allowance);
        refuse_twin(section, &name, twin.is_some());
    });
    found
}

fn refuse_twin(section: &Section<'_>, name: &At<String>, is_twin: bool) {
    if is_twin {
        let what = format!("`{}` is there already", name.value);
        section.fault_at(name, &what, "put all that it may use into one section");
    }
}

/// Every organisation is known that is written down, and the one of whoever names none.
fn check_organisation(section: &Section<'_>, name: &At<String>, known: &HashMap<TenantId, Allowance>) {
    if name.value == DEFAULT || known.contains_key(name.value.as_str()) {
        return;
    }
    let names = known.keys().map(TenantId::as_str).chain([DEFAULT]);
    let remedy = format!(
        "{}, or add an `[[organisation]]` of this name",
        known_names(&name.value, names).trim_end_matches('?')
    );
    section.fault_at(name, &format!("unknown organisation `{}`", name.value), &remedy);
}

/// A caller's organisation and team must be among those that are written down. Where no organisation
/// is, any name will do, as it is only a boundary then.
pub(super) fn check_caller(
    section: &Section<'_>,
    levels: &Levels,
    organisation: Option<&At<String>>,
    team: Option<&At<String>>,
) {
    if let Some(name) = organisation.filter(|_| !levels.organisations.is_empty()) {
        check_organisation(section, name, &levels.organisations);
    }
    let Some(team) = team else { return };
    let of = organisation.map_or(DEFAULT, |name| name.value.as_str());
    let mut names = levels.teams.keys().filter(|(organisation, _)| organisation.as_str() == of);
    if names.clone().all(|(_, name)| name.as_str() != team.value) {
        let what = format!("organisation `{of}` has no team `{}`", team.value);
        let remedy = if names.next().is_none() {
            "add a `[[team]]` of this name".to_owned()
        } else {
            let names = levels.teams.keys().filter(|(organisation, _)| organisation.as_str() == of);
            let guess = known_names(&team.value, names.map(|(_, name)| name.as_str()));
            format!("{}, or add a `[[team]]` of this name", guess.trim_end_matches('?'))
        };
        section.fault_at(team, &what, &remedy);
    }
}

/// Says so where a caller's budgets are larger than those above it.
pub(super) fn note_larger_than_above(section: &Section<'_>, key: &VirtualKey, levels: &Levels) {
    let own = &key.allowance.budgets;
    if let Some(above) = levels.organisations.get(&key.organisation) {
        note_larger(section, own, &above.budgets, &format!("organisation `{}`", key.organisation));
    }
    let team = key.team.clone().map(|team| (key.organisation.clone(), team));
    if let Some((team, above)) = team.and_then(|team| levels.teams.get_key_value(&team)) {
        note_larger(section, own, &above.budgets, &format!("team `{}`", team.1));
    }
}

/// `[session]`: what every session may do, whoever's it is.
fn session(session: &Section<'_>) -> Allowance {
    let read = session.table_of("levels", "limits", limits);
    if read.sessions.is_some() {
        session.fault("limits", "`sessions` means nothing for a session", "remove it, or write `concurrent`");
    }
    Allowance { limits: read, budgets: session_budgets(session, "budgets"), session_budgets: Vec::new() }
}

/// Reads every `[[tag]]`; `callers`, to say where nobody has it.
pub(super) fn tags(root: &Section<'_>, callers: &[VirtualKey]) -> HashMap<Tag, Vec<Budget>> {
    let mut found = HashMap::new();
    root.tables("tag", |section| {
        let name = section.required("name", "write it as the `tags` of callers do");
        let budgets = budgets(section, "budgets");
        let Some(name) = name.and_then(|name| tag(section, name)) else { return };
        let has = |key: &VirtualKey| key.tags.iter().any(|tag| tag.as_str() == name.value);
        if !callers.iter().any(has) {
            let what = format!("no `[[caller]]` has the tag `{}`", name.value);
            section.note_at(&name, &what, "that is fine where stored keys have it; or check its spelling");
        }
        if budgets.is_empty() {
            let what = "a tag without budgets says nothing";
            section.note_at(&at(section, "budgets"), what, "write `budgets = [{ usd = 5, per = \"day\" }]`");
        }
        let twin = found.insert(Tag::from(name.value.as_str()), budgets);
        refuse_twin(section, &name, twin.is_some());
    });
    found
}

/// A text that is a tag.
pub(super) fn tag(section: &Section<'_>, text: At<String>) -> Option<At<String>> {
    let is_one = is_tag(&text.value);
    if !is_one {
        section.fault_at(&text, &format!("`{}` is not a tag", text.value.escape_debug()), TAG_FORM);
    }
    is_one.then_some(text)
}
