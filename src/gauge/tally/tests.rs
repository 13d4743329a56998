use std::time::Duration;

use super::*;
use crate::{
    gauge::{Kind, Via, share},
    metering::PriceEntry,
    types::Rates,
};

pub(in crate::gauge) const SONNET: Rates = Rates {
    input: 3_000_000_000,
    cached_read: 300_000_000,
    write_5m: 3_750_000_000,
    write_1h: 6_000_000_000,
    output: 15_000_000_000,
};

/// A tally of what is sent to some endpoint, with Sonnet's prices.
pub(in crate::gauge) fn tally(via: Via) -> Tally {
    let entry = PriceEntry { model: "claude-sonnet-4-6".to_owned(), rates: SONNET, tiers: Vec::new() };
    let source =
        Source { name: "http://localhost:1".to_owned(), via, dialect: None, model: None, priced_as: None };
    Tally::new(source, Arc::new(PriceList::new(vec![entry])))
}

/// A turn of Sonnet's that was answered a minute after the one before.
pub(in crate::gauge) fn turn(conversation: &str, turn: u32, usage: Usage) -> Observation {
    Observation {
        conversation: Arc::from(conversation),
        sub_agent: false,
        turn,
        at: Duration::from_secs(60 * u64::from(turn)),
        gap: None,
        dialect: Dialect::Anthropic,
        model: Some(ModelName::from("claude-sonnet-4-6")),
        status: 200,
        trouble: None,
        usage: Some(usage),
        repeated: None,
        marked: None,
        account: None,
        first_token: Some(Duration::from_millis(500)),
        between: vec![Duration::from_millis(20)],
        total: Some(Duration::from_secs(2)),
        broke: None,
    }
}

/// Figures of turn `n` of a conversation that grows by a thousand tokens from ten thousand on.
pub(in crate::gauge) fn warm(n: u32) -> Usage {
    let n = u64::from(n);
    let cached_read = if n == 0 { 0 } else { 9_000 + n * 1_000 };
    let write_5m = if n == 0 { 10_000 } else { 1_000 };
    Usage { input: 10, cached_read, write_5m, output: 100, ..Usage::default() }
}

/// The same where nothing is found.
pub(in crate::gauge) fn cold(n: u32) -> Usage {
    let warm = warm(n);
    Usage { cached_read: 0, write_5m: warm.write_5m + warm.cached_read, ..warm }
}

#[test]
fn rates_and_costs_come_from_the_figures_alone() {
    let mut tally = tally(Via::Driven);
    (0..10).for_each(|n| tally.note(&turn("a", n, warm(n))));
    let report = tally.finish(None);
    let (read, input) = (126_000, 126_000 + 10_000 + 9_000 + 100);
    assert_eq!(report.hit_rate(), share(read, input));
    assert_eq!(report.hit_rate_by_turn.len(), 10);
    assert_eq!(report.hit_rate_by_turn[0], Some(0.0));
    assert_eq!(report.hit_rate_by_turn[1], share(10_000, 11_010));
    assert_eq!((report.turns, report.conversations, report.errors, report.status_429), (10, 1, 0, 0));
    let spent = 100.0 * 3e-6 + 126_000.0 * 0.3e-6 + 19_000.0 * 3.75e-6 + 1_000.0 * 15e-6;
    assert!((report.cost_usd.unwrap() - spent).abs() < 1e-9, "{report:?}");
    assert!((report.cost_per_1k_turns.unwrap() - spent * 100.0).abs() < 1e-6);
    assert_eq!(report.diagnosis[0].kind, Kind::Healthy);
    assert!(report.ttft_p50_s == Some(0.5) && report.itl_p99_s == Some(0.02), "{report:?}");
}

#[test]
fn a_warm_cache_would_have_cost_what_the_warm_one_did() {
    let (mut here, mut there) = (tally(Via::Driven), tally(Via::Driven));
    (0..10).for_each(|n| here.note(&turn("a", n, cold(n))));
    (0..10).for_each(|n| there.note(&turn("a", n, warm(n))));
    let (here, there) = (here.finish(None), there.finish(None));
    let (if_warm, truth) = (here.warm_cost_usd.unwrap(), there.cost_usd.unwrap());
    // Outputs come again as input, which the conversation knows and this growth leaves out.
    assert!(if_warm <= truth && if_warm > truth * 0.9, "{if_warm} of {truth}");
    assert!(here.cost_usd.unwrap() > 3.0 * truth);
}

#[test]
fn limits_errors_and_silence_are_counted_apart() {
    let mut tally = tally(Via::Driven);
    let refused = |status, kind: Option<&str>| Observation {
        status,
        trouble: Some(Trouble::Refused { status, kind: kind.map(str::to_owned), message: "no".to_owned() }),
        usage: None,
        ..turn("a", 0, Usage::default())
    };
    tally.note(&refused(429, Some("rate_limit_error")));
    tally.note(&refused(529, Some("overloaded_error")));
    tally.note(&refused(529, Some("overloaded_error")));
    tally.note(&refused(500, Some("\u{1b}[31m<script>")));
    tally.note(&Observation {
        status: 0,
        trouble: Some(Trouble::Silent(Duration::from_secs(1))),
        ..refused(0, None)
    });
    tally.note(&Observation { usage: None, ..turn("a", 0, Usage::default()) });
    tally.note(&turn("a", 1, warm(1)));
    let report = tally.finish(None);
    assert_eq!((report.requests, report.turns, report.turns_with_usage), (7, 2, 1));
    assert_eq!((report.errors, report.status_429), (4, 1));
    assert_eq!(report.errors_by_kind[0].kind, "529 overloaded_error");
    assert!(report.errors_by_kind.iter().all(|error| !error.kind.contains('\u{1b}')));
}

#[test]
fn nothing_grows_with_what_others_choose() {
    let mut tally = tally(Via::Logs);
    for n in 0..2_000_u32 {
        let name = format!("model-{n}");
        tally.note(&Observation {
            model: Some(ModelName::from(name.as_str())),
            account: Some(Arc::from(name.as_str())),
            turn: n * 1_000_000,
            ..turn(&name, 0, warm(0))
        });
        tally.note(&Observation {
            status: 400,
            trouble: Some(Trouble::Refused { status: 400, kind: Some(name), message: String::new() }),
            ..turn("a", 0, Usage::default())
        });
    }
    assert!(tally.accounts.len() <= MOST_ACCOUNTS && tally.evidence.errors.len() <= MOST_ERRORS + 1);
    let report = tally.finish(None);
    assert_eq!(report.hit_rate_by_turn.len(), TURNS + 1);
    assert_eq!((report.models.len(), report.unpriced_models.len()), (8, 8));
    assert_eq!((report.cost_usd, report.errors), (None, 2_000));
}

#[test]
fn a_model_without_a_price_is_in_no_cost() {
    let mut tally = tally(Via::Driven);
    tally.note(&turn("a", 0, warm(0)));
    tally.note(&Observation { model: Some(ModelName::from("gpt-none")), ..turn("b", 0, warm(0)) });
    let report = tally.finish(None);
    assert_eq!(report.unpriced_models, ["gpt-none"]);
    assert_eq!(report.cost_usd, report.cost_per_1k_turns.map(|usd| usd / 1_000.0), "of one turn");
    assert!(report.remarks[0].contains("gpt-none"), "{:?}", report.remarks);
}

#[test]
fn another_model_is_another_cache() {
    let mut tally = tally(Via::Logs);
    for n in 0..6 {
        let model = ["claude-sonnet-4-6", "claude-haiku-4-5"][n as usize % 2];
        tally.note(&Observation { model: Some(ModelName::from(model)), ..turn("a", n, warm(n / 2)) });
    }
    let report = tally.finish(None);
    assert_eq!(report.conversations, 2);
    assert_eq!(report.diagnosis[0].kind, Kind::Healthy, "{:?}", report.diagnosis);
}
