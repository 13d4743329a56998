//! What the tests of the ledger share.

use std::{path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{Ledger, LedgerParams, OpenRecord, Opened};
use crate::{
    clock::{self, UnixTime},
    store::counters::{Charged, CounterId},
    types::{
        AttemptOutcome, AttemptRecord, CareDone, Dialect, Flags, IdSource, KeyDigest, NanoUsd, Operation,
        Outcome, ProviderDialect, Receipt, RequestId, SessionKey, Timings, Usage, VirtualKey,
    },
};

/// A folder of its own, and the parameters of a ledger in it that commits soon.
pub(super) fn fresh() -> (TempDir, LedgerParams) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let params = at(&folder.path().join("ledger.db"));
    (folder, params)
}

pub(super) fn at(file: &Path) -> LedgerParams {
    LedgerParams { commit_every: Duration::from_millis(5), ..LedgerParams::of(file) }
}

pub(super) fn open(params: &LedgerParams) -> Opened {
    Ledger::open(params).expect("a ledger")
}

pub(super) fn key(name: &str) -> Arc<VirtualKey> {
    let mut key = VirtualKey::named(name, KeyDigest::of(name.as_bytes()));
    key.team = Some("core".into());
    key.tags = vec!["env=ci".into(), "a\"b".into()];
    Arc::new(key)
}

/// A receipt with something in every field, that costs `cost`.
pub(super) fn receipt(id: RequestId, key: &Arc<VirtualKey>, cost: u64) -> Receipt {
    Receipt {
        id,
        at: clock::unix_now(),
        caller: key.name.clone(),
        key: Some(Arc::clone(key)),
        tenant: key.organisation.clone(),
        dialect: Some(Dialect::Anthropic),
        operation: Some(Operation::Messages),
        model: Some("claude-*".into()),
        upstream_model: Some("claude-sonnet-5".into()),
        served_model: Some("claude-sonnet-5-20260901".into()),
        provider_dialect: Some(ProviderDialect::Anthropic),
        tier: Some("standard".into()),
        streamed: true,
        session: Some(SessionKey(7)),
        parent: Some(SessionKey(8)),
        id_source: IdSource::Header,
        endpoint: Some("acme-1".into()),
        provider: Some("acme".into()),
        region: Some("eu".to_owned()),
        affinity: None,
        care: CareDone::default(),
        cache_break: None,
        thinking_made_at: None,
        attempts: vec![AttemptRecord {
            endpoint: "acme-1".into(),
            outcome: AttemptOutcome::Timeout,
            status: Some(504),
            ambiguous: true,
            spent: Duration::from_millis(1_500),
        }],
        status: 200,
        outcome: Outcome::Ok,
        reason: None,
        blame: None,
        usage: Usage { input: 10, cached_read: 1_000, write_5m: 100, write_1h: 1, output: 50, reasoning: 5 },
        estimated: false,
        expected_read: Some(1_000),
        predicted: Some(true),
        charge: Some(NanoUsd(cost)),
        billed: Some(NanoUsd(cost * 2)),
        flags: Flags { over_soft_budget: true, overshoot: false },
        request_bytes: 4_000,
        response_bytes: 2_000,
        timings: Timings { total: Duration::from_micros(1_234), ..Timings::default() },
    }
}

pub(super) fn opening(id: RequestId, key: &Arc<VirtualKey>, reserved: Vec<Charged>) -> OpenRecord {
    OpenRecord {
        reserved,
        charge: Some(NanoUsd(70)),
        billed: Some(NanoUsd(140)),
        estimate: Usage { input: 11, output: 22, ..Usage::default() },
        ..OpenRecord::of(id, clock::unix_now(), &key.organisation, Some(key))
    }
}

/// A charge of a budget of this year's that is over in a day.
pub(super) fn charged(name: &str, amount: u64) -> Charged {
    let until = UnixTime(Duration::from_secs(clock::unix_now().0.as_secs() + 86_400));
    Charged { id: CounterId(format!("b/key:{name}/usd/day/1").into()), until, amount }
}

/// Asks the file itself.
pub(super) fn figure(file: &Path, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(file).expect("the file");
    db.query_row(sql, [], |row| row.get(0)).expect("a figure")
}

/// Checks that balances are what receipts were charged.
pub(super) fn audit(file: &Path) {
    let wrong = "SELECT count(*) FROM (
        SELECT counter, sum(amount) AS amount FROM (
            SELECT json_extract(value, '$[0]') AS counter, json_extract(value, '$[2]') AS amount
            FROM receipts, json_each(receipts.charged)) GROUP BY counter
        EXCEPT SELECT counter, amount FROM balances)";
    assert_eq!(figure(file, wrong), 0, "charges that balances do not have");
    let counters =
        "SELECT count(DISTINCT json_extract(value, '$[0]')) FROM receipts, json_each(receipts.charged)";
    assert_eq!(
        figure(file, "SELECT count(*) FROM balances"),
        figure(file, counters),
        "balances without charges"
    );
}

/// Returns once everything that was told is in the file, however long that takes on a busy machine.
pub(super) async fn written(ledger: &Ledger) {
    while !ledger.flush().await {}
}

/// Keeps a paused clock from going on by itself: no wait reaches its limit, however slow the machine.
pub(super) fn stop_time() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}
