//! The ledger's tables: the statements that change them, each transaction whole.
//!
//! The invariant: `balances` is the sum of `receipts.charged` (of periods that are not long over), because
//! both change together, and only for a receipt that is new.

use std::{collections::HashMap, time::Duration};

use rusqlite::{
    Connection, Row as SqlRow, Statement, Transaction, TransactionBehavior, named_params, params,
};

use super::{
    Row,
    batch::{Batch, Closed},
    reader::{COLUMNS, whole},
    row::{self, OpenRow, int},
};
use crate::{
    clock::UnixTime,
    store::counters::{Charged, CounterId},
    types::{NanoUsd, Usage},
};

/// Receipts that are deleted in one transaction: some milliseconds' work.
const SWEEP: i64 = 1_000;

/// How long the end of the process waits for somebody who reads.
const READER: Duration = Duration::from_millis(500);

/// Balances are kept for so long after their period.
const OVER: Duration = Duration::from_secs(24 * 3_600);

/// Balances of sessions, whose budgets have no end, are kept for so long after their last request. One that is
/// taken up again later begins anew.
const SESSION: Duration = Duration::from_secs(30 * 24 * 3_600);

const BALANCE: &str = "INSERT INTO balances (counter, until, amount, changed) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (counter) DO UPDATE SET changed = excluded.changed, amount = CASE \
    WHEN amount > 9223372036854775807 - excluded.amount THEN 9223372036854775807 \
    ELSE amount + excluded.amount END";

const OPEN: &str = "INSERT OR REPLACE INTO open_requests (id, at, caller, key, organisation, team, tags, \
    session, parent, model, input, cached_read, write_5m, write_1h, output, charge, billed, reserved) \
    VALUES (:id, :at, :caller, :key, :organisation, :team, :tags, :session, :parent, :model, :input, \
    :cached_read, :write_5m, :write_1h, :output, :charge, :billed, :reserved)";

const RENEW: &str = "UPDATE open_requests SET input = :input, cached_read = :cached_read, \
    write_5m = :write_5m, write_1h = :write_1h, output = :output, charge = :charge, billed = :billed, \
    reserved = :reserved WHERE id = :id";

const FEEDBACK: &str = "INSERT INTO feedback (request, at, caller, score, label) \
    SELECT id, ?2, ?3, ?4, ?5 FROM receipts WHERE id = ?1 AND organisation = ?6";

type Sums = HashMap<CounterId, (i64, u64), ahash::RandomState>;

/// What a committed batch came to.
pub(super) struct Written {
    pub(super) receipts: u64,
    pub(super) last_seq: Option<u64>,
    /// Which feedback found its receipt, in order.
    pub(super) known: Vec<bool>,
}

/// Writes a batch, or nothing of it.
pub(super) fn write(db: &mut Connection, batch: &Batch, now: UnixTime) -> rusqlite::Result<Written> {
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut sums = Sums::default();
    let (receipts, last_seq) = close_all(&step, &batch.closes, &mut sums)?;
    add(&step, &sums, now)?;
    let mut open = step.prepare_cached(OPEN)?;
    for row in batch.opens.values() {
        insert_open(&mut open, row)?;
    }
    drop(open);
    for (id, renewal) in &batch.renewals {
        let (usage, cost) = (&renewal.estimate, |cost: Option<NanoUsd>| cost.map(|cost| int(cost.0)));
        step.prepare_cached(RENEW)?.execute(named_params! {
            ":id": id.to_string(),
            ":input": int(usage.input),
            ":cached_read": int(usage.cached_read),
            ":write_5m": int(usage.write_5m),
            ":write_1h": int(usage.write_1h),
            ":output": int(usage.output),
            ":charge": cost(renewal.charge),
            ":billed": cost(renewal.billed),
            ":reserved": row::charges_text(&renewal.reserved),
        })?;
    }
    let mut known = Vec::with_capacity(batch.feedback.len());
    for (feedback, _) in &batch.feedback {
        let at = int(feedback.at.as_millis());
        let (request, whose) = (&feedback.request, feedback.organisation.as_str());
        let said = params![request, at, feedback.caller.as_str(), feedback.score, feedback.label, whose];
        known.push(step.prepare_cached(FEEDBACK)?.execute(said)? > 0);
    }
    if let Some(up_to) = batch.shipped {
        let raise = "UPDATE meta SET value = max(value, ?1) WHERE name = 'shipped'";
        step.execute(raise, [int(up_to)])?;
    }
    step.commit()?;
    Ok(Written { receipts, last_seq, known })
}

fn close_all(
    step: &Transaction<'_>,
    closes: &[Closed],
    sums: &mut Sums,
) -> rusqlite::Result<(u64, Option<u64>)> {
    let (mut receipts, mut last_seq) = (0, None);
    let mut insert = step.prepare_cached(&insert_sql())?;
    let mut gone = step.prepare_cached("DELETE FROM open_requests WHERE id = ?1")?;
    for closed in closes {
        if insert_row(&mut insert, &closed.row)? {
            sum(sums, &closed.charged);
            receipts += 1;
            last_seq = Some(whole(step.last_insert_rowid()));
        }
        if closed.opened {
            gone.execute([&closed.row.id])?;
        }
    }
    Ok((receipts, last_seq))
}

fn sum(sums: &mut Sums, charged: &[Charged]) {
    for one in charged {
        let amount = row::bounded(one.amount);
        let sum = sums.entry(one.id.clone()).or_insert((row::until(one.until), 0));
        sum.1 = sum.1.saturating_add(amount);
    }
}

fn add(step: &Transaction<'_>, sums: &Sums, now: UnixTime) -> rusqlite::Result<()> {
    let mut balance = step.prepare_cached(BALANCE)?;
    for (id, (until, amount)) in sums {
        balance.execute(params![id.0.as_ref(), until, row::wide(*amount), int(now.as_millis())])?;
    }
    Ok(())
}

/// Every column but `seq`, which SQLite gives.
fn insert_sql() -> String {
    let columns = COLUMNS.strip_prefix("seq, ").unwrap_or(COLUMNS);
    let marks = vec!["?"; columns.split(',').count()].join(", ");
    format!("INSERT OR IGNORE INTO receipts ({columns}) VALUES ({marks})")
}

/// Whether the row is new.
fn insert_row(insert: &mut Statement<'_>, row: &Row) -> rusqlite::Result<bool> {
    let maybe = |figure: Option<u64>| figure.map(int);
    let changed = insert.execute(params![
        row.id,
        int(row.at),
        row.caller,
        row.key,
        row.organisation,
        row.team,
        row.tags,
        row.session,
        row.parent,
        row.id_source,
        row.dialect,
        row.operation,
        row.streamed,
        row.model,
        row.upstream_model,
        row.served_model,
        row.tier,
        row.endpoint,
        row.provider,
        row.region,
        row.affinity,
        row.affinity_reason,
        row.attempts,
        int(row.ambiguous),
        row.status,
        row.outcome,
        row.reason,
        row.blame,
        int(row.input),
        int(row.cached_read),
        int(row.write_5m),
        int(row.write_1h),
        int(row.output),
        int(row.reasoning),
        maybe(row.expected_read),
        row.predicted,
        row.cache_break,
        maybe(row.break_tokens),
        maybe(row.break_cost),
        row.care,
        maybe(row.charge),
        maybe(row.billed),
        row.charged,
        row.estimated,
        row.crashed,
        row.keep_alive,
        row.over_soft_budget,
        row.overshoot,
        int(row.request_bytes),
        int(row.response_bytes),
        int(row.total_us),
        maybe(row.first_byte_us),
        maybe(row.first_token_us),
        int(row.upload_us),
        int(row.waited_us),
        int(row.overhead_us),
        row.provider_dialect,
    ])?;
    Ok(changed > 0)
}

fn insert_open(open: &mut Statement<'_>, row: &OpenRow) -> rusqlite::Result<()> {
    let usage = &row.estimate;
    open.execute(named_params! {
        ":id": row.id,
        ":at": int(row.at),
        ":caller": row.caller,
        ":key": row.key,
        ":organisation": row.organisation,
        ":team": row.team,
        ":tags": row.tags,
        ":session": row.session,
        ":parent": row.parent,
        ":model": row.model,
        ":input": int(usage.input),
        ":cached_read": int(usage.cached_read),
        ":write_5m": int(usage.write_5m),
        ":write_1h": int(usage.write_1h),
        ":output": int(usage.output),
        ":charge": row.charge.map(int),
        ":billed": row.billed.map(int),
        ":reserved": row.reserved,
    })
    .map(|_| ())
}

fn read_open(sql: &SqlRow<'_>) -> rusqlite::Result<OpenRow> {
    let figure = |name: &str| sql.get::<_, i64>(name).map(whole);
    let money = |name: &str| sql.get::<_, Option<i64>>(name).map(|cost| cost.map(whole));
    Ok(OpenRow {
        id: sql.get("id")?,
        at: figure("at")?,
        caller: sql.get("caller")?,
        key: sql.get("key")?,
        organisation: sql.get("organisation")?,
        team: sql.get("team")?,
        tags: sql.get("tags")?,
        session: sql.get("session")?,
        parent: sql.get("parent")?,
        model: sql.get("model")?,
        estimate: Usage {
            input: figure("input")?,
            cached_read: figure("cached_read")?,
            write_5m: figure("write_5m")?,
            write_1h: figure("write_1h")?,
            output: figure("output")?,
            reasoning: 0,
        },
        charge: money("charge")?,
        billed: money("billed")?,
        reserved: sql.get("reserved")?,
    })
}

/// Requests that were under way when the process before this one ended.
pub(super) fn left_open(db: &Connection) -> rusqlite::Result<Vec<OpenRow>> {
    let mut ask = db.prepare("SELECT * FROM open_requests ORDER BY id")?;
    let rows = ask.query_map([], read_open)?;
    rows.collect()
}

/// Closes what was left open as receipts at their estimate: all of them, or none.
pub(super) fn recover(db: &mut Connection, now: UnixTime) -> rusqlite::Result<()> {
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let closes: Vec<Closed> = left_open(&step)?
        .iter()
        .map(|open| {
            let row = Row::crashed(open);
            Closed { charged: row.charges(), row, opened: true }
        })
        .collect();
    let mut sums = Sums::default();
    close_all(&step, &closes, &mut sums)?;
    add(&step, &sums, now)?;
    step.commit()
}

/// Deletes some of the receipts that came before `before` (milliseconds) and have a number up to `up_to`,
/// with their feedback; whether there may be more.
pub(super) fn sweep(db: &mut Connection, before: u64, up_to: u64) -> rusqlite::Result<bool> {
    const OLD: &str = "SELECT seq FROM receipts WHERE at < ?1 AND seq <= ?2 ORDER BY at LIMIT ?3";
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let which = params![int(before), int(up_to), SWEEP];
    let feedback =
        format!("DELETE FROM feedback WHERE request IN (SELECT id FROM receipts WHERE seq IN ({OLD}))");
    step.prepare_cached(&feedback)?.execute(which)?;
    let gone = step.prepare_cached(&format!("DELETE FROM receipts WHERE seq IN ({OLD})"))?.execute(which)?;
    step.commit()?;
    Ok(i64::try_from(gone).is_ok_and(|gone| gone >= SWEEP))
}

/// Deletes balances of periods that are over for a day, and of sessions that rest for thirty.
pub(super) fn sweep_balances(db: &Connection, now: UnixTime) -> rusqlite::Result<()> {
    const OLD: &str = "DELETE FROM balances WHERE until < ?1 \
        OR (changed < ?2 AND counter >= 'b/session:' AND counter < 'b/session;')";
    let over = row::wide(now.0.saturating_sub(OVER).as_secs());
    let resting = int(UnixTime(now.0.saturating_sub(SESSION)).as_millis());
    db.prepare_cached(OLD)?.execute([over, resting]).map(|_| ())
}

/// Everything up to now is on the disk itself, and the file stands alone unless somebody reads it just now.
pub(super) fn settle(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(READER)?;
    db.pragma_update(None, "synchronous", "full")?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The last receipt's number, and up to which they were copied elsewhere.
pub(super) fn numbers(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let last = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'receipts'), 0)";
    let last: i64 = db.query_row(last, [], |row| row.get(0))?;
    let shipped = "SELECT coalesce((SELECT value FROM meta WHERE name = 'shipped'), 0)";
    let shipped: i64 = db.query_row(shipped, [], |row| row.get(0))?;
    Ok((whole(last), whole(shipped)))
}
