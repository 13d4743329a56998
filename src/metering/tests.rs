//! Answers with known token counts, played signal by signal.
//!
//! `fixtures/*.json`: two answers of one session each, as events of (kind, tokens, text). Written for
//! these tests and cut by OpenAI's `o200k_base` tokeniser, one to four tokens an event; a tool call
//! counts its name and five tokens of frame. The weights of Cyrillic, of Han and kana, and of full-width
//! punctuation were set with the non-Latin texts in view, so those are not blind.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    clock::Moment,
    dialect::{DeltaKind, Signal, StopKind, UpstreamFault},
    types::{NanoUsd, Operation, Rates, ReportedUsage, SessionKey, Usage},
};

type Event = (String, u64, String);
type Answers = [Vec<Event>; 2];

const TOOL_CALLS: &str = include_str!("fixtures/tool_calls.json");
const CHINESE: &str = include_str!("fixtures/chinese.json");
const RUSSIAN: &str = include_str!("fixtures/russian.json");
const JAPANESE: &str = include_str!("fixtures/japanese.json");
const ENGLISH: &str = include_str!("fixtures/english.json");

const SESSION: Option<SessionKey> = Some(SessionKey(1));

fn at(millis: u64) -> Moment {
    Moment::from_millis(1_000 + millis)
}

fn escaped(text: &str) -> Vec<u8> {
    let quoted = serde_json::to_vec(text).unwrap();
    quoted[1..quoted.len() - 1].to_vec()
}

/// Every character as `\uXXXX`, as Python's `json` writes it.
fn all_escaped(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| format!("\\u{unit:04x}").into_bytes()).collect()
}

fn delta(kind: DeltaKind, raw: &[u8]) -> Signal<'_> {
    Signal::Delta { kind, raw }
}

fn usage(input: u64, output: u64) -> Signal<'static> {
    Signal::Usage(ReportedUsage { input: Some(input), output: Some(output), ..ReportedUsage::default() })
}

fn meter(ratios: Ratios) -> Meter {
    Meter::new(Operation::Messages, 40_000, ratios, at(0))
}

/// Streams an answer; says how far the live count was off at each event, as (off, truth).
fn play(meter: &mut Meter, answer: &[Event], escape: fn(&str) -> Vec<u8>) -> Vec<(u64, u64)> {
    let mut truth = 0;
    let mut offs = Vec::new();
    for (kind, tokens, text) in answer {
        truth += tokens;
        let raw = escape(text);
        match kind.as_str() {
            "call" => meter.see(&Signal::ToolCall { id: "toolu_1".to_owned() }, at(10)),
            "args" => meter.see(&delta(DeltaKind::ToolArguments, &raw), at(10)),
            _ => meter.see(&delta(DeltaKind::Text, &raw), at(10)),
        };
        offs.push((meter.live_output(at(10)).abs_diff(truth), truth));
    }
    meter.see(&Signal::Stop(StopKind::End), at(10));
    meter.see(&usage(10_000, truth), at(10));
    offs
}

fn within(percent: u64, offs: &[(u64, u64)]) {
    for &(off, truth) in offs {
        assert!(off <= SLACK.max(truth * percent / 100), "off by {off} of {truth} tokens: {offs:?}");
    }
}

/// The promise of the live count: within 15 % at every event, once one answer of the session was seen.
fn keeps_the_promise(fixture: &str, cold_percent: u64, escape: fn(&str) -> Vec<u8>) {
    let [first, second]: Answers = serde_json::from_str(fixture).unwrap();
    let learned = Learned::new();
    let mut cold = meter(learned.ratios("sonnet", SESSION));
    within(cold_percent, &play(&mut cold, &first, escape));
    learned.learn("sonnet", SESSION, &cold.lesson().unwrap());
    let mut warm = meter(learned.ratios("sonnet", SESSION));
    within(15, &play(&mut warm, &second, escape));
}

#[test]
fn the_live_count_of_tool_calls_is_near_at_every_event() {
    keeps_the_promise(TOOL_CALLS, 15, escaped);
}

#[test]
fn the_live_count_of_chinese_is_near_at_every_event() {
    keeps_the_promise(CHINESE, 30, escaped);
    keeps_the_promise(CHINESE, 30, all_escaped);
}

#[test]
fn the_live_count_of_russian_is_near_at_every_event() {
    keeps_the_promise(RUSSIAN, 30, escaped);
    keeps_the_promise(RUSSIAN, 30, all_escaped);
}

#[test]
fn the_live_count_of_japanese_is_near_at_every_event() {
    keeps_the_promise(JAPANESE, 30, escaped);
}

#[test]
fn the_live_count_of_english_is_near_at_every_event_even_when_cold() {
    keeps_the_promise(ENGLISH, 15, escaped);
}

#[test]
fn a_tokeniser_with_half_as_large_tokens_is_learned_from_one_answer() {
    let [first, second]: Answers = serde_json::from_str(TOOL_CALLS).unwrap();
    let half = |answer: Vec<Event>| -> Vec<Event> {
        answer.into_iter().map(|(kind, tokens, text)| (kind, tokens * 2, text)).collect()
    };
    let (first, second) = (half(first), half(second));
    let learned = Learned::new();
    let mut cold = meter(learned.ratios("m", SESSION));
    play(&mut cold, &first, escaped);
    learned.learn("m", SESSION, &cold.lesson().unwrap());
    let mut warm = meter(learned.ratios("m", SESSION));
    let offs = play(&mut warm, &second, escaped);
    // In tokens half as large, the same slack.
    within(15, &offs.into_iter().map(|(off, truth)| (off / 2, truth / 2)).collect::<Vec<_>>());
    // Another session of the class profits too, if less.
    let other = learned.ratios("m", Some(SessionKey(2)));
    assert!(other != Ratios::default() && other != learned.ratios("m", SESSION));
    assert_eq!(learned.ratios("another", Some(SessionKey(2))), Ratios::default());
}

#[test]
fn one_absurd_answer_is_forgotten_after_a_few_good_ones() {
    let [first, second]: Answers = serde_json::from_str(ENGLISH).unwrap();
    let learned = Learned::new();
    let mut absurd = meter(Ratios::default());
    play(&mut absurd, &first, escaped);
    absurd.see(&usage(u64::MAX, u64::MAX), at(20));
    learned.learn("m", SESSION, &absurd.lesson().unwrap());
    for _ in 0..6 {
        let mut good = meter(learned.ratios("m", SESSION));
        play(&mut good, &first, escaped);
        learned.learn("m", SESSION, &good.lesson().unwrap());
    }
    within(15, &play(&mut meter(learned.ratios("m", SESSION)), &second, escaped));
}

#[test]
fn the_input_estimate_follows_the_session() {
    let learned = Learned::new();
    let cold = meter(learned.ratios("m", SESSION)).input_estimate();
    assert!((9_000..13_000).contains(&cold), "{cold}");
    let mut answer = meter(learned.ratios("m", SESSION));
    answer.see(&delta(DeltaKind::Text, b"Done."), at(5));
    answer.see(&Signal::Stop(StopKind::End), at(6));
    answer.see(
        &Signal::Usage(ReportedUsage {
            input: Some(10),
            cached_read: Some(15_990),
            output: Some(2),
            ..ReportedUsage::default()
        }),
        at(6),
    );
    learned.learn("m", SESSION, &answer.lesson().unwrap());
    assert_eq!(learned.ratios("m", SESSION).input_tokens(40_000), 16_000);
}

// --- reports and settlement ---

#[test]
fn cumulative_reports_overwrite_and_are_never_added() {
    let mut meter = meter(Ratios::default());
    meter.see(
        &Signal::Usage(ReportedUsage {
            input: Some(10),
            cached_read: Some(9_000),
            write_5m: Some(500),
            output: Some(1),
            ..ReportedUsage::default()
        }),
        at(1),
    );
    meter.see(&delta(DeltaKind::Text, b"Hello there, how are you?"), at(2));
    let last = ReportedUsage { input: Some(10), output: Some(7), ..ReportedUsage::default() };
    meter.see(&Signal::Usage(last), at(3));
    meter.see(&Signal::Stop(StopKind::End), at(3));
    meter.see(&Signal::Terminal, at(3));
    let settled = meter.settle(at(4));
    let truth = Usage { input: 10, cached_read: 9_000, write_5m: 500, output: 7, ..Usage::default() };
    assert_eq!((settled.usage, settled.estimated), (truth, false));
}

#[test]
fn an_interrupted_answer_is_charged_what_was_streamed() {
    let mut meter = meter(Ratios::default());
    meter.see(
        &Signal::Usage(ReportedUsage {
            input: Some(10),
            cached_read: Some(9_000),
            output: Some(1),
            ..ReportedUsage::default()
        }),
        at(1),
    );
    for _ in 0..100 {
        meter.see(&delta(DeltaKind::Text, b"four words and more "), at(2));
    }
    let settled = meter.settle(at(3));
    assert!(settled.estimated);
    assert_eq!((settled.usage.input, settled.usage.cached_read), (10, 9_000));
    assert!((300..600).contains(&settled.usage.output), "{}", settled.usage.output);
    assert_eq!(settled.usage.output, settled.output_live);
    assert!(meter.lesson().is_none());
}

#[test]
fn a_stop_without_a_final_report_is_charged_what_was_streamed() {
    let mut meter = meter(Ratios::default());
    meter.see(&usage(50, 1), at(1));
    for _ in 0..100 {
        meter.see(&delta(DeltaKind::Text, b"four words and more "), at(2));
    }
    meter.see(&Signal::Stop(StopKind::End), at(3));
    let settled = meter.settle(at(3));
    assert!(settled.estimated && settled.usage.output > 300);
}

#[test]
fn an_answer_in_one_piece_may_name_its_usage_first() {
    let mut meter = meter(Ratios::default());
    meter.see(&usage(50, 9), at(1));
    meter.see(&delta(DeltaKind::Text, b"Six small words and no more."), at(1));
    meter.see(&Signal::Stop(StopKind::End), at(1));
    meter.see(&Signal::Terminal, at(1));
    let settled = meter.settle(at(1));
    assert_eq!((settled.usage.output, settled.estimated), (9, false));
}

#[test]
fn an_answer_without_any_report_is_all_estimated_as_plain_input() {
    let mut meter = Meter::new(Operation::ChatCompletions, 40_000, Ratios::default(), at(0));
    meter.see(&delta(DeltaKind::Text, b"hello"), at(1));
    meter.see(&Signal::Stop(StopKind::End), at(2));
    let settled = meter.settle(at(3));
    assert!(settled.estimated);
    assert_eq!(settled.usage.total_input(), settled.usage.input);
    assert_eq!(settled.usage.input, meter.input_estimate());
}

#[test]
fn a_report_of_no_input_at_all_is_no_report() {
    let mut meter = meter(Ratios::default());
    meter.see(&usage(0, 0), at(1));
    meter.see(&delta(DeltaKind::Text, b"hello"), at(1));
    assert_eq!(meter.settle(at(2)).usage.input, meter.input_estimate());
}

#[test]
fn an_error_behind_the_content_keeps_what_was_streamed() {
    let mut meter = meter(Ratios::default());
    meter.see(&delta(DeltaKind::Text, b"hello there"), at(1));
    meter.see(&Signal::Error(UpstreamFault::default()), at(2));
    assert!(!meter.stopped());
    assert!(meter.settle(at(3)).estimated && meter.settle(at(3)).usage.output > 0);
}

#[test]
fn counting_tokens_uses_none_and_embeddings_have_no_output() {
    let mut count = Meter::new(Operation::CountTokens, 40_000, Ratios::default(), at(0));
    count.see(&usage(12_000, 0), at(1));
    count.see(&Signal::Terminal, at(1));
    assert_eq!(count.settle(at(2)).usage, Usage::default());
    let mut embed = Meter::new(Operation::Embeddings, 400, Ratios::default(), at(0));
    let report = ReportedUsage { input: Some(90), ..ReportedUsage::default() };
    embed.see(&Signal::Usage(report), at(1));
    embed.see(&Signal::Terminal, at(1));
    let settled = embed.settle(at(2));
    assert_eq!((settled.usage, settled.estimated), (Usage { input: 90, ..Usage::default() }, false));
}

#[test]
fn a_report_in_mid_stream_corrects_the_live_count() {
    let mut meter = meter(Ratios::default());
    for _ in 0..10 {
        meter.see(&delta(DeltaKind::Text, b"four words and more "), at(1));
    }
    let before = meter.live_output(at(1));
    meter.see(&usage(50, before + 100), at(2));
    assert_eq!(meter.live_output(at(2)), before + 100);
    meter.see(&delta(DeltaKind::Text, b"four words and more "), at(3));
    assert!((before + 103..before + 107).contains(&meter.live_output(at(3))));
}

// --- time ---

#[test]
fn first_token_and_gaps_are_told_as_they_happen() {
    let mut meter = meter(Ratios::default());
    assert_eq!(meter.see(&Signal::Lifecycle, at(100)), Seen::default());
    assert_eq!(meter.see(&delta(DeltaKind::Text, b""), at(150)), Seen::default());
    assert_eq!(meter.see(&delta(DeltaKind::Text, b"a"), at(200)), Seen { first: true, gap: None });
    let gap = Some(Duration::from_millis(30));
    assert_eq!(meter.see(&delta(DeltaKind::Text, b"b"), at(230)), Seen { first: false, gap });
    assert_eq!(meter.first_token(), Some(Duration::from_millis(200)));
}

/// A reasoning model that is silent for `seconds` and then reports `reasoning` tokens.
fn silent_answer(meter: &mut Meter, seconds: u64, reasoning: u64) {
    meter.see(&Signal::Lifecycle, at(0));
    meter.see(&delta(DeltaKind::Text, b"Yes."), at(seconds * 1000));
    meter.see(&Signal::Stop(StopKind::End), at(seconds * 1000));
    let report = ReportedUsage {
        input: Some(50),
        output: Some(reasoning + 2),
        reasoning: Some(reasoning),
        ..ReportedUsage::default()
    };
    meter.see(&Signal::Usage(report), at(seconds * 1000));
}

#[test]
fn a_silent_reasoning_model_is_counted_by_time_once_its_speed_is_known() {
    let learned = Learned::new();
    let mut cold = meter(learned.ratios("o", SESSION));
    cold.see(&Signal::Lifecycle, at(0));
    assert_eq!(cold.live_output(at(9_000)), 0);
    for _ in 0..4 {
        let mut answer = meter(learned.ratios("o", SESSION));
        silent_answer(&mut answer, 10, 800);
        learned.learn("o", SESSION, &answer.lesson().unwrap());
    }
    let mut warm = meter(learned.ratios("o", SESSION));
    warm.see(&Signal::Lifecycle, at(0));
    let live = warm.live_output(at(5_000));
    assert!((340..=460).contains(&live), "{live}");
    // Words end the silence: the count of thought stands still while they flow.
    warm.see(&delta(DeltaKind::Text, b"Yes."), at(5_000));
    assert!(warm.live_output(at(5_900)).abs_diff(live) <= 3);
}

#[test]
fn thinking_in_the_open_is_counted_by_its_words() {
    let learned = Learned::new();
    let thought = "I should look at the file first and then decide what to change in it. ".repeat(20);
    let mut answer = meter(learned.ratios("d", SESSION));
    answer.see(&Signal::Lifecycle, at(0));
    answer.see(&delta(DeltaKind::Thinking, thought.as_bytes()), at(9_000));
    let shown = answer.live_output(at(9_000));
    assert!((280..400).contains(&shown), "{shown}");
    answer.see(&delta(DeltaKind::Text, b"Done."), at(10_000));
    answer.see(&Signal::Stop(StopKind::End), at(10_000));
    let report = ReportedUsage {
        input: Some(50),
        output: Some(402),
        reasoning: Some(400),
        ..ReportedUsage::default()
    };
    answer.see(&Signal::Usage(report), at(10_000));
    learned.learn("d", SESSION, &answer.lesson().unwrap());
    let mut next = meter(learned.ratios("d", SESSION));
    next.see(&Signal::Lifecycle, at(0));
    assert_eq!(next.live_output(at(9_000)), 0);
    next.see(&delta(DeltaKind::Thinking, thought.as_bytes()), at(9_000));
    assert!(next.live_output(at(9_000)).abs_diff(400) <= 20, "{}", next.live_output(at(9_000)));
}

// --- prices ---

const RATES: Rates = Rates { input: 10, cached_read: 1, write_5m: 12, write_1h: 20, output: 50 };

fn prices() -> PriceList {
    let entry = |model: &str, input| PriceEntry {
        model: model.to_owned(),
        rates: Rates { input, ..RATES },
        tiers: vec![
            PriceTier { above_input_tokens: 200_000, rates: Rates { input: input * 2, ..RATES } },
            PriceTier { above_input_tokens: 272_000, rates: Rates { input: input * 3, ..RATES } },
        ],
    };
    PriceList::new(vec![
        entry("claude-sonnet-4", 1_000_000),
        entry("claude-sonnet-4-6", 2_000_000),
        entry("gpt-5", 3_000_000),
        entry("us.anthropic.claude-sonnet-4-6", 4_000_000),
    ])
}

#[test]
fn dated_names_have_the_price_of_their_model_and_near_names_have_none() {
    let prices = prices();
    let input = |model: &str| prices.rates(model, 0).map(|rates| rates.input);
    for dated in [
        "claude-sonnet-4-6",
        "claude-sonnet-4-6-20260115",
        "claude-sonnet-4-6@20260115",
        "claude-sonnet-4-6-2026-01-15",
        "claude-sonnet-4-6-latest",
    ] {
        assert_eq!(input(dated), Some(2_000_000), "{dated}");
    }
    assert_eq!(input("claude-sonnet-4-20250514"), Some(1_000_000));
    assert_eq!(input("us.anthropic.claude-sonnet-4-6-20260115-v1:0"), Some(4_000_000));
    assert_eq!(input("gpt-5-0613"), Some(3_000_000));
    for other in [
        "gpt-5.6",
        "gpt-5-mini",
        "gpt-50",
        "gpt-5-6",
        "gpt-5:free",
        "claude-sonnet-4-7",
        "claude",
        "",
        "-",
        "gpt-5-",
    ] {
        assert_eq!(input(other), None, "{other}");
    }
}

#[test]
fn a_tier_holds_for_the_whole_request_and_counts_cached_input() {
    let prices = prices();
    let charge = |input, cached_read| {
        prices.charge("gpt-5", &Usage { input, cached_read, ..Usage::default() }).unwrap()
    };
    assert_eq!(charge(200_000, 0), NanoUsd(600_000));
    assert_eq!(charge(200_000, 1), NanoUsd(1_200_000));
    assert_eq!(charge(200_000, 72_001), NanoUsd(1_800_000));
    assert_eq!(prices.charge("unknown", &Usage::default()), None);
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    let entry =
        |input| PriceEntry { model: "m".to_owned(), rates: Rates { input, ..RATES }, tiers: Vec::new() };
    let prices = PriceList::new(vec![entry(1), entry(2)]);
    assert_eq!((prices.len(), prices.rates("m", u64::MAX).unwrap().input), (1, 2));
}

/// The list that we ship, in dollars per million tokens.
#[derive(serde::Deserialize)]
struct Shipped {
    price: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    model: String,
    #[serde(flatten)]
    rates: Dollars,
    #[serde(default)]
    above: Vec<Above>,
}

#[derive(serde::Deserialize)]
struct Above {
    input_tokens: u64,
    #[serde(flatten)]
    rates: Dollars,
}

#[derive(serde::Deserialize, Clone, Copy)]
struct Dollars {
    input: f64,
    cached_read: f64,
    write_5m: f64,
    write_1h: f64,
    output: f64,
}

impl Dollars {
    fn in_order(&self) -> bool {
        // DeepSeek writes for nothing.
        0.0 < self.cached_read
            && self.cached_read < self.input
            && (self.write_5m == 0.0 || self.write_5m >= self.input)
            && self.write_1h >= self.input
            && self.output > self.input
    }
}

#[test]
fn the_list_that_we_ship_is_sane() {
    let list: Shipped = toml::from_str(include_str!("../../conf/prices.toml")).unwrap();
    let mut names: Vec<&str> = list.price.iter().map(|row| row.model.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), list.price.len());
    for row in &list.price {
        assert!(row.rates.in_order(), "{}", row.model);
        for tier in &row.above {
            assert!(tier.input_tokens >= 100_000 && tier.rates.in_order(), "{}", row.model);
            assert!(
                tier.rates.input > row.rates.input && tier.rates.output > row.rates.output,
                "{}",
                row.model
            );
        }
    }
    let sonnet = list.price.iter().find(|row| row.model == "claude-sonnet-4-6").unwrap().rates;
    assert_eq!(
        [sonnet.input, sonnet.cached_read, sonnet.write_5m, sonnet.write_1h, sonnet.output],
        [3.0, 0.3, 3.75, 6.0, 15.0]
    );
}

// --- properties ---

fn any_usage() -> impl Strategy<Value = Usage> {
    prop::array::uniform6(prop_oneof![0_u64..2_000_000, any::<u64>()]).prop_map(
        |[input, cached_read, write_5m, write_1h, output, reasoning]| Usage {
            input,
            cached_read,
            write_5m,
            write_1h,
            output,
            reasoning,
        },
    )
}

fn any_ratios() -> impl Strategy<Value = Ratios> {
    prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), "\\PC{0,200}", 0_u64..100_000), 0..5)
        .prop_map(|lessons| {
            let learned = Learned::new();
            for (input, output, reasoning, text, millis) in lessons {
                let mut meter = meter(learned.ratios("m", SESSION));
                meter.see(&Signal::Lifecycle, at(0));
                meter.see(&delta(DeltaKind::Thinking, text.as_bytes()), at(millis));
                meter.see(&delta(DeltaKind::Text, text.as_bytes()), at(millis));
                meter.see(&Signal::Stop(StopKind::End), at(millis));
                let report = ReportedUsage {
                    input: Some(input),
                    output: Some(output),
                    reasoning: Some(reasoning),
                    ..ReportedUsage::default()
                };
                meter.see(&Signal::Usage(report), at(millis));
                if let Some(lesson) = meter.lesson() {
                    learned.learn("m", SESSION, &lesson);
                }
            }
            learned.ratios("m", SESSION)
        })
}

proptest! {
    #[test]
    fn sums_do_not_depend_on_their_order(mut usages in prop::collection::vec(any_usage(), 0..12)) {
        let sum = |usages: &[Usage]| {
            let (mut tokens, mut money) = (Usage::default(), NanoUsd::default());
            for usage in usages {
                tokens += *usage;
                money += prices().charge("gpt-5", usage).unwrap();
            }
            (tokens, money)
        };
        let forwards = sum(&usages);
        usages.reverse();
        prop_assert_eq!(forwards, sum(&usages));
    }

    #[test]
    fn any_split_of_an_answer_settles_alike(text in "\\PC{0,200}", cuts in prop::collection::vec(0_usize..600, 0..8), ratios in any_ratios(), done in any::<bool>()) {
        let raw = escaped(&text);
        let settled = |cuts: &[usize]| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(raw.len())).collect();
            cuts.extend([0, raw.len()]);
            cuts.sort_unstable();
            let mut meter = meter(ratios);
            for pair in cuts.windows(2) {
                meter.see(&delta(DeltaKind::ToolArguments, &raw[pair[0]..pair[1]]), at(1));
            }
            if done {
                meter.see(&usage(5, 70), at(1));
                meter.see(&Signal::Terminal, at(1));
            }
            meter.settle(at(1))
        };
        prop_assert_eq!(settled(&cuts), settled(&[]));
    }

    #[test]
    fn nothing_settles_below_what_was_reported_and_huge_figures_saturate(told in any_usage(), text in "\\PC{0,200}", ratios in any_ratios(), bytes in any::<u64>(), done in any::<bool>(), late in 0_u64..u64::MAX) {
        let mut meter = Meter::new(Operation::Responses, bytes, ratios, at(0));
        meter.see(&delta(DeltaKind::Text, text.as_bytes()), at(1));
        let report = ReportedUsage { input: Some(told.input), cached_read: Some(told.cached_read), write_5m: Some(told.write_5m), write_1h: Some(told.write_1h), output: Some(told.output), reasoning: Some(told.reasoning) };
        meter.see(&Signal::Usage(report), at(2));
        if done {
            meter.see(&Signal::Terminal, at(3));
        }
        let end = Moment::from_nanos(late);
        let settled = meter.settle(end).usage;
        prop_assert!(settled.input >= told.input && settled.cached_read >= told.cached_read && settled.output >= told.output);
        prop_assert!(settled.write_5m >= told.write_5m && settled.write_1h >= told.write_1h);
        prop_assert!(settled.reasoning <= settled.output && settled.total_input() >= told.total_input());
        prop_assert!(prices().charge("gpt-5", &settled).is_some());
    }

    #[test]
    fn lessons_never_leave_sane_bounds(ratios in any_ratios()) {
        let tokens = ratios.input_tokens(1_000_000);
        prop_assert!((10_000..=1_500_000).contains(&tokens), "{}", tokens);
        let mut meter = meter(ratios);
        meter.see(&delta(DeltaKind::Text, "word ".repeat(1000).as_bytes()), at(1));
        let live = meter.live_output(at(1));
        prop_assert!((240..=13_000).contains(&live), "{}", live);
    }

    #[test]
    fn any_name_can_be_looked_up(model in "\\PC{0,40}", suffix in "[-@:0-9a-z]{0,24}") {
        let _ = prices().rates(&model, 0);
        let found = prices().rates(&format!("gpt-5{suffix}"), 0);
        prop_assert!(suffix.is_empty() || found.is_none() || suffix.starts_with(['-', '@', ':']));
    }
}
