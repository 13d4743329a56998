//! Questions to the ledger, answered from the file by a connection of their own.
//!
//! They see what is committed. They block on the disk: call them from a thread that may.

use rusqlite::{Connection, Row as SqlRow, params};

use super::{Ledger, LedgerFault, Row, row};
use crate::{
    clock::UnixTime,
    store::{counters::Charged, sqlite},
    types::{Scope, Unit},
};

/// The columns of `receipts` in the order of [`Row`]'s fields.
pub(super) const COLUMNS: &str = "seq, id, at, caller, key, organisation, team, tags, session, parent, \
    id_source, dialect, operation, streamed, model, upstream_model, served_model, tier, endpoint, provider, \
    region, affinity, affinity_reason, attempts, ambiguous, status, outcome, reason, blame, input, \
    cached_read, write_5m, write_1h, output, reasoning, expected_read, predicted, cache_break, \
    break_tokens, break_cost, care, charge, billed, charged, estimated, crashed, keep_alive, \
    over_soft_budget, overshoot, request_bytes, response_bytes, total_us, first_byte_us, first_token_us, \
    upload_us, waited_us, overhead_us, provider_dialect";

/// An integer of the file, which are signed; none that we write is negative.
pub(super) fn whole(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn maybe(value: Option<i64>) -> Option<u64> {
    value.map(whole)
}

/// Reads the columns of [`COLUMNS`].
pub(super) fn read(sql: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let mut at = 0;
    let mut next = || {
        at += 1;
        at - 1
    };
    // Fields are evaluated in the order in which they are written.
    Ok(Row {
        seq: whole(sql.get(next())?),
        id: sql.get(next())?,
        at: whole(sql.get(next())?),
        caller: sql.get(next())?,
        key: sql.get(next())?,
        organisation: sql.get(next())?,
        team: sql.get(next())?,
        tags: sql.get(next())?,
        session: sql.get(next())?,
        parent: sql.get(next())?,
        id_source: sql.get(next())?,
        dialect: sql.get(next())?,
        operation: sql.get(next())?,
        streamed: sql.get(next())?,
        model: sql.get(next())?,
        upstream_model: sql.get(next())?,
        served_model: sql.get(next())?,
        tier: sql.get(next())?,
        endpoint: sql.get(next())?,
        provider: sql.get(next())?,
        region: sql.get(next())?,
        affinity: sql.get(next())?,
        affinity_reason: sql.get(next())?,
        attempts: sql.get(next())?,
        ambiguous: whole(sql.get(next())?),
        status: sql.get(next())?,
        outcome: sql.get(next())?,
        reason: sql.get(next())?,
        blame: sql.get(next())?,
        input: whole(sql.get(next())?),
        cached_read: whole(sql.get(next())?),
        write_5m: whole(sql.get(next())?),
        write_1h: whole(sql.get(next())?),
        output: whole(sql.get(next())?),
        reasoning: whole(sql.get(next())?),
        expected_read: maybe(sql.get(next())?),
        predicted: sql.get(next())?,
        cache_break: sql.get(next())?,
        break_tokens: maybe(sql.get(next())?),
        break_cost: maybe(sql.get(next())?),
        care: sql.get(next())?,
        charge: maybe(sql.get(next())?),
        billed: maybe(sql.get(next())?),
        charged: sql.get(next())?,
        estimated: sql.get(next())?,
        crashed: sql.get(next())?,
        keep_alive: sql.get(next())?,
        over_soft_budget: sql.get(next())?,
        overshoot: sql.get(next())?,
        request_bytes: whole(sql.get(next())?),
        response_bytes: whole(sql.get(next())?),
        total_us: whole(sql.get(next())?),
        first_byte_us: maybe(sql.get(next())?),
        first_token_us: maybe(sql.get(next())?),
        upload_us: whole(sql.get(next())?),
        waited_us: whole(sql.get(next())?),
        overhead_us: whole(sql.get(next())?),
        provider_dialect: sql.get(next())?,
    })
}

/// What was spent of budgets whose period is not over.
pub(super) fn balances(db: &Connection, now: UnixTime) -> rusqlite::Result<Vec<Charged>> {
    let mut ask = db.prepare("SELECT counter, until, amount FROM balances WHERE until > ?1")?;
    let now = i64::try_from(now.0.as_secs()).unwrap_or(i64::MAX);
    let rows = ask.query_map([now], |sql| Ok(row::charged(sql.get(0)?, sql.get(1)?, whole(sql.get(2)?))))?;
    rows.collect()
}

impl Ledger {
    /// The next `n` receipts after the one with this number, in the order of writing: for copying them
    /// elsewhere. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn next_batch(&self, after: u64, n: usize) -> Result<Vec<Row>, LedgerFault> {
        let sql = format!("SELECT {COLUMNS} FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.ask(|db| {
            let mut ask = db.prepare_cached(&sql)?;
            let rows = ask.query_map(params![row::int(after), n], read)?;
            rows.collect()
        })
    }

    /// What was spent of budgets whose period is not over at `now`. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn balances(&self, now: UnixTime) -> Result<Vec<Charged>, LedgerFault> {
        self.ask(|db| balances(db, now))
    }

    /// What receipts since then came to: so that a budget that is added at noon knows the morning. Those of
    /// callers count as billed, those of providers, endpoints as charged; pings that keep a prompt warm
    /// are nobody's but the provider's. Walks all receipts since then (about a million a second): for a
    /// budget that is new, not for a request. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn spent(&self, scope: &Scope, unit: Unit, since: UnixTime) -> Result<u64, LedgerFault> {
        let (of, upstream, names) = condition(scope);
        let what = match (unit, upstream) {
            (Unit::Usd, true) => "charge",
            (Unit::Usd, false) => "billed",
            (Unit::Tokens, _) => "input + cached_read + write_5m + write_1h + output",
        };
        let whose = if upstream { "" } else { " AND keep_alive = 0" };
        let sql = format!("SELECT coalesce(sum({what}), 0) FROM receipts WHERE at >= ?1 AND {of}{whose}");
        let since = row::int(since.as_millis());
        self.ask(|db| {
            let mut ask = db.prepare(&sql)?;
            let mut all: Vec<&dyn rusqlite::ToSql> = vec![&since];
            all.extend(names.iter().map(|name| -> &dyn rusqlite::ToSql { name }));
            ask.query_row(all.as_slice(), |sql| Ok(whole(sql.get(0)?)))
        })
    }

    /// Runs a question on the reading connection.
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerFault> {
        let file = &self.handle.shared.params.file;
        let mut reader = self.handle.shared.reader.lock();
        let db = match reader.take() {
            Some(db) => db,
            None => sqlite::read_only(file)?,
        };
        let answer = question(&db).map_err(|error| sqlite::fault(file, &error))?;
        // One that failed is opened anew.
        *reader = Some(db);
        Ok(answer)
    }
}

/// Which receipts are a scope's; whether it is one of ours upstream; the names in the condition.
fn condition(scope: &Scope) -> (&'static str, bool, Vec<String>) {
    let one = |of, name: &str| (of, false, vec![name.to_owned()]);
    match scope {
        Scope::Organisation(name) => one("organisation = ?2", name.as_str()),
        Scope::Team(organisation, team) => (
            "organisation = ?2 AND team = ?3",
            false,
            vec![organisation.as_str().to_owned(), team.as_str().to_owned()],
        ),
        Scope::Key(id) => one("key = ?2", id.as_str()),
        Scope::Session(session) => one("session = ?2", &row::session_text(*session)),
        Scope::Tag(tag) => one("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?2)", tag.as_str()),
        Scope::Model(name) => one("model = ?2", name.as_str()),
        Scope::Provider(name) => ("provider = ?2", true, vec![name.as_str().to_owned()]),
        Scope::Endpoint(name) => ("endpoint = ?2", true, vec![name.as_str().to_owned()]),
    }
}
