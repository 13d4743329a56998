//! The figures of the plots, as tables.

use std::fmt::Write as _;

use super::{Report, escape};
use crate::gauge::report::{self, dollars, percent, seconds};

/// Rows of the table of turns; what the plot shows beyond is in `--json`.
const TURNS: usize = 24;

pub(super) fn glance(reports: &[Report]) -> String {
    let head =
        ["Endpoint", "Hit rate", "Possible", "$/1k turns", "If warm", "Turns", "Errors", "429s", "Spent"];
    let rows = reports.iter().map(|report| {
        let mut row = report::glance(report);
        row.push(dollars(report.spent_usd));
        row
    });
    table("Figures of each endpoint", &head.map(str::to_owned), rows)
}

pub(super) fn latency(reports: &[Report]) -> String {
    let head = [
        "Endpoint",
        "TTFT p50",
        "p90",
        "p99",
        "Between tokens p50",
        "p90",
        "p99",
        "Whole answer p50",
        "p90",
        "p99",
    ];
    let rows = reports.iter().map(|report| {
        let times = [
            report.ttft_p50_s,
            report.ttft_p90_s,
            report.ttft_p99_s,
            report.itl_p50_s,
            report.itl_p90_s,
            report.itl_p99_s,
            report.total_p50_s,
            report.total_p90_s,
            report.total_p99_s,
        ];
        std::iter::once(report.endpoint.clone()).chain(times.map(seconds)).collect()
    });
    table("Latency percentiles", &head.map(str::to_owned), rows)
}

pub(super) fn by_turn(reports: &[Report]) -> String {
    let most = reports.iter().map(|report| report.hit_rate_by_turn.len()).max().unwrap_or(0).min(TURNS);
    if most == 0 {
        return String::new();
    }
    let head: Vec<String> =
        std::iter::once("Turn".to_owned()).chain((1..=most).map(|turn| turn.to_string())).collect();
    let rows = reports.iter().map(|report| {
        let rates = (0..most).map(|turn| percent(report.hit_rate_by_turn.get(turn).copied().flatten()));
        std::iter::once(report.endpoint.clone()).chain(rates).collect()
    });
    table("Hit rate by turn", &head, rows)
}

fn table(caption: &str, head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("<div class=\"wide\"><table aria-label=\"{}\"><thead><tr>", escape(caption));
    for name in head {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escape(name));
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escape(&cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
    text
}
