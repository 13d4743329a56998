//! A process that is killed in the middle, and what the next one finds.

use std::{
    collections::HashSet,
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use super::{LedgerParams, WhenFull, testkit::*};
use crate::types::RequestId;

const FILE: &str = "WARMKEY_TEST_LEDGER";
const CHILD: &str = "store::ledger::crash_tests::the_process_that_is_killed";

fn say(word: &str, id: RequestId) {
    let mut out = io::stdout().lock();
    // Nobody reads any longer: the end is near.
    let _ = writeln!(out, "\n{word} {id}").and_then(|()| out.flush());
}

#[tokio::test]
#[ignore = "run by the tests below as a process of its own"]
async fn the_process_that_is_killed() {
    let file = env::var_os(FILE).expect("the file's name");
    // Only so is a yes a promise, however slow the machine.
    let ledger = open(&LedgerParams { when_full: WhenFull::Closed, ..at(file.as_ref()) }).ledger;
    let key = key("ann");
    let mut waiting = Vec::new();
    loop {
        for _ in 0..4 {
            let id = RequestId::mint();
            if ledger.begin_durably(opening(id, &key, vec![charged("ann", 7)])).await.is_ok() {
                say("begun", id);
            }
            waiting.push(id);
        }
        for id in waiting.drain(1..).collect::<Vec<_>>() {
            ledger.close(receipt(id, &key, 3), vec![charged("ann", 3)]);
            written(&ledger).await;
            say("closed", id);
        }
    }
}

/// Lets a process write until it has said `lines` things, and kills it; what it said.
fn killed_after(file: &std::path::Path, lines: usize) -> (HashSet<String>, HashSet<String>) {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let (mut begun, mut closed) = (HashSet::new(), HashSet::new());
    let out = BufReader::new(child.stdout.take().expect("its output"));
    for (said, line) in out.lines().map(|line| line.expect("a line")).enumerate() {
        if let Some(id) = line.strip_prefix("begun ") {
            begun.insert(id.to_owned());
        } else if let Some(id) = line.strip_prefix("closed ") {
            closed.insert(id.to_owned());
        }
        if said >= lines {
            // SIGKILL on Unix; what it says until then counts too, but is not waited for.
            child.kill().expect("killed");
            break;
        }
    }
    child.wait().expect("it ended");
    (begun, closed)
}

#[tokio::test]
async fn what_was_in_flight_at_a_kill_is_known_and_charged_at_its_estimate_once() {
    let (_folder, params) = fresh();
    let (mut begun, mut closed) = (HashSet::new(), HashSet::new());
    for lines in [20, 47, 91] {
        let (more_begun, more_closed) = killed_after(&params.file, lines);
        assert!(!more_begun.is_empty() && !more_closed.is_empty());
        begun.extend(more_begun);
        closed.extend(more_closed);
        let opened = open(&params);
        assert!(opened.crashed >= 1, "the first of each round is never closed");
        let crashed = figure(&params.file, "SELECT count(*) FROM receipts WHERE crashed");
        let ok = figure(&params.file, "SELECT count(*) FROM receipts WHERE outcome = 'ok'");
        assert_eq!(opened.balances[0].amount as i64, 7 * crashed + 3 * ok);
        assert!(opened.ledger.stop().await);
        let again = open(&params);
        assert_eq!(again.crashed, 0, "once");
        assert_eq!(again.balances, opened.balances);
        assert!(again.ledger.stop().await);
    }
    let ledger = open(&params).ledger;
    let rows = ledger.next_batch(0, 10_000).expect("rows");
    let written: HashSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    assert!(begun.is_subset(&written), "whoever began is known");
    for row in &rows {
        assert!(!(row.crashed && closed.contains(&row.id)), "what was closed stays closed");
        if row.crashed {
            assert_eq!((row.outcome.as_str(), row.blame.as_deref()), ("crashed", Some("gateway")));
            assert_eq!((row.charge, row.billed, row.input, row.output), (Some(70), Some(140), 11, 22));
            assert!(row.estimated);
            assert_eq!(row.charges()[0].amount, 7);
        }
    }
    audit(&params.file);
}
