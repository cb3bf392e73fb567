//! How each kind of metric is made.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

/// Upper bounds of all durations, in seconds: from a hop on loopback to a client that was away.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// A kind of metric.
pub(super) trait Family: Collector + Clone + Sized + 'static {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Family for IntCounter {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for IntGauge {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for Gauge {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for IntCounterVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Family for IntGaugeVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Family for Histogram {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts {
            common_opts: opts,
            buckets: SECONDS.to_vec(),
        })
    }
}

impl Family for HistogramVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(
            HistogramOpts {
                common_opts: opts,
                buckets: SECONDS.to_vec(),
            },
            labels,
        )
    }
}

#[expect(
    clippy::expect_used,
    reason = "names are fixed in one file; a test makes them all"
)]
pub(super) fn build<T: Family>(name: &str, help: &str, labels: &[&str]) -> T {
    T::build(Opts::new(name, help), labels).expect("valid metric")
}
