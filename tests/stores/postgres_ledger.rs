//! The ledger of all gateways: what is copied, through restarts of either side, counts once.

use std::{path::Path, sync::Arc, time::Duration};

use warmkey::{
    clock::{self, UnixTime},
    store::{
        counters::{Charged, CounterId},
        ledger::{Ledger, LedgerParams, Row},
        postgres::{Database, PostgresFault, PostgresLedger, PostgresParams, Shipped, Shipper},
    },
    types::{
        AttemptOutcome, AttemptRecord, CareDone, Dialect, Flags, IdSource, KeyDigest, NanoUsd, Operation,
        Outcome, Receipt, RequestId, Secret, SessionKey, Timings, Usage, VirtualKey,
    },
};

use crate::servers::Postgres;

fn open(folder: &Path) -> Ledger {
    let params =
        LedgerParams { commit_every: Duration::from_millis(5), ..LedgerParams::of(folder.join("ledger.db")) };
    Ledger::open(&params).unwrap().ledger
}

fn charged(name: &str, amount: u64) -> Charged {
    let until = UnixTime(Duration::from_secs(clock::unix_now().0.as_secs() + 3_600));
    Charged { id: CounterId(name.into()), until, amount }
}

/// A request is over that cost `cost`.
fn close(ledger: &Ledger, cost: u64) {
    let key = Arc::new(VirtualKey::named("ada", KeyDigest::of(b"ada")));
    let receipt = Receipt {
        id: RequestId::mint(),
        at: clock::unix_now(),
        caller: key.name.clone(),
        key: Some(Arc::clone(&key)),
        tenant: key.organisation.clone(),
        dialect: Some(Dialect::Anthropic),
        operation: Some(Operation::Messages),
        model: Some("claude-*".into()),
        upstream_model: Some("claude-sonnet-5".into()),
        served_model: Some("claude-sonnet-5-20260901".into()),
        provider_dialect: None,
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
    };
    let total =
        Charged { until: UnixTime(Duration::from_secs(u64::MAX)), ..charged("b/key:ada/usd/total/0", cost) };
    ledger.close(receipt, vec![charged("b/key:ada/usd/day/1", cost), total]);
}

/// Copies until there is nothing left.
async fn ship_all(shipper: &Shipper) -> u64 {
    let mut new = 0;
    loop {
        let step = shipper.step().await.unwrap();
        new += step.new;
        if step.read == 0 {
            return new;
        }
    }
}

/// What all gateways know: receipts, and what the day's budget was charged.
async fn sums(server: &Postgres) -> (i64, i64) {
    let receipts = server.number("SELECT count(*) FROM warmkey.receipts").await;
    let day = server
        .number("SELECT coalesce(sum(amount), 0)::bigint FROM warmkey.balances WHERE counter LIKE '%day%'")
        .await;
    (receipts, day)
}

#[tokio::test]
async fn receipts_of_two_gateways_are_one_ledger() {
    let server = Postgres::start();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (open(one.path()), open(two.path()));
    for n in 1..=1_200 {
        close(if n % 3 == 0 { &one } else { &two }, n);
    }
    assert!(one.flush().await && two.flush().await);
    for ledger in [&one, &two] {
        let shipper = Shipper::new(ledger.clone(), PostgresLedger::new(server.database()));
        ship_all(&shipper).await;
        assert_eq!(ledger.state().unshipped(), 0);
        assert_eq!(shipper.step().await.unwrap(), Shipped::default());
    }
    assert_eq!(sums(&server).await, (1_200, 1_200 * 1_201 / 2));
    // Balances come back as they went.
    let (balances, next) =
        PostgresLedger::new(server.database()).balances(clock::unix_now(), None).await.unwrap();
    let mut balances: Vec<_> = balances
        .iter()
        .map(|one| (one.id.to_string(), one.amount, one.until.0.as_secs() == u64::MAX))
        .collect();
    balances.sort();
    assert_eq!(
        balances,
        [
            ("b/key:ada/usd/day/1".to_owned(), 720_600, false),
            ("b/key:ada/usd/total/0".to_owned(), 720_600, true),
        ]
    );
    let later = next.map(|next| UnixTime(next.0 + Duration::from_secs(60)));
    let ledger = PostgresLedger::new(server.database());
    assert!(ledger.balances(clock::unix_now(), later).await.unwrap().0.is_empty());
    let tomorrow = UnixTime(clock::unix_now().0 + Duration::from_secs(86_400));
    assert_eq!(ledger.balances(tomorrow, None).await.unwrap().0.len(), 1, "the day is over then");
}

#[tokio::test]
async fn what_is_copied_twice_counts_once() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    for n in 1..=50 {
        close(&ledger, n);
    }
    assert!(ledger.flush().await);
    let rows = ledger.next_batch(0, 100).unwrap();
    let to = PostgresLedger::new(server.database());
    let (first, second) = rows.split_at(30);
    assert_eq!(to.add(first).await.unwrap(), 30);
    // As after a crash between Postgres' commit and the watermark's.
    assert_eq!(to.add(&rows).await.unwrap(), 20);
    assert_eq!(to.add(second).await.unwrap(), 0);
    assert_eq!(to.add(&[rows.as_slice(), &rows].concat()).await.unwrap(), 0);
    assert_eq!(to.add(&[]).await.unwrap(), 0);
    assert_eq!(sums(&server).await, (50, 50 * 51 / 2));
}

#[tokio::test]
async fn every_column_arrives() {
    let server = Postgres::start();
    let row = Row {
        seq: 9,
        id: "wk_1".to_owned(),
        at: 1_795_000_000_123,
        caller: "ada's \"key\" ü\\".to_owned(),
        key: Some("k_1".to_owned()),
        organisation: "default".to_owned(),
        team: Some("core".to_owned()),
        tags: r#"["env=ci","a\"b"]"#.to_owned(),
        session: Some("00ff".to_owned()),
        parent: Some("00fe".to_owned()),
        id_source: "header".to_owned(),
        dialect: Some("anthropic".to_owned()),
        operation: Some("/v1/messages".to_owned()),
        streamed: true,
        model: Some("claude-*".to_owned()),
        upstream_model: Some("claude-sonnet-5".to_owned()),
        served_model: Some("odd\u{0}name".to_owned()),
        tier: Some("standard".to_owned()),
        endpoint: Some("acme-1".to_owned()),
        provider: Some("acme".to_owned()),
        region: Some("eu".to_owned()),
        affinity: Some("hit".to_owned()),
        affinity_reason: Some("home".to_owned()),
        attempts: r#"[{"endpoint":"acme-1"}]"#.to_owned(),
        ambiguous: 1,
        status: 200,
        outcome: "ok".to_owned(),
        reason: Some("why".to_owned()),
        blame: Some("upstream".to_owned()),
        input: 11,
        cached_read: 12,
        write_5m: 13,
        write_1h: 14,
        output: 15,
        reasoning: 16,
        expected_read: Some(17),
        predicted: Some(true),
        cache_break: Some("tools".to_owned()),
        break_tokens: Some(18),
        break_cost: Some(19),
        care: Some("markers=1".to_owned()),
        charge: Some((1 << 53) - 1),
        billed: Some(20),
        charged: r#"[["b/x",9223372036854775807,21]]"#.to_owned(),
        estimated: true,
        crashed: true,
        keep_alive: true,
        over_soft_budget: true,
        overshoot: true,
        request_bytes: 22,
        response_bytes: 23,
        total_us: 24,
        first_byte_us: Some(25),
        first_token_us: Some(26),
        upload_us: 27,
        waited_us: 28,
        overhead_us: 29,
        provider_dialect: Some("gemini".to_owned()),
    };
    let to = PostgresLedger::new(server.database());
    assert_eq!(to.add(std::slice::from_ref(&row)).await.unwrap(), 1);
    let client = server.client().await;
    let sql = "SELECT (to_jsonb(r) || jsonb_build_object('seq', 9))::text FROM warmkey.receipts r";
    let kept: String = client.query_one(sql, &[]).await.unwrap().get(0);
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let mut sent = serde_json::to_value(&row).unwrap();
    sent["served_model"] = "odd\u{fffd}name".into();
    for column in ["tags", "attempts", "charged"] {
        let text = sent[column].as_str().unwrap().to_owned();
        sent[column] = serde_json::from_str(&text).unwrap();
    }
    assert_eq!(kept, sent);
    let shown = server
        .number("SELECT count(*) FROM warmkey.requests WHERE usd > 9000000 AND hit_percent = 24.0")
        .await;
    assert_eq!(shown, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_and_the_gateway_are_restarted_in_the_middle_and_nothing_is_missing_or_twice() {
    const RECEIPTS: u64 = 6_000;
    let mut server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    let writer = |ledger: &Ledger, range: std::ops::RangeInclusive<u64>| range.for_each(|n| close(ledger, n));
    writer(&ledger, 1..=RECEIPTS / 2);
    assert!(ledger.flush().await);
    let shipper = Arc::new(Shipper::new(ledger.clone(), PostgresLedger::new(server.database())));
    shipper.step().await.unwrap();
    // It goes in the middle of a step: whether that came to pass, nobody here knows.
    let step = tokio::spawn({
        let shipper = Arc::clone(&shipper);
        async move { shipper.step().await }
    });
    server.kill();
    let _unknown = step.await.unwrap();
    shipper.step().await.expect_err("it is away");
    writer(&ledger, RECEIPTS / 2 + 1..=RECEIPTS);
    assert!(ledger.flush().await, "the own ledger does not care");
    assert!(ledger.state().unshipped() >= RECEIPTS / 2);
    server.restart();
    shipper.step().await.unwrap();
    // The gateway stops; some of what was copied may not be known to be.
    drop(shipper);
    assert!(ledger.stop().await);
    drop(ledger);
    ledger = open(folder.path());
    let shipper = Shipper::new(ledger.clone(), PostgresLedger::new(server.database()));
    ship_all(&shipper).await;
    let wanted = i64::try_from(RECEIPTS * (RECEIPTS + 1) / 2).unwrap();
    assert_eq!(sums(&server).await, (i64::try_from(RECEIPTS).unwrap(), wanted));
    assert_eq!((ledger.state().unshipped(), shipper.refused()), (0, 0));
}

#[tokio::test]
async fn one_receipt_that_postgres_refuses_keeps_no_other_back() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let shipper = Shipper::new(ledger.clone(), PostgresLedger::new(server.database()));
    shipper.step().await.unwrap();
    close(&ledger, 1);
    assert!(ledger.flush().await);
    ship_all(&shipper).await;
    server
        .client()
        .await
        .batch_execute("ALTER TABLE warmkey.receipts ADD CHECK (charge <> 3)")
        .await
        .unwrap();
    for n in 2..=5 {
        close(&ledger, n);
    }
    assert!(ledger.flush().await);
    ship_all(&shipper).await;
    assert_eq!(sums(&server).await, (4, 1 + 2 + 4 + 5));
    assert_eq!(shipper.refused(), 1);
    // Where it refuses all of them, they wait.
    server.client().await.batch_execute("ALTER TABLE warmkey.receipts ADD CHECK (charge < 6)").await.unwrap();
    for n in 6..=7 {
        close(&ledger, n);
    }
    assert!(ledger.flush().await);
    assert!(matches!(shipper.step().await, Err(PostgresFault::Refused(_))));
    assert_eq!(ledger.state().unshipped(), 2);
}

#[tokio::test]
async fn a_database_that_a_later_version_wrote_is_left_alone() {
    let server = Postgres::start();
    server.database().open().await.unwrap();
    server
        .client()
        .await
        .batch_execute(
            "UPDATE warmkey.meta SET value = '7' WHERE name = 'schema'; \
             UPDATE warmkey.meta SET value = 'warmkey 9.9' WHERE name = 'written_by'",
        )
        .await
        .unwrap();
    let fault = server.database().open().await.unwrap_err();
    assert_eq!(fault, PostgresFault::Newer { found: 7, known: 2, by: "warmkey 9.9".to_owned() });
    let fault = PostgresLedger::new(server.database()).add(&[]).await.unwrap_err();
    assert!(matches!(fault, PostgresFault::Newer { .. }));
}

#[tokio::test]
async fn somebody_elses_schema_of_our_name_is_left_alone() {
    let server = Postgres::start();
    let theirs = "CREATE SCHEMA warmkey; CREATE TABLE warmkey.meta (name text, value text)";
    server.client().await.batch_execute(theirs).await.unwrap();
    let fault = server.database().open().await.unwrap_err().to_string();
    assert!(fault.contains("not ours"), "{fault}");
}

#[tokio::test]
async fn nobody_there_is_told_without_the_password() {
    let url = "postgres://ada:open-sesame@127.0.0.1:1/w".to_owned();
    let database = Database::new(&PostgresParams { url: Secret::new(url) }).unwrap();
    let fault = database.open().await.unwrap_err().to_string();
    assert!(fault.contains("refused") && !fault.contains("sesame"), "{fault}");
    assert!(database.away().is_some());
}
