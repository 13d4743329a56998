//! The last verb: one receipt, and everything that is fed from it.
//!
//! Called exactly once a request, on every path: from Pingora's `logging`, or from the drop of the
//! exchange when its task was cut off. The only file that books metrics of requests.

use std::time::Duration;

use super::{denial, exchange::Exchange, keepalive, reserve};
use crate::{
    clock::{self, Moment},
    live::Decided,
    routing::{InputFacts, TurnFacts},
    session::{self, Verdict},
    store::counters::Charged,
    telemetry::Metrics,
    types::{
        CacheBreak, EndpointName, Flags, IdSource, NanoUsd, Operation, Outcome, ProviderDialect, Reason,
        Receipt, SessionKey, Timings, Usage,
    },
    upstream::CacheRule,
};

/// Makes the receipt and books it.
pub(crate) fn settle(x: &mut Exchange) {
    let now = clock::now();
    if x.silent {
        if let Some(permit) = x.permit.take() {
            permit.release(now);
        }
        return;
    }
    let (outcome, reason) = x.end.unwrap_or((Outcome::Cancelled, Some(Reason::Internal)));
    let session = x.identity.as_ref().and_then(|identity| identity.key);
    let (usage, estimated) = usage(x, outcome);
    let charge = charge(x, &usage);
    learn(x, session);
    let cache_break = cache_break(x, outcome, &usage, estimated);
    let (mut expected_read, mut predicted) = (None, None);
    if let Some(mut turn) = x.turn.take() {
        expected_read = turn.expected().map(|expected| u64::from(expected.warm));
        predicted = turn.settled(&TurnFacts {
            context_tokens: usage.total_input(),
            output_tokens: usage.output,
            charged: charge.unwrap_or_default(),
            input: (!estimated && usage.total_input() > 0).then(|| InputFacts {
                read: usage.cached_read,
                written: usage.write_5m + usage.write_1h,
                uncached: usage.input,
            }),
        });
    }
    if let Some(ticket) = x.traced.take().filter(|_| outcome == Outcome::Ok) {
        ticket.over(usage.output, now);
    }
    keepalive::after_turn(x, outcome, &usage);
    let (charged, flags) = pay(x, &usage, charge, now);
    let receipt = Receipt {
        id: x.id,
        at: x.at,
        caller: x.caller.clone(),
        key: x.key.clone(),
        tenant: x.tenant.clone(),
        dialect: x.dialect,
        operation: x.operation,
        model: x.model.clone(),
        upstream_model: x.upstream_model.clone(),
        served_model: x.reading.as_ref().and_then(|reading| reading.served_model.clone()),
        provider_dialect: provider_dialect(x),
        tier: x.reading.as_ref().and_then(|reading| reading.tier.clone()),
        streamed: x.streamed,
        session,
        parent: x.identity.as_ref().and_then(|identity| identity.parent),
        id_source: x.identity.as_ref().map_or(IdSource::None, |identity| identity.source),
        endpoint: x.endpoint.as_ref().map(|endpoint| endpoint.name().clone()),
        provider: x.endpoint.as_ref().map(|endpoint| endpoint.provider().params.name.clone()),
        region: x.endpoint.as_ref().and_then(|endpoint| endpoint.region().map(str::to_owned)),
        affinity: x.affinity,
        care: x.care,
        cache_break,
        thinking_made_at: x.thinking_made_at.take(),
        attempts: std::mem::take(&mut x.attempts),
        status: x.status,
        outcome,
        reason,
        blame: reason.map(denial::blame),
        usage,
        estimated,
        expected_read,
        predicted,
        charge,
        billed: reserve::billed(x.key.as_ref(), charge),
        flags,
        request_bytes: x.request_bytes,
        response_bytes: x.response_bytes,
        timings: Timings {
            total: now.since(x.since),
            first_byte: x.answered.map(|at| at.since(x.since)),
            first_token: x.reading.as_ref().and_then(|reading| reading.meter.first_token()),
            upload: x.upload,
            waited: x.waited,
            overhead: x.called.map_or(Duration::ZERO, |at| {
                at.since(x.since).saturating_sub(x.upload).saturating_sub(x.waited)
            }),
        },
    };
    let metrics = Metrics::global();
    metrics.book(&receipt);
    x.land(&receipt);
    if let Some(refusal) = &x.refused {
        metrics.spending.refused(refusal.scope.level(), refusal.what.label());
    }
    if let (Some(words), Some(dialect)) = (&x.words, x.dialect) {
        metrics.translated(dialect.label(), words.dialect.label(), words.dropped.len() as u64);
    }
    log(&receipt, x);
    note(x, &receipt);
    let configured = |name: &EndpointName| x.live.snapshot.load().pool.endpoint(name.as_str()).is_some();
    x.live.troubles.note(&receipt.attempts, receipt.at, configured);
    if let Some(ledger) = &x.live.ledger {
        ledger.close(receipt, charged);
    }
    x.reading = None;
}

/// What was spoken with the provider that was asked last.
fn provider_dialect(x: &Exchange) -> Option<ProviderDialect> {
    x.called?;
    x.words.as_ref().map(|words| words.dialect).or(x.dialect.map(ProviderDialect::from))
}

/// Keeps the decision where people can ask for it.
fn note(x: &mut Exchange, r: &Receipt) {
    let record = std::mem::take(&mut x.record);
    let generates = r.operation.is_some_and(Operation::generates) && !r.care.keep_alive;
    let Some(session) = r.session.filter(|_| generates) else { return };
    let said = !r.estimated && r.usage.total_input() > 0;
    x.live.decisions.note(
        session,
        Decided {
            at: r.at,
            endpoint: r.endpoint.clone(),
            affinity: r.affinity,
            outcome: r.outcome,
            reason: r.reason,
            waited: r.timings.waited,
            attempts: r.attempts.len(),
            record,
            expected_read: r.expected_read,
            read: said.then_some(r.usage.cached_read),
            charge: r.charge,
        },
    );
}

/// Settles what was reserved to what was used. Returns what budgets are charged.
fn pay(x: &mut Exchange, usage: &Usage, charge: Option<NanoUsd>, now: Moment) -> (Vec<Charged>, Flags) {
    let Some(permit) = x.permit.take() else { return (Vec::new(), Flags::default()) };
    let (reserved, over_soft_budget) = (permit.reserved(), permit.is_over_soft_budget());
    let charged = permit.settle(usage, charge, now);
    let held = |one: &Charged| reserved.iter().find(|held| held.id == one.id).map_or(0, |held| held.amount);
    let overshoot = charged.iter().any(|one| one.amount > held(one));
    (charged, Flags { over_soft_budget, overshoot })
}

/// What to charge: the provider's figures where it gave them, else our estimate, but nothing for a
/// request that no provider has begun to answer.
fn usage(x: &Exchange, outcome: Outcome) -> (Usage, bool) {
    let Some(reading) = x.reading.as_ref().filter(|_| x.metered) else { return (Usage::default(), false) };
    let begun = matches!(outcome, Outcome::Ok | Outcome::Interrupted | Outcome::Cancelled);
    if begun && x.answered.is_some() {
        let metered = reading.meter.settle(clock::now());
        (metered.usage, metered.estimated)
    } else {
        (reading.meter.reported().settled(), false)
    }
}

fn charge(x: &Exchange, usage: &Usage) -> Option<NanoUsd> {
    if *usage == Usage::default() {
        return Some(NanoUsd(0));
    }
    let model = x.upstream_model.as_ref()?;
    let charge = x.snapshot.prices.charge(model.as_str(), usage);
    if charge.is_none() {
        Metrics::global().no_price(x.model.as_ref().map_or("none", |label| label.as_str()));
    }
    charge
}

/// What was cached of the session and had to be paid for again. A turn that was not answered has
/// cached nothing, and leaves no trace.
fn cache_break(x: &mut Exchange, outcome: Outcome, usage: &Usage, estimated: bool) -> Option<CacheBreak> {
    let case = x.case.take()?;
    let answered = matches!(outcome, Outcome::Ok | Outcome::Interrupted | Outcome::Cancelled);
    let (endpoint, begun) = (x.endpoint.as_ref()?, x.called.filter(|_| answered && x.answered.is_some())?);
    let provider = &endpoint.provider().params;
    let model = x.upstream_model.as_ref();
    let verdict = Verdict {
        request: x.id,
        at: x.at,
        cache: session::number(endpoint.cache_domain().as_str()),
        warm_until: begun + provider.cache.of(x.ttl),
        usage: *usage,
        reported: !estimated,
        automatic: provider.cache.rule == CacheRule::Anywhere,
        // Only Anthropic's own door knows the block for what it is (providers 2.1).
        strips_attribution: provider.host == "api.anthropic.com",
        rates: model.and_then(|model| x.snapshot.prices.rates(model.as_str(), usage.total_input())),
    };
    x.live.forensics.close(*case, &verdict)
}

fn learn(x: &Exchange, session: Option<SessionKey>) {
    let Some(lesson) = x.reading.as_ref().and_then(|reading| reading.meter.lesson()) else { return };
    let class = x.model.as_ref().map_or("", |model| model.as_str());
    x.live.learned.learn(class, session, &lesson);
}

/// One line a request, with the field names of the OpenTelemetry GenAI conventions where they exist.
fn log(r: &Receipt, x: &Exchange) {
    let record = &x.record;
    let refused = x.refused.as_deref();
    let millis = |d: Duration| d.as_secs_f64() * 1e3;
    tracing::info!(
        request_id = %r.id,
        caller = %r.caller,
        tenant = %r.tenant,
        dialect = r.dialect.map(|d| d.label()),
        provider_dialect = r.provider_dialect.map(|dialect| dialect.label()),
        dropped = x.words.as_ref().map(|words| words.dropped.len()).filter(|dropped| *dropped > 0),
        gen_ai.request.model = r.model.as_ref().map(|m| m.as_str()),
        endpoint = r.endpoint.as_ref().map(|e| e.as_str()),
        session = r.session.map(|s| s.to_string()),
        id_source = r.id_source.label(),
        affinity = r.affinity.map(|(result, _)| result.label()),
        why = r.affinity.map(|(_, reason)| reason.label()),
        cache_break = r.cache_break.map(|broken| broken.cause.label()),
        break_at = r.cache_break.map(|broken| broken.at.to_string()),
        break_tokens = r.cache_break.map(|broken| broken.tokens),
        break_usd = r.cache_break.and_then(|broken| broken.cost).map(NanoUsd::as_usd),
        thinking_refused_made_at = r.thinking_made_at.as_ref().map(|made_at| made_at.as_str()),
        prompt_tokens = record.tokens,
        weighed = %record,
        expected_read = r.expected_read,
        status = r.status,
        care = r.care.any().then(|| r.care.to_string()),
        outcome = r.outcome.label(),
        reason = r.reason.map(|reason| reason.label()),
        limit = refused.map(|refusal| refusal.what.label()),
        limit_of = refused.map(|refusal| refusal.scope.level()),
        blame = r.blame.map(|blame| blame.label()),
        attempts = r.attempts.len(),
        ambiguous = r.attempts.iter().filter(|attempt| attempt.ambiguous).count(),
        streamed = r.streamed,
        gen_ai.usage.input_tokens = r.usage.total_input(),
        cached_read = r.usage.cached_read,
        cache_write = r.usage.write_5m + r.usage.write_1h,
        gen_ai.usage.output_tokens = r.usage.output,
        estimated = r.estimated,
        usd = r.charge.map(NanoUsd::as_usd),
        request_bytes = r.request_bytes,
        response_bytes = r.response_bytes,
        total_ms = millis(r.timings.total),
        ttft_ms = r.timings.first_token.map(millis),
        waited_ms = millis(r.timings.waited),
        overhead_ms = millis(r.timings.overhead),
        "request"
    );
}
