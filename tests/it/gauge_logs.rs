//! `warmkey gauge logs`: the binary on files, sound ones and others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::within;

const HOSTILE: &str = "</title><script>alert(1)</script>\u{1b}[2J";

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn logs(args: &[&str]) -> Ran {
    let run = Command::new(env!("CARGO_BIN_EXE_warmkey"))
        .args(["gauge", "logs"])
        .args(args)
        .kill_on_drop(true)
        .output();
    let ran = within("gauge logs", run).await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs/claude-code.jsonl")
}

/// A request of an agent whose system prompt tells the time, as an SDK's log has it.
fn request(turn: u64, clock: &str, model: &str) -> Value {
    let words = "Prefer small, reviewable changes. ".repeat(600);
    let marker = json!({"type": "ephemeral"});
    let mut messages: Vec<Value> = (0..=turn)
        .flat_map(|n| {
            [
                json!({"role": "user", "content": [{"type": "text", "text": format!("Question {n}. {words}")}]}),
                json!({"role": "assistant", "content": format!("Answer {n}.")}),
            ]
        })
        .collect();
    messages.pop();
    let total = 5_000 + 5_000 * turn;
    json!({
        "timestamp": 1_795_000_000 + 30 * turn,
        "session_id": HOSTILE,
        "request": {"model": model, "max_tokens": 10, "messages": messages,
            "system": [{"type": "text", "text": "You are an agent."},
                {"type": "text", "text": format!("{clock} {words}"), "cache_control": marker}]},
        "response": {"type": "message", "usage": {"input_tokens": 3, "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": total, "output_tokens": 10}},
    })
}

fn write(folder: &Path, name: &str, lines: impl IntoIterator<Item = Value>) -> PathBuf {
    let file = folder.join(name);
    let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, text).expect("written");
    file
}

#[tokio::test]
async fn session_logs_and_request_logs_stand_side_by_side() {
    let dir = tempfile::tempdir().expect("a folder");
    let clocks =
        (0..6).map(|turn| request(turn, &format!("It is 2026-11-20T08:{turn:02}:00Z."), "claude-sonnet-4-6"));
    let clock = write(dir.path(), "clock.jsonl", clocks);
    let ran = logs(&[path(&fixture()), path(&clock), "--json"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let reports: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [warm, cold] = &reports[..] else { panic!("two reports: {}", ran.out) };
    assert!(warm["hit_rate"].as_f64() > Some(0.7) && cold["hit_rate"].as_f64() == Some(0.0), "{}", ran.out);
    assert_eq!((warm["turns"].as_u64(), warm["conversations"].as_u64()), (Some(11), Some(2)));
    assert_eq!(warm["diagnosis"][0]["kind"], "healthy");
    assert_eq!(cold["diagnosis"][0]["kind"], "prefix_changes");
    let sentence = cold["diagnosis"][0]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("system[1] on every turn: a timestamp"), "{sentence}");
    for member in ["hit_rate", "cost_per_1k_turns", "warm_cost_per_1k_turns", "turns", "errors", "status_429"]
    {
        assert!(cold[member].is_number(), "{member}: {cold}");
    }
    let ran = logs(&[path(&fixture()), path(&clock), "--fail-below", "50"]).await;
    assert_eq!(ran.code, Some(1), "one of them is below: {}", ran.err);
    assert!(ran.out.contains("hit rate") && ran.out.contains("a timestamp"), "{}", ran.out);
}

#[tokio::test]
async fn hostile_names_reach_neither_the_page_nor_the_terminal() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = write(dir.path(), "hostile.jsonl", (0..4).map(|turn| request(turn, "", HOSTILE)));
    let page = dir.path().join("report.html");
    let ran = logs(&[path(&log), "--html", path(&page)]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("script") && !ran.out.contains('\u{1b}'), "cleaned: {}", ran.out);
    let page = fs::read_to_string(page).expect("written");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "escaped");
    assert!(!ran.out.contains("Prefer small") && !page.contains("Prefer small"), "no prompt text");
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, text).expect("written");
        file
    };
    let (empty, junk) = (write("empty.jsonl", b""), write("junk.jsonl", &[0_u8, 159, 146, 10].repeat(5_000)));
    let none = dir.path().join("none");
    fs::create_dir(&none).expect("a folder");
    let missing = dir.path().join("missing.jsonl");
    for (file, words) in [
        (&empty, "it is empty"),
        (&junk, "junk.jsonl:1: no JSON at column 1"),
        (&none, "no *.jsonl in it"),
        (&missing, "cannot read"),
    ] {
        let ran = logs(&[path(file)]).await;
        assert_eq!(ran.code, Some(2), "{}", ran.out);
        assert!(ran.err.contains(words), "`{words}` in {}", ran.err);
    }
    // A good file among them is read, and the others are told.
    fs::copy(fixture(), dir.path().join("good.jsonl")).expect("copied");
    let ran = logs(&[path(dir.path())]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("11 turns of 2 conversations") && ran.out.contains("Left out: 5000 lines"),
        "{}",
        ran.out
    );
}
