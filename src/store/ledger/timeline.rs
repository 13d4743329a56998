//! What became of requests over time, and the turns of one session: for people who look on.
//!
//! There is no index by session: it would cost every receipt a second place to be written to. The turns of a
//! session are looked for backwards from its last one, through so many receipts and no more.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::{
    LedgerFault, LedgerFile, Row,
    reader::{COLUMNS, read, whole},
    report::Between,
    row::{int, wide},
};
use crate::{clock::UnixTime, types::Counts};

/// Receipts that the turns of a session are looked for among: about half a second.
pub const TURNS_OF: u64 = 300_000;

/// What some span of time came to. Requests are callers'; money includes what keeps prompts warm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// Its first second, since 1970.
    pub at: u64,
    /// What was counted in it.
    pub counts: Counts,
}

// Each try in `attempts` that was rate limited makes it 24 characters shorter without its outcome.
const STEPS: &str = "SELECT at / ?3 AS step, sum(keep_alive = 0), \
    sum(keep_alive = 0 AND outcome NOT IN ('ok', 'cancelled')), \
    sum(iif(keep_alive, 0, (length(attempts) - length(replace(attempts, '\"outcome\":\"rate_limited\"', ''))) / 24)), \
    sum(iif(keep_alive, 0, input)), sum(iif(keep_alive, 0, cached_read)), \
    sum(iif(keep_alive, 0, write_5m + write_1h)), sum(iif(keep_alive, 0, output)), coalesce(sum(charge), 0) \
    FROM receipts WHERE at >= ?1 AND at < ?2 GROUP BY step ORDER BY step";

impl LedgerFile {
    /// What each step of that time came to, the first first; steps without a receipt are left out. Steps begin at
    /// multiples of their length.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a sum is beyond all reason.
    pub fn timeline(&self, (since, until): Between, step: Duration) -> Result<Vec<Step>, LedgerFault> {
        let seconds = step.as_secs().max(1);
        let ask = || {
            let mut ask = self.db.prepare(STEPS)?;
            let span = params![int(since.as_millis()), wide(until.as_millis()), wide(seconds * 1_000)];
            let rows = ask.query_map(span, |sql| {
                let figure = |at: usize| sql.get::<_, i64>(at).map(whole);
                let counts = Counts {
                    requests: figure(1)?,
                    failed: figure(2)?,
                    throttled: figure(3)?,
                    input: figure(4)?,
                    cached_read: figure(5)?,
                    written: figure(6)?,
                    output: figure(7)?,
                    nano_usd: figure(8)?,
                };
                Ok(Step { at: figure(0)? * seconds, counts })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        ask().map_err(|error| self.fault(&error))
    }

    /// The last `n` receipts of the session with this short hash, the latest first: of the last
    /// [`TURNS_OF`] receipts that came up to `until`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn turns(&self, session: u64, until: UnixTime, n: u32) -> Result<Vec<Row>, LedgerFault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM receipts WHERE seq <= ?1 AND seq > ?2 AND session >= ?3 AND session <= ?4 \
             ORDER BY seq DESC LIMIT ?5"
        );
        let ask = || {
            let last = "SELECT seq FROM receipts WHERE at <= ?1 ORDER BY at DESC LIMIT 1";
            let last = self.db.query_row(last, [wide(until.as_millis())], |row| row.get::<_, i64>(0));
            let Some(last) = last.optional()? else { return Ok(Vec::new()) };
            let first = last.saturating_sub(wide(TURNS_OF));
            // A key's 32 digits begin with the 16 that people see.
            let (low, high) = (format!("{session:016x}"), format!("{session:016x}g"));
            let mut ask = self.db.prepare(&sql)?;
            let rows = ask.query_map(params![last, first, low, high, n], read)?;
            rows.collect::<rusqlite::Result<_>>()
        };
        ask().map_err(|error| self.fault(&error))
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
