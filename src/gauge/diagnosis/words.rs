//! Figures in sentences, and what is said where nothing is wrong.

use super::{Case, FEW, Found, Kind};
use crate::gauge::{Via, share};

/// One in so many turns is seldom: a gateway that steps aside for a limit, not one that spreads its load.
pub(super) const OFTEN: u64 = 20;
/// So many identical prompts say something.
pub(super) const PROBED: u64 = 4;
/// Less of a prompt that was sent before, and there is no cache to speak of.
const LITTLE: f64 = 0.2;
/// What may be read and is not: so much of it needs an explanation.
const GAP: f64 = 0.1;

/// A part in whole percent, finer where it is near an end.
pub(super) fn percent(part: Option<f64>) -> String {
    let Some(part) = part else { return "an unknown part".to_owned() };
    let percent = part * 100.0;
    let fine = (percent > 0.0 && percent < 3.0) || (percent > 97.0 && percent < 100.0);
    if fine { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A number with its thousands parted.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Tokens, as exactly as matters.
#[expect(clippy::cast_precision_loss, reason = "rounded to three digits anyway")]
pub(super) fn tokens(tokens: u64) -> String {
    match tokens {
        0..100_000 => format!("{} tokens", count(tokens)),
        100_000..1_000_000 => format!("{} tokens", count(tokens / 1_000 * 1_000)),
        _ => format!("{:.1} million tokens", tokens as f64 / 1e6),
    }
}

/// How a finding about the cache begins: the hit rate, beside that of the yardstick where it is better.
pub(super) fn lead(case: &Case<'_>) -> String {
    let here = case.evidence.hit_rate();
    let there = case.beside.and_then(|beside| Some((beside.hit_rate?, beside)));
    if let (Some((rate, beside)), Some(hit)) = (there, here)
        && rate > hit
    {
        return format!(
            "{} at {}, {} through this endpoint: ",
            percent(Some(rate)),
            beside.endpoint,
            percent(here)
        );
    }
    match case.via {
        Via::Driven => {
            format!("{} of the input is read from the cache through this endpoint: ", percent(here))
        }
        Via::Logs => format!("{} of the input is read from the cache: ", percent(here)),
    }
}

/// No rule has found anything.
pub(super) fn nothing_wrong(case: &Case<'_>) -> Found {
    let evidence = case.evidence;
    let possible = share(evidence.possible, evidence.possible_of);
    let (kind, sentence) = match (evidence.hit_rate(), possible) {
        (Some(hit), Some(possible)) if evidence.with_usage >= FEW => {
            if possible - hit >= GAP {
                let sentence = format!(
                    "{}{} had been sent before in the same conversation, and nothing that was seen says why \
                     the rest of that is not read. See the hit rate by turn: a cache that is there shows from \
                     the second turn on.",
                    lead(case),
                    percent(Some(possible))
                );
                (Kind::Unexplained, sentence)
            } else if possible < LITTLE {
                let sentence = format!(
                    "{}there is little to reuse, as {} of the input had been sent before in the same \
                     conversation. Caches pay from the second turn on.",
                    lead(case),
                    percent(Some(possible))
                );
                (Kind::NothingToReuse, sentence)
            } else {
                (Kind::Healthy, healthy(case, hit, possible))
            }
        }
        _ => {
            let sentence = format!(
                "Too little was seen to say anything: {} answered of {} requests.",
                count(evidence.turns),
                count(evidence.requests)
            );
            (Kind::TooLittle, sentence)
        }
    };
    Found { kind, weight: 0.0, sentence }
}

fn healthy(case: &Case<'_>, hit: f64, possible: f64) -> String {
    let mut sentence = format!(
        "{} of the input is read from the cache; {} had been sent before in the same conversation. Conversations \
         find what they have cached.",
        percent(Some(hit)),
        percent(Some(possible))
    );
    let costs = case.costs;
    let saved = costs.spent.0.saturating_sub(costs.warm.0);
    if let Some(part) = share(saved, costs.spent.0).filter(|part| *part >= 0.01) {
        sentence.push_str(&format!(
            " A cache that keeps everything would have saved another {}.",
            percent(Some(part))
        ));
    }
    sentence
}
