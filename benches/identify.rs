//! What identifying a request costs: scanning its body, and finding its conversation by the prefix
//! chain and the whole ladder.
//!
//! The bodies are an agent's: tool schemas, then turns of code full of `\n` and `\"`, tool calls and
//! their results.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::HeaderMap;
use serde_json::json;
use warmkey::{
    clock::Moment,
    dialect::{ScanLimits, scan},
    session::{Asked, Links, LinksParams, SessionParams, identify},
    types::{Dialect, Operation, TenantId},
};

const CODE: &str = "    let mut total = 0;\n    for (name, size) in &entries {\n        println!(\"{name}: {size}\");\n        total += size;\n    }\n    Ok(total)\n}\n\n/// Reads \"entries\" from a folder.\n";

fn body(operation: Operation, size: usize) -> Bytes {
    let anthropic = operation.dialect() == Dialect::Anthropic;
    let schema = json!({"type": "object", "properties": {"path": {"type": "string", "description": "Where to look."},
        "limit": {"type": "integer", "minimum": 1}}, "required": ["path"], "additionalProperties": false});
    let tools: Vec<_> = (0..if size < 4_000 { 1 } else { 20 })
        .map(|n| if anthropic { json!({"name": format!("tool_{n}"), "description": CODE, "input_schema": schema}) } else { json!({"type": "function", "function": {"name": format!("tool_{n}"), "description": CODE, "parameters": schema}}) })
        .collect();
    let mut messages = vec![json!({"role": "user", "content": "Find out why the build fails."})];
    let mut written = 0;
    for n in 0.. {
        if written > size {
            break;
        }
        let (call, text) = (format!("call_{n}"), CODE.repeat(1 + n % 12));
        written += text.len() + 400;
        let turn = if anthropic {
            [
                json!({"role": "assistant", "content": [{"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": call, "name": "tool_1", "input": {"path": "/src/main.rs"}}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": text}]}),
            ]
        } else {
            [
                json!({"role": "assistant", "content": "I look.", "tool_calls": [{"id": call, "type": "function",
                    "function": {"name": "tool_1", "arguments": "{\"path\":\"/src/main.rs\"}"}}]}),
                json!({"role": "tool", "tool_call_id": call, "content": text}),
            ]
        };
        messages.extend(turn);
    }
    let body = json!({"model": "claude-sonnet-4-6", "max_tokens": 32_000, "stream": true, "tools": tools, "messages": messages});
    Bytes::from(body.to_string())
}

const SIZES: [(&str, usize); 4] = [("1KB", 300), ("40KB", 34_000), ("400KB", 360_000), ("2MB", 1_800_000)];

fn scans(criterion: &mut Criterion) {
    for (name, operation) in [("messages", Operation::Messages), ("chat", Operation::ChatCompletions)] {
        let mut group = criterion.benchmark_group(format!("scan/{name}"));
        for (label, size) in SIZES {
            let body = body(operation, size);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(label, |bencher| {
                bencher.iter(|| scan(operation, black_box(&body), &ScanLimits::default()).expect("a view"));
            });
        }
        group.finish();
    }
}

fn identifies(criterion: &mut Criterion) {
    let (headers, tenant) = (HeaderMap::new(), TenantId::from("default"));
    for (name, operation) in [("messages", Operation::Messages), ("chat", Operation::ChatCompletions)] {
        let mut group = criterion.benchmark_group(format!("identify/{name}"));
        for (label, size) in SIZES {
            let body = body(operation, size);
            let links = Links::new(LinksParams::default(), 1);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    let view = scan(operation, black_box(&body), &ScanLimits::default()).expect("a view");
                    let model = view.model.value.clone();
                    let asked =
                        Asked { headers: &headers, view: &view, body: &body, tenant: &tenant, model: &model };
                    identify(&asked, &SessionParams::default(), &links, Moment::from_millis(1))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, scans, identifies);
criterion_main!(benches);
