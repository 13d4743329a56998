//! Requests and answers in other words: all directions, and what an event costs in allocations.
//!
//! `cargo bench --bench translate`; the allocations are printed first.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark may stop, and speaks")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use warmkey::{
    dialect::{
        Framing, Maker, OnLoss, Quirks, ScanLimits, Signal, StreamReader, StreamTranslator, Target,
        Translated, scan, translate_request,
    },
    types::{Dialect, Operation, ProviderDialect},
};

const CLIENTS: [(Dialect, Operation); 3] = [
    (Dialect::Anthropic, Operation::Messages),
    (Dialect::OpenAiChat, Operation::ChatCompletions),
    (Dialect::OpenAiResponses, Operation::Responses),
];

/// Of a coding agent's conversation: files read, commands run.
const TURNS: usize = 100;
const RESULT: usize = 3_600;
/// Deltas in a stream.
const DELTAS: usize = 2_000;

fn result(n: usize) -> String {
    let line = format!("{n:4}  let total = parts.iter().map(|part| part.len()).sum::<usize>(); // \"{n}\"\n");
    line.repeat(RESULT / line.len())
}

/// About 400 KB.
fn conversation(client: Dialect) -> Vec<u8> {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    let body = match client {
        Dialect::Anthropic => {
            let mut messages = vec![json!({"role": "user", "content": "Find the bug."})];
            for n in 0..TURNS {
                let id = format!("toolu_{n:04}");
                messages.push(json!({"role": "assistant", "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": id, "name": "read", "input": {"path": format!("/src/{n}.rs")}}]}));
                messages.push(json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": result(n)}]}));
            }
            json!({"model": "m", "max_tokens": 1024, "stream": true, "system": "Be brief.",
                "tools": [{"name": "read", "description": "Reads.", "input_schema": schema}], "messages": messages})
        }
        Dialect::OpenAiChat => {
            let mut messages = vec![
                json!({"role": "system", "content": "Be brief."}),
                json!({"role": "user", "content": "Find the bug."}),
            ];
            for n in 0..TURNS {
                let id = format!("call_{n:04}");
                messages.push(json!({"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": id, "type": "function", "function": {
                        "name": "read", "arguments": format!("{{\"path\":\"/src/{n}.rs\"}}")}}]}));
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": result(n)}));
            }
            json!({"model": "m", "stream": true, "messages": messages,
                "tools": [{"type": "function", "function": {"name": "read", "parameters": schema}}]})
        }
        Dialect::OpenAiResponses => {
            let mut input = vec![json!({"role": "user", "content": "Find the bug."})];
            for n in 0..TURNS {
                let id = format!("call_{n:04}");
                input.push(json!({"type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": "I look."}]}));
                input.push(json!({"type": "function_call", "call_id": id, "name": "read",
                    "arguments": format!("{{\"path\":\"/src/{n}.rs\"}}")}));
                input.push(json!({"type": "function_call_output", "call_id": id, "output": result(n)}));
            }
            json!({"model": "m", "stream": true, "instructions": "Be brief.", "input": input,
                "tools": [{"type": "function", "name": "read", "parameters": schema}]})
        }
    };
    body.to_string().into_bytes()
}

fn target(dialect: ProviderDialect, quirks: &Quirks) -> Target<'_> {
    Target { dialect, maker: Maker::of("bench"), model: "model-1", quirks, on_loss: OnLoss::default() }
}

fn translated(operation: Operation, body: &[u8], to: ProviderDialect) -> Translated {
    let quirks = Quirks::default();
    translate_request(operation, body, &target(to, &quirks), "0123456789abcdef", 1_760_000_000)
        .expect("nothing in it is out of the ordinary")
}

fn requests(criterion: &mut Criterion) {
    let quirks = Quirks::default();
    for (client, operation) in CLIENTS {
        let body = conversation(client);
        let mut group = criterion.benchmark_group(format!("request/{client}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        // What every request pays before anything is translated.
        group.bench_function("scan", |bencher| {
            bencher.iter(|| scan(operation, black_box(&body), &ScanLimits::default()));
        });
        for to in ProviderDialect::ALL.into_iter().filter(|to| to.client() != Some(client)) {
            let target = target(to, &quirks);
            group.bench_function(to.label(), |bencher| {
                bencher.iter(|| translate_request(operation, black_box(&body), &target, "0123", 1));
            });
        }
        group.finish();
    }
}

fn sse(events: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        if let Some(kind) = event["type"].as_str() {
            out.extend_from_slice(format!("event: {kind}\n").as_bytes());
        }
        out.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
    out
}

/// One message of AWS's event stream.
fn message(kind: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(u8::try_from(name.len()).expect("short"));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("short").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = |n: usize| u32::try_from(n).expect("short").to_be_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&length(16 + headers.len() + payload.len()));
    out.extend_from_slice(&length(headers.len()));
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload.as_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

const WORDS: &str = " and so the \\\"total\\\" is off by one";

/// A stream of text, as its provider sends it.
fn stream(from: ProviderDialect) -> Vec<u8> {
    let text = WORDS.replace("\\\"", "\"");
    match from {
        ProviderDialect::Anthropic | ProviderDialect::BedrockClaude => {
            let mut events = vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
                    "model": "m", "content": [], "stop_reason": null, "stop_sequence": null,
                    "usage": {"input_tokens": 9, "cache_read_input_tokens": 90_000,
                        "cache_creation_input_tokens": 800, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ];
            let delta = json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": text}});
            events.extend(std::iter::repeat_n(delta, DELTAS));
            events.push(json!({"type": "content_block_stop", "index": 0}));
            events.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn",
                "stop_sequence": null}, "usage": {"output_tokens": 9_000}}));
            events.push(json!({"type": "message_stop"}));
            sse(&events)
        }
        ProviderDialect::OpenAiChat => {
            let chunk = |delta: Value, stop: Value| {
                json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": stop}]})
            };
            let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
            events.extend(std::iter::repeat_n(chunk(json!({"content": text}), Value::Null), DELTAS));
            events.push(chunk(json!({}), json!("stop")));
            events.push(json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                "model": "m", "choices": [], "usage": {"prompt_tokens": 90_809, "completion_tokens": 9_000,
                "total_tokens": 99_809, "prompt_tokens_details": {"cached_tokens": 90_000}}}));
            let mut out = sse(&events);
            out.extend_from_slice(b"data: [DONE]\n\n");
            out
        }
        ProviderDialect::OpenAiResponses => {
            let response = json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "m",
                "status": "in_progress", "output": []});
            let mut events = vec![
                json!({"type": "response.created", "sequence_number": 0, "response": response}),
                json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                    "item": {"id": "msg_1", "type": "message", "role": "assistant", "content": []}}),
                json!({"type": "response.content_part.added", "sequence_number": 2, "output_index": 0,
                    "content_index": 0, "item_id": "msg_1",
                    "part": {"type": "output_text", "text": "", "annotations": []}}),
            ];
            let delta = json!({"type": "response.output_text.delta", "sequence_number": 3, "output_index": 0,
                "content_index": 0, "item_id": "msg_1", "delta": text, "logprobs": []});
            events.extend(std::iter::repeat_n(delta, DELTAS));
            let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text.repeat(DELTAS), "annotations": []}]});
            events.push(json!({"type": "response.output_text.done", "sequence_number": 4, "output_index": 0,
                "content_index": 0, "item_id": "msg_1", "text": text.repeat(DELTAS), "logprobs": []}));
            events.push(json!({"type": "response.output_item.done", "sequence_number": 5, "output_index": 0,
                "item": item}));
            events.push(
                json!({"type": "response.completed", "sequence_number": 6, "response": {"id": "resp_1",
                "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
                "usage": {"input_tokens": 90_809, "output_tokens": 9_000, "total_tokens": 99_809,
                    "input_tokens_details": {"cached_tokens": 90_000},
                    "output_tokens_details": {"reasoning_tokens": 0}}}}),
            );
            sse(&events)
        }
        ProviderDialect::Gemini => {
            let usage = json!({"promptTokenCount": 90_809, "cachedContentTokenCount": 90_000,
                "candidatesTokenCount": 9_000, "totalTokenCount": 99_809});
            let part = |stop: Option<&str>| {
                json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0,
                    "finishReason": stop}], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"})
            };
            let mut events = vec![part(None); DELTAS - 1];
            events.push(part(Some("STOP")));
            sse(&events)
        }
        ProviderDialect::Bedrock => {
            let mut out = message("messageStart", &json!({"role": "assistant"}));
            for _ in 0..DELTAS {
                out.extend(message(
                    "contentBlockDelta",
                    &json!({"contentBlockIndex": 0, "delta": {"text": text}}),
                ));
            }
            out.extend(message("contentBlockStop", &json!({"contentBlockIndex": 0})));
            out.extend(message("messageStop", &json!({"stopReason": "end_turn"})));
            out.extend(message(
                "metadata",
                &json!({"usage": {"inputTokens": 9, "outputTokens": 9_000, "totalTokens": 9_009,
                    "cacheReadInputTokens": 90_000, "cacheWriteInputTokens": 800}, "metrics": {"latencyMs": 1}}),
            ));
            out
        }
    }
}

/// Bytes of output seen; bytes written.
fn pass(from: ProviderDialect, asked: &Translated, stream: &Bytes) -> (usize, usize) {
    let framing = if from == ProviderDialect::Bedrock { Framing::EventStream } else { Framing::Sse };
    let mut translator = StreamTranslator::new(from, Maker::of("bench"), framing, asked.asked.clone());
    let (mut output, mut written) = (0, 0);
    let mut see = |signal: Signal<'_>| {
        if let Signal::Delta { raw, .. } = signal {
            output += raw.len();
        }
    };
    for start in (0..stream.len()).step_by(4_096) {
        let chunk = &stream[start..stream.len().min(start + 4_096)];
        written += black_box(translator.push(chunk, &mut see)).len();
    }
    let end = translator.end(&mut see);
    assert!(end.complete, "the stream is whole");
    (output, written + end.held.len())
}

const PROVIDERS: [ProviderDialect; 5] = [
    ProviderDialect::Anthropic,
    ProviderDialect::OpenAiChat,
    ProviderDialect::OpenAiResponses,
    ProviderDialect::Gemini,
    ProviderDialect::Bedrock,
];

fn streams(criterion: &mut Criterion) {
    for (client, operation) in CLIENTS {
        let mut group = criterion.benchmark_group(format!("stream/{client}"));
        for from in PROVIDERS {
            let stream = Bytes::from(stream(from));
            group.throughput(Throughput::Bytes(stream.len() as u64));
            if from.client() == Some(client) {
                group.bench_function(format!("{} as it comes", from.label()), |bencher| {
                    bencher.iter(|| {
                        let mut reader = StreamReader::new(operation, false);
                        for start in (0..stream.len()).step_by(4_096) {
                            let chunk = stream.slice(start..stream.len().min(start + 4_096));
                            black_box(reader.push(&chunk, &mut |signal| {
                                black_box(signal);
                            }));
                        }
                    });
                });
                continue;
            }
            let asked = translated(operation, &conversation(client), from);
            group.bench_function(from.label(), |bencher| {
                bencher.iter(|| pass(from, &asked, black_box(&stream)));
            });
        }
        group.finish();
    }
}

/// Allocations for an event of a stream, and for a request.
fn allocations(_: &mut Criterion) {
    println!("{:<18} {:<18} {:>12} {:>14}", "client", "provider", "a request", "an event");
    for (client, operation) in CLIENTS {
        let body = conversation(client);
        for to in PROVIDERS.into_iter().filter(|to| to.client() != Some(client)) {
            let stream = Bytes::from(stream(to));
            let asked = translated(operation, &body, to);
            let request = allocation_counter::measure(|| drop(black_box(translated(operation, &body, to))));
            let answer = allocation_counter::measure(|| {
                black_box(pass(to, &asked, &stream));
            });
            let events = answer.count_total as f64 / DELTAS as f64;
            println!("{client:<18} {:<18} {:>12} {events:>14.2}", to.label(), request.count_total);
        }
    }
}

criterion_group!(benches, allocations, requests, streams);
criterion_main!(benches);
