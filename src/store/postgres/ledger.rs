//! The ledger of all gateways.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{Database, PostgresFault};
use crate::{
    clock::UnixTime,
    store::{
        counters::{Charged, CounterId},
        ledger::Row,
    },
};

/// What a row is in JSON, column by column.
const SHAPE: &str = "id text, at bigint, caller text, key text, organisation text, team text, tags text, \
    session text, parent text, id_source text, dialect text, operation text, streamed boolean, model text, \
    upstream_model text, served_model text, tier text, endpoint text, provider text, region text, \
    affinity text, affinity_reason text, attempts text, ambiguous bigint, status integer, outcome text, \
    reason text, blame text, input bigint, cached_read bigint, write_5m bigint, write_1h bigint, \
    output bigint, reasoning bigint, expected_read bigint, predicted boolean, cache_break text, \
    break_tokens bigint, break_cost bigint, care text, charge bigint, billed bigint, charged text, \
    estimated boolean, crashed boolean, keep_alive boolean, over_soft_budget boolean, overshoot boolean, \
    request_bytes bigint, response_bytes bigint, total_us bigint, first_byte_us bigint, \
    first_token_us bigint, upload_us bigint, waited_us bigint, overhead_us bigint, provider_dialect text";

/// Balances are read again that changed so long before the last that was seen: a step that began earlier
/// may become visible later, but none lasts longer.
const OVERLAP: Duration = Duration::from_secs(30);

/// See the module's description.
#[derive(Clone)]
pub struct PostgresLedger {
    database: Arc<Database>,
    insert: Arc<str>,
}

impl PostgresLedger {
    /// Over this connection.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database, insert: insert().into() }
    }

    /// Since when Postgres could not be reached, and why.
    #[must_use]
    pub fn away(&self) -> Option<(crate::clock::Moment, String)> {
        self.database.away()
    }

    /// Adds receipts, and to balances what those charged that were not there yet, in one step. Returns how
    /// many were new.
    ///
    /// # Errors
    ///
    /// Postgres is out of reach (they may have been added), or refused them (none was).
    pub async fn add(&self, rows: &[Row]) -> Result<u64, PostgresFault> {
        let text = texts(rows)?;
        let asked = self.database.ask(async |client| {
            let insert = client.prepare(&self.insert).await?;
            client.query_one(&insert, &[&text]).await
        });
        Ok(u64::try_from(asked.await?.get::<_, i64>(0)).unwrap_or(0))
    }

    /// What was spent of budgets whose period is not over at `now`: those that changed since `since`, with
    /// some that did not, or all. Returns what to ask with next.
    ///
    /// # Errors
    ///
    /// Postgres is out of reach.
    pub async fn balances(
        &self,
        now: UnixTime,
        since: Option<UnixTime>,
    ) -> Result<(Vec<Charged>, Option<UnixTime>), PostgresFault> {
        const ASK: &str = "SELECT counter, until, amount, \
            (extract(epoch FROM max(changed) OVER ()) * 1000)::bigint FROM balances \
            WHERE until > $1 AND changed >= to_timestamp($2::float8)";
        let whole = i64::try_from(now.0.as_secs()).unwrap_or(i64::MAX);
        let from = since.map_or(0.0, |since| since.0.saturating_sub(OVERLAP).as_secs_f64());
        let asked = self.database.ask(async |client| client.query(ASK, &[&whole, &from]).await);
        let rows = asked.await?;
        let latest = rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(3)).ok());
        let latest = latest.map(|millis| UnixTime(Duration::from_millis(millis)));
        let balances = rows.iter().map(|row| {
            let until = row.get::<_, i64>(1);
            // The largest integer stands for all time.
            let until = if until == i64::MAX { u64::MAX } else { u64::try_from(until).unwrap_or(0) };
            Charged {
                id: CounterId(row.get::<_, String>(0).into()),
                until: UnixTime(Duration::from_secs(until)),
                amount: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
            }
        });
        Ok((balances.collect(), latest.or(since)))
    }
}

/// New receipts, and what they charged, in one statement. Counters in the order of their names, so that two
/// gateways that charge the same ones wait for each other and not in a circle.
fn insert() -> String {
    let columns: Vec<_> = SHAPE.split(", ").filter_map(|one| one.split(' ').next()).collect();
    let values: Vec<_> = columns
        .iter()
        .map(|&column| match column {
            "tags" | "attempts" | "charged" => format!("{column}::jsonb"),
            _ => column.to_owned(),
        })
        .collect();
    format!(
        "WITH new AS (INSERT INTO receipts ({}) SELECT {} FROM json_to_recordset($1::text::json) AS r ({SHAPE}) \
         ON CONFLICT (id) DO NOTHING RETURNING charged), \
         sums AS (SELECT one->>0 AS counter, max((one->>1)::bigint) AS until, sum((one->>2)::numeric) AS amount \
         FROM new, jsonb_array_elements(charged) AS one GROUP BY 1 ORDER BY 1), \
         added AS (INSERT INTO balances (counter, until, amount, changed) \
         SELECT counter, until, least(amount, 9223372036854775807)::bigint, clock_timestamp() FROM sums \
         ORDER BY counter ON CONFLICT (counter) DO UPDATE SET \
         amount = least(balances.amount::numeric + excluded.amount, 9223372036854775807)::bigint, \
         until = greatest(balances.until, excluded.until), changed = clock_timestamp()) \
         SELECT count(*) FROM new",
        columns.join(", "),
        values.join(", ")
    )
}

/// Rows as one text. Postgres holds no zero characters: a provider that sends one as its model's name must
/// not keep a receipt from being copied.
fn texts(rows: &[Row]) -> Result<String, PostgresFault> {
    let odd = |error: serde_json::Error| PostgresFault::Refused(error.to_string());
    let text = serde_json::to_string(rows).map_err(odd)?;
    if !text.contains("u0000") {
        return Ok(text);
    }
    let mut values: Value = serde_json::from_str(&text).map_err(odd)?;
    without_zeros(&mut values);
    serde_json::to_string(&values).map_err(odd)
}

fn without_zeros(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}").replace("\\u0000", "\\ufffd"),
        Value::Array(values) => values.iter_mut().for_each(without_zeros),
        Value::Object(fields) => fields.values_mut().for_each(without_zeros),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
