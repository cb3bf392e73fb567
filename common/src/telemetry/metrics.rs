//! Every metric of Carillon, by name: dashboards and alerts depend on this file alone.
//!
//! Base units, no labels with users, channels or keys in them. Each process has a registry of its own,
//! so that several services can live in one test. A store brings its own metrics: those of Redis are
//! there only where Redis is.

pub use prometheus::core::Collector;
use prometheus::{IntGaugeVec, Registry, TextEncoder};

use super::usage::measure;

/// A metric as it is declared here.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// The field that counts into it.
    pub field: &'static str,
    /// Its name in `/metrics`.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, and what to conclude.
    pub help: &'static str,
}

/// Declares a group of metrics: field, type, name, labels, the bounds of a histogram (else those of
/// [`family::SECONDS`]) and what it tells.
macro_rules! metrics {
    ($(#[$meta:meta])* pub struct $group:ident {
        $($field:ident: $type:ty = $name:literal [$($label:literal),*] $(in $bounds:ident)?
            $help:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $group {
            $(
                #[doc = $help]
                #[doc = concat!("\n\n`", $name, "`")]
                pub $field: $type,
            )*
        }

        impl $group {
            /// Each of them.
            pub const DECLARED: &'static [$crate::telemetry::metrics::Declared] =
                &[$($crate::telemetry::metrics::Declared {
                field: stringify!($field),
                name: $name,
                labels: &[$($label),*],
                help: $help,
            }),*];

            /// From zero; no registry knows them yet.
            pub fn new() -> Self {
                use $crate::telemetry::metrics::family;
                Self { $($field: family::build(
                    $name,
                    $help,
                    &[$($label),*],
                    [$(&family::$bounds[..],)? &family::SECONDS[..]][0],
                ),)* }
            }

            /// For a registry.
            pub fn collectors(&self) -> Vec<Box<dyn $crate::telemetry::Collector>> {
                vec![$(Box::new(self.$field.clone()) as Box<dyn $crate::telemetry::Collector>),*]
            }
        }

        impl Default for $group {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

mod dispatcher;
mod family;
mod gateway;
mod process;
mod stores;

pub use self::{
    dispatcher::{CanaryMetrics, DispatcherMetrics},
    gateway::GatewayMetrics,
    process::{JwksMetrics, ProcessMetrics, ReloadMetrics, TracingMetrics},
    stores::{MemoryMetrics, RedisMetrics},
};

/// The metrics of one process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    process: ProcessMetrics,
    /// Of the gateway.
    pub gateway: GatewayMetrics,
    /// Of the dispatcher.
    pub dispatcher: DispatcherMetrics,
    /// What the process would have changed about its configuration and its Redis: 1 for each reason
    /// (see [`checks::REASONS`](crate::checks::REASONS)) that it has, 0 for the others.
    pub config_warnings: IntGaugeVec,
    /// Of what keeps the credentials up to date.
    pub reload: ReloadMetrics,
    /// Of the key sets that issuers publish.
    pub jwks: JwksMetrics,
    /// Of what sends spans.
    pub tracing: TracingMetrics,
    /// Of the canary.
    pub canary: CanaryMetrics,
}

impl Metrics {
    /// Metrics for the process that is `service` (`gateway`, `dispatcher`, `standalone`).
    pub fn new(service: &str) -> Self {
        let process = ProcessMetrics::new();
        let labels = [env!("CARGO_PKG_VERSION"), env!("CARILLON_RUSTC"), service];
        process.build.with_label_values(&labels).set(1);
        let metrics = Self {
            registry: Registry::new(),
            gateway: GatewayMetrics::new(),
            dispatcher: DispatcherMetrics::new(),
            config_warnings: process.config_warnings.clone(),
            reload: ReloadMetrics::new(),
            jwks: JwksMetrics::new(),
            tracing: TracingMetrics::new(),
            canary: CanaryMetrics::new(),
            process,
        };
        metrics.add(metrics.process.collectors());
        metrics.add(metrics.reload.collectors());
        metrics.add(metrics.jwks.collectors());
        metrics.add(metrics.tracing.collectors());
        metrics.add(metrics.canary.collectors());
        metrics.add(metrics.gateway.collectors());
        metrics.add(metrics.dispatcher.collectors());
        metrics
    }

    /// Shows the metrics of a part of the process, such as its store's. Names are fixed here, so none
    /// is refused unless it is added twice, which changes nothing.
    pub fn add(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            if let Err(error) = self.registry.register(collector) {
                tracing::debug!(%error, "a metric is registered already");
            }
        }
    }

    /// Every metric that a process of Carillon can have.
    pub fn declared() -> impl Iterator<Item = &'static Declared> {
        [
            ProcessMetrics::DECLARED,
            ReloadMetrics::DECLARED,
            JwksMetrics::DECLARED,
            TracingMetrics::DECLARED,
            GatewayMetrics::DECLARED,
            DispatcherMetrics::DECLARED,
            CanaryMetrics::DECLARED,
            RedisMetrics::DECLARED,
            MemoryMetrics::DECLARED,
        ]
        .into_iter()
        .flatten()
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> String {
        measure(&self.process);
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_what_was_counted() {
        let metrics = Metrics::new("gateway");
        metrics.gateway.connections.set(3);
        metrics
            .gateway
            .connections_closed
            .with_label_values(&["4008", "server"])
            .inc();
        metrics.gateway.delivery_latency.observe(0.002);
        metrics
            .dispatcher
            .sends
            .with_label_values(&["routed", "billing"])
            .inc_by(2);
        let text = metrics.render();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "carillon_gateway_connections 3",
            "carillon_gateway_connections_closed_total{code=\"4008\",initiator=\"server\"} 1",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.001\"} 0",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.0025\"} 1",
            "carillon_dispatcher_sends_total{outcome=\"routed\",sender=\"billing\"} 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        let build = text
            .lines()
            .find(|it| it.starts_with("carillon_build_info{"));
        let build = build.unwrap();
        for label in [
            "rustc=\"1.",
            "service=\"gateway\"",
            &format!("version=\"{version}\""),
        ] {
            assert!(build.contains(label), "{label} in {build}");
        }
    }

    #[test]
    fn two_processes_in_one_do_not_share() {
        let (one, other) = (Metrics::new("gateway"), Metrics::new("gateway"));
        one.gateway.chain_breaks.inc();
        assert_eq!(other.gateway.chain_breaks.get(), 0);
        assert!(
            other
                .render()
                .contains("carillon_gateway_chain_breaks_total 0")
        );
    }

    #[test]
    fn a_store_brings_its_own_metrics_once() {
        let (metrics, redis) = (Metrics::new("gateway"), RedisMetrics::new());
        assert!(!metrics.render().contains("carillon_redis_calls_total"));
        for _ in 0..2 {
            metrics.add(redis.collectors());
        }
        redis.calls.inc();
        redis.clock_offset.set(-0.25);
        let text = metrics.render();
        for line in [
            "carillon_redis_calls_total 1",
            "carillon_redis_clock_offset_seconds -0.25",
        ] {
            assert_eq!(text.lines().filter(|it| *it == line).count(), 1, "{text}");
        }
    }

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let mut names: Vec<_> = Metrics::declared().map(|metric| metric.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
