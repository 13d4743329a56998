//! Reports for a terminal.

use std::fmt::Write as _;

use super::{Report, Stopped, counted};
use crate::types::with_figures;

/// Bars of a turn's hit rate: an eighth each.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Turn numbers that are shown; the rest is summed up by the last of them.
const SHOWN: usize = 40;
const WIDTH: usize = 118;

pub(super) fn text(reports: &[Report]) -> String {
    let mut text = String::new();
    text.push_str(&with_figures(&rows(reports)));
    if let Some(bars) = bars(reports) {
        let _ = write!(text, "\n{bars}");
    }
    for report in reports {
        text.push('\n');
        let _ = writeln!(text, "{}", headline(report));
        for found in &report.diagnosis {
            text.push_str(&wrapped("  - ", &found.sentence));
        }
        for remark in report.remarks.iter().chain(stopped(report).as_ref()) {
            text.push_str(&wrapped("  · ", remark));
        }
    }
    text
}

const HEAD: [&str; 11] = [
    "",
    "hit rate",
    "possible",
    "$/1k turns",
    "if warm",
    "turns",
    "errors",
    "429s",
    "TTFT p50",
    "p90",
    "p99",
];

/// What is looked at first: the endpoint, its rates, its costs, its counts.
pub(in crate::gauge) fn glance(report: &Report) -> Vec<String> {
    vec![
        report.endpoint.clone(),
        percent(report.hit_rate),
        percent(report.possible_hit_rate),
        dollars(report.cost_per_1k_turns),
        dollars(report.warm_cost_per_1k_turns),
        report.turns.to_string(),
        report.errors.to_string(),
        report.status_429.to_string(),
    ]
}

fn rows(reports: &[Report]) -> Vec<Vec<String>> {
    let itl = reports.iter().any(|report| report.itl_p50_s.is_some());
    let mut head: Vec<String> = HEAD.iter().map(ToString::to_string).collect();
    if itl {
        head.extend(["ITL p50", "p90", "p99"].map(str::to_owned));
    }
    let row = |report: &Report| {
        let mut row = glance(report);
        row.extend([report.ttft_p50_s, report.ttft_p90_s, report.ttft_p99_s].map(seconds));
        if itl {
            row.extend([report.itl_p50_s, report.itl_p90_s, report.itl_p99_s].map(seconds));
        }
        row
    };
    std::iter::once(head).chain(reports.iter().map(row)).collect()
}

/// The hit rate by turn, a bar each.
fn bars(reports: &[Report]) -> Option<String> {
    let most = reports.iter().map(|report| report.hit_rate_by_turn.len()).max()?.min(SHOWN);
    if most == 0 {
        return None;
    }
    let width = reports.iter().map(|report| report.endpoint.chars().count()).max().unwrap_or(0);
    let mut text = format!("Hit rate by turn, from the first to number {most}:\n");
    for report in reports {
        let bars: String = report.hit_rate_by_turn.iter().take(SHOWN).map(|rate| bar(*rate)).collect();
        let _ = writeln!(text, "{:<width$}  {bars}", report.endpoint);
    }
    Some(text)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
fn bar(rate: Option<f64>) -> char {
    rate.map_or(' ', |rate| {
        let eighth = (rate * 8.0).floor().clamp(0.0, 7.0) as usize;
        BARS.get(eighth).copied().unwrap_or(' ')
    })
}

fn headline(report: &Report) -> String {
    let (turns, of) = (counted(report.turns, "turn"), counted(report.conversations, "conversation"));
    let mut line = format!("{}: {turns} of {of}", report.endpoint);
    if !report.models.is_empty() {
        let _ = write!(line, ", {}", report.models.join(", "));
    }
    if let Some(spent) = report.spent_usd {
        let _ = write!(line, "; ${spent:.4} spent");
    }
    line
}

/// Why there is not more of it.
pub(in crate::gauge) fn stopped(report: &Report) -> Option<String> {
    Some(match report.stopped? {
        Stopped::Interrupted => "Interrupted: these are the figures so far.".to_owned(),
        Stopped::Budget { cap_usd } => {
            format!(
                "Stopped before another request might have passed ${cap_usd}: these are the figures so far."
            )
        }
        Stopped::Failing => {
            "Stopped, because nothing was answered any more: these are the figures so far.".to_owned()
        }
    })
}

/// A sentence on lines that fit a terminal.
fn wrapped(lead: &str, sentence: &str) -> String {
    let indent = lead.chars().count();
    let (mut text, mut line) = (String::new(), lead.to_owned());
    let mut empty = true;
    for word in sentence.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
    text
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

pub(in crate::gauge) fn percent(part: Option<f64>) -> String {
    or_dash(part.map(|part| format!("{:.1} %", part * 100.0)))
}

pub(in crate::gauge) fn dollars(dollars: Option<f64>) -> String {
    or_dash(dollars.map(|dollars| match dollars {
        much if much >= 100.0 => format!("${much:.0}"),
        some if some >= 0.1 => format!("${some:.2}"),
        little => format!("${little:.4}"),
    }))
}

pub(in crate::gauge) fn seconds(seconds: Option<f64>) -> String {
    or_dash(seconds.map(|seconds| match seconds {
        long if long >= 10.0 => format!("{long:.0} s"),
        some if some >= 1.0 => format!("{some:.2} s"),
        short if short >= 0.01 => format!("{:.0} ms", short * 1e3),
        little => format!("{:.1} ms", little * 1e3),
    }))
}
