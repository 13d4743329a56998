//! Plots, drawn here: SVG is text.

use std::fmt::Write as _;

use super::{COLOURS, Report, escape};
use crate::gauge::report::{dollars, percent, seconds};

const WIDTH: f64 = 880.0;
/// Room for the names of values on the left, and for the names of turns below.
const LEFT: f64 = 48.0;
const BELOW: f64 = 28.0;
const BAR: f64 = 16.0;
/// Turns that a plot shows.
const TURNS: usize = 65;

/// Hit rates by turn, a line each.
pub(super) fn hit_rates(reports: &[Report]) -> String {
    const HEIGHT: f64 = 260.0;
    let most = reports.iter().map(|report| report.hit_rate_by_turn.len()).max().unwrap_or(0).min(TURNS);
    if most == 0 {
        return "<p class=\"soft\">No answer said what it used.</p>\n".to_owned();
    }
    let bottom = HEIGHT - BELOW;
    let across = WIDTH - LEFT - 12.0;
    let x = |turn: usize| LEFT + across * float(turn) / float(most.saturating_sub(1).max(1));
    let y = |rate: f64| 8.0 + (bottom - 8.0) * (1.0 - rate.clamp(0.0, 1.0));
    let mut svg = open("rates", HEIGHT, "Hit rate by turn", &reports_in_words(reports));
    for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = y(quarter);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            WIDTH - 12.0,
            LEFT - 6.0,
            at + 4.0,
            quarter * 100.0
        );
    }
    let every = most.div_ceil(16).max(1);
    for turn in (0..most).step_by(every) {
        let name = if turn + 1 == TURNS { "later".to_owned() } else { (turn + 1).to_string() };
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            x(turn),
            HEIGHT - 8.0
        );
    }
    for (n, report) in reports.iter().enumerate() {
        let points: Vec<(f64, f64)> = report
            .hit_rate_by_turn
            .iter()
            .take(TURNS)
            .enumerate()
            .filter_map(|(turn, rate)| Some((x(turn), y((*rate)?))))
            .collect();
        let line: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(svg, "<polyline class=\"s{}\" points=\"{}\"/>", n % COLOURS, line.join(" "));
        for (x, y) in points {
            let _ = write!(svg, "<circle class=\"f{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>", n % COLOURS);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a thousand turns cost, above what they would have cost.
pub(super) fn costs(reports: &[Report]) -> String {
    let most = reports.iter().filter_map(|report| report.cost_per_1k_turns);
    let most =
        most.chain(reports.iter().filter_map(|report| report.warm_cost_per_1k_turns)).fold(0.0, f64::max);
    let bars: Vec<Bar> = reports
        .iter()
        .enumerate()
        .flat_map(|(n, report)| {
            let name = report.endpoint.clone();
            [
                Bar::new(Some(name), report.cost_per_1k_turns, dollars, format!("f{}", n % COLOURS)),
                Bar::new(
                    None,
                    report.warm_cost_per_1k_turns,
                    |usd| format!("{} if warm", dollars(usd)),
                    "bar-warm".to_owned(),
                ),
            ]
        })
        .collect();
    bar_plot("costs", "Dollars for a thousand turns", &cost_in_words(reports), &bars, most)
}

/// Times to the first token, or to the end where nobody saw the first.
pub(super) fn latencies(reports: &[Report]) -> String {
    let first = reports.iter().any(|report| report.ttft_p50_s.is_some());
    let what = if first { "Time to the first token" } else { "Time to the whole answer" };
    let of = |report: &Report| {
        if first {
            [("p50", report.ttft_p50_s), ("p90", report.ttft_p90_s), ("p99", report.ttft_p99_s)]
        } else {
            [("p50", report.total_p50_s), ("p90", report.total_p90_s), ("p99", report.total_p99_s)]
        }
    };
    let most = reports.iter().flat_map(of).filter_map(|(_, time)| time).fold(0.0, f64::max);
    let bars: Vec<Bar> = reports
        .iter()
        .enumerate()
        .flat_map(|(n, report)| {
            of(report).map(|(name, time)| {
                let title = (name == "p50").then(|| report.endpoint.clone());
                Bar::new(title, time, |time| format!("{name} {}", seconds(time)), format!("f{}", n % COLOURS))
            })
        })
        .collect();
    let words = reports.iter().map(|report| {
        let times = of(report).map(|(name, time)| format!("{name} {}", seconds(time)));
        format!("{}: {}.", report.endpoint, times.join(", "))
    });
    let words: Vec<String> = words.collect();
    bar_plot("latency", what, &words.join(" "), &bars, most)
}

struct Bar {
    /// Stands above it, where a group begins.
    title: Option<String>,
    value: f64,
    label: String,
    class: String,
}

impl Bar {
    fn new(
        title: Option<String>,
        value: Option<f64>,
        label: impl Fn(Option<f64>) -> String,
        class: String,
    ) -> Self {
        Self { title, value: value.unwrap_or(0.0), label: label(value), class }
    }
}

fn bar_plot(id: &str, title: &str, words: &str, bars: &[Bar], most: f64) -> String {
    let titles = bars.iter().filter(|bar| bar.title.is_some()).count();
    let height = float(bars.len()) * (BAR + 5.0) + float(titles) * 26.0 + 8.0;
    let mut svg = open(id, height, title, words);
    // Room for the label behind the longest bar.
    let across = WIDTH - 170.0;
    let mut y = 4.0;
    for bar in bars {
        if let Some(title) = &bar.title {
            y += 18.0;
            let _ = write!(svg, "<text class=\"name\" x=\"0\" y=\"{y:.1}\">{}</text>", escape(title));
            y += 8.0;
        }
        let width = if most > 0.0 { (across * bar.value / most).max(1.0) } else { 1.0 };
        let _ = write!(
            svg,
            "<rect class=\"{}\" x=\"0\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            bar.class,
            width + 8.0,
            y + BAR - 4.0,
            escape(&bar.label)
        );
        y += BAR + 5.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn open(id: &str, height: f64, title: &str, words: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\
         <title id=\"{id}-title\">{}</title><desc id=\"{id}-desc\">{}</desc>",
        escape(title),
        escape(words)
    )
}

fn reports_in_words(reports: &[Report]) -> String {
    let words: Vec<String> = reports
        .iter()
        .map(|report| {
            let last = report.hit_rate_by_turn.iter().rev().find_map(|rate| *rate);
            let first = report.hit_rate_by_turn.first().copied().flatten();
            format!(
                "{}: {} on the first turn, {} on the last, {} of all.",
                report.endpoint,
                percent(first),
                percent(last),
                percent(report.hit_rate)
            )
        })
        .collect();
    words.join(" ")
}

fn cost_in_words(reports: &[Report]) -> String {
    let words: Vec<String> = reports
        .iter()
        .map(|report| {
            let (cost, warm) = (dollars(report.cost_per_1k_turns), dollars(report.warm_cost_per_1k_turns));
            format!("{}: {cost}, {warm} if warm.", report.endpoint)
        })
        .collect();
    words.join(" ")
}

#[expect(clippy::cast_precision_loss, reason = "a handful of turns")]
const fn float(number: usize) -> f64 {
    number as f64
}
