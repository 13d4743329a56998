//! Golden streams: what is found in them, and what is forwarded, however they are cut.

#![expect(clippy::expect_used, clippy::panic, reason = "a test helper may stop the test")]

use std::{fs, path::Path};

use bytes::Bytes;
use serde_json::{Value, json};
use warmkey::{
    dialect::{DeltaKind, Passed, Signal, StreamReader},
    types::{Operation, ReportedUsage},
};

/// What a reading of a stream found, in the shape of the expectation beside it.
#[derive(Default)]
struct Found {
    id: Option<String>,
    output: [Vec<u8>; 3],
    deltas: u64,
    tool_calls: Vec<String>,
    stops: Vec<String>,
    usage: ReportedUsage,
    errors: Vec<Value>,
    terminal: bool,
    complete: bool,
    last_sequence: Option<u64>,
    forwarded: Vec<u8>,
}

impl Found {
    fn see(&mut self, signal: Signal<'_>) {
        match signal {
            Signal::Started { id } => {
                assert_eq!(self.id.replace(id), None, "started twice");
            }
            Signal::Lifecycle | Signal::Model(_) | Signal::Tier(_) => {}
            Signal::Delta { kind, raw } => {
                self.deltas += 1;
                let place = match kind {
                    DeltaKind::Text => 0,
                    DeltaKind::Thinking => 1,
                    DeltaKind::ToolArguments => 2,
                };
                self.output[place].extend_from_slice(raw);
            }
            Signal::ToolCall { id } => self.tool_calls.push(id),
            Signal::Usage(usage) => self.usage.overwrite(&usage),
            Signal::Stop(stop) => self.stops.push(format!("{stop:?}")),
            Signal::Terminal => self.terminal = true,
            Signal::Error(fault) => self.errors.push(json!({ "kind": fault.kind, "code": fault.code })),
        }
    }

    fn output(&self, place: usize) -> Value {
        let quoted = [b"\"".as_slice(), &self.output[place], b"\""].concat();
        serde_json::from_slice(&quoted).expect("escaped text")
    }

    fn usage(&self) -> Value {
        let figures = [
            ("input", self.usage.input),
            ("cached_read", self.usage.cached_read),
            ("write_5m", self.usage.write_5m),
            ("write_1h", self.usage.write_1h),
            ("output", self.usage.output),
            ("reasoning", self.usage.reasoning),
        ];
        let said = figures.iter().filter_map(|(name, figure)| Some(((*name).to_owned(), json!((*figure)?))));
        Value::Object(said.collect())
    }
}

fn operation(name: &str) -> Operation {
    match name {
        "messages" => Operation::Messages,
        "chat_completions" => Operation::ChatCompletions,
        "responses" => Operation::Responses,
        other => panic!("no operation `{other}`"),
    }
}

fn read(operation: Operation, stream: &Bytes, cut: usize, hide_usage: bool) -> Found {
    let mut reader = StreamReader::new(operation, hide_usage);
    let mut found = Found::default();
    for start in (0..stream.len()).step_by(cut) {
        let chunk = stream.slice(start..stream.len().min(start + cut));
        match reader.push(&chunk, &mut |signal| found.see(signal)) {
            Passed::Whole => found.forwarded.extend_from_slice(&chunk),
            Passed::Pieces(pieces) => found.forwarded.extend_from_slice(&pieces.concat()),
        }
    }
    let end = reader.end(&mut |signal| found.see(signal));
    found.forwarded.extend_from_slice(&end.held);
    found.complete = end.complete;
    found.last_sequence = reader.last_sequence();
    found
}

/// Reads the stream at `path` in many cuts and holds it against the `.json` beside it.
fn check_stream(path: &Path) {
    let stream = Bytes::from(fs::read(path).expect("a stream"));
    let expected = fs::read_to_string(path.with_extension("json")).expect("its expectation");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let operation = operation(expected["operation"].as_str().unwrap_or_default());
    for hide_usage in [false, true] {
        let hidden = usize::try_from(expected["hidden"].as_u64().unwrap_or(0)).expect("a size");
        let kept = stream.len() - if hide_usage { hidden } else { 0 };
        for cut in [usize::MAX >> 1, 16_384, 1_460, 211, 64, 7, 1] {
            let case = format!("{}, cut by {cut}, hide_usage {hide_usage}", path.display());
            let found = read(operation, &stream, cut, hide_usage);
            assert_eq!(json!(found.id), expected["id"], "{case}");
            for (place, name) in ["text", "thinking", "arguments"].iter().enumerate() {
                assert_eq!(found.output(place), expected[*name], "{name}: {case}");
            }
            assert_eq!(json!(found.deltas), expected["deltas"], "{case}");
            assert_eq!(json!(found.tool_calls), expected["tool_calls"], "{case}");
            assert_eq!(json!(found.stops), expected["stops"], "{case}");
            assert_eq!(found.usage(), expected["usage"], "{case}");
            assert_eq!(json!(found.errors), expected["errors"], "{case}");
            assert_eq!(json!(found.terminal), expected["terminal"], "{case}");
            assert_eq!(json!(found.complete), expected["complete"], "{case}");
            assert_eq!(json!(found.last_sequence), expected["last_sequence"], "{case}");
            assert_eq!(found.forwarded.len(), kept, "{case}");
            if kept == stream.len() {
                assert_eq!(found.forwarded, stream, "{case}");
            } else {
                let text = String::from_utf8_lossy(&found.forwarded);
                assert!(!text.contains(r#""usage":{"#), "{case}");
            }
        }
    }
}

fn check_folder(dialect: &str, at_least: usize) {
    let folder = Path::new("tests/golden").join(dialect).join("stream");
    let streams: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sse"))
        .collect();
    assert!(streams.len() >= at_least, "only {} streams", streams.len());
    streams.iter().for_each(|path| check_stream(path));
}

#[test]
fn anthropic_streams_are_read_as_written() {
    check_folder("anthropic", 8);
}

#[test]
fn openai_chat_streams_are_read_as_written() {
    check_folder("openai_chat", 8);
}

#[test]
fn openai_responses_streams_are_read_as_written() {
    check_folder("openai_responses", 8);
}
