//! How metric families are made.

// Pingora's own, so that families stand in the registry that its exporter reads.
use pingora_prometheus::prometheus::{
    self, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

/// Makes families under our prefix. Names and labels are constants and a test makes every one of
/// them, so the only fault left is a second registration, which the `OnceLock` rules out.
#[derive(Clone, Copy)]
pub(super) struct Family<'a> {
    pub(super) registry: &'a Registry,
}

#[expect(clippy::expect_used, reason = "constant names and labels, made once and by a test")]
impl Family<'_> {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("a well-formed metric");
        self.registry.register(Box::new(collector.clone())).expect("a metric of a new name");
        collector
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("warmkey_{name}"), help)
    }

    pub(super) fn counters(self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn counter(self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::with_opts(Self::opts(name, help)))
    }

    pub(super) fn money(self, name: &str, help: &str, labels: &[&str]) -> prometheus::CounterVec {
        self.keep(prometheus::CounterVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn gauges(self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.keep(GaugeVec::new(Self::opts(name, help), labels))
    }

    pub(super) fn level(self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::with_opts(Self::opts(name, help)))
    }

    pub(super) fn ratio(self, name: &str, help: &str) -> Gauge {
        self.keep(Gauge::with_opts(Self::opts(name, help)))
    }

    pub(super) fn histograms(self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("warmkey_{name}"), help).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(opts, labels))
    }

    pub(super) fn histogram(self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(format!("warmkey_{name}"), help).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(opts))
    }
}
