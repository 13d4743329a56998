//! What a level may use: `limits`, `budgets` and `session_budgets`, wherever they stand.
//!
//! All lists of budgets are of one kind, and so are all limits of callers: they are shown once in the
//! manual.

use toml::{Spanned, de::DeValue};

use super::{
    read::{At, Section},
    value::number_text,
};
use crate::types::{Allowance, Budget, Limits, MOST, MOST_DOLLARS, NanoUsd, Period, Unit};

const PERIODS: &[(&str, Period)] = &[
    ("hour", Period::Hour),
    ("day", Period::Day),
    ("week", Period::Week),
    ("month", Period::Month),
    ("total", Period::Total),
];

/// Reads `limits`, `budgets` and `session_budgets` of a section.
pub(super) fn allowance(section: &Section<'_>) -> Allowance {
    Allowance {
        limits: section.table_of("levels", "limits", limits),
        budgets: budgets(section, "budgets"),
        session_budgets: session_budgets(section, "session_budgets"),
    }
}

/// `limits = { rpm = 100, tpm = 1_000_000, concurrent = 20 }`
pub(super) fn limits(limits: &Section<'_>) -> Limits {
    let given = |key| limits.get(key).map(|_| limits.whole(key, 1_u64, 1..=MOST));
    Limits {
        rpm: given("rpm"),
        tpm: given("tpm"),
        itpm: given("itpm"),
        otpm: given("otpm"),
        count_cached: limits.flag("count_cached", false),
        concurrent: given("concurrent"),
        sessions: given("sessions"),
        turns: given("turns"),
    }
}

/// `budgets = [{ usd = 5, per = "day" }, { tokens = 1_000_000, per = "month", soft = true }]`
pub(super) fn budgets(section: &Section<'_>, key: &'static str) -> Vec<Budget> {
    list(section, key, None)
}

/// The same for each session, over its whole life unless it says otherwise: `[{ usd = 2 }]`.
pub(super) fn session_budgets(section: &Section<'_>, key: &'static str) -> Vec<Budget> {
    list(section, key, Some(Period::Total))
}

fn list(section: &Section<'_>, key: &'static str, usual: Option<Period>) -> Vec<Budget> {
    let mut found: Vec<(Budget, String)> = Vec::new();
    section.tables_of("budgets", key, |entry| {
        let Some(budget) = budget(entry, usual) else { return };
        let same = |(other, _): &&(Budget, String)| (other.unit, other.per) == (budget.unit, budget.per);
        if let Some((_, first)) = found.iter().find(same) {
            let (unit, per) = (budget.unit.label(), budget.per.label());
            let what = format!("`{first}` is a budget in {unit} per {per} already");
            entry.fault_at(&entry.here(), &what, "keep one of them; alerts tell at 50, 80 and 100 % of it");
        }
        found.push((budget, entry.here().path));
    });
    found.into_iter().map(|(budget, _)| budget).collect()
}

fn budget(entry: &Section<'_>, usual: Option<Period>) -> Option<Budget> {
    let usd = entry.get("usd").map(|value| dollars(entry, value));
    let tokens = entry.get("tokens").map(|_| entry.whole("tokens", 1_u64, 1..=MOST));
    let per = entry.choose("per", PERIODS);
    let soft = entry.flag("soft", false);
    let per = if per.is_none() && entry.get("per").is_none() {
        if usual.is_none() {
            entry.fault("per", "missing", "write `hour`, `day`, `week`, `month` or `total`");
        }
        usual
    } else {
        per
    };
    let (unit, amount) = match (usd, tokens) {
        (Some(usd), None) => (Unit::Usd, usd?),
        (None, Some(tokens)) => (Unit::Tokens, tokens),
        (Some(_), Some(_)) => {
            let remedy = "write two budgets: `{ usd = ... }, { tokens = ... }`";
            entry.fault("tokens", "a budget is in dollars or in tokens, and `usd` is there already", remedy);
            return None;
        }
        (None, None) => {
            entry.fault("usd", "missing", "write `usd = 5` or `tokens = 1_000_000`");
            return None;
        }
    };
    Some(Budget { unit, amount, per: per?, soft })
}

fn dollars(entry: &Section<'_>, value: &Spanned<DeValue<'_>>) -> Option<u64> {
    const REMEDY: &str =
        "write dollars above 0 and up to 1000000000, such as `5` or `0.25`, with at most nine decimals";
    let Some(text) = number_text(value.get_ref()) else {
        entry.wrong_type("usd", value, "a number of dollars", REMEDY);
        return None;
    };
    match NanoUsd::parse(text, MOST_DOLLARS) {
        Some(NanoUsd(0)) => {
            entry.fault("usd", "nothing could ever be spent", "write more, or `disabled = true` at a key");
            None
        }
        Some(nano) => {
            entry.shows("usd", nano.dollars());
            Some(nano.0)
        }
        None => {
            entry.fault("usd", &format!("`{text}` is not an amount"), REMEDY);
            None
        }
    }
}

/// Says so where a budget can never be used up, because the one above it is smaller.
pub(super) fn note_larger(section: &Section<'_>, own: &[Budget], above: &[Budget], whose: &str) {
    for budget in own {
        let over = above.iter().find(|over| {
            (over.unit, over.per) == (budget.unit, budget.per) && over.amount < budget.amount && !over.soft
        });
        if let Some(over) = over {
            let what = format!(
                "{} {} per {} is more than {whose} has ({})",
                shown(budget),
                budget.unit.label(),
                budget.per.label(),
                shown(over),
            );
            section.note_at(
                &at(section, "budgets"),
                &what,
                "both must admit a request, so the smaller one counts",
            );
        }
    }
}

/// Where `key` stands.
pub(super) fn at(section: &Section<'_>, key: &'static str) -> At<()> {
    section.get(key).map_or_else(|| section.here(), |value| section.at(key, value.span(), ()))
}

/// An amount as it is written.
pub(super) fn shown(budget: &Budget) -> String {
    match budget.unit {
        Unit::Tokens => budget.amount.to_string(),
        Unit::Usd => NanoUsd(budget.amount).dollars(),
    }
}
