use std::{fs, io::Write as _, path::PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::UnixTime,
    gauge::{Kind, tally::tests::SONNET},
    metering::PriceEntry,
};

fn prices() -> Arc<PriceList> {
    let entry = PriceEntry { model: "claude-sonnet-4-6".to_owned(), rates: SONNET, tiers: Vec::new() };
    Arc::new(PriceList::new(vec![entry]))
}

fn read(path: &Path) -> Report {
    read_logs(path, None, prices(), None, &mut |_| {}).expect("readable")
}

/// A folder with these files in it.
fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    let path = dir.path().to_owned();
    (dir, path)
}

fn of_lines(lines: &[Value]) -> Report {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (_dir, path) = folder(&[("some.jsonl", text.as_bytes())]);
    read(&path.join("some.jsonl"))
}

/// RFC 3339 so many seconds after some morning.
fn time(seconds: u64) -> String {
    UnixTime(std::time::Duration::from_secs(1_795_000_000 + seconds)).rfc3339()
}

fn usage(read: u64, write: u64) -> Value {
    json!({"input_tokens": 5, "cache_read_input_tokens": read, "cache_creation_input_tokens": write,
        "cache_creation": {"ephemeral_5m_input_tokens": write, "ephemeral_1h_input_tokens": 0}, "output_tokens": 50})
}

/// An answer of Claude Code's in two lines, and what was asked before it.
fn claude(session: &str, turn: u64, at: u64, usage: &Value) -> Vec<Value> {
    let line = |kind: &str, at: u64, message: Value| {
        json!({"type": kind, "sessionId": session, "uuid": format!("{session}{turn}{at}"), "isSidechain": false,
            "timestamp": time(at), "message": message})
    };
    let part = |output: u64| {
        let mut usage = usage.clone();
        usage["output_tokens"] = output.into();
        json!({"id": format!("msg_{session}{turn}"), "model": "claude-sonnet-4-6", "content": [], "usage": usage})
    };
    vec![
        line("user", at, json!({"content": "go"})),
        line("assistant", at + 3, part(1)),
        line("assistant", at + 4, part(50)),
    ]
}

fn session(name: &str, from: u64, gap: u64) -> Vec<Value> {
    let of = |n: u64| {
        let read = if n == 0 { 0 } else { 9_000 + 1_000 * n };
        usage(read, if n == 0 { 10_000 } else { 1_000 })
    };
    (0..6).flat_map(|n| claude(name, n, from + n * gap, &of(n))).collect()
}

#[test]
fn an_answer_in_several_lines_counts_once_with_its_last_figures() {
    let report = of_lines(&session("s", 0, 60));
    assert_eq!((report.turns, report.conversations, report.tokens.output), (6, 1, 300));
    assert_eq!(report.hit_rate_by_turn[1], crate::gauge::share(10_000, 11_005));
    assert_eq!(report.diagnosis[0].kind, Kind::Healthy, "{:?}", report.diagnosis);
    assert_eq!(report.total_p50_s, Some(4.0));
}

#[test]
fn a_session_that_was_resumed_in_another_file_counts_once() {
    let text: String = session("s", 0, 60).iter().map(|line| format!("{line}\n")).collect();
    let again = text.replace("\"sessionId\":\"s\"", "\"sessionId\":\"t\"");
    let (_dir, path) = folder(&[("a.jsonl", text.as_bytes()), ("deep/er/b.jsonl", again.as_bytes())]);
    let report = read(&path);
    assert_eq!(report.turns, 6);
    assert_eq!(report.read.map(|read| (read.files, read.repeated_answers)), Some((2, 6)));
}

#[test]
fn sub_agents_failures_and_summaries_of_session_logs() {
    let mut lines = session("s", 0, 60);
    for line in session("s", 10, 60) {
        let mut line = line;
        line["isSidechain"] = true.into();
        line["agentId"] = "a1".into();
        if let Some(id) = line["message"]["id"].as_str() {
            line["message"]["id"] = format!("{id}x").into();
        }
        lines.push(line);
    }
    lines.push(json!({"type": "system", "subtype": "api_error", "sessionId": "s", "uuid": "e", "timestamp": time(400),
        "error": {"status": 529}}));
    lines.push(json!({"type": "assistant", "sessionId": "s", "uuid": "f", "timestamp": time(401),
        "isApiErrorMessage": true, "message": {"id": "x", "model": "<synthetic>",
        "content": [{"type": "text", "text": "API Error: 429 {\"type\":\"error\"}"}]}}));
    lines.push(json!({"type": "system", "subtype": "compact_boundary", "sessionId": "s", "uuid": "g",
        "timestamp": time(405)}));
    lines.extend(claude("s", 9, 410, &usage(0, 6_000)));
    let report = of_lines(&lines);
    assert_eq!((report.turns, report.conversations), (13, 2));
    assert_eq!((report.status_429, report.errors), (1, 1));
    assert_eq!(report.errors_by_kind[0].kind, "529");
    let found = report.diagnosis.iter().find(|found| found.kind == Kind::PrefixChanges);
    let sentence = &found.unwrap_or_else(|| panic!("{:?}", report.diagnosis)).sentence;
    assert!(sentence.contains("on 1 of 11 follow-up turns: the history was summed up"), "{sentence}");
}

/// A request's body at one turn: two blocks of a system prompt, and a history that grows.
fn body(session: &str, turn: usize, clock: &str, marked: bool) -> Value {
    let long =
        |words: &str, times: usize| format!("{words} {}", "Prefer small, reviewable changes. ".repeat(times));
    let mark = |mut block: Value| {
        if marked {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
        block
    };
    let mut messages = Vec::new();
    for n in 0..=turn {
        let text = json!({"type": "text", "text": long(&format!("Question {n} of {session}."), 20)});
        messages.push(json!({"role": "user", "content": [text]}));
        messages.push(json!({"role": "assistant", "content": format!("Answer {n} of {session}.")}));
    }
    messages.pop();
    let last = messages.last_mut().expect("a message");
    last["content"][0] = mark(last["content"][0].take());
    let rules = mark(json!({"type": "text", "text": long(&format!("Rules. {clock}"), 600)}));
    json!({"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": messages,
        "system": [{"type": "text", "text": "You are an agent."}, rules]})
}

fn answer(session: &str, turn: usize, usage: &Value) -> Value {
    json!({"id": format!("msg_{session}{turn}"), "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": format!("Answer {turn} of {session}.")}],
        "stop_reason": "end_turn", "usage": usage})
}

/// Two conversations of eight turns, side by side, each line as `make` has it.
fn talks(make: impl Fn(&str, usize, u64) -> Value) -> Report {
    let mut lines = Vec::new();
    for turn in 0..8 {
        for (n, name) in ["one", "two"].into_iter().enumerate() {
            let at = u64::try_from(turn * 30 + n * 7).expect("small");
            lines.push(make(name, turn, at));
        }
    }
    of_lines(&lines)
}

const fn warm(turn: usize) -> (u64, u64) {
    if turn == 0 { (0, 6_000) } else { (5_800 + 200 * turn as u64, 200) }
}

fn warm_usage(turn: usize) -> Value {
    let (read, write) = warm(turn);
    usage(read, write)
}

fn cold_usage(turn: usize) -> Value {
    let (read, write) = warm(turn);
    usage(0, read + write)
}

#[track_caller]
fn assert_first(report: &Report, kind: Kind, words: &str) {
    let first = &report.diagnosis[0];
    assert_eq!(first.kind, kind, "{:?}", report.diagnosis);
    assert!(first.sentence.contains(words), "`{words}` in {}", first.sentence);
}

#[test]
fn conversations_without_ids_are_told_by_their_prompts() {
    let report = talks(|name, turn, at| {
        json!({"timestamp": time(at), "request": body(name, turn, "", true),
            "response": answer(name, turn, &warm_usage(turn))})
    });
    assert_eq!((report.turns, report.conversations), (16, 2));
    assert_first(&report, Kind::Healthy, "Conversations find");
}

#[test]
fn a_clock_in_the_system_prompt_is_found_in_bodies() {
    let report = talks(|name, turn, at| {
        json!({"time": time(at), "session_id": name, "body": body(name, turn, &time(at), true).to_string(),
            "response": {"status_code": 200, "body": answer(name, turn, &cold_usage(turn))}})
    });
    assert_first(&report, Kind::PrefixChanges, "changes at system[1] on every turn: a timestamp");
    // Where nothing asks for caching that comes first, and the clock is found all the same.
    let report = talks(|name, turn, at| {
        json!({"time": time(at), "session_id": name, "kwargs": body(name, turn, &time(at), false),
            "completion": answer(name, turn, &json!({"input_tokens": 6_000 + 200 * turn, "output_tokens": 50}))})
    });
    let kinds: Vec<Kind> = report.diagnosis.iter().map(|found| found.kind).collect();
    assert!(kinds.contains(&Kind::NoMarks) && kinds.contains(&Kind::PrefixChanges), "{:?}", report.diagnosis);
}

#[test]
fn missing_marks_silence_and_several_accounts_are_found_in_bodies() {
    let report = talks(|name, turn, at| {
        json!({"startTime": 1_795_000_000 + at, "metadata": {"session_id": name},
            "request": body(name, turn, "", false),
            "output": answer(name, turn, &json!({"input_tokens": 6_000 + 200 * turn, "output_tokens": 50}))})
    });
    assert_first(&report, Kind::NoMarks, "`cache_control` is missing on 16 of 16");
    let report = talks(|name, turn, at| {
        json!({"created_at": time(at), "thread_id": name, "status": 200,
            "request": body(name, turn, "", true)})
    });
    assert_first(&report, Kind::UsageNotReported, "no answer says");
    assert!(report.possible_hit_rate.is_some_and(|part| part > 0.7), "{report:?}");
    let report = talks(|name, turn, at| {
        let organisation = format!("org-{}", turn % 4);
        json!({"timestamp": time(at), "session": name, "request": {"headers": {}, "json": body(name, turn, "", true)},
            "response_headers": {"Anthropic-Organization-Id": organisation},
            "response": answer(name, turn, &cold_usage(turn))})
    });
    assert_first(&report, Kind::SeveralAccounts, "headers name 4 accounts");
    // What changed nowhere, on one account, changed behind whoever wrote the log.
    let report = talks(|name, turn, at| {
        json!({"timestamp": time(at), "session": name, "request": body(name, turn, "", true), "account": "only",
            "response": answer(name, turn, &cold_usage(turn))})
    });
    assert_first(&report, Kind::PrefixChangedOnTheWay, "the account stayed the same");
}

#[test]
fn chat_streams_lists_of_chunks_and_errors() {
    let chat = |turn: usize| json!({"model": "gpt-5.6", "messages": body("x", turn, "", false)["messages"]});
    let figures = |turn: usize| {
        let cached = if turn == 0 { 0 } else { 1_900 + 100 * turn };
        json!({"prompt_tokens": 2_000 + 100 * turn, "completion_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": cached}})
    };
    let chunk =
        |usage: Value| json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage});
    let mut lines = vec![
        json!({"timestamp": time(0), "session_id": "x", "request": chat(0),
            "response": [chunk(Value::Null), chunk(figures(0))]}),
        json!({"timestamp": time(10), "session_id": "x", "request": chat(1),
            "response": format!("data: {}\n\ndata: [DONE]\n\n", chunk(figures(1)))}),
        json!({"timestamp": time(20), "session_id": "x", "request": chat(2), "usage": figures(2), "ttft_ms": 300}),
    ];
    lines.push(json!({"timestamp": time(30), "session_id": "x", "request": chat(3), "status_code": 429,
        "response": {"error": {"type": "tokens", "message": "slow down"}}}));
    lines.push(json!({"timestamp": time(40), "session_id": "x", "request": chat(3), "status": "failure",
        "error": {"type": "<b>bad</b>"}}));
    let report = of_lines(&lines);
    assert_eq!((report.turns, report.status_429, report.errors), (3, 1, 1), "{report:?}");
    assert_eq!(report.turns_with_usage, 3);
    assert_eq!((report.tokens.cached_read, report.tokens.input), (4_100, 2_200));
    assert_eq!(report.ttft_p50_s, Some(0.3));
}

#[test]
fn a_trace_says_what_was_possible_and_nothing_more() {
    let mut lines = Vec::new();
    for turn in 0..10_u64 {
        let keep = if turn == 0 { 0 } else { 2 + 2 * turn };
        let blocks = if turn == 0 {
            json!([["aa", 9_000, "tools"], ["bb", 9_000, "system"], ["c1", 900, "user"], ["c2", 10, "user"]])
        } else {
            json!([[format!("{turn:x}a"), 300, "assistant"], [format!("{turn:x}b"), 2_000, "user"]])
        };
        lines.push(
            json!({"session": "s", "agent": "main", "turn": turn, "at": 20.0 * turn as f64, "took": 2.0,
            "model": "claude-sonnet-4-6", "keep": keep, "blocks": blocks, "marks": [3], "output": 50}),
        );
    }
    let report = of_lines(&lines);
    assert_eq!((report.turns, report.hit_rate, report.cost_usd), (10, None, None));
    assert!(report.possible_hit_rate.is_some_and(|part| part > 0.8), "{report:?}");
    assert_first(&report, Kind::UsageNotReported, "so much one account could have read");
    // A system prompt that is another one on each turn.
    for (turn, line) in lines.iter_mut().enumerate().skip(1) {
        line["keep"] = 1.into();
        line["blocks"] =
            json!([[format!("{turn:x}d"), 9_000, "system"], [format!("{turn:x}e"), 900, "user"]]);
    }
    let report = of_lines(&lines);
    let found = report.diagnosis.iter().find(|found| found.kind == Kind::PrefixChanges);
    assert!(
        found.is_some_and(|found| found.sentence.contains("at system[0] on every turn")),
        "{:?}",
        report.diagnosis
    );
}

#[test]
fn receipts_are_read_with_their_account_and_their_break() {
    let line = |turn: u64, read: u64, broke: Value| {
        json!({"seq": turn, "id": format!("r{turn}"), "at": 1_795_000_000_000_u64 + turn * 30_000,
            "organisation": "default",
            "session": "ab12", "id_source": "header", "operation": "/v1/messages", "model": "claude-sonnet-4-6",
            "endpoint": "one", "status": 200, "outcome": "ok", "input": 5, "cached_read": read,
            "write_5m": 10_000 - read, "write_1h": 0, "output": 50, "estimated": false, "keep_alive": turn == 7,
            "cache_break": broke, "break_tokens": 9_000, "total_us": 1_500_000, "first_token_us": 400_000})
    };
    let lines: Vec<Value> = (0..8).map(|n| line(n, if n == 0 { 0 } else { 9_900 }, Value::Null)).collect();
    let report = of_lines(&lines);
    assert_eq!((report.turns, report.ttft_p50_s, report.total_p50_s), (7, Some(0.4), Some(1.5)));
    assert_first(&report, Kind::Healthy, "");
    let lines: Vec<Value> = (0..8).map(|n| line(n, 0, json!("tools_changed"))).collect();
    assert_first(&of_lines(&lines), Kind::PrefixChanges, "The prefix changes on every turn: tools are added");
}

#[test]
fn half_files_junk_and_other_peoples_lines_are_counted() {
    let good: String = session("s", 0, 60).iter().map(|line| format!("{line}\n")).collect();
    let cut = &good[..good.len() - 40];
    let junk: Vec<u8> = (0..12_500_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(good.replace("\"s\"", "\"z\"").replace("msg_s", "msg_z").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let nested = format!("{}1{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let (_dir, path) = folder(&[
        ("cut.jsonl", cut.as_bytes()),
        ("empty.jsonl", b""),
        ("junk.jsonl", &junk),
        ("whole.jsonl.gz", &packed),
        ("half.jsonl.gz", &packed[..packed.len() / 2]),
        ("other.jsonl", b"{\"level\":\"info\"}\n[1,2]\nnull\n\n{\"a\":\"\\ud800\"}\n"),
        ("nested.jsonl", nested.as_bytes()),
        ("notes.txt", good.as_bytes()),
    ]);
    let report = read(&path);
    let read = report.read.clone().expect("files");
    // The cut one ends in half a line; so does the junk.
    assert_eq!((read.files, read.unfinished_lines), (7, 2), "{read:?}");
    assert!(read.bad_lines >= 5 && read.other_lines >= 1, "{read:?}");
    assert!(
        read.first_fault.as_ref().is_some_and(|fault| fault.contains(".jsonl:1: ") || fault.contains(".gz:")),
        "{read:?}"
    );
    // The cut one has lost the second line of its last answer, the packed one nothing.
    assert!(report.turns >= 12, "{report:?}");
    assert!(report.remarks.iter().any(|remark| remark.contains("Left out")), "{:?}", report.remarks);
}

#[test]
fn files_of_a_folder_are_read_by_the_time_of_their_first_lines() {
    let lines = session("s", 0, 60);
    let text = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (early, late) = (text(&lines[..9]), text(&lines[9..]));
    let (_dir, path) = folder(&[("a.jsonl", late.as_bytes()), ("b.jsonl.1", early.as_bytes())]);
    let report = read(&path);
    assert_eq!(report.read.map(|read| read.out_of_order), Some(0));
    assert_eq!(report.hit_rate_by_turn[0], Some(0.0), "the first turn is the one that wrote");
}
