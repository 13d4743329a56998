//! `budgets`: every budget with its figures, those first that are nearest to their end.

use std::sync::Arc;

use serde::Serialize;

use super::{super::super::api::scope_text, Body, json, slowly};
use crate::{
    clock::{self, Moment, UnixTime},
    live::{Filter, Live},
    quota::{CounterView, What},
    types::NanoUsd,
};

/// Organisations, teams, tags, models, providers and endpoints looked at.
const LEVELS: usize = 1_000;
/// Budgets of keys shown.
const KEYS: usize = 1_000;
/// Keys looked at in one go.
const PAGE: usize = 1_000;

#[derive(Serialize)]
struct Budgets {
    /// Budgets that there are, of the levels and keys looked at.
    known: usize,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    /// `team:acme/core`, `key:k_...`, as in the names of counters.
    scope: String,
    level: &'static str,
    name: String,
    /// `usd_day` and the like.
    what: &'static str,
    is_money: bool,
    /// Dollars, or tokens.
    limit: f64,
    used: f64,
    spent: f64,
    soft: bool,
    resets_at: Option<String>,
}

pub(super) async fn answer(live: &Arc<Live>, now: Moment) -> Body {
    slowly(live, "budgets", now, move |live| json(&view(live, now, clock::unix_now()))).await
}

fn view(live: &Live, now: Moment, at: UnixTime) -> Budgets {
    let mut nearest = Nearest::default();
    let mut scopes: Vec<_> = live.keys.levels().scopes().collect();
    scopes.sort();
    for (scope, name) in scopes.into_iter().take(LEVELS) {
        for counter in live.quota.view(&scope, now, at) {
            nearest.add(&counter, &name);
        }
    }
    let mut known = nearest.known;
    let mut rows = nearest.sorted();
    let mut nearest = Nearest::default();
    let (filter, mut after) = (Filter::default(), None);
    loop {
        let (entries, next) = live.keys.list(&filter, after.as_ref(), PAGE);
        for entry in entries.iter().filter(|entry| !entry.key.allowance.budgets.is_empty()) {
            for counter in live.quota.view_own_budgets(&entry.key, now, at) {
                nearest.add(&counter, entry.key.name.as_str());
            }
        }
        nearest.cut();
        if next.is_none() {
            break;
        }
        after = next;
    }
    known += nearest.known;
    rows.extend(nearest.sorted());
    rows.sort_by(|one, other| (other.0.total_cmp(&one.0)).then_with(|| one.1.scope.cmp(&other.1.scope)));
    Budgets { known, rows: rows.into_iter().map(|(_, row)| row).collect() }
}

/// The budgets of which the largest part is used.
#[derive(Default)]
struct Nearest {
    known: usize,
    rows: Vec<(f64, Row)>,
}

impl Nearest {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn add(&mut self, counter: &CounterView, name: &str) {
        if !counter.what.is_budget() {
            return;
        }
        let is_money = matches!(counter.what, What::Usd(_));
        let figure = |amount: u64| if is_money { NanoUsd(amount).as_usd() } else { amount as f64 };
        self.known += 1;
        self.rows.push((
            counter.used as f64 / counter.limit.max(1) as f64,
            Row {
                scope: scope_text(&counter.scope),
                level: counter.scope.level(),
                name: name.to_owned(),
                what: counter.what.label(),
                is_money,
                limit: figure(counter.limit),
                used: figure(counter.used),
                spent: figure(counter.spent),
                soft: counter.soft,
                resets_at: counter.resets_at.map(UnixTime::rfc3339),
            },
        ));
    }

    /// Lets go what is farthest from its end.
    fn cut(&mut self) {
        if self.rows.len() > KEYS {
            self.rows.sort_by(|one, other| other.0.total_cmp(&one.0));
            self.rows.truncate(KEYS);
        }
    }

    fn sorted(mut self) -> Vec<(f64, Row)> {
        self.cut();
        self.rows
    }
}
