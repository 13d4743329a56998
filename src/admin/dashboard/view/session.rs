//! `sessions/ID`: everything that is known of one session.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Body, Fault, aside, json, ledger, sessions::Row};
use crate::{
    clock::{self, Moment, UnixTime},
    live::{DecisionView, Live},
    session::SessionBreaks,
    store::ledger::{Row as ReceiptRow, TURNS_OF},
    types::NanoUsd,
};

/// Sub-agents shown.
const CHILDREN: usize = 100;
/// Turns shown.
const TURNS: u32 = 200;
/// The receipt of its last turn stands in the ledger within so long: streams take their time.
const SETTLED: Duration = Duration::from_secs(3_600);

#[derive(Serialize)]
struct Session {
    session: Option<Row>,
    parent: Option<Row>,
    children: Vec<Row>,
    decisions: Vec<DecisionView>,
    forensics: Option<SessionBreaks>,
    turns: Vec<Turn>,
    /// How many receipts, back from the session's last turn, `turns` were looked for among.
    turns_of: u64,
}

/// A turn as the ledger keeps it.
#[derive(Serialize)]
struct Turn {
    at_unix: f64,
    request: String,
    endpoint: Option<String>,
    affinity: Option<String>,
    why: Option<String>,
    input: u64,
    cached_read: u64,
    written: u64,
    output: u64,
    usd: Option<f64>,
    ttft_ms: Option<f64>,
    total_ms: f64,
    waited_ms: f64,
    status: u16,
    outcome: String,
    reason: Option<String>,
    cache_break: Option<String>,
    break_tokens: Option<u64>,
    break_usd: Option<f64>,
}

pub(super) async fn answer(live: &Arc<Live>, id: &str, now: Moment) -> Body {
    let id = u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16 && !id.starts_with('+'));
    let Some(id) = id else {
        return Err(Fault::bad(
            "a session's id is the 16 hexadecimal digits that the list, logs and /status show",
        ));
    };
    let find = async {
        let family =
            aside(live, move |live| live.snapshot.load().policy.sessions().family(id, CHILDREN, now));
        let family = family.await?;
        let idle = family.as_ref().map(|family| family.session.idle_seconds);
        let turns = if live.ledger.is_some() {
            let until = until(idle, clock::unix_now());
            ledger::ask(live, move |file| file.turns(id, until, TURNS)).await?
        } else {
            Vec::new()
        };
        let forensics = live.forensics.of_session(id, now);
        let decisions = live.decisions.of_session(id);
        if family.is_none() && forensics.is_none() && decisions.is_empty() && turns.is_empty() {
            return Err(Fault::missing("nothing is known of this session (any more)"));
        }
        let (session, parent, children) = family.map_or((None, None, Vec::new()), |family| {
            (Some(family.session), family.parent, family.children)
        });
        json(&Session {
            session: session.map(Row::of),
            parent: parent.map(Row::of),
            children: children.into_iter().map(Row::of).collect(),
            decisions,
            forensics,
            turns: turns.into_iter().map(Turn::of).collect(),
            turns_of: TURNS_OF,
        })
    };
    live.asked.once(&format!("session {id:016x}"), now, find).await.map(|body| body.to_vec())
}

/// When the receipt of its last turn had been written, at the latest.
fn until(idle: Option<f64>, now: UnixTime) -> UnixTime {
    let idle = idle.and_then(|idle| Duration::try_from_secs_f64(idle).ok()).unwrap_or_default();
    UnixTime((now.0.saturating_sub(idle) + SETTLED).min(now.0))
}

impl Turn {
    fn of(row: ReceiptRow) -> Self {
        Self {
            at_unix: thousandths(row.at),
            request: row.id,
            endpoint: row.endpoint,
            affinity: row.affinity,
            why: row.affinity_reason,
            input: row.input,
            cached_read: row.cached_read,
            written: row.write_5m.saturating_add(row.write_1h),
            output: row.output,
            usd: row.charge.map(|charge| NanoUsd(charge).as_usd()),
            ttft_ms: row.first_token_us.map(thousandths),
            total_ms: thousandths(row.total_us),
            waited_ms: thousandths(row.waited_us),
            status: row.status,
            outcome: row.outcome,
            reason: row.reason,
            cache_break: row.cache_break,
            break_tokens: row.break_tokens,
            break_usd: row.break_cost.map(|cost| NanoUsd(cost).as_usd()),
        }
    }
}

/// Milliseconds as seconds, microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "times and spans for people")]
fn thousandths(units: u64) -> f64 {
    units as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_looked_for_from_a_little_after_the_last_turn() {
        let now = UnixTime(Duration::from_secs(1_000_000));
        assert_eq!(until(Some(10.5), now), now);
        assert_eq!(until(Some(10_000.0), now), UnixTime(Duration::from_secs(993_600)));
        assert_eq!(until(None, now), now);
        assert_eq!(until(Some(f64::MAX), now), now);
    }
}
