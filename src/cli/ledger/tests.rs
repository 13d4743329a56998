use std::{fs, path::Path, sync::Arc};

use clap::Parser;

use super::*;
use crate::{
    store::ledger::{Feedback, Ledger, LedgerParams},
    types::{
        AttemptRecord, CareDone, Dialect, Flags, IdSource, KeyDigest, NanoUsd, Operation, Outcome, Receipt,
        RequestId, SessionKey, Timings, Usage, VirtualKey,
    },
};

#[derive(Parser, Debug)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs `warmkey ledger ...` on a file; what it printed.
fn ledger(file: &Path, words: &[&str]) -> String {
    let file = file.to_str().expect("a name");
    let line = Line::try_parse_from([&["ledger"], words, &["--file", file]].concat()).expect("words");
    let mut out = Vec::new();
    run(&line.command, &mut out).expect("an answer");
    String::from_utf8(out).expect("text")
}

fn at(text: &str) -> UnixTime {
    let Ok(When::At(at)) = when(text) else { panic!("{text}") };
    at
}

fn key(name: &str, team: Option<&str>, tags: &[&str]) -> Arc<VirtualKey> {
    let mut key = VirtualKey::named(name, KeyDigest::of(name.as_bytes()));
    key.team = team.map(Into::into);
    key.tags = tags.iter().map(|tag| (*tag).into()).collect();
    Arc::new(key)
}

fn receipt(key: &Arc<VirtualKey>, provider: &str, day: &str, cost: Option<u64>) -> Receipt {
    Receipt {
        id: RequestId::mint(),
        at: at(day),
        caller: key.name.clone(),
        key: Some(Arc::clone(key)),
        tenant: key.organisation.clone(),
        dialect: Some(Dialect::OpenAiChat),
        operation: Some(Operation::ChatCompletions),
        model: Some("m-*".into()),
        upstream_model: Some(format!("{provider}-model").into()),
        served_model: None,
        provider_dialect: None,
        tier: None,
        streamed: false,
        session: Some(SessionKey(9)),
        parent: None,
        id_source: IdSource::Header,
        endpoint: Some(format!("{provider}-1").into()),
        provider: Some(provider.into()),
        region: None,
        affinity: None,
        care: CareDone::default(),
        cache_break: None,
        thinking_made_at: None,
        attempts: Vec::<AttemptRecord>::new(),
        status: 200,
        outcome: Outcome::Ok,
        reason: None,
        blame: None,
        usage: Usage { input: 100, cached_read: 300, write_5m: 0, write_1h: 0, output: 7, reasoning: 0 },
        estimated: false,
        expected_read: None,
        predicted: None,
        charge: cost.map(NanoUsd),
        billed: cost.map(|cost| NanoUsd(cost * 2)),
        flags: Flags::default(),
        request_bytes: 1,
        response_bytes: 2,
        timings: Timings::default(),
    }
}

/// A ledger with six receipts of three days.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let ledger = Ledger::open(&LedgerParams::of(&file)).expect("a ledger").ledger;
    let (ann, bob) = (key("ann", Some("core"), &["ci", "eu"]), key("=bob()", None, &["ci"]));
    for (key, provider, day, cost) in [
        (&ann, "acme", "2026-11-01", Some(1_000_000_000)),
        (&ann, "acme", "2026-11-02", Some(2_000_000_000)),
        (&ann, "zeta", "2026-11-02", Some(4_000_000_001)),
        (&bob, "zeta", "2026-11-03", Some(8_000_000_000)),
        (&bob, "zeta", "2026-11-03", None),
        (&bob, "acme", "2026-11-03T23:59:59.999Z", Some(16_000_000_000)),
    ] {
        ledger.close(receipt(key, provider, day, cost), Vec::new());
    }
    assert!(ledger.stop().await);
    (folder, file)
}

#[tokio::test]
async fn an_export_has_every_receipt_of_its_time_and_no_other() {
    let (_folder, file) = filled().await;
    let text = ledger(&file, &["export", "--since", "2026-11-02", "--until", "2026-11-03"]);
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let head = table.headers().expect("names").clone();
    let cell = |row: &csv::StringRecord, name: &str| {
        row[head.iter().position(|column| column == name).expect("a column")].to_owned()
    };
    let rows: Vec<_> = table.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(cell(&rows[0], "charge_usd"), "2.000000000");
    assert_eq!(cell(&rows[1], "charge"), "4000000001");
    assert_eq!(cell(&rows[1], "billed_usd"), "8.000000002");
    assert_eq!(cell(&rows[0], "time"), "2026-11-02T00:00:00Z");
    assert_eq!(cell(&rows[0], "tags"), r#"["ci","eu"]"#);
    assert_eq!((&head[0], &head[1], &head[2]), ("seq", "id", "at"));
}

#[tokio::test]
async fn an_export_has_what_was_said_of_answers() {
    let (_folder, file) = filled().await;
    let gateway = Ledger::open(&LedgerParams::of(&file)).expect("a ledger").ledger;
    let request = gateway.next_batch(1, 1).expect("rows")[0].id.clone();
    for (score, label) in [(Some(1.0), Some("=good")), (Some(0.5), None), (None, Some("long"))] {
        let feedback = Feedback {
            request: request.clone(),
            organisation: "default".into(),
            caller: "ann".into(),
            at: at("2026-11-04"),
            score,
            label: label.map(str::to_owned),
        };
        assert_eq!(gateway.feedback(feedback).await, Ok(true));
    }
    let text = ledger(&file, &["export", "--since", "2026-11-01", "--format", "jsonl"]);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[1]["score"], 0.75);
    assert_eq!(lines[1]["labels"], serde_json::json!(["=good", "long"]));
    assert_eq!((&lines[0]["score"], &lines[0]["labels"]), (&serde_json::Value::Null, &serde_json::json!([])));
    let text = ledger(&file, &["export", "--since", "2026-11-01"]);
    let table =
        csv::Reader::from_reader(text.as_bytes()).into_records().nth(1).expect("a line").expect("a row");
    assert_eq!(table.iter().rev().take(2).collect::<Vec<_>>(), [r#"["=good","long"]"#, "0.75"]);
}

#[tokio::test]
async fn a_name_is_never_a_formula() {
    let (_folder, file) = filled().await;
    let text = ledger(&file, &["export", "--since", "2026-11-03"]);
    assert!(text.contains(",'=bob(),") && !text.contains(",=bob(),"), "{text}");
    let lines = ledger(&file, &["export", "--since", "2026-11-03", "--format", "jsonl"]);
    assert!(lines.contains(r#""caller":"=bob()""#), "JSON is for programs");
}

#[tokio::test]
async fn lines_of_json_hold_lists_as_lists_and_columns_in_order() {
    let (_folder, file) = filled().await;
    let text = ledger(&file, &["export", "--since", "2026-11-01", "--format", "jsonl"]);
    assert_eq!(text.lines().count(), 6);
    let first = text.lines().next().expect("a line");
    assert!(first.starts_with(r#"{"seq":1,"id":"wk_"#), "{first}");
    let first: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(first["tags"], serde_json::json!(["ci", "eu"]));
    assert_eq!(first["charge_usd"], "1.000000000");
}

#[tokio::test]
async fn an_export_goes_on_from_page_to_page() {
    let (_folder, file) = filled().await;
    let ledger_ = Ledger::open(&LedgerParams::of(&file)).expect("a ledger").ledger;
    let ann = key("ann", None, &[]);
    for n in 0..2_500 {
        ledger_.close(receipt(&ann, "acme", "2026-11-10", Some(n)), Vec::new());
    }
    assert!(ledger_.flush().await);
    // The gateway is still there.
    let text = ledger(&file, &["export", "--since", "2026-11-10"]);
    assert_eq!(text.lines().count(), 2_501);
    assert!(ledger_.stop().await);
}

/// Somebody who reads a little and leaves, such as `head`.
struct Leaves(usize);

impl Write for Leaves {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = bytes.len().min(self.0);
        self.0 -= n;
        if n == 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(n) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_fault() {
    let (_folder, file) = filled().await;
    let file = file.to_str().expect("a name");
    for format in ["csv", "jsonl"] {
        let words = ["ledger", "export", "--since", "2026-11-01", "--format", format, "--file", file];
        let line = Line::try_parse_from(words).expect("words");
        let error = run(&line.command, &mut Leaves(100)).expect_err("it left");
        assert!(crate::cli::is_broken_pipe(&error), "{format}: {error}");
    }
}

fn bill(file: &Path, by: &str) -> (Vec<(Option<String>, u64, u64)>, serde_json::Value) {
    let words = ["report", "--by", by, "--since", "2026-11-01", "--format", "json"];
    let report: serde_json::Value = serde_json::from_str(&ledger(file, &words)).expect("JSON");
    let lines = report["lines"].as_array().expect("lines").iter().map(|line| {
        let figure = |name: &str| line[name].as_u64().expect("a figure");
        (line["name"].as_str().map(str::to_owned), figure("requests"), figure("charge_nano_usd"))
    });
    (lines.collect(), report["total"].clone())
}

#[tokio::test]
async fn a_bill_is_broken_down_by_whatever_is_asked_for() {
    let (_folder, file) = filled().await;
    let named = |name: &str, requests, cost| (Some(name.to_owned()), requests, cost);
    let (bob, ann) = (24_000_000_000, 7_000_000_001);
    let (acme, zeta) = (19_000_000_000, 12_000_000_001);
    for (by, lines) in [
        ("key", vec![named("=bob()", 3, bob), named("ann", 3, ann)]),
        ("team", vec![(None, 3, bob), named("default/core", 3, ann)]),
        ("tag", vec![named("ci", 6, bob + ann), named("eu", 3, ann)]),
        ("model", vec![named("acme-model", 3, acme), named("zeta-model", 3, zeta)]),
        ("provider", vec![named("acme", 3, acme), named("zeta", 3, zeta)]),
        ("endpoint", vec![named("acme-1", 3, acme), named("zeta-1", 3, zeta)]),
        ("session", vec![named("00000000000000000000000000000009", 6, bob + ann)]),
        ("organisation", vec![named("default", 6, bob + ann)]),
        (
            "day",
            vec![
                named("2026-11-01", 1, 1_000_000_000),
                named("2026-11-02", 2, 6_000_000_001),
                named("2026-11-03", 3, bob),
            ],
        ),
    ] {
        let (told, total) = bill(&file, by);
        assert_eq!(told, lines, "by {by}");
        assert_eq!(total["charge_usd"], "31.000000001", "by {by}");
        assert_eq!((total["requests"].as_u64(), total["unpriced"].as_u64()), (Some(6), Some(1)));
        assert_eq!(total["hit_rate"], 0.75);
    }
}

#[tokio::test]
async fn a_table_is_for_people() {
    let (_folder, file) = filled().await;
    let text = ledger(&file, &["report", "--by", "team", "--since", "2026-11-01"]);
    assert_eq!(
        text,
        "team          requests  ok  input  cached  written  output    hits   dollars    billed
(none)               3   3    300     900        0      21  75.0 %  $24.0000  $48.0000
default/core         3   3    300     900        0      21  75.0 %   $7.0000  $14.0000
total                6   6    600    1800        0      42  75.0 %  $31.0000  $62.0000
1 requests have tokens and no known price: dollars lack them (`warmkey prices import`)
"
    );
    let text = ledger(&file, &["report", "--by", "key", "--since", "2026-11-01", "--top", "1"]);
    assert!(!text.contains("ann") && text.contains("$31.0000"), "the total counts all: {text}");
}

#[test]
fn times_are_read_as_people_write_them() {
    assert_eq!(when("24h"), Ok(When::Ago(Duration::from_secs(86_400))));
    assert_eq!(when("2026-11-01"), when("2026-11-01T00:00:00Z"));
    assert_eq!(when("2026-11-01T02:00:00+02:00"), when("2026-11-01"));
    for odd in ["", "yesterday", "2026-13-01", "-5h", "1969-01-01", "2026-11-01T25:00:00Z"] {
        assert!(when(odd).is_err(), "{odd}");
    }
    let time = Time { since: When::Ago(Duration::ZERO), until: when("2026-11-01").ok() };
    assert!(time.between(at("2026-11-02")).is_err());
}

#[test]
fn what_is_missing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("none.db");
    let said = |words: &[&str]| {
        let line = Line::try_parse_from([&["ledger"], words].concat()).expect("words");
        run(&line.command, &mut Vec::new()).expect_err("no ledger").to_string()
    };
    let name = file.to_str().expect("a name");
    assert!(said(&["report", "--file", name]).contains("none.db"));
    assert!(!file.exists(), "who only reads makes nothing");
    assert!(said(&["report"]).contains("--file"));
    let config = folder.path().join("faulty.toml");
    fs::write(&config, "[nonsense]").expect("a file");
    assert!(said(&["report", "--config", config.to_str().expect("a name")]).contains("faults"));
}
