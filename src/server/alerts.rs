//! Budgets that run out are told to people: a line in the log, a metric, and a webhook.
//!
//! Nothing on a request's path waits for any of it: alerts are picked up each second, and the webhook has a
//! task and a bounded queue of its own. What it cannot deliver it tries again, with growing pauses, and
//! gives up on after some minutes; the log has it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::webhook;
use crate::{clock, live::Live, quota::Alert, telemetry::Metrics, types::Scope};

/// How often alerts are picked up.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that wait for the webhook, at most; the oldest goes first.
const QUEUE: usize = 1_000;
/// Pauses between tries at one message; after the last it is given up.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(180),
];

/// Tells of alerts for as long as the gateway runs.
pub(super) async fn tell(live: Arc<Live>) {
    let mut waiting: VecDeque<Bytes> = VecDeque::new();
    let mut tries = 0;
    let mut due = clock::now();
    loop {
        tokio::time::sleep(LOOK).await;
        for alert in live.quota.alerts() {
            say(&alert);
            if live.snapshot.load().alerts.webhook.is_some() {
                if waiting.len() == QUEUE {
                    waiting.pop_front();
                    Metrics::global().spending.webhook("dropped");
                }
                waiting.push_back(body(&alert).to_string().into());
            }
        }
        while let Some(first) = waiting.front().filter(|_| clock::now() >= due).cloned() {
            let snapshot = live.snapshot.load_full();
            let Some(url) = &snapshot.alerts.webhook else {
                waiting.clear();
                break;
            };
            let sent = webhook::post(url, first).await;
            match (sent, PAUSES.get(tries)) {
                (Ok(()), _) => {
                    Metrics::global().spending.webhook("ok");
                    waiting.pop_front();
                    tries = 0;
                }
                (Err(fault), Some(pause)) => {
                    tracing::warn!(%fault, "the alert webhook did not take a message; trying again");
                    (due, tries) = (clock::now() + *pause, tries + 1);
                }
                (Err(fault), None) => {
                    tracing::error!(%fault, "the alert webhook did not take a message; given up");
                    Metrics::global().spending.webhook("failed");
                    waiting.pop_front();
                    tries = 0;
                }
            }
        }
    }
}

fn say(alert: &Alert) {
    let (level, budget) = (alert.scope.level(), alert.what.label());
    let (whose, percent, soft) = (name(&alert.scope), alert.percent, alert.soft);
    let (limit, spent) = (alert.what.amount(alert.limit), alert.what.amount(alert.spent));
    if percent >= 100 {
        tracing::warn!(level, whose, budget, percent, soft, %limit, %spent, "a budget is spent");
    } else {
        tracing::info!(level, whose, budget, percent, soft, %limit, %spent, "a budget is being used up");
    }
    Metrics::global().spending.alerted(level, budget, percent);
}

/// Whose budget it is, in one word.
fn name(scope: &Scope) -> String {
    match scope {
        Scope::Organisation(name) => name.to_string(),
        Scope::Team(organisation, name) => format!("{organisation}/{name}"),
        Scope::Key(id) => id.to_string(),
        Scope::Session(session) => session.to_string(),
        Scope::Tag(tag) => tag.to_string(),
        Scope::Model(name) => name.to_string(),
        Scope::Provider(name) => name.to_string(),
        Scope::Endpoint(name) => name.to_string(),
    }
}

/// What the webhook gets. Amounts are nano-dollars or tokens, by the budget's unit.
fn body(alert: &Alert) -> Value {
    json!({
        "event": "budget",
        "at": clock::unix_now().0.as_secs(),
        "level": alert.scope.level(),
        "name": name(&alert.scope),
        "budget": alert.what.label(),
        "percent": alert.percent,
        "limit": alert.limit,
        "spent": alert.spent,
        "soft": alert.soft,
        "resets_at": alert.resets_at.map(|at| at.0.as_secs()),
        "text": format!(
            "{} `{}` has used {} % of its budget of {}",
            alert.scope.level(), name(&alert.scope), alert.percent, alert.what.amount(alert.limit),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quota::What, types::Period};

    #[test]
    fn a_message_says_whose_which_and_how_far() {
        let alert = Alert {
            scope: Scope::Team("acme".into(), "search".into()),
            what: What::Usd(Period::Day),
            percent: 80,
            limit: 5_000_000_000,
            spent: 4_100_000_000,
            soft: false,
            resets_at: None,
        };
        let body = body(&alert);
        assert_eq!((&body["level"], &body["name"]), (&json!("team"), &json!("acme/search")));
        assert_eq!((&body["budget"], &body["percent"]), (&json!("usd_day"), &json!(80)));
        assert_eq!(body["text"], "team `acme/search` has used 80 % of its budget of $5.00");
    }
}
