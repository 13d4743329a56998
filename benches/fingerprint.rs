//! How long recognising a conversation takes once its body is scanned: the prefix chain, and the
//! whole ladder, for bodies of 1 KB to 2 MB.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::HeaderMap;
use warmkey::{
    clock::Moment,
    dialect::{Block, BodyIds, RequestView, TtlAsked, Value},
    session::{Asked, Links, LinksParams, SessionParams, chain, identify},
    types::{ModelName, Operation, Section, TenantId},
};

/// A coding agent's body: 24 tools, three system blocks, then calls and results of about 1.5 KB, a
/// marker on the last block.
fn body(bytes: usize) -> (Vec<u8>, RequestView) {
    let mut text = b"{".to_vec();
    let mut blocks = Vec::new();
    let mut add = |text: &mut Vec<u8>, section, size: usize| {
        let start = text.len();
        text.extend(br#"{"type":"text","text":""#);
        text.extend((0..size).map(|n| b"etaoin shrdlu"[n % 13]));
        text.extend(br#""}"#);
        let span = start..text.len();
        blocks.push(Block {
            section,
            span,
            marker: None,
            opens_message: section != Section::Tools,
            attribution: false,
        });
    };
    (0..24).for_each(|_| add(&mut text, Section::Tools, bytes / 120));
    (0..3).for_each(|_| add(&mut text, Section::System, bytes / 60));
    for turn in 0.. {
        if text.len() + 1500 > bytes && turn > 0 {
            break;
        }
        add(&mut text, if turn % 2 == 0 { Section::User } else { Section::Assistant }, 1500.min(bytes / 4));
    }
    if let Some(last) = blocks.last_mut() {
        last.marker = Some(last.span.end - 12..last.span.end - 2);
    }
    let view = RequestView {
        operation: Operation::Messages,
        model: Value { value: "claude-sonnet-4-6".into(), span: 0..0 },
        stream: true,
        background: false,
        max_output_tokens: None,
        includes_usage: false,
        stream_options: None,
        body_start: 1,
        empty: false,
        has_history: blocks.len() > 28,
        blocks,
        tool_result_ids: Vec::new(),
        last_reply: Vec::new(),
        pins: Vec::new(),
        encrypted_content: false,
        ids: BodyIds::default(),
        ttl: TtlAsked::Short,
    };
    (text, view)
}

fn fingerprint(criterion: &mut Criterion) {
    let (tenant, model) = (TenantId::from("acme"), ModelName::from("claude-sonnet-4-6"));
    let (params, links, now) =
        (SessionParams::default(), Links::new(LinksParams::default(), 7), Moment::from_millis(3_600_000));
    for (name, bytes) in [("1KB", 1 << 10), ("40KB", 40 << 10), ("400KB", 400 << 10), ("2MB", 2 << 20)] {
        let (body, view) = body(bytes);
        let mut group = criterion.benchmark_group("fingerprint");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("chain", name), &(), |bench, ()| {
            bench.iter(|| chain(black_box(&view), black_box(&body)));
        });
        let headers = HeaderMap::new();
        group.bench_with_input(BenchmarkId::new("identify_without_id", name), &(), |bench, ()| {
            let asked = Asked { headers: &headers, view: &view, body: &body, tenant: &tenant, model: &model };
            bench.iter(|| identify(black_box(&asked), &params, &links, now));
        });
        group.finish();
    }
}

criterion_group!(benches, fingerprint);
criterion_main!(benches);
