//! Reports as one page that needs nothing else: no script, no font, no request.
//!
//! Invariant: every text goes through [`escape`], also those that we believe to be ours.

mod plot;
mod tables;

use std::fmt::Write as _;

use self::plot::{costs, hit_rates, latencies};
use super::report::{Report, counted, stopped};

/// Endpoints whose colours differ; further ones begin again.
const COLOURS: usize = 6;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fcfcfb;--ink:#1d1d1b;--soft:#6b6b66;--line:#d9d9d3;--warm:#b9b9b1;\
--c0:#c2410c;--c1:#1d4ed8;--c2:#15803d;--c3:#7e22ce;--c4:#0e7490;--c5:#a16207}\
@media (prefers-color-scheme:dark){:root{--bg:#171715;--ink:#ecece8;--soft:#a3a39b;--line:#3a3a36;--warm:#5c5c55;\
--c0:#fb923c;--c1:#7aa2ff;--c2:#4ade80;--c3:#c39bfb;--c4:#4fc3dc;--c5:#eac54f}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:2rem 1.25rem 4rem;background:var(--bg);\
color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
h1{font-size:1.6rem;margin:0 0 .25rem}\
h2{font-size:1.15rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .25rem}\
p{margin:.25rem 0}.soft{color:var(--soft)}ul{padding-left:1.2rem;margin:.25rem 0}li{margin:.35rem 0}\
.kind{font:.8rem ui-monospace,monospace;color:var(--soft);margin-right:.5em}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}\
th,td{padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:9rem}th{color:var(--soft);font-weight:500}\
svg{display:block;width:100%;height:auto;margin:.5rem 0}svg text{fill:var(--soft);font:12px system-ui,sans-serif}\
svg text.name{fill:var(--ink)}.grid{stroke:var(--line);stroke-width:1}.bar-warm{fill:var(--warm)}\
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em;vertical-align:-.05em}\
.legend span{margin-right:1.4em}";

/// One page for these reports; the first is the yardstick of the others.
#[must_use]
pub fn html(reports: &[Report]) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>warmkey gauge</title>\n",
    );
    let _ = write!(page, "<style>{STYLE}{}</style></head>\n<body>\n", colours());
    page.push_str("<header><h1>How warm is the cache?</h1>\n");
    page.push_str(
        "<p class=\"soft\">Tokens are as the providers reported them, dollars at list prices. \
         \u{201c}If warm\u{201d} is what the same requests would have cost with a cache that keeps \
         everything.</p></header>\n<main>\n",
    );
    page.push_str(&legend(reports));
    page.push_str("<h2>At a glance</h2>\n");
    page.push_str(&tables::glance(reports));
    page.push_str("<h2>Diagnosis</h2>\n");
    reports.iter().for_each(|report| diagnosis(&mut page, report));
    page.push_str("<h2>Hit rate by turn</h2>\n");
    page.push_str(&hit_rates(reports));
    page.push_str(&tables::by_turn(reports));
    if reports.iter().any(|report| report.cost_per_1k_turns.is_some()) {
        page.push_str("<h2>Dollars for a thousand turns</h2>\n");
        page.push_str(&costs(reports));
    }
    if reports.iter().any(|report| report.ttft_p50_s.is_some() || report.total_p50_s.is_some()) {
        page.push_str("<h2>Latency</h2>\n");
        page.push_str(&latencies(reports));
        page.push_str(&tables::latency(reports));
    }
    page.push_str("</main></body></html>\n");
    page
}

fn colours() -> String {
    (0..COLOURS).fold(String::new(), |mut text, n| {
        let _ = write!(
            text,
            ".f{n}{{fill:var(--c{n})}}.s{n}{{stroke:var(--c{n});fill:none;stroke-width:2.5}}\
             .b{n}{{background:var(--c{n})}}"
        );
        text
    })
}

fn legend(reports: &[Report]) -> String {
    let mut text = String::from("<p class=\"legend\">");
    for (n, report) in reports.iter().enumerate() {
        let _ =
            write!(text, "<span><i class=\"key b{}\"></i>{}</span>", n % COLOURS, escape(&report.endpoint));
    }
    text.push_str("</p>\n");
    text
}

fn diagnosis(page: &mut String, report: &Report) {
    let _ = writeln!(page, "<h3>{}</h3>", escape(&report.endpoint));
    let models = report.models.join(", ");
    let _ = writeln!(
        page,
        "<p class=\"soft\">{} of {}{}{}</p>\n<ul>",
        counted(report.turns, "turn"),
        counted(report.conversations, "conversation"),
        if models.is_empty() { "" } else { "; " },
        escape(&models)
    );
    for found in &report.diagnosis {
        let kind = serde_json::to_string(&found.kind).unwrap_or_default();
        let _ = writeln!(
            page,
            "<li><span class=\"kind\">{}</span>{}</li>",
            escape(kind.trim_matches('"')),
            escape(&found.sentence)
        );
    }
    for remark in report.remarks.iter().chain(stopped(report).as_ref()) {
        let _ = writeln!(page, "<li class=\"soft\">{}</li>", escape(remark));
    }
    page.push_str("</ul>\n");
}

/// Text as it may stand between tags and in quoted attributes: none of it is markup any more.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
