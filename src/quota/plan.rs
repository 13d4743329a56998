//! From allowances to counters: the lines of each scope, with their ids made once.
//!
//! A sheet or a plan is good for as long as no budget in it begins a new period.

use std::{fmt::Write, ops::Range, sync::Arc, time::Duration};

use super::{
    What,
    line::{Counts, Line},
};
use crate::{
    clock::UnixTime,
    store::counters::CounterId,
    types::{Allowance, Budget, Limits, Scope, SessionKey, Span, Unit, VirtualKey},
};

/// The end of what has none.
const END: UnixTime = UnixTime(Duration::from_secs(u64::MAX));

/// The lines of one scope.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) lines: Vec<Arc<Line>>,
    /// Seconds since 1970.
    pub(super) valid: Range<u64>,
}

/// Everything that a key's requests are counted in, whatever their session and model.
#[derive(Debug)]
pub(super) struct Plan {
    /// Whose it is, as it was then; `None` for callers without a key.
    pub(super) key: Option<Arc<VirtualKey>>,
    /// Organisation, team, key, tags: what cannot be helped by waiting first.
    pub(super) lines: Vec<Arc<Line>>,
    /// What its sessions may do, each by itself.
    pub(super) session: Session,
    pub(super) valid: Range<u64>,
}

/// What each session of a plan may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Session {
    limits: Limits,
    budgets: Vec<Budget>,
}

impl Session {
    /// Of several budgets of one unit and period the smallest hard one counts, or the smallest soft one.
    ///
    /// Only what is said of every session has limits by the minute for each; of the levels above it is
    /// the turns and the session budgets that hold for each.
    pub(super) fn new<'a>(every: &Allowance, levels: impl Iterator<Item = &'a Allowance>) -> Self {
        // How many sessions there are cannot be a limit of one.
        let limits = Limits { sessions: None, ..every.limits };
        let mut session = Self { limits, budgets: Vec::new() };
        session.add(every.budgets.iter().chain(&every.session_budgets));
        for level in levels {
            session.add(&level.session_budgets);
            session.limits.turns = smaller(session.limits.turns, level.limits.turns);
        }
        session
    }

    fn add<'a>(&mut self, budgets: impl IntoIterator<Item = &'a Budget>) {
        merge(&mut self.budgets, budgets);
    }

    /// Whether sessions need not be looked at.
    pub(super) fn is_free(&self) -> bool {
        self.budgets.is_empty() && Limits { count_cached: false, ..self.limits } == Limits::default()
    }
}

/// No two budgets count in one counter: the strictest does.
fn merge<'a>(all: &mut Vec<Budget>, more: impl IntoIterator<Item = &'a Budget>) {
    for &budget in more {
        match all.iter_mut().find(|old| old.unit == budget.unit && old.per == budget.per) {
            Some(old) if (budget.soft, budget.amount) < (old.soft, old.amount) => *old = budget,
            Some(_) => {}
            None => all.push(budget),
        }
    }
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Sheet {
    /// What a scope may use.
    pub(super) fn new(scope: &Scope, limits: &Limits, budgets: &[Budget], at: UnixTime) -> Self {
        let mut sheet = Self { lines: Vec::new(), valid: 0..u64::MAX };
        let name = scope_name(scope);
        let mut merged = Vec::new();
        merge(&mut merged, budgets);
        for budget in &merged {
            sheet.budget(scope, &name, budget, at);
        }
        sheet.limits(scope, &name, limits);
        sheet
    }

    /// What one session may do.
    pub(super) fn of_session(key: SessionKey, session: &Session, at: UnixTime) -> Self {
        let scope = Scope::Session(key);
        let mut sheet = Self::new(&scope, &session.limits, &session.budgets, at);
        if let Some(turns) = session.limits.turns {
            sheet.lines.push(Arc::new(Line {
                id: CounterId(format!("b/{}/turns/total/0", scope_name(&scope)).into()),
                scope,
                what: What::Turns,
                counts: Counts::Turn,
                limit: turns,
                soft: false,
                until: END,
            }));
        }
        sheet
    }

    fn budget(&mut self, scope: &Scope, name: &str, budget: &Budget, at: UnixTime) {
        let Span { from, until } = budget.per.at(at);
        self.valid = within(&self.valid, &(from..until));
        let counts = match (budget.unit, scope) {
            (Unit::Tokens, _) => Counts::All,
            (Unit::Usd, Scope::Provider(_) | Scope::Endpoint(_)) => Counts::Plain,
            (
                Unit::Usd,
                Scope::Organisation(_)
                | Scope::Team(..)
                | Scope::Key(_)
                | Scope::Session(_)
                | Scope::Tag(_)
                | Scope::Model(_),
            ) => Counts::Billed,
        };
        let id = format!("b/{name}/{}/{}/{from}", budget.unit.label(), budget.per.label());
        self.lines.push(Arc::new(Line {
            id: CounterId(id.into()),
            scope: scope.clone(),
            what: What::budget(budget.unit, budget.per),
            counts,
            limit: budget.amount,
            soft: budget.soft,
            until: UnixTime(Duration::from_secs(until)),
        }));
    }

    fn limits(&mut self, scope: &Scope, name: &str, limits: &Limits) {
        let cached = limits.count_cached;
        let all = [
            (limits.sessions, "m", What::Sessions, Counts::Session),
            (limits.concurrent, "l", What::Concurrent, Counts::Presence),
            (limits.rpm, "w", What::Rpm, Counts::Requests),
            (limits.tpm, "w", What::Tpm, Counts::Tokens { cached }),
            (limits.itpm, "w", What::Itpm, Counts::Input { cached }),
            (limits.otpm, "w", What::Otpm, Counts::Output),
        ];
        for (limit, kind, what, counts) in all {
            let Some(limit) = limit else { continue };
            self.lines.push(Arc::new(Line {
                id: CounterId(format!("{kind}/{name}/{}", what.label()).into()),
                scope: scope.clone(),
                what,
                counts,
                limit,
                soft: false,
                until: UnixTime::default(),
            }));
        }
    }
}

impl Plan {
    pub(super) fn new<'a>(
        key: Option<Arc<VirtualKey>>,
        session: Session,
        sheets: impl IntoIterator<Item = &'a Arc<Sheet>>,
        at: UnixTime,
    ) -> Self {
        let mut plan = Self { key, lines: Vec::new(), session, valid: 0..u64::MAX };
        for sheet in sheets {
            plan.valid = within(&plan.valid, &sheet.valid);
            for line in &sheet.lines {
                // A tag may be said twice.
                if plan.lines.iter().all(|old| old.id != line.id) {
                    plan.lines.push(Arc::clone(line));
                }
            }
        }
        debug_assert!(plan.valid.contains(&at.0.as_secs()), "a plan is good when it is made");
        // What comes first is what a client hears of: not to wait for a minute, and be told then that
        // the budget is spent.
        plan.lines.sort_by_key(|line| !line.is_charged());
        plan
    }
}

fn within(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    one.start.max(other.start)..one.end.min(other.end)
}

/// A scope as ids of counters name it, on every gateway alike.
pub(super) fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::Organisation(name) => named("org", &[name.as_str()]),
        Scope::Team(organisation, name) => named("team", &[organisation.as_str(), name.as_str()]),
        Scope::Key(id) => named("key", &[id.as_str()]),
        Scope::Session(session) => format!("session:{:032x}", session.0),
        Scope::Tag(tag) => named("tag", &[tag.as_str()]),
        Scope::Model(name) => named("model", &[name.as_str()]),
        Scope::Provider(name) => named("provider", &[name.as_str()]),
        Scope::Endpoint(name) => named("endpoint", &[name.as_str()]),
    }
}

/// `kind:a/b`. A slash within a name is escaped: `a/b` of `c` is not `b` of `c/a`.
fn named(kind: &str, parts: &[&str]) -> String {
    let mut name = String::from(kind);
    for (at, part) in parts.iter().enumerate() {
        name.push(if at == 0 { ':' } else { '/' });
        for one in part.chars() {
            match one {
                '/' | '%' => {
                    let _ok = write!(name, "%{:02X}", u32::from(one));
                }
                _ => name.push(one),
            }
        }
    }
    name
}
