//! Reading streamed answers as they pass, in chunks as a network brings them.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::{fs, hint::black_box, path::Path};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use warmkey::{
    dialect::{Signal, StreamReader},
    types::Operation,
};

fn streams(criterion: &mut Criterion) {
    for (name, operation) in [
        ("anthropic", Operation::Messages),
        ("openai_chat", Operation::ChatCompletions),
        ("openai_responses", Operation::Responses),
    ] {
        let mut group = criterion.benchmark_group(format!("sse/{name}"));
        for fixture in ["tool-call-heavy", "non-latin"] {
            let path = Path::new("tests/golden").join(name).join("stream").join(format!("{fixture}.sse"));
            let stream = Bytes::from(fs::read(path).expect("a golden stream"));
            group.throughput(Throughput::Bytes(stream.len() as u64));
            for (label, hide) in [("as it is", false), ("usage hidden", true)] {
                if hide && operation != Operation::ChatCompletions {
                    continue;
                }
                group.bench_function(format!("{fixture}, {label}"), |bencher| {
                    bencher.iter(|| read(operation, black_box(&stream), hide));
                });
            }
        }
        group.finish();
    }
}

/// Bytes of output seen.
fn read(operation: Operation, stream: &Bytes, hide: bool) -> usize {
    let mut reader = StreamReader::new(operation, hide);
    let mut output = 0;
    for start in (0..stream.len()).step_by(4_096) {
        let chunk = stream.slice(start..stream.len().min(start + 4_096));
        black_box(reader.push(&chunk, &mut |signal| {
            if let Signal::Delta { raw, .. } = signal {
                output += raw.len();
            }
        }));
    }
    output
}

criterion_group!(benches, streams);
criterion_main!(benches);
