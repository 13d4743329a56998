//! Disks that are full, files that are not ours, and two that want one ledger.

use std::{
    fs,
    io::{self, Write as _},
    process::{Command, Stdio},
    sync::atomic::Ordering::SeqCst,
};

use rusqlite::Connection;

use super::{testkit::*, *};
use crate::types::RequestId;

/// The file may not grow from here on.
fn fill(ledger: &Ledger) {
    ledger.handle.shared.pages.store(1, SeqCst);
}

fn free(ledger: &Ledger) {
    ledger.handle.shared.pages.store(0, SeqCst);
}

/// Closes requests until the writer finds the disk full; how many.
async fn until_failing(ledger: &Ledger) -> u64 {
    let key = key("ann");
    let mut told = 0;
    while ledger.state().well() {
        ledger.close(receipt(RequestId::mint(), &key, 1), vec![charged("ann", 1)]);
        told += 1;
        // One at a time: what is held up must fit the disk afterwards.
        while ledger.state().well() && ledger.state().queued > 0 {
            tokio::task::yield_now().await;
        }
    }
    told
}

#[tokio::test]
async fn what_a_full_disk_held_up_is_written_once_when_there_is_room() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    let key = key("ann");
    fill(&ledger);
    let mut told = until_failing(&ledger).await;
    assert!(ledger.state().fault.is_some_and(|fault| fault.contains("full")));
    for _ in 0..500 {
        let id = RequestId::mint();
        ledger.begin_durably(opening(id, &key, vec![charged("ann", 2)])).await.expect("it fails open");
        ledger.close(receipt(id, &key, 1), vec![charged("ann", 1)]);
        told += 1;
    }
    free(&ledger);
    written(&ledger).await;
    let state = ledger.state();
    assert_eq!((state.failing_since, state.queued, state.dropped), (None, 0, 0));
    assert_eq!(state.written, told);
    assert_eq!(figure(&params.file, "SELECT amount FROM balances"), told as i64);
    audit(&params.file);
}

#[tokio::test]
async fn a_full_buffer_drops_and_counts_when_it_fails_open() {
    let (_folder, params) = fresh();
    let params = LedgerParams { buffer: 50, ..params };
    let ledger = open(&params).ledger;
    let key = key("ann");
    fill(&ledger);
    let mut told = until_failing(&ledger).await;
    for _ in 0..200 {
        let id = RequestId::mint();
        ledger.begin(opening(id, &key, Vec::new())).expect("it fails open");
        ledger.close(receipt(id, &key, 1), vec![charged("ann", 1)]);
        told += 1;
    }
    let state = ledger.state();
    assert!(state.queued <= 51, "{}", state.queued);
    assert!(state.dropped > 100 && state.unrecorded > 100, "{state:?}");
    free(&ledger);
    written(&ledger).await;
    assert_eq!(ledger.state().written + ledger.state().dropped, told);
    audit(&params.file);
}

#[tokio::test]
async fn a_full_buffer_refuses_when_it_fails_closed_and_who_was_let_in_has_a_receipt() {
    let (_folder, params) = fresh();
    let params = LedgerParams { buffer: 50, when_full: WhenFull::Closed, ..params };
    let ledger = open(&params).ledger;
    let key = key("ann");
    fill(&ledger);
    let mut let_in = Vec::new();
    loop {
        let id = RequestId::mint();
        match ledger.begin(opening(id, &key, vec![charged("ann", 9)])) {
            Ok(()) => let_in.push(id),
            Err(Full) => break,
        }
    }
    assert!(let_in.len() >= 20, "{}", let_in.len());
    let refused = ledger.begin_durably(opening(RequestId::mint(), &key, Vec::new())).await;
    assert_eq!(refused, Err(Full));
    for id in &let_in {
        ledger.close(receipt(*id, &key, 1), vec![charged("ann", 1)]);
    }
    assert_eq!(ledger.state().dropped, 0);
    free(&ledger);
    written(&ledger).await;
    let sql = "SELECT count(*) FROM receipts WHERE outcome = 'ok'";
    assert_eq!(figure(&params.file, sql), let_in.len() as i64);
    audit(&params.file);
}

#[tokio::test]
async fn nobody_starts_unrecorded_when_it_fails_closed() {
    let (_folder, params) = fresh();
    let params = LedgerParams { when_full: WhenFull::Closed, ..params };
    let ledger = open(&params).ledger;
    fill(&ledger);
    until_failing(&ledger).await;
    let (key, id) = (key("ann"), RequestId::mint());
    assert_eq!(ledger.begin_durably(opening(id, &key, Vec::new())).await, Err(Full));
    // The refusal leaves its receipt like any other request's.
    ledger.close(receipt(id, &key, 0), Vec::new());
    free(&ledger);
    written(&ledger).await;
    assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
    assert_eq!(figure(&params.file, &format!("SELECT count(*) FROM receipts WHERE id = '{id}'")), 1);
}

/// Time stands still for whoever waits, so the limit of waiting is reached as soon as nothing moves.
#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_holds_nobody_up() {
    for (when_full, told) in [(WhenFull::Open, Ok(())), (WhenFull::Closed, Err(Full))] {
        let (_folder, params) = fresh();
        let ledger = open(&LedgerParams { when_full, ..params.clone() }).ledger;
        let key = key("ann");
        let other = Connection::open(&params.file).expect("the file");
        other.execute_batch("BEGIN IMMEDIATE").expect("nobody else may write");
        let (quick, durable) = (RequestId::mint(), RequestId::mint());
        assert_eq!(ledger.begin(opening(quick, &key, Vec::new())), Ok(()));
        assert_eq!(ledger.begin_durably(opening(durable, &key, Vec::new())).await, told);
        ledger.close(receipt(quick, &key, 1), vec![charged("ann", 1)]);
        ledger.close(receipt(durable, &key, 1), vec![charged("ann", 1)]);
        assert_eq!(ledger.state().late, 1);
        assert!(ledger.state().queued >= 2);
        while ledger.state().writing_since.is_none() {
            tokio::task::yield_now().await;
        }
        assert!(ledger.state().well(), "it hangs, it does not fail");
        other.execute_batch("COMMIT").expect("as before");
        assert!(ledger.stop().await);
        assert_eq!(figure(&params.file, "SELECT count(*) FROM receipts"), 2);
        assert_eq!(figure(&params.file, "SELECT count(*) FROM open_requests"), 0);
        audit(&params.file);
    }
}

#[tokio::test]
async fn a_ledger_that_was_deleted_under_the_gateway_is_told() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    ledger.close(receipt(RequestId::mint(), &key("ann"), 1), Vec::new());
    written(&ledger).await;
    assert!(ledger.state().well());
    fs::remove_file(&params.file).expect("deleted");
    ledger.close(receipt(RequestId::mint(), &key("ann"), 1), Vec::new());
    written(&ledger).await;
    assert!(ledger.state().lost && !ledger.state().well());
}

#[tokio::test]
async fn a_ledger_has_one_keeper() {
    let (_folder, params) = fresh();
    let first = open(&params).ledger;
    let second = Ledger::open(&params).expect_err("it is taken");
    let LedgerFault::InUse { by, .. } = &second else { panic!("{second}") };
    assert_eq!(*by, format!(" (process {})", std::process::id()));
    assert!(second.to_string().contains("in use by another gateway"));
    assert!(first.stop().await);
    assert!(open(&params).ledger.stop().await);
}

/// What opening says of a file with these bytes; the file must stay as it is.
fn refused(params: &LedgerParams, bytes: &[u8]) -> LedgerFault {
    fs::write(&params.file, bytes).expect("a file");
    let fault = Ledger::open(params).expect_err("no ledger");
    assert!(fs::read(&params.file).expect("the file") == bytes, "the file was changed: {fault}");
    fault
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_and_left_as_it_is() {
    let (_folder, params) = fresh();
    let fault = refused(
        &params,
        b"[server]\nlisten = \"127.0.0.1:8080\" # no database, and longer than a header of one is",
    );
    assert!(matches!(fault, LedgerFault::Foreign { .. }), "{fault}");
    fs::remove_file(&params.file).expect("removed");
    Connection::open(&params.file).expect("a database").execute("CREATE TABLE mine (a)", []).expect("made");
    let bytes = fs::read(&params.file).expect("the file");
    let fault = refused(&params, &bytes);
    assert!(fault.to_string().contains("another program"), "{fault}");
    fs::remove_file(&params.file).expect("removed");
    fs::create_dir(&params.file).expect("a folder");
    let fault = Ledger::open(&params).expect_err("a folder");
    assert!(fault.to_string().contains("no plain file"), "{fault}");
    let lost = at(&params.file.join("no/such/ledger.db"));
    let fault = Ledger::open(&lost).expect_err("no folder");
    assert!(fault.to_string().contains("no/such"), "{fault}");
}

#[tokio::test]
async fn a_damaged_ledger_is_refused_and_left_as_it_is() {
    let (_folder, params) = fresh();
    let ledger = open(&params).ledger;
    for n in 0..500 {
        ledger.close(receipt(RequestId::mint(), &key("ann"), n), Vec::new());
    }
    assert!(ledger.stop().await);
    let whole = fs::read(&params.file).expect("the file");
    // Half of it, as a copy that was broken off.
    let fault = refused(&params, &whole[..whole.len() / 2]);
    assert!(matches!(fault, LedgerFault::Damaged { .. }), "{fault}");
    assert!(fault.to_string().contains("left as it is"), "{fault}");
    // Rubbish in the middle.
    let mut rubbish = whole.clone();
    let middle = rubbish.len() / 2;
    rubbish[middle..middle + 8_192].fill(0xa5);
    let fault = refused(&params, &rubbish);
    assert!(matches!(fault, LedgerFault::Damaged { .. }), "{fault}");
    // With a log beside it that was not folded in: not even that is.
    fs::write(&params.file, &whole).expect("a file");
    let db = Connection::open(&params.file).expect("the file");
    db.execute("UPDATE receipts SET status = 201", []).expect("written");
    let log = params.file.with_extension("db-wal");
    let held = fs::read(&log).expect("a log");
    drop(db);
    fs::write(&log, held).expect("the log of a process that died");
    let fault = refused(&params, &whole[..whole.len() / 2]);
    assert!(matches!(fault, LedgerFault::Damaged { .. }), "{fault}");
    fs::remove_file(&log).expect("removed");
    // As it was.
    fs::write(&params.file, &whole).expect("a file");
    assert_eq!(open(&params).ledger.state().last_seq, 500);
}

#[tokio::test]
async fn a_later_versions_ledger_is_refused() {
    let (_folder, params) = fresh();
    assert!(open(&params).ledger.stop().await);
    let db = Connection::open(&params.file).expect("the file");
    db.execute_batch(
        "PRAGMA user_version = 99; UPDATE meta SET value = 'warmkey 9.9' WHERE name = 'written_by'",
    )
    .expect("raised");
    db.close().expect("closed");
    let fault = Ledger::open(&params).expect_err("newer");
    assert!(matches!(fault, LedgerFault::Newer { found: 99, .. }), "{fault}");
    assert!(fault.to_string().contains("warmkey 9.9"), "{fault}");
    assert_eq!(figure(&params.file, "PRAGMA user_version"), 99);
}

#[tokio::test]
async fn an_empty_file_is_a_new_ledger() {
    let (_folder, params) = fresh();
    fs::write(&params.file, b"").expect("a file");
    let opened = open(&params);
    assert_eq!((opened.crashed, opened.balances.len()), (0, 0));
    assert!(opened.ledger.stop().await);
}

/// A small disk of its own; `None` where this may not be made.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let done = Command::new("mount").args(mount).arg(folder.path()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The same with a real disk, whose errors are not SQLite's own; needs the right to mount one.
#[tokio::test]
async fn a_real_disk_that_is_full_loses_nothing_either() {
    let Some(disk) = SmallDisk::mount() else {
        let _ = writeln!(io::stderr(), "skipped: no right to mount a small disk");
        return;
    };
    let params = at(&disk.0.path().join("ledger.db"));
    let ledger = open(&params).ledger;
    let ballast = disk.0.path().join("ballast");
    let full = fs::write(&ballast, vec![0; 8 << 20]).expect_err("it is small");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    let told = until_failing(&ledger).await;
    fs::remove_file(&ballast).expect("room again");
    written(&ledger).await;
    assert!(ledger.stop().await);
    assert_eq!(figure(&params.file, "SELECT count(*) FROM receipts"), told as i64);
    audit(&params.file);
}
