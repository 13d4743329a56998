//! What forensics adds to a turn of a long session: 300 blocks, 400 KB, each turn a call of a tool and
//! its result longer than the last.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use warmkey::{
    clock::{Moment, UnixTime},
    dialect::{RequestView, ScanLimits, scan},
    session::{Asked, Forensics, Identity, Links, LinksParams, SessionParams, Verdict, identify},
    types::{Operation, RequestId, TenantId, Usage},
};

fn body(turns: usize) -> Vec<u8> {
    let words = "Prefer small, reviewable changes over large ones. ";
    let tools: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("tool_{n}"), "description": words.repeat(25), "input_schema": {"type": "object"}}))
        .collect();
    let mut messages = vec![json!({"role": "user", "content": "Find out why the build fails."})];
    for n in 0..turns {
        messages.push(json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": format!("toolu_{n}"), "name": "tool_1", "input": {"path": "/src/main.rs", "limit": 100}}]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("toolu_{n}"), "content": words.repeat(52)}]}));
    }
    let system =
        json!([{"type": "text", "text": "You are an agent."}, {"type": "text", "text": words.repeat(200)}]);
    json!({"model": "claude-sonnet-4-6", "tools": tools, "system": system, "messages": messages})
        .to_string()
        .into()
}

fn identity(view: &RequestView, body: &[u8], links: &Links) -> Identity {
    let mut headers = HeaderMap::new();
    headers.insert("x-claude-code-session-id", HeaderValue::from_static("0b0e3bd4-6c10-4c2e"));
    let tenant = TenantId::from("default");
    let model = view.model.value.clone();
    let asked = Asked { headers: &headers, view, body, tenant: &tenant, model: &model };
    identify(&asked, &SessionParams::default(), links, Moment::from_millis(1))
}

fn turns(criterion: &mut Criterion) {
    let links = Links::new(LinksParams::default(), 1);
    let (now, forensics) = (Moment::from_millis(1), Forensics::new(32 << 20));
    let verdict = Verdict {
        request: RequestId::mint(),
        at: UnixTime::default(),
        cache: 1,
        warm_until: Moment::from_millis(1 << 40),
        usage: Usage { cached_read: 100_000, write_5m: 1_000, ..Usage::default() },
        reported: true,
        automatic: false,
        strips_attribution: true,
        rates: None,
    };
    let bodies = [body(138), body(139)];
    let views = bodies
        .each_ref()
        .map(|body| scan(Operation::Messages, body, &ScanLimits::default()).expect("a view"));
    let known = identity(&views[0], &bodies[0], &links);
    let next = identity(&views[1], &bodies[1], &links);
    let first = |forensics: &Forensics| {
        let case = forensics.look(&mut known.clone(), &views[0], &bodies[0], now).expect("a case");
        forensics.close(case, &verdict);
    };
    first(&forensics);
    criterion.bench_function("forensics/look at the next turn", |bencher| {
        bencher.iter_batched_ref(
            || next.clone(),
            |next| forensics.look(black_box(next), &views[1], &bodies[1], now),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("forensics/look and close the same turn again", |bencher| {
        bencher.iter_batched_ref(
            || next.clone(),
            |next| {
                let case = forensics.look(black_box(next), &views[1], &bodies[1], now).expect("a case");
                forensics.close(case, &verdict)
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("forensics/first turn", |bencher| {
        bencher.iter_batched_ref(
            || Forensics::new(1 << 20),
            |forensics| first(forensics),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, turns);
criterion_main!(benches);
