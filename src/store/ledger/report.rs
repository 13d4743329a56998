//! Reading a ledger's file from outside, also while a gateway writes it: pages of receipts, and bills.
//!
//! Every question is short: a reader that holds on keeps the gateway from folding its log into the file.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, InterruptHandle, OptionalExtension as _, Row as SqlRow, params};

use super::{
    LedgerFault, Row,
    reader::{COLUMNS, read, whole},
    row::{int, wide},
};
use crate::{clock::UnixTime, store::sqlite};

/// Receipts of some time: from the first to before the second.
pub type Between = (UnixTime, UnixTime);

/// What a bill is broken down by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The organisation.
    Organisation,
    /// The team.
    Team,
    /// The key.
    Key,
    /// Each tag: a request counts once for each that it has.
    Tag,
    /// The model as the provider was asked for it.
    Model,
    /// The provider.
    Provider,
    /// Our account there.
    Endpoint,
    /// The conversation.
    Session,
    /// The day, in UTC.
    Day,
}

impl By {
    /// Every way, for tables and tests.
    pub const ALL: &[Self] = &[
        Self::Organisation,
        Self::Team,
        Self::Key,
        Self::Tag,
        Self::Model,
        Self::Provider,
        Self::Endpoint,
        Self::Session,
        Self::Day,
    ];

    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Team => "team",
            Self::Key => "key",
            Self::Tag => "tag",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Endpoint => "endpoint",
            Self::Session => "session",
            Self::Day => "day",
        }
    }
}

/// What was said of an answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rating {
    /// The average of what scores it was given.
    pub score: Option<f64>,
    /// The words it was given, as JSON.
    pub labels: String,
}

/// A line of a bill: sums over receipts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// Which; `None`: receipts that have none, such as those without a team.
    pub name: Option<String>,
    /// Receipts.
    pub requests: u64,
    /// Of those, such as ended well.
    pub ok: u64,
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cached_read: u64,
    /// Input tokens written to a cache, for whichever time.
    pub cache_write: u64,
    /// Output tokens.
    pub output: u64,
    /// Nano-dollars that it cost.
    pub charge: u64,
    /// Nano-dollars that callers are billed.
    pub billed: u64,
    /// Receipts with tokens and without a known price: the sums lack them.
    pub unpriced: u64,
    /// Receipts whose tokens are our estimate.
    pub estimated: u64,
}

impl Line {
    /// The part of the input that was read from a cache, 0 to 1; `None` without input.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn hit_rate(&self) -> Option<f64> {
        let all = self.input + self.cached_read + self.cache_write;
        (all > 0).then(|| self.cached_read as f64 / all as f64)
    }
}

/// Breaks off the question that a [`LedgerFile`] is at.
pub struct Interrupter(InterruptHandle);

impl Interrupter {
    /// Breaks it off; does nothing where there is none.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

/// A ledger that is only read.
#[derive(Debug)]
pub struct LedgerFile {
    pub(super) db: Connection,
    name: String,
}

impl LedgerFile {
    /// Opens it for reading; needs no lock.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not understood.
    pub fn open(file: &Path) -> Result<Self, LedgerFault> {
        Ok(Self { db: sqlite::read_only(file)?, name: file.display().to_string() })
    }

    /// Ends a question that takes too long, from another thread: the asker is told so as a fault.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.db.get_interrupt_handle())
    }

    /// The number in front of the first receipt of that time, to begin [`Self::page`] with; `None` when there
    /// is no receipt.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn before_first(&self, (since, until): Between) -> Result<Option<u64>, LedgerFault> {
        let sql = "SELECT min(seq) FROM receipts WHERE at >= ?1 AND at < ?2";
        let first =
            self.db.query_row(sql, [int(since.as_millis()), wide(until.as_millis())], |row| row.get(0));
        let first: Option<i64> = first.optional().map_err(|error| self.fault(&error))?.flatten();
        Ok(first.map(|first| whole(first).saturating_sub(1)))
    }

    /// The next `n` receipts of that time after the one with this number, in the order of writing.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn page(&self, after: u64, between: Between, n: u32) -> Result<Vec<Row>, LedgerFault> {
        // The plus keeps SQLite from sorting all of that time for each page.
        let sql = format!(
            "SELECT {COLUMNS} FROM receipts WHERE seq > ?1 AND +at >= ?2 AND +at < ?3 ORDER BY seq LIMIT ?4"
        );
        let ask = || {
            let mut ask = self.db.prepare_cached(&sql)?;
            let time = (int(between.0.as_millis()), wide(between.1.as_millis()));
            let rows = ask.query_map(params![wide(after), time.0, time.1, n], read)?;
            rows.collect::<rusqlite::Result<_>>()
        };
        ask().map_err(|error| self.fault(&error))
    }

    /// What was said of the answers with these numbers, first and last included, by the request's id.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn feedback(&self, first: u64, last: u64) -> Result<HashMap<String, Rating>, LedgerFault> {
        const SQL: &str = "SELECT request, avg(score), json_group_array(label) FILTER (WHERE label IS NOT NULL) \
            FROM feedback WHERE request IN (SELECT id FROM receipts WHERE seq BETWEEN ?1 AND ?2) GROUP BY request";
        let ask = || {
            let mut ask = self.db.prepare_cached(SQL)?;
            let rows = ask.query_map([wide(first), wide(last)], |sql| {
                Ok((sql.get(0)?, Rating { score: sql.get(1)?, labels: sql.get(2)? }))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        ask().map_err(|error| self.fault(&error))
    }

    /// The bill of that time: its `most` dearest lines (days: the latest, in their order), and the sum of all
    /// receipts.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a sum is beyond all reason.
    pub fn report(&self, by: By, between: Between, most: u32) -> Result<(Vec<Line>, Line), LedgerFault> {
        let (name, from, order) = group(by);
        let lines = format!(
            "SELECT {name} AS name, {SUMS} FROM {from} WHERE at >= ?1 AND at < ?2 \
             GROUP BY name ORDER BY {order} LIMIT ?3"
        );
        let total = format!("SELECT NULL AS name, {SUMS} FROM receipts WHERE at >= ?1 AND at < ?2");
        let ask = || {
            let (since, until) = (int(between.0.as_millis()), wide(between.1.as_millis()));
            // Both of one moment, so that the lines and their sum agree.
            let moment = self.db.unchecked_transaction()?;
            let mut ask = moment.prepare(&lines)?;
            let rows = ask.query_map(params![since, until, most], line)?;
            let mut rows: Vec<Line> = rows.collect::<Result<_, _>>()?;
            if by == By::Day {
                rows.reverse();
            }
            Ok((rows, moment.query_row(&total, [since, until], line)?))
        };
        ask().map_err(|error: rusqlite::Error| self.fault(&error))
    }

    pub(super) fn fault(&self, error: &rusqlite::Error) -> LedgerFault {
        sqlite::fault(Path::new(&self.name), error)
    }
}

const SUMS: &str = "count(*), coalesce(sum(outcome = 'ok'), 0), coalesce(sum(input), 0), \
    coalesce(sum(cached_read), 0), coalesce(sum(write_5m + write_1h), 0), coalesce(sum(output), 0), \
    coalesce(sum(charge), 0) AS cost, coalesce(sum(billed), 0), \
    coalesce(sum(charge IS NULL AND input + cached_read + write_5m + write_1h + output > 0), 0), \
    coalesce(sum(estimated), 0)";

fn line(sql: &SqlRow<'_>) -> rusqlite::Result<Line> {
    let figure = |at: usize| sql.get::<_, i64>(at).map(whole);
    Ok(Line {
        name: sql.get(0)?,
        requests: figure(1)?,
        ok: figure(2)?,
        input: figure(3)?,
        cached_read: figure(4)?,
        cache_write: figure(5)?,
        output: figure(6)?,
        charge: figure(7)?,
        billed: figure(8)?,
        unpriced: figure(9)?,
        estimated: figure(10)?,
    })
}

/// A key as people know it, with its id where that is another word.
const KEY: &str = "CASE WHEN key IS NULL OR key = caller THEN key ELSE caller || ' (' || key || ')' END";

/// The name of a line, where it is read from, and the order of lines.
const fn group(by: By) -> (&'static str, &'static str, &'static str) {
    const RECEIPTS: &str = "receipts";
    const DEAREST: &str = "cost DESC, count(*) DESC, name";
    match by {
        By::Organisation => ("organisation", RECEIPTS, DEAREST),
        By::Team => ("organisation || '/' || team", RECEIPTS, DEAREST),
        By::Key => (KEY, RECEIPTS, DEAREST),
        By::Tag => {
            let tags = "receipts LEFT JOIN json_each(receipts.tags) AS tag";
            ("tag.value", tags, DEAREST)
        }
        By::Model => ("coalesce(upstream_model, model)", RECEIPTS, DEAREST),
        By::Provider => ("provider", RECEIPTS, DEAREST),
        By::Endpoint => ("endpoint", RECEIPTS, DEAREST),
        By::Session => ("session", RECEIPTS, DEAREST),
        By::Day => ("strftime('%Y-%m-%d', at / 1000, 'unixepoch')", RECEIPTS, "name DESC"),
    }
}
