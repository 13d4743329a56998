//! Fixtures of both sides: bodies that clients send, answers that hosts give.

use std::{fs, path::PathBuf};

use crate::{
    dialect::{
        neutral::{Losses, Maker, OnLoss},
        signal::Signal,
        translate::{Asked, Framing, Quirks, StreamTranslator, Target, translate_answer},
    },
    types::{Dialect, ProviderDialect},
};

/// The fixtures of one side, by name.
fn fixtures(side: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/golden/translate/openai_chat", side].iter().collect();
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn asked() -> Asked {
    Asked {
        origin: Dialect::OpenAiChat,
        stream: true,
        include_usage: true,
        model: "m".into(),
        id: "0123".into(),
        created: 0,
        echo: Vec::new(),
    }
}

const MAKER: &str = "host";

/// The stream as a Chat client gets it, and whether it is complete.
fn translated(stream: &[u8], size: usize) -> (Vec<u8>, bool) {
    let maker = Maker::of(MAKER);
    let mut translator = StreamTranslator::new(ProviderDialect::OpenAiChat, maker, Framing::Sse, asked());
    let mut see = |_: Signal<'_>| {};
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        out.extend_from_slice(&translator.push(chunk, &mut see));
    }
    let end = translator.end(&mut see);
    out.extend_from_slice(&end.held);
    (out, end.complete)
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    for (name, stream) in fixtures("stream") {
        let (whole, complete) = translated(&stream, stream.len());
        for size in [1, 2, 3, 7, 64, 1_000] {
            assert_eq!(translated(&stream, size).0, whole, "{name}, {size}");
        }
        let ends_badly = ["broken-off", "error-in-the-midst", "openrouter-error"].contains(&name.as_str());
        assert_eq!(complete, !ends_badly, "{name}");
        assert_eq!(whole.ends_with(b"data: [DONE]\n\n"), complete, "{name}");
    }
}

#[test]
fn a_translated_stream_translates_to_itself() {
    for (name, stream) in fixtures("stream") {
        if name == "google-whole-calls" || name.contains("thinking") {
            // Seals travel behind ids; that they come home is tested elsewhere.
            continue;
        }
        let (once, _) = translated(&stream, stream.len());
        let (twice, _) = translated(&once, once.len());
        assert_eq!(String::from_utf8(twice).unwrap(), String::from_utf8(once).unwrap(), "{name}");
    }
}

#[test]
fn a_whole_answer_is_written_or_known_for_an_error() {
    for (name, body) in fixtures("whole") {
        let maker = Maker::of(MAKER);
        let mut errors = 0;
        let written = translate_answer(ProviderDialect::OpenAiChat, maker, &asked(), &body, &mut |signal| {
            errors += usize::from(matches!(signal, Signal::Error(_)));
        });
        assert_eq!(
            (written.is_none(), errors),
            if name == "error" { (true, 1) } else { (false, 0) },
            "{name}"
        );
    }
}

#[test]
fn a_request_that_was_written_is_written_the_same_again() {
    for (name, body) in fixtures("read") {
        let write = |body: &[u8]| {
            let quirks = Quirks { cache_control: name == "cache-marks", ..Quirks::default() };
            let target = Target {
                dialect: ProviderDialect::OpenAiChat,
                maker: Maker::of(MAKER),
                model: "m",
                quirks: &quirks,
                on_loss: OnLoss::Drop,
            };
            let mut losses = Losses::default();
            let request = super::read_request(body, &mut losses).unwrap();
            let written = super::write_request(&request, &target, &mut losses);
            (written, losses.settle(OnLoss::Drop).unwrap())
        };
        let (once, lost) = write(&body);
        assert_eq!(write(&once).0, once, "{name}");
        let expected: &[&str] = match name.as_str() {
            "broken-arguments" => &["messages[1].tool_calls[0].function.arguments"],
            "cache-breakpoints" => &["cache_control"],
            "only-here" => &["n", "logprobs", "prediction"],
            "settings" => &["metadata", "store"],
            _ => &[],
        };
        assert_eq!(lost, expected, "{name}");
    }
}
