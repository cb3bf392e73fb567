//! How each kind of metric is made.

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

/// Upper bounds of durations, in seconds: from a hop on loopback to a client that was away.
pub(super) const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Of calls and their answers, in seconds: fewer, because they stand for each kind of call.
pub(super) const CALLS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Of connections' lives, in seconds: from a page that was left at once to a day.
pub(super) const LIVES: [f64; 9] = [
    1.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];
/// Of how many there are of something.
pub(super) const COUNTS: [f64; 6] = [0.0, 1.0, 2.0, 5.0, 10.0, 50.0];

/// A kind of metric.
pub(super) trait Family: Collector + Clone + Sized + 'static {
    fn build(opts: Opts, labels: &[&str], bounds: &[f64]) -> prometheus::Result<Self>;
}

impl Family for IntCounter {
    fn build(opts: Opts, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for IntGauge {
    fn build(opts: Opts, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for Gauge {
    fn build(opts: Opts, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for Counter {
    fn build(opts: Opts, _: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Family for IntCounterVec {
    fn build(opts: Opts, labels: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Family for IntGaugeVec {
    fn build(opts: Opts, labels: &[&str], _: &[f64]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Family for Histogram {
    fn build(opts: Opts, _: &[&str], bounds: &[f64]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts {
            common_opts: opts,
            buckets: bounds.to_vec(),
        })
    }
}

impl Family for HistogramVec {
    fn build(opts: Opts, labels: &[&str], bounds: &[f64]) -> prometheus::Result<Self> {
        Self::new(
            HistogramOpts {
                common_opts: opts,
                buckets: bounds.to_vec(),
            },
            labels,
        )
    }
}

#[expect(
    clippy::expect_used,
    reason = "names are fixed in one file; a test makes them all"
)]
pub(super) fn build<T: Family>(name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> T {
    T::build(Opts::new(name, help), labels, bounds).expect("valid metric")
}
