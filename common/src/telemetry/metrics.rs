//! Every metric of Carillon, by name: dashboards and alerts depend on this file alone.
//!
//! Base units, no labels with users, channels or keys in them. Each process has a registry of its own,
//! so that several services can live in one test.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Upper bounds of all durations, in seconds: from a hop on loopback to a client that was away.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Declares a group of metrics: field, type, name, labels and what it tells.
macro_rules! metrics {
    ($(#[$meta:meta])* pub struct $group:ident {
        $($field:ident: $type:ty = $name:literal [$($label:literal),*] $help:literal;)*
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
            fn register(registry: &Registry) -> Self {
                Self { $($field: register(registry, $name, $help, &[$($label),*]),)* }
            }
        }
    };
}

metrics! {
    /// What a gateway counts.
    pub struct GatewayMetrics {
        connections: IntGauge = "carillon_gateway_connections" []
            "Open connections.";
        connections_opened: IntCounter = "carillon_gateway_connections_opened_total" []
            "Connections that were authenticated.";
        connections_closed: IntCounterVec =
            "carillon_gateway_connections_closed_total" ["code", "initiator"]
            "Connections that ended, by close code and by who began it (client, server, none).";
        handshakes_rejected: IntCounterVec =
            "carillon_gateway_handshakes_rejected_total" ["reason"]
            "Connection attempts that were refused.";
        notifications_written: IntCounterVec =
            "carillon_gateway_notifications_written_total" ["kind"]
            "Notifications written to a socket (live, replayed; expired ones are passed over).";
        acks: IntCounterVec = "carillon_gateway_acks_total" ["result"]
            "Acknowledgements (accepted; unknown: of a cursor that was not written there; refused by the store).";
        gaps: IntCounterVec = "carillon_gateway_gaps_total" ["reason"]
            "Gaps that clients were told of (expired, rewound, too_many).";
        outbox_overflow: IntCounterVec = "carillon_gateway_outbox_overflow_total" ["policy"]
            "Times that an outbox was full, by what was done about it.";
        resumes: IntCounterVec = "carillon_gateway_resumes_total" ["reason"]
            "Readings of an inbox (chain, channel, dirty, audit).";
        bus_events: IntCounterVec = "carillon_gateway_bus_events_total" ["kind"]
            "Hints that came over the bus.";
        chain_breaks: IntCounter = "carillon_gateway_chain_breaks_total" []
            "Hints that did not follow what was delivered before; each makes the inbox be read.";
        strays: IntCounter = "carillon_gateway_stray_registrations_total" []
            "Registrations that no connection held, ended.";
        audit_repairs: IntCounter = "carillon_gateway_audit_repairs_total" []
            "Users that an audit found behind or not registered.";
        lease_lost: IntCounter = "carillon_gateway_lease_lost_total" []
            "Times that the gateway's lease ended before it was renewed.";
        reaped_sessions: IntCounter = "carillon_gateway_reaped_sessions_total" []
            "Sessions of dead gateways that this one removed.";
        refused_frames: IntCounterVec = "carillon_gateway_refused_frames_total" ["code"]
            "Requests of clients that were answered with an error.";
        restored_gave_way: IntCounter =
            "carillon_gateway_restored_subscriptions_gave_way_total" []
            "Subscriptions that had come back by themselves and left to make room for newer ones.";
        rebalanced: IntCounter = "carillon_gateway_rebalanced_connections_total" []
            "Connections that were asked to move, for gateways to be balanced.";
        draining: IntGauge = "carillon_gateway_draining" []
            "1 while the gateway drains.";
        delivery_latency: Histogram = "carillon_gateway_delivery_latency_seconds" []
            "From the acceptance of a notification to its writing to a socket, replays left out.";
    }
}

metrics! {
    /// What a dispatcher counts.
    pub struct DispatcherMetrics {
        http_requests: IntCounterVec = "carillon_dispatcher_http_requests_total" ["route", "code"]
            "Requests, by route (its pattern, not its path) and status.";
        sends: IntCounterVec = "carillon_dispatcher_sends_total" ["outcome"]
            "Sends (routed, queued, duplicate, refused, failed).";
        send_duration: HistogramVec = "carillon_dispatcher_send_duration_seconds" ["outcome"]
            "From reading a send's body to its acceptance or refusal.";
        auth_failures: IntCounterVec = "carillon_dispatcher_auth_failures_total" ["reason"]
            "Requests without a key, with a wrong one, or with one that lacks the scope.";
        pod_watch: IntGauge = "carillon_dispatcher_pod_watch" []
            "1 while the gateway pods are watched.";
        reaped: IntCounterVec = "carillon_dispatcher_reaped_gateways_total" ["cause"]
            "Gateways that were reaped because their pod was seen dead (deleted, terminated).";
    }
}

metrics! {
    /// What the Redis backend counts, in either service.
    pub struct RedisMetrics {
        calls: IntCounterVec = "carillon_redis_calls_total" ["function"]
            "Calls of the backend's functions.";
        errors: IntCounterVec = "carillon_redis_errors_total" ["kind"]
            "Calls that failed.";
        reconnects: IntCounterVec = "carillon_redis_reconnects_total" ["connection"]
            "Connections made again after they broke (call, bus, wait).";
        topology_changes: IntCounter = "carillon_redis_topology_changes_total" []
            "Failovers and moved slots that were followed.";
        probes_lost: IntCounter = "carillon_redis_probes_lost_total" []
            "Probes of the bus that did not come back.";
        clock_offset: IntGauge = "carillon_redis_clock_offset_milliseconds" []
            "Redis' clock minus our own.";
    }
}

/// The metrics of one process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Of the gateway.
    pub gateway: GatewayMetrics,
    /// Of the dispatcher.
    pub dispatcher: DispatcherMetrics,
    /// Of the backend.
    pub redis: RedisMetrics,
}

impl Metrics {
    /// Metrics for the process that is `service` (`gateway`, `dispatcher`, `standalone`).
    pub fn new(service: &str) -> Self {
        let registry = Registry::new();
        let build: IntGaugeVec = register(
            &registry,
            "carillon_build_info",
            "Always 1; the labels tell what runs.",
            &["version", "service"],
        );
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), service])
            .set(1);
        Self {
            gateway: GatewayMetrics::register(&registry),
            dispatcher: DispatcherMetrics::register(&registry),
            redis: RedisMetrics::register(&registry),
            registry,
        }
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

/// A kind of metric.
trait Family: Collector + Clone + Sized + 'static {
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
    reason = "names are fixed here; a test makes them all"
)]
fn register<T: Family>(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> T {
    let metric = T::build(Opts::new(name, help), labels).expect("valid metric");
    registry
        .register(Box::new(metric.clone()))
        .expect("metric with a name of its own");
    metric
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
            .with_label_values(&["routed"])
            .inc_by(2);
        let text = metrics.render();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            "carillon_gateway_connections 3",
            "carillon_gateway_connections_closed_total{code=\"4008\",initiator=\"server\"} 1",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.001\"} 0",
            "carillon_gateway_delivery_latency_seconds_bucket{le=\"0.0025\"} 1",
            "carillon_dispatcher_sends_total{outcome=\"routed\"} 2",
            &format!("carillon_build_info{{service=\"gateway\",version=\"{version}\"}} 1"),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
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
}
