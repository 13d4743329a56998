use std::time::Duration;

use super::{super::testkit::*, *};
use crate::types::{AttemptOutcome, AttemptRecord, NanoUsd, Outcome, Receipt, RequestId, SessionKey, Usage};

const NOON: u64 = 1_795_262_400;

fn at(seconds: u64) -> UnixTime {
    UnixTime(Duration::from_secs(seconds))
}

fn tried(outcome: AttemptOutcome) -> AttemptRecord {
    let spent = Duration::from_millis(10);
    AttemptRecord { endpoint: "rate_limited".into(), outcome, status: Some(429), ambiguous: false, spent }
}

/// Makes a receipt from a full one.
type Change = Box<dyn Fn(&mut Receipt)>;

/// Receipts that were changed so.
async fn ledger_of(changes: Vec<Change>) -> (tempfile::TempDir, LedgerFile) {
    let (folder, params) = fresh();
    let ledger = open(&params).ledger;
    for change in changes {
        let mut receipt = receipt(RequestId::mint(), &key("ann"), 1_000_000);
        receipt.attempts.clear();
        change(&mut receipt);
        ledger.close(receipt, Vec::new());
    }
    written(&ledger).await;
    assert_eq!(ledger.file(), params.file);
    let file = LedgerFile::open(&params.file).unwrap();
    (folder, file)
}

#[tokio::test]
async fn a_timeline_adds_up_what_each_step_came_to() {
    let (_folder, file) = ledger_of(vec![
        Box::new(|r| r.at = at(NOON)),
        Box::new(|r| {
            r.at = UnixTime(Duration::from_millis(NOON * 1_000 + 59_999));
            r.outcome = Outcome::Failed;
            r.usage = Usage::default();
            r.charge = None;
            r.attempts = vec![
                tried(AttemptOutcome::RateLimited),
                tried(AttemptOutcome::Timeout),
                tried(AttemptOutcome::RateLimited),
            ];
        }),
        Box::new(|r| {
            r.at = at(NOON + 30);
            r.outcome = Outcome::Cancelled;
        }),
        // Nobody's request, but somebody's money.
        Box::new(|r| {
            r.at = at(NOON + 130);
            r.care.keep_alive = true;
            r.charge = Some(NanoUsd(5));
        }),
        Box::new(|r| {
            r.at = at(NOON + 180);
            r.outcome = Outcome::Denied;
        }),
    ])
    .await;
    let steps = file.timeline((at(NOON), at(NOON + 180)), Duration::from_secs(60)).unwrap();
    let first = Counts {
        requests: 3,
        failed: 1,
        throttled: 2,
        input: 20,
        cached_read: 2_000,
        written: 202,
        output: 100,
        nano_usd: 2_000_000,
    };
    let third = Counts { nano_usd: 5, ..Counts::default() };
    assert_eq!(steps, [Step { at: NOON, counts: first }, Step { at: NOON + 120, counts: third }]);
    let hours = file.timeline((at(0), at(NOON + 3_600)), Duration::from_secs(3_600)).unwrap();
    assert_eq!(
        hours.iter().map(|step| (step.at, step.counts.requests, step.counts.failed)).collect::<Vec<_>>(),
        [(NOON, 4, 2)]
    );
    assert_eq!(file.timeline((at(0), at(NOON)), Duration::from_secs(60)).unwrap(), []);
}

#[tokio::test]
async fn the_turns_of_a_session_are_found_latest_first() {
    let session = |id: u64, rest: u64| SessionKey(u128::from(id) << 64 | u128::from(rest));
    let mut changes: Vec<Change> = Vec::new();
    for n in 0..30_u64 {
        changes.push(Box::new(move |r| {
            r.at = at(NOON + n);
            // Neighbours in the order of ids, whose other halves are as large and as small as they get.
            r.session = match n % 3 {
                0 => Some(session(0xab, n)),
                1 => Some(session(0xaa, u64::MAX)),
                _ => Some(session(0xac, 0)),
            };
            r.usage.output = n;
        }));
    }
    changes.push(Box::new(|r| r.session = None));
    let (_folder, file) = ledger_of(changes).await;
    let outputs = |until: u64, n: u32| -> Vec<u64> {
        file.turns(0xab, at(until), n).unwrap().iter().map(|row| row.output).collect()
    };
    assert_eq!(outputs(NOON + 100, 4), [27, 24, 21, 18]);
    assert_eq!(outputs(NOON + 10, 200), [9, 6, 3, 0]);
    assert!(outputs(NOON - 1, 200).is_empty());
    assert!(file.turns(0xad, at(NOON + 100), 200).unwrap().is_empty());
}

#[tokio::test]
async fn a_question_can_be_broken_off() {
    let (_folder, file) = ledger_of(Vec::new()).await;
    file.interrupter().interrupt();
    assert!(file.timeline((at(0), at(1)), Duration::from_secs(60)).is_ok(), "there was none");
    let interrupter = file.interrupter();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let broken = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                interrupter.interrupt();
                std::thread::yield_now();
            }
        });
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let broken = file.db.query_row(endless, [], |row| row.get::<_, i64>(0));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        broken
    });
    assert!(broken.unwrap_err().to_string().contains("interrupted"));
}
