//! The last requests, one row each: what the dashboard shows as they come.
//!
//! Fed once a request, when it is settled; denied ones too, pings that keep prompts warm not. Bound:
//! [`ROWS`] rows of some 300 bytes in place; names are shared with the settings, not copied. Holds names,
//! hashes and figures only.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::{
    clock::UnixTime,
    types::{
        AffinityReason, AffinityResult, BreakCause, CallerName, Dialect, EndpointName, ModelName, NanoUsd,
        Outcome, Reason, Receipt, RequestId, SessionKey, TenantId, Usage,
    },
};

/// Rows kept.
pub const ROWS: usize = 2_000;

/// One request that is over. Written as the dashboard's `RequestRow`.
#[derive(Clone, Debug)]
pub struct TailRow {
    /// Its place among all of this process, from 1.
    pub seq: u64,
    id: RequestId,
    at: UnixTime,
    caller: CallerName,
    tenant: TenantId,
    model: Option<ModelName>,
    endpoint: Option<EndpointName>,
    session: Option<SessionKey>,
    parent: Option<SessionKey>,
    dialect: Option<Dialect>,
    status: u16,
    outcome: Outcome,
    reason: Option<Reason>,
    affinity: Option<(AffinityResult, AffinityReason)>,
    usage: Usage,
    charge: Option<NanoUsd>,
    estimated: bool,
    first_token: Option<Duration>,
    total: Duration,
    waited: Duration,
    attempts: u32,
    streamed: bool,
    cache_break: Option<BreakCause>,
}

impl TailRow {
    fn of(r: &Receipt, seq: u64) -> Self {
        Self {
            seq,
            id: r.id,
            at: r.at,
            caller: r.caller.clone(),
            tenant: r.tenant.clone(),
            model: r.model.clone(),
            endpoint: r.endpoint.clone(),
            session: r.session,
            parent: r.parent,
            dialect: r.dialect,
            status: r.status,
            outcome: r.outcome,
            reason: r.reason,
            affinity: r.affinity,
            usage: r.usage,
            charge: r.charge,
            estimated: r.estimated,
            first_token: r.timings.first_token,
            total: r.timings.total,
            waited: r.timings.waited,
            attempts: u32::try_from(r.attempts.len()).unwrap_or(u32::MAX),
            streamed: r.streamed,
            cache_break: r.cache_break.map(|broken| broken.cause),
        }
    }
}

/// A row as it is written.
#[derive(Serialize)]
struct RowView<'a> {
    seq: u64,
    id: String,
    at_unix: f64,
    caller: &'a str,
    tenant: &'a str,
    model: Option<&'a str>,
    endpoint: Option<&'a str>,
    session: Option<String>,
    parent: Option<String>,
    dialect: Option<&'static str>,
    status: u16,
    outcome: &'static str,
    reason: Option<&'static str>,
    affinity: Option<&'static str>,
    why: Option<&'static str>,
    input: u64,
    cached_read: u64,
    written: u64,
    output: u64,
    usd: Option<f64>,
    estimated: bool,
    ttft_ms: Option<f64>,
    total_ms: f64,
    waited_ms: f64,
    attempts: u32,
    streamed: bool,
    cache_break: Option<&'static str>,
}

impl Serialize for TailRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = |span: Duration| span.as_secs_f64() * 1e3;
        RowView {
            seq: self.seq,
            id: self.id.to_string(),
            at_unix: self.at.0.as_secs_f64(),
            caller: self.caller.as_str(),
            tenant: self.tenant.as_str(),
            model: self.model.as_ref().map(ModelName::as_str),
            endpoint: self.endpoint.as_ref().map(EndpointName::as_str),
            session: self.session.map(|session| session.to_string()),
            parent: self.parent.map(|parent| parent.to_string()),
            dialect: self.dialect.map(Dialect::label),
            status: self.status,
            outcome: self.outcome.label(),
            reason: self.reason.map(Reason::label),
            affinity: self.affinity.map(|(result, _)| result.label()),
            why: self.affinity.map(|(_, why)| why.label()),
            input: self.usage.input,
            cached_read: self.usage.cached_read,
            written: self.usage.write_5m.saturating_add(self.usage.write_1h),
            output: self.usage.output,
            usd: self.charge.map(NanoUsd::as_usd),
            estimated: self.estimated,
            ttft_ms: self.first_token.map(millis),
            total_ms: millis(self.total),
            waited_ms: millis(self.waited),
            attempts: self.attempts,
            streamed: self.streamed,
            cache_break: self.cache_break.map(BreakCause::label),
        }
        .serialize(serializer)
    }
}

/// Which rows are wanted: those that match everything that is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TailFilter {
    /// Of this caller.
    pub caller: Option<String>,
    /// For this model.
    pub model: Option<String>,
    /// Served there.
    pub endpoint: Option<String>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// Of the session with this short hash.
    pub session: Option<u64>,
}

impl TailFilter {
    fn takes(&self, row: &TailRow) -> bool {
        let is = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
        };
        let short = |key: SessionKey| (key.0 >> 64) as u64;
        is(&self.caller, Some(row.caller.as_str()))
            && is(&self.model, row.model.as_ref().map(ModelName::as_str))
            && is(&self.endpoint, row.endpoint.as_ref().map(EndpointName::as_str))
            && self.outcome.is_none_or(|outcome| row.outcome == outcome)
            && self.session.is_none_or(|session| row.session.map(short) == Some(session))
    }
}

/// Some rows, oldest first, and where to go on.
#[derive(Clone, Debug, Serialize)]
pub struct TailPage {
    /// What comes next has this number at least.
    pub next: u64,
    /// Rows that came since and are not here: gone already, or more than were asked for.
    pub missed: u64,
    /// The rows.
    pub rows: Vec<TailRow>,
}

/// The last requests.
pub struct Tail {
    rows: Mutex<Ring>,
}

struct Ring {
    next: u64,
    rows: VecDeque<TailRow>,
}

impl Default for Tail {
    fn default() -> Self {
        // All of it at once, so that no request pays for its growth.
        Self { rows: Mutex::new(Ring { next: 1, rows: VecDeque::with_capacity(ROWS) }) }
    }
}

impl Tail {
    /// A request is over. Allocates nothing.
    pub fn note(&self, receipt: &Receipt) {
        if receipt.care.keep_alive {
            return;
        }
        let row = TailRow::of(receipt, 0);
        let mut ring = self.rows.lock();
        let seq = ring.next;
        ring.next += 1;
        // Dropped after the lock.
        let _oldest = if ring.rows.len() >= ROWS { ring.rows.pop_front() } else { None };
        ring.rows.push_back(TailRow { seq, ..row });
        drop(ring);
    }

    /// The number that the next row will have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.rows.lock().next
    }

    /// The latest rows that match, `most` at most.
    #[must_use]
    pub fn latest(&self, filter: &TailFilter, most: usize) -> TailPage {
        TailPage { missed: 0, ..self.from(1, filter, most) }
    }

    /// The latest rows from number `from` on that match, `most` at most.
    #[must_use]
    pub fn from(&self, from: u64, filter: &TailFilter, most: usize) -> TailPage {
        let ring = self.rows.lock();
        let first = ring.rows.front().map_or(ring.next, |row| row.seq);
        let gone = first.saturating_sub(from);
        let new = ring.next.saturating_sub(from.max(first));
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        let mut matching = ring.rows.iter().rev().take(new).filter(|row| filter.takes(row));
        let mut rows: Vec<TailRow> = matching.by_ref().take(most).cloned().collect();
        let more = matching.count() as u64;
        let next = ring.next;
        drop(ring);
        rows.reverse();
        TailPage { next, missed: gone.saturating_add(more), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CareDone, Flags, IdSource, Timings};

    fn receipt(caller: &str, outcome: Outcome) -> Receipt {
        Receipt {
            id: RequestId::mint(),
            at: UnixTime(Duration::from_secs(5)),
            caller: caller.into(),
            key: None,
            tenant: "acme".into(),
            dialect: Some(Dialect::Anthropic),
            operation: None,
            model: Some("</script><b>".into()),
            upstream_model: None,
            served_model: None,
            provider_dialect: None,
            tier: None,
            streamed: true,
            session: Some(SessionKey(0xabc << 64)),
            parent: None,
            id_source: IdSource::None,
            endpoint: Some("a1".into()),
            provider: None,
            region: None,
            affinity: Some((AffinityResult::Moved, AffinityReason::Cheaper)),
            care: CareDone::default(),
            cache_break: None,
            thinking_made_at: None,
            attempts: Vec::new(),
            status: 200,
            outcome,
            reason: None,
            blame: None,
            usage: Usage { input: 1, cached_read: 2, write_5m: 3, write_1h: 4, output: 5, reasoning: 0 },
            estimated: false,
            expected_read: None,
            predicted: None,
            charge: Some(NanoUsd(1_500_000_000)),
            billed: None,
            flags: Flags::default(),
            request_bytes: 0,
            response_bytes: 0,
            timings: Timings { total: Duration::from_millis(250), ..Timings::default() },
        }
    }

    fn seqs(page: &TailPage) -> Vec<u64> {
        page.rows.iter().map(|row| row.seq).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_hears_what_it_missed() {
        let tail = Tail::default();
        let all = TailFilter::default();
        assert_eq!((tail.next(), tail.from(1, &all, 10).rows.len()), (1, 0));
        for _ in 0..5 {
            tail.note(&receipt("ann", Outcome::Ok));
        }
        let page = tail.from(4, &all, 10);
        assert_eq!((page.next, page.missed, seqs(&page)), (6, 0, vec![4, 5]));
        // The latest go first where there is no room for all.
        let page = tail.from(1, &all, 2);
        assert_eq!((page.next, page.missed, seqs(&page)), (6, 3, vec![4, 5]));
        for _ in 0..ROWS {
            tail.note(&receipt("ann", Outcome::Ok));
        }
        let page = tail.from(4, &all, 1);
        assert_eq!((page.next, page.missed), (2_006, 2 + 1_999), "4 and 5 are gone");
        assert_eq!(tail.latest(&all, usize::MAX).rows.len(), ROWS);
        assert_eq!(tail.latest(&all, 1).missed, 0);
        // Of the future: nothing, and nothing missed.
        let page = tail.from(u64::MAX, &all, 10);
        assert_eq!((page.next, page.missed, page.rows.len()), (2_006, 0, 0));
    }

    #[test]
    fn a_request_pays_for_no_allocation() {
        let (tail, receipt) = (Tail::default(), receipt("ann", Outcome::Ok));
        for _ in 0..=ROWS {
            let paid = allocation_counter::measure(|| tail.note(&receipt));
            assert_eq!(paid.count_total, 0);
        }
    }

    #[test]
    fn filters_are_exact_and_all_of_them_hold() {
        let tail = Tail::default();
        tail.note(&receipt("ann", Outcome::Ok));
        tail.note(&receipt("ann", Outcome::Denied));
        tail.note(&receipt("annabel", Outcome::Ok));
        let mut ping = receipt("ann", Outcome::Ok);
        ping.care.keep_alive = true;
        tail.note(&ping);
        let find = |filter: TailFilter| seqs(&tail.latest(&filter, 10));
        let ann = || TailFilter { caller: Some("ann".into()), ..TailFilter::default() };
        assert_eq!(find(ann()), [1, 2]);
        assert_eq!(find(TailFilter { outcome: Some(Outcome::Ok), ..ann() }), [1]);
        assert_eq!(find(TailFilter { session: Some(0xabc), ..TailFilter::default() }), [1, 2, 3]);
        assert_eq!(find(TailFilter { session: Some(0), ..TailFilter::default() }), [0_u64; 0]);
        assert_eq!(find(TailFilter { endpoint: Some("a".into()), ..ann() }), [0_u64; 0]);
    }

    #[test]
    fn a_row_is_written_with_every_member_and_hostile_names_stay_strings() {
        let tail = Tail::default();
        tail.note(&receipt("ann", Outcome::Ok));
        let row = serde_json::to_value(&tail.latest(&TailFilter::default(), 1).rows[0]).unwrap();
        assert_eq!(row["model"], "</script><b>");
        assert_eq!((&row["written"], &row["usd"]), (&serde_json::json!(7), &serde_json::json!(1.5)));
        assert_eq!((&row["affinity"], &row["why"]), (&"moved".into(), &"cheaper".into()));
        assert_eq!(row["session"], "0000000000000abc");
        assert_eq!((&row["ttft_ms"], &row["total_ms"]), (&serde_json::Value::Null, &250.0.into()));
        assert_eq!(row.as_object().unwrap().len(), 27);
    }
}
