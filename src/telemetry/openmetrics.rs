//! Metrics as OpenMetrics text, with exemplars; for whoever does not ask for it, in the classic form.
//!
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>. The `prometheus` crate writes the classic
//! form only, which has no place for exemplars. Beside them the two differ in that a counter's family is
//! named without `_total`, that help texts escape quotes, and that the end is marked.

use std::fmt::{self, Write as _};

use http::HeaderMap;
use pingora_prometheus::prometheus::{
    self, Encoder as _, TextEncoder,
    proto::{Metric, MetricFamily, MetricType},
};

use super::{Metrics, exemplars::Exemplar, readings::Readings};

const KIND: &str = "application/openmetrics-text";

/// What a scrape is answered with.
pub struct Scrape {
    /// Its content type.
    pub kind: &'static str,
    /// Its text.
    pub body: Vec<u8>,
}

/// Everything in the registry, and `readings`, in the form that `headers` prefer.
#[must_use]
pub fn scrape(headers: &HeaderMap, readings: &Readings) -> Scrape {
    let families = prometheus::gather();
    if wants(headers) {
        let exemplars = |name: &str, label: Option<&str>| Metrics::global().latency.exemplars(name, label);
        let body = write(&families, exemplars, readings.text()).into_bytes();
        return Scrape { kind: "application/openmetrics-text; version=1.0.0; charset=utf-8", body };
    }
    let mut body = Vec::new();
    if let Err(fault) = TextEncoder::new().encode(&families, &mut body) {
        tracing::error!(%fault, "the metrics cannot be written");
    }
    body.extend_from_slice(readings.text().as_bytes());
    Scrape { kind: "text/plain; version=0.0.4; charset=utf-8", body }
}

/// It is named, in a version that this is, with no less weight than `text/plain`.
fn wants(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut classic) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut weight, mut known) = (1.0_f64, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => weight = value.trim().parse().unwrap_or(0.0),
                "version" => known = matches!(value.trim().trim_matches('"'), "1.0.0" | "0.0.1" | "0.0.4"),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case(KIND) && known {
            open = weight.max(open);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            classic = weight.max(classic);
        }
    }
    open > 0.0 && open >= classic
}

type Found = Option<Box<[Option<Exemplar>]>>;

/// `exemplars` are asked for by the family's name and the value of its only label.
fn write(families: &[MetricFamily], exemplars: impl Fn(&str, Option<&str>) -> Found, more: &str) -> String {
    let mut text =
        String::with_capacity(families.iter().map(|family| family.get_metric().len()).sum::<usize>() * 96);
    for family in families {
        // Writing into memory cannot fail.
        let _ = write_family(&mut text, family, &exemplars);
    }
    text.push_str(more);
    text.push_str("# EOF\n");
    text
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    exemplars: impl Fn(&str, Option<&str>) -> Found,
) -> fmt::Result {
    let (name, kind) = (family.name(), family.get_field_type());
    let base = if kind == MetricType::COUNTER { name.strip_suffix("_total").unwrap_or(name) } else { name };
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "unknown",
    };
    writeln!(text, "# TYPE {base} {word}")?;
    writeln!(text, "# HELP {base} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => {
                // All counters are named so; one that is not becomes so.
                line(text, base, "_total", metric, None, metric.get_counter().value())?;
            }
            MetricType::GAUGE => line(text, base, "", metric, None, metric.get_gauge().value())?,
            MetricType::HISTOGRAM => write_histogram(text, base, metric, &exemplars)?,
            // There are none here.
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: impl Fn(&str, Option<&str>) -> Found,
) -> fmt::Result {
    let histogram = metric.get_histogram();
    let label = metric.get_label().first().map(|label| label.value());
    let found = exemplars(name, label).unwrap_or_default();
    let bounds =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = histogram.get_sample_count();
    for (n, (bound, count)) in bounds.chain([(f64::INFINITY, all)]).enumerate() {
        series(text, name, "_bucket", metric, Some(("le", &Number(bound))))?;
        write!(text, " {count}")?;
        if let Some(Some(Exemplar { trace, value, at })) = found.get(n).filter(|_| count > 0) {
            let value = Number(*value);
            write!(
                text,
                " # {{trace_id=\"{trace}\"}} {value} {}.{:03}",
                at.0.as_secs(),
                at.0.subsec_millis()
            )?;
        }
        text.push('\n');
    }
    line(text, name, "_sum", metric, None, histogram.get_sample_sum())?;
    series(text, name, "_count", metric, None)?;
    writeln!(text, " {all}")
}

fn line(
    text: &mut String,
    name: &str,
    suffix: &str,
    metric: &Metric,
    more: Option<(&str, &Number)>,
    value: f64,
) -> fmt::Result {
    series(text, name, suffix, metric, more)?;
    writeln!(text, " {}", Number(value))
}

fn series(
    text: &mut String,
    name: &str,
    suffix: &str,
    metric: &Metric,
    more: Option<(&str, &Number)>,
) -> fmt::Result {
    write!(text, "{name}{suffix}")?;
    let mut before = '{';
    for label in metric.get_label() {
        write!(text, "{before}{}=\"{}\"", label.name(), Escaped(label.value()))?;
        before = ',';
    }
    if let Some((key, value)) = more {
        write!(text, "{before}{key}=\"{value}\"")?;
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    Ok(())
}

/// A text between quotes, or after a name.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            f.write_str(match special.as_bytes().first() {
                Some(b'\\') => "\\\\",
                Some(b'"') => "\\\"",
                _ => "\\n",
            })?;
            rest = special.get(1..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

/// A number as OpenMetrics writes it: bounds and values of whole numbers with their `.0`.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_finite() { write!(f, "{:?}", self.0) } else { Bare(self.0).fmt(f) }
    }
}

/// A number as both forms read it.
pub(super) struct Bare(pub(super) f64);

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use pingora_prometheus::prometheus::{CounterVec, Gauge, Histogram, HistogramOpts, Opts, Registry};

    use super::*;
    use crate::{clock::UnixTime, telemetry::otlp::TraceId};

    #[test]
    fn families_are_written_as_the_specification_has_them() {
        let registry = Registry::new();
        let calls =
            CounterVec::new(Opts::new("x_calls_total", "Calls, \"all\"\nof them."), &["who"]).unwrap();
        calls.with_label_values(&["a\\b\"c\nd"]).inc_by(3.0);
        let level = Gauge::with_opts(Opts::new("x_level", "A level.")).unwrap();
        level.set(-0.5);
        let opts = HistogramOpts::new("x_wait_seconds", "Waits.").buckets(vec![0.1, 1.0]);
        let wait = Histogram::with_opts(opts).unwrap();
        wait.observe(0.5);
        wait.observe(7.0);
        for one in [Box::new(calls) as Box<dyn prometheus::core::Collector>, Box::new(level), Box::new(wait)]
        {
            registry.register(one).unwrap();
        }
        let trace = TraceId::mint();
        let at = UnixTime(Duration::from_millis(1_700_000_000_050));
        let exemplars = |name: &str, _: Option<&str>| {
            assert_eq!(name, "x_wait_seconds");
            Some([None, Some(Exemplar { trace, value: 0.5, at }), None].into())
        };
        let expected = format!(
            r#"# TYPE x_calls counter
# HELP x_calls Calls, \"all\"\nof them.
x_calls_total{{who="a\\b\"c\nd"}} 3.0
# TYPE x_level gauge
# HELP x_level A level.
x_level -0.5
# TYPE x_wait_seconds histogram
# HELP x_wait_seconds Waits.
x_wait_seconds_bucket{{le="0.1"}} 0
x_wait_seconds_bucket{{le="1.0"}} 1 # {{trace_id="{trace}"}} 0.5 1700000000.050
x_wait_seconds_bucket{{le="+Inf"}} 2
x_wait_seconds_sum 7.5
x_wait_seconds_count 2
# EOF
"#
        );
        assert_eq!(write(&registry.gather(), exemplars, ""), expected);
    }

    #[test]
    fn whoever_prefers_it_gets_it() {
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, HeaderValue::from_static(accept));
            wants(&headers)
        };
        // What Prometheus 2.x and 3.x send.
        assert!(asks(
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ));
        assert!(asks("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        assert!(!asks("text/plain;version=0.0.4"));
        assert!(!asks("*/*"));
        assert!(!asks("application/openmetrics-text;q=0.1,text/plain;q=0.9"));
        assert!(!asks("application/openmetrics-text;version=9.0.0"));
        assert!(!wants(&HeaderMap::new()));
    }
}
