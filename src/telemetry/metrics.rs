//! The metric families, all prefixed `warmkey_`.

use std::sync::OnceLock;

// Pingora's own, so that families stand in the registry that its exporter reads.
use pingora_prometheus::prometheus::{self, Gauge, IntCounter, IntCounterVec, IntGauge, Registry};

use super::{family::Family, latency::Latency, otlp::TraceId, spending::Spending};
use crate::types::{
    AffinityReason, AffinityResult, AttemptRecord, CacheBreak, CareDone, Dialect, NanoUsd, Receipt, Usage,
};

/// Every family, registered once in the process's default registry, which is also what Pingora's
/// own metrics stand in.
pub struct Metrics {
    requests: IntCounterVec,
    attempts: IntCounterVec,
    tokens: IntCounterVec,
    cost: prometheus::CounterVec,
    /// How long things take.
    pub latency: Latency,
    affinity: IntCounterVec,
    predictions: IntCounterVec,
    thinking_refused: IntCounterVec,
    care: IntCounterVec,
    cache_breaks: IntCounterVec,
    cache_break_tokens: IntCounterVec,
    cache_break_cost: prometheus::CounterVec,
    keep_alive_cost: prometheus::CounterVec,
    trace_turns: IntCounterVec,
    spans: IntCounterVec,
    price_missing: IntCounterVec,
    words: Words,
    /// Limits, budgets and the ledger.
    pub spending: Spending,
    /// Requests whose usage no provider reported, so that it was estimated.
    estimated: IntCounter,
    /// Tries that may have been billed although another one answered.
    ambiguous: IntCounter,
    /// Tokens of endpoints that were asked for, by endpoint and result.
    pub tokens_fetched: IntCounterVec,
    /// Settings read again, by result.
    pub reloads: IntCounterVec,
    headers_ignored: IntCounterVec,
    /// Requests between their head and their end.
    pub in_flight: IntGauge,
    /// Output tokens of the streams that run now, counted live.
    pub live_output: IntGauge,
    /// Bytes of request bodies held for a replay.
    pub buffered: IntGauge,
    /// Bytes of prompts kept for resting sessions.
    pub kept: IntGauge,
    /// Requests that wait for an account on purpose.
    pub waiting: IntGauge,
    /// Prefixes that are warm somewhere.
    pub warm_prefixes: IntGauge,
    /// Dollars that round-robin would have paid for prompts since the start, extrapolated.
    pub round_robin: Gauge,
    /// Those of them that were saved.
    pub saved: Gauge,
    /// Cached input over all input since the start.
    pub hit_ratio: Gauge,
}

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Requests in other words.
struct Words {
    translated: IntCounterVec,
    dropped: IntCounterVec,
}

impl Words {
    fn register(r: Family<'_>) -> Self {
        let labels = &["from", "to"];
        let translated = "Requests that went up in another dialect than they came in.";
        let dropped = "Members of requests that were left out in translation.";
        Self {
            translated: r.counters("translated_total", translated, labels),
            dropped: r.counters("dropped_members_total", dropped, labels),
        }
    }
}

impl Metrics {
    /// The process's metrics.
    pub fn global() -> &'static Self {
        METRICS.get_or_init(|| Self::register(prometheus::default_registry()))
    }

    fn register(registry: &Registry) -> Self {
        let r = Family { registry };
        Self {
            requests: r.counters(
                "requests_total",
                "Requests by how they ended.",
                &["dialect", "model", "outcome"],
            ),
            attempts: r.counters("attempts_total", "Tries at endpoints.", &["endpoint", "outcome"]),
            tokens: r.counters("tokens_total", "Tokens by kind.", &["kind"]),
            cost: r.money("cost_usd_total", "Dollars by configured model.", &["model"]),
            latency: Latency::register(r),
            affinity: r.counters(
                "affinity_total",
                "Whether sessions stayed in place.",
                &["result", "reason"],
            ),
            predictions: r.counters(
                "predictions_total",
                "Answers whose prompt was expected to be warm, by whether it was.",
                &["result"],
            ),
            thinking_refused: r.counters(
                "thinking_refused_total",
                "Requests refused for signed thinking that was made at another account.",
                &["endpoint"],
            ),
            care: r.counters("cache_care_total", "Requests that got cache care.", &["kind"]),
            cache_breaks: r.counters(
                "cache_breaks_total",
                "Turns whose prompt left the session's cached one, by likely cause.",
                &["cause"],
            ),
            cache_break_tokens: r.counters(
                "cache_break_tokens_total",
                "Tokens that were cached and paid for again, by cause.",
                &["cause"],
            ),
            cache_break_cost: r.money(
                "cache_break_usd_total",
                "What those tokens cost more than reading them, by cause.",
                &["cause"],
            ),
            keep_alive_cost: r.money(
                "keep_alive_cost_usd_total",
                "Dollars for keeping resting sessions warm; part of cost_usd_total.",
                &["model"],
            ),
            trace_turns: r.counters("trace_turns_total", "Turns for the trace file.", &["result"]),
            spans: r.counters("spans_total", "Spans for the OTLP collector.", &["result"]),
            price_missing: r.counters("price_missing_total", "Requests without a known price.", &["model"]),
            words: Words::register(r),
            spending: Spending::register(r),
            estimated: r.counter("usage_estimated_total", "Requests whose usage was estimated."),
            ambiguous: r.counter("ambiguous_attempts_total", "Failed tries that may be billed all the same."),
            tokens_fetched: r.counters("tokens_fetched_total", "Upstream tokens.", &["endpoint", "result"]),
            reloads: r.counters("reloads_total", "Settings read again.", &["result"]),
            headers_ignored: r.counters(
                "headers_ignored_total",
                "Figures of rate limit headers that made no sense.",
                &["why"],
            ),
            in_flight: r.level("requests_in_flight", "Requests under way."),
            live_output: r.level("live_output_tokens", "Output tokens of running streams."),
            buffered: r.level("buffered_bytes", "Request bytes held for a replay."),
            kept: r.level("kept_bytes", "Bytes of prompts kept for resting sessions."),
            waiting: r.level("waiting", "Requests waiting for an account."),
            warm_prefixes: r.level("warm_prefixes", "Prefixes remembered as warm somewhere."),
            round_robin: r.ratio(
                "round_robin_usd",
                "What prompts would have cost under round-robin since the start, by sample.",
            ),
            saved: r.ratio(
                "saved_usd",
                "What staying warm has saved against round-robin since the start, by sample.",
            ),
            hit_ratio: r.ratio("cache_hit_ratio", "Cached input over all input since the start."),
        }
    }

    /// Books a finished request; `trace` is what it can be looked up by, where it is traced.
    pub fn book(&self, receipt: &Receipt, trace: Option<TraceId>) {
        if receipt.care.keep_alive {
            self.book_keep_alive(receipt);
            return;
        }
        let dialect = receipt.dialect.map_or("none", Dialect::label);
        let model = receipt.model.as_ref().map_or("none", |model| model.as_str());
        self.requests.with_label_values(&[dialect, model, receipt.outcome.label()]).inc();
        for attempt in &receipt.attempts {
            self.book_attempt(attempt);
        }
        self.book_tokens(&receipt.usage);
        if let Some(NanoUsd(nanos)) = receipt.charge.filter(|charge| charge.0 > 0) {
            self.cost.with_label_values(&[model]).inc_by(NanoUsd(nanos).as_usd());
        }
        if let Some((result, reason)) = receipt.affinity {
            self.book_affinity(result, reason);
        }
        if let Some(right) = receipt.predicted {
            self.predictions.with_label_values(&[if right { "right" } else { "wrong" }]).inc();
        }
        if let (Some(_), Some(endpoint)) = (&receipt.thinking_made_at, &receipt.endpoint) {
            self.thinking_refused.with_label_values(&[endpoint.as_str()]).inc();
        }
        self.book_care(&receipt.care);
        if let Some(broken) = &receipt.cache_break {
            self.book_break(broken);
        }
        if receipt.estimated {
            self.estimated.inc();
        }
        self.latency.book(receipt, trace);
    }

    fn book_attempt(&self, attempt: &AttemptRecord) {
        self.attempts.with_label_values(&[attempt.endpoint.as_str(), attempt.outcome.label()]).inc();
        if attempt.ambiguous {
            self.ambiguous.inc();
        }
    }

    fn book_affinity(&self, result: AffinityResult, reason: AffinityReason) {
        self.affinity.with_label_values(&[result.label(), reason.label()]).inc();
    }

    /// No caller's request: it counts among the tries and the dollars, and nowhere else. Its tokens have
    /// a kind of their own, or the hit ratio would flatter itself.
    fn book_keep_alive(&self, receipt: &Receipt) {
        for attempt in &receipt.attempts {
            self.book_attempt(attempt);
        }
        self.book_care(&receipt.care);
        self.tokens.with_label_values(&["keep_alive"]).inc_by(receipt.usage.total_input());
        let model = receipt.model.as_ref().map_or("none", |model| model.as_str());
        if let Some(charge) = receipt.charge {
            self.cost.with_label_values(&[model]).inc_by(charge.as_usd());
            self.keep_alive_cost.with_label_values(&[model]).inc_by(charge.as_usd());
        }
    }

    fn book_care(&self, care: &CareDone) {
        for (kind, done) in [
            ("markers", care.markers > 0),
            ("ttl_1h", care.lengthened > 0),
            ("cache_key", care.cache_key),
            ("keep_alive", care.keep_alive),
        ] {
            if done {
                self.care.with_label_values(&[kind]).inc();
            }
        }
    }

    fn book_break(&self, broken: &CacheBreak) {
        let cause = &[broken.cause.label()];
        self.cache_breaks.with_label_values(cause).inc();
        self.cache_break_tokens.with_label_values(cause).inc_by(broken.tokens);
        if let Some(cost) = broken.cost {
            self.cache_break_cost.with_label_values(cause).inc_by(cost.as_usd());
        }
    }

    fn book_tokens(&self, usage: &Usage) {
        for (kind, tokens) in usage.by_kind() {
            if tokens > 0 {
                self.tokens.with_label_values(&[kind]).inc_by(tokens);
            }
        }
    }

    /// A request of this configured model had no known price.
    pub fn no_price(&self, model: &str) {
        self.price_missing.with_label_values(&[model]).inc();
    }

    /// A request went up in other words, and so many of its members were left out.
    pub fn translated(&self, from: &str, to: &str, dropped: u64) {
        self.words.translated.with_label_values(&[from, to]).inc();
        if dropped > 0 {
            self.words.dropped.with_label_values(&[from, to]).inc_by(dropped);
        }
    }

    /// A turn was `written` into the trace, or `dropped`.
    pub(super) fn traced(&self, result: &str) {
        self.trace_turns.with_label_values(&[result]).inc();
    }

    /// So many spans were `exported`, `dropped` before that, or `failed` in it.
    pub fn spans(&self, result: &str, count: usize) {
        self.spans.with_label_values(&[result]).inc_by(count as u64);
    }

    /// A figure in a rate limit header made no sense, and why.
    pub fn lied(&self, why: &str) {
        self.headers_ignored.with_label_values(&[why]).inc();
    }

    /// Brings the ratio up to date; called when somebody scrapes.
    pub fn refresh_ratio(&self) {
        let read = |kind| self.tokens.with_label_values(&[kind]).get();
        let cached = read("cached_read");
        let all = read("input") + cached + read("write_5m") + read("write_1h");
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        self.hit_ratio.set(if all == 0 { 0.0 } else { cached as f64 / all as f64 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_well_formed_and_prefixed() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry);
        metrics.book_tokens(&Usage { input: 3, cached_read: 1, ..Usage::default() });
        metrics.refresh_ratio();
        assert!((metrics.hit_ratio.get() - 0.25).abs() < 1e-9);
        for family in registry.gather() {
            assert!(family.name().starts_with("warmkey_"), "{}", family.name());
        }
    }
}
