//! The ledger: what a request pays for its records, and how many receipts a second reach the file.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark may stop, and measures by itself"
)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use warmkey::{
    clock::{self, UnixTime},
    store::{
        counters::{Charged, CounterId},
        ledger::{Ledger, LedgerParams, OpenRecord},
    },
    types::{
        AttemptOutcome, AttemptRecord, CareDone, Dialect, Flags, IdSource, KeyDigest, NanoUsd, Operation,
        Outcome, Receipt, RequestId, SessionKey, Timings, Usage, VirtualKey,
    },
};

/// What a request of a team's key with four budgets leaves.
fn receipt(key: &Arc<VirtualKey>, n: u64) -> (Receipt, Vec<Charged>) {
    let receipt = Receipt {
        id: RequestId::mint(),
        at: clock::unix_now(),
        caller: key.name.clone(),
        key: Some(Arc::clone(key)),
        tenant: key.organisation.clone(),
        dialect: Some(Dialect::Anthropic),
        operation: Some(Operation::Messages),
        model: Some("claude-*".into()),
        upstream_model: Some("claude-sonnet-4-6".into()),
        served_model: None,
        provider_dialect: None,
        tier: None,
        streamed: true,
        session: Some(SessionKey(u128::from(n % 200) << 64)),
        parent: None,
        id_source: IdSource::Header,
        endpoint: Some("anthropic-1".into()),
        provider: Some("anthropic".into()),
        region: Some("eu-central-1".to_owned()),
        affinity: None,
        care: CareDone::default(),
        cache_break: None,
        thinking_made_at: None,
        attempts: vec![AttemptRecord {
            endpoint: "anthropic-1".into(),
            outcome: AttemptOutcome::Ok,
            status: Some(200),
            ambiguous: false,
            spent: Duration::from_millis(2_345),
        }],
        status: 200,
        outcome: Outcome::Ok,
        reason: None,
        blame: None,
        usage: Usage { input: 400, cached_read: 90_000, write_5m: 1_200, output: 350, ..Usage::default() },
        estimated: false,
        expected_read: Some(90_000),
        predicted: Some(true),
        charge: Some(NanoUsd(38_000_000)),
        billed: Some(NanoUsd(38_000_000)),
        flags: Flags::default(),
        request_bytes: 400_000,
        response_bytes: 6_000,
        timings: Timings { total: Duration::from_millis(2_350), ..Timings::default() },
    };
    let until = UnixTime(Duration::from_secs(4_000_000_000));
    let names = ["org:default/usd/month", "team:default/core/usd/day", "key:k/usd/day", "tag:ci/usd/week"];
    let charge = |name: &str| Charged {
        id: CounterId(format!("b/{name}/1795132800").into()),
        until,
        amount: 38_000_000,
    };
    (receipt, names.into_iter().map(charge).collect())
}

fn fresh() -> (tempfile::TempDir, Ledger, Runtime) {
    let folder = tempfile::tempdir_in(".").expect("a folder on a disk");
    let params = LedgerParams { buffer: 2_000_000, ..LedgerParams::of(folder.path().join("ledger.db")) };
    let ledger = Ledger::open(&params).expect("a ledger").ledger;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    (folder, ledger, runtime)
}

fn key() -> Arc<VirtualKey> {
    let mut key = VirtualKey::named("ann", KeyDigest::of(b"ann"));
    key.team = Some("core".into());
    key.tags = vec!["ci".into()];
    Arc::new(key)
}

/// Waits until what was told is committed, however long it takes.
fn committed(ledger: &Ledger, runtime: &Runtime) {
    while !runtime.block_on(ledger.flush()) {}
}

fn ledger(criterion: &mut Criterion) {
    let key = key();
    let mut group = criterion.benchmark_group("ledger");
    group.sample_size(10);
    let (_folder, ledger, runtime) = fresh();
    group.bench_function("begin and close, on the request's path", |bencher| {
        bencher.iter_custom(|n| {
            let ready: Vec<_> = (0..n).map(|n| receipt(&key, n)).collect();
            let since = Instant::now();
            for (receipt, charged) in ready {
                let open = OpenRecord::of(receipt.id, receipt.at, &receipt.tenant, receipt.key.as_ref());
                let _ = black_box(ledger.begin(open));
                ledger.close(receipt, charged);
            }
            let spent = since.elapsed();
            committed(&ledger, &runtime);
            spent
        });
    });
    group.bench_function("begin durably, alone", |bencher| {
        bencher.iter_custom(|n| {
            let ready: Vec<_> = (0..n).map(|n| receipt(&key, n)).collect();
            let mut spent = Duration::ZERO;
            for (receipt, charged) in ready {
                let open = OpenRecord::of(receipt.id, receipt.at, &receipt.tenant, receipt.key.as_ref());
                let since = Instant::now();
                let _ = black_box(runtime.block_on(ledger.begin_durably(open)));
                spent += since.elapsed();
                ledger.close(receipt, charged);
            }
            spent
        });
    });
    drop(ledger);
    const RECEIPTS: u64 = 100_000;
    let (_folder, ledger, runtime) = fresh();
    group.throughput(Throughput::Elements(RECEIPTS));
    group.measurement_time(Duration::from_secs(30));
    group.bench_function("100,000 receipts to the file", |bencher| {
        bencher.iter_custom(|n| {
            let mut spent = Duration::ZERO;
            for _ in 0..n {
                let ready: Vec<_> = (0..RECEIPTS).map(|n| receipt(&key, n)).collect();
                let since = Instant::now();
                for (receipt, charged) in ready {
                    ledger.close(receipt, charged);
                }
                committed(&ledger, &runtime);
                spent += since.elapsed();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
