//! A receipt as the ledger keeps it: plain values, one field a column of `receipts`.
//!
//! The invariant: every engine stores these values and nothing else, so that a copy equals its original.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OpenRecord;
use crate::{
    clock::UnixTime,
    store::counters::{Charged, CounterId},
    types::{AttemptRecord, Blame, IdSource, Outcome, Receipt, SessionKey, Tag, Usage},
};

/// A row of `receipts`; `sqlite/schema.sql` says what each column means.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented once, in schema.sql")]
pub struct Row {
    /// The order of writing, from 1; 0 for a row that was not written yet.
    pub seq: u64,
    pub id: String,
    /// Milliseconds since 1970.
    pub at: u64,
    pub caller: String,
    pub key: Option<String>,
    pub organisation: String,
    pub team: Option<String>,
    /// JSON.
    pub tags: String,
    pub session: Option<String>,
    pub parent: Option<String>,
    pub id_source: String,
    pub dialect: Option<String>,
    pub operation: Option<String>,
    pub streamed: bool,
    pub model: Option<String>,
    pub upstream_model: Option<String>,
    pub served_model: Option<String>,
    pub tier: Option<String>,
    pub endpoint: Option<String>,
    pub provider: Option<String>,
    pub region: Option<String>,
    pub affinity: Option<String>,
    pub affinity_reason: Option<String>,
    /// JSON.
    pub attempts: String,
    pub ambiguous: u64,
    pub status: u16,
    pub outcome: String,
    pub reason: Option<String>,
    pub blame: Option<String>,
    pub input: u64,
    pub cached_read: u64,
    pub write_5m: u64,
    pub write_1h: u64,
    pub output: u64,
    pub reasoning: u64,
    pub expected_read: Option<u64>,
    pub predicted: Option<bool>,
    pub cache_break: Option<String>,
    pub break_tokens: Option<u64>,
    pub break_cost: Option<u64>,
    pub care: Option<String>,
    /// Nano-dollars.
    pub charge: Option<u64>,
    /// Nano-dollars.
    pub billed: Option<u64>,
    /// JSON; [`Self::charges`] reads it.
    pub charged: String,
    pub estimated: bool,
    pub crashed: bool,
    pub keep_alive: bool,
    pub over_soft_budget: bool,
    pub overshoot: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub total_us: u64,
    pub first_byte_us: Option<u64>,
    pub first_token_us: Option<u64>,
    pub upload_us: u64,
    pub waited_us: u64,
    pub overhead_us: u64,
    pub provider_dialect: Option<String>,
}

impl Row {
    /// The row of a request that is over.
    #[must_use]
    pub fn of(r: &Receipt, charged: &[Charged]) -> Self {
        let key = r.key.as_deref();
        let text = |text: &str| text.to_owned();
        Self {
            seq: 0,
            caller: text(r.caller.as_str()),
            key: key.map(|key| text(key.id.as_str())),
            organisation: text(r.tenant.as_str()),
            team: key.and_then(|key| key.team.as_ref()).map(|team| text(team.as_str())),
            tags: tags(key.map_or(&[], |key| &key.tags)),
            session: r.session.map(session_text),
            parent: r.parent.map(session_text),
            id_source: text(r.id_source.label()),
            dialect: r.dialect.map(|dialect| text(dialect.label())),
            operation: r.operation.map(|operation| text(operation.path())),
            streamed: r.streamed,
            model: r.model.as_ref().map(|name| text(name.as_str())),
            upstream_model: r.upstream_model.as_ref().map(|name| text(name.as_str())),
            served_model: r.served_model.as_ref().map(|name| text(name.as_str())),
            tier: r.tier.as_deref().map(text),
            endpoint: r.endpoint.as_ref().map(|name| text(name.as_str())),
            provider: r.provider.as_ref().map(|name| text(name.as_str())),
            region: r.region.clone(),
            affinity: r.affinity.map(|(result, _)| text(result.label())),
            affinity_reason: r.affinity.map(|(_, reason)| text(reason.label())),
            attempts: attempts(&r.attempts),
            ambiguous: count(r.attempts.iter().filter(|attempt| attempt.ambiguous).count()),
            status: r.status,
            outcome: text(r.outcome.label()),
            reason: r.reason.map(|reason| text(reason.label())),
            blame: r.blame.map(|blame| text(blame.label())),
            expected_read: r.expected_read,
            predicted: r.predicted,
            cache_break: r.cache_break.map(|broken| text(broken.cause.label())),
            break_tokens: r.cache_break.map(|broken| broken.tokens),
            break_cost: r.cache_break.and_then(|broken| broken.cost).map(|cost| cost.0),
            care: r.care.any().then(|| r.care.to_string()),
            charge: r.charge.map(|charge| charge.0),
            billed: r.billed.map(|billed| billed.0),
            estimated: r.estimated,
            keep_alive: r.care.keep_alive,
            over_soft_budget: r.flags.over_soft_budget,
            overshoot: r.flags.overshoot,
            request_bytes: r.request_bytes,
            response_bytes: r.response_bytes,
            total_us: micros(r.timings.total),
            first_byte_us: r.timings.first_byte.map(micros),
            first_token_us: r.timings.first_token.map(micros),
            upload_us: micros(r.timings.upload),
            waited_us: micros(r.timings.waited),
            overhead_us: micros(r.timings.overhead),
            provider_dialect: r.provider_dialect.map(|dialect| text(dialect.label())),
            ..Self::bare(r.id.to_string(), r.at, &r.usage, charged)
        }
    }

    /// The row of a request that was under way when its gateway died: charged what was held for it.
    pub(super) fn crashed(open: &OpenRow) -> Self {
        Self {
            caller: open.caller.clone(),
            key: open.key.clone(),
            organisation: open.organisation.clone(),
            team: open.team.clone(),
            tags: open.tags.clone(),
            session: open.session.clone(),
            parent: open.parent.clone(),
            id_source: IdSource::None.label().to_owned(),
            model: open.model.clone(),
            outcome: Outcome::Crashed.label().to_owned(),
            blame: Some(Blame::Gateway.label().to_owned()),
            charge: open.charge,
            billed: open.billed,
            charged: open.reserved.clone(),
            estimated: true,
            crashed: true,
            ..Self::bare(open.id.clone(), UnixTime(Duration::from_millis(open.at)), &open.estimate, &[])
        }
    }

    fn bare(id: String, at: UnixTime, usage: &Usage, charged: &[Charged]) -> Self {
        Self {
            id,
            at: at.as_millis(),
            input: usage.input,
            cached_read: usage.cached_read,
            write_5m: usage.write_5m,
            write_1h: usage.write_1h,
            output: usage.output,
            reasoning: usage.reasoning,
            attempts: "[]".to_owned(),
            charged: charges_text(charged),
            ..Self::default()
        }
    }

    /// The names of the columns, in order: those of the fields.
    pub fn names() -> impl Iterator<Item = &'static str> {
        super::reader::COLUMNS.split(", ")
    }

    /// What budgets were charged.
    #[must_use]
    pub fn charges(&self) -> Vec<Charged> {
        charges(&self.charged)
    }
}

/// A row of `open_requests`.
#[derive(Clone, Debug)]
pub(super) struct OpenRow {
    pub(super) id: String,
    pub(super) at: u64,
    pub(super) caller: String,
    pub(super) key: Option<String>,
    pub(super) organisation: String,
    pub(super) team: Option<String>,
    pub(super) tags: String,
    pub(super) session: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) model: Option<String>,
    pub(super) estimate: Usage,
    pub(super) charge: Option<u64>,
    pub(super) billed: Option<u64>,
    pub(super) reserved: String,
}

impl OpenRow {
    pub(super) fn of(open: &OpenRecord) -> Self {
        Self {
            id: open.id.to_string(),
            at: open.at.as_millis(),
            caller: open.caller.as_str().to_owned(),
            key: open.key.as_ref().map(|key| key.as_str().to_owned()),
            organisation: open.organisation.as_str().to_owned(),
            team: open.team.as_ref().map(|team| team.as_str().to_owned()),
            tags: tags(&open.tags),
            session: open.session.map(session_text),
            parent: open.parent.map(session_text),
            model: open.model.as_ref().map(|model| model.as_str().to_owned()),
            estimate: open.estimate,
            charge: open.charge.map(|charge| charge.0),
            billed: open.billed.map(|billed| billed.0),
            reserved: charges_text(&open.reserved),
        }
    }
}

/// A conversation's key in full.
pub(super) fn session_text(session: SessionKey) -> String {
    format!("{:032x}", session.0)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "[]".to_owned())
}

fn tags(tags: &[Tag]) -> String {
    if tags.is_empty() {
        return "[]".to_owned();
    }
    json(&tags.iter().map(Tag::as_str).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct AttemptText<'a> {
    endpoint: &'a str,
    outcome: &'static str,
    status: Option<u16>,
    ambiguous: bool,
    ms: u64,
}

fn attempts(attempts: &[AttemptRecord]) -> String {
    let texts = attempts.iter().map(|attempt| AttemptText {
        endpoint: attempt.endpoint.as_str(),
        outcome: attempt.outcome.label(),
        status: attempt.status,
        ambiguous: attempt.ambiguous,
        ms: micros(attempt.spent) / 1_000,
    });
    json(&texts.collect::<Vec<_>>())
}

/// Charges as JSON: `[["b/...", until in seconds, amount]]`.
pub(super) fn charges_text(charged: &[Charged]) -> String {
    if charged.is_empty() {
        return "[]".to_owned();
    }
    let all = charged.iter().map(|one| (one.id.0.as_ref(), until(one.until), bounded(one.amount)));
    json(&all.collect::<Vec<_>>())
}

/// What [`charges_text`] wrote; what is no charge is left out.
pub(super) fn charges(text: &str) -> Vec<Charged> {
    if text == "[]" {
        return Vec::new();
    }
    let all: Vec<(String, i64, u64)> = serde_json::from_str(text).unwrap_or_default();
    all.into_iter().map(|(id, until, amount)| charged(id, until, amount)).collect()
}

/// A balance as the file has it.
pub(super) fn charged(id: String, until: i64, amount: u64) -> Charged {
    // The largest integer stands for all time.
    let until = if until == i64::MAX { u64::MAX } else { u64::try_from(until).unwrap_or(0) };
    Charged { id: CounterId(id.into()), until: UnixTime(Duration::from_secs(until)), amount }
}

/// The end of a period as the file has it.
pub(super) fn until(until: UnixTime) -> i64 {
    wide(until.0.as_secs())
}

/// The largest figure of a request that is written, 2^53 - 1. Larger ones are absurd (nine million dollars, a
/// provider that reports nonsense) and are cut: so sums stay integers, and every reader of JSON is exact.
const LARGEST: u64 = (1 << 53) - 1;

/// A figure of a request, cut to what is not absurd.
pub(super) fn bounded(figure: u64) -> u64 {
    figure.min(LARGEST)
}

/// A figure of a request as the file has it.
pub(super) fn int(figure: u64) -> i64 {
    wide(bounded(figure))
}

/// An integer as the file has it, which are signed.
pub(super) fn wide(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
