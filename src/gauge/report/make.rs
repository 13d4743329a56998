//! From what was counted to what is told.

use super::{ErrorCount, Probe, Report, Source, Tokens, usd};
use crate::gauge::{
    clean, diagnosis,
    histogram::Histogram,
    share,
    tally::{Costs, Times, evidence::Evidence},
};

/// What a tally has counted.
pub(in crate::gauge) struct Counted<'a> {
    pub(in crate::gauge) source: &'a Source,
    pub(in crate::gauge) evidence: &'a Evidence,
    pub(in crate::gauge) costs: Costs,
    pub(in crate::gauge) times: &'a Times,
    pub(in crate::gauge) models: Vec<String>,
    pub(in crate::gauge) unpriced: Vec<String>,
}

/// The report of it, compared with `beside`.
pub(in crate::gauge) fn of(counted: &Counted<'_>, beside: Option<&Report>) -> Report {
    let Counted { source, evidence, costs, times, .. } = counted;
    let [ttft_p50_s, ttft_p90_s, ttft_p99_s] = percentiles(&times.first_token);
    let [itl_p50_s, itl_p90_s, itl_p99_s] = percentiles(&times.between);
    let [total_p50_s, total_p90_s, total_p99_s] = percentiles(&times.total);
    let priced = costs.turns > 0;
    #[expect(clippy::cast_precision_loss, reason = "a number of turns, for people")]
    let per_thousand = |dollars: f64| dollars * 1_000.0 / costs.turns as f64;
    Report {
        endpoint: clean(&source.name),
        via: source.via,
        dialect: source.dialect.map(crate::types::Dialect::label),
        models: counted.models.clone(),
        conversations: evidence.conversations,
        requests: evidence.requests,
        turns: evidence.turns,
        errors: evidence.failed(),
        errors_by_kind: errors(evidence),
        status_429: evidence.throttled,
        turns_with_usage: evidence.with_usage,
        hit_rate: evidence.hit_rate(),
        hit_rate_by_turn: evidence.by_turn.iter().map(|row| share(row.read, row.input)).collect(),
        turns_by_number: evidence.by_turn.iter().map(|row| row.turns).collect(),
        possible_hit_rate: share(evidence.possible, evidence.possible_of),
        tokens: Tokens::from(evidence.usage),
        cost_usd: priced.then(|| usd(costs.spent)),
        warm_cost_usd: priced.then(|| usd(costs.warm)),
        cost_per_1k_turns: priced.then(|| per_thousand(usd(costs.spent))),
        warm_cost_per_1k_turns: priced.then(|| per_thousand(usd(costs.warm))),
        unpriced_models: counted.unpriced.clone(),
        ttft_p50_s,
        ttft_p90_s,
        ttft_p99_s,
        itl_p50_s,
        itl_p90_s,
        itl_p99_s,
        total_p50_s,
        total_p90_s,
        total_p99_s,
        probe: probe(evidence),
        diagnosis: diagnosis::of(evidence, *costs, source.via, beside),
        remarks: remarks(counted),
        read: None,
        stopped: None,
        spent_usd: None,
    }
}

fn percentiles(times: &Histogram) -> [Option<f64>; 3] {
    [0.5, 0.9, 0.99].map(|part| times.quantile(part))
}

fn errors(evidence: &Evidence) -> Vec<ErrorCount> {
    let errors = evidence.errors.iter().map(|(kind, &count)| ErrorCount { kind: kind.clone(), count });
    let mut errors: Vec<ErrorCount> = errors.collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    errors
}

fn probe(evidence: &Evidence) -> Option<Probe> {
    let repeats = &evidence.repeats;
    (repeats.tries > 0).then(|| Probe {
        tries: repeats.tries,
        hits: repeats.hits,
        pattern: repeats.pattern.clone(),
        accounts: repeats.accounts,
    })
}

fn remarks(counted: &Counted<'_>) -> Vec<String> {
    let mut remarks = Vec::new();
    if !counted.unpriced.is_empty() {
        remarks.push(format!("No price is known for {}: in no cost.", counted.unpriced.join(", ")));
    }
    if let Some(model) = &counted.source.priced_as {
        remarks.push(format!("Priced as if it were {}.", clean(model.as_str())));
    }
    remarks
}
